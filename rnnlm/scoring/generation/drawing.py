"""Draw texts from a language model, with reproducible samples.

Each sample has its own random stream (Philox, keyed by seed and sample number); so sample 3 of seed
1 is the same text whether 4 samples or 400 are drawn. Not quite always: torch sums in another order
where a call has another number of rows, so that log-probabilities differ in their last bits. A
token then has a chance of less than one in a million to be a different one, after which its text
differs. The same number of samples gives the same bits on the same machine.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rnnlm.checks import check_class
from rnnlm.errors import SettingsError, TextError, keyword, no_token_error
from rnnlm.interface import LanguageModel, State, Tokenizer
from rnnlm.lm.base.loading import language_model_of
from rnnlm.lm.base.span_scoring import check_scores, predict, read_on, stepping
from rnnlm.parallel import interruptible_pieces
from rnnlm.scoring.generation.settings import GenerationSettings, SamplingSettings
from rnnlm.scoring.scorer import checked_text
from rnnlm.text.unknown_words import tell_unknown

# ---- The next token is drawn by temperature, repetition penalty, top-k, nucleus, min-p and typical
# sampling.
#
# They work one after the other, in this order, each on the result of the ones before it:
#
#     repetition penalty   log p of tokens that the text has already is multiplied by it (after
#                          Keskar et al. 2019, section 4.1)
#     temperature          log p / temperature
#     top-k                the k likeliest (Fan, Lewis & Dauphin 2018)
#     top-p                the nucleus: the fewest tokens, likeliest first, that hold probability p
#                          (Holtzman et al. 2020)
#     min-p                tokens at least min_p times as likely as the likeliest (Nguyen et al.
#                          2024)
#     typical-p            the fewest tokens that hold probability p, those first whose information
#                          -log p is nearest to the entropy (Meister et al. 2023)
#
# Rows are worked on one by one in effect: the token drawn for one depends neither on the others nor
# on its place.
#
# Each token draws an exponential time at the rate of its probability, and the earliest is taken. A
# probability that differs in its last bits, as a network's probabilities do between batches of
# different sizes, changes its own token's time alone: so the draws differ about as rarely as the
# distributions do, in one of 10^6 or fewer. (Where a number in [0, 1) is looked up in the
# cumulative distribution, all tokens behind move: of 7,000 words, one draw in 25,000 would differ.)

BLOCK = 64  # the block is drawn first, by the sums of blocks, then the token in it
# sorted at first; all tokens only where these hold too little probability
FIRST_CANDIDATES = 256


def forbidden_tokens(tokenizer: Tokenizer, unknown: bool) -> list[int]:
    """Return the tokens that are never written: `<unk>`, unless `unknown` allows it."""
    return [] if unknown or tokenizer.unk_id is None else [tokenizer.unk_id]


def draw(
    logprob_BV: np.ndarray, streams: Sequence[np.random.Generator], settings: SamplingSettings
) -> np.ndarray:
    """Draw one token per row, each by its own stream of random numbers; (B,) int64. Where a token
    must not be drawn, its log-probability (nats) is -inf."""
    highest_B1 = logprob_BV.max(axis=1, keepdims=True)
    if np.isneginf(highest_B1).any():
        raise no_token_error()
    if settings.temperature == 0:
        return logprob_BV.argmax(axis=1)

    # Probabilities relative to the largest, in whole blocks. At a temperature near 0 all but the
    # likeliest become 0.
    rows, size = logprob_BV.shape
    p_BW = np.zeros((rows, -(-size // BLOCK) * BLOCK), dtype=logprob_BV.dtype)
    p_BV = p_BW[:, :size]
    limits = np.finfo(p_BV.dtype)
    with np.errstate(over="ignore", under="ignore"):
        np.subtract(logprob_BV, highest_B1, out=p_BV)
        if settings.temperature != 1:
            p_BV /= min(max(settings.temperature, float(limits.tiny)), float(limits.max))
        np.exp(p_BV, out=p_BV)
    _narrow(p_BV, settings)
    p_BKW = p_BW.reshape(rows, -1, BLOCK)
    block_B = _earliest(p_BKW.sum(axis=2), streams)
    return block_B * BLOCK + _earliest(p_BKW[np.arange(rows), block_B], streams)


def penalise(logprob_BV: np.ndarray, seen_BV: np.ndarray, penalty: float) -> None:
    """Multiply the log-probabilities where `seen_BV` is true, in place.

    Keskar et al. 2019 divide positive logits of a softmax that need not sum to one;
    log-probabilities are never positive, so multiplying makes tokens less likely.
    """
    np.multiply(logprob_BV, penalty, out=logprob_BV, where=seen_BV)


def _narrow(p_BV: np.ndarray, settings: SamplingSettings) -> None:
    """Set to 0, in place, the unnormalised probabilities of tokens that the settings leave out."""
    if settings.top_k is not None and settings.top_k < p_BV.shape[1]:
        p_BV[~_is_top_k(p_BV, settings.top_k)] = 0
    if settings.top_p is not None and settings.top_p < 1:
        p_BV[~_is_among_fewest(p_BV, settings.top_p)] = 0
    if settings.min_p is not None:
        p_BV[p_BV < settings.min_p * p_BV.max(axis=1, keepdims=True)] = 0
    if settings.typical_p is not None and settings.typical_p < 1:
        p_BV[~_is_typical(p_BV, settings.typical_p)] = 0


def _is_top_k(p_BV: np.ndarray, k: int) -> np.ndarray:
    """Mark exactly the k largest of each row."""
    mask_BV = np.zeros(p_BV.shape, dtype=bool)
    np.put_along_axis(mask_BV, np.argpartition(-p_BV, k - 1, axis=1)[:, :k], True, axis=1)
    return mask_BV


def _is_typical(p_BV: np.ndarray, share: float) -> np.ndarray:
    """Mark the fewest tokens whose probabilities reach `share` of the sum, in ascending order of
    | -log p - H |, where H is the entropy of the row (Meister et al. 2023, eq. 9)."""
    p_BV = p_BV.astype(np.float64)
    p_BV /= p_BV.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        information_BV = -np.log(p_BV)
    of_entropy_BV = np.multiply(p_BV, information_BV, out=np.zeros_like(p_BV), where=p_BV > 0)
    entropy_B1 = of_entropy_BV.sum(axis=1, keepdims=True)

    # Of equals, the lower token comes first.
    order_BV = np.argsort(np.abs(information_BV - entropy_B1), axis=1, kind="stable")
    sorted_BV = np.take_along_axis(p_BV, order_BV, axis=1)
    is_kept_BV = sorted_BV.cumsum(axis=1) - sorted_BV < share
    mask_BV = np.zeros(p_BV.shape, dtype=bool)
    np.put_along_axis(mask_BV, order_BV, is_kept_BV, axis=1)
    return mask_BV


def _is_among_fewest(p_BV: np.ndarray, share: float) -> np.ndarray:
    """Mark the fewest tokens, likeliest first, whose probabilities reach `share` of the sum."""
    mask_BV = np.zeros(p_BV.shape, dtype=bool)
    wanted_B = share * p_BV.sum(axis=1, dtype=np.float64)
    rows, candidates, size = np.arange(len(p_BV)), FIRST_CANDIDATES, p_BV.shape[1]
    while len(rows):
        # The likeliest candidates, sorted; of equals the lower token first.
        p_RV = p_BV if len(rows) == len(p_BV) else p_BV[rows]
        if candidates < size:
            likeliest_RC = np.argpartition(-p_RV, candidates - 1, axis=1)[:, :candidates]
            ids_RC = np.sort(likeliest_RC, axis=1)
        else:
            ids_RC = np.broadcast_to(np.arange(size), p_RV.shape)
        order_RC = np.argsort(-np.take_along_axis(p_RV, ids_RC, axis=1), axis=1, kind="stable")
        ids_RC = np.take_along_axis(ids_RC, order_RC, axis=1)

        # Rows whose candidates reach the wanted sum are done; the other rows try more candidates.
        p_RC = np.take_along_axis(p_RV, ids_RC, axis=1).astype(np.float64)
        reached_RC = p_RC.cumsum(axis=1)
        is_kept_RC = reached_RC - p_RC < wanted_B[rows, None]
        is_enough_R = (reached_RC[:, -1] >= wanted_B[rows]) | (candidates >= size)
        for row, ids, kept in zip(
            rows[is_enough_R], ids_RC[is_enough_R], is_kept_RC[is_enough_R], strict=True
        ):
            mask_BV[row, ids[kept]] = True
        rows, candidates = rows[~is_enough_R], candidates * 8
    return mask_BV


def _earliest(rate_BN: np.ndarray, streams: Sequence[np.random.Generator]) -> np.ndarray:
    """Return which of N events comes first in each row, where each comes after an exponential time:
    event n with a chance of its share of the rates."""
    time_BN = np.array([stream.standard_exponential(rate_BN.shape[1]) for stream in streams])
    with np.errstate(divide="ignore", over="ignore"):
        return (time_BN / rate_BN).argmin(axis=1)


# ---- Where texts begin: rows of a state that a model has reached, such as the states of a
# decoder's conditions; and the search from there.


@dataclass(frozen=True)
class TextStarts:
    """S texts, each of which begins in its row of `state`, before its input.

    `prompts` are the tokens of each text that were read before and belong to it, which bans and the
    repetition penalty take into account; without any, it is empty.
    """

    state: State
    input_S: np.ndarray  # (S,) the token that each row reads first, `</s>` at the start of a line
    limits_S: np.ndarray  # (S,) how many tokens a text may have at most, `</s>` counted
    prompts: tuple[np.ndarray, ...] = ()

    def __len__(self) -> int:
        return len(self.input_S)

    def prompt(self, number: int) -> np.ndarray:
        """Return the tokens of one text that were read before, (T,)."""
        return self.prompts[number] if self.prompts else np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class GeneratedText:
    """A text: its tokens, with `</s>` where it ended and not where it was cut off at its limit.

    It is ranked by its score: for a search the log-probability divided by the length penalty, for a
    sample the log-probability itself.
    """

    ids: tuple[int, ...]
    logprob_nats: float  # the model's own
    score: float
    ended: bool


def read_prompt(model: LanguageModel, prompt_ids: np.ndarray, limit: int) -> TextStarts:
    """Read the boundary and the prompt, of any length, but for the last token. Return the start of
    one text of at most `limit` further tokens."""
    prompt_T = np.asarray(prompt_ids, dtype=np.int64)
    inputs_T = np.append(model.tokenizer.boundary_id, prompt_T).astype(np.int64)
    state = read_on(model, inputs_T[None], model.initial_state(1))
    return TextStarts(state, inputs_T[-1:], np.array([limit]), (prompt_T,))


# ---- The loop that draws texts from a model side by side: where one ends, the next begins.

MOST_ROWS = 128  # of a call
MOST_CELLS = 1 << 22  # of a call's (B, V) result, beyond the fewest rows
FEWEST_ROWS = 16  # that a call may have, however large its result
LEAST_SPARSE = 1 << 14  # words, of which drawing among the stored ones takes less time


@dataclass
class DrawnText:
    """A text while it is drawn."""

    number: int
    stream: np.random.Generator
    start: int = 0  # which of the starts it has
    ids: list[int] = field(default_factory=list)
    logprob_nats: float = 0.0  # the model's own
    ended: bool = False  # its last token is `</s>`
    is_finished: bool = False  # it gets no further token; the caller may end it so
    distinct: set[int] = field(default_factory=set)

    def add(self, token: int, logprob_nats: float, is_end: bool) -> None:
        self.ids.append(token)
        self.distinct.add(token)
        self.logprob_nats += logprob_nats
        self.ended = is_end


def stream(seed: int, number: int, start: int = 0) -> np.random.Generator:
    """Return the random numbers of sample `number` from start `start` (Philox: Salmon et al. 2011).

    Streams do not overlap: each has 2^128 values of the counter to itself.
    """
    key = np.array([seed, number], dtype=np.uint64)
    counter = np.array([0, 0, start, 0], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def check_streams(num: int, seed: int) -> None:
    """Make sure that there are streams for these numbers."""
    if num < 1:
        raise SettingsError(f"num = {num} is not valid", "at least one sample is needed")
    if seed >= 1 << 64:
        raise SettingsError(f"seed = {seed} is not valid", "it must be below 2^64")


def most_rows(model: LanguageModel) -> int:
    """Return how many texts are drawn side by side."""
    rows = max(FEWEST_ROWS, min(MOST_ROWS, MOST_CELLS // model.tokenizer.size))
    return min(rows, model.max_rows) if model.max_rows else rows


def draw_in_steps(
    model: LanguageModel, starts: TextStarts, texts: Iterable[DrawnText], settings: SamplingSettings
) -> Iterator[list[DrawnText]]:
    """Draw the texts to their end: `</s>`, or the limit of their start. Yield after each step the
    texts that got a token."""
    model = stepping(model)
    waiting = iter(texts)
    rows = most_rows(model)
    chooser = _Chooser(model, starts, settings)
    is_sparse = settings.are_plain and model.tokenizer.size >= LEAST_SPARSE
    draw_next = getattr(model, "draw_next", None) if is_sparse else None
    drawn: list[DrawnText] = []  # a row each
    state, token_B = starts.state, np.zeros(0, dtype=np.int64)
    for _ in interruptible_pieces(itertools.count()):
        # Texts that have ended leave their rows to the next ones.
        kept = [row for row, text in enumerate(drawn) if not text.is_finished]
        fresh = list(itertools.islice(waiting, rows - len(kept)))
        if fresh or len(kept) < len(drawn):
            start_F = np.array([text.start for text in fresh], dtype=np.int64)
            states = [state.select(kept)] if kept else []
            if fresh:
                states.append(starts.state.select(start_F))
            drawn = [*(drawn[row] for row in kept), *fresh]
            if not drawn:
                return
            state = states[0] if len(states) == 1 else model.concat_states(states)
            token_B = np.concatenate([token_B[kept], starts.input_S[start_F]])

        # Draw a token in each row: among all, or, where a model can, among those it stores.
        if draw_next is not None:
            streams = [text.stream for text in drawn]
            token_B, drawn_logprob_B, state = draw_next(token_B, state, streams, chooser.forbidden)
            check_scores(drawn_logprob_B)
        else:
            logprob_BV, state = predict(model, token_B, state)
            token_B, drawn_logprob_B = chooser.choose(drawn, logprob_BV)
        for text, token, logprob_nats in zip(
            drawn, token_B.tolist(), drawn_logprob_B.tolist(), strict=True
        ):
            text.add(token, logprob_nats, token == model.tokenizer.boundary_id)
            has_ended = text.ended and not settings.running
            if has_ended or len(text.ids) == starts.limits_S[text.start]:
                text.is_finished = True
        yield drawn


def _finished(steps: Iterable[list[DrawnText]]) -> Iterator[DrawnText]:
    """Yield each text as it finishes."""
    return (text for drawn in steps for text in drawn if text.is_finished)


class _Chooser:
    """Chooses the next token of each active row."""

    def __init__(
        self, model: LanguageModel, starts: TextStarts, settings: SamplingSettings
    ) -> None:
        self.tokenizer = model.tokenizer
        self.starts = starts
        self.settings = settings
        self.forbidden = forbidden_tokens(model.tokenizer, settings.unknown)
        self.in_prompts = [
            np.unique(ids[ids < self.tokenizer.size])
            for ids in map(starts.prompt, range(len(starts)))
        ]

    def choose(
        self, texts: Sequence[DrawnText], logprob_BV: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the next token of each text, and the model's log-probability of it."""
        # Draw from the allowed tokens; the returned log-probability is the model's own.
        allowed_BV = np.array(logprob_BV)
        allowed_BV[:, self.forbidden] = -np.inf
        if self.settings.repetition_penalty > 1:
            penalise(allowed_BV, self._seen_tokens(texts), self.settings.repetition_penalty)
        token_B = draw(allowed_BV, [text.stream for text in texts], self.settings)
        return token_B, logprob_BV[np.arange(len(texts)), token_B]

    def _seen_tokens(self, texts: Sequence[DrawnText]) -> np.ndarray:
        """Return which tokens occur in each text, (R, V), without the boundary: a line must end
        some time, and as it would."""
        seen_RV = np.zeros((len(texts), self.tokenizer.size), dtype=bool)
        for row, text in enumerate(texts):
            seen_RV[row, self.in_prompts[text.start]] = True
            seen_RV[row, list(text.distinct)] = True
        seen_RV[:, self.tokenizer.boundary_id] = False
        return seen_RV


