"""What the analysis of reading times adds to rnnlm."""

from rnnlm.satellites import Command, Satellite, all_on_use, on_use

SATELLITE = Satellite(
    "tools/reading",
    commands={
        "reading": Command(
            "More",
            "reading times",
            on_use(__package__, "reading_command:command"),
            after="embed",
            takes=("language-model",),
        )
    },
    names=all_on_use("rnnlm.tools", "reading"),
)
