"""Search for the best continuations of many texts at once, from given states, with a beam.

At each step the `beam` best continuations of a text are taken, `</s>` among them; those that end
are finished, the others continue. A text is settled, and leaves the batch, when one of these is
true:

* `beam` of its continuations are finished;
* no unfinished continuation can still become one of the best `nbest`: its log-probability only
  falls, and is divided by the length penalty of the limit at most;
* it is at its limit, where continuations that did not end are ranked as they are.

Texts are ranked by log P / lp with lp = ((5 + tokens) / 6)^length_power (Wu et al. 2016, equation
14). Of equal continuations the one with the better beginning is taken, then the one with the lower
token id; of equal texts the shorter, then the lower ids. With a beam of 1 that is greedy search.
:func:`likeliest` is another beam search, for a model's likeliest texts; it says how it differs.
:func:`next_words` searches for words that complete a text.
"""

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm import arrays
from rnnlm.checks import check_class
from rnnlm.errors import UsageError
from rnnlm.interface import Array, LanguageModel, State
from rnnlm.lm.base.loading import language_model_of
from rnnlm.lm.base.span_scoring import check_scores, stepping
from rnnlm.lm.base.words import WordFinder
from rnnlm.parallel import interruptible_pieces
from rnnlm.scoring.generation.drawing import (
    GeneratedText,
    Sample,
    TextStarts,
    checked_prompt,
    encoded_prompt,
    forbidden_tokens,
    read_prompt,
)
from rnnlm.scoring.generation.settings import BeamSettings, SearchSettings
from rnnlm.scoring.next_word import NextWord, WordSearch, check_count
from rnnlm.tabular import RecordList
from rnnlm.text.lines import WORD_SPACE, split_words

# ---- The beams of many texts while they grow by one token at a time; independent of the model.


def length_penalty(tokens: int, length_power: float) -> float:
    """Return the divisor of the log-probability of a text of `tokens` tokens: ((5 + tokens) /
    6)^length_power (Wu et al. 2016, equation 14, without its coverage)."""
    return math.pow((5 + tokens) / 6, length_power)


def keep_best(heap: list[Any], item: Any, count: int) -> None:
    """Add one to a heap of the best `count`."""
    if len(heap) < count:
        heapq.heappush(heap, item)
    else:
        heapq.heappushpop(heap, item)


