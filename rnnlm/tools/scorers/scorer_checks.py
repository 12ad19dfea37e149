"""Check whatever gives probabilities of texts: a language model, a function, a server.

One table of checks serves all of them. A :class:`Scorer` says which access there is: to the
log-probabilities of all next tokens, or of the likeliest; to those of the tokens of a text; or to
the total of a text alone. A check uses the access that it finds, and says what that cannot show.

Scores can look better than they are: by a distribution that sums to more than one, a token that is
left out, or scored after the model has read it, padding that changes other rows, ties that count as
right. Each lowers a perplexity or raises an accuracy, and none shows in the number.
"""

import os
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise, zip_longest
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from rnnlm import corpora, registry
from rnnlm.arrays import as_numpy
from rnnlm.errors import ArgumentTypeError, ModelError, UsageError, keyword
from rnnlm.evaluation.soundness import Check, Verdict, check_model
from rnnlm.interface import PADDING, Device, LanguageModel, ModelHandle, core_of

Text = tuple[Hashable, ...]  # token ids, or words
Finding = tuple[Verdict, str]
SAME = 1e-3  # nats: scores that differ by less are the same, up to rounding
SUM_TOLERANCE = 1e-4
TEXTS, LENGTH = 3, 8  # of each sort of text; in tokens or words
HALF = LENGTH // 2
REPEATED = 8  # times that the frequent texts are read, for caches to fill
FURTHER = 3  # contexts longer than a text, of seeded lengths
LIKELIEST = 20  # tokens that frequent texts are drawn from
CANDIDATES = 3
OF_CONTEXT = "the function is given the context alone"


class TokenScores(NamedTuple):
    """The tokens of a text as the scorer splits it, the end included if it is scored, and their
    log-probabilities (nats)."""

    tokens: Text
    logprob_N: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """The access to a scorer. A function is None where there is no such access.

    Attributes:
        after: Returns the log-probabilities (nats) of the tokens that may follow a text: of all, in
            an array, or of the likeliest, by token.
        scores: Returns the scores of the tokens of texts, computed in one batch.
        total: Returns the log-probability (nats) of a whole text.
        parts: Returns the scores of the tokens of a text read in two parts: the first ends after
            this many inputs, and its state is carried to the second.
        end: The token that ends a text, if it is scored.
        is_normalised: Whether it claims that probabilities sum to one.
        sum_error: By how much sums may differ from one because values are stored as codes.
        takes_batches: Whether `scores` takes several texts.
        bytes_of: Returns the number of bytes of a text; None if it is not known.
    """

    after: Callable[[Text], np.ndarray | Mapping[Hashable, float]] | None = None
    scores: Callable[[Sequence[Text]], list[TokenScores]] | None = None
    total: Callable[[Text], float] | None = None
    parts: Callable[[Text, int], np.ndarray] | None = None
    end: Hashable = None
    is_normalised: bool = True
    sum_error: float = 0.0
    takes_batches: bool = False
    bytes_of: Callable[[Text], int | None] = lambda text: None

    def values(self, text: Text) -> np.ndarray:
        """Return the log-probabilities of the tokens of a text, or its total alone."""
        if self.scores:
            return self.scores([text])[0].logprob_N
        if self.total:
            return np.array([self.total(text)])
        return self.chain(text)

    def chain(self, tokens: Text) -> np.ndarray:
        """Return the log-probability of each token after those before, by the chain rule."""
        return np.array([self.next(tokens[:at])[token] for at, token in enumerate(tokens)])

    def next(self, text: Text) -> Mapping[Hashable, float]:
        """Return what `after` returns, by token."""
        found = self.after(text) if self.after else {}
        return found if isinstance(found, Mapping) else dict(enumerate(found.tolist()))

    def checks(self) -> Iterator[Check]:
        """Yield the checks of `rnnlm doctor`."""
        return checks_of(self)


# ---- The access to models and functions. Satellites open other scorers by name.


