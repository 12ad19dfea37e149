"""rnnlm: language modelling from Python. The names below are the public ones; each is imported when
first used.

>>> import rnnlm
>>> model = rnnlm.load()                                                   # doctest: +SKIP
>>> model.logprob_nats("recognize speech")                                 # doctest: +SKIP
"""

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from rnnlm import kinds as _kinds
from rnnlm.models import registry as _registry
from rnnlm.version import __version__

# Lower rooms look up what stands above them in these tables.
_registry.fill(_kinds.TASKS, _kinds.LANGUAGE_MODELS, _kinds.TASK_KINDS, _kinds.ADAPTATIONS)

_PUBLIC = {
    "Comparison": "rnnlm.evaluation.comparison.comparison",
    "ComparisonSettings": "rnnlm.evaluation.comparison.settings",
    "Corpus": "rnnlm.text.corpus",
    "DecodingSettings": "rnnlm.tasks.seq2seq.options",
    "Evaluation": "rnnlm.evaluation.metrics",
    "Event": "rnnlm.events",
    "Finished": "rnnlm.events",
    "FinishedRun": "rnnlm.runs",
    "GridFinished": "rnnlm.training.grid",
    "GridRunEnded": "rnnlm.training.grid",
    "Hypothesis": "rnnlm.rescoring.nbest",
    "LanguageModel": "rnnlm.interface",
    "ListSettings": "rnnlm.rescoring.settings",
    "Model": "rnnlm.model",
    "Pair": "rnnlm.scoring.pairs.pair",
    "RescoreSettings": "rnnlm.rescoring.settings",
    "RnnlmError": "rnnlm.errors",
    "RnnlmWarning": "rnnlm.errors",
    "Sentence": "rnnlm.scoring.sentences",
    "SentenceScore": "rnnlm.scoring.records",
    "SentenceSettings": "rnnlm.scoring.settings",
    "SourceSettings": "rnnlm.text.sources",
    "Step": "rnnlm.events",
    "TextEvaluation": "rnnlm.evaluation.perplexity",
    "TextMapping": "rnnlm.rescoring.settings",
    "TextSettings": "rnnlm.text.lines",
    "TrainingRun": "rnnlm.runs",
    "Utterance": "rnnlm.rescoring.nbest",
    "Validated": "rnnlm.events",
    "WordScorer": "rnnlm.scoring.word_scorer",
    "WordVectors": "rnnlm.vectors.word_vectors",
    "as_numpy": "rnnlm.arrays",
    "compare": "rnnlm.tasks.evaluation",
    "filter": "rnnlm.filtering.predicate",
    "import_arpa": "rnnlm.ngram.arpa.writing",
    "learn_vectors": "rnnlm.vectors.learning",
    "load": "rnnlm.model",
    "load_tokenizer": "rnnlm.models.loading",
    "mix": "rnnlm.combinations.mixing",
    "mix_static": "rnnlm.combinations.static_mixing",
    "normalise": "rnnlm.text.normalisation",
    "plot_curves": "rnnlm.evaluation.learning_curves",
    "prepare": "rnnlm.text.prepared.preparation",
    "read_nbest": "rnnlm.rescoring.files",
    "read_pairs": "rnnlm.scoring.pairs.files",
    "read_sentences": "rnnlm.scoring.sentences",
    "read_vectors": "rnnlm.vectors.word_vectors",
    "read_weights": "rnnlm.rescoring.mert",
    "report": "rnnlm.evaluation.run_report",
    "rescore": "rnnlm.rescoring.rescorer",
    "save_nbest": "rnnlm.rescoring.files",
    "save_weights": "rnnlm.rescoring.mert",
    "train": "rnnlm.runs",
    "train_grid": "rnnlm.training.grid",
    "tune_weights": "rnnlm.rescoring.rescorer",
}
__all__ = ["__version__", *sorted(_PUBLIC)]  # noqa: PLE0604 (all are strings)

