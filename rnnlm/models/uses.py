"""What each command does with the models of each task, and why it does nothing with others."""

import shlex
from collections.abc import Mapping
from typing import Protocol

from rnnlm.errors import ComparisonError, UsageError
from rnnlm.models.registry import LANGUAGE_MODEL


class LabelModel(Protocol):
    """A model of another task than language modelling, which labels words or texts, or writes a line for each that it reads."""

    @property
    def task(self) -> str:
        """What it was trained for: "tagging", "classification" or "seq2seq"."""


TAGGING, CLASSIFICATION, SEQ2SEQ = "tagging", "classification", "seq2seq"
ANY = (LANGUAGE_MODEL, TAGGING, CLASSIFICATION, SEQ2SEQ)
_LABELS = "accuracy, F1 of spans and by type, error rates of sounds, confusions"
_CLASSES = "accuracy, macro F1 and by label, calibration error, confusions"

# command -> task -> what it does with models of that task; tasks that are not named are refused
USES: Mapping[str, Mapping[str, str]] = {
    "eval": {LANGUAGE_MODEL: "perplexity, bits per character", TAGGING: _LABELS, CLASSIFICATION: _CLASSES,
             SEQ2SEQ: "perplexity, BLEU, chrF, exact match, error rates, by length"},
    "tag": {TAGGING: "labels of words"},
    "classify": {CLASSIFICATION: "labels of texts"},
    "translate": {SEQ2SEQ: "what it writes, n best, attention"},
    "score": {LANGUAGE_MODEL: "log-probabilities, surprisals", SEQ2SEQ: "log-probabilities of targets"},
    "generate": {LANGUAGE_MODEL: "text"},
    "embed": {LANGUAGE_MODEL: "vectors of lines and words, of networks", TAGGING: "vectors of lines and words",
              CLASSIFICATION: "vectors of texts and words", SEQ2SEQ: "vectors of sources and their words"},
    "rescore": {LANGUAGE_MODEL: "n-best lists in a new order", SEQ2SEQ: "n-best lists of translations"},
    "compare": dict.fromkeys(ANY, "differences with intervals and p-values"),
    "plot": {LANGUAGE_MODEL: "curves of perplexity", TAGGING: "curves of the validation figure",
             CLASSIFICATION: "curves of the validation figure", SEQ2SEQ: "curves of the validation figure"},
    "info": dict.fromkeys(ANY, "kind, size, texts, settings, figures") | {
        TAGGING: "kind, size, labels, texts, settings, figures", CLASSIFICATION: "kind, size, labels, texts, settings, figures",
        SEQ2SEQ: "kind, size, both tokenizers, texts, settings, figures"},
    "doctor": {LANGUAGE_MODEL: "files, arrays, sums of probabilities", TAGGING: "files, arrays, sums of probabilities, padding",
               CLASSIFICATION: "files, arrays, sums of probabilities, padding",
               SEQ2SEQ: "files, arrays, sums of probabilities, padding, greedy search"},
    "export": {LANGUAGE_MODEL: "ARPA file of n-grams, compact form and word vectors of networks"} | dict.fromkeys(
        (TAGGING, CLASSIFICATION, SEQ2SEQ), "compact form, word vectors"),
    "inspect": {LANGUAGE_MODEL: "gradients, spectrum, gates, memory, cloze, word vectors, probes, a check of gradients",
                TAGGING: "spectrum, gates, word vectors, probes, a check of gradients",
                CLASSIFICATION: "spectrum, gates, word vectors, a check of gradients",
                SEQ2SEQ: "spectrum, gates, word vectors, a check of gradients"},
    "mix": {LANGUAGE_MODEL: "one model of several"},
    "tune": {LANGUAGE_MODEL: "settings of adaptation"},
    "prune": {LANGUAGE_MODEL: "a smaller n-gram model"},
    "bench": {LANGUAGE_MODEL: "speed", SEQ2SEQ: "speed of translating"},
    "count": dict.fromkeys(ANY, "n-grams of its tokenizer's tokens"),
}  # fmt: skip
WHAT = {LANGUAGE_MODEL: "a language model", TAGGING: "a tagger of words", CLASSIFICATION: "a classifier of texts",
        SEQ2SEQ: "an encoder-decoder"}  # fmt: skip
INSTEAD = {  # what is done with a model of each task
    LANGUAGE_MODEL: "score", TAGGING: "tag", CLASSIFICATION: "classify", SEQ2SEQ: "translate",
}  # fmt: skip
_LEARNED = {  # what a model has not learned that a command needs
    "tag": "it has learned no labels of words", "classify": "it has learned no labels of whole texts",
    "translate": "it has not learned to write a line for another",
}  # fmt: skip
_NO_TEXT = "gives no probabilities of text"
_ONLY_GIVEN = "gives probabilities of a text only for a source that it reads"
_WHY = {  # what a model of another task does not do that a command for language models needs
    "generate": "writes labels, not text",
    "prune": "has no n-grams",
    "tune": "does not adapt itself to what it reads",
}


def check_use(command: str, task: str, name: str | None) -> None:
    """Whether a command does something with the models of a task. name: what the model is called; None of one in memory.

    Raises:
        UsageError: it does not; the hint names the command that does.
    """
    if command in USES and task not in USES[command]:
        raise refusal(command, task, name)


def check_is_language_model(task: str, name: str | None) -> None:
    """Whether a model is a language model. name: what it is called; None of one in memory.

    Raises:
        UsageError: it is not; the hint names the command that does something with it.
    """
    if task != LANGUAGE_MODEL:
        raise refusal("mix", task, name)


def refusal(command: str, task: str, name: str | None) -> UsageError:
    """Why a command does nothing with the model called `name`, which is of another task than it needs, and which one does."""
    called, hint = name or "this model", f"rnnlm {INSTEAD[task]}" + ("" if name is None else f" -m {shlex.quote(name)}")
    if command in _LEARNED:
        return UsageError(f"{called} is {WHAT[task]}", _LEARNED[command], hint)
    reason = _WHY.get(command, _NO_TEXT)
    if task == SEQ2SEQ and command not in ("prune", "tune"):
        reason = _ONLY_GIVEN
    why = f"it is {WHAT[task]}, and {reason}"
    return UsageError(f"{called} is not a language model", why, f"{hint}, or rnnlm eval")


def check_same_task(tasks: Mapping[str, str]) -> None:
    """Whether models, each by its name, are of one task.

    Raises:
        ComparisonError: they are not.
    """
    if len(set(tasks.values())) > 1:
        why = ", ".join(f"{name} is {WHAT[task]}" for name, task in tasks.items())
        raise ComparisonError("models of different tasks do not compare", why, "name models of one task")
