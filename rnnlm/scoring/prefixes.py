"""Read growing prefixes through a model of any kind: one token or one word at a time; and many
lines at once whose common beginnings are read once.

Decoders ask token by token or word by word, and their next question depends on the answer. A prefix
is a value that they pass around. A model may provide its own scorer (`incremental`, as n-gram
models do). For all others the distribution after a prefix is cached, so that further tokens there
cost nothing; a prefix is read only when something after it is asked for.

The lines of n-best lists are known beforehand: they form a trie, which is read level by level, all
its rows side by side.
"""

import functools
import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, cast

import numpy as np

from rnnlm import arrays
from rnnlm.amounts import plural
from rnnlm.errors import ArgumentTypeError, TextError, UsageError, given, notice
from rnnlm.interface import BOUNDARY, Array, HiddenStateModel, LanguageModel, State
from rnnlm.lm.base import span_scoring
from rnnlm.lm.base.loading import language_model_of, name_if_saved
from rnnlm.lm.base.words import WordFinder, WordTokens
from rnnlm.parallel import interruptible_pieces
from rnnlm.scoring.next_word import NextWord, WordSearch, check_count
from rnnlm.text.batches import with_boundary
from rnnlm.text.encoding import known_ids
from rnnlm.text.lines import split_words

P = TypeVar("P")  # a prefix, as a scorer keeps it
UNBOUNDED = 2**31 - 1  # the order of a model that is no n-gram model
CACHED_BYTES = 1 << 27  # of distributions, and the states after them
FEWEST_CACHED = 16  # prefixes, however large their distributions and states are
LINES_AT_ONCE = 2048  # the most rows of state at a time
_LINE_END = b"\xff" * 4  # sorts after every token: a line comes after those that it begins


class PrefixScorer(Protocol[P]):
    """Scores tokens after a prefix, in any thread.

    A prefix has `token_ids`, which are equal where the model makes no difference between two
    prefixes.
    """

    order: int  # of the longest n-gram that the model knows; UNBOUNDED: it may remember everything

    @property
    def model(self) -> LanguageModel:
        """The model whose states :meth:`distribution` returns."""

    def begin(self) -> P:
        """Return the prefix at the start of a line."""

    def null(self) -> P:
        """Return the prefix of which nothing is known."""

    def extend(self, prefix: P, token: int) -> tuple[float, int, P]:
        """Return log p (nats) of a token, the length of the n-gram that gave it, and the prefix
        with the token."""

    def extend_all(
        self, prefixes: Sequence[P], tokens: Sequence[int]
    ) -> list[tuple[float, int, P]]:
        """Extend each prefix with its token, side by side where that is quicker; equal to
        :meth:`extend` to rounding."""

    def score_tokens(self, prefix: P, tokens: Sequence[int]) -> list[tuple[float, int]]:
        """Return log p and n-gram length of each of `tokens`, from the start of a line or the null
        prefix, without the prefixes."""

    def distribution(self, prefix: P) -> tuple[np.ndarray, State]:
        """Return log p (nats) of every token after `prefix`, (V,), and the model's state there."""


def prefix_scorer(model: LanguageModel) -> PrefixScorer:
    """Return the fastest scorer of prefixes for `model`: its own (`incremental`), or one by its
    predictions."""
    return model.incremental() if hasattr(model, "incremental") else CachedPrefixes(model)


@dataclass(frozen=True, slots=True)
class Prefix:
    """All tokens read so far, the boundary first, and the model's state before the last of them."""

    token_ids: tuple[int, ...]
    before: State = field(compare=False, repr=False)