# ---- Samples that begin with a prompt.


@dataclass(frozen=True)
class Sample:
    """One drawn text.

    Attributes:
        number: Number of the text, from 0.
        text: The text, including the prompt.
        tokens: Number of drawn tokens.
        logprob_nats: The model's own log-probability of the drawn tokens, in nats.
        complete: Whether the text ended in `</s>`.
    """

    number: int
    text: str
    tokens: int
    logprob_nats: float
    complete: bool


def generate(
    model: LanguageModel | str | Path, drawing: GenerationSettings = GenerationSettings()
) -> Iterator[Sample]:
    """Yield samples in the order of their numbers.

    `model` may be the name of a model, which is then loaded by each call.

    A sample is a sentence, or with `running` a text of max_tokens tokens in which each `</s>` is a
    newline.

    Raises:
        SettingsError: the seed is too large.
        TextError: the prompt contains `</s>`, or a newline where text is not `running`.
        UsageError: the settings allow no token.
        ModelError: there is no such model, or its scores are not numbers.
    """
    beginning = _Prompt.of(model, drawing)
    for text in _in_order(_finished(beginning.steps())):
        yield beginning.sample(text)


@dataclass(frozen=True)
class SampleUpdate:
    """The text that a step has added to a sample."""

    number: int
    text: str  # the new part
    sample: Sample | None = None  # the whole sample, once it is finished


