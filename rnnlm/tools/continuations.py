"""Score continuations of texts: how likely a given one is, whether greedy decoding would write it,
and the model's own continuation.

A text is read from the initial state. Its newlines are the boundary `</s>`, as in training; blank
lines are left out. White space at the end of a context belongs to the continuation. If the
continuation begins inside a word, the context alone may have other tokens than the two together.
Then the text is cut there if its subwords allow it; otherwise the continuation is read as new
words, with a notice.
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rnnlm.amounts import plural
from rnnlm.errors import first_of, notice
from rnnlm.interface import LanguageModel, Tokenizer
from rnnlm.lm.base import span_scoring
from rnnlm.scoring import prefixes
from rnnlm.scoring.generation.drawing import DrawnText, TextStarts, draw_in_steps, stream
from rnnlm.scoring.generation.sampling import SamplingSettings
from rnnlm.text.lines import check_reserved, is_blank

ROWS = 32  # texts that are written side by side
UNKNOWN_SHOWN = 5


@dataclass(frozen=True)
class ContinuationScore:
    """The score of a continuation. logprob_nats: -inf if a token has probability zero. is_greedy:
    whether each token is the likeliest at its place."""

    logprob_nats: float
    is_greedy: bool
    tokens: int


@dataclass
class _PairReader:
    """Turns texts into tokens. Counts unknown tokens and words that were cut."""

    tokenizer: Tokenizer
    special_symbols: str
    unknown: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    cut_words: int = 0

    def ids(self, text: str) -> np.ndarray:
        """Return the tokens of `text`, with a boundary at its end only if its last line ended
        there."""
        lines = [line.removesuffix("\r") for line in text.split("\n")]
        hint = "remove it, or give special_symbols=drop or replace"
        kept = [
            check_reserved(line, "the text", self.special_symbols, hint)
            for line in lines
            if not is_blank(line)
        ]
        encoded = self.tokenizer.encode(kept)

        # A tokenizer that spells reads unknown words by their characters: nothing is lost.
        if len(encoded.oov) and not self.tokenizer.spells:
            surface = list(itertools.chain.from_iterable(map(self.tokenizer.surface, kept)))
            self.unknown.update(surface[at] for at in encoded.oov)

        ids = encoded.ids if is_blank(lines[-1]) else encoded.ids[:-1]
        self.tokens += len(ids)
        return ids

    def pair(self, context: str, continuation: str) -> tuple[np.ndarray, int]:
        """Return the tokens of both texts together, and the place where the tokens of the
        continuation begin."""
        both = self.ids(context + continuation)
        apart = _PairReader(self.tokenizer, self.special_symbols)  # its counts are dropped
        before = apart.ids(context.rstrip())
        fits = len(both) >= len(before) and bool((both[: len(before)] == before).all())

        if self.tokenizer.name == "word":
            # The cut may be inside a word. If that word and both its parts are unknown, all are the
            # same token, so compare the numbers of tokens, too.
            is_inside = context and not context[-1].isspace() and not continuation[:1].isspace()
            if fits and is_inside:
                fits = len(both) == len(before) + len(apart.ids(continuation))
        else:
            # Subwords may be split differently across the cut. The continuation then begins after
            # as many tokens as the context has by itself.
            fits = fits or len(both) > len(before)
        if fits:
            return both, len(before)

        self.cut_words += 1
        return np.concatenate([before, self.ids(continuation)]), len(before)

    def warn(self) -> None:
        """Send notices of unknown tokens and of words that were cut."""
        if self.unknown:
            of_all = f"of {self.tokens:,} tokens"
            notice(
                plural(self.unknown.total(), f"{of_all} is", f"{of_all} are") + " unknown to the "
                f"model, read as <unk>: {first_of(list(self.unknown), UNKNOWN_SHOWN)}"
            )
        if self.cut_words:
            notice(
                f"{self.cut_words:,} continuations begin inside a word of the context; they were "
                "read as new words"
            )


def score_continuations(
    model: LanguageModel, pairs: Iterable[tuple[str, str]], special_symbols: str = "error"
) -> list[ContinuationScore]:
    """Score the continuation of each (context, continuation), and return the scores in that order.

    Beginnings that texts share are read once; scores do not depend on the batches. An empty context
    is the start of a text; an empty continuation has probability one.
    """
    reader = _PairReader(model.tokenizer, special_symbols)
    read = [reader.pair(context, continuation) for context, continuation in pairs]
    reader.warn()

    # Read all of them, and compare only where continuations are.
    ids, spans = _side_by_side([text for text, _ in read], model.tokenizer.boundary_id)
    begin_S = np.array([begin for _, begin in read], dtype=np.int64)
    logprob_N, is_likeliest_N = prefixes.score_and_compare(model, ids, spans, begin_S)
    span_scoring.check_scores(logprob_N)
    return [
        ContinuationScore(
            logprob_nats=math.fsum(logprob_N[start + begin : end]),
            is_greedy=bool(is_likeliest_N[start + begin : end].all()),
            tokens=end - start - begin,
        )
        for (start, end), begin in zip(spans.tolist(), begin_S.tolist(), strict=True)
    ]


def score_texts(
    model: LanguageModel, texts: Iterable[str], special_symbols: str = "error"
) -> list[float]:
    """Return log p (nats) of each text, of any length, from the initial state. The end of the text
    is not scored."""
    reader = _PairReader(model.tokenizer, special_symbols)
    read = [reader.ids(text) for text in texts]
    reader.warn()
    ids, spans = _side_by_side(read, model.tokenizer.boundary_id)
    logprob_N = span_scoring.score_spans(model, ids, spans)
    span_scoring.check_scores(logprob_N)
    return [math.fsum(logprob_N[start:end]) for start, end in spans.tolist()]


def continue_texts(
    model: LanguageModel, contexts: Sequence[str], stops: Sequence[str] = (),
    settings: SamplingSettings = SamplingSettings(temperature=0),
    special_symbols: str = "error",
) -> list[str]:  # fmt: skip
    """Have the model write after each context, until the line ends, or before one of `stops`. The
    setting `running` has no effect."""
    reader = _PairReader(model.tokenizer, special_symbols)
    read = [reader.ids(context) for context in contexts]
    reader.warn()

    # Write some texts at a time, texts of about the same length together.
    settings = replace(settings, running=False)
    stops = [stop for stop in stops if stop]
    rows = min(ROWS, model.max_rows or ROWS)
    by_length = sorted(range(len(read)), key=lambda number: len(read[number]))
    written = [""] * len(read)
    for first in range(0, len(read), rows):
        numbers = by_length[first : first + rows]
        texts = [read[number] for number in numbers]
        continued = _continue_batch(model, texts, numbers, stops, settings)
        for number, text in zip(numbers, continued, strict=True):
            written[number] = text
    return written


def _side_by_side(texts: Sequence[np.ndarray], boundary_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Join the texts in one array, and return it with the span of each.

    A boundary comes after each text, outside its span: the next text begins after it.
    """
    length_S = np.array([len(text) for text in texts], dtype=np.int64)
    end_S = np.cumsum(length_S + 1) - 1
    ids = np.full(length_S.sum() + len(texts), boundary_id, dtype=np.int64)
    for text, end in zip(texts, end_S.tolist(), strict=True):
        ids[end - len(text) : end] = text
    return ids, np.stack([end_S - length_S, end_S], axis=1)


