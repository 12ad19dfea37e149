"""What looking into models adds to rnnlm."""

from rnnlm.satellites import Command, Satellite, methods_of, on_use

SATELLITE = Satellite(
    "tools/inspection",
    needs=("tasks/labelling", "tasks/seq2seq", "tools/vectors"),
    commands=lambda: [
        Command(
            "inspect",
            "More",
            "look inside",
            on_use(__package__, "inspect_command:command"),
            after="embed",
            takes=("language-model",),
        )
    ],
    methods=methods_of(__package__, "methods:InspectionMethods"),
)
