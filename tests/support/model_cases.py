"""What is tried of every kind of model: its variants, mixtures, models that adapt, each by name and
settings of `tiny_models.fit`.

A new kind in the registry is a case by itself; what more there is to try of it stands in VARIANTS.
"""

from rnnlm import registry
from rnnlm.lm.ngram.smoothing import ESTIMATORS

VARIANTS = {
    "rnn": [{"activation": name} for name in ("tanh", "relu", "elu",
                                              "leaky_relu")] + [{"activation": "sigmoid",
                                              "layers": 2}, {"layer_norm": True}],
    "gru": [{}, {"layers": 2, "tied": False}, {"reset_gate": "before"}, {"layer_norm": True},
            {"update_gate": "renew", "layers": 2, "connections": "residual"}],
    "lstm": [
        {"layers": 2}, {"tied": False}, {"tied": True, "embedding_size": 12, "hidden_size": 12},
        {"peepholes": True},
        {"coupled_gates": True},
        {"layers": 3, "layer_sizes": "5,8,6", "connections": "dense"},
        {"layers": 2, "connections": "highway"},
        {"output_layer": "adaptive", "cutoffs": "4,8"}, {"output_layer": "class"},
        {"output_layer": "class", "classes": 3, "tied": False},
        {"output_layer": "hierarchical"}, {"output_layer": "mos", "mixture_components": 3},
        {"loss": "sampled", "samples": 8}, {"loss": "nce", "samples": 8, "tied": False},
        {"mogrifier_rounds": 5}, {"mogrifier_rounds": 2, "mogrifier_rank": 3, "layers": 2},
        {"layer_norm": True, "layers": 2}, {"ema_decay": 0.9}, {"optimizer": "asgd"},
    ],
    "qrnn": [
        {}, {"layers": 2, "convolution_words": 3, "connections": "residual"},
        {"convolution_words": 1, "pooling": "f"}, {"pooling": "ifo"},
    ],
    "ffnn": [{}, {"direct_connections": True, "activation": "relu"},
             {"context_words": 1, "activation": "elu"}, {"layers": 0, "context_words": 2},
             {"layers": 3, "batch_norm": True, "ema_decay": 0.9}],
    "jordan": [{}, {"feedback": "embedding", "activation": "leaky_relu"}],
    "ngram": [{"order": order, "smoothing": "mkn"} for order in (1, 2, 3, 5)]
    + [{"order": 3, "smoothing": smoothing} for smoothing in ESTIMATORS if smoothing != "mkn"]
    + [{"order": 3, "smoothing": smoothing, "interpolate": False} for smoothing in ("absolute",
        "kn", "mkn")]
    + [{"order": 4, "prune": "0,0,1"}],
}  # fmt: skip
INNER = {"parts": (("unigram", {}), ("ngram", {"order": 2})), "weights": (0.4, 0.6)}
SPELLING = {"characters": "cnn", "character_filters": "3,4", "character_size": 5}
MIXTURES = [
    {"parts": (("ngram", {"order": 3}), ("ngram", {"order": 2, "smoothing": "mle"}),
               ("unigram", {})), "weights": (0.5, 0.3, 0.2)},
    {"parts": (("lstm", {}), ("ngram", {"order": 3})), "weights": (0.25, 0.75)},
    {"parts": (("lstm", {}), ("ngram", {"order": 3}), ("unigram", {})), "weights": (0.3, 0.5, 0.2)},
    {"parts": (("ngram", {"order": 3}), ("unigram", {}), ("gru", {})), "weights": (0.6, 0.4, 0.0)},
    {"parts": (("mixture", INNER), ("gru", {})), "weights": (0.5, 0.5)},
    {"parts": (("ngram", {"order": 3}), ("lstm", SPELLING)), "weights": (0.5, 0.5)},
    {"parts": (("lstm", {}), ("ngram", {"order": 2, "lines": ("the zebra sat", "a yak saw it")})),
     "weights": (0.5, 0.5)},
]  # fmt: skip
SPELLED = [  # tokenizers of words alone
    ("lstm", SPELLING), ("ffnn", {**SPELLING, "context_words": 3}), ("jordan", SPELLING),
    ("gru",
     {"characters": "lstm", "character_hidden_size": 4, "character_size": 5,
      "characters_beside": True}),
    ("ffnn",
     {"characters": "cnn", "character_filters": "6", "characters_beside": True, "tied": False}),
    ("ffnn",
     {"characters": "lstm", "character_hidden_size": 4, "character_size": 5, "context_words": 3}),
]  # fmt: skip
TRAINED = [name for name, kind in registry.kinds_of().items() if kind.is_trained]
CASES = [
    *((name, {**variant, "tokenizer": "word"}) for name in TRAINED for variant in VARIANTS.get(name,
        [{}])),
    *((name, {**VARIANTS.get(name, [{}])[0], "tokenizer": "char"}) for name in TRAINED), *SPELLED,
    *(("mixture", settings) for settings in MIXTURES),
]  # fmt: skip

CONDITIONAL = [  # decoders of encoder-decoders, given the empty source
    ("rnn", {"attention": None}), ("gru", {"attention": "dot", "layers": 2}),
    ("lstm", {"attention": "additive", "input_feeding": True}),
    ("qrnn", {"decoder_layers": 2, "input_feeding": True, "tied_embeddings": None}),
    ("lstm", {"bridge": "mean", "decoder_model": "gru"}),
]  # fmt: skip

ADAPTED = [
    ("unigram", "ngram", {"order": 3}), ("unigram", "lstm", {}),
    ("unigram", "lstm", {"tokenizer": "char"}), ("unigram", "lstm", SPELLING),
    ("cache", "lstm", {}), ("cache", "lstm", SPELLING),
    ("cache", "lstm", {"output_layer": "adaptive", "cutoffs": "4,8"}),
    ("cache", "gru", {"tied": True, "layers": 2}),
    ("sgd", "lstm", {}), ("sgd", "lstm", SPELLING), ("sgd", "gru", {"tied": False}),
    ("sgd", "ffnn", {}), ("sgd", "jordan", {}),
    ("sgd", "lstm", {"output_layer": "adaptive"}), ("sgd", "lstm", {"output_layer": "class"}),
    ("sgd", "lstm",
        {"output_layer": "hierarchical"}),
    ("sgd", "lstm", {"loss": "sampled", "samples": 8}),
    ("sgd", "lstm", {"output_layer": "mos", "mixture_components": 3}), ("sgd", "qrnn",
        {}),
    ("rms", "lstm", {}), ("rms", "lstm", {"tokenizer": "char", "layers": 2}),
]  # fmt: skip
