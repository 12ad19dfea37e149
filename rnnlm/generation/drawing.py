"""Texts drawn from a language model, with reproducible samples.

Each sample has a random stream of its own (Philox, keyed by seed and sample number); so sample 3 of
seed 1 is the same text whether 4 samples or 400 are drawn.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from rnnlm import arrays
from rnnlm.checks import check_class
from rnnlm.errors import SettingsError, UsageError, notice
from rnnlm.generation.sampling import draw, forbidden_tokens, penalise
from rnnlm.generation.settings import SamplingSettings
from rnnlm.inference.distributions import predict
from rnnlm.inference.span_scoring import read_on
from rnnlm.interface import LanguageModel, State
from rnnlm.models.loading import language_model_of
from rnnlm.text.lines import check_reserved

# ---- Where texts begin: rows of a state that a model has reached, such as those of a decoder's
# conditions; and what is found from there.


@dataclass(frozen=True)
class Starts:
    """S texts, each of which begins in its row of `state`, before its input.

    input_S: (S,) the token that each row reads first, `</s>` at the beginning of a line. limits_S:
    (S,) how many tokens a text may have at most, `</s>` counted. prompts: the tokens of each text
    that were read before and belong to it, which bans and the repetition penalty take into account;
    (): none were.
    """

    state: State
    input_S: np.ndarray
    limits_S: np.ndarray
    prompts: tuple[np.ndarray, ...] = ()

    def __post_init__(self) -> None:
        if np.shape(self.input_S) != np.shape(self.limits_S) or np.ndim(self.input_S) != 1:
            raise UsageError(
                (
                    f"inputs of shape {np.shape(self.input_S)} do not go with limits of shape "
                    f"{np.shape(self.limits_S)}"
                ),
                "each text has one of each",
            )
        if self.prompts and len(self.prompts) != len(self):
            raise UsageError(
                f"{len(self.prompts)} prompts do not go with {len(self)} inputs",
                "each text has one of each",
            )
        if len(self) and np.min(self.limits_S) < 1:
            raise UsageError(
                f"a limit of {np.min(self.limits_S)} tokens is not valid",
                "a text has at least one token, its </s>",
            )

    def __len__(self) -> int:
        return len(self.input_S)

    def prompt(self, number: int) -> np.ndarray:
        """Return the tokens of one text that were read before, (T,)."""
        if not self.prompts:
            return np.zeros(0, dtype=np.int64)
        return self.prompts[number]


@dataclass(frozen=True, slots=True)
class Found:
    """A text: its tokens, with `</s>` where it ended and not where it was cut off at its limit.

    logprob_nats: the model's own. score: what it is ranked by; for a search the log-probability
    divided by the length penalty, for a sample the log-probability itself.
    """

    ids: tuple[int, ...]
    logprob_nats: float
    score: float
    ended: bool


def read_prompt(model: LanguageModel, prompt_ids: np.ndarray, limit: int) -> Starts:
    """Read the boundary and the prompt, of any length, but for the last token. Return the start of
    one text of at most `limit` further tokens."""
    prompt_T = np.asarray(prompt_ids, dtype=np.int64)
    inputs_T = np.append(model.tokenizer.boundary_id, prompt_T).astype(np.int64)
    state = read_on(model, inputs_T[None], model.initial_state(1))
    return Starts(state, inputs_T[-1:], np.array([limit]), (prompt_T,))


# ---- The loop that draws texts from a model side by side: where one ends, the next takes its row.
#
# A text depends on its own random stream alone, not on how many are drawn nor on its neighbours, to
# the last bit. A model gives the same bits for a row of few as for one of many only where its
# products are summed in one order: that is tried first (`row_counts`), and where it is not so,
# texts are drawn in tiles of a fixed number of rows, each in a row of its own.

FEWEST_ROWS = 16  # of every call; where there are fewer texts, the other rows are idle
ROW_COUNTS = (16, 32, 64, 128)
MOST_CELLS = 1 << 22  # of a call's (B, V) result, beyond the fewest rows
TRIED_STEPS = 3
FRESH = -1


@dataclass
class DrawnText:
    """A text while it is drawn. start: which of the starts it has; logprob_nats is the model's own;
    `ended`: its last token is `</s>`; is_finished: it gets no further token.
    """

    number: int
    stream: np.random.Generator
    start: int = 0
    ids: list[int] = field(default_factory=list)
    logprob_nats: float = 0.0
    ended: bool = False
    is_finished: bool = False
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


def row_counts(model: LanguageModel, num: int) -> tuple[tuple[int, ...], bool]:
    """Return how many rows calls may have for `num` texts, ascending, and whether a text may begin
    in a row that has become free.

    Random tokens are read in different places of calls of each size, and all bits compared. How
    sums are ordered depends on shapes, not on values, so what holds for these holds for others. A
    model that adapts itself has shapes that grow.
    """
    if model.max_rows:
        return (min(FEWEST_ROWS, model.max_rows),), False
    # A GPU reads many rows in the time of a few.
    fewest = FEWEST_ROWS if _is_on_host(model) else ROW_COUNTS[-1]
    if num <= fewest or model.adaptation != "none":
        return (fewest,), False

    # Try larger calls for as long as they give the same bits.
    random = np.random.default_rng(1)
    inputs_BT = random.integers(0, model.tokenizer.size, (fewest, TRIED_STEPS))
    expected_BTV = _predict_steps(model, inputs_BT)
    agreeing: list[int] = []
    for rows in ROW_COUNTS:
        if rows < fewest:
            continue
        if rows > fewest and (rows * model.tokenizer.size > MOST_CELLS or rows >= 2 * num):
            break
        order = random.permutation(rows) % fewest
        if not np.array_equal(_predict_steps(model, inputs_BT[order]), expected_BTV[order]):
            break
        agreeing.append(rows)
    if not agreeing:
        return (fewest,), False
    return tuple(agreeing), True


def draw_texts(
    model: LanguageModel,
    starts: Starts,
    texts: Iterable[DrawnText],
    num: int,
    settings: SamplingSettings,
) -> Iterator[DrawnText]:
    """Draw the `num` texts to their end (`</s>`, or the limit of their start). Yield each as it
    finishes."""
    for drawn in draw_in_steps(model, starts, texts, num, settings):
        yield from (text for text in drawn if text.is_finished)


def draw_in_steps(
    model: LanguageModel,
    starts: Starts,
    texts: Iterable[DrawnText],
    num: int,
    settings: SamplingSettings,
) -> Iterator[list[DrawnText]]:
    """Draw the `num` texts. Yield after each step those that got a token."""
    # One row for each text, or as many rows as there may be.
    counts, may_refill = row_counts(model, num)
    enough = [count for count in counts if count >= num]
    rows: list[DrawnText | None] = [None] * (enough[0] if enough else counts[-1])
    waiting = iter(texts)
    state, input_B = starts.state, np.zeros(len(rows), dtype=np.int64)
    chooser = _Chooser(model, starts, settings)
    while True:
        # The next texts take the free rows: at once, or when all have become free.
        free = [row for row, text in enumerate(rows) if text is None]
        is_begun = len(free) < len(rows)
        fresh = []
        if may_refill or not is_begun:
            fresh = list(islice(waiting, len(free)))

        # Where each row was before; FRESH where a text begins.
        origin_B = np.arange(len(rows)) if is_begun else np.full(len(rows), FRESH)
        for row, text in zip(free, fresh, strict=False):
            rows[row], origin_B[row] = text, FRESH
        if may_refill and len(fresh) < len(free):
            rows, origin_B = _drop_idle_rows(rows, origin_B, counts)
        active = {row: text for row, text in enumerate(rows) if text is not None}
        if not active:
            return
        start_B = np.zeros(len(rows), dtype=np.int64)
        for row, text in active.items():
            start_B[row] = text.start
        state, input_B = _arrange_rows(model, starts, state, input_B, origin_B, start_B)

        # Draw a token in each row; texts that end leave their rows.
        logprob_BV, state = predict(model, input_B, state)
        input_B = input_B.copy()  # the state may hold the array that was read
        for row, token, logprob_nats in chooser.choose(active, logprob_BV):
            text = active[row]
            text.add(token, logprob_nats, token == model.tokenizer.boundary_id)
            input_B[row] = token
            has_ended = text.ended and not settings.running
            if has_ended or len(text.ids) == starts.limits_S[text.start]:
                text.is_finished = True
        yield list(active.values())
        rows = [None if text is None or text.is_finished else text for text in rows]


class _Chooser:
    """Chooses the next token of each active row."""

    def __init__(self, model: LanguageModel, starts: Starts, settings: SamplingSettings) -> None:
        self.tokenizer = model.tokenizer
        self.starts = starts
        self.settings = settings
        self.forbidden = forbidden_tokens(model.tokenizer, settings.unknown)
        prompts = map(starts.prompt, range(len(starts)))
        self.in_prompts = [np.unique(ids[ids < self.tokenizer.size]) for ids in prompts]

    def choose(
        self, active: Mapping[int, DrawnText], logprob_BV: np.ndarray
    ) -> Iterator[tuple[int, int, float]]:
        """Yield (row, token, the model's log-probability of it) for each of the rows `active`, with
        the texts that they draw."""
        # Rows whose text has ended are left out.
        texts = list(active.values())
        own_RV = logprob_BV
        if len(active) < len(logprob_BV):
            own_RV = logprob_BV[list(active)]

        # Draw from what is allowed; the log-probability that is reported is the model's own.
        allowed_RV = np.array(own_RV)
        allowed_RV[:, self.forbidden] = -np.inf
        if self.settings.repetition_penalty > 1:
            penalise(allowed_RV, self._seen_tokens(texts), self.settings.repetition_penalty)
        uniform_R = np.array([text.stream.random() for text in texts])
        token_R = draw(allowed_RV, uniform_R, self.settings)
        logprob_R = own_RV[np.arange(len(active)), token_R]
        yield from zip(active, token_R.tolist(), logprob_R.tolist(), strict=True)

    def _seen_tokens(self, texts: Sequence[DrawnText]) -> np.ndarray:
        """Return which tokens occur in each text, (R, V), without the boundary: a line must end
        some time, and as it would."""
        seen_RV = np.zeros((len(texts), self.tokenizer.size), dtype=bool)
        for row, text in enumerate(texts):
            seen_RV[row, self.in_prompts[text.start]] = True
            seen_RV[row, list(text.distinct)] = True
        seen_RV[:, self.tokenizer.boundary_id] = False
        return seen_RV


def _drop_idle_rows(
    rows: list[DrawnText | None], origin_B: np.ndarray, counts: Sequence[int]
) -> tuple[list[DrawnText | None], np.ndarray]:
    """Return the rows with a text in them, in as few as calls may have."""
    active = [row for row, text in enumerate(rows) if text is not None]
    fewer = min(count for count in counts if count >= len(active))
    if fewer >= len(rows):
        return rows, origin_B
    idle = fewer - len(active)
    rows = [*(rows[row] for row in active), *[None] * idle]
    return rows, np.append(origin_B[active], np.full(idle, FRESH))


def _arrange_rows(
    model: LanguageModel,
    starts: Starts,
    state: State,
    input_B: np.ndarray,
    origin_B: np.ndarray,
    start_B: np.ndarray,
) -> tuple[State, np.ndarray]:
    """Return state and next input of the rows that come from those of `origin_B`, or, where these
    are FRESH, from the starts `start_B`."""
    if np.array_equal(origin_B, np.arange(len(input_B))):
        return state, input_B
    is_fresh_B = origin_B == FRESH
    if is_fresh_B.all():
        state = starts.state.select(start_B)
    else:
        # Append the states of the texts that begin here, then take each row from its place.
        begun = starts.state.select(start_B[is_fresh_B])
        begun_B = len(input_B) - 1 + is_fresh_B.cumsum()
        state = model.concat_states([state, begun])
        state = state.select(np.where(is_fresh_B, begun_B, origin_B))
    return state, np.where(is_fresh_B, starts.input_S[start_B], input_B[origin_B])


def _predict_steps(model: LanguageModel, inputs_BT: np.ndarray) -> np.ndarray:
    """Return what the model predicts after each token, one at a time; (B, T, V)."""
    state, steps = model.initial_state(len(inputs_BT)), []
    for input_B in inputs_BT.T:
        predicted, state = model.predict(input_B[:, None], state)
        steps.append(arrays.as_numpy(predicted)[:, -1])
    return np.stack(steps, axis=1)


def _is_on_host(model: LanguageModel) -> bool:
    boundary_11 = np.full((1, 1), model.tokenizer.boundary_id)
    predicted, _ = model.predict(boundary_11, model.initial_state(1))
    return isinstance(predicted, np.ndarray) or predicted.device.type == "cpu"


# ---- Samples that begin with a prompt.


@dataclass(frozen=True)
class Sample:
    """One drawn text. logprob_nats is the model's own, of the drawn tokens; `complete`: it ended in
    `</s>`."""

    number: int
    text: str
    tokens: int
    logprob_nats: float
    complete: bool


def generate(
    model: LanguageModel | str | Path,
    *,
    prompt: str = "",
    num: int = 1,
    settings: SamplingSettings = SamplingSettings(),
) -> Iterator[Sample]:
    """Yield `num` samples that begin with `prompt`, in the order of their numbers.

    model: a language model, or the name of one, which is then loaded by each call.

    A sample is a sentence, or with `settings.running` a text of max_tokens tokens in which each
    `</s>` is a newline.

    Raises:
        SettingsError: `num` is below 1, or the seed too large. TextError: the prompt holds a
            newline or `</s>`.
        UsageError: nothing is left that may be drawn.
        ModelError: there is no such model, or its scores are not numbers.
    """
    beginning = _Beginning.of(model, prompt, num, settings)
    finished = (text for drawn in beginning.steps() for text in drawn if text.is_finished)
    for text in _in_order(finished):
        yield beginning.sample(text)


@dataclass(frozen=True)
class Piece:
    """What a step has added to a sample. text: its text beyond what was told before. sample: the
    whole sample, once it is finished."""

    number: int
    text: str
    sample: Sample | None = None


def generate_in_steps(
    model: LanguageModel | str | Path,
    *,
    prompt: str = "",
    num: int = 1,
    settings: SamplingSettings = SamplingSettings(),
) -> Iterator[list[Piece]]:
    """Yield what each step adds to the samples of :func:`generate`, while they are drawn."""
    beginning = _Beginning.of(model, prompt, num, settings)
    told = dict.fromkeys(range(num), beginning.text)
    for drawn in beginning.steps():
        pieces = []
        for text in drawn:
            sample = beginning.sample(text)
            # A character whose bytes have not all been drawn is told with the last of them.
            shown = sample.text if text.is_finished else sample.text.rstrip(_NO_CHARACTER)
            before = told[text.number]
            added = ""
            if shown.startswith(before):
                added, told[text.number] = shown[len(before) :], shown
            if added or text.is_finished:
                pieces.append(Piece(text.number, added, sample if text.is_finished else None))
        yield pieces


_NO_CHARACTER = "\ufffd"


@dataclass(frozen=True)
class _Beginning:
    """What samples are drawn from. text: the prompt as its tokens read."""

    model: LanguageModel
    prompt_ids: np.ndarray
    num: int
    settings: SamplingSettings
    text: str

    @classmethod
    def of(
        cls, model: LanguageModel | str | Path, prompt: str, num: int, settings: SamplingSettings
    ) -> "_Beginning":
        check_streams(num, settings.seed)
        model = language_model_of(model)
        prompt_ids = encoded_prompt(model, prompt)
        text = model.tokenizer.decode(prompt_ids)
        return cls(model, prompt_ids, num, settings, text)

    def steps(self) -> Iterator[list[DrawnText]]:
        """Yield after each step the texts that got a token."""
        seed = self.settings.seed
        undrawn = (DrawnText(number, stream(seed, number)) for number in range(self.num))
        start = read_prompt(self.model, self.prompt_ids, self.settings.max_tokens)
        return draw_in_steps(self.model, start, undrawn, self.num, self.settings)

    def sample(self, text: DrawnText) -> Sample:
        """Return a text, finished or not, as a sample."""
        decoded = self.model.tokenizer.decode([*self.prompt_ids.tolist(), *text.ids])
        return Sample(text.number, decoded, len(text.ids), text.logprob_nats, text.ended)


def encoded_prompt(model: LanguageModel, prompt: str) -> np.ndarray:
    """Return the prompt's tokens without a boundary at the end; words read as unknown ones are
    named in a notice. TextError: it holds a newline, `<s>` or `</s>`."""
    # Some tokenizers give even an empty line a piece, for the space before it: drop that.
    check_class(prompt, str, "the prompt")
    if not prompt:
        return np.zeros(0, dtype=np.int32)
    encoded = model.tokenizer.encode([check_reserved(prompt, "the prompt", "error", "remove it")])
    if len(encoded.oov) and not model.tokenizer.spells:
        surface = model.tokenizer.surface(prompt)
        unknown = ", ".join(dict.fromkeys(surface[at] for at in encoded.oov))
        notice(f"the prompt has words the model does not know, read as <unk>: {unknown}")
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
    starts: Starts,
    num: int = 1,
    settings: SamplingSettings = SamplingSettings(),
    numbers: Sequence[int] | None = None,
) -> list[list[Found]]:
    """Return `num` samples of each text, in the order of their numbers.

    Each sample has a random stream of its own, by the seed, the number of its text and its own
    number; so it does not depend on the texts beside it, as far as :mod:`rnnlm.generation.drawing`
    promises and the states of the starts do not. Sample n of text 0 from the model's initial state
    is sample n of :func:`generate`. The starts' limits hold, not `settings.max_tokens`.

    numbers: what the texts are called in their streams, such as their places in a file of which
    these are a batch; None: 0, 1 and so on.
    """
    check_streams(num, settings.seed)
    if not len(starts):
        return []
    if numbers is None:
        numbers = range(len(starts))
    undrawn = texts_to_draw(starts, numbers, num, settings.seed)
    drawn = draw_texts(model, starts, undrawn, len(starts) * num, settings)
    samples: list[list[Found]] = [[] for _ in range(len(starts))]
    for text in sorted(drawn, key=lambda text: (text.start, text.number)):
        ids, logprob_nats = tuple(text.ids), text.logprob_nats
        samples[text.start].append(Found(ids, logprob_nats, logprob_nats, text.ended))
    return samples


def texts_to_draw(starts: Starts, names: Sequence[int], num: int, seed: int) -> Iterator[DrawnText]:
    """Yield `num` texts from each start, with the streams of the starts' names."""
    for start, name in zip(range(len(starts)), names, strict=True):
        for number in range(num):
            yield DrawnText(number, stream(seed, number, name), start)
