"""Texts drawn from a language model, with reproducible samples and banned words.

Each sample has a random stream of its own (Philox, keyed by seed and sample number); so sample 3 of seed 1 is the same text
whether 4 samples or 400 are drawn.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnlm.errors import notice
from rnnlm.generation.loop import DrawnText, check_streams, draw_texts, stream
from rnnlm.generation.sampling import SamplingSettings
from rnnlm.generation.starts import read_prompt
from rnnlm.generation.word_constraints import Ban
from rnnlm.inference.direction import check_reads_forward
from rnnlm.interface import LanguageModel
from rnnlm.models.loading import language_model_of
from rnnlm.text.lines import check_reserved


@dataclass(frozen=True)
class Sample:
    """One drawn text. logprob_nats is the model's own, of the drawn tokens; `complete`: it ended in `</s>`."""

    number: int
    text: str
    tokens: int
    logprob_nats: float
    complete: bool


def generate(
    model: LanguageModel | str | Path, *, prompt: str = "", num: int = 1, settings: SamplingSettings = SamplingSettings(),
    ban: Sequence[str] = (), as_finished: bool = False,
) -> Iterator[Sample]:  # fmt: skip
    """`num` samples that begin with `prompt`, in the order of their numbers, or else as they finish.

    model: a language model, or the name of one, which is then loaded anew by each call.
    A sample is a sentence, or with `settings.running` a text of max_tokens tokens in which each `</s>` is a newline. ban: words
    that are not drawn (:mod:`rnnlm.generation.word_constraints`).

    Raises:
        SettingsError: `num` is below 1, or the seed too large. TextError: the prompt holds a newline or `</s>`.
        UsageError: a word to ban is not one word, or stands in the prompt; nothing is left that may be drawn.
        ModelError: there is no such model, or its scores are not numbers.
    """
    check_streams(num, settings.seed)
    model = language_model_of(model)
    check_reads_forward(model.tokenizer, "generate text")
    banned = Ban(model.tokenizer, ban, settings.unknown)
    prompt_ids = encoded_prompt(model, prompt)
    banned.check_prompt(prompt_ids.tolist())
    undrawn = (DrawnText(number, stream(settings.seed, number)) for number in range(num))
    texts = draw_texts(model, read_prompt(model, prompt_ids, settings.max_tokens), undrawn, num, settings, banned)
    for text in texts if as_finished else _in_order(texts):
        decoded = model.tokenizer.decode([*prompt_ids.tolist(), *text.ids])
        yield Sample(text.number, decoded, len(text.ids), text.logprob_nats, text.ended)


def encoded_prompt(model: LanguageModel, prompt: str) -> np.ndarray:
    """The prompt's tokens without a boundary at the end; words read as unknown ones are named in a notice.

    Raises:
        TextError: it holds a newline, `<s>` or `</s>`.
    """
    if not prompt:  # some tokenizers begin every line with a piece of its own, which nobody asked to begin with here
        return np.zeros(0, dtype=np.int32)
    encoded = model.tokenizer.encode([check_reserved(prompt, "the prompt", "error", "remove it")])
    if len(encoded.oov) and not model.tokenizer.spells:
        surface = model.tokenizer.surface(prompt)
        unknown = ", ".join(dict.fromkeys(surface[at] for at in encoded.oov))
        notice(f"the prompt has words the model does not know, read as <unk>: {unknown}")
    return encoded.ids[:-1]


def _in_order(texts: Iterable[DrawnText]) -> Iterator[DrawnText]:
    """The texts by number, each as soon as those before it are there."""
    early: dict[int, DrawnText] = {}
    number = 0
    for text in texts:
        early[text.number] = text
        while number in early:
            yield early.pop(number)
            number += 1