class Beams:
    """The continuations of S texts: those that are finished, and those that continue.

    L texts still continue. Each has a group of P rows, its best continuation first, and all
    continuations have the same number of tokens. Groups are of equal size so that a decoder's
    memory of a source serves all rows of its group. A text with fewer open continuations has rows
    of probability zero at the end of its group.
    """

    def __init__(
        self, starts: TextStarts, beam: int, length_power: float, nbest: int, boundary: int
    ) -> None:
        """Begin each text with one empty continuation. For each, `nbest` are returned; others need
        not be kept."""
        self.starts = starts
        self.beam = beam
        self.length_power = length_power
        self.nbest = nbest
        self.boundary = boundary
        self.limits_S = np.asarray(starts.limits_S)
        penalties = [length_penalty(limit, length_power) for limit in self.limits_S.tolist()]
        self.highest_penalty_S = np.array(penalties)

        # Finished continuations of each text: the kept ones, a heap of the nbest best scores, the
        # number of all of them, and the lowest score of the nbest best.
        texts = len(starts)
        self.found_S: list[list[GeneratedText]] = [[] for _ in range(texts)]
        self._scores_S: list[list[float]] = [[] for _ in range(texts)]
        self.number_S = np.zeros(texts, dtype=np.int64)
        self.worst_S = np.full(texts, -np.inf)

        # Open continuations: their texts, log-probabilities, and tokens so far (R = L P).
        self.text_L = np.arange(texts)
        self.total_LP = np.zeros((texts, 1))
        self.ids_RT = np.zeros((texts, 0), dtype=np.int64)

    def grow(self, token_RK: np.ndarray, logprob_RK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Extend the open texts by the best of each row's tokens. Return the rows that they come
        from, and the tokens."""
        origin_LB, token_LB, total_LB = self.best_continuations(token_RK, logprob_RK)
        is_at_limit_L = self.limits_S[self.text_L] == self.ids_RT.shape[1] + 1
        is_over_LB = (token_LB == self.boundary) | is_at_limit_L[:, None]

        # Keep the continuations that end here.
        for slot, place in np.argwhere((total_LB > -np.inf) & is_over_LB).tolist():
            ids = (*self.ids_RT[origin_LB[slot, place]].tolist(), int(token_LB[slot, place]))
            self._add(int(self.text_L[slot]), ids, float(total_LB[slot, place]))
        total_LB = np.where(is_over_LB, -np.inf, total_LB)

        # A text continues while it lacks finished continuations and could find a better one.
        highest_L = total_LB.max(axis=1) / self.highest_penalty_S[self.text_L]
        is_beaten_L = highest_L <= self.worst_S[self.text_L]
        is_settled_L = is_beaten_L | (self.number_S[self.text_L] >= self.beam)
        alive = np.flatnonzero(~is_settled_L)
        is_possible_LB = total_LB[alive] > -np.inf
        most = int(is_possible_LB.sum(axis=1).max(initial=0))

        # Every text gets as many rows as the one with the most open continuations. These come
        # first, then continuations of probability zero.
        order_LP = np.argsort(~is_possible_LB, axis=1, kind="stable")[:, :most]
        alive_L1 = alive[:, None]
        origin_R = origin_LB[alive_L1, order_LP].ravel()
        token_R = token_LB[alive_L1, order_LP].ravel()
        self.text_L, self.total_LP = self.text_L[alive], total_LB[alive_L1, order_LP]
        self.ids_RT = np.concatenate([self.ids_RT[origin_R], token_R[:, None]], axis=1)
        return origin_R, token_R

    def best_continuations(
        self, token_RK: np.ndarray, logprob_RK: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the `beam` best continuations of each text: row, token and log-probability, (L,
        B); -inf where there is none."""
        (texts, places), candidates = self.total_LP.shape, token_RK.shape[1]
        total_LPK = self.total_LP[:, :, None] + logprob_RK.reshape(texts, places, candidates)
        at_LB, total_LB = best_tokens(total_LPK.reshape(texts, -1), self.beam)
        place_LB, candidate_LB = np.divmod(at_LB, candidates)
        origin_LB = np.arange(texts)[:, None] * places + place_LB
        return origin_LB, token_RK[origin_LB, candidate_LB], total_LB

    def _add(self, text: int, ids: tuple[int, ...], total: float) -> None:
        """Keep a continuation of a text that is finished, if it can be one of the best."""
        score = total / length_penalty(len(ids), self.length_power)
        self.number_S[text] += 1
        if score < self.worst_S[text]:
            return
        self.found_S[text].append(GeneratedText(ids, total, score, ids[-1] == self.boundary))
        scores = self._scores_S[text]
        keep_best(scores, score, self.nbest)
        if len(scores) == self.nbest:
            self.worst_S[text] = scores[0]


# ---- The search, step by step.

MOST_CELLS = 1 << 24  # of the scores, (R, V), that one call of the model gives


# what sees each step: the beams before it, and the tokens that each row may take with their
# log-probabilities, (R, K) each
Watch = Callable[[Beams, np.ndarray, np.ndarray], None]


def search(
    model: LanguageModel,
    starts: TextStarts,
    settings: SearchSettings = SearchSettings(),
    watch: Watch = lambda *step: None,
) -> list[list[GeneratedText]]:
    """Return for each text its `nbest` best continuations, best first; fewer where no more are
    possible. watch: called at each step.

    The result for a text depends on the other texts only as far as the model's rounding does.
    """
    _check_width("nbest", settings.nbest, settings.beam)
    _check_rows(model, len(starts) * settings.beam)

    count = min(settings.beam, model.tokenizer.size)
    forbidden = forbidden_tokens(model.tokenizer, settings.unknown)
    at_once = max(1, MOST_CELLS // model.tokenizer.size)

    def best_of_rows(logprob_RV: Array) -> tuple[np.ndarray, ...]:
        return best_tokens(logprob_RV, count, forbidden)

    # All texts take a step at a time, until each is settled.
    model = stepping(model)
    boundary = model.tokenizer.boundary_id
    beams = Beams(starts, settings.beam, settings.length_power, settings.nbest, boundary)
    state, input_R = starts.state, np.asarray(starts.input_S)
    while len(input_R):
        (token_RK, logprob_RK), state = _read_in_parts(model, input_R, state, at_once, best_of_rows)
        watch(beams, token_RK, logprob_RK)
        origin_R, input_R = beams.grow(token_RK, logprob_RK)
        if len(input_R) and not np.array_equal(origin_R, np.arange(len(token_RK))):
            state = state.select(origin_R)
    if not all(beams.found_S):
        raise UsageError(
            "no text can be generated",
            "every text has probability zero or is forbidden",
            "forbid less",
        )

    # Of equal texts the shorter one is better, then the one of lower ids.
    def order(text: GeneratedText) -> tuple[object, ...]:
        return -text.score, len(text.ids), text.ids

    return [sorted(texts, key=order)[: settings.nbest] for texts in beams.found_S]


def _check_width(name: str, wanted: int, beam: int) -> None:
    if not 1 <= wanted <= beam:
        raise UsageError(
            f"{name} = {wanted} does not fit a beam of {beam}",
            "a beam keeps no more texts than its width",
            "widen the beam",
        )


def _check_rows(model: LanguageModel, rows: int) -> None:
    if model.max_rows and model.max_rows < rows:
        raise UsageError(
            "this model reads one text at a time",
            "its weights adapt to the text it reads",
            "search with the model without +KIND",
        )


def _read_in_parts(
    model: LanguageModel,
    input_R: np.ndarray,
    state: State,
    at_once: int,
    summarise: Callable[[Array], tuple[np.ndarray, ...]],
) -> tuple[tuple[np.ndarray, ...], State]:
    """Read one token of each of any number of rows, `at_once` rows in a call. Return the results of
    `summarise` for the distributions after them, (R, ...) each, and the state there."""
    seen, states = [], []
    for first in interruptible_pieces(range(0, len(input_R), at_once)):
        rows = np.arange(first, min(first + at_once, len(input_R)))
        state_of_rows = state if len(rows) == len(input_R) else state.select(rows)
        predicted_R1V, after = model.predict(input_R[rows, None], state_of_rows)
        seen.append(summarise(predicted_R1V[:, -1]))
        states.append(after)
    after = states[0] if len(states) == 1 else model.concat_states(states)
    return tuple(map(np.concatenate, zip(*seen, strict=True))), after


# ---- A model's likeliest texts, not typical ones, by a beam search in which as many beginnings as
# the beam is wide are kept at each step.
#
# Every beginning may end at every step, at any rank, so a beam as wide as the tree finds the same
# as exhaustive search. Texts are ranked by log P / lp with lp = ((5 + tokens) / 6)^length_power (Wu
# et al. 2016, equation 14); at 0, by their probability.
#
# :func:`search` is the beam search of translation: there `</s>` takes a place in the beam, and the
# search ends when as many texts as the beam is wide are finished. It cannot replace this one: of
# exactly equal beginnings at the beam's edge it keeps others, so n-gram models, which have many of
# these, would find other texts.

ROWS_PER_CALL = 128


@dataclass(frozen=True, order=True)
class _RankedText:
    """A text, ordered by its score; of equal ones, the shorter is better."""

    score: float
    minus_length: int
    ids: tuple[int, ...]
    logprob_nats: float
    ended: bool


def likeliest(
    model: LanguageModel | str | Path, settings: BeamSettings = BeamSettings()
) -> RecordList[Sample]:
    """Return the `num` best texts that begin with the prompt, best first, by a beam. Those cut off
    at max_tokens are ranked with the others.

    `model` may be the name of a model, which is then loaded by each call.

    Raises:
        UsageError: `num` is above the beam width or below 1, the model reads one row at a time, or
            the settings allow no token.
        TextError: the prompt contains a newline or `</s>`.
        ModelError: there is no such model, or its scores are not numbers.
    """
    _check_width("num", settings.num, settings.beam)
    model = language_model_of(model)
    _check_rows(model, settings.beam)

    prompt_ids = encoded_prompt(model, settings.prompt)
    ranked = _best_texts(model, prompt_ids, settings)
    if not ranked:
        raise UsageError(
            "no text can be generated",
            "every text has probability zero or is forbidden",
            "forbid less",
        )
    samples = RecordList[Sample]()
    for number, ranked_text in enumerate(sorted(ranked, reverse=True)[: settings.num]):
        text = model.tokenizer.decode([*prompt_ids.tolist(), *ranked_text.ids])
        samples.append(
            Sample(number, text, len(ranked_text.ids), ranked_text.logprob_nats, ranked_text.ended)
        )
    return samples


def _best_texts(
    model: LanguageModel, prompt_ids: np.ndarray, settings: BeamSettings
) -> list[_RankedText]:
    """Return the texts that the beam finds, as many as it is wide or fewer, as a heap."""
    model = stepping(model)
    start = read_prompt(model, prompt_ids, settings.max_tokens)
    boundary = model.tokenizer.boundary_id
    forbidden = forbidden_tokens(model.tokenizer, settings.unknown)
    state, input_B = start.state.select([0]), start.input_S
    live_B = np.zeros(1)
    texts: list[tuple[int, ...]] = [()]
    heap: list[_RankedText] = []
    for length in range(1, settings.max_tokens + 1):
        is_last = length == settings.max_tokens
        penalty = length_penalty(length, settings.length_power)
        (logprob_BV,), state = _read_in_parts(model, input_B, state, ROWS_PER_CALL, _in_full)
        total_BV = live_B[:, None] + logprob_BV
        total_BV[:, forbidden] = -np.inf

        # Every beginning may end here.
        for row in np.flatnonzero(total_BV[:, boundary] > -np.inf).tolist():
            total = float(total_BV[row, boundary])
            ended = _RankedText(total / penalty, -length, (*texts[row], boundary), total, True)
            keep_best(heap, ended, settings.beam)
        total_BV[:, boundary] = -np.inf

        # The best beginnings that do not end continue; at the last step they count as texts.
        row_K, token_K = _likeliest_cells(total_BV, settings.beam)
        live_B = total_BV[row_K, token_K]
        cells = zip(row_K.tolist(), token_K.tolist(), strict=True)
        texts = [(*texts[row], token) for row, token in cells]
        if is_last:
            for total, ids in zip(live_B.tolist(), texts, strict=True):
                cut_off = _RankedText(total / penalty, -length, ids, total, False)
                keep_best(heap, cut_off, settings.beam)
        elif not len(texts) or _is_settled(heap, float(live_B[0]), settings):
            break
        state, input_B = state.select(row_K), token_K
    return heap


def _in_full(logprob_RV: Array) -> tuple[np.ndarray]:
    """Return whole distributions, float64."""
    whole_RV = arrays.as_numpy(logprob_RV)
    check_scores(whole_RV.max(axis=1))  # the largest of a row that holds a NaN is one
    return (whole_RV.astype(np.float64),)


def _likeliest_cells(total_BV: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return row and token of the likeliest continuations that are possible, likeliest first; of
    equals, the first."""
    flat = total_BV.ravel()
    at = np.arange(len(flat))
    if count < len(flat):
        at = np.argpartition(-flat, count - 1)[:count]
    at = np.sort(at[flat[at] > -np.inf])
    at = at[np.argsort(-flat[at], kind="stable")]
    return np.divmod(at, total_BV.shape[1])


def _is_settled(heap: list[_RankedText], best_live: float, settings: BeamSettings) -> bool:
    """Return whether the heap is full, and no beginning can become better than its worst text, as
    log-probabilities only fall, and are divided by the penalty of max_tokens at most."""
    highest = best_live / length_penalty(settings.max_tokens, settings.length_power)
    return len(heap) >= settings.beam and highest < heap[0].score


# ---- The likeliest tokens of each row, found on the device where the model left its scores; only
# they are copied to the host.
#
# The largest of each block of columns are found first, and only the blocks that hold the largest of
# these are looked through: all K largest numbers lie in the K blocks of the largest maxima. Of
# equal numbers the one of the lower column is taken, which neither torch nor NumPy guarantees.

BLOCK = 64  # columns


def best_tokens(
    logprob_RV: Array, count: int, without: Sequence[int] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Return the `count` largest of each row, or all V where these are fewer, largest first:
    columns (R, K) int64 and values (R, K) float64.

    Of equals the lower column comes first. The few columns `without` count as -inf.
    """
    # One more than is needed, besides those that do not count, shows whether there are ties.
    width = logprob_RV.shape[1]
    largest = _largest(logprob_RV, min(count + len(without) + 1, width))
    at_RK, value_RK = arrays.as_numpy(largest[0]), arrays.as_numpy(largest[1])
    check_scores(value_RK)  # a NaN counts as the largest of its row
    lowest_R = value_RK.min(axis=1)
    if len(without):
        is_without_RK = (at_RK[:, :, None] == np.asarray(without)).any(axis=2)
        value_RK = np.where(is_without_RK, -np.inf, value_RK)
    order_RK = np.lexsort((at_RK, -value_RK), axis=1)[:, :count]
    at_RK = np.take_along_axis(at_RK, order_RK, axis=1)
    value_RK = np.take_along_axis(value_RK, order_RK, axis=1)

    # Where the lowest is tied, lower columns may not be among those taken: look at the whole row.
    if count < width:
        is_tied_R = (value_RK[:, -1] == lowest_R) & (lowest_R > -np.inf)
        for row in np.flatnonzero(is_tied_R).tolist():
            values_V = arrays.as_numpy(logprob_RV[row])
            at_V = np.setdiff1d(np.flatnonzero(values_V >= lowest_R[row]), without)
            at_RK[row] = at_V[np.argsort(-values_V[at_V], kind="stable")[:count]]
    return at_RK, value_RK.astype(np.float64)


def _largest(values_RV: Array, count: int) -> tuple[Array, Array]:
    """Return columns and values of the `count` largest of each row, in any order."""
    rows, width = values_RV.shape
    blocks = width // BLOCK
    if blocks <= 2 * count:
        return _top(values_RV, count)

    # Look through the blocks with the largest maxima, and the columns after the last whole block.
    xp, in_blocks = arrays.library(values_RV), blocks * BLOCK
    values_RBW = values_RV[:, :in_blocks].reshape(rows, blocks, BLOCK)
    block_RK, _ = _top(xp.amax(values_RBW, 2), count)
    chosen_RC = _along(values_RBW, block_RK[:, :, None]).reshape(rows, -1)
    if in_blocks < width:
        chosen_RC = xp.concatenate([chosen_RC, values_RV[:, in_blocks:]], 1)
    at_RK, value_RK = _top(chosen_RC, count)

    # Map places among the chosen columns back to columns of the row.
    chosen = count * BLOCK
    block_of_RK = _along(block_RK, (at_RK // BLOCK).clip(0, count - 1))
    inside_RK = block_of_RK * BLOCK + at_RK % BLOCK
    return xp.where(at_RK < chosen, inside_RK, at_RK + in_blocks - chosen), value_RK


def _top(values_RN: Array, count: int) -> tuple[Array, Array]:
    """Return the result of :func:`_largest` for rows that are looked through at once."""
    if not isinstance(values_RN, np.ndarray):
        value_RK, at_RK = values_RN.topk(count, dim=1, sorted=False)
        return at_RK, value_RK
    smallest = values_RN.shape[1] - count
    if smallest:
        at_RK = np.argpartition(values_RN, smallest, axis=1)[:, smallest:]
    else:
        at_RK = np.broadcast_to(np.arange(count), values_RN.shape)
    return at_RK, _along(values_RN, at_RK)


def _along(values: Array, at: Array) -> Array:
    """Return values[r, at[r, k]] at each r and k."""
    if isinstance(values, np.ndarray):
        return np.take_along_axis(values, at, axis=1)
    return values.take_along_dim(at, dim=1)


# ---- A text that is being typed: a last word that no white space follows counts as incomplete, and
# the words that begin so are given.


def next_words(
    model: LanguageModel | str | Path, text: str, count: int = 10
) -> RecordList[NextWord]:
    """Return the `count` likeliest next words after `text`, likeliest first; fewer if no more begin
    like the typed part. Unknown ones are left out.

    `model` may be the name of a model, which is then loaded by each call.

    Raises:
        TextError: the text contains a newline, `<s>` or `</s>`, or is not UTF-8.
        UsageError: `count` is below 0.
        ModelError: there is no such model, or its scores are not numbers.
    """
    check_count(count)
    check_class(text, str, "next_words: the text")
    model = language_model_of(model)
    before, begun = _split(model, checked_prompt(text))
    if not model.tokenizer.keeps_case:
        begun = begun.lower()
    search = WordSearch(model, WordFinder(model.tokenizer))
    ids = encoded_prompt(model, before.rstrip(WORD_SPACE))
    [words] = search.at_places(ids, [len(ids)], begun)
    return RecordList(islice(search.known(words), count))


def _split(model: LanguageModel, text: str) -> tuple[str, str]:
    """Return the text as it is read, up to the incomplete word, and that word."""
    text = model.tokenizer.normalise([text])[0]
    if not text or text[-1] in WORD_SPACE:
        return text, ""
    if model.tokenizer.starts_word_V.all():
        begun = model.tokenizer.surface(text)[-2]  # before `</s>`
    else:
        begun = split_words(text)[-1]
    return text[: len(text) - len(begun)], begun
