"""A model in a folder made smaller: an ordinary model, with its evaluation."""

import pytest

from rnnlm import Corpus, corpora, load, registry, system
from rnnlm.errors import OutputError, RnnlmWarning, TextError, UsageError
from rnnlm.evaluation.perplexity import evaluate
from rnnlm.lm.base import stored_model
from rnnlm.storage import model_folder
from rnnlm.text.tokenizers.vocabulary import Vocabulary
from rnnlm.tools.pruning.pruning import PruningLimits, prune
from support.tiny_models import english_lines, fit, small_settings

LINES = english_lines(200)
VALID = Corpus((str(corpora.part("english", "test")),))


def saved(folder, name: str = "ngram", **settings):
    model = fit(name, LINES, **settings)
    values = small_settings(registry.kind_of(name), **settings).values
    model_folder.save(folder, model, name, values, 1, {"recipe": "ngram-3", "text": ["train.txt"]})
    return folder


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("models") / "big", order=4)


def test_pruning_reports_true_sizes_and_perplexities(big, tmp_path):
    reduction = prune(str(big), tmp_path / "small", PruningLimits(threshold=1e-5), test_text=VALID)
    for size, folder in ((reduction.before, big), (reduction.after, tmp_path / "small")):
        model, manifest = stored_model.load(folder)
        assert size.ngrams == tuple(map(len, model.values))
        assert size.bytes == sum((folder / name).stat().st_size for name in manifest.files)
        found, expected = size.evaluation.to_dict(), evaluate(model, VALID).to_dict()
        assert found | {"seconds": 0} == expected | {"seconds": 0}
    assert sum(reduction.after.ngrams) < sum(reduction.before.ngrams)
    assert reduction.threshold == 1e-5


def test_the_smaller_model_says_what_it_comes_from(big, tmp_path):
    prune(str(big), tmp_path / "small", PruningLimits(ngrams=3000, max_order=3), test_text=VALID)
    manifest = model_folder.read_manifest(tmp_path / "small")
    pruned = manifest.training["pruned"]
    assert pruned["from"] == model_folder.read_manifest(big).fingerprint
    assert (pruned["max_order"], manifest.settings["order"]) == (3, 3)
    assert pruned["ngrams"] == 3000 and pruned["threshold"] > 0
    assert 2900 < sum(manifest.training["ngrams"]) <= 3000
    assert manifest.training["text"] == ["train.txt"]
    assert manifest.results[VALID.sources[0]]["signature"].endswith(f"model:{manifest.fingerprint}")
    assert f"| {VALID.sources[0]} |" in (tmp_path / "small" / "README.md").read_text()


def test_the_most_frequent_words_stay(big, tmp_path):
    prune(str(big), tmp_path / "small", PruningLimits(max_vocab=50))
    before, after = load(big).tokenizer, load(tmp_path / "small").tokenizer
    assert after.symbols() == before.symbols()[:50]
    assert after.counts_V.sum() == before.counts_V.sum()
    assert after.counts_V[after.unk_id] == before.counts_V[50:].sum()


def test_the_words_of_a_file_stay(big, tmp_path):
    (tmp_path / "words").write_text("the\nof\n<s>\n</s>\nunheardof\nto\r\n")
    vocab = str(tmp_path / "words")
    with pytest.warns(RnnlmWarning, match="words that are not in the model stay unknown: 1"):
        prune(str(big), tmp_path / "small", PruningLimits(vocab=vocab))
    assert set(load(tmp_path / "small").tokenizer.symbols()) == {"</s>", "<unk>", "the", "of", "to"}
    pruned = model_folder.read_manifest(tmp_path / "small").training["pruned"]
    assert pruned["vocab"].startswith("sha256:")
    with pytest.warns(RnnlmWarning):
        prune(str(big), tmp_path / "smaller", PruningLimits(vocab=vocab, max_vocab=4))
    # more frequent than of
    assert load(tmp_path / "smaller").tokenizer.symbols() == ["</s>", "<unk>", "the", "to"]


