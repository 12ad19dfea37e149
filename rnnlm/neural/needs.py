"""Which settings of networks and their training have no effect without a certain value of another one.

name -> {other setting: the values of it, one of which is needed}; several others: one of them is enough. See :func:`rnnlm.config.needs_of`.
"""

from rnnlm.config import ANY

OWNERS = {  # these differ from their defaults only where that is chosen
    "characters_beside": ("characters", ("cnn", "lstm")),
    "character_size": ("characters", ("cnn", "lstm")),
    "character_filters": ("characters", ("cnn",)),
    "character_highways": ("characters", ("cnn",)),
    "character_overhang": ("characters", ("cnn",)),
    "character_hidden_size": ("characters", ("lstm",)),
    "samples": ("loss", ("sampled", "nce")),
    "cutoffs": ("output_layer", ("adaptive",)),
    "cluster_shrink": ("output_layer", ("adaptive",)),
    "classes": ("output_layer", ("class",)),
    "mixture_components": ("output_layer", ("mos",)),
    "dropout_latent": ("output_layer", ("mos",)),
    "init_output_bias": ("output_layer", ("softmax", "mos")),
}
WORD_VECTORS = {"characters": (None,), "characters_beside": (True,)}
STARTS = ("init_embedding", "init_input", "init_recurrent", "init_output")

OF_NETWORKS = {
    **{name: {owner: choices} for name, (owner, choices) in OWNERS.items()},
    "embedding_size": {**WORD_VECTORS, "output_layer": ("mos",)},
    "init_embedding": WORD_VECTORS,
    "hidden_size": {"layer_sizes": (None,)},
    "dropout_between": {"layers": range(2, 101)},
    "locked_dropout": dict.fromkeys(("dropout_input", "dropout_output", "dropout_between", "dropout_latent"), ANY),
    "init_range": {**dict.fromkeys(STARTS, ("uniform",)), "characters": ("cnn", "lstm")},
    "init_gain": dict.fromkeys(STARTS, ("glorot", "he", "orthogonal", "identity")),
}
OF_FITTING = {
    "rms_decay": {"optimizer": ("rmsprop",)},
    "beta1": {"optimizer": ("adam", "adamw")},
    "beta2": {"optimizer": ("adam", "adamw")},
    "penalised": {"l1": ANY, "l2": ANY},
    "plateau_factor": {"schedule": ("plateau",)},
    "plateau_patience": {"schedule": ("plateau",)},
    "plateau_gain": {"schedule": ("plateau",)},
    "decay_after_epochs": {"schedule": ("step",)},
    "decay_every_epochs": {"schedule": ("step",)},
    "decay_factor": {"schedule": ("step",)},
    "min_improvement": {"schedule": ("halving",)},
    "final_rate": {"schedule": ("cosine", "linear")},
    "rollback_factor": {"rollbacks": ANY},
    "patience": {"valid": ANY, "holdout": ANY},
    "validate_every_steps": {"valid": ANY, "holdout": ANY},
    "min_validations": {"validate_every_steps": (None,)},
}
OF_RUNS = {"save_every": {"resumable": ANY}, "keep_checkpoints": {"resumable": ANY}}
