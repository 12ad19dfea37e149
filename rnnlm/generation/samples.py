"""Samples of many texts at once, from the states that they are given."""

from collections.abc import Sequence

from rnnlm.generation.loop import DrawnText, check_streams, draw_texts, stream
from rnnlm.generation.sampling import SamplingSettings
from rnnlm.generation.starts import Found, Starts
from rnnlm.generation.word_constraints import Ban
from rnnlm.interface import LanguageModel


def draw_samples(
    model: LanguageModel, starts: Starts, num: int = 1, settings: SamplingSettings = SamplingSettings(), ban: Ban | None = None,
    numbers: Sequence[int] | None = None,
) -> list[list[Found]]:  # fmt: skip
    """For each text `num` samples, in the order of their numbers.

    Each sample has a random stream of its own, by the seed, the number of its text and its own number; so it does not depend on the texts
    beside it, as far as :mod:`rnnlm.generation.loop` promises and the states of the starts do not. Sample n of text 0 from the model's
    initial state is sample n of :func:`rnnlm.generate`. The starts' limits hold, not `settings.max_tokens`.

    ban: what must not be drawn; None: <unk>, where `settings` forbid it. numbers: what the texts are called in their streams, such as
    their places in a file of which these are a batch; None: 0, 1 and so on.

    Raises:
        SettingsError: `num` is below 1, or the seed too large. UsageError: nothing is left that may be drawn. ModelError: the model's
            scores are not numbers.
    """
    check_streams(num, settings.seed)
    called = range(len(starts)) if numbers is None else numbers
    if not len(starts):
        return []
    undrawn = (
        DrawnText(number, stream(settings.seed, number, text), start)
        for start, text in zip(range(len(starts)), called, strict=True)
        for number in range(num)
    )
    banned = Ban(model.tokenizer, (), settings.unknown) if ban is None else ban
    drawn = draw_texts(model, starts, undrawn, len(starts) * num, settings, banned)
    in_order = sorted(drawn, key=lambda text: (text.start, text.number))
    found = [Found(tuple(text.ids), text.logprob_nats, text.logprob_nats, text.ended) for text in in_order]
    return [found[first : first + num] for first in range(0, len(found), num)]
