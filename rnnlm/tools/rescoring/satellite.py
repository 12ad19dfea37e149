"""What rescoring adds to rnnlm."""

from rnnlm.satellites import Command, Satellite, all_on_use, on_use

SATELLITE = Satellite(
    "tools/rescoring",
    commands={
        "rescore": Command(
            "More",
            "n-best lists",
            on_use(__package__, "rescore_command:command"),
            takes=("language-model",),
        )
    },
    names=all_on_use("rnnlm.tools", "rescoring"),
)
