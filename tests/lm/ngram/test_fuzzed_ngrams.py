"""ARPA files: read whole, or refused with their line."""

import math

import pytest
from hypothesis import example, given, strategies as st

import rnnlm
from rnnlm.errors import RnnlmError
from rnnlm.lm.ngram.arpa.writing import arpa, load_arpa
from support.odd_inputs import damaged, odd_numbers, odd_text, quiet, value_or_error
from support.tiny_models import fit

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def whole():
    with quiet():
        return b"".join(map(bytes, arpa(fit("ngram", order=3))))


def scored(path, data):
    """Load a model from these bytes and score with it. Check that it raises only RnnlmError."""
    path.write_bytes(data)
    model = value_or_error(lambda: load_arpa(path))
    if not isinstance(model, RnnlmError):
        model = rnnlm.Model(model)
        found = value_or_error(lambda: model.score_sentences(["the cat sat", "zorp", ""]))
        scores = [] if isinstance(found, RnnlmError) else [each.logprob_nats for each in found]
        assert not any(math.isnan(score) for score in scores if score is not None)


@given(st.data())
def test_a_damaged_arpa_file(place, whole, data):
    scored(place / "damaged.arpa", data.draw(damaged(whole)))


words = st.sampled_from(["<s>", "</s>", "<unk>", "<UNK>", "a", "b", "\u00a0"]) | odd_text
field = odd_numbers | words | st.sampled_from(["-0.5", "-1"])
fields = st.lists(field, min_size=1, max_size=5).map("\t".join)
sections = st.lists(fields, max_size=4)
counts = st.lists(odd_numbers | st.integers(0, 4).map(str), max_size=4)


@example(["9" * 20], [["-1\ta"]], True)
@given(counts, st.lists(sections, max_size=4), st.booleans())
def test_an_arpa_file_of_any_lines(place, counts, parts, ends):
    lines = ["\\data\\", *(f"ngram {n}={count}" for n, count in enumerate(counts, start=1))]
    for n, part in enumerate(parts, start=1):
        lines += ["", f"\\{n}-grams:", *part]
    data = "\n".join([*lines, *(["\\end\\", ""] if ends else [])])
    scored(place / "any.arpa", data.encode("utf-8", "surrogatepass"))


numbers = st.floats(-9, 0).map("{:.4f}".format) | odd_numbers


@given(st.lists(numbers, min_size=12, max_size=12))
def test_an_arpa_file_of_any_numbers(place, numbers):
    grams = ["<s>", "</s>", "<unk>", "a"], ["<s> a", "a </s>"]
    given_numbers = iter(numbers)
    lines = [
        "\\data\\", "ngram 1=4", "ngram 2=2", "\\1-grams:",
        *(f"{next(given_numbers)}\t{gram}\t{next(given_numbers)}" for gram in grams[0]),
    ]  # fmt: skip
    lines += ["\\2-grams:", *(f"{next(given_numbers)} {gram}" for gram in grams[1]), "\\end\\", ""]
    scored(place / "numbers.arpa", "\n".join(lines).encode())
