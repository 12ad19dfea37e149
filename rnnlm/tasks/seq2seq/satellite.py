"""What encoder-decoders add to rnnlm."""

from rnnlm.satellites import Command, Satellite, methods_of, named, names_of, on_call, on_use

SATELLITE = Satellite(
    "tasks/seq2seq",
    needs=("tasks/common",),
    commands=lambda: [
        Command(
            "translate",
            "Tasks",
            "Map each line to another: translations, spellings, answers.",
            on_use(__package__, "commands:command"),
        )
    ],
    options=named(
        __package__,
        {
            "train": "commands:train_options",
            "eval": "commands:eval_options",
            "compare": "commands:compare_options",
            "score": "commands:score_options",
        },
    ),
    tasks=named(__package__, {"seq2seq": "task:TASK"}),
    kinds=on_call(__package__, "kinds:kinds"),
    methods=methods_of(__package__, "methods:TranslationMethods"),
    names=names_of(__package__),
    parts=named(
        __package__,
        {
            "SentencePart": "options:TargetSentences",
            "EvaluationKeywords": "methods:TranslationKeywords",
            "ConditionKeywords": "methods:SourceKeywords",
        },
    ),
)
