"""What encoder-decoders add to rnnlm."""

from rnnlm.satellites import Command, Satellite, all_on_use, on_use

SATELLITE = Satellite(
    "tasks/seq2seq",
    needs=("tasks/common",),
    commands={
        "translate": Command(
            "Tasks",
            "Map each line to another: translations, spellings, answers.",
            on_use(__package__, "commands:command"),
        )
    },
    options=on_use(__package__, "commands:OPTIONS"),
    tasks={"seq2seq": on_use(__package__, "task:TASK")},
    kinds=on_use(__package__, "kinds:KINDS"),
    methods=all_on_use(__package__, "methods:TranslationMethods"),
    names=all_on_use("rnnlm.tasks", "seq2seq"),
)