if TYPE_CHECKING:  # with `as`, so that strict type checkers see them as public
    from rnnlm.arrays import as_numpy as as_numpy
    from rnnlm.combinations.mixing import mix as mix
    from rnnlm.combinations.static_mixing import mix_static as mix_static
    from rnnlm.errors import RnnlmError as RnnlmError
    from rnnlm.errors import RnnlmWarning as RnnlmWarning
    from rnnlm.evaluation.comparison.comparison import Comparison as Comparison
    from rnnlm.evaluation.comparison.settings import ComparisonSettings as ComparisonSettings
    from rnnlm.evaluation.learning_curves import plot_curves as plot_curves
    from rnnlm.evaluation.metrics import Evaluation as Evaluation
    from rnnlm.evaluation.perplexity import TextEvaluation as TextEvaluation
    from rnnlm.evaluation.run_report import report as report
    from rnnlm.events import Event as Event
    from rnnlm.events import Finished as Finished
    from rnnlm.events import Step as Step
    from rnnlm.events import Validated as Validated
    from rnnlm.filtering.predicate import filter as filter
    from rnnlm.interface import LanguageModel as LanguageModel
    from rnnlm.model import Model as Model
    from rnnlm.model import load as load
    from rnnlm.models.loading import load_tokenizer as load_tokenizer
    from rnnlm.ngram.arpa.writing import import_arpa as import_arpa
    from rnnlm.rescoring.files import read_nbest as read_nbest
    from rnnlm.rescoring.files import save_nbest as save_nbest
    from rnnlm.rescoring.mert import read_weights as read_weights
    from rnnlm.rescoring.mert import save_weights as save_weights
    from rnnlm.rescoring.nbest import Hypothesis as Hypothesis
    from rnnlm.rescoring.nbest import Utterance as Utterance
    from rnnlm.rescoring.rescorer import rescore as rescore
    from rnnlm.rescoring.rescorer import tune_weights as tune_weights
    from rnnlm.rescoring.settings import ListSettings as ListSettings
    from rnnlm.rescoring.settings import RescoreSettings as RescoreSettings
    from rnnlm.rescoring.settings import TextMapping as TextMapping
    from rnnlm.runs import FinishedRun as FinishedRun
    from rnnlm.runs import TrainingRun as TrainingRun
    from rnnlm.runs import train as train
    from rnnlm.scoring.pairs.files import read_pairs as read_pairs
    from rnnlm.scoring.pairs.pair import Pair as Pair
    from rnnlm.scoring.records import SentenceScore as SentenceScore
    from rnnlm.scoring.sentences import Sentence as Sentence
    from rnnlm.scoring.sentences import read_sentences as read_sentences
    from rnnlm.scoring.settings import SentenceSettings as SentenceSettings
    from rnnlm.scoring.word_scorer import WordScorer as WordScorer
    from rnnlm.tasks.evaluation import compare as compare
    from rnnlm.tasks.seq2seq.options import DecodingSettings as DecodingSettings
    from rnnlm.text.corpus import Corpus as Corpus
    from rnnlm.text.lines import TextSettings as TextSettings
    from rnnlm.text.normalisation import normalise as normalise
    from rnnlm.text.prepared.preparation import prepare as prepare
    from rnnlm.text.sources import SourceSettings as SourceSettings
    from rnnlm.training.grid import GridFinished as GridFinished
    from rnnlm.training.grid import GridRunEnded as GridRunEnded
    from rnnlm.training.grid import train_grid as train_grid
    from rnnlm.vectors.learning import learn_vectors as learn_vectors
    from rnnlm.vectors.word_vectors import WordVectors as WordVectors
    from rnnlm.vectors.word_vectors import read_vectors as read_vectors


if not TYPE_CHECKING:  # type checkers know the names above, and no others

    def __getattr__(name: str) -> object:
        if name not in _PUBLIC:
            raise AttributeError(f"module 'rnnlm' has no attribute {name!r}{_suggestion(name)}")
        return getattr(importlib.import_module(_PUBLIC[name]), name)


def _suggestion(name: str) -> str:
    """Return the nearest public name, for the message about one that is not there."""
    import difflib

    close = difflib.get_close_matches(name, _PUBLIC, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close and not name.startswith("_") else ""


def __dir__() -> list[str]:
    return __all__
