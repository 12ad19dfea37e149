"""What rescoring adds to rnnlm."""

from rnnlm.satellites import Command, Satellite, names_of, on_use

SATELLITE = Satellite(
    "tools/rescoring",
    commands=lambda: [
        Command(
            "rescore",
            "More",
            "n-best lists",
            on_use(__package__, "rescore_command:command"),
            takes=("language-model",),
        )
    ],
    names=names_of(__package__),
)
