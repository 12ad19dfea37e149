"""What models made of other language models add to rnnlm: mixtures, and those that adapt."""

from rnnlm.satellites import (
    Command,
    Elsewhere,
    Satellite,
    all_on_use,
    methods_of,
    named,
    names_of,
    on_use,
)

ADAPTATIONS = ("dynamic", "cache", "unigram")
SATELLITE = Satellite(
    "tools/mixtures",
    commands=lambda: [
        Command(
            "mix",
            "More",
            "combine models",
            on_use(__package__, "mix_command:command"),
            after="prune",
            takes=("language-model",),
        ),
        Command(
            "tune",
            "More",
            "adaptation",
            on_use(__package__, "tune_command:command"),
            after="mix",
            takes=("language-model",),
        ),
    ],
    elsewhere=lambda: [
        Elsewhere("-mix-lm", "rnnlm mix MODEL MODEL --on TEXT"),
        Elsewhere("-lambda", "rnnlm mix MODEL MODEL --weights 0.7,0.3"),
        Elsewhere("pointer.py", "rnnlm tune -m MODEL+cache --on TEXT"),
    ],
    options=named(
        __package__,
        {
            "eval": "tune_command:eval_options",
            "compare": "tune_command:compare_options",
            "doctor": "tune_command:doctor_options",
        },
    ),
    kinds=all_on_use(__package__, "kinds:MIXTURE"),
    adaptations=named(__package__, dict.fromkeys(ADAPTATIONS, "adaptation:as_tuned")),
    companions=named(__package__, {"adaptation": "adapted_model:check"}),
    methods=methods_of(__package__, "methods:AdaptationMethods"),
    names=names_of(__package__),
)
