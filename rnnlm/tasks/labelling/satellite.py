"""What taggers and classifiers add to rnnlm."""

from rnnlm.satellites import Command, Satellite, all_on_use, on_use

SATELLITE = Satellite(
    "tasks/labelling",
    needs=("tasks/common",),
    commands={
        "tag": Command(
            "Tasks",
            "Label words: parts of speech, names, slots, sounds.",
            on_use(__package__, "tag_command:command"),
        ),
        "classify": Command(
            "Tasks",
            "Label whole texts: opinions, topics, intents.",
            on_use(__package__, "classify_command:command"),
            after="tag",
        ),
    },
    options=on_use(__package__, "command_options:OPTIONS"),
    tasks={
        "tagging": on_use(__package__, "task:TAGGING"),
        "classification": on_use(__package__, "task:CLASSIFICATION"),
    },
    kinds=on_use(__package__, "kinds:KINDS"),
    methods=all_on_use(__package__, "methods:LabellingMethods"),
)
