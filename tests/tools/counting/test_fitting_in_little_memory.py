"""N-gram models in little memory are those in any memory; their sizes are foreseen."""

import os
import re
import tempfile
import warnings

import pytest

from rnnlm import registry, system
from rnnlm.errors import OutputError, RnnlmWarning, SettingsError, UsageError
from rnnlm.lm.ngram.counting import count_trie
from rnnlm.lm.ngram.fitting import fit
from rnnlm.lm.ngram.pruning import quantised
from rnnlm.lm.ngram.smoothing import ESTIMATORS
from rnnlm.text.encoding import TrainingData
from rnnlm.tools.counting.training_data import DataToCount, check
from support.tiny_models import LINES, Lines, english_lines, make_tokenizer, small_settings

WORDS = [[(i * i + j * (i % 5 + 1)) % 23 for j in range(3 + i % 11)] for i in range(150)]
TEXT = [" ".join(f"w{word}" for word in line) for line in WORDS]


def asked(**settings):
    return small_settings(registry.kind_of("ngram"), **settings)


def data_of(lines=LINES, held_out=None) -> TrainingData:
    tokenizer = make_tokenizer(lines)
    valid = None if held_out is None else Lines(held_out).encode(tokenizer)
    return TrainingData(tokenizer, Lines(lines).encode(tokenizer), valid)


def events_of(data: TrainingData, **settings) -> list:
    resolved = asked(**settings)
    with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
        return list(fit(resolved, DataToCount(data, resolved)))


def same_arrays(model, other) -> None:
    """Check that two models are the same, to the byte."""
    arrays, others = model.to_arrays(), other.to_arrays()
    assert arrays.keys() == others.keys()
    for name, array in arrays.items():
        assert array.dtype == others[name].dtype, name
        assert array.tobytes() == others[name].tobytes(), name


# In every run also with 9 kB, which cuts everything into many pieces: adjusted and raw counts, pruned
# ones, and a method of its own.
IN_PIECES = [
    {"smoothing": "mkn", "order": 4}, {"smoothing": "additive", "order": 4},
    {"smoothing": "katz", "order": 4}, {"order": 5, "prune": "0,0,1"}, {"order": 1},
]  # fmt: skip
CASES = [
    *({"smoothing": name, "order": 4} for name in ESTIMATORS), *IN_PIECES[3:],
    {"order": 3, "prune": "0,99"}, {"discounts": "lmplz", "order": 3},
    {"smoothing": "kn", "interpolate": False, "prune": "0,1", "order": 3},
]  # fmt: skip
SLOW = [case for case in CASES if case not in IN_PIECES]
LIMITED = [
    *((case, "90k") for case in CASES), *((case, "9k") for case in IN_PIECES),
    *(pytest.param(case, "9k", marks=pytest.mark.soak) for case in SLOW),
]  # fmt: skip


@pytest.mark.parametrize("settings, memory", LIMITED, ids=str)
@pytest.mark.usefixtures("little_memory")
def test_a_memory_limit_does_not_change_the_model(temp, settings, memory):
    # A third of the text is enough for the least memory to cut everything into pieces.
    data = data_of(TEXT[::3] if memory == "9k" else TEXT, TEXT[::9])
    *_, expected = events_of(data, **settings)
    *_, found = events_of(data, memory=memory, **settings)
    same_arrays(found.model, expected.model)
    assert found.best_ppl_token == expected.best_ppl_token and found.facts == expected.facts
    # On Windows, the files that a model maps stay until the end of the process.
    assert os.name == "nt" or list(temp.iterdir()) == []


@pytest.mark.usefixtures("little_memory")
def test_the_thread_count_does_not_change_the_model_in_little_memory(monkeypatch):
    # A part for each thread, of a tiny text, too.
    monkeypatch.setattr(count_trie, "SMALLEST_PART", 1)
    data = data_of(TEXT[::3])
    *_, expected = events_of(data, order=4, memory="9k")
    for threads in (1, 3):
        *_, found = events_of(data, order=4, memory="9k", threads=threads)
        same_arrays(found.model, expected.model)


def test_too_little_memory_names_the_amount_needed(monkeypatch):
    monkeypatch.setattr(system, "private_bytes", lambda: 1_300_000_000)
    data = data_of()
    with pytest.raises(SettingsError, match="memory = 1.3G is too little") as raised:
        events_of(data, memory="1.3G")
    assert f"{data.tokenizer.size:,} words" in raised.value.why
    enough = re.fullmatch(r"give (\S+) or more", raised.value.hint)[1]
    *_, fitted = events_of(data, memory=enough)
    assert fitted.model.order == 5


def test_misplaced_temporary_files_are_reported(tmp_path, little_memory, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    monkeypatch.setattr(tempfile, "tempdir", None)  # told anew
    with pytest.warns(RnnlmWarning, match="cannot write to TMPDIR=.*gone"):
        resolved = asked(order=2, memory="9k")
        *_, fitted = fit(resolved, DataToCount(data_of(), resolved))
    assert fitted.model.order == 2


def test_a_full_disk_is_an_error_leaving_nothing(little_memory, temp):
    temp.rmdir()
    with pytest.raises(
        OutputError, match=re.escape(f"there is no space for temporary files in {temp}")
    ):
        events_of(data_of(), memory="9k")


def test_a_memory_limit_excludes_quantising(tmp_path):
    with pytest.raises(UsageError, match="quantize cannot be combined with a memory limit"):
        check(asked(quantize=8, memory="1G", temp=str(tmp_path)))


@pytest.mark.parametrize("bits", [None, 8])
def test_the_size_is_foreseen(bits):
    data = data_of(english_lines(400))
    *_, fitted = events_of(data, order=4)
    model = quantised(fitted.model) if bits else fitted.model
    stored = sum(array.nbytes for array in model.to_arrays().values())
    sizes = DataToCount(data, asked(order=4, quantize=bits)).sizes()
    assert sizes["model_bytes"] == pytest.approx(stored, rel=0.1)
