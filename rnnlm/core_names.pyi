"""The public names, for type checkers and for `rnnlm/__init__.py`, which imports each one on first
use. The `as` makes them count as exported."""

from .arrays import as_numpy as as_numpy
from .errors import RnnlmError as RnnlmError
from .errors import RnnlmWarning as RnnlmWarning
from .evaluation.comparison.pairing import Comparison as Comparison
from .evaluation.comparison.settings import ComparisonSettings as ComparisonSettings
from .evaluation.evaluate import compare as compare
from .evaluation.metrics import Evaluation as Evaluation
from .evaluation.perplexity import TextEvaluation as TextEvaluation
from .events import Chosen as Chosen
from .events import Event as Event
from .events import Finished as Finished
from .events import Step as Step
from .events import Validated as Validated
from .interface import LanguageModel as LanguageModel
from .lm.base.loading import load_tokenizer as load_tokenizer
from .model import Model as Model
from .model import load as load
from .runs import FinishedRun as FinishedRun
from .runs import TrainingRun as TrainingRun
from .runs import train as train
from .scoring.prefixes import WordScorer as WordScorer
from .scoring.sentence_scores import SentenceScore as SentenceScore
from .scoring.sentences import Sentence as Sentence
from .scoring.sentences import read_sentences as read_sentences
from .scoring.settings import SentenceSettings as SentenceSettings
from .text.corpus import Corpus as Corpus
from .text.lines import TextSettings as TextSettings
from .text.normalisation import normalise as normalise
from .text.sources import SourceSettings as SourceSettings
from .training.imported import import_arpa as import_arpa
from .version import __version__ as __version__
