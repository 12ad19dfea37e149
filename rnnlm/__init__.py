"""rnnlm: language modelling from Python. The names below are the public ones; each is imported when
first used.

>>> import rnnlm
>>> model = rnnlm.load()                                                   # doctest: +SKIP
>>> rnnlm.score_sentences(model, ["recognize speech"])[0].logprob_nats     # doctest: +SKIP
"""

import functools
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from rnnlm import kinds as _kinds
from rnnlm.models import registry as _registry
from rnnlm.version import __version__

# Lower rooms look up what stands above them in these tables.
_registry.fill(_kinds.TASKS, _kinds.LANGUAGE_MODELS, _kinds.TASK_KINDS, _kinds.ADAPTATIONS)

_PUBLIC = {
    "Analogy": "rnnlm.inspection.neighbours",
    "Attention": "rnnlm.tasks.seq2seq.results",
    "BeamSettings": "rnnlm.generation.settings",
    "Checkpoint": "rnnlm.events",
    "CheckpointSaved": "rnnlm.events",
    "ClassifiedText": "rnnlm.tasks.labels.results",
    "Comparison": "rnnlm.evaluation.comparison.comparison",
    "ComparisonSettings": "rnnlm.evaluation.comparison.settings",
    "Corpus": "rnnlm.text.corpus",
    "Counted": "rnnlm.events",
    "Counting": "rnnlm.events",
    "DecodingSettings": "rnnlm.tasks.seq2seq.options",
    "EmbeddedLines": "rnnlm.vectors.embedding",
    "EmbeddingSettings": "rnnlm.vectors.settings",
    "Estimated": "rnnlm.events",
    "Evaluating": "rnnlm.events",
    "Evaluation": "rnnlm.evaluation.metrics",
    "Event": "rnnlm.events",
    "Finished": "rnnlm.events",
    "FinishedRun": "rnnlm.runs",
    "Fitted": "rnnlm.events",
    "GridFinished": "rnnlm.training.grid",
    "GridRunEnded": "rnnlm.training.grid",
    "GridRunStarted": "rnnlm.training.grid",
    "History": "rnnlm.runs",
    "Hypothesis": "rnnlm.rescoring.nbest",
    "LabelSequence": "rnnlm.tasks.labels.results",
    "LanguageModel": "rnnlm.interface",
    "LearningCurve": "rnnlm.evaluation.learning_curves",
    "ListSettings": "rnnlm.rescoring.settings",
    "Mixed": "rnnlm.combinations.mixing",
    "Mixture": "rnnlm.combinations.mixture",
    "Model": "rnnlm.model",
    "ModelSaved": "rnnlm.events",
    "Neighbours": "rnnlm.inspection.neighbours",
    "Pair": "rnnlm.scoring.pairs.pair",
    "Prepared": "rnnlm.text.prepared.preparation",
    "RescoreSettings": "rnnlm.rescoring.settings",
    "Rescored": "rnnlm.rescoring.rescorer",
    "RnnlmError": "rnnlm.errors",
    "RnnlmWarning": "rnnlm.errors",
    "RolledBack": "rnnlm.events",
    "SamplingSettings": "rnnlm.generation.settings",
    "SaveFailed": "rnnlm.events",
    "ScoringSettings": "rnnlm.scoring.settings",
    "Sentence": "rnnlm.scoring.sentences",
    "SentenceScore": "rnnlm.scoring.records",
    "SentenceScores": "rnnlm.scoring.rows",
    "SentenceSettings": "rnnlm.scoring.settings",
    "SourceSettings": "rnnlm.text.sources",
    "Started": "rnnlm.events",
    "Step": "rnnlm.events",
    "TaggedSentence": "rnnlm.tasks.labels.results",
    "TextEvaluation": "rnnlm.evaluation.perplexity",
    "TextFilter": "rnnlm.filtering.predicate",
    "TextMapping": "rnnlm.rescoring.settings",
    "TextSettings": "rnnlm.text.lines",
    "TrainingRun": "rnnlm.runs",
    "TranslatedLine": "rnnlm.tasks.seq2seq.results",
    "Translation": "rnnlm.tasks.seq2seq.results",
    "Utterance": "rnnlm.rescoring.nbest",
    "Validated": "rnnlm.events",
    "Weights": "rnnlm.rescoring.mert",
    "WordPrefix": "rnnlm.scoring.word_scorer",
    "WordScorer": "rnnlm.scoring.word_scorer",
    "WordVectors": "rnnlm.vectors.word_vectors",
    "accuracy_differences": "rnnlm.scoring.pairs.accuracy",
    "adapt": "rnnlm.combinations.adaptation",
    "as_numpy": "rnnlm.arrays",
    "audit": "rnnlm.evaluation.soundness",
    "classify": "rnnlm.tasks.labels.tagging",
    "compare": "rnnlm.tasks.evaluation",
    "cross_validate": "rnnlm.rescoring.rescorer",
    "embed": "rnnlm.vectors.embedding",
    "embed_chunks": "rnnlm.vectors.embedding",
    "evaluate": "rnnlm.tasks.evaluation",
    "export_arpa": "rnnlm.ngram.arpa.writing",
    "filter": "rnnlm.filtering.predicate",
    "fit": "rnnlm.runs",
    "gain_over": "rnnlm.rescoring.rescorer",
    "generate": "rnnlm.generation.drawing",
    "import_arpa": "rnnlm.ngram.arpa.writing",
    "inspect_activations": "rnnlm.inspection.activations",
    "inspect_analogy": "rnnlm.inspection.neighbours",
    "inspect_cloze": "rnnlm.inspection.cloze",
    "inspect_gates": "rnnlm.inspection.gates",
    "inspect_gradcheck": "rnnlm.inspection.gradcheck",
    "inspect_gradients": "rnnlm.inspection.gradients.flow",
    "inspect_memory": "rnnlm.inspection.memory",
    "inspect_neighbours": "rnnlm.inspection.neighbours",
    "inspect_probe": "rnnlm.inspection.probing",
    "inspect_sensitivity": "rnnlm.inspection.gradients.sensitivity",
    "inspect_spectrum": "rnnlm.inspection.spectrum",
    "inspect_step": "rnnlm.inspection.step",
    "inspect_surface": "rnnlm.inspection.surface",
    "learn_vectors": "rnnlm.vectors.learning",
    "learning_curve": "rnnlm.evaluation.learning_curves",
    "likeliest": "rnnlm.generation.search",
    "load": "rnnlm.model",
    "load_tokenizer": "rnnlm.models.loading",
    "mix": "rnnlm.combinations.mixing",
    "mix_static": "rnnlm.combinations.static_mixing",
    "next_words": "rnnlm.generation.autocomplete",
    "normalise": "rnnlm.text.normalisation",
    "pair_accuracies": "rnnlm.scoring.pairs.accuracy",
    "plot_curves": "rnnlm.evaluation.learning_curves",
    "plot_surprisals": "rnnlm.scoring.plots",
    "prepare": "rnnlm.text.prepared.preparation",
    "read_nbest": "rnnlm.rescoring.files",
    "read_pairs": "rnnlm.scoring.pairs.files",
    "read_sentences": "rnnlm.scoring.sentences",
    "read_vectors": "rnnlm.vectors.word_vectors",
    "read_weights": "rnnlm.rescoring.mert",
    "report": "rnnlm.evaluation.run_report",
    "rescore": "rnnlm.rescoring.rescorer",
    "save_best": "rnnlm.rescoring.files",
    "save_nbest": "rnnlm.rescoring.files",
    "save_vectors": "rnnlm.vectors.word_vectors",
    "save_weights": "rnnlm.rescoring.mert",
    "score_chunks": "rnnlm.scoring.scorer",
    "score_models": "rnnlm.scoring.several_models",
    "score_pairs": "rnnlm.scoring.pairs.scoring",
    "score_rows": "rnnlm.scoring.rows",
    "score_sentences": "rnnlm.scoring.scorer",
    "score_set": "rnnlm.scoring.pairs.accuracy",
    "scorer": "rnnlm.scoring.word_scorer",
    "tag": "rnnlm.tasks.labels.tagging",
    "train": "rnnlm.runs",
    "train_grid": "rnnlm.training.grid",
    "translate": "rnnlm.tasks.seq2seq.decoding",
    "tune": "rnnlm.combinations.tuning",
    "tune_and_rescore": "rnnlm.rescoring.rescorer",
    "tune_weights": "rnnlm.rescoring.rescorer",
    "word_vectors": "rnnlm.vectors.word_vectors",
}
__all__ = ["__version__", *sorted(_PUBLIC)]  # noqa: PLE0604 (all are strings)

