"""Why a kind of model makes no sense for a task, and which one to use instead."""

from rnnlm.errors import nearest
from rnnlm.models.registry import TASK_KINDS

_COUNTS = "it counts which words follow each other, and learns no labels"
_WHY = {
    "ngram": _COUNTS,
    "unigram": _COUNTS,
    "jordan": "what it reads again at the next word is its prediction of that word",
    "ffnn": "it reads a few words before the one to be predicted, and none after them",
    "bag": "it makes one vector of all words of a text, not one for each word",
    "cnn": "it makes one vector of all words of a text, not one for each word",
}
_WRITES = {  # of an encoder-decoder
    **dict.fromkeys(
        ("ngram", "unigram"), "it counts which words follow each other, and reads no source"
    ),
    "jordan": (
        "what it reads again at the next word is its prediction of that word, which the "
        "decoder reads anyway"
    ),
    **dict.fromkeys(("ffnn", "bag", "cnn"), "it has no state from which a decoder could go on"),
}
_INSTEAD = {
    "jordan": {
        "tagging": (
            "use --model rnn --set label_feedback=true, which reads the label of the word before"
        )
    },
    "ffnn": {"classification": "use --model bag or cnn, which have no recurrence either"},
}


def refusal(task: str, model: str) -> tuple[str, str, str] | None:
    """What is wrong with `model` for `task`, why, and what to use instead; None where they go
    together.

    Any task that is neither tagging nor classification is taken for language modelling, which reads
    no word before it is predicted.
    """
    kinds = [kind.name for kind in TASK_KINDS if kind.task == task]
    if model in kinds:
        return None
    if not kinds:
        why = (
            "it reads all words of a text before it answers, and a language model must "
            "not read what it is to predict"
        )
        return (
            f"--model {model} is no language model",
            why,
            "add --task classification, or use --model lstm",
        )
    if model not in _WHY:
        return (
            f"unknown model {model!r} for {task}",
            f"there are {', '.join(kinds)}",
            nearest(model, kinds),
        )
    hint = _INSTEAD.get(model, {}).get(task, f"use --model {', '.join(kinds[:-1])} or {kinds[-1]}")
    reasons = _WRITES if task == "seq2seq" else _WHY
    return f"--model {model} is not for {task}", reasons[model], hint


def of_setting(name: str, tasks: list[str]) -> tuple[str, str]:
    """Why a model has no setting `name`, which models for `tasks` have, and what to do instead."""
    if name == "bidirectional":
        why = "it would read the words that it is to predict"
        return (
            why,
            (
                "add --task tagging or classification; with reversed=true a language model reads "
                "each line from its end"
            ),
        )
    given = [task for task in tasks if any(task == kind.task for kind in TASK_KINDS)]
    if given:
        return f"it belongs to models for {' and '.join(given)}", f"add --task {given[0]}"
    return "it belongs to language models", "leave it out"
