"""A kind of model to which all words are equally likely."""

import time
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from rnnlm.config import Positive, about
from rnnlm.lm.ngram import unigram
from rnnlm.registry import Kind


@dataclass(frozen=True)
class FlatSettings:
    """A model to which all words are equally likely."""

    model: Annotated[Literal["flat"], about("kind of model")] = "flat"
    pseudocount: Annotated[Positive, about("count that each word has")] = 1.0


class FlatModel(unigram.UnigramModel):
    """A unigram model with one probability."""

    model_kind = "flat"


def fit(resolved, data, stop=None, initial=None, save=None):
    """Count nothing."""
    began = time.perf_counter()
    added = resolved.make(FlatSettings).pseudocount
    model = FlatModel.from_counts(np.zeros(data.tokenizer.size), added, data.tokenizer)
    tokens = data.train.tokens
    yield from unigram.last_events(model, data.valid, tokens, lambda: time.perf_counter() - began)


def from_arrays(settings, tokenizer, arrays, device, fingerprint):
    """Make the model of its arrays."""
    return FlatModel(arrays["logprob"], tokenizer, fingerprint)


class Flat(Kind):
    """The kind."""

    family = "ngram"
    settings = (FlatSettings,)
    fit = staticmethod(fit)
    array_shapes = staticmethod(unigram.array_shapes)
    from_arrays = staticmethod(from_arrays)


KINDS = [Flat("flat", "all words are equally likely", frozenset({"text"}))]
