"""Settings chosen on held-out text, kept beside the model, and used again."""

import errno
import shutil
import warnings

import numpy as np
import pytest

from rnnlm import registry
from rnnlm.errors import ModelError, OutputError, RnnlmWarning, SettingsError, TextError, UsageError
from rnnlm.evaluation.perplexity import evaluate
from rnnlm.lm.base import loading, span_scoring
from rnnlm.storage import model_folder
from rnnlm.text.corpus import Corpus
from rnnlm.text.lines import TextSettings
from rnnlm.tools.mixtures import adaptation, adapted_model, tuning
from rnnlm.tools.mixtures.adapted_model import (
    STATISTICS,
    DynamicSettings,
    NeuralCacheSettings,
    TunedSettings,
)
from rnnlm.tools.mixtures.tuning import Trial, best_weight, descend, tune
from support.failing_files import failing
from support.tiny_models import LINES, Lines, fit, save, small_settings

REPEATED = Lines(["speech speech dog speech", "dog speech speech"] * 4)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name in ("lstm", "ngram"):
        save(folder / name, fit(name), name)
    save(folder / "learned", fit("lstm", budget="60steps"), "lstm", budget="60steps")
    return folder


@pytest.fixture
def lstm(saved, tmp_path):
    return shutil.copytree(saved / "lstm", tmp_path / "lstm")


@pytest.fixture
def ngram(saved, tmp_path):
    return shutil.copytree(saved / "ngram", tmp_path / "ngram")


def perplexity(model) -> float:
    return span_scoring.stream_perplexity(model, REPEATED.encode(model.tokenizer).ids)


def tuned_of(folder, kind, **options) -> tuple[list[Trial], TunedSettings]:
    *tries, tuned = tune(str(folder), kind, REPEATED, device="cpu", **options)
    return tries, tuned


def test_best_weight_matches_a_brute_force_grid():
    generator = np.random.default_rng(1)
    p_N, share_N = generator.dirichlet(np.ones(200), size=2)
    grid = np.linspace(0, 0.999, 10_000)
    likelihood = [np.log((1 - w) * p_N + w * share_N).sum() for w in grid]
    assert best_weight(p_N, share_N) == pytest.approx(grid[np.argmax(likelihood)], abs=1e-3)


@pytest.mark.parametrize("p, share, expected", [
    ([0.5, 0.5], [0.1, 0.4], 0), ([0.1, 0.4], [0.5, 0.5], 0.999),
    # 2 log(1 - w) + log w is largest there; the last token is impossible
    ([0.5, 0.5, 0, 0], [0, 0, 0.5, 0], 1 / 3),
])  # fmt: skip
def test_best_weight_may_be_extreme_despite_impossible_tokens(p, share, expected):
    assert best_weight(np.array(p), np.array(share)) == pytest.approx(expected, abs=1e-3)


def test_descent_finds_a_minimum_without_repeating_trials():
    heights = []

    def measure(settings):
        heights.append(settings)
        ppl = (settings.cache_tokens - 300) ** 2 / 1e4 + (settings.cache_flatness - 0.55) ** 2
        return Trial({"tokens": settings.cache_tokens, "flatness": settings.cache_flatness}, ppl)

    ladders = {"cache_tokens": (100, 200, 300, 400), "cache_flatness": (0.1, 0.5, 0.9)}
    tries, best = [], []

    def search():
        best.append((yield from descend(ladders, NeuralCacheSettings(), measure)))

    tries += search()
    assert best[0].settings == {"tokens": 300, "flatness": 0.5}
    assert len(set(heights)) == len(heights) == len(tries)
    assert best[0].ppl == min(each.ppl for each in tries)


@pytest.mark.parametrize("kind", ["cache", "unigram", "dynamic"])
def test_tuned_settings_are_saved_and_reproduce_their_perplexity(lstm, kind):
    tries, tuned = tuned_of(lstm, kind)
    assert tuned == adapted_model.read_tuned(lstm, kind)
    assert tuned.ppl_after == min(each.ppl for each in tries) < tuned.ppl_before
    with warnings.catch_warnings(action="error"):
        adapted = loading.load(f"{lstm}+{kind}", "cpu")
    assert perplexity(adapted) == pytest.approx(tuned.ppl_after, rel=1e-4)
    assert perplexity(loading.load(lstm, "cpu")) == pytest.approx(tuned.ppl_before, rel=1e-4)


