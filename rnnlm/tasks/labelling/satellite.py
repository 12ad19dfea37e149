"""What taggers and classifiers add to rnnlm."""

from rnnlm.satellites import Command, Satellite, methods_of, named, on_call, on_use

SATELLITE = Satellite(
    "tasks/labelling",
    needs=("tasks/common",),
    commands=lambda: [
        Command(
            "tag",
            "Tasks",
            "Label words: parts of speech, names, slots, sounds.",
            on_use(__package__, "tag_command:command"),
        ),
        Command(
            "classify",
            "Tasks",
            "Label whole texts: opinions, topics, intents.",
            on_use(__package__, "classify_command:command"),
            after="tag",
        ),
    ],
    options=named(
        __package__,
        {
            "train": "command_options:train_options",
            "eval": "command_options:eval_options",
            "compare": "command_options:compare_options",
        },
    ),
    tasks=named(__package__, {"tagging": "task:TAGGING", "classification": "task:CLASSIFICATION"}),
    kinds=on_call(__package__, "kinds:kinds"),
    methods=methods_of(__package__, "methods:LabellingMethods"),
)
