"""What the core has, in the form in which satellites say what they add."""

from rnnlm.satellites import Satellite, add_core, named, names_of_core, on_call, on_use, types

add_core(
    Satellite(
        "rnnlm",
        tasks=named(__package__, {"language-model": "training.language_model:TASK"}),
        kinds=on_call(__package__, "lm.kinds:kinds"),
        cells=on_use(__package__, "lm.neural.cells:CELLS"),
    )
)
names_of_core |= {
    "cells": lambda: [kind.name for kind in on_use(__package__, "lm.kinds:WITHOUT_CELLS")()],
    "metrics": on_use(__package__, "evaluation.perplexity:TextEvaluation.__dataclass_fields__"),
    "methods": lambda: dir(on_use(__package__, "model:Model")()),
}
types |= {
    "cells": on_use(__package__, "lm.neural.cells:CellKind"),
    "folders": on_use(__package__, "registry:TextFolder"),
    "kinds": on_use(__package__, "registry:Kind"),
    "libraries()": on_use(__package__, "registry:Library"),
    "metrics": on_use(__package__, "evaluation.perplexity:TextMetric"),
    "sources()": on_use(__package__, "registry:DataSource"),
    "tasks()": on_use(__package__, "training.task:BaseTask"),
}