def _continue_batch(
    model: LanguageModel,
    texts: Sequence[np.ndarray],
    numbers: Sequence[int],
    stops: Sequence[str],
    settings: SamplingSettings,
) -> list[str]:
    """Write after each of `texts`, which are sorted by length, side by side. The number of a text
    selects its random stream."""
    # Read the contexts but for their last tokens, contexts of one length together.
    last_inputs, states = [], []
    for _, same in itertools.groupby(texts, key=len):
        ids_BT = np.stack([*same])
        boundary_B1 = np.full((len(ids_BT), 1), model.tokenizer.boundary_id, dtype=np.int64)
        inputs_BT = np.concatenate([boundary_B1, ids_BT], axis=1)
        states.append(span_scoring.read_on(model, inputs_BT, model.initial_state(len(inputs_BT))))
        last_inputs.append(inputs_BT[:, -1])
    limits_S = np.full(len(texts), settings.max_tokens)
    starts = TextStarts(
        model.concat_states(states), np.concatenate(last_inputs), limits_S, tuple(texts)
    )

    # Write token by token. A text that comes to a stop has ended, too.
    lines = [_last_line(ids, model.tokenizer.boundary_id) for ids in texts]
    continuations = [""] * len(texts)
    undrawn = [
        DrawnText(place, stream(settings.seed, number), place)
        for place, number in enumerate(numbers)
    ]
    for drawn in draw_in_steps(model, starts, undrawn, settings):
        for text in drawn:
            new_tokens = text.ids[:-1] if text.ended else text.ids
            shown = added_text(model.tokenizer, lines[text.number], new_tokens)
            places = [place for place in map(shown.find, stops) if place >= 0]
            continuations[text.number] = shown[: min(places)] if places else shown
            text.is_finished |= bool(places)
    return continuations


def _last_line(ids: np.ndarray, boundary_id: int) -> list[int]:
    """Return the tokens after the last boundary."""
    ends = np.flatnonzero(ids == boundary_id)
    return ids[ends[-1] + 1 if len(ends) else 0 :].tolist()


def added_text(tokenizer: Tokenizer, line: list[int], new_tokens: list[int]) -> str:
    """Return the text that `new_tokens` adds to `line`, spaces between the two included."""
    # Decoded together, so that a space between the two is kept; a tokenizer may write the beginning
    # differently then.
    before = tokenizer.decode(line)
    whole = tokenizer.decode([*line, *new_tokens])
    return whole[len(before) :] if whole.startswith(before) else tokenizer.decode(new_tokens)
