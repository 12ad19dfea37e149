"""n-grams as 8-bit codes with short keys: read like the arrays that they stand for, near to the
model in full precision, and exact for what is stored."""

import json

import numpy as np
import pytest
from hypothesis import given, strategies as st

import rnnlm
from rnnlm import Corpus, corpora, system
from rnnlm.errors import ModelError, OutputError, RnnlmWarning, SettingsError, UsageError
from rnnlm.evaluation.perplexity import evaluate
from rnnlm.evaluation.soundness import audit
from rnnlm.lm.base import stored_model
from rnnlm.lm.ngram import tables
from rnnlm.lm.ngram.arpa.writing import export_arpa, load_arpa
from rnnlm.lm.ngram.compact import SUM_ERROR, CodedValues, CompactKeys, codebook_of, coded
from rnnlm.lm.ngram.model import from_arrays
from rnnlm.lm.ngram.pruning import by_entropy, quantised
from rnnlm.lm.ngram.smoothing import ESTIMATORS
from rnnlm.storage.model_folder import read_manifest
from rnnlm.training.imported import import_arpa
from support.saved_models import edit_config
from support.tiny_models import Lines, english_lines, fit, save

TEXT = english_lines(400)
TEST = Corpus((str(corpora.part("english", "test")),))
ORDER = 4


