"""What looking into models adds to rnnlm."""

from rnnlm.satellites import Command, Satellite, all_on_use, on_use

SATELLITE = Satellite(
    "tools/inspection",
    needs=("tasks/labelling", "tasks/seq2seq", "tools/vectors"),
    commands={
        "inspect": Command(
            "More",
            "look inside",
            on_use(__package__, "inspect_command:command"),
            after="tune",
            takes=("language-model",),
        )
    },
    methods=all_on_use(__package__, "methods:InspectionMethods"),
)
