"""Each fault that a scorer can have is found, whatever the access; a sound scorer has none."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest

import rnnlm
from rnnlm.evaluation import scorer_checks
from rnnlm.evaluation.scorer_checks import CHECKS, checks_of, of_model
from rnnlm.lm.mixtures.adaptation import adapt
from support.tiny_models import LINES, fit, make_tokenizer

TOKENIZER = make_tokenizer()
SIZE, END = TOKENIZER.size, TOKENIZER.boundary_id
TABLE = np.random.default_rng(5).normal(size=(SIZE, SIZE))
TABLE -= np.log(np.exp(TABLE).sum(axis=1, keepdims=True))


@dataclasses.dataclass(frozen=True)
class Read:
    """The inputs that each row has read."""

    rows: tuple[tuple[int, ...], ...]


class Bigrams:
    """A language model that computes one token at a time, so that faults are easy to plant."""

    tokenizer, normalised, max_rows, fingerprint = TOKENIZER, True, None, None
    call_tokens, boundary_resets_state, precision, adaptation = 64, False, "fp64", "none"

    def initial_state(self, rows):
        return Read(((),) * rows)

    def after(self, read):
        """Return the log-probabilities of all next tokens."""
        return TABLE[read[-1]]

    def value(self, read, target, later, rows, padding):
        """Return the score of a target after what was read. later: the inputs of the row from it
        on; rows: how many are scored together; padding: targets that are padding in the row."""
        return self.after(read)[target]

    def score(self, inputs_BT, targets_BT, state):
        logprob_BT = np.zeros(inputs_BT.shape)
        read_B = [(*read, *row) for read, row in zip(state.rows, inputs_BT.tolist(), strict=True)]
        for row, time in np.ndindex(*inputs_BT.shape):
            target, start = int(targets_BT[row, time]), len(state.rows[row])
            if target >= 0:
                read, later = read_B[row][: start + time + 1], read_B[row][start + time + 1 :]
                padding = int((targets_BT[row] < 0).sum())
                value = self.value(read, target, later, len(inputs_BT), padding)
                logprob_BT[row, time] = value
        return logprob_BT, Read(tuple(read_B))

    def predict(self, inputs_BT, state):
        _, after = self.score(inputs_BT, np.full_like(inputs_BT, -1), state)
        rows = [[self.after(read[: len(read) - left]) for left in range(inputs_BT.shape[1])[::-1]]
                for read in after.rows]  # fmt: skip
        return np.array(rows), after


class SumsTo277(Bigrams):
    def after(self, read):
        return TABLE[read[-1]] + np.log(277)


class SumsToMoreAfterRareTokens(Bigrams):
    def after(self, read):
        is_rare = len(read) > 1 and TABLE[read[-2]][read[-1]] <= np.sort(TABLE[read[-2]])[1]
        return TABLE[read[-1]] + (0.01 if is_rare else 0)


class SumsToMoreOnceACacheHasRead(Bigrams):
    def after(self, read):
        return TABLE[read[-1]] + (0.01 if len(read) > 50 else 0)


class SeesTheNextInput(Bigrams):
    def value(self, read, target, later, rows, padding):
        bonus = 0.5 if len(later) > 1 and later[1] % 2 else 0
        return self.after(read)[target] + bonus


class LeavesOutTheEnd(Bigrams):
    def value(self, read, target, later, rows, padding):
        return 0.0 if target == END else self.after(read)[target]


class LeavesOutTokens(Bigrams):
    def value(self, read, target, later, rows, padding):
        return 0.0 if len(read) % 5 == 0 else self.after(read)[target]


class CountsTokensTwice(Bigrams):
    def value(self, read, target, later, rows, padding):
        return self.after(read)[target] * (2 if len(read) == 3 else 1)


class AdaptsBeforeItScores(Bigrams):
    def value(self, read, target, later, rows, padding):
        adapted = self.after(read) + np.eye(SIZE)[target]
        return adapted[target] - np.log(np.exp(adapted).sum())


class LearnsFromEarlierCalls(Bigrams):
    def __init__(self):
        self.seen = set()

    def value(self, read, target, later, rows, padding):
        is_new = (read, target) not in self.seen
        self.seen.add((read, target))
        return self.after(read)[target] + (0 if is_new else 0.3)


class DependsOnTheBatch(Bigrams):
    def value(self, read, target, later, rows, padding):
        return self.after(read)[target] - 0.01 * rows


class DependsOnPadding(Bigrams):
    def value(self, read, target, later, rows, padding):
        return self.after(read)[target] - 0.01 * padding


class Rounds(Bigrams):
    def value(self, read, target, later, rows, padding):
        return -5.0 if target != END else self.after(read)[target]


class Uniform(Bigrams):
    """Sound, although all texts of a length tie."""

    def after(self, read):
        return np.full(SIZE, -np.log(SIZE))


class IsNotANumber(Bigrams):
    def value(self, read, target, later, rows, padding):
        return np.nan


class RisesWithTokens(Bigrams):
    def value(self, read, target, later, rows, padding):
        return self.after(read)[target] + 3


FAULTS = {
    SumsTo277: "sums in texts", SumsToMoreAfterRareTokens: "sums in texts",
    SumsToMoreOnceACacheHasRead: "sums in texts", SeesTheNextInput: "no future",
    LeavesOutTheEnd: "every token", LeavesOutTokens: "every token",
    CountsTokensTwice: "every token", AdaptsBeforeItScores: "before reading",
    LearnsFromEarlierCalls: "twice", DependsOnTheBatch: "in a batch",
    DependsOnPadding: "padded", Rounds: "ties", IsNotANumber: "twice",
    RisesWithTokens: "prefixes",
}  # fmt: skip


def results(scorer, **options) -> dict[str, str]:
    return {check.name: check.result for check in rnnlm.check_scorer(scorer, **options)}


def failed(scorer, **options) -> set[str]:
    return {name for name, result in results(scorer, **options).items() if result == "failed"}


@pytest.mark.parametrize("seed", range(3))
def test_a_sound_model_passes_every_check(seed):
    assert set(results(Bigrams(), seed=seed)) == set(CHECKS)
    assert set(results(Bigrams(), seed=seed).values()) == {"ok"}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_each_fault_of_a_model_is_found(fault):
    assert FAULTS[fault] in failed(fault())


def test_each_check_finds_a_fault():
    assert {*FAULTS.values(), "bits per byte"} == {*CHECKS}


@pytest.mark.parametrize("fault", [
    SeesTheNextInput, DependsOnTheBatch, DependsOnPadding, SumsToMoreOnceACacheHasRead,
    LearnsFromEarlierCalls,
], ids=lambda fault: fault.__name__)  # fmt: skip
def test_one_fault_fails_few_checks(fault):
    """What is wrong can be told from the table: a fault does not fail all of it."""
    assert len(failed(fault())) <= 4


def test_models_that_read_one_row_or_claim_no_sums_are_not_blamed():
    class OneRow(Bigrams):
        max_rows = 1

    class Unnormalised(SumsTo277):
        normalised = False

    found = results(OneRow())
    assert found["in a batch"] == found["padded"] == "not checked"
    assert results(Unnormalised())["sums in texts"] == "not claimed"
    assert not failed(Uniform())


def test_bits_per_byte_by_hand():
    """Each token has one chance in V; the bytes are those of the words, spaces and ends."""
    checks = {check.name: check for check in checks_of(of_model(Uniform()))}
    generator = np.random.default_rng(0)
    texts = scorer_checks._texts_of_ids(of_model(Uniform()), generator)
    kept = [text for sort in texts.values() for text in sort if TOKENIZER.unk_id not in text]
    size = sum(len(TOKENIZER.decode(np.array(text))) + 1 for text in kept)
    bits = len(kept) * (scorer_checks.LENGTH + 1) * np.log2(SIZE) / size
    assert checks["bits per byte"].detail == f"{bits:.4g} in {size:,} bytes of texts made up here"


# ---- Functions of token ids, and totals of texts.


def of_ids(model):
    return lambda ids: model.after((END, *ids))


def of_text(model=None, ends=True):
    """Return a function from a text to its total under a model of words by their letters."""

    def total(text):
        letters = [*map(ord, text), *([10] if ends else [])]
        return float(sum(np.log((letter % 17 + 1) / 400) for letter in letters))

    return total


def test_a_sound_function_passes_what_can_be_checked():
    found = results(of_ids(Bigrams()))
    assert {name for name, result in found.items() if result == "ok"} == {
        "sums in texts", "no future", "before reading", "twice", "ties", "prefixes",
    }  # fmt: skip
    assert {*found.values()} == {"ok", "not checked"}


class Forgetful:
    """A function that gives other numbers at each call."""

    def __init__(self):
        self.calls = 0

    def __call__(self, ids):
        self.calls += 1
        noise = 0.1 * np.random.default_rng(self.calls).normal(size=SIZE)
        logprob_V = TABLE[ids[-1] if ids else END] + noise
        return logprob_V - np.log(np.exp(logprob_V).sum())


@pytest.mark.parametrize(("function", "check"), [
    (of_ids(SumsTo277()), "sums in texts"), (of_ids(SumsToMoreAfterRareTokens()), "sums in texts"),
    (of_ids(SumsToMoreOnceACacheHasRead()), "sums in texts"), (Forgetful(), "twice"),
    (of_ids(Uniform()), "ties"), (lambda ids: TABLE[END] + 3, "prefixes"),
    (lambda ids: np.full(SIZE, np.nan), "sums in texts"),
])  # fmt: skip
def test_each_fault_of_a_function_is_found(function, check):
    assert check in failed(function)


def test_a_total_shows_less():
    found = results(of_text(), takes="text")
    known = {"twice", "ties", "prefixes", "bits per byte"}
    assert {name for name, result in found.items() if result == "ok"} == known
    assert {found[name] for name in set(CHECKS) - known} == {"not checked"}


class Remembering:
    """A total that rises for a text that it has seen."""

    def __init__(self):
        self.seen = set()

    def __call__(self, text):
        bonus = 1.0 if text in self.seen else 0.0
        self.seen.add(text)
        return of_text()(text) + bonus


@pytest.mark.parametrize(("total", "check"), [
    (lambda text: -0.1, "ties"), (lambda text: -0.1, "sums in texts"), (Remembering(), "twice"),
    (lambda text: -len(set(text)) / len(text), "prefixes"),  # a mean, not a total
    (lambda text: of_text()(text) / len(text), "prefixes"),
    (lambda text: -of_text()(text), "bits per byte"), (lambda text: np.nan, "bits per byte"),
    (lambda text: 2.0 * len(text), "prefixes"),
])  # fmt: skip
def test_each_fault_of_a_total_is_found(total, check):
    assert check in failed(total, takes="text")


# ---- Our own models.


@pytest.mark.parametrize("kind", [pytest.param("unigram", marks=pytest.mark.soak), "cache"])
def test_models_that_adapt_have_no_fault(kind):
    assert not failed(adapt(fit("lstm", LINES), kind))


def test_what_is_given_wrongly_is_refused():
    for scorer, options, what in [
        (of_text(), {}, "must return a log-probability for each token"),
        (of_text(), {"takes": "words"}, "must be ids or text"),
        (Bigrams(), {"path": "."}, "is for functions"),
        ("nowhere", {}, "no model named 'nowhere'"), (None, {}, "model must be"),
    ]:  # fmt: skip
        with pytest.raises(rnnlm.RnnlmError, match=what):
            rnnlm.check_scorer(scorer, **options)


def test_the_likeliest_tokens_alone_show_a_sum_above_one():
    def after(text) -> Mapping:
        return {" a": np.log(0.9), " b": np.log(0.3)}

    sound = scorer_checks.Scorer(after=lambda text: {" a": np.log(0.6)}, scores=lambda texts: [])
    trial = scorer_checks.Trial(sound, {"frequent": [("a",)]}, ("a",), False)
    assert scorer_checks.sums(trial)[0] == "not checked"
    faulty = dataclasses.replace(trial, scorer=dataclasses.replace(sound, after=after))
    assert scorer_checks.sums(faulty)[0] == "failed"
