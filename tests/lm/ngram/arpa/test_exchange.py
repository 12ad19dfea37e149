import os

import numpy as np
import pytest

import rnnlm
from reference.arpa_dictionary import ArpaDictionary
from rnnlm.errors import ModelError, OutputError, RnnlmWarning
from rnnlm.evaluation.evaluate import evaluate
from rnnlm.lm.base import stored_model
from rnnlm.lm.ngram import pruning, tables
from rnnlm.lm.ngram.arpa import writing
from rnnlm.lm.ngram.counting.workspace import Workspace
from rnnlm.lm.ngram.joining import joined
from rnnlm.text.corpus import Corpus
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.training.imported import import_arpa
from support import tiny_models
from support.arpa_files import GOLDEN, SMALL, word_scores
from support.tiny_models import LINES, fit

pytestmark = pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")


@pytest.fixture
def model():
    return fit("ngram", LINES, order=3)


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz", ".bz2", ".zst"])
def test_a_model_survives_the_way_out_and_in(model, suffix, tmp_path):
    path = tmp_path / f"m.arpa{suffix}"
    writing.export_arpa(model, path)
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_bytes().startswith(b"\\data\\") == (suffix == "")
    import_arpa(path, tmp_path / "model")
    same_arrays(model, rnnlm.load(tmp_path / "model"))


def test_an_imported_model_is_ordinary_but_marked(tmp_path):
    imported = import_arpa(GOLDEN / "g6-order2.arpa", tmp_path / "model")
    model, manifest = stored_model.load(tmp_path / "model")
    assert (model.normalised, model.order, model.tokenizer.counts_V) == (False, 2, None)
    assert model.fingerprint == imported.fingerprint == manifest.fingerprint
    assert manifest.settings["order"] == 2 and manifest.settings["tokenizer"] == "word"
    assert manifest.training["imported_from"].endswith("g6-order2.arpa")
    assert manifest.training["ngrams"] == [len(values) for values in model.values]
    lines = (GOLDEN / "g6-order2.txt").read_text().splitlines()
    assert evaluate(model, Corpus((str(GOLDEN / "g6-order2.txt"),))).ppl_token < 150
    assert word_scores(model, lines[0]) == word_scores(imported, lines[0])
    assert (tmp_path / "model" / "README.md").exists()


def test_only_plain_files_are_written(model, tmp_path):
    with pytest.raises(OutputError, match="not a plain file"):
        writing.export_arpa(model, tmp_path, overwrite=True)
    if os.name == "posix":  # on Windows, names of devices are refused
        writing.export_arpa(model, type(tmp_path)(os.devnull))  # what keeps nothing takes all
    with pytest.raises(OutputError, match="cannot write .*nowhere"):
        writing.export_arpa(model, tmp_path / "nowhere" / "m.arpa")


@pytest.mark.parametrize("tokenizer", [
    {"tokenizer": "char"}, {"tokenizer": "byte"}, {"lowercase": True, "split_punctuation": True},
    {"tokenizer": "sentencepiece", "vocab_size": 280},
], ids=str)  # fmt: skip
def test_a_file_with_its_origins_tokenizer_scores_alike(tokenizer, tmp_path):
    lines = ["The cat, it sat.", "A <unk> cat!", "it sat on it", "It's a \u2581 cat"] * 3
    model = fit("ngram", lines, order=3, **tokenizer)
    tiny_models.save(tmp_path / "model", model, "ngram", order=3, **tokenizer)
    writing.export_arpa(model, tmp_path / "m.arpa")
    origin = str(tmp_path / "model")
    again = import_arpa(tmp_path / "m.arpa", tmp_path / "again", tokenizer_from=origin)
    assert again.tokenizer.fingerprint == model.tokenizer.fingerprint
    same_arrays(model, again)
    sentences = ["the cat sat on a cat", "It's it!", "dog"]
    ours = rnnlm.Model(model).score_sentences(sentences)
    theirs = rnnlm.Model(rnnlm.load(tmp_path / "again")).score_sentences(sentences)
    assert [each.logprob_nats for each in ours] == [each.logprob_nats for each in theirs]