if TYPE_CHECKING:  # with `as`, so that strict type checkers see them as public
    from rnnlm.arrays import as_numpy as as_numpy
    from rnnlm.combinations.adaptation import adapt as adapt
    from rnnlm.combinations.mixing import Mixed as Mixed
    from rnnlm.combinations.mixing import mix as mix
    from rnnlm.combinations.mixture import Mixture as Mixture
    from rnnlm.combinations.static_mixing import mix_static as mix_static
    from rnnlm.combinations.tuning import tune as tune
    from rnnlm.errors import RnnlmError as RnnlmError
    from rnnlm.errors import RnnlmWarning as RnnlmWarning
    from rnnlm.evaluation.comparison.comparison import Comparison as Comparison
    from rnnlm.evaluation.comparison.settings import ComparisonSettings as ComparisonSettings
    from rnnlm.evaluation.learning_curves import LearningCurve as LearningCurve
    from rnnlm.evaluation.learning_curves import learning_curve as learning_curve
    from rnnlm.evaluation.learning_curves import plot_curves as plot_curves
    from rnnlm.evaluation.metrics import Evaluation as Evaluation
    from rnnlm.evaluation.perplexity import TextEvaluation as TextEvaluation
    from rnnlm.evaluation.run_report import report as report
    from rnnlm.evaluation.soundness import audit as audit
    from rnnlm.events import Checkpoint as Checkpoint
    from rnnlm.events import CheckpointSaved as CheckpointSaved
    from rnnlm.events import Counted as Counted
    from rnnlm.events import Estimated as Estimated
    from rnnlm.events import Evaluating as Evaluating
    from rnnlm.events import Event as Event
    from rnnlm.events import Finished as Finished
    from rnnlm.events import Fitted as Fitted
    from rnnlm.events import ModelSaved as ModelSaved
    from rnnlm.events import RolledBack as RolledBack
    from rnnlm.events import SaveFailed as SaveFailed
    from rnnlm.events import Started as Started
    from rnnlm.events import Step as Step
    from rnnlm.events import Validated as Validated
    from rnnlm.filtering.predicate import TextFilter as TextFilter
    from rnnlm.filtering.predicate import filter as filter
    from rnnlm.generation.autocomplete import next_words as next_words
    from rnnlm.generation.drawing import generate as generate
    from rnnlm.generation.search import likeliest as likeliest
    from rnnlm.generation.settings import BeamSettings as BeamSettings
    from rnnlm.generation.settings import SamplingSettings as SamplingSettings
    from rnnlm.inspection.activations import inspect_activations as inspect_activations
    from rnnlm.inspection.cloze import inspect_cloze as inspect_cloze
    from rnnlm.inspection.gates import inspect_gates as inspect_gates
    from rnnlm.inspection.gradcheck import inspect_gradcheck as inspect_gradcheck
    from rnnlm.inspection.gradients.flow import inspect_gradients as inspect_gradients
    from rnnlm.inspection.gradients.sensitivity import inspect_sensitivity as inspect_sensitivity
    from rnnlm.inspection.memory import inspect_memory as inspect_memory
    from rnnlm.inspection.neighbours import Analogy as Analogy
    from rnnlm.inspection.neighbours import Neighbours as Neighbours
    from rnnlm.inspection.neighbours import inspect_analogy as inspect_analogy
    from rnnlm.inspection.neighbours import inspect_neighbours as inspect_neighbours
    from rnnlm.inspection.probing import inspect_probe as inspect_probe
    from rnnlm.inspection.spectrum import inspect_spectrum as inspect_spectrum
    from rnnlm.inspection.step import inspect_step as inspect_step
    from rnnlm.inspection.surface import inspect_surface as inspect_surface
    from rnnlm.interface import LanguageModel as LanguageModel
    from rnnlm.model import Model as Model
    from rnnlm.model import load as load
    from rnnlm.models.loading import load_tokenizer as load_tokenizer
    from rnnlm.ngram.arpa.writing import export_arpa as export_arpa
    from rnnlm.ngram.arpa.writing import import_arpa as import_arpa
    from rnnlm.rescoring.files import read_nbest as read_nbest
    from rnnlm.rescoring.files import save_best as save_best
    from rnnlm.rescoring.files import save_nbest as save_nbest
    from rnnlm.rescoring.mert import Weights as Weights
    from rnnlm.rescoring.mert import read_weights as read_weights
    from rnnlm.rescoring.mert import save_weights as save_weights
    from rnnlm.rescoring.nbest import Hypothesis as Hypothesis
    from rnnlm.rescoring.nbest import Utterance as Utterance
    from rnnlm.rescoring.rescorer import Rescored as Rescored
    from rnnlm.rescoring.rescorer import cross_validate as cross_validate
    from rnnlm.rescoring.rescorer import gain_over as gain_over
    from rnnlm.rescoring.rescorer import rescore as rescore
    from rnnlm.rescoring.rescorer import tune_and_rescore as tune_and_rescore
    from rnnlm.rescoring.rescorer import tune_weights as tune_weights
    from rnnlm.rescoring.settings import ListSettings as ListSettings
    from rnnlm.rescoring.settings import RescoreSettings as RescoreSettings
    from rnnlm.rescoring.settings import TextMapping as TextMapping
    from rnnlm.runs import FinishedRun as FinishedRun
    from rnnlm.runs import History as History
    from rnnlm.runs import TrainingRun as TrainingRun
    from rnnlm.runs import fit as fit
    from rnnlm.runs import train as train
    from rnnlm.scoring.pairs.accuracy import accuracy_differences as accuracy_differences
    from rnnlm.scoring.pairs.accuracy import pair_accuracies as pair_accuracies
    from rnnlm.scoring.pairs.accuracy import score_set as score_set
    from rnnlm.scoring.pairs.files import read_pairs as read_pairs
    from rnnlm.scoring.pairs.pair import Pair as Pair
    from rnnlm.scoring.pairs.scoring import score_pairs as score_pairs
    from rnnlm.scoring.plots import plot_surprisals as plot_surprisals
    from rnnlm.scoring.records import SentenceScore as SentenceScore
    from rnnlm.scoring.rows import SentenceScores as SentenceScores
    from rnnlm.scoring.rows import score_rows as score_rows
    from rnnlm.scoring.scorer import score_chunks as score_chunks
    from rnnlm.scoring.scorer import score_sentences as score_sentences
    from rnnlm.scoring.sentences import Sentence as Sentence
    from rnnlm.scoring.sentences import read_sentences as read_sentences
    from rnnlm.scoring.settings import ScoringSettings as ScoringSettings
    from rnnlm.scoring.settings import SentenceSettings as SentenceSettings
    from rnnlm.scoring.several_models import score_models as score_models
    from rnnlm.scoring.word_scorer import WordPrefix as WordPrefix
    from rnnlm.scoring.word_scorer import WordScorer as WordScorer
    from rnnlm.scoring.word_scorer import scorer as scorer
    from rnnlm.tasks.evaluation import compare as compare
    from rnnlm.tasks.evaluation import evaluate as evaluate
    from rnnlm.tasks.labels.results import ClassifiedText as ClassifiedText
    from rnnlm.tasks.labels.results import LabelSequence as LabelSequence
    from rnnlm.tasks.labels.results import TaggedSentence as TaggedSentence
    from rnnlm.tasks.labels.tagging import classify as classify
    from rnnlm.tasks.labels.tagging import tag as tag
    from rnnlm.tasks.seq2seq.decoding import translate as translate
    from rnnlm.tasks.seq2seq.options import DecodingSettings as DecodingSettings
    from rnnlm.tasks.seq2seq.results import Attention as Attention
    from rnnlm.tasks.seq2seq.results import TranslatedLine as TranslatedLine
    from rnnlm.tasks.seq2seq.results import Translation as Translation
    from rnnlm.text.corpus import Corpus as Corpus
    from rnnlm.text.lines import TextSettings as TextSettings
    from rnnlm.text.normalisation import normalise as normalise
    from rnnlm.text.prepared.preparation import Prepared as Prepared
    from rnnlm.text.prepared.preparation import prepare as prepare
    from rnnlm.text.sources import SourceSettings as SourceSettings
    from rnnlm.training.grid import GridFinished as GridFinished
    from rnnlm.training.grid import GridRunEnded as GridRunEnded
    from rnnlm.training.grid import GridRunStarted as GridRunStarted
    from rnnlm.training.grid import train_grid as train_grid
    from rnnlm.vectors.embedding import EmbeddedLines as EmbeddedLines
    from rnnlm.vectors.embedding import embed as embed
    from rnnlm.vectors.embedding import embed_chunks as embed_chunks
    from rnnlm.vectors.learning import learn_vectors as learn_vectors
    from rnnlm.vectors.settings import EmbeddingSettings as EmbeddingSettings
    from rnnlm.vectors.word_vectors import WordVectors as WordVectors
    from rnnlm.vectors.word_vectors import read_vectors as read_vectors
    from rnnlm.vectors.word_vectors import save_vectors as save_vectors
    from rnnlm.vectors.word_vectors import word_vectors as word_vectors


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
