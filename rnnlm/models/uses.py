"""What each command does with the models of each task, and why it does nothing with others."""

import shlex
from collections.abc import Mapping
from typing import Protocol

from rnnlm.errors import UsageError
from rnnlm.models.registry import LANGUAGE_MODEL


class LabelModel(Protocol):
    """A model of another task than language modelling, which labels words or texts."""

    @property
    def task(self) -> str:
        """What it was trained for: "tagging" or "classification"."""


TAGGING, CLASSIFICATION = "tagging", "classification"
ANY = (LANGUAGE_MODEL, TAGGING, CLASSIFICATION)
_LABELS = "accuracy, F1 of spans and by type, error rates of sounds, confusions"
_CLASSES = "accuracy, macro F1 and by label, calibration error, confusions"

# command -> task -> what it does with models of that task; tasks that are not named are refused
USES: Mapping[str, Mapping[str, str]] = {
    "eval": {LANGUAGE_MODEL: "perplexity, bits per character", TAGGING: _LABELS, CLASSIFICATION: _CLASSES},
    "tag": {TAGGING: "labels of words"},
    "classify": {CLASSIFICATION: "labels of texts"},
    "score": {LANGUAGE_MODEL: "log-probabilities, surprisals"},
    "generate": {LANGUAGE_MODEL: "text"},
    "rescore": {LANGUAGE_MODEL: "n-best lists in a new order"},
    "compare": dict.fromkeys(ANY, "differences with intervals and p-values"),
    "plot": {LANGUAGE_MODEL: "curves of perplexity", TAGGING: "curves of the validation figure",
             CLASSIFICATION: "curves of the validation figure"},
    "info": dict.fromkeys(ANY, "kind, size, texts, settings, figures") | {
        TAGGING: "kind, size, labels, texts, settings, figures", CLASSIFICATION: "kind, size, labels, texts, settings, figures"},
    "doctor": {LANGUAGE_MODEL: "files, arrays, sums of probabilities", TAGGING: "files, arrays, sums of probabilities, padding",
               CLASSIFICATION: "files, arrays, sums of probabilities, padding"},
    "export": {LANGUAGE_MODEL: "ARPA file of n-grams, compact form of networks", TAGGING: "compact form", CLASSIFICATION: "compact form"},
    "mix": {LANGUAGE_MODEL: "one model of several"},
    "tune": {LANGUAGE_MODEL: "settings of adaptation"},
    "prune": {LANGUAGE_MODEL: "a smaller n-gram model"},
    "bench": {LANGUAGE_MODEL: "speed"},
    "count": dict.fromkeys(ANY, "n-grams of its tokenizer's tokens"),
}  # fmt: skip
WHAT = {LANGUAGE_MODEL: "a language model", TAGGING: "a tagger of words", CLASSIFICATION: "a classifier of texts"}
_INSTEAD = {LANGUAGE_MODEL: "score", TAGGING: "tag", CLASSIFICATION: "classify"}  # what is done with a model of each task
_NO_TEXT = "it gives no probabilities of text"
_WHY = {  # of commands for language models, why they do nothing with those of other tasks
    "generate": "it writes labels, not text",
    "prune": "it has no n-grams",
    "tune": "only language models adapt themselves to what they read",
}
_NO_LABELS = "it has learned no labels of {of}"


def check_use(command: str, task: str, name: str | None) -> None:
    """Whether a command does something with the models of a task. name: what the model is called; None of one in memory.

    Raises:
        UsageError: it does not; the hint names the command that does.
    """
    if command in USES and task not in USES[command]:
        raise refusal(command, task, name)


def refusal(command: str, task: str, name: str | None) -> UsageError:
    """Why a command does nothing with the model called `name`, and which one does."""
    if command in ("tag", "classify"):
        why = _NO_LABELS.format(of="words" if command == "tag" else "whole texts")
    else:
        why = _WHY.get(command, _NO_TEXT)
    hint = f"rnnlm {_INSTEAD[task]}" + ("" if name is None else f" -m {shlex.quote(name)}")
    return UsageError(f"{name or 'this model'} is {WHAT[task]}", why, hint)
