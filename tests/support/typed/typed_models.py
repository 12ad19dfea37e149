"""For mypy: each model of the library is a `LanguageModel`."""

from rnnlm.interface import HiddenStateModel, LanguageModel
from rnnlm.lm.neural.trained_network import NeuralLanguageModel, NeuralState
from rnnlm.lm.ngram.model import NgramModel, NgramState
from rnnlm.lm.ngram.unigram import EmptyState, UnigramModel
from rnnlm.tools.mixtures.dynamic_evaluation import DynamicEvaluation, DynamicState
from rnnlm.tools.mixtures.mixture import Mixture, MixtureState
from rnnlm.tools.mixtures.neural_cache import NeuralCache, NeuralCacheState
from rnnlm.tools.mixtures.unigram_cache import UnigramCache, UnigramCacheState


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