def of_model(model: LanguageModel) -> Scorer:
    """Return the access to a language model, which is complete."""
    tokenizer, boundary = model.tokenizer, model.tokenizer.boundary_id

    def after(text: Text) -> np.ndarray:
        ids_1T, state = np.array([[boundary, *text]]), model.initial_state(1)
        if text:
            _, state = model.score(ids_1T[:, :-1], ids_1T[:, 1:], state)
        return as_numpy(model.predict(ids_1T[:, -1:], state)[0])[0, 0].astype(np.float64)

    def scores(texts: Sequence[Text]) -> list[TokenScores]:
        # Each text follows a boundary and ends with one; short ones are padded.
        longest = max(map(len, texts)) + 1
        inputs_BT = np.full((len(texts), longest), boundary)
        targets_BT = np.full((len(texts), longest), PADDING)
        for row, text in enumerate(texts):
            inputs_BT[row, 1 : len(text) + 1] = text
            targets_BT[row, : len(text) + 1] = (*text, boundary)
        logprob_BT, _ = model.score(inputs_BT, targets_BT, model.initial_state(len(texts)))
        rows = zip(texts, as_numpy(logprob_BT).astype(np.float64), strict=True)
        return [TokenScores((*text, boundary), row_T[: len(text) + 1]) for text, row_T in rows]

    def parts(text: Text, at: int) -> np.ndarray:
        ids_1T, state = np.array([[boundary, *text, boundary]]), model.initial_state(1)
        first_1T, state = model.score(ids_1T[:, :at], ids_1T[:, 1 : at + 1], state)
        second_1T, _ = model.score(ids_1T[:, at:-1], ids_1T[:, at + 1 :], state)
        both = [as_numpy(part_1T)[0].astype(np.float64) for part_1T in (first_1T, second_1T)]
        return np.concatenate(both)

    def bytes_of(text: Text) -> int | None:
        is_exact = tokenizer.keeps_text and tokenizer.keeps_case and tokenizer.unk_id not in text
        return len(tokenizer.decode(np.array(text)).encode()) + 1 if is_exact else None

    return Scorer(
        after=after, scores=scores, parts=parts, end=boundary, is_normalised=model.normalised,
        sum_error=getattr(model, "sum_error", 0.0), takes_batches=model.max_rows is None,
        bytes_of=bytes_of,
    )  # fmt: skip


def of_function(function: Callable[[Any], Any], takes: str = "ids") -> Scorer:
    """Return the access to a function.

    takes: "ids", a list of token ids, for which it returns the log-probabilities of all next
    tokens; or "text", for which it returns the log-probability of the whole.
    """

    def called(argument: Any, result: Callable[[Any], Any]) -> Any:
        """Return what `result` makes of the function's result."""
        try:
            return result(function(argument))
        except Exception as error:
            raise ModelError(
                f"the function fails for {argument!r}",
                f"{type(error).__name__}: {error}",
                "the first token follows []; if it takes a text, add " + keyword("takes", "text")
                if argument == []
                else "",
            ) from error

    def array(values: Any) -> np.ndarray:
        """Return a list, an array or a tensor as an array."""
        found = as_numpy(values) if hasattr(values, "detach") else np.asarray(values)
        return found.astype(np.float64)

    def after(text: Text) -> np.ndarray:
        # One number is what a function of texts returns.
        logprob_V: np.ndarray = called(list(text), array)
        if logprob_V.ndim == 1 and len(logprob_V) > 1:
            return logprob_V
        raise ArgumentTypeError(
            "a function of token ids must return a log-probability for each token of the "
            f"vocabulary, not an array of shape {logprob_V.shape}",
            hint="if it returns the total of a text, add " + keyword("takes", "text"),
        )

    if takes == "ids":
        return Scorer(after=after)
    return Scorer(total=lambda text: called(written(text), float), bytes_of=bytes_of_words)


def written(text: Text) -> str:
    """Return a text of words, as functions and servers read it."""
    return " ".join(map(str, text))


def bytes_of_words(text: Text) -> int:
    """Return the number of bytes of a text of words, one for its end included."""
    return len(written(text).encode()) + 1


def check_scorer(
    scorer: "str | Path | ModelHandle | LanguageModel | Scorer | Callable[[Any], Any]",
    *,
    takes: str = "ids",
    path: str | Path | None = None,
    device: str | Device = "auto",
    seed: int = 0,
) -> list[Check]:
    """Check whatever gives probabilities of texts, as `rnnlm doctor` does.

    Args:
        scorer: A model, a function, or its name: that of a model, MODULE:FUNCTION, or the address
            of a server that answers in OpenAI's form.
        takes: Argument of the function. "ids": a list of token ids, for which it returns the
            log-probabilities (nats) of all next tokens. "text": a text, for which it returns the
            log-probability of the whole.
        path: Folder to import MODULE from, besides the installed packages.
        device: Where a network computes.
        seed: Random seed of the texts.

    Returns:
        Each check with its result.

    Raises:
        UsageError: `takes` is neither "ids" nor "text", or `path` is given for a scorer that is not
            MODULE:FUNCTION.
        ModelError: There is no such model, function or server, or the function fails.
    """
    if takes not in ("ids", "text"):
        raise UsageError(keyword("takes") + f" must be ids or text, not {takes}")
    name = os.fspath(scorer) if isinstance(scorer, (str, os.PathLike)) else ""
    opened = registry.scorer_of(name)
    if opened:
        return list(checks_of(opened(name, takes, path), seed))
    if path is not None:
        raise UsageError(keyword("path") + " is for functions that are named MODULE:FUNCTION")

    # Files of a model are checked, too.
    if name:
        return list(check_model(name, seed=seed, device=device))
    if not isinstance(scorer, Scorer):
        is_function = callable(scorer) and not hasattr(scorer, "initial_state")
        asked = cast(Any, scorer)
        scorer = of_function(asked, takes) if is_function else of_model(core_of(asked))
    return list(checks_of(scorer, seed))