def test_ngram_model_is_tuned_with_the_word_cache(ngram, tmp_path):
    _, tuned = tuned_of(ngram, "unigram")
    adapted = loading.load(f"{ngram}+unigram")
    (tmp_path / "text").write_text("\n".join(REPEATED.lines))
    result = evaluate(adapted, tmp_path / "text")
    assert result.ppl_token == pytest.approx(tuned.ppl_after, rel=1e-4)
    assert tuned.ppl_after < tuned.ppl_before
    tokens, weight = tuned.settings["cache_tokens"], tuned.settings["cache_weight"]
    assert f"|adapt:unigram(tokens={tokens},weight={weight})|" in result.signature


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("kind, lines", [
    ("unigram", LINES), ("dynamic", LINES[:1]), ("dynamic", ["dog"]), ("cache", ["zebra", "yak"]),
    *(pytest.param(kind, lines, marks=pytest.mark.soak) for kind in ("cache", "unigram", "dynamic")
      for lines in (LINES, LINES[:1], ["dog"], ["zebra", "yak"])),
], ids=str)  # fmt: skip
def test_tuned_settings_are_never_worse_than_none(saved, tmp_path, kind, lines):
    # A text of the training needs no adaptation, and a text without repetition offers none.
    folder = shutil.copytree(saved / "learned", tmp_path / "lstm")
    *tries, tuned = tune(str(folder), kind, Lines(lines), device="cpu")
    assert tuned.ppl_after == min(each.ppl for each in tries) <= tuned.ppl_before
    if tuned.ppl_after == tuned.ppl_before:
        assert tuned.settings[tuning.OFF[kind]] == 0
    adapted = loading.load(f"{folder}+{kind}", "cpu")
    ids = Lines(lines).encode(adapted.tokenizer).ids
    assert span_scoring.stream_perplexity(adapted, ids) == pytest.approx(tuned.ppl_after, rel=1e-4)


def test_descent_goes_on_where_perplexity_stays():
    heights = {300: 9.0, 500: 9.0, 700: 9.0, 1000: 5.0}

    def measure(settings):
        return Trial({"tokens": settings.cache_tokens}, heights.get(settings.cache_tokens, 10.0))

    ladders = {"cache_tokens": (100, *heights)}
    search = descend(ladders, NeuralCacheSettings(cache_tokens=300), measure)
    assert Trial({"tokens": 1000}, 5.0) in list(search)


def test_given_settings_are_not_touched(lstm):
    given = {"cache_tokens": "7", "cache_weight": "0.2"}
    tries, _ = tuned_of(lstm, "cache", given=given)
    found = [each.settings for each in tries]
    assert {(each["cache_tokens"], each["cache_weight"]) for each in found} == {(7, 0.2)}
    assert len({each["cache_flatness"] for each in found}) == len(tries) > 1


def test_only_the_first_tokens_are_read(lstm):
    given = {"adaptation_rate": "0.1", "adaptation_decay": "0"}
    _, tuned = tuned_of(lstm, "dynamic", tokens=9, given=given)
    model = loading.load(lstm, "cpu")
    before = span_scoring.stream_perplexity(model, REPEATED.encode(model.tokenizer).ids[:9])
    assert tuned.tokens == 9 and tuned.ppl_before == pytest.approx(before)


def test_statistics_are_gathered_saved_and_used(lstm):
    heard = []
    report = lambda *done: heard.append(done)  # noqa: E731
    _, tuned = tuned_of(lstm, "dynamic", statistics=Lines(LINES), report=report)
    assert heard and heard[-1][0] == heard[-1][1]
    assert tuned.settings["adaptation_rule"] == "rms" and (lstm / STATISTICS).is_file()
    adapted = loading.load(f"{lstm}+dynamic", "cpu")
    assert perplexity(adapted) == pytest.approx(tuned.ppl_after, rel=1e-4)


def test_unreadable_held_out_text_is_noticed_before_statistics(lstm):
    gone = Corpus(("nowhere",))
    with pytest.raises(TextError, match="no such file"):
        list(tune(str(lstm), "dynamic", gone, statistics=Lines(LINES), device="cpu"))
    assert not (lstm / STATISTICS).exists()


def test_tuned_settings_outlive_further_training_with_a_warning(lstm):
    tuned_of(lstm, "cache")
    tuned_of(lstm, "dynamic", statistics=Lines(LINES))
    values = small_settings(registry.kind_of("lstm")).values
    model_folder.save(lstm, fit("lstm", budget="9steps"), "lstm", values, 9, {}, continues_run=True)
    with pytest.warns(RnnlmWarning, match="before the model was retrained"):
        loading.load(f"{lstm}+cache", "cpu")
    with pytest.raises(ModelError, match="belong to other weights"):
        loading.load(f"{lstm}+dynamic", "cpu")


@pytest.mark.parametrize("kind, options, error, message", [
    ("cache", {"statistics": Lines(LINES)}, UsageError, "leave out `statistics`"),
    ("dynamic", {"statistics": Lines(LINES), "given": {"adaptation_rule": "sgd"}}, UsageError,
     "rule sgd does not use.*leave out `statistics`"),
    ("cache", {"tokens": 0}, UsageError, "0 tokens"),
    ("cache", {"given": {"cache_weigth": "0.1"}}, SettingsError, "did you mean 'cache_weight'"),
])  # fmt: skip
def test_impossible_requests_are_refused_before_any_work(lstm, kind, options, error, message):
    for path in lstm.glob("*.safetensors"):
        path.write_bytes(b"damaged")
    with pytest.raises(error, match=message):
        tuned_of(lstm, kind, **options)
    assert not list(lstm.glob("adapt-*"))


