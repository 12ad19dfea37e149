"""Texts that go on after others: how likely a given continuation is, whether it is the likeliest,
and what the model itself writes.

A text is read from the initial state. Its newlines are the boundary `</s>`, as they were in
training; blank lines are left out. White space at the end of a context belongs to the continuation.
A continuation that goes on inside a word, so that the context alone has other tokens than the two
together, is cut where subwords allow it and read as new words otherwise, with a notice.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from rnnlm.errors import notice
from rnnlm.generation.drawing import stream
from rnnlm.generation.sampling import draw
from rnnlm.generation.settings import SamplingSettings
from rnnlm.generation.word_constraints import Ban
from rnnlm.inference import prefixes, span_scoring
from rnnlm.inference.distributions import predict
from rnnlm.inference.span_scoring import check_reads_forward
from rnnlm.interface import LanguageModel, State, Tokenizer
from rnnlm.text.lines import check_reserved, is_blank

ROWS = 32  # texts that are written side by side
UNKNOWN_SHOWN = 5


@dataclass(frozen=True)
class ContinuationScore:
    """logprob_nats: of the continuation, -inf where a token has probability zero. is_greedy: each
    token is the likeliest there."""

    logprob_nats: float
    is_greedy: bool
    tokens: int


@dataclass
class _Reader:
    """Texts to tokens; remembers what was not known."""

    tokenizer: Tokenizer
    special_symbols: str
    unknown: dict[str, int] = field(default_factory=dict)
    tokens: int = 0
    cut_words: int = 0

    def __post_init__(self) -> None:
        check_reads_forward(self.tokenizer, "score or write continuations of a text")

    def ids(self, text: str) -> np.ndarray:
        """The tokens of `text`, a boundary at its end only where a line ended there.

        Raises:
            TextError: it holds `<s>` or `</s>`, and special_symbols is "error".
        """
        lines = [line.removesuffix("\r") for line in text.split("\n")]
        hint = "remove it, or give special_symbols=drop or replace"
        kept = [
            check_reserved(line, "the text", self.special_symbols, hint)
            for line in lines
            if not is_blank(line)
        ]
        encoded = self.tokenizer.encode(kept)
        if len(encoded.oov) and not self.tokenizer.spells:
            surface = [token for line in kept for token in self.tokenizer.surface(line)]
            for at in encoded.oov:
                self.unknown[surface[at]] = self.unknown.get(surface[at], 0) + 1
        ids = encoded.ids if is_blank(lines[-1]) else encoded.ids[:-1]
        self.tokens += len(ids)
        return ids

    def pair(self, context: str, continuation: str) -> tuple[np.ndarray, int]:
        """The tokens of both, and where those of the continuation begin."""
        both = self.ids(context + continuation)
        again = _Reader(self.tokenizer, self.special_symbols)
        before = again.ids(context.rstrip())
        fits = len(both) >= len(before) and bool((both[: len(before)] == before).all())
        if (
            self.tokenizer.name == "word"
            and context
            and not context[-1].isspace()
            and not continuation[:1].isspace()
        ):
            # unknown words, cut or not, look alike
            fits = fits and len(both) == len(before) + len(again.ids(continuation))
        elif self.tokenizer.name != "word":
            fits = fits or len(both) > len(before)
        if fits:
            return both, len(before)
        self.cut_words += 1
        return np.concatenate([before, self.ids(continuation)]), len(before)

    def warn(self) -> None:
        """Notices of unknown words and of words that were cut."""
        if self.unknown:
            names = ", ".join(list(self.unknown)[:UNKNOWN_SHOWN]) + (
                ", ..." if len(self.unknown) > UNKNOWN_SHOWN else ""
            )
            notice(
                f"{sum(self.unknown.values()):,} of {self.tokens:,} tokens are unknown to the "
                f"model, read as <unk>: {names}"
            )
        if self.cut_words:
            notice(
                f"{self.cut_words:,} continuations go on inside a word of the context; they "
                "were read as words of their own"
            )


def score_continuations(
    model: LanguageModel, pairs: Iterable[tuple[str, str]], special_symbols: str = "error"
) -> list[ContinuationScore]:
    """The scores of (context, continuation), in their order, whatever the batches; what texts share
    at their beginnings is read once. An empty context is the start of a text; an empty continuation
    has probability one.

    Raises:
        TextError: a text holds `<s>` or `</s>` (see `special_symbols`). ModelError: the model's
            scores are not numbers.
    """
    reader = _Reader(model.tokenizer, special_symbols)
    read = [reader.pair(*pair) for pair in pairs]
    reader.warn()
    ids, spans = _side_by_side([text for text, _ in read], model.tokenizer.boundary_id)
    begins = np.array([begin for _, begin in read], dtype=np.int64)
    logprob_N, is_likeliest_N = prefixes.score_and_compare(model, ids, spans, begins)
    span_scoring.check_scores(logprob_N)
    asked = [
        slice(start + begin, end)
        for (start, end), begin in zip(spans.tolist(), begins.tolist(), strict=True)
    ]
    return [
        ContinuationScore(
            math.fsum(logprob_N[at]), bool(is_likeliest_N[at].all()), at.stop - at.start
        )
        for at in asked
    ]


def score_texts(
    model: LanguageModel, texts: Iterable[str], special_symbols: str = "error"
) -> list[float]:
    """log p (nats) of each text, of any length, from the initial state; its end is no event.

    Raises:
        TextError: a text holds `<s>` or `</s>` (see `special_symbols`). ModelError: the model's
            scores are not numbers.
    """
    reader = _Reader(model.tokenizer, special_symbols)
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
    """What the model writes after each context: until the line ends, or one of `stops` comes, which
    is left out. Of `settings`, `running` and `repetition_penalty` have no meaning here.

    Raises:
        TextError: a context holds `<s>` or `</s>` (see `special_symbols`). ModelError: the model's
            scores are not numbers.
    """
    reader = _Reader(model.tokenizer, special_symbols)
    read = [reader.ids(context) for context in contexts]
    reader.warn()
    rows = min(ROWS, model.max_rows or ROWS)
    by_length = sorted(range(len(read)), key=lambda number: len(read[number]))
    written = [""] * len(read)
    for first in range(0, len(read), rows):
        numbers = by_length[first : first + rows]
        texts = _write(
            model,
            [read[number] for number in numbers],
            numbers,
            [stop for stop in stops if stop],
            settings,
        )
        for number, text in zip(numbers, texts, strict=True):
            written[number] = text
    return written


def _side_by_side(texts: Sequence[np.ndarray], boundary_id: int) -> tuple[np.ndarray, np.ndarray]:
    """The texts in one array, a boundary after each, so that one is what the next begins with; and
    their spans without it."""
    length_S = np.array([len(text) for text in texts], dtype=np.int64)
    ends = np.cumsum(length_S + 1) - 1
    parts = [part for text in texts for part in (text, [boundary_id])]
    ids = np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, dtype=np.int64)
    return ids, np.stack([ends - length_S, ends], axis=1)


def _write(
    model: LanguageModel,
    texts: Sequence[np.ndarray],
    numbers: Sequence[int],
    stops: Sequence[str],
    settings: SamplingSettings,
) -> list[str]:
    """What is written after each of `texts` (by ascending length), side by side; each has a random
    stream by its number."""
    streams = [stream(settings.seed, number) for number in numbers]
    forbidden = Ban(model.tokenizer, (), settings.unknown).always
    read = [_read(model, np.stack([*same])) for _, same in itertools.groupby(texts, key=len)]
    logprob_BV, state = (
        np.concatenate([logprob_BV for logprob_BV, _ in read]),
        model.concat_states([state for _, state in read]),
    )
    lines = [_last_line(ids, model.tokenizer.boundary_id) for ids in texts]
    drawn: list[list[int]] = [[] for _ in texts]
    written = [""] * len(texts)
    going = list(range(len(texts)))  # the texts that the rows of logprob_BV and state belong to
    for _ in range(settings.max_tokens):
        uniform_B = np.array([streams[text].random() for text in going])
        allowed_BV = logprob_BV.copy()
        allowed_BV[:, forbidden] = -np.inf
        token_B = draw(allowed_BV, uniform_B, settings)
        kept = []
        for row, (text, token) in enumerate(zip(going, token_B.tolist(), strict=True)):
            if token == model.tokenizer.boundary_id:
                continue
            drawn[text].append(token)
            written[text], is_stopped = _until(
                _after(model.tokenizer, lines[text], drawn[text]), stops
            )
            kept += [] if is_stopped else [row]
        if not kept:
            break
        going = [going[row] for row in kept]
        logprob_BV, state = predict(model, token_B[kept], state.select(kept))
    return written


def _read(model: LanguageModel, ids_BT: np.ndarray) -> tuple[np.ndarray, State]:
    """The distributions after the boundary and `ids_BT`, (B, V), and the state there."""
    boundary_B1 = np.full((len(ids_BT), 1), model.tokenizer.boundary_id, dtype=np.int64)
    inputs_BT = np.concatenate([boundary_B1, ids_BT], axis=1)
    return predict(
        model,
        inputs_BT[:, -1],
        span_scoring.read_on(model, inputs_BT, model.initial_state(len(ids_BT))),
    )


def _last_line(ids: np.ndarray, boundary_id: int) -> list[int]:
    """What stands after the last boundary."""
    ends = np.flatnonzero(ids == boundary_id)
    return ids[ends[-1] + 1 if len(ends) else 0 :].tolist()


def _after(tokenizer: Tokenizer, line: list[int], drawn: list[int]) -> str:
    """The text of `drawn` as it stands after `line`."""
    before, whole = tokenizer.decode(line), tokenizer.decode([*line, *drawn])
    return whole[len(before) :] if whole.startswith(before) else tokenizer.decode(drawn)


def _until(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """`text` up to the first of `stops`, and whether there is one."""
    places = [place for place in map(text.find, stops) if place >= 0]
    return (text[: min(places)], True) if places else (text, False)