# ---- The texts that scorers are checked on.


def _texts_of_ids(scorer: Scorer, generator: np.random.Generator) -> dict[str, list[Text]]:
    """Draw texts token by token: of likely tokens, as the scorer has them, of unlikely ones, and of
    any."""

    def drawn(sort: str) -> Text:
        text: Text = ()
        while len(text) < LENGTH:
            logprob_V = np.asarray(cast(Any, scorer.after)(text))
            order = np.argsort(-logprob_V, kind="stable")
            order = order[order != scorer.end]
            likely, unlikely = order[:LIKELIEST], order[-max(2, len(order) // 10) :]
            pool = {"frequent": likely, "rare": unlikely, "unseen": order}[sort]
            # Adding this noise to log-probabilities draws by probability.
            noise = generator.gumbel(size=len(pool))
            place = np.argmax(noise + logprob_V[pool] if sort == "frequent" else noise)
            text += (int(pool[place]),)
        return text

    return {sort: [drawn(sort) for _ in range(TEXTS)] for sort in ("frequent", "rare", "unseen")}


def _texts_of_words(generator: np.random.Generator) -> dict[str, list[Text]]:
    """Return beginnings of bundled sentences: as they are, with their words in another order, and
    with each word spelled backwards."""
    lines = corpora.part("english", "test").read_text(encoding="utf-8").split("\n")
    begun = [line.split()[:LENGTH] for line in lines]
    frequent = [words for words in begun if len(set(words)) == LENGTH][:TEXTS]
    return {
        "frequent": [tuple(words) for words in frequent],
        "rare": [tuple(generator.permutation(words).tolist()) for words in frequent],
        "unseen": [tuple(word[::-1] for word in words) for words in frequent],
    }


@dataclass(frozen=True)
class Trial:
    """A scorer with the texts that it is checked on: by sort, all of one length; a long one, after
    which caches are full; and beginnings of it, from the empty one on."""

    scorer: Scorer
    by_sort: Mapping[str, Sequence[Text]]
    long: Text
    begun: Sequence[Text]
    is_complete: bool  # whether the probabilities of all next tokens are known

    @property
    def texts(self) -> list[Text]:
        """All texts of one length."""
        return [text for texts in self.by_sort.values() for text in texts]


# ---- The checks. Each returns its result and the findings.


def _gap(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference between scores; infinity if they are not numbers, or are not as
    many."""
    if len(one) != len(other):
        return np.inf
    with np.errstate(invalid="ignore"):
        gap_N = np.where(one == other, 0.0, np.abs(one - other))
    return float(np.nan_to_num(gap_N, nan=np.inf).max(initial=0))


def _verdict(gaps: Sequence[float], about: str) -> Finding:
    """Return the finding for scores that should be the same, by their differences."""
    gap = max(gaps)
    return "ok" if gap <= SAME else "failed", f"{about} differ by {gap:.1e} nats at most"


def sums(trial: Trial) -> Finding:
    """Check that probabilities sum to one, or to no more where not all are known."""
    scorer = trial.scorer
    if scorer.total:
        # Texts of one length exclude each other.
        total = sum(np.exp(scorer.total(text)) for text in {*trial.texts})
        result: Verdict = "not checked" if total <= 1 + SUM_TOLERANCE else "failed"
        return result, f"{len(trial.texts)} different texts sum to {total:.3g}"
    by_sort = {"begun": trial.begun, **trial.by_sort, "long": [trial.long]}
    totals = {
        (sort, text): float(np.exp([*scorer.next(text).values()]).sum())
        for sort, texts in by_sort.items()
        for text in texts
    }
    off = {key: np.nan_to_num(total - 1, nan=np.inf) for key, total in totals.items()}
    if not trial.is_complete:
        most = max(off.values())
        result = "not checked" if most <= SUM_TOLERANCE else "failed"
        return result, f"the likeliest next tokens sum to {1 + most:.3g} at most"
    worst = max(off, key=lambda key: abs(off[key]))
    result = "ok" if abs(off[worst]) <= SUM_TOLERANCE + scorer.sum_error else "failed"
    what = f"{totals[worst]:.6g}, context: {worst[0]}; of {len(off)}, this is farthest from 1"
    return result if scorer.is_normalised else "not claimed", what


def no_future(trial: Trial) -> Finding:
    """Check that scores of tokens do not depend on the tokens after them."""
    score, gaps = trial.scorer.scores, []
    if not score:
        return ("not checked", "a total") if trial.scorer.total else ("ok", OF_CONTEXT)
    for text, other in pairwise(trial.texts):
        tokens, logprob_N = score([text])[0]
        for changed in (text[:HALF], text[:HALF] + other[HALF:]):
            # A tokenizer may split the last word that they share in another way.
            found = score([changed])[0]
            pairs = enumerate(zip_longest(tokens, found.tokens))
            same = next((at for at, (one, two) in pairs if one != two), len(tokens))
            gaps.append(_gap(logprob_N[:same], found.logprob_N[:same]))
    return _verdict(gaps, "scores before other continuations")


def every_token(trial: Trial) -> Finding:
    """Check that each token of a text, and its end, is scored once."""
    scorer, gaps = trial.scorer, []
    if not scorer.scores:
        return "not checked", "whether the end counts is not known"
    for text in trial.texts:
        tokens, logprob_N = scorer.scores([text])[0]
        is_whole = tokens == (*text, scorer.end) or "".join(map(str, tokens)) == written(text)
        if not is_whole or len(tokens) != len(logprob_N):
            return "failed", f"{len(logprob_N)} scores of {tokens} for {text}"
        if trial.is_complete:
            gaps.append(_gap(logprob_N, scorer.chain(tokens)))
    if gaps:
        return _verdict(gaps, "scores of all tokens, the end included, and their probabilities")
    return "ok", "each token has one score; the end is not scored"


def before_reading(trial: Trial) -> Finding:
    """Check that a token has the score that it had before the scorer could read it: that of a
    distribution which is asked for without the token."""
    scorer, gaps = trial.scorer, []
    if not scorer.scores or not scorer.after:
        return ("not checked", "a total") if scorer.total else ("ok", OF_CONTEXT)
    for context in [*(text[:HALF] for text in trial.texts), trial.long]:
        found = scorer.next(context)
        candidates = sorted(found, key=lambda token: -found[token])
        for token in [*candidates[:CANDIDATES], candidates[-1]]:
            # Tokens of a server begin with a space; the end has a place of its own.
            item = token.strip() if isinstance(token, str) else token
            tokens, logprob_N = scorer.scores([(*context, item)])[0]
            place = len(tokens) - 1 - (scorer.end is not None)
            if tokens[place] == token != scorer.end:
                gaps.append(_gap(logprob_N[[place]], np.array([found[token]])))
    if not gaps:
        return "not checked", "no likely next token is the last one of its text"
    return _verdict(gaps, f"scores of {len(gaps)} tokens, and their probabilities before,")


def twice(trial: Trial) -> Finding:
    """Check that the same texts have the same scores again, in another order."""
    texts = [*trial.texts, trial.long]
    first = [trial.scorer.values(text) for text in texts]
    again = [trial.scorer.values(text) for text in reversed(texts)]
    return _verdict([*map(_gap, first, reversed(again))], "scores of the same text")


def in_parts(trial: Trial) -> Finding:
    """Check that texts have the same scores where a state is carried from one part to the next, as
    evaluation carries it; each text is cut at another place."""
    parts = trial.scorer.parts
    if not parts:
        return "not checked", "no state is carried"
    gaps = [
        _gap(parts(text, 1 + number % LENGTH), trial.scorer.values(text))
        for number, text in enumerate(trial.texts)
    ]
    return _verdict(gaps, "scores in one part and in two")


def beside(trial: Trial, is_padded: bool) -> Finding:
    """Check that texts have the same scores alone and in batches: of two texts, of all, and of all
    several times; padded: texts of different lengths."""
    scorer, texts = trial.scorer, trial.texts
    if not scorer.scores or not scorer.takes_batches:
        return "not checked", "one text at a time"
    if is_padded:
        texts = [text[: 1 + at % LENGTH] for at, text in enumerate(texts)]
    alone = [scorer.values(text) for text in texts] * 4
    scored = [scorer.scores(batch) for batch in (texts[:2], texts, texts * 4)]
    gaps = [
        _gap(one.logprob_N, by) for batch in scored for one, by in zip(batch, alone, strict=False)
    ]
    return _verdict(gaps, "scores alone and in a batch")


def ties(trial: Trial) -> Finding:
    """Check that texts which differ in one place have the same score only where the probabilities
    of their tokens have the same product; or that not all do, where these are not known."""
    scorer, pairs = trial.scorer, []

    # Texts, each with others that have another token in one place.
    for text, other in pairwise(trial.texts):
        changed = [(*text[:at], other[at], *text[at + 1 :]) for at in range(0, LENGTH, 3)]
        pairs += [(text, found) for found in changed if found != text]
    tied = [pair for pair in pairs if len({float(scorer.values(one).sum()) for one in pair}) == 1]

    # A tie is right where the chains of probabilities, which are known of some scorers, tie, too.
    is_failed = len(tied) == len(pairs)
    if scorer.scores and trial.is_complete:
        totals = [[scorer.chain((*one, scorer.end)).sum(keepdims=True) for one in pair]
                  for pair in tied]  # fmt: skip
        is_failed = any(_gap(*pair) > SAME for pair in totals)

    what = f"{len(tied)} of {len(pairs)} pairs of texts that differ in one place tie"
    advice = "a tie is no right answer"
    if len(tied) == len(pairs):
        advice = "only a uniform scorer may do that, and it cannot rank texts"
    return "failed" if is_failed else "ok", f"{what}; {advice}"


def prefixes(trial: Trial) -> Finding:
    """Check that a text is never likelier than one that it begins with; and less likely, where
    totals alone show that all of it is read."""
    values = trial.scorer.values
    if trial.scorer.total:
        # Words that no text has had make the last one unlikely even for a cache.
        pairs = [*((text, trial.long) for text in trial.texts), (trial.long, trial.texts[-1])]
        rise = max(values(text + more)[0] - values(text)[0] for text, more in pairs)
        what = f"more words change a total by {rise:.4g} nats at most; all must lower it"
        return "ok" if rise < -SAME else "failed", what
    rise = max(values(text).max() for text in [*trial.texts, trial.long])
    what = f"the largest score of a token is {rise:.3g} nats"
    return "ok" if rise <= SAME else "failed", what


def bits_per_byte(trial: Trial) -> Finding:
    """Compute the bits per byte of texts that the tokenizer keeps as they are."""
    known = {text: trial.scorer.bytes_of(text) for text in trial.texts}
    size = sum(filter(None, known.values()))
    if not size:
        return "not checked", "the bytes of the tokens are not known"
    nats = -sum(trial.scorer.values(text).sum() for text in known if known[text])
    result: Verdict = "ok" if nats >= 0 else "failed"
    return result, f"{nats / size / np.log(2):.4g} in {size:,} bytes of texts made up here"


CHECKS: dict[str, Callable[[Trial], Finding]] = {
    "sums in texts": sums,
    "no future": no_future,
    "every token": every_token,
    "before reading": before_reading,
    "twice": twice,
    "in parts": in_parts,
    "in a batch": partial(beside, is_padded=False),
    "padded": partial(beside, is_padded=True),
    "ties": ties,
    "prefixes": prefixes,
    "bits per byte": bits_per_byte,
}


def checks_of_model(model: LanguageModel, seed: int, prefix: str) -> Iterator[Check]:
    """Yield the checks of a language model. prefix: before their names."""
    return checks_of(of_model(model), seed, prefix)


def checks_of(scorer: Scorer, seed: int = 0, prefix: str = "") -> Iterator[Check]:
    """Yield the checks of a scorer. prefix: before their names."""
    generator = np.random.default_rng(seed)
    is_complete = scorer.after is not None and not isinstance(scorer.after(()), Mapping)
    drawn = _texts_of_ids(scorer, generator) if is_complete else _texts_of_words(generator)
    long = tuple(chain.from_iterable(drawn["frequent"])) * REPEATED
    further = generator.integers(LENGTH + 1, len(long), FURTHER).tolist()
    begun = [long[:length] for length in (*range(LENGTH), *further)]
    trial = Trial(scorer, drawn, long, begun, is_complete)
    for name, check in CHECKS.items():
        result, detail = check(trial)
        if result == "not checked":
            detail = f"cannot be checked with this access: {detail}"
        yield Check(f"{prefix} {name}".strip(), result, detail)
