"""What the analysis of reading times adds to rnnlm."""

from rnnlm.satellites import Command, Satellite, names_of, on_use

SATELLITE = Satellite(
    "tools/reading",
    commands=lambda: [
        Command(
            "reading",
            "More",
            "reading times",
            on_use(__package__, "reading_command:command"),
            after="inspect",
            takes=("language-model",),
        )
    ],
    names=names_of(__package__),
)
