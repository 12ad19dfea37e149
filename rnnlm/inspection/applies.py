"""Which look applies to which kind of model and task, and why the others have nothing to see there: data, and one check.

docs/insight.md shows the same table; a test compares the two.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from rnnlm.errors import UsageError
from rnnlm.models.uses import CLASSIFICATION, LANGUAGE_MODEL, SEQ2SEQ, TAGGING, WHAT

RECURRENT = ("rnn", "gru", "lstm", "qrnn")
WITH_JORDAN = (*RECURRENT, "jordan")
NEURAL = (*WITH_JORDAN, "ffnn")
ALL = (*NEURAL, "ngram", "unigram", "mixture")
TEXT_KINDS = ("bag", "cnn")  # of classifiers without recurrent layers


@dataclass(frozen=True)
class Applies:
    """kinds: of each task those that a look applies to. lacks: what the other models do not have."""

    kinds: Mapping[str, Collection[str]]
    lacks: str


def _every_task(language_models: Collection[str], texts: Collection[str] = ()) -> dict[str, Collection[str]]:
    labelling = {TAGGING: RECURRENT, CLASSIFICATION: (*RECURRENT, *texts), SEQ2SEQ: RECURRENT}
    return {LANGUAGE_MODEL: language_models, **labelling}


APPLIES: Mapping[str, Applies] = {
    "gradients": Applies({LANGUAGE_MODEL: WITH_JORDAN}, "recurrent layers of a language model"),
    "spectrum": Applies(_every_task(("rnn", "gru", "lstm", "jordan")) | {TAGGING: RECURRENT[:3], CLASSIFICATION: RECURRENT[:3],
                                                                         SEQ2SEQ: RECURRENT[:3]}, "recurrent weights"),
    "gates": Applies(_every_task(WITH_JORDAN), "gates and no hidden state"),
    "memory": Applies({LANGUAGE_MODEL: ALL}, "probabilities of next words"),
    "cloze": Applies({LANGUAGE_MODEL: ALL}, "probabilities of next words"),
    "neighbours": Applies(_every_task(NEURAL, TEXT_KINDS), "word vectors"),
    "analogy": Applies(_every_task(NEURAL, TEXT_KINDS), "word vectors"),
    "analogies": Applies(_every_task(NEURAL, TEXT_KINDS), "word vectors"),
    "similarity": Applies(_every_task(NEURAL, TEXT_KINDS), "word vectors"),
    "map": Applies(_every_task(NEURAL, TEXT_KINDS), "word vectors"),
    "probe": Applies({LANGUAGE_MODEL: NEURAL, TAGGING: RECURRENT}, "layers with a state for each word"),
    "gradcheck": Applies(_every_task(NEURAL, TEXT_KINDS), "weights that are trained by gradients"),
}  # fmt: skip


def check_applies(what: str, name: str, task: str, kind: str) -> None:
    """Whether `what` applies to the model called `name`.

    Raises:
        UsageError: it does not; the hint names the kinds that it does apply to.
    """
    applies = APPLIES[what]
    if kind in applies.kinds.get(task, ()):
        return
    is_task = task in applies.kinds
    model = f"a model of kind {kind}" if task == LANGUAGE_MODEL or is_task else WHAT[task]
    taken = "; ".join(f"{WHAT[task]}: {', '.join(kinds)}" for task, kinds in applies.kinds.items() if kinds)
    raise UsageError(f"inspect {what} has nothing to show for {name}", f"{model} has no {applies.lacks}", f"it applies to {taken}")
