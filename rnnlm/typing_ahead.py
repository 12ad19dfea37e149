"""What may come after a text that somebody is typing: the likeliest next words, and whole continuations.

Where the model's tokens are words and the last word is not followed by white space, it counts as begun: the words that begin so are given.
Other models go on from the text as it is, with tokens.
"""

import math
from dataclasses import dataclass

import numpy as np

from rnnlm.corpus import WORD_SPACE
from rnnlm.drawing import predict, read_prompt
from rnnlm.generation import encoded_prompt, generate
from rnnlm.interface import LanguageModel
from rnnlm.sampling import SamplingSettings


@dataclass(frozen=True)
class NextWord:
    """A word (or token) that may come next, its probability, and the whole text with it."""

    word: str
    probability: float
    text: str


def next_words(model: LanguageModel, text: str, count: int = 10) -> list[NextWord]:
    """The `count` likeliest next words after `text`, likeliest first; fewer where no more begin like what is typed.

    Raises:
        TextError: the text holds a newline or `</s>`.
    """
    before, begun = _split(model, text)
    tokenizer = model.tokenizer
    ids = encoded_prompt(model, before)
    start = read_prompt(model, ids)
    [logprob_V], _ = predict(model, np.array([start.last_input]), start.before)
    symbols, found = tokenizer.symbols(), []
    for id in np.argsort(-logprob_V, kind="stable").tolist():
        if id == tokenizer.unk_id or not symbols[id].startswith(begun):
            continue
        if len(found) == count or logprob_V[id] == -np.inf:
            break
        is_end = id == tokenizer.boundary_id
        found.append(NextWord(symbols[id], math.exp(logprob_V[id]), before if is_end else tokenizer.decode([*ids.tolist(), id])))
    return found


def continuations(model: LanguageModel, text: str, num: int, settings: SamplingSettings) -> list[str]:
    """`num` samples that begin with `text`; a word that is begun becomes the likeliest one that begins so, if there is one."""
    _, begun = _split(model, text)
    if begun and (ends := next_words(model, text, 1)):
        text = ends[0].text
    return [sample.text for sample in generate(model, prompt=text, num=num, settings=settings)]


def _split(model: LanguageModel, text: str) -> tuple[str, str]:
    """The text up to the word that is begun, and that word as the model would write it."""
    if not text or text[-1] in WORD_SPACE or not np.all(model.tokenizer.starts_word_V):
        return text, ""
    begun = model.tokenizer.surface(text)[-2]
    return text[: len(text) - len(begun)], begun