@pytest.fixture(scope="module")
def exact():
    return fit("ngram", TEXT, order=ORDER)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Save a model that was quantised as it was trained."""
    path = tmp_path_factory.mktemp("models") / "quantised"
    save(path, fit("ngram", TEXT, order=ORDER, quantize=8), "ngram", order=ORDER, quantize=8)
    return path


@pytest.fixture
def model(folder):
    return stored_model.load(folder)[0]


def scores_of(model, lines=TEXT[:50]) -> np.ndarray:
    """Return log p of each token of `lines`, read as one stream."""
    ids_N = Lines(lines).encode(model.tokenizer).ids
    inputs_N = np.append(model.tokenizer.boundary_id, ids_N[:-1])
    return model.score(inputs_N[None], ids_N[None], model.initial_state(1))[0][0]


def sums_of(folder) -> str:
    """Return what the check of sums says."""
    return {check.name: check.result for check in audit(str(folder))}["sums"]


# ---- The compact arrays.


@given(st.sets(st.integers(0, (7 << 32) + 3), max_size=60), st.lists(st.integers(0, 1 << 63)))
def test_keys_are_those_of_an_array(numbers, others):
    keys_M = np.array(sorted(numbers), dtype=np.uint64)
    compact = CompactKeys.of(keys_M)
    assert len(compact) == len(keys_M) and compact[:].tolist() == keys_M.tolist()
    assert compact[1:5].tolist() == keys_M[1:5].tolist()
    wanted_Q = np.array([*reversed(keys_M.tolist()), *others], dtype=np.uint64)
    assert compact.searchsorted(wanted_Q).tolist() == keys_M.searchsorted(wanted_Q).tolist()
    found = tables.find_many(compact, wanted_Q).tolist()
    assert found == tables.find_many(keys_M, wanted_Q).tolist()
    known = [number for number in found if number >= 0]
    assert compact[np.array(known, dtype=np.int64)].tolist() == keys_M[known].tolist()


def test_many_keys_are_found_as_few_are(monkeypatch):
    generator = np.random.default_rng(1)
    keys_M = np.unique(generator.integers(0, 5 << 32, 3000).astype(np.uint64))
    wanted_Q = generator.choice(np.append(keys_M, keys_M + np.uint64(1)), 500)
    monkeypatch.setattr(tables, "WORTH_SORTING", 10)
    numbers_Q = tables.find_many(CompactKeys.of(keys_M), wanted_Q)
    assert numbers_Q.tolist() == tables.find(keys_M, wanted_Q).tolist()


def test_few_values_and_the_logarithms_of_zero_and_one_are_exact():
    values_M = np.log(np.arange(1, 201, dtype=np.float32) / 200)  # the last one is 0
    values_M = np.append(values_M, [-np.inf, -np.inf]).astype(np.float32)
    many_M = np.append(values_M, np.linspace(-9, 4, 5000)).astype(np.float32)
    table = coded(np.stack([np.resize(values_M, len(many_M)), many_M], axis=1))
    assert table[:, 0].tolist() == np.resize(values_M, len(many_M)).tolist()
    special_M = np.isin(many_M, (0, -np.inf))
    assert special_M.sum() == 3 and table[special_M, 1].tolist() == many_M[special_M].tolist()
    assert table.codes_MK.dtype == np.uint8 and table.shape == (len(many_M), 2)


def test_each_value_has_the_nearest_code_and_rare_values_have_near_ones():
    generator = np.random.default_rng(2)
    common_M = generator.normal(-3, 0.1, 20_000)
    values_M = np.append(common_M, generator.uniform(-10, 0, 100)).astype(np.float32)
    codebook_C = codebook_of(values_M)
    assert np.all(np.diff(codebook_C) >= 0) and len(codebook_C) == 256
    rounded_M = coded(values_M[:, None])[:, 0]
    error_M = np.abs(rounded_M - values_M)
    nearest_M = np.abs(values_M[:, None] - codebook_C[None]).min(axis=1)
    assert error_M == pytest.approx(nearest_M, abs=1e-6)
    assert error_M.max() < 10 / 127  # no bin is wider than its share of all values
    assert error_M[:20_000].mean() < 2e-3


# ---- Models.


def test_a_model_is_near_to_that_in_full_precision(exact, model):
    assert isinstance(model.values[-1], CodedValues) and isinstance(model.keys[-1], CompactKeys)
    assert model.values[0][:, 0].tolist() == exact.values[0][:, 0].tolist()  # unigrams stay
    for n in range(1, ORDER):
        assert model.keys[n - 1][:].tolist() == exact.keys[n - 1].tolist()
    logprob_N, expected_N = scores_of(model), scores_of(exact)
    assert np.abs(logprob_N - expected_N).mean() < 0.01
    assert np.exp(expected_N.mean() - logprob_N.mean()) == pytest.approx(1, abs=1e-3)


def test_bytes_and_perplexity_on_the_bundled_corpus(tmp_path):
    sizes, perplexities = [], []
    for settings in ({}, {"quantize": 8}):
        path = tmp_path / str(len(sizes))
        rnnlm.train(model="ngram", order=5, output=path, **settings).wait(progress=False)
        core = stored_model.load(path)[0]
        ngrams = sum(map(len, core.values))
        sizes.append((path / next(iter(read_manifest(path).files))).stat().st_size / ngrams)
        perplexities.append(evaluate(core, TEST).metric("ppl_token").value)
    assert sizes[0] > 13 and sizes[1] < 6.5
    assert perplexities[1] == pytest.approx(perplexities[0], rel=1e-3)


@pytest.mark.parametrize("name", [name for name, kind in ESTIMATORS.items() if not kind.tuned])
def test_sums_stay_within_what_codes_allow(name, tmp_path):
    options = {"order": 3, "smoothing": name}
    before = fit("ngram", TEXT, **options)
    after = quantised(before)
    save(tmp_path / "model", after, "ngram", **options, quantize=8)
    claimed = "ok" if before.normalised else "not claimed"
    assert (after.normalised, sums_of(tmp_path / "model")) == (before.normalised, claimed)


def test_backoff_weights_take_up_what_rounding_changes(exact, model, monkeypatch):
    def off(made) -> float:
        ids_NT = made.contexts(500, np.random.default_rng(3))[0][1]
        logprob_NTV, _ = made.predict(ids_NT, made.initial_state(len(ids_NT)))
        return float(np.abs(np.exp(logprob_NTV[:, -1].astype(np.float64)).sum(1) - 1).mean())

    monkeypatch.setattr("rnnlm.lm.ngram.pruning._correction", lambda *arguments: 0.0)
    assert off(exact) < 1e-5 < off(model) < 0.6 * off(quantised(exact))


def test_sums_beyond_the_bound_are_not_claimed(exact, monkeypatch):
    monkeypatch.setattr("rnnlm.lm.ngram.pruning.SUM_ERROR", 1e-5)
    assert not quantised(exact).normalised


def test_quantised_twice_is_quantised_once(model):
    again = quantised(model).to_arrays()
    for name, array in model.to_arrays().items():
        assert again[name].tolist() == array.tolist(), name


def test_one_word_at_a_time_scores_as_a_text(model):
    ids = Lines(TEXT[:5]).encode(model.tokenizer).ids.tolist()
    scorer = model.incremental()
    context, logprobs = scorer.begin(), []
    for word in ids:
        logprob, _, context = scorer.extend(context, word)
        logprobs.append(logprob)
        if word == model.tokenizer.boundary_id:
            context = scorer.begin()
    assert logprobs == pytest.approx(scores_of(model, TEXT[:5]).tolist(), abs=1e-6)


def test_an_arpa_file_is_exact_for_what_is_stored(model, tmp_path):
    export_arpa(model, tmp_path / "model.arpa")
    expected_N = scores_of(model).tolist()
    assert scores_of(load_arpa(tmp_path / "model.arpa")).tolist() == expected_N
    again = import_arpa(tmp_path / "model.arpa", tmp_path / "again", quantize=8)
    assert isinstance(again.values[-1], CodedValues)
    assert scores_of(again).tolist() == expected_N
    loaded = stored_model.load(tmp_path / "again")[0]
    assert scores_of(loaded).tolist() == expected_N
    card = (tmp_path / "again" / "README.md").read_text(encoding="utf-8")
    assert "quantize=8" in card


# ---- Made smaller, and mixed.


@pytest.mark.needs("tools/pruning")
def test_prune_quantises_to_a_format_that_earlier_versions_refuse(exact, model, tmp_path, folder):
    from rnnlm.tools.pruning.pruning import PruningLimits, prune

    save(tmp_path / "exact", exact, "ngram", order=ORDER)
    reduction = prune(str(tmp_path / "exact"), tmp_path / "q", PruningLimits(quantize=8))
    assert reduction.after.bytes < reduction.before.bytes / 2
    made = stored_model.load(tmp_path / "q")[0]
    assert scores_of(made).tolist() == scores_of(model).tolist()
    assert read_manifest(tmp_path / "q").settings["quantize"] == 8
    assert read_manifest(tmp_path / "exact").format_version == 1
    assert json.loads((folder / "config.json").read_bytes())["format_version"] == 2


@pytest.mark.needs("tools/pruning")
@pytest.mark.parametrize("limits", [{"threshold": 1e-6}, {"max_order": 3}, {"max_vocab": 300}])
def test_a_quantised_model_stays_so_when_it_is_pruned(limits, folder, tmp_path):
    from rnnlm.tools.pruning.pruning import PruningLimits, prune

    prune(str(folder), tmp_path / "small", PruningLimits(**limits))
    made = stored_model.load(tmp_path / "small")[0]
    assert isinstance(made.values[-1], CodedValues)
    assert sums_of(tmp_path / "small") == "ok"


@pytest.mark.needs("tools/pruning")
def test_unigrams_alone_have_no_codes(folder, tmp_path):
    from rnnlm.tools.pruning.pruning import PruningLimits, prune

    prune(str(folder), tmp_path / "small", PruningLimits(max_order=1))
    made = stored_model.load(tmp_path / "small")[0]
    assert made.order == 1 and made.sum_error == 0 and sums_of(tmp_path / "small") == "ok"


def test_a_quantised_model_is_pruned_by_entropy_like_its_values(model):
    levels = [level.values_MK.copy() for level in model.levels()]
    keys = [np.array(keys[:]) for keys in model.keys]
    plain = type(model)(keys, levels, model.tokenizer, model.normalised)
    assert scores_of(plain).tolist() == scores_of(model).tolist()
    small, expected = by_entropy(model, 1e-6), by_entropy(plain, 1e-6)
    assert scores_of(small).tolist() == scores_of(expected).tolist()


@pytest.mark.needs("tools/scorers")
@pytest.mark.needs("tools/mixtures")
def test_mixtures_read_codes(exact, model):
    from rnnlm.tools.mixtures.mixture import Mixture
    from rnnlm.tools.scorers.scorer_checks import of_model

    mixed = Mixture([model, exact], [0.3, 0.7])
    expected_N = np.logaddexp(scores_of(model) + np.log(0.3), scores_of(exact) + np.log(0.7))
    assert scores_of(mixed) == pytest.approx(expected_N)
    assert mixed.sum_error == of_model(mixed).sum_error == SUM_ERROR


@pytest.mark.needs("tools/mixtures")
def test_a_joined_model_is_in_full_precision(exact, folder, tmp_path):
    from rnnlm.tools.mixtures.static import mix_static

    save(tmp_path / "exact", exact, "ngram", order=ORDER)
    parts = [str(folder), str(tmp_path / "exact")]
    mix_static(parts, output=tmp_path / "joined", weights=[0.5, 0.5])
    joined = stored_model.load(tmp_path / "joined")[0]
    assert isinstance(joined.values[-1], np.ndarray) and sums_of(tmp_path / "joined") == "ok"
    assert np.abs(scores_of(joined) - scores_of(exact)).mean() < 0.01


# ---- Settings and folders.


@pytest.mark.needs("tools/pruning")
def test_other_numbers_of_bits_are_refused(exact, folder, tmp_path):
    from rnnlm.tools.pruning.pruning import PruningLimits, prune

    with pytest.raises(SettingsError, match="quantize"):
        fit("ngram", TEXT, quantize=4)
    with pytest.raises(SettingsError, match="quantize"):
        prune(str(folder), tmp_path / "small", PruningLimits(quantize=16))
    with pytest.raises(SettingsError, match="quantize"):
        import_arpa(tmp_path / "none.arpa", tmp_path / "made", quantize=4)


def test_a_run_of_before_quantising_is_finished(tmp_path):
    text = Corpus.from_lines(TEXT[:50])
    options = {"model": "ngram", "order": 2, "output": tmp_path / "run", "holdout": 0}
    rnnlm.train(text, **options).wait(progress=False)

    def forget(content: dict) -> None:
        del content["training"]["identity"]["quantize"]

    edit_config(tmp_path / "run", forget)
    with pytest.warns(RnnlmWarning, match="finished"):
        rnnlm.train(text, **options).wait(progress=False)
    with pytest.raises(OutputError, match="quantize. was unset and is now 8"):
        rnnlm.train(text, **options, quantize=8).wait(progress=False)


@pytest.mark.parametrize("forged", [
    lambda starts: starts - np.uint64(1), lambda starts: np.append(np.uint64(1), starts[1:]),
    lambda starts: np.insert(starts, 1, 2**63), lambda starts: starts[-1:], lambda starts: starts[:0],
])  # fmt: skip
def test_tables_cut_off_or_out_of_order_are_damage(model, forged):
    arrays = model.to_arrays()
    arrays["starts_3"] = forged(arrays["starts_3"])
    with pytest.raises(ModelError, match="damaged.*3-grams are cut off or out of order"):
        from_arrays({"quantize": 8}, model.tokenizer, arrays, "cpu", None)


def test_too_little_memory_is_refused_before_the_work_begins(exact, tmp_path, monkeypatch):
    export_arpa(exact, tmp_path / "m.arpa")
    ngrams = sum(map(len, exact.values))
    for work, bytes_each, begin in (
        ("importing", tables.IMPORTING, lambda: load_arpa(tmp_path / "m.arpa")),
        ("quantising", tables.QUANTISING, lambda: quantised(exact)),
    ):
        needed = bytes_each * ngrams
        monkeypatch.setattr(system, "available_bytes", lambda needed=needed: needed)
        begin()
        monkeypatch.setattr(system, "available_bytes", lambda needed=needed: needed - 1)
        with pytest.raises(UsageError, match=f"too little memory for {work}; [0-9,]+ n-grams"):
            begin()
