"""The public names, for type checkers. Written by tests/support/satellite_files.py."""

from .arrays import as_numpy as as_numpy
from .errors import RnnlmError as RnnlmError, RnnlmWarning as RnnlmWarning
from .evaluation.comparison.pairing import Comparison as Comparison
from .evaluation.comparison.settings import ComparisonSettings as ComparisonSettings
from .evaluation.evaluate import compare as compare
from .evaluation.learning_curves import plot_curves as plot_curves
from .evaluation.metrics import Evaluation as Evaluation
from .evaluation.perplexity import TextEvaluation as TextEvaluation
from .evaluation.scorer_checks import check_scorer as check_scorer
from .events import (
    Chosen as Chosen,
    Event as Event,
    Finished as Finished,
    Step as Step,
    Validated as Validated,
)
from .interface import LanguageModel as LanguageModel
from .lm.base.loading import load_tokenizer as load_tokenizer
from .model import Model as Model, load as load
from .runs import FinishedRun as FinishedRun, TrainingRun as TrainingRun, train as train
from .scoring.pairs.pair import Pair as Pair, read_pairs as read_pairs
from .scoring.prefixes import WordScorer as WordScorer
from .scoring.sentence_scores import SentenceScore as SentenceScore
from .scoring.sentences import Sentence as Sentence, read_sentences as read_sentences
from .scoring.settings import SentenceSettings as SentenceSettings
from .tasks.seq2seq.options import DecodingSettings as DecodingSettings
from .text.corpus import Corpus as Corpus
from .text.lines import TextSettings as TextSettings
from .text.normalisation import normalise as normalise
from .text.prepared.preparation import prepare as prepare
from .text.sources import SourceSettings as SourceSettings
from .tools.filtering.predicate import filter as filter
from .tools.reading.analysis import ReadingAnalysis as ReadingAnalysis, reading as reading
from .tools.rescoring.features import read_weights as read_weights, save_weights as save_weights
from .tools.rescoring.files import read_nbest as read_nbest, save_nbest as save_nbest
from .tools.rescoring.nbest import Hypothesis as Hypothesis, Utterance as Utterance
from .tools.rescoring.rescorer import rescore as rescore, tune_weights as tune_weights
from .tools.rescoring.settings import (
    ListSettings as ListSettings,
    RescoreSettings as RescoreSettings,
    TextMapping as TextMapping,
)
from .tools.vectors.word_vectors import (
    WordVectors as WordVectors,
    learn_vectors as learn_vectors,
    read_vectors as read_vectors,
)
from .training.derived.mixing import mix as mix
from .training.derived.ngram_models import import_arpa as import_arpa, mix_static as mix_static
from .training.grid import (
    GridFinished as GridFinished,
    GridRunEnded as GridRunEnded,
    train_grid as train_grid,
)
from .training.run_report import report as report
from .version import __version__ as __version__