def test_a_file_whose_words_mismatch_is_refused(model, tmp_path):
    other = str(tmp_path / "other")
    tiny_models.save(tmp_path / "other", fit("ngram", ["quite other words"], order=2), "ngram")
    writing.export_arpa(model, tmp_path / "m.arpa")
    with pytest.raises(ModelError, match="has other words than the tokenizer; only one .* has 'a'"):
        import_arpa(tmp_path / "m.arpa", tmp_path / "again", tokenizer_from=other)
    assert not (tmp_path / "again").exists()


def test_the_longest_words_survive_the_way_out_and_in(tmp_path):
    words = ["x" * 1_100_000, "\\end\\", "-0.5", "<UNK", "\u00a0", "\x0b\x0c\x85"]
    model = fit("ngram", [" ".join(words), words[0]], order=3)
    writing.export_arpa(model, tmp_path / "m.arpa")
    same_arrays(model, writing.load_arpa(tmp_path / "m.arpa"))


EMPTY_ORDERS = {
    "trigrams": SMALL.replace("ngram 3=1", "ngram 3=0").replace("-0.05\t<s> a b\n", ""),
    "bigrams": SMALL.partition("\n\\2-grams:")[0].replace("2=3\nngram 3=1", "2=0") + "\n\\end\\\n",
}


@pytest.mark.parametrize("text", EMPTY_ORDERS.values(), ids=EMPTY_ORDERS.keys())
def test_weights_below_an_empty_order_are_kept_everywhere(text, tmp_path):
    (tmp_path / "m.arpa").write_text(text)
    import_arpa(tmp_path / "m.arpa", tmp_path / "model")
    model = rnnlm.load(tmp_path / "model")
    expected = ArpaDictionary(tmp_path / "m.arpa").nats("a b b a")
    assert model.order == len(model.values) and not len(model.values[-1])
    assert word_scores(model, "a b b a") == pytest.approx(expected, abs=1e-5)
    assert tables.examine(model)[0] == ""

    # Out and in again, and through the commands that make other models of it.
    writing.export_arpa(model, tmp_path / "again.arpa")
    assert "=0\n" in (tmp_path / "again.arpa").read_text()
    again = writing.load_arpa(tmp_path / "again.arpa")
    for same in (again, pruning.by_entropy(model, 0.0)):
        assert word_scores(same, "a b b a") == pytest.approx(expected, abs=1e-5)
    mixed = joined([model, model], [0.5, 0.5], Workspace())
    assert len(mixed.values[-1]) and tables.examine(mixed)[0] == ""


def test_a_lower_cased_file_accepts_any_case(model, tmp_path):
    writing.export_arpa(model, tmp_path / "m.arpa")
    settings = TokenizerSettings(lowercase=True, split_punctuation=True)
    import_arpa(tmp_path / "m.arpa", tmp_path / "lower", settings=settings)
    [ours] = rnnlm.Model(model).score_sentences(["the cat sat"])
    [theirs] = rnnlm.Model(rnnlm.load(tmp_path / "lower")).score_sentences(["The CAT sat"])
    assert ours.logprob_nats == theirs.logprob_nats


def test_words_that_text_never_holds_are_named(tmp_path):
    (tmp_path / "m.arpa").write_text(SMALL.replace("\tb", "\tB.").replace(" b", " B."))
    settings = TokenizerSettings(lowercase=True, split_punctuation=True)
    what = "these words of the file never occur in text read with these settings: b\\.$"
    with pytest.warns(RnnlmWarning, match=what):
        import_arpa(tmp_path / "m.arpa", tmp_path / "m", settings=settings)


def same_arrays(model, other) -> None:
    """Check that two models have the same n-grams and numbers."""
    assert other.tokenizer.symbols() == model.tokenizer.symbols()
    arrays, others = model.to_arrays(), other.to_arrays()
    assert arrays.keys() == others.keys()
    for name in arrays.keys() - {"facts"}:
        assert np.array_equal(arrays[name], others[name]), name
