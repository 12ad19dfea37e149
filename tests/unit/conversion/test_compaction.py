"""Networks and n-gram models in compact form."""

from pathlib import Path

import numpy as np
import pytest
import torch

import rnnlm
from rnnlm.conversion import pruning
from rnnlm.conversion.compaction import compact
from rnnlm.conversion.pruning import Limits
from rnnlm.errors import UsageError
from rnnlm.evaluation.soundness import audit
from rnnlm.models import loading, model_folder
from rnnlm.ngram.arpa import writing as arpa
from rnnlm.runs import train

ENGLISH = Path(__file__).parents[3] / "corpora" / "english" / "test.txt"
SETTINGS = {
    "model": "lstm", "hidden_size": 24, "embedding_size": 16, "batch_rows": 4, "device": "cpu",
    "schedule": "constant", "warmup": 0.0,
}  # fmt: skip


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text(
        "\n".join(f"the cat number {number % 17} sat on mat {number % 5}" for number in range(200)),
        encoding="utf-8",
    )
    return path


def run(text, folder, **more):
    list(train(text, output=folder, validate_every_steps=3, **{**SETTINGS, **more}))
    return folder


def test_compact_model_equals_model_with_rounded_weights(text, tmp_path):
    folder = run(text, tmp_path / "run", budget="9steps", learning_rate=0.05)
    compact(str(folder), tmp_path / "carried")
    model, carried = (loading.load(each, "cpu") for each in (folder, tmp_path / "carried"))
    for name, array in model.to_arrays().items():
        np.testing.assert_array_equal(
            carried.to_arrays()[name], torch.from_numpy(array).bfloat16().float().numpy()
        )
    before, after = (rnnlm.evaluate(each, text).ppl_token for each in (model, carried))
    assert after == pytest.approx(before, rel=0.02) and after != before
    assert not model_folder.damaged_files(
        tmp_path / "carried", model_folder.read_manifest(tmp_path / "carried")
    )


def test_eight_bit_model_is_smaller_with_own_figures(text, tmp_path):
    folder = run(text, tmp_path / "run", budget="9steps", learning_rate=0.05)
    sizes = compact(str(folder), tmp_path / "small", bits=8, test=text)
    whole = sum(path.stat().st_size for path in folder.glob("weights-*"))
    assert sum(size for name, size in sizes.items() if name.startswith("weights")) < 0.4 * whole
    small = loading.load(tmp_path / "small", "cpu")
    stored = model_folder.read_manifest(tmp_path / "small")
    figures = rnnlm.evaluate(small, text)
    assert stored.results["test"]["ppl_token"] == figures.ppl_token
    assert stored.results["test"]["signature"] == figures.signature
    assert f"{figures.ppl_token:.2f}" in (tmp_path / "small" / "README.md").read_text(
        encoding="utf-8"
    )
    assert figures.ppl_token == pytest.approx(
        rnnlm.evaluate(loading.load(folder, "cpu"), text).ppl_token, rel=0.02
    )
    with pytest.raises(UsageError, match="4 bits"):
        compact(str(folder), tmp_path / "tiny", bits=4)


def test_what_cannot_be_made_compact_says_so(text, tmp_path):
    folder = run(text, tmp_path / "run", budget="4steps")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="over itself"):
            compact(str(folder), folder, overwrite=overwrite)
    list(train(text, output=tmp_path / "unigram", model="unigram"))
    with pytest.raises(UsageError, match="no compact form"):
        compact(str(tmp_path / "unigram"), tmp_path / "again")
    list(train(text, output=tmp_path / "order-1", model="ngram", order=1))
    with pytest.raises(UsageError, match="no n-grams but single words"):
        compact(str(tmp_path / "order-1"), tmp_path / "again")


@pytest.fixture(scope="module")
def trigrams(tmp_path_factory):
    """Train a model of the bundled corpus."""
    folder = tmp_path_factory.mktemp("compact") / "trigrams"
    list(train(output=folder, model="ngram", order=3))
    return folder


@pytest.mark.parametrize(("bits", "share", "tolerance"), [(16, 0.62, 1e-5), (8, 0.4, 3e-3)])
def test_compact_ngrams_are_small_and_close(trigrams, tmp_path, bits, share, tolerance):
    """Perplexity differs from that of the model as it is by less than the stated share."""
    small = tmp_path / "small"
    compact(str(trigrams), small, bits=bits, test="english")
    sizes = [next(each.glob("weights-*")).stat().st_size for each in (trigrams, small)]
    assert sizes[1] < share * sizes[0]
    stored = model_folder.read_manifest(small)
    before, after = (stored.results[name] for name in ("test, before", "test"))
    assert after["ppl_token"] == pytest.approx(before["ppl_token"], rel=tolerance)
    assert after["ppl_token"] != before["ppl_token"]
    assert (before["normalised"], after["normalised"]) == (True, False)
    assert f"{bits} bits, step 1 of" in (small / "README.md").read_text(encoding="utf-8")

    # Doctor says by how much sums differ from one, without failing the model for it.
    checks = {check.name: check for check in audit(small, sample=300)}
    assert {check.result for check in checks.values()} == {"ok", "not claimed"}
    assert "farthest from 1 by" in checks["sums"].detail


def test_compact_ngrams_go_through_arpa_and_pruning(trigrams, tmp_path):
    compact(str(trigrams), tmp_path / "small", bits=8)
    model = loading.load(tmp_path / "small")
    arpa.export_arpa(model, tmp_path / "small.arpa")
    again = arpa.load_arpa(tmp_path / "small.arpa")
    text = rnnlm.Corpus((str(ENGLISH),))
    expected = rnnlm.evaluate(model, text).ppl_token
    # Its words are in another order there, and probabilities have seven digits.
    assert rnnlm.evaluate(again, text).ppl_token == pytest.approx(expected, rel=1e-6)

    pruned = pruning.prune(str(tmp_path / "small"), tmp_path / "bigrams", Limits(max_order=2))
    assert pruned.after.ngrams == pruned.before.ngrams[:2]
    assert not loading.load(tmp_path / "bigrams").normalised