@pytest.mark.parametrize("row", ["of\t12", "of 12 3", "of  the", "12\tof", "of,12 of"])
def test_rows_of_a_vocabulary_that_are_not_a_word_are_refused(row, big, tmp_path):
    (tmp_path / "words").write_text(f"the\n\n {row}\nto\n")
    with pytest.raises(TextError, match="words, line 3: . words; each line must hold one word"):
        prune(str(big), tmp_path / "small", PruningLimits(vocab=str(tmp_path / "words")))


def test_without_counts_the_most_probable_words_stay(big, tmp_path):
    model, manifest = stored_model.load(big)
    symbols = model.tokenizer.symbols()
    model.tokenizer.vocabulary = Vocabulary(tuple(symbols), None)
    model_folder.save(tmp_path / "imported", model, "ngram", manifest.settings, 1, {})
    with pytest.warns(RnnlmWarning, match="the most probable words are kept"):
        prune(str(tmp_path / "imported"), tmp_path / "small", PruningLimits(max_vocab=30))
    small = load(tmp_path / "small")
    kept = set(small.tokenizer.symbols())
    logprobs = dict(zip(symbols, model.values[0][:, 0].tolist(), strict=False))
    likeliest_gone = max(logprobs[word] for word in logprobs.keys() - kept)
    assert min(logprobs[word] for word in kept - {"<unk>"}) >= likeliest_gone
    assert small.tokenizer.counts_V is None


def test_model_can_be_replaced_by_its_pruned_self(big, tmp_path):
    folder = saved(tmp_path / "model", order=3)
    with pytest.raises(OutputError, match="already holds a model"):
        prune(str(folder), folder, PruningLimits(max_order=2))
    prune(str(folder), folder, PruningLimits(max_order=2), overwrite=True)
    assert load(folder).order == 2
    assert len(list(folder.glob("weights-*"))) == 1


BAD = {
    "no limits are given": {}, "cannot be combined": {"threshold": 1e-8, "ngrams": 100_000},
    "threshold -1.0": {"threshold": -1.0}, "threshold nan": {"threshold": float("nan")},
    "order 0": {"max_order": 0}, "vocabulary of 2": {"max_vocab": 2},
    "10 n-grams are too few": {"ngrams": 10},
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_wrong_limits_are_said_before_anything_is_written(big, tmp_path, what):
    with pytest.raises(UsageError, match=what):
        prune(str(big), tmp_path / "small", PruningLimits(**BAD[what]))
    assert not (tmp_path / "small").exists()


@pytest.mark.parametrize("name, settings, limits, message", [
    ("unigram", {}, PruningLimits(threshold=1e-8), "of kind unigram"),
    ("ngram", {"smoothing": "stupid"}, PruningLimits(threshold=1e-8),
     "stupid backoff cannot be pruned by entropy"),
    ("ngram", {"tokenizer": "char"}, PruningLimits(max_vocab=20), "vocabulary of a char tokenizer"),
])  # fmt: skip
def test_models_that_cannot_be_pruned_that_way(tmp_path, name, settings, limits, message):
    folder = saved(tmp_path / "model", name, **settings)
    with pytest.raises(UsageError, match=message):
        prune(str(folder), tmp_path / "small", limits)
    assert not (tmp_path / "small").exists()


def test_a_text_that_is_not_there_is_noticed_before_anything_is_written(big, tmp_path):
    gone = Corpus(("nowhere.txt",))
    with pytest.raises(TextError):
        prune(str(big), tmp_path / "small", PruningLimits(max_order=2), test_text=gone)
    assert not (tmp_path / "small").exists()


def test_too_little_memory_is_refused(big, tmp_path, monkeypatch):
    monkeypatch.setattr(system, "available_bytes", lambda: 1000)
    with pytest.raises(UsageError, match="too little memory for pruning"):
        prune(str(big), tmp_path / "small", PruningLimits(max_order=2))
    assert not (tmp_path / "small").exists()