def generate_in_steps(
    model: LanguageModel | str | Path, drawing: GenerationSettings = GenerationSettings()
) -> Iterator[list[SampleUpdate]]:
    """Yield the text that each step adds to the samples of :func:`generate`, while they are
    drawn."""
    beginning = _Prompt.of(model, drawing)
    shown_texts = dict.fromkeys(range(drawing.num), beginning.text)
    for drawn in beginning.steps():
        updates = []
        for text in drawn:
            sample = beginning.sample(text)
            # A character whose bytes have not all been drawn is reported with the last of them.
            shown = sample.text if text.is_finished else sample.text.rstrip(_NO_CHARACTER)
            before = shown_texts[text.number]
            added = ""
            if shown.startswith(before):
                added, shown_texts[text.number] = shown[len(before) :], shown
            if added or text.is_finished:
                updates.append(
                    SampleUpdate(text.number, added, sample if text.is_finished else None)
                )
        yield updates


_NO_CHARACTER = "\ufffd"


@dataclass(frozen=True)
class _Prompt:
    """The start from which samples are drawn."""

    model: LanguageModel
    prompt_ids: np.ndarray
    drawing: GenerationSettings
    text: str  # the prompt as its tokens read

    @classmethod
    def of(cls, model: LanguageModel | str | Path, drawing: GenerationSettings) -> "_Prompt":
        check_streams(drawing.num, drawing.seed)
        model = language_model_of(model)
        if "\n" in drawing.prompt and not drawing.running:
            raise TextError(
                "the prompt: a line holds a newline",
                hint="give each line separately, or use " + keyword("running", True),
            )
        prompt_ids = encoded_prompt(model, drawing.prompt, drawing.running)
        return cls(model, prompt_ids, drawing, model.tokenizer.decode(prompt_ids))

    def steps(self) -> Iterator[list[DrawnText]]:
        """Yield after each step the texts that got a token."""
        start = read_prompt(self.model, self.prompt_ids, self.drawing.max_tokens)
        undrawn = texts_to_draw(start, [0], self.drawing.num, self.drawing.seed)
        return draw_in_steps(self.model, start, undrawn, self.drawing)

    def sample(self, text: DrawnText) -> Sample:
        """Return a text, finished or not, as a sample."""
        decoded = self.model.tokenizer.decode([*self.prompt_ids.tolist(), *text.ids])
        return Sample(text.number, decoded, len(text.ids), text.logprob_nats, text.ended)


