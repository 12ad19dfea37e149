"""The scorer of lines that grow word by word (:mod:`rnnlm.inference.word_prefixes`), of a model or of its name."""

from pathlib import Path

from rnnlm.inference.word_prefixes import WordScorer
from rnnlm.interface import LanguageModel
from rnnlm.models.loading import model_of


def scorer(model: LanguageModel | str | Path) -> WordScorer:
    """A scorer of lines that grow word by word under `model`, of any kind: n-grams, networks, mixtures, models that adapt themselves.

    model: a language model, or the name of one, which is then loaded.

    Raises:
        ModelError: there is no such model.
    """
    return WordScorer(model_of(model))
