"""Settings of networks beyond the plain RNN, GRU and LSTM, one for each feature."""

VARIANTS = [
    {"model": "ffnn"}, {"model": "ffnn", "direct_connections": True, "tied": None},
    {"model": "jordan"},
    {"model": "jordan", "feedback": "embedding"}, {"model": "gru", "reset_gate": "before"},
    {"model": "lstm", "peepholes": True, "connections": "highway", "layers": 2},
    {"model": "lstm", "coupled_gates": True, "locked_dropout": True},
    {"model": "lstm", "mogrifier_rounds": 3, "weight_drop": 0.3},
    {"model": "lstm", "mogrifier_rounds": 2, "mogrifier_rank": 2, "peepholes": True},
    {"model": "qrnn", "layers": 2, "weight_drop": 0.3},
    {"model": "qrnn", "convolution_words": 1, "pooling": "ifo"},
    {"output_layer": "adaptive", "cutoffs": "20,90", "tied": None}, {"output_layer": "class"},
    {"output_layer": "hierarchical", "tied": None},
    {"output_layer": "mos", "mixture_components": 3, "dropout_latent": 0.2, "locked_dropout": True},
    {"output_layer": "mos", "tied": False},
    {"loss": "sampled", "samples": 9}, {"loss": "nce", "samples": 9},
    {"characters": "cnn", "tied": None},
    {"characters": "lstm", "characters_beside": True},
]  # fmt: skip
