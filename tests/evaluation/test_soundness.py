"""Damage of every kind is found and named; healthy models of every kind pass."""

import shutil

import numpy as np
import pytest

from rnnlm import registry
from rnnlm.errors import UsageError
from rnnlm.evaluation import soundness
from rnnlm.evaluation.soundness import audit
from rnnlm.lm.base import stored_model
from rnnlm.storage import model_folder
from rnnlm.text.tokenizers.vocabulary import Vocabulary
from rnnlm.tools.scorers import scorer_checks
from support.tiny_models import LINES, fit, small_settings

pytestmark = pytest.mark.needs("tools/mixtures", "tools/scorers")


def saved(folder, name: str, **settings):
    values = small_settings(registry.kind_of(name), **settings).values
    model_folder.save(folder, fit(name, LINES, **settings), name, values, 1, {})
    return folder


@pytest.fixture(autouse=True)
def few_texts(monkeypatch):
    """Save time: test_scorer_checks.py has these checks."""
    monkeypatch.setattr(scorer_checks, "TEXTS", 1)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("models") / "trigram", "ngram", order=3)


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original, tmp_path / "model")


def results(folder, **options) -> dict[str, str]:
    return {check.name: check.result for check in audit(str(folder), **options)}


def detail(folder, name: str, **options) -> str:
    return next(check.detail for check in audit(str(folder), **options) if check.name == name)


def change(folder, **changes) -> None:
    """Save the model anew with some of its arrays changed, lengths and hashes in order."""
    model, manifest = stored_model.load(folder)
    arrays = {name: np.array(array) for name, array in model.to_arrays().items()}
    for name, work in changes.items():
        work(arrays[name])
    changed = stored_model.load(folder)[0]
    changed.to_arrays = lambda: arrays
    model_folder.save(folder, changed, manifest.model, manifest.settings, 2, {})


KINDS = [name for name, kind in registry.kinds_of().items() if kind.is_trained]


@pytest.mark.parametrize("tokenizer, name", [
    *(("word", name) for name in KINDS), ("char", "lstm"), ("char", "ngram"),
    *(pytest.param("char", name, marks=pytest.mark.soak)
      for name in KINDS if name not in ("lstm", "ngram")),
])  # fmt: skip
def test_healthy_models_of_every_kind_pass(tmp_path, tokenizer, name):
    folder = saved(tmp_path / "model", name, tokenizer=tokenizer)
    assert set(results(folder, sample=50).values()) == {"ok"}


@pytest.mark.parametrize("order", range(1, 6))
def test_all_contexts_are_asked_where_they_are_few(tmp_path, order):
    folder = saved(tmp_path / "model", "ngram", order=order)
    lines = [["<s>", *line.split()] for line in LINES]  # contexts: what a word or </s> follows
    contexts = {
        tuple(line[at : at + n])
        for line in lines
        for n in range(1, max(2, order))
        for at in range(len(line) - n + 1)
    }
    count = 1 if order == 1 else len(contexts) + 1  # and </s>, which nothing follows
    assert detail(folder, "sums").startswith(f"all {count} contexts: ")


def test_sample_has_requested_size_and_depends_on_seed(original, tmp_path):
    found = [detail(original, "sums", sample=5, seed=seed) for seed in (1, 1, 2, 3, 4, 5)]
    assert found[0].startswith("5 contexts drawn at random: ")
    assert found[0] == found[1] and len(set(found)) > 1
    folder = saved(tmp_path / "model", "lstm")
    assert detail(folder, "sums", sample=7).startswith("7 contexts drawn at random: ")
    with pytest.raises(UsageError, match="empty"):
        results(folder, sample=0)


@pytest.mark.parametrize("settings, sums", [
    ({"smoothing": "mle"}, "ok"), ({"smoothing": "interpolated", "weights": "0.2,0.8"}, "ok"),
    ({"smoothing": "interpolated", "weights": "0.2,0.8", "unseen": "zero"}, "not claimed"),
    ({"smoothing": "mle", "order": 2, "prune": "0,1"}, "not claimed"),
    ({"smoothing": "stupid"}, "not claimed"),
], ids=str)  # fmt: skip
def test_models_without_a_normalisation_claim_do_not_fail(tmp_path, settings, sums):
    found = results(saved(tmp_path / "model", "ngram", **settings))
    assert found.pop("sums") == found.pop("sums in texts") == sums
    assert set(found.values()) == {"ok"}


def test_zero_probabilities_are_reported_and_are_not_damage(tmp_path):
    folder = saved(tmp_path / "model", "ngram", smoothing="mle", order=2)
    assert "logarithms of zero" in detail(folder, "numbers")


@pytest.mark.parametrize("name, change, found", [
    ("weights-*", lambda data: data[:-3] + bytes([data[-3] ^ 1]) + data[-2:],
     "{} has changed: its SHA-256 does not match the recorded one"),
    ("weights-*", lambda data: data[:-8], "{} has {:,} bytes instead of {:,}"),
    ("vocab.txt", None, "{} is missing or is not a plain file"),
])  # fmt: skip
def test_file_differing_from_its_record_is_found(folder, name, change, found):
    (path,) = folder.glob(name)
    size = path.stat().st_size
    path.write_bytes(change(path.read_bytes())) if change else path.unlink()
    checked = results(folder)
    assert checked["files"] == "failed" and checked["config"] == "ok"
    assert detail(folder, "files") == found.format(path.name, size - 8, size)


