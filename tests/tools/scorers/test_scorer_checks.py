"""Each fault that a scorer can have is found, whatever the access; a sound scorer has none."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest

import rnnlm
from rnnlm.tools.scorers import scorer_checks
from rnnlm.tools.scorers.scorer_checks import CHECKS, checks_of, of_model
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


class Uniform(Bigrams):
    """Sound, although all texts of a length tie."""

    def after(self, read):
        return np.full(SIZE, -np.log(SIZE))


def summing(excess):
    """Return a model whose probabilities after what is read sum to exp(excess(read))."""
    return type("Summing", (Bigrams,), {"after": lambda self, read: TABLE[read[-1]] + excess(read)})


def scoring(value):
    """Return a model with another score of a target, from its log-probability, what was read, the
    target, the later inputs, how many rows are scored together, and how much padding is there."""
    return type("Scoring", (Bigrams,), {
        "value": lambda self, read, target, *more: value(self.after(read), read, target, *more),
    })  # fmt: skip


class IgnoresItsState(Bigrams):
    """Scores depend on all that was read, but start anew with each call."""

    def after(self, read):
        return TABLE[sum(read) % SIZE]

    def score(self, inputs_BT, targets_BT, state):
        _, after = super().score(inputs_BT, targets_BT, state)
        return super().score(inputs_BT, targets_BT, self.initial_state(len(inputs_BT)))[0], after


class LearnsFromEarlierCalls(Bigrams):
    def __init__(self):
        self.seen = set()

    def value(self, read, target, later, rows, padding):
        is_new = (read, target) not in self.seen
        self.seen.add((read, target))
        return self.after(read)[target] + (0 if is_new else 0.3)


def is_rare(read):
    return len(read) > 1 and TABLE[read[-2]][read[-1]] <= np.sort(TABLE[read[-2]])[1]


def adapted(logprob_V, target):
    return logprob_V[target] + 1 - np.log(np.exp(logprob_V + np.eye(SIZE)[target]).sum())


SUMS_TO_277 = summing(lambda read: np.log(277))
FULL_CACHE = summing(lambda read: 0.01 * (len(read) > 50))
RARE = summing(lambda read: 0.01 * is_rare(read))
FAULTS = {
    "sums to 277": (SUMS_TO_277, "sums in texts"),
    "sums to more after rare tokens": (RARE, "sums in texts"),
    "sums to more once a cache has read": (FULL_CACHE, "sums in texts"),
    "sums to more at first": (summing(lambda read: 0.01 * (len(read) == 1)), "sums in texts"),
    "sums to more after seven": (summing(lambda read: 0.01 * (len(read) == 8)), "sums in texts"),
    "sums to one where it is looked for": (
        summing(lambda read: 0.01 * (len(read) > 9 and len(read) != 193)), "sums in texts"),
    "sees the next input": (
        scoring(lambda p, r, t, later, *_: p[t] + 0.5 * sum(later[1:2]) % 1), "no future"),
    "leaves out the end": (scoring(lambda p, r, t, *_: p[t] * (t != END)), "every token"),
    "leaves out tokens": (scoring(lambda p, r, t, *_: p[t] * (len(r) % 5 > 0)), "every token"),
    "counts one twice": (scoring(lambda p, r, t, *_: p[t] * (2 - (len(r) != 3))), "every token"),
    "adapts before it scores": (scoring(lambda p, r, t, *_: adapted(p, t)), "before reading"),
    "learns from earlier calls": (LearnsFromEarlierCalls, "twice"),
    "ignores its state": (IgnoresItsState, "in parts"),
    "needs the batch": (scoring(lambda p, r, t, _, rows, *__: p[t] - 0.01 * rows), "in a batch"),
    "has a batch of two": (scoring(lambda p, r, t, _, n, *__: p[t] - (n == 2)), "in a batch"),
    "has more than nine": (scoring(lambda p, r, t, _, n, *__: p[t] - (n > 9)), "in a batch"),
    "needs the padding": (scoring(lambda p, r, t, *more: p[t] - 0.01 * more[-1]), "padded"),
    "rounds": (scoring(lambda p, r, t, *_: -5.0 if t != END else p[t]), "ties"),
    "is not a number": (scoring(lambda *_: np.nan), "twice"),
    "rises with tokens": (scoring(lambda p, r, t, *_: p[t] + 3), "prefixes"),
}  # fmt: skip


def results(scorer, **options) -> dict[str, str]:
    return {check.name: check.result for check in rnnlm.check_scorer(scorer, **options)}


def failed(scorer, **options) -> set[str]:
    return {name for name, result in results(scorer, **options).items() if result == "failed"}


@pytest.mark.parametrize("seed", range(3))
def test_a_sound_model_passes_every_check(seed):
    assert set(results(Bigrams(), seed=seed)) == set(CHECKS)
    assert set(results(Bigrams(), seed=seed).values()) == {"ok"}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_of_a_model_is_found(fault):
    model, check = FAULTS[fault]
    assert check in failed(model())


def test_each_check_finds_a_fault():
    assert {*(check for _, check in FAULTS.values()), "bits per byte"} == {*CHECKS}


@pytest.mark.parametrize(("fault", "most"), [
    ("sees the next input", 4), ("needs the batch", 4), ("needs the padding", 4),
    ("sums to more once a cache has read", 4), ("learns from earlier calls", 4),
    ("ignores its state", 1),
])  # fmt: skip
def test_one_fault_fails_few_checks(fault, most):
    """What is wrong can be told from the table: a fault does not fail all of it."""
    model, _ = FAULTS[fault]
    assert len(failed(model())) <= most


def test_models_that_read_one_row_or_claim_no_sums_are_not_blamed():
    class OneRow(Bigrams):
        max_rows = 1

    class Unnormalised(SUMS_TO_277):
        normalised = False

    found = results(OneRow())
    assert found["in a batch"] == found["padded"] == "not checked"
    assert results(Unnormalised())["sums in texts"] == "not claimed"
    assert not failed(Uniform())
    [ties] = [check for check in rnnlm.check_scorer(of_ids(Uniform())) if check.name == "ties"]
    assert ties.result == "failed" and "only a uniform scorer may do that" in ties.detail


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
    (of_ids(SUMS_TO_277()), "sums in texts"), (of_ids(RARE()), "sums in texts"),
    (of_ids(FULL_CACHE()), "sums in texts"), (Forgetful(), "twice"),
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
    (lambda text: of_text()(" ".join(text.split()[:5])), "prefixes"),
    (lambda text: of_text()(" ".join(text.split()[:50])), "prefixes"),
    (lambda text: of_text()(" ".join(text.split()[-5:])), "prefixes"),
])  # fmt: skip
def test_each_fault_of_a_total_is_found(total, check):
    assert check in failed(total, takes="text")


# ---- Our own models.


@pytest.mark.needs("tools/mixtures")
@pytest.mark.parametrize("kind", [pytest.param("unigram", marks=pytest.mark.soak), "cache"])
def test_models_that_adapt_have_no_fault(kind):
    from rnnlm.tools.mixtures.adaptation import adapt

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
    trial = scorer_checks.Trial(sound, {"frequent": [("a",)]}, ("a",), [()], False)
    assert scorer_checks.sums(trial)[0] == "not checked"
    faulty = dataclasses.replace(trial, scorer=dataclasses.replace(sound, after=after))
    assert scorer_checks.sums(faulty)[0] == "failed"
