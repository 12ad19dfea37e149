"""What the cleaning of texts adds to rnnlm."""

from rnnlm.satellites import Command, Satellite, all_on_use, on_use

SATELLITE = Satellite(
    "tools/filtering",
    commands={
        "filter": Command(
            "More",
            "clean text",
            on_use(__package__, "filter_command:command"),
            after="prepare",
            takes=("language-model",),
        )
    },
    names=all_on_use("rnnlm.tools", "filtering"),
)
