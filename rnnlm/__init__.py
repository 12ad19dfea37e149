"""rnnlm: language modelling from Python. The names below are the public ones; each is imported when first used.

>>> import rnnlm
>>> model = rnnlm.load()                                                   # doctest: +SKIP
>>> rnnlm.score_sentences(model, ["recognize speech"])[0].logprob_nats     # doctest: +SKIP
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "BeamSettings": "rnnlm.beam_search",
    "Comparison": "rnnlm.comparison",
    "ComparisonSettings": "rnnlm.comparison",
    "Corpus": "rnnlm.corpus",
    "Counted": "rnnlm.events",
    "Estimated": "rnnlm.events",
    "Evaluation": "rnnlm.evaluation",
    "Finished": "rnnlm.events",
    "Hypothesis": "rnnlm.nbest",
    "Kept": "rnnlm.events",
    "LanguageModel": "rnnlm.interface",
    "ListSettings": "rnnlm.nbest",
    "Mixed": "rnnlm.mixing",
    "Mixture": "rnnlm.mixture",
    "Pair": "rnnlm.minimal_pairs",
    "Prepared": "rnnlm.preparation",
    "RescoreSettings": "rnnlm.rescoring",
    "Rescored": "rnnlm.rescoring",
    "RnnlmError": "rnnlm.errors",
    "RnnlmWarning": "rnnlm.errors",
    "SamplingSettings": "rnnlm.sampling",
    "Saved": "rnnlm.events",
    "ScoringSettings": "rnnlm.score_records",
    "Sentence": "rnnlm.sentences",
    "SentenceScore": "rnnlm.score_records",
    "SourceSettings": "rnnlm.sources",
    "Started": "rnnlm.events",
    "Step": "rnnlm.events",
    "TextMapping": "rnnlm.hypothesis_features",
    "TextSettings": "rnnlm.corpus",
    "Utterance": "rnnlm.nbest",
    "Validated": "rnnlm.events",
    "Weights": "rnnlm.rescoring_weights",
    "adapt": "rnnlm.adaptation",
    "audit": "rnnlm.auditing",
    "compare": "rnnlm.comparison",
    "cross_validate": "rnnlm.rescoring",
    "evaluate": "rnnlm.evaluation",
    "export_arpa": "rnnlm.exchange",
    "gain_over": "rnnlm.rescoring",
    "generate": "rnnlm.generation",
    "import_arpa": "rnnlm.exchange",
    "likeliest": "rnnlm.beam_search",
    "load": "rnnlm.loading",
    "load_adapted": "rnnlm.adaptation",
    "mix": "rnnlm.mixing",
    "next_words": "rnnlm.typing_ahead",
    "pair_accuracies": "rnnlm.minimal_pairs",
    "prepare": "rnnlm.preparation",
    "read_nbest": "rnnlm.nbest_files",
    "read_pairs": "rnnlm.minimal_pairs",
    "read_sentences": "rnnlm.sentence_sources",
    "read_weights": "rnnlm.rescoring_weights",
    "rescore": "rnnlm.rescoring",
    "save_best": "rnnlm.nbest_output",
    "save_nbest": "rnnlm.nbest_output",
    "save_weights": "rnnlm.rescoring_weights",
    "score_chunks": "rnnlm.scoring",
    "score_pairs": "rnnlm.minimal_pairs",
    "score_sentences": "rnnlm.scoring",
    "score_set": "rnnlm.minimal_pairs",
    "train": "rnnlm.training",
    "tune": "rnnlm.tuning",
    "tune_and_rescore": "rnnlm.rescoring",
    "tune_weights": "rnnlm.rescoring",
}
__all__ = ["__version__", *sorted(_PUBLIC)]

if TYPE_CHECKING:
    from rnnlm.adaptation import adapt, load_adapted
    from rnnlm.auditing import audit
    from rnnlm.beam_search import BeamSettings, likeliest
    from rnnlm.comparison import Comparison, ComparisonSettings, compare
    from rnnlm.corpus import Corpus, TextSettings
    from rnnlm.errors import RnnlmError, RnnlmWarning
    from rnnlm.evaluation import Evaluation, evaluate
    from rnnlm.events import Counted, Estimated, Finished, Kept, Saved, Started, Step, Validated
    from rnnlm.exchange import export_arpa, import_arpa
    from rnnlm.generation import generate
    from rnnlm.hypothesis_features import TextMapping
    from rnnlm.interface import LanguageModel
    from rnnlm.loading import load
    from rnnlm.minimal_pairs import Pair, pair_accuracies, read_pairs, score_pairs, score_set
    from rnnlm.mixing import Mixed, mix
    from rnnlm.mixture import Mixture
    from rnnlm.nbest import Hypothesis, ListSettings, Utterance
    from rnnlm.nbest_files import read_nbest
    from rnnlm.nbest_output import save_best, save_nbest
    from rnnlm.preparation import Prepared, prepare
    from rnnlm.rescoring import RescoreSettings, Rescored, cross_validate, gain_over, rescore, tune_and_rescore, tune_weights
    from rnnlm.rescoring_weights import Weights, read_weights, save_weights
    from rnnlm.sampling import SamplingSettings
    from rnnlm.score_records import ScoringSettings, SentenceScore
    from rnnlm.scoring import score_chunks, score_sentences
    from rnnlm.sentence_sources import read_sentences
    from rnnlm.sentences import Sentence
    from rnnlm.sources import SourceSettings
    from rnnlm.training import train
    from rnnlm.tuning import tune
    from rnnlm.typing_ahead import next_words


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'rnnlm' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
