"""What the cleaning of texts adds to rnnlm."""

from rnnlm.satellites import Command, Satellite, names_of, on_use

SATELLITE = Satellite(
    "tools/filtering",
    commands=lambda: [
        Command(
            "filter",
            "More",
            "clean text",
            on_use(__package__, "filter_command:command"),
            after="prepare",
            takes=("language-model",),
        )
    ],
    names=names_of(__package__),
)
