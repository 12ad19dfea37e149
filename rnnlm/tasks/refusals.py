"""Why a kind of model makes no sense for a task, and which one to use instead."""

from rnnlm.errors import nearest
from rnnlm.tasks.settings import KINDS

_COUNTS = "it counts which words follow each other, and learns no labels"
_WHY = {
    "ngram": _COUNTS,
    "unigram": _COUNTS,
    "jordan": "what it reads again at the next word is its prediction of that word",
    "ffnn": "it reads a few words before the one to be predicted, and none after them",
    "bag": "it makes one vector of all words of a text, not one for each word",
    "cnn": "it makes one vector of all words of a text, not one for each word",
}
_INSTEAD = {
    "jordan": {"tagging": "use --model rnn --set label_feedback=true, which reads the label of the word before"},
    "ffnn": {"classification": "use --model bag or cnn, which have no recurrence either"},
}


def refusal(task: str, model: str) -> tuple[str, str, str] | None:
    """What is wrong with `model` for `task`, why, and what to use instead; None where they go together.

    Any task that is neither tagging nor classification is taken for language modelling, which reads no word before it is predicted.
    """
    kinds = [kind for of, kind in KINDS if of == task]
    if model in kinds:
        return None
    if not kinds:
        why = "it reads all words of a text before it answers, and a language model must not read what it is to predict"
        return f"--model {model} is no language model", why, "add --task classification, or use --model lstm"
    if model not in _WHY:
        return f"unknown model {model!r} for {task}", f"there are {', '.join(kinds)}", nearest(model, kinds)
    hint = _INSTEAD.get(model, {}).get(task, f"use --model {', '.join(kinds[:-1])} or {kinds[-1]}")
    return f"--model {model} is not for {task}", _WHY[model], hint