class CachedPrefixes:
    """Scores prefixes by predictions. The length of an n-gram is the length of the whole prefix, as
    the model's memory is unknown."""

    order = UNBOUNDED

    def __init__(self, model: LanguageModel) -> None:
        self.model = model = span_scoring.stepping(model)
        self._begin = Prefix((model.tokenizer.boundary_id,), model.initial_state(1))
        self._cache: OrderedDict[tuple[int, ...], tuple[np.ndarray, State]] = OrderedDict()
        self._most_cached = FEWEST_CACHED  # prefixes; `_keep` raises it if they are small
        self._lock = threading.Lock()  # of the cache; reading continues beside it
        self._has_warned = False

    def begin(self) -> Prefix:
        return self._begin

    def null(self) -> Prefix:
        """Return the start of a line, with a notice: such a model has learnt nothing without
        one."""
        if not self._has_warned:
            self._has_warned = True
            notice(
                "only n-gram models have probabilities without context: this model reads such "
                "words as the start of a line"
            )
        return self._begin

    def extend(self, prefix: Prefix, token: int) -> tuple[float, int, Prefix]:
        """Score one token; after the boundary the next line begins, with nothing remembered."""
        return self._extension(prefix, token, *self.distribution(prefix))

    def extend_all(
        self, prefixes: Sequence[Prefix], tokens: Sequence[int]
    ) -> list[tuple[float, int, Prefix]]:
        """Extend each prefix; those that are not in the cache are read side by side."""
        entries = zip(prefixes, tokens, self.distributions(prefixes), strict=True)
        return [self._extension(prefix, token, *entry) for prefix, token, entry in entries]

    def prefix_of(self, token_ids: tuple[int, ...]) -> Prefix:
        """Return the prefix of these tokens, the boundary first and nowhere else. As many of them
        as are in the cache are not read again."""
        # The state before a token is the one after the prefix without it.
        prefix = self._begin
        for length in range(len(token_ids) - 1, 0, -1):
            entry = self._lookup(token_ids[:length])
            if entry is not None:
                prefix = Prefix(token_ids[: length + 1], entry[1])
                break
        for token in token_ids[len(prefix.token_ids) :]:
            _, _, prefix = self.extend(prefix, token)
        return prefix

    def distributions(self, prefixes: Sequence[Prefix]) -> list[tuple[np.ndarray, State]]:
        """Return the :meth:`distribution` of each prefix; those that are not in the cache are read
        side by side."""
        # Limit the rows of state and the distributions that are in memory.
        at_once = min(
            LINES_AT_ONCE,
            max(1, span_scoring.MOST_CELLS // self.model.tokenizer.size),
            self.model.max_rows or LINES_AT_ONCE,
        )
        if len(prefixes) > at_once:
            entries = []
            for block in interruptible_pieces(arrays.blocks(len(prefixes), at_once)):
                entries.extend(self.distributions(prefixes[block]))
            return entries

        # Read each prefix once, however often it occurs. Results are kept here, too: the cache may
        # drop them before they are used.
        known: dict[tuple[int, ...], tuple[np.ndarray, State]] = {}
        new: dict[tuple[int, ...], Prefix] = {}
        for prefix in prefixes:
            entry = self._lookup(prefix.token_ids)
            if entry is None:
                new[prefix.token_ids] = prefix
            else:
                known[prefix.token_ids] = entry
        if new:
            state = self.model.concat_states([prefix.before for prefix in new.values()])
            logprob_BV, after_B = span_scoring.predict(
                self.model, np.array([ids[-1] for ids in new]), state
            )
            for row, prefix in enumerate(new.values()):
                after = after_B.select([row])
                known[prefix.token_ids] = self._keep(prefix, logprob_BV[row].copy(), after)

        return [known[prefix.token_ids] for prefix in prefixes]

    def _extension(
        self, prefix: Prefix, token: int, logprob_V: np.ndarray, after: State
    ) -> tuple[float, int, Prefix]:
        tokenizer = self.model.tokenizer
        is_known = token < len(logprob_V)  # else it is a word that is only spelled
        logprob = float(logprob_V[token if is_known else tokenizer.unk_id])
        following = self._begin
        if token != tokenizer.boundary_id:
            following = Prefix((*prefix.token_ids, token), after)
        return logprob, len(prefix.token_ids) + 1, following

    def score_tokens(self, prefix: Prefix, tokens: Sequence[int]) -> list[tuple[float, int]]:
        """Score all tokens at once."""
        ids = np.asarray(tokens, dtype=np.int64)
        line_ends = np.flatnonzero(ids == self.model.tokenizer.boundary_id) + 1
        bounds = np.unique([0, *line_ends, len(ids)])
        logprob_N = span_scoring.score_spans(self.model, ids, span_scoring.spans_between(bounds))
        span_scoring.check_scores(logprob_N)
        number_N = np.arange(len(ids))
        start_N = bounds[np.searchsorted(bounds, number_N, side="right") - 1]
        length_N = number_N - start_N + 2  # with the boundary and the token itself
        return list(zip(logprob_N.tolist(), length_N.tolist(), strict=True))

    def distribution(self, prefix: Prefix) -> tuple[np.ndarray, State]:
        entry = self._lookup(prefix.token_ids)
        if entry is not None:
            return entry
        [logprob_V], after = span_scoring.predict(
            self.model, np.array([prefix.token_ids[-1]]), prefix.before
        )
        return self._keep(prefix, logprob_V, after)

    def _lookup(self, token_ids: tuple[int, ...]) -> tuple[np.ndarray, State] | None:
        with self._lock:
            if token_ids in self._cache:
                self._cache.move_to_end(token_ids)
            return self._cache.get(token_ids)

    def _keep(
        self, prefix: Prefix, logprob_V: np.ndarray, after: State
    ) -> tuple[np.ndarray, State]:
        with self._lock:
            # All entries are as large as the first: measure that. With dynamic evaluation a state
            # is a whole model, so a fixed number of entries could fill the memory.
            if not self._cache:
                state_bytes = sum(array.nbytes for array in after.to_arrays().values())
                entry_bytes = logprob_V.nbytes + state_bytes
                self._most_cached = max(FEWEST_CACHED, CACHED_BYTES // entry_bytes)
            self._cache[prefix.token_ids] = logprob_V, after
            if len(self._cache) > self._most_cached:
                self._cache.popitem(last=False)
        return logprob_V, after


def score_trie(model: LanguageModel, ids: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Score spans as :func:`rnnlm.lm.base.span_scoring.score_spans` does, to rounding, but read
    beginnings that several spans share once.

    Networks read each of them once; a mixture reads the token before a branch once for each branch.
    Models that adapt themselves, forget at a boundary (n-grams, which are fastest on a stream) or
    would read each beginning again read every span in full.
    """
    reads_once = not (model.max_rows or model.boundary_resets_state or model.adaptation != "none")
    if not reads_once or getattr(model, "rereads", False):
        return span_scoring.score_spans(model, ids, spans)
    return score_and_compare(model, ids, spans, np.full(len(spans), UNBOUNDED))[0]


def score_and_compare(
    model: LanguageModel, ids: np.ndarray, spans: np.ndarray, compared_S: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of :func:`score_trie`, for a model of any kind, and whether each token is
    the likeliest of all at its place.

    In each span the comparison begins at the token `compared_S`, and ends at the first one that is
    not the likeliest. Tokens that are not compared count as not the likeliest.
    """
    logprob_N = np.zeros(len(ids))
    is_likeliest_N = np.zeros(len(ids), dtype=bool)

    # Sort the lines, so that those with a common beginning are neighbours.
    keys = [ids[start:end].astype(">u4").tobytes() + _LINE_END for start, end in spans.tolist()]
    order = np.array(sorted(range(len(spans)), key=keys.__getitem__), dtype=np.int64)

    # The scores of a model that adapts itself depend on the size of its batches: take the size that
    # `score_spans` takes.
    at_once = LINES_AT_ONCE
    if model.adaptation != "none":
        at_once = max(1, model.call_tokens // span_scoring.TOKENS_PER_ROW)
    at_once = min(at_once, model.max_rows or at_once)

    stream = with_boundary(ids, model.tokenizer.boundary_id)
    for block in arrays.blocks(len(order), at_once):
        lines = order[block]
        trie = _PrefixTrie(model, ids, spans[lines], compared_S[lines], is_likeliest_N)
        # The list lets the device compute everything before the first copy waits for it.
        for position_E, logprob_E in list(interruptible_pieces(trie.read(stream))):
            logprob_N[position_E] = arrays.as_numpy(logprob_E)
        trie.copy_shared(logprob_N)
    return logprob_N, is_likeliest_N


class _PrefixTrie:
    """L sorted lines. At each depth, the first of the lines with the same beginning is the row that
    reads for all of them.

    A line has `shared_L` tokens in common with the line before it, and is read in a separate row
    from the depth `joins_L`. While `is_open_L`, it is compared with the likeliest tokens.

    "the cat ran" and "the cat sat" share two tokens, and the three inputs `</s> the cat`. A network
    reads these once, as the hidden vector after `cat` serves both `ran` and `sat`; the second line
    joins with its first input that differs, at depth 3. Other models score a target along with its
    input, so the second line joins at depth 2, and `cat` is read twice.
    """

    def __init__(
        self,
        model: LanguageModel,
        ids: np.ndarray,
        spans: np.ndarray,
        compared_L: np.ndarray,
        is_likeliest_N: np.ndarray,
    ) -> None:
        self.model = model
        self.network = model if isinstance(model, HiddenStateModel) else None
        self.ids = ids
        self.start_L = spans[:, 0]
        self.length_L = spans[:, 1] - spans[:, 0]
        # The lines are sorted, so no earlier one shares more with a line than the one before it.
        lines = [ids[start:end] for start, end in spans.tolist()]
        self.shared_L = np.array([0, *itertools.starmap(_common, itertools.pairwise(lines))])
        self.joins_L = self.shared_L + (self.network is not None)
        self.joins_L[0] = 0
        self.compared_L = compared_L
        self.is_open_L = compared_L < self.length_L
        self.is_likeliest_N = is_likeliest_N

    def read(self, stream: np.ndarray) -> Iterator[tuple[np.ndarray, Array]]:
        """Yield the positions of targets and their log-probabilities, (E,), each distinct beginning
        once."""
        depth = 0
        rows = self._rows_at(0)
        state = self.model.initial_state(len(rows))
        while len(rows):
            # Read up to the next depth at which a line ends, branches off or is compared.
            end = self._next_change(rows, depth)
            position_RT = self.start_L[rows, None] + np.arange(depth, end)
            inputs_RT = stream[position_RT]
            if self.network is not None:
                hidden_RTH, after = self.network.hidden(inputs_RT, state)
                yield self._score_hidden(self.network, hidden_RTH, position_RT, rows, end)
                predict_rows = functools.partial(_predict_hidden, self.network, hidden_RTH)
            else:
                logprob_RT, after = self.model.score(inputs_RT, self.ids[position_RT], state)
                yield position_RT, logprob_RT
                predict_rows = functools.partial(self._predict, inputs_RT, state)
            self._compare(depth, rows, predict_rows)

            # Lines that branch off here continue from the state of the row that read for them.
            following = self._rows_at(end)
            is_same = np.array_equal(following, rows) or not len(following)
            state = after if is_same else after.select(_rows_of(following, rows))
            rows, depth = following, end

    def copy_shared(self, logprob_N: np.ndarray) -> None:
        """Copy to each line the scores of the part that it shares with the line before it."""
        starts = self.start_L.tolist()
        for (before, start), shared in zip(
            itertools.pairwise(starts), self.shared_L[1:].tolist(), strict=True
        ):
            logprob_N[start : start + shared] = logprob_N[before : before + shared]

    def _rows_at(self, depth: int) -> np.ndarray:
        return np.flatnonzero((self.joins_L <= depth) & (self.length_L > depth))

    def _compared_at(self, depth: int) -> np.ndarray:
        """Return the lines whose token at this depth is compared."""
        return np.flatnonzero(self.is_open_L & (self.compared_L <= depth) & (self.length_L > depth))

    def _next_change(self, rows: np.ndarray, depth: int) -> int:
        """Return how far the rows can be read in one call: to where a line ends, branches off, or
        is compared."""
        if len(self._compared_at(depth)):
            return depth + 1
        changes = np.concatenate(
            [self.length_L[rows], self.joins_L, self.compared_L[self.is_open_L]]
        )
        next_change = int(changes[changes > depth].min())
        most_tokens = span_scoring.window_tokens(self.model, self.model.call_tokens)
        return min(next_change, depth + max(1, most_tokens // len(rows)))

    def _score_hidden(
        self,
        network: HiddenStateModel,
        hidden_RTH: Array,
        position_RT: np.ndarray,
        rows: np.ndarray,
        end: int,
    ) -> tuple[np.ndarray, Array]:
        """Score the rows' targets, and the first own target of lines that branch off after the last
        input. Return positions and scores."""
        new = np.flatnonzero((self.joins_L == end) & (self.length_L >= end))
        count, length = position_RT.shape
        row_E = np.concatenate([np.repeat(np.arange(count), length), _rows_of(new, rows)])
        time_E = np.concatenate([np.tile(np.arange(length), count), np.full(len(new), length - 1)])
        position_E = np.concatenate([position_RT.ravel(), self.start_L[new] + self.shared_L[new]])
        rows_E = arrays.as_array_of(row_E, hidden_RTH)
        times_E = arrays.as_array_of(time_E, hidden_RTH)
        hidden_1EH = hidden_RTH[rows_E, times_E][None]
        return position_E, network.score_hidden(hidden_1EH, self.ids[position_E][None])[0]

    def _compare(
        self, depth: int, rows: np.ndarray, predict_rows: Callable[[np.ndarray], Array]
    ) -> None:
        """Compare the tokens of lines at this depth with the likeliest ones. `predict_rows` takes
        rows, (M,), and returns the log-probabilities (nats) of every token there, (M, V)."""
        lines = self._compared_at(depth)
        if not len(lines):
            return

        # Predict once for each row, a few of them at a time.
        chosen, which = np.unique(_rows_of(lines, rows), return_inverse=True)
        at_once = max(1, span_scoring.MOST_CELLS // self.model.tokenizer.size)
        likeliest = []
        for block in arrays.blocks(len(chosen), at_once):
            logprob_MV = predict_rows(chosen[block])
            likeliest.append(arrays.library(logprob_MV).argmax(logprob_MV, -1))
        likeliest_M = np.concatenate([arrays.as_numpy(each_M) for each_M in likeliest])
        position = self.start_L[lines] + depth
        is_likeliest = likeliest_M[which] == known_ids(self.ids[position], self.model.tokenizer)
        self.is_likeliest_N[position] = self.is_open_L[lines] = is_likeliest

    def _predict(self, inputs_RT: np.ndarray, state: State, rows: np.ndarray) -> Array:
        return self.model.predict(inputs_RT[rows, :1], state.select(rows))[0][:, 0]


def _predict_hidden(network: HiddenStateModel, hidden_RTH: Array, rows: np.ndarray) -> Array:
    """Return the log-probabilities (nats), (M, V), of each token after the first input of `rows`,
    (M,)."""
    hidden_M1H = hidden_RTH[arrays.as_array_of(rows, hidden_RTH)][:, :1]
    return network.predict_hidden(hidden_M1H)[:, 0]


def _rows_of(lines: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the row that reads for each of `lines`: the last that does not come after it."""
    return np.searchsorted(rows, lines, side="right") - 1


def _common(first: np.ndarray, second: np.ndarray) -> int:
    """Return how many tokens two lines have in common at their beginnings."""
    length = min(len(first), len(second))
    differ = first[:length] != second[:length]
    return int(differ.argmax()) if differ.any() else length


# ---- Word by word, for decoders and services.
#
#     scorer = model.scorer()
#     logprob_nats, state = scorer.extend(scorer.begin(), "the")
#
# A word counts with all its tokens, as in a line with one space between two words; so the words of
# such a line and its `</s>` add up to the line's log-probability.


@dataclass(frozen=True, slots=True)
class WordPrefix:
    """The words of a line so far. A value: it can be kept, extended in several ways, and handed to
    other threads.

    Two prefixes are equal, with the same hash, if the model does not distinguish the words read:
    for decoders that merge hypotheses.
    """

    _read: object
    _begins_line: bool = False  # where that makes a difference
    _scorer: PrefixScorer | None = field(default=None, compare=False, repr=False)


class WordScorer:
    """A scorer for lines that grow word by word, returned by :meth:`rnnlm.Model.scorer`. Threads
    may share one.

    A network's predictions after each state are cached, up to 128 MiB, so further words after the
    same state cost nothing.

    Args:
        model: The model that scores.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.model = model = language_model_of(model)
        self._prefixes = prefix_scorer(model)
        self._tokens = WordTokens(model.tokenizer)
        self._search = WordSearch(self._prefixes.model, WordFinder(model.tokenizer))

    def __repr__(self) -> str:
        return f"<scorer of {name_if_saved(self.model) or 'a model'}, word by word>"

    def __reduce__(self) -> tuple[object, ...]:
        return WordScorer, (self.model,)

    def begin(self) -> WordPrefix:
        """Return the state at the start of a line."""
        return self._prefix(self._prefixes.begin(), begins_line=True)

    def extend(self, state: WordPrefix, word: str) -> tuple[float, WordPrefix]:
        """Score a word after a prefix.

        A word may be several tokens, as in a line; if tokens are characters or bytes, they include
        the space before it. If words are made of pieces, log p is the log-probability of the
        pieces, so it includes longer words that begin with them.

        Args:
            state: The prefix.
            word: The next word, or `</s>`, which ends the line.

        Returns:
            log p(word | state) in nats, -inf if the word is impossible, and the prefix after the
            word; after `</s>`, the start of a new line.

        Raises:
            TextError: `word` is empty, contains white space, or is `<s>`.
            ArgumentTypeError: `word` is not a str.
            UsageError: `state` belongs to another scorer.
            ModelError: The model's scores are not numbers.
        """
        [answer] = self._extended([state], [word])
        return answer

    def extend_all(
        self, states: Iterable[WordPrefix], words: Iterable[str]
    ) -> list[tuple[float, WordPrefix]]:
        """Extend each prefix by one word. A network reads all prefixes in one batch, in a fraction
        of the time; log p may differ by rounding from the result of :meth:`extend`.

        Args:
            states: N prefixes.
            words: The next word of each, N words.

        Returns:
            For each prefix, the result of :meth:`extend`.

        Raises:
            UsageError: The numbers of states and words differ, or a state belongs to another
                scorer. Other errors are the errors of :meth:`extend`.
        """
        name, argument = "words", cast(object, words)
        if isinstance(states, WordPrefix):
            name, argument = "states", states
        if isinstance(argument, (WordPrefix, str, bytes)):
            raise ArgumentTypeError(
                f"extend_all: {name} must be a list, not {given(argument)}",
                hint="extend takes one state and one word",
            )
        return self._extended(list(states), list(words))

    def _extended(
        self, states: Sequence[WordPrefix], words: Sequence[str]
    ) -> list[tuple[float, WordPrefix]]:
        if len(states) != len(words):
            raise UsageError(
                f"{plural(len(states), 'state')} and {plural(len(words), 'word')}",
                "each state is extended by one word",
                "give as many of both",
            )

        # All first tokens side by side, then all second ones, and so on.
        tokens = [self._tokens_of(state, word) for state, word in zip(states, words, strict=True)]
        prefixes, totals = [state._read for state in states], [0.0] * len(states)
        for place in range(max(map(len, tokens), default=0)):
            having = [number for number, ids in enumerate(tokens) if place < len(ids)]
            before = [prefixes[number] for number in having]
            tokens_here = [tokens[number][place] for number in having]
            answers = self._prefixes.extend_all(before, tokens_here)
            for number, (logprob_nats, _, prefix) in zip(having, answers, strict=True):
                totals[number] += logprob_nats
                prefixes[number] = prefix

        extended = []
        for number, word in enumerate(words):
            after = states[number]  # a word that the tokenizer removes changes nothing
            if word == BOUNDARY:
                after = self.begin()
            elif tokens[number]:
                after = self._prefix(prefixes[number])
            extended.append((totals[number], after))
        return extended

    def next(self, state: WordPrefix, count: int = 10) -> list[NextWord]:
        """Return the likeliest next words, likeliest first, including `</s>`. Unknown words are
        left out.

        If every token is a word, the probability is exp(log p) of :meth:`extend`. If words are made
        of pieces, it is the probability of the whole word, including its end, given that another
        word ended before it (:mod:`rnnlm.lm.base.words`).

        Args:
            state: The prefix.
            count: Number of words to return.

        Raises:
            UsageError: `state` belongs to another scorer, or `count` is below 0.
            ArgumentTypeError: `count` is not a whole number.
            ModelError: The model's scores are not numbers.
        """
        self._check(state)
        check_count(count)
        logprob_V, after = self._prefixes.distribution(state._read)
        next_words = self._search.after(logprob_V.astype("float64"), after, state._begins_line)
        return list(itertools.islice(self._search.known(next_words), count))

    def _tokens_of(self, state: WordPrefix, word: str) -> tuple[int, ...]:
        self._check(state)
        if not isinstance(word, str):
            raise ArgumentTypeError(f"the word must be a str, not {given(word)}")
        # White space inside would make two words, which a line counts apart.
        if split_words(word) != [word] or "\n" in word:
            raise TextError(
                f"{word!r} is not one word",
                "a word has at least one character, and no white space",
                "extend word by word",
            )
        return self._tokens.of(word, state._begins_line)[0]

    def _check(self, state: WordPrefix) -> None:
        if not isinstance(state, WordPrefix):
            raise ArgumentTypeError(
                f"the state must be a WordPrefix, not {given(state)}", hint="begin with begin()"
            )
        # Tokens of another model mean other words.
        if state._scorer is not self._prefixes:
            raise UsageError(
                "this state belongs to another scorer",
                "models cannot share states",
                "begin with begin()",
            )

    def _prefix(self, read: object, begins_line: bool = False) -> WordPrefix:
        return WordPrefix(read, begins_line and not self._search.tokens_are_words, self._prefixes)