def test_a_config_cut_off_is_found(folder):
    (folder / "config.json").write_text('{"model": "ngram"')
    assert results(folder) == {"config": "failed"}


def test_arrays_not_fitting_the_vocabulary_are_found(folder):
    model, manifest = stored_model.load(folder)
    symbols, counts_V = model.tokenizer.symbols(), model.tokenizer.counts_V
    model.tokenizer.vocabulary = Vocabulary(tuple(symbols[:-1]), counts_V[:-1])
    model_folder.save(folder, model, "ngram", manifest.settings, 2, {})
    assert results(folder) == {"config": "ok", "files": "ok", "arrays": "failed"}
    assert "values_1" in detail(folder, "arrays")


def test_keys_out_of_order_are_found(folder):
    change(folder, keys_3=lambda keys_M: keys_M.__setitem__([4, 5], keys_M[[5, 4]]))
    expected = {"config": "ok", "files": "ok", "arrays": "ok", "numbers": "ok", "tables": "failed"}
    assert results(folder) == expected
    assert detail(folder, "tables") == "3-grams are not sorted, first at 5"


def test_keys_that_point_to_missing_ngrams_are_found(folder):
    change(folder, keys_2=lambda keys_M: keys_M.__setitem__(-1, keys_M[-1] | np.uint64(1 << 40)))
    assert detail(folder, "tables") == "2-grams follow 1-grams that do not exist"
    kept, word = np.uint64((1 << 40) - 1), np.uint64(31)
    change(folder, keys_2=lambda keys_M: keys_M.__setitem__(-1, keys_M[-1] & kept | word))
    assert detail(folder, "tables") == "2-grams end in words that do not exist"


def test_values_above_one_or_not_numbers_are_found(folder):
    change(folder, values_3=lambda values_M: values_M.__setitem__((7, 0), np.log(2)))
    assert detail(folder, "tables") == "a 3-gram has a probability above 1, first at 7: 2"
    change(folder, values_2=lambda values_M: values_M.__setitem__((3, 1), np.nan))
    assert results(folder)["numbers"] == "failed"
    assert detail(folder, "numbers") == "array values_2 holds nan at 7, 1 in all"


@pytest.mark.parametrize("context", ["the dog", "<s> it", "to", "<s>"])
def test_the_context_where_sums_deviate_is_named(folder, context):
    model, _ = stored_model.load(folder)
    names = {name: id for id, name in enumerate([*model.tokenizer.symbols(), "<s>"])}
    words = [names[word] for word in context.split()]
    number = words[0]
    for word in words[1:]:
        number = int(model._find(2, np.array([number]), np.array([word]))[0])
    values = f"values_{len(words)}"
    change(folder, **{values: lambda values_M: np.add.at(values_M, (number, 1), 0.01)})
    assert results(folder)["sums"] == "failed"
    assert detail(folder, "sums").endswith(f", after {context!r}")


def test_neural_weights_that_are_no_numbers_are_found(tmp_path):
    folder = saved(tmp_path / "model", "lstm")
    name = min(stored_model.load(folder, "cpu")[0].to_arrays())
    change(folder, **{name: lambda array: array.reshape(-1).__setitem__(0, np.inf)})
    found = results(folder)
    assert found["arrays"] == "failed" and found["files"] == "ok"
    assert "holds NaN or infinity" in detail(folder, "arrays")


@pytest.mark.parametrize("name", ["weights-*", "vocab.txt"])
def test_changed_network_is_named_and_not_examined_further(tmp_path, name):
    folder = saved(tmp_path / "model", "lstm")
    (path,) = folder.glob(name)
    data = path.read_bytes()
    is_text = name == "vocab.txt"
    path.write_bytes(data.replace(b"\n", b"\t") if is_text else data[:-1] + b"?")
    assert results(folder) == {"config": "ok", "files": "failed", "arrays": "failed"}
    assert f"{path.name} has changed" in detail(folder, "files")
    assert f"{path.name} has changed" in detail(folder, "arrays")


@pytest.mark.needs("tools/mixtures")
def test_files_for_adaptation_are_checked(tmp_path):
    from rnnlm.tools.mixtures import adapted_model
    from rnnlm.tools.mixtures.adapted_model import TunedSettings

    folder = saved(tmp_path / "model", "lstm")
    adapted_model.save_statistics(folder, {"a": np.float32([1, 2])}, "0123456789ab")
    adapted_model.save_tuned(folder, TunedSettings("cache", {"cache_tokens": 5}))
    assert detail(folder, "adaptation") == "adapt-cache.json, adapt-dynamic.safetensors: in order"
    path = folder / adapted_model.STATISTICS
    path.write_bytes(path.read_bytes().replace(np.float32(2).tobytes(), np.float32(3).tobytes()))
    assert results(folder)["adaptation"] == "failed"
    damage = "adapt-dynamic.safetensors are damaged: their SHA-256 does not match the recorded one"
    assert damage in detail(folder, "adaptation")


def test_rows_are_asked_a_few_at_a_time(original, monkeypatch):
    whole = detail(original, "sums")
    monkeypatch.setattr(soundness, "CELLS_PER_CALL", 30)
    assert detail(original, "sums").partition(":")[0] == whole.partition(":")[0]
