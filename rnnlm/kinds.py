"""The tables of tasks, kinds of models, ways to adapt, tokenizers of other programs and libraries
of other models, which stand in :mod:`rnnlm.registry`.

Each function imports the object of its name, when it is used.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnlm.registry import (
    ADAPTATIONS,
    KINDS,
    LANGUAGE_MODEL,
    LIBRARIES,
    TASK_KINDS,
    TASKS,
    TOKENIZERS,
    Function,
    Kind,
    Library,
    RunFacts,
)

if TYPE_CHECKING:
    from rnnlm.config import ResolvedSettings
    from rnnlm.interface import Task

# ---- The tasks.


def _language_modelling() -> "Task":
    from rnnlm.training.language_model import TASK

    return TASK


def _tagging() -> "Task":
    from rnnlm.tasks.labelling.task import TAGGING

    return TAGGING


def _classification() -> "Task":
    from rnnlm.tasks.labelling.task import CLASSIFICATION

    return CLASSIFICATION


def _learning_from_pairs() -> "Task":
    from rnnlm.tasks.seq2seq.task import TASK

    return TASK


TASKS |= {
    LANGUAGE_MODEL: _language_modelling,
    "tagging": _tagging,
    "classification": _classification,
    "seq2seq": _learning_from_pairs,
}

# ---- Adaptations of models, and readers of tokenizers and models of other programs.


def _adapted(model: Any, kind: str, folder: Path) -> Any:
    from rnnlm.lm.mixtures.adaptation import as_tuned

    return as_tuned(model, kind, folder)


def _tokenizer_of_hugging_face() -> Any:
    from rnnlm.tools.huggingface.tokenizer import HuggingFaceTokenizer

    return HuggingFaceTokenizer


def _hugging_face() -> Library:
    from rnnlm.tools.huggingface.folders import FOLDERS

    return FOLDERS


ADAPTATIONS |= dict.fromkeys(("dynamic", "cache", "unigram"), _adapted)
TOKENIZERS |= {"huggingface": _tokenizer_of_hugging_face}
LIBRARIES |= {"hf": _hugging_face}

# ---- Kinds of models, by family.


class Network(Kind):
    """A network that is a language model."""

    family = "neural"
    trains_in_steps = True

    @property
    def settings(self) -> tuple[type, ...]:
        from rnnlm.lm.neural.settings import KINDS, parts_of
        from rnnlm.lm.neural.training.settings import FittingSettings, RunSettings

        return (KINDS[self.name], *parts_of(self.name), FittingSettings, RunSettings)

    def check(self, resolved: "ResolvedSettings", has_valid: bool) -> None:
        from rnnlm.lm.neural.training.settings import check

        check(resolved, has_valid, has_text=self.task == LANGUAGE_MODEL)

    @property
    def fit(self) -> Function:
        from rnnlm.lm.neural.training.fitting import fit

        return fit

    def choose(
        self, resolved: "ResolvedSettings", data: Any, run: RunFacts
    ) -> "tuple[ResolvedSettings, Any]":
        from rnnlm.lm.neural.training.choosing import choose

        return choose(self, resolved, data, run)

    @property
    def array_shapes(self) -> Function:
        from rnnlm.lm.neural.shapes import array_shapes

        return array_shapes

    @property
    def from_arrays(self) -> Function:
        from rnnlm.lm.neural.trained_network import from_arrays

        return from_arrays


class Labeller(Network):
    """A tagger or classifier."""

    takes_parts = True

    @property
    def settings(self) -> tuple[type, ...]:
        from rnnlm.lm.neural.settings import parts_of
        from rnnlm.lm.neural.training.settings import RunSettings
        from rnnlm.tasks.labelling.settings import KINDS, TaskFittingSettings

        model = KINDS[self.task, self.name]
        return (model, *parts_of(self.name), TaskFittingSettings, RunSettings)

    @property
    def fit(self) -> Function:
        from rnnlm.tasks.labelling.fitting import fit

        return fit

    @property
    def array_shapes(self) -> Function:
        from rnnlm.tasks.labelling.shapes import array_shapes

        return array_shapes

    @property
    def from_arrays(self) -> Function:
        from rnnlm.tasks.labelling.model import from_arrays

        return from_arrays


class EncoderDecoder(Network):
    """An encoder-decoder."""

    @property
    def settings(self) -> tuple[type, ...]:
        from rnnlm.lm.neural.settings import CELLS
        from rnnlm.lm.neural.training.settings import RunSettings
        from rnnlm.tasks.seq2seq.settings import Seq2SeqFittingSettings, Seq2SeqSettings

        return (Seq2SeqSettings, CELLS[self.name], Seq2SeqFittingSettings, RunSettings)

    @property
    def fit(self) -> Function:
        from rnnlm.tasks.seq2seq.fitting import fit

        return fit

    def words_read(self, codec: Any) -> int:
        return int(codec.source.size)

    @property
    def array_shapes(self) -> Function:
        from rnnlm.tasks.seq2seq.shapes import array_shapes

        return array_shapes

    @property
    def from_arrays(self) -> Function:
        from rnnlm.tasks.seq2seq.model import from_arrays

        return from_arrays


class Unigram(Kind):
    """Frequencies of words."""

    family = "ngram"

    @property
    def settings(self) -> tuple[type, ...]:
        from rnnlm.lm.ngram.settings import UnigramSettings

        return (UnigramSettings,)

    @property
    def fit(self) -> Function:
        from rnnlm.lm.ngram.unigram import fit

        return fit

    @property
    def array_shapes(self) -> Function:
        from rnnlm.lm.ngram.unigram import array_shapes

        return array_shapes

    @property
    def from_arrays(self) -> Function:
        from rnnlm.lm.ngram.unigram import from_arrays

        return from_arrays


class Ngram(Kind):
    """N-grams with backoff."""

    family = "ngram"
    is_mapped = True

    @property
    def settings(self) -> tuple[type, ...]:
        from rnnlm.lm.ngram.settings import NgramSettings

        return (NgramSettings,)

    def check(self, resolved: "ResolvedSettings", has_valid: bool) -> None:
        from rnnlm.lm.ngram.fitting import check

        super().check(resolved, has_valid)
        check(resolved, has_valid)

    @property
    def fit(self) -> Function:
        from rnnlm.lm.ngram.fitting import fit

        return fit

    def text_to_read(
        self, text: Any, tokenizer: Any, share: float, resolved: Any, progress: Any
    ) -> Any:
        from rnnlm.lm.ngram.fitting import text_to_read

        return text_to_read(text, tokenizer, share, resolved, progress)

    def check_counts(self, folder: str) -> None:
        from rnnlm.lm.ngram.fitting import check_counts

        check_counts(folder)

    @property
    def open_counts(self) -> Function:
        from rnnlm.lm.ngram.fitting import open_counts

        return open_counts

    def clean_up(self, resolved: "ResolvedSettings", data: Any) -> None:
        from rnnlm.lm.ngram.fitting import clean_up

        clean_up(resolved, data)

    def foresee(self, resolved: "ResolvedSettings", data: Any) -> dict[str, int]:
        from rnnlm.lm.ngram.fitting import foresee

        return foresee(resolved, data)

    @property
    def array_shapes(self) -> Function:
        from rnnlm.lm.ngram.model import array_shapes

        return array_shapes

    @property
    def from_arrays(self) -> Function:
        from rnnlm.lm.ngram.model import from_arrays

        return from_arrays


class Mixture(Kind):
    """Several models as one."""

    family = "combination"
    takes_parts = True
    made_with = "rnnlm mix A B --on TEXT"

    @property
    def settings(self) -> tuple[type, ...]:
        from rnnlm.lm.mixtures.mixture import MixtureSettings

        return (MixtureSettings,)

    @property
    def array_shapes(self) -> Function:
        from rnnlm.lm.mixtures.mixture import array_shapes

        return array_shapes

    @property
    def from_arrays(self) -> Function:
        from rnnlm.lm.mixtures.mixture import from_arrays

        return from_arrays


class Transformers(Kind):
    """A model that its library stores and loads."""

    family = "foreign"
    made_with = "transformers"

    @property
    def library(self) -> Library:
        return _hugging_face()

    @property
    def settings(self) -> tuple[type, ...]:
        from rnnlm.tools.huggingface.folders import TransformersSettings

        return (TransformersSettings,)


# Abilities that commands and inspections may ask of models (`Kind.has`).
_OF_NETWORKS = frozenset({"layers", "neighbours", "similarity", "gradcheck"})
_OF_STATES = frozenset({"gates", "units", "spectrum"})
_OF_PROBABILITIES = frozenset({"text", "memory", "cloze", "beam"})
_OF_LANGUAGE_MODELS = _OF_NETWORKS | _OF_PROBABILITIES | {"probe"}

# The cells of recurrent layers, and the inspections of their states.
_CELLS = {
    "rnn": ("Elman network (tanh, sigmoid, ReLU, leaky ReLU or ELU)", _OF_STATES),
    "gru": ("gated recurrent unit", _OF_STATES),
    "lstm": ("long short-term memory", _OF_STATES),
    # No matrix maps its state to its state, so there are no eigenvalues.
    "qrnn": (
        "quasi-recurrent network: convolutions, pooled over time", _OF_STATES - {"spectrum"},
    ),
}  # fmt: skip


def _recurrent(name: str) -> Kind:
    about, of_states = _CELLS[name]
    return Network(name, about, _OF_LANGUAGE_MODELS | of_states | {"gradients"})


KINDS |= {
    kind.name: kind
    for kind in (
        _recurrent("rnn"),
        _recurrent("gru"),
        Network("ffnn", "feed-forward network over a window of words", _OF_LANGUAGE_MODELS),
        Network(
            "jordan",
            "recurrent network that reads its own last output",
            _OF_LANGUAGE_MODELS | _OF_STATES | {"gradients"},
        ),
        _recurrent("lstm"),
        _recurrent("qrnn"),
        Unigram("unigram", "smoothed word frequencies", _OF_PROBABILITIES),
        Ngram(
            "ngram",
            "n-grams with backoff: Kneser-Ney and the other classical estimators",
            _OF_PROBABILITIES | {"n-grams"},
        ),
        Mixture("mixture", "several models as one, each with a weight", _OF_PROBABILITIES),
        Transformers(
            "transformers",
            "a causal language model of Hugging Face's transformers",
            _OF_PROBABILITIES,
        ),
    )
}

for _name, (_about, _of_states) in _CELLS.items():
    _has = _OF_NETWORKS | _of_states
    TASK_KINDS += [
        Labeller(_name, f"tags words: {_about}", _has | {"probe"}, "tagging"),
        Labeller(_name, f"classifies texts: {_about}", _has, "classification"),
        EncoderDecoder(
            _name,
            f"reads a line and writes another: {_about}",
            _has | {"sources", "beam"},
            "seq2seq",
        ),
    ]
TASK_KINDS += [
    Labeller(
        "bag", "classifies texts: the mean of their word vectors", _OF_NETWORKS, "classification"
    ),
    Labeller(
        "cnn", "classifies texts: convolutions over their words", _OF_NETWORKS, "classification"
    ),
    Labeller(
        "recursive",
        "classifies texts: a network over a tree of their words",
        _OF_NETWORKS,
        "classification",
    ),
]