def checked_prompt(prompt: str) -> str:
    """Return a prompt. TextError: it is not UTF-8, or holds a newline, `<s>` or `</s>`."""
    return checked_text(prompt, "the prompt", "error", "remove it")


def encoded_prompt(model: LanguageModel, prompt: str, running: bool = False) -> np.ndarray:
    """Return the prompt's tokens without a boundary at the end; a notice names its unknown words.
    TextError: it holds `<s>` or `</s>`, or a newline where text is not `running`."""
    # Some tokenizers give even an empty line a piece, for the space before it: drop that.
    check_class(prompt, str, "the prompt")
    if not prompt:
        return np.zeros(0, dtype=np.int32)
    # In running text, line ends are tokens, of both kinds as in files.
    lines = prompt.replace("\r\n", "\n").split("\n") if running else [prompt]
    encoded = model.tokenizer.encode(list(map(checked_prompt, lines)))
    tell_unknown(lines, model.tokenizer)
    return encoded.ids[:-1]


def _in_order(texts: Iterable[DrawnText]) -> Iterator[DrawnText]:
    """Yield the texts by number, each as soon as those before it are there."""
    early: dict[int, DrawnText] = {}
    number = 0
    for text in texts:
        early[text.number] = text
        while number in early:
            yield early.pop(number)
            number += 1


