"""For mypy: each model of the library is a `LanguageModel`."""

from rnnlm.combinations.dynamic_evaluation import DynamicEvaluation, DynamicState
from rnnlm.combinations.mixture import Mixture, MixtureState
from rnnlm.combinations.neural_cache import NeuralCache, NeuralCacheState
from rnnlm.combinations.unigram_cache import UnigramCache, UnigramCacheState
from rnnlm.interface import HiddenStateModel, LanguageModel
from rnnlm.neural.language_model import NeuralLanguageModel, NeuralState
from rnnlm.ngram.model import NgramModel, NgramState
from rnnlm.ngram.unigram import EmptyState, UnigramModel


def as_language_models(
    ngram: NgramModel,
    unigram: UnigramModel,
    network: NeuralLanguageModel,
    mixture: Mixture,
    word_cache: UnigramCache,
    neural_cache: NeuralCache,
    dynamic: DynamicEvaluation,
) -> None:
    _ngram: LanguageModel[NgramState] = ngram
    _unigram: LanguageModel[EmptyState] = unigram
    _network: HiddenStateModel[NeuralState] = network
    _mixture: LanguageModel[MixtureState] = mixture
    _word_cache: LanguageModel[UnigramCacheState] = word_cache
    _neural_cache: LanguageModel[NeuralCacheState] = neural_cache
    _dynamic: LanguageModel[DynamicState] = dynamic