def test_adaptations_that_do_not_fit_are_refused(lstm):
    model = loading.load(lstm, "cpu")
    with pytest.raises(UsageError, match="rnnlm tune -m NAME.dynamic --statistics"):
        adaptation.adapt(model, "dynamic", DynamicSettings(adaptation_rule="rms"))
    with pytest.raises(UsageError, match="leave out `blank_lines`"):
        list(tune(str(lstm), "cache", Lines(LINES, settings=TextSettings(blank_lines="documents"))))
    with pytest.raises(UsageError, match="did you mean 'cache'"):
        adaptation.adapt(model, "cash")
    assert not list(lstm.glob("adapt-*"))


MIXTURE = {"parts": [("lstm", {}), ("unigram", {})], "weights": [0.5, 0.5]}


def test_without_tuning_there_are_defaults_and_a_notice(lstm):
    with pytest.warns(RnnlmWarning, match="default settings; rnnlm tune"):
        adapted = loading.load(f"{lstm}+dynamic", "cpu")
    assert adapted.settings == DynamicSettings()


@pytest.mark.parametrize("kind", ["cache", "dynamic"])
def test_n_gram_models_adapt_only_by_a_unigram(ngram, kind):
    with pytest.raises(UsageError, match="NAME.unigram"):
        tuned_of(ngram, kind)


@pytest.mark.parametrize("name, settings, words", [
    ("unigram", {}, "an n-gram model"), ("ngram", {}, "an n-gram model"),
    ("mixture", MIXTURE, "a mixture"),
])  # fmt: skip
@pytest.mark.parametrize("kind", ["cache", "dynamic"])
def test_models_without_hidden_states_are_refused_by_name(name, settings, words, kind):
    message = f"^{words} cannot be adapted in this way; this needs a neural network"
    with pytest.raises(UsageError, match=message):
        adaptation.adapt(fit(name, **settings), kind)


def test_unwritable_folder_is_noticed_before_the_work(lstm):
    for path in lstm.glob("*.safetensors"):
        path.write_bytes(b"damaged")
    why = "cannot write to .*lstm; Read-only"
    with failing(lstm, ("open",), errno.EROFS), pytest.raises(OutputError, match=why):
        tuned_of(lstm, "cache")


# ---- The same tuning again.


def test_what_is_tuned_is_found_at_once_unless_its_journal_is_damaged(lstm):
    tries, tuned = tuned_of(lstm, "cache")
    assert tries
    with pytest.warns(RnnlmWarning, match="adapt-cache.json is finished: .*overwrite=True"):
        assert tuned_of(lstm, "cache") == ([], tuned)
    assert tuned_of(lstm, "cache", overwrite=True) == (tries, tuned)
    journal = lstm / "adapt-cache.journal"
    journal.write_bytes(journal.read_bytes().replace(b'"cache"', b'"cashe"'))
    with pytest.raises(OutputError, match="already exists; there is no record of how"):
        tuned_of(lstm, "cache")
    (lstm / "adapt-cache.json").unlink()
    assert tuned_of(lstm, "cache") == (tries, tuned)


@pytest.mark.parametrize("change, why", [
    ({"tokens": 9}, "`tokens` was 100000 and is now 9"),
    ({"given": {"cache_tokens": 500}}, "`given` was unset and is now cache_tokens"),
])  # fmt: skip
def test_settings_that_were_chosen_otherwise_are_kept(lstm, change, why):
    tuned_of(lstm, "cache")
    before = (lstm / "adapt-cache.json").read_bytes()
    with pytest.raises(OutputError) as caught:
        tuned_of(lstm, "cache", **change)
    assert caught.value.why.startswith(why)
    assert caught.value.hint == "replace it with `overwrite=True`"
    assert (lstm / "adapt-cache.json").read_bytes() == before
    tuned_of(lstm, "cache", **change, overwrite=True)


def test_tuning_that_was_cut_off_repeats_no_trial(saved, lstm, tmp_path, monkeypatch):
    whole = shutil.copytree(saved / "lstm", tmp_path / "whole")
    expected, tuned = tuned_of(whole, "dynamic", statistics=Lines(LINES))

    run = tune(str(lstm), "dynamic", REPEATED, statistics=Lines(LINES), device="cpu")
    assert [next(run), next(run)] == expected[:2]
    run.close()
    measured = []
    monkeypatch.setattr(tuning, "_save_statistics", None)  # they are there
    perplexity_of = span_scoring.stream_perplexity
    watched = lambda *given: measured.append(1) or perplexity_of(*given)  # noqa: E731
    monkeypatch.setattr(span_scoring, "stream_perplexity", watched)
    assert tuned_of(lstm, "dynamic", statistics=Lines(LINES)) == (expected, tuned)
    assert len(measured) == len(expected) - 2
