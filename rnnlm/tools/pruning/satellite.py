"""What pruning adds to rnnlm."""

from rnnlm.satellites import Command, Elsewhere, Satellite, on_use

SATELLITE = Satellite(
    "tools/pruning",
    commands=lambda: [
        Command(
            "prune",
            "More",
            "n-gram models",
            on_use(__package__, "prune_command:command"),
            after="count",
            takes=("language-model",),
        )
    ],
    elsewhere=lambda: [
        Elsewhere("--size", "--ngrams N: each takes at most 15 bytes, with --quantize 8 at most 6")
    ],
)