# ---- Samples of many texts at once, from the states that they are given.


def draw_samples(
    model: LanguageModel,
    starts: TextStarts,
    num: int = 1,
    settings: SamplingSettings = SamplingSettings(),
    numbers: Sequence[int] | None = None,
) -> list[list[GeneratedText]]:
    """Return `num` samples of each text, in the order of their numbers.

    Each sample has its own random stream, by the seed, the number of its text and its own number;
    so it depends on the texts beside it no more than :mod:`rnnlm.scoring.generation.drawing` says,
    if the states of the starts do not. Sample n of text 0 from the model's initial state is sample
    n of :func:`generate`. The starts' limits hold, not `settings.max_tokens`.

    `numbers` are the numbers of the texts in their streams, by default 0, 1 and so on: their places
    in a file, if these are a batch of it.
    """
    check_streams(num, settings.seed)
    if not len(starts):
        return []
    if numbers is None:
        numbers = range(len(starts))
    undrawn = texts_to_draw(starts, numbers, num, settings.seed)
    drawn = _finished(draw_in_steps(model, starts, undrawn, settings))
    samples: list[list[GeneratedText]] = [[] for _ in range(len(starts))]
    for text in sorted(drawn, key=lambda text: (text.start, text.number)):
        ids, logprob_nats = tuple(text.ids), text.logprob_nats
        samples[text.start].append(GeneratedText(ids, logprob_nats, logprob_nats, text.ended))
    return samples


def texts_to_draw(
    starts: TextStarts, names: Sequence[int], num: int, seed: int
) -> Iterator[DrawnText]:
    """Yield `num` texts from each start, with the streams of the starts' names."""
    for start, name in zip(range(len(starts)), names, strict=True):
        for number in range(num):
            yield DrawnText(number, stream(seed, number, name), start)
