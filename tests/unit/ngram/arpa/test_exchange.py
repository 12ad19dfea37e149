import os

import numpy as np
import pytest

import rnnlm
from rnnlm.errors import ModelError, OutputError
from rnnlm.models import model_folder, registry
from rnnlm.ngram.arpa import writing
from rnnlm.tasks.evaluation import evaluate
from rnnlm.text.corpus import Corpus
from rnnlm.text.tokenizer_settings import TokenizerSettings
from support.arpa_files import GOLDEN, word_scores
from support.tiny_models import LINES, fit, small_settings

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
    writing.import_arpa(path, tmp_path / "model")
    again = rnnlm.load(tmp_path / "model")
    assert again.tokenizer.symbols() == model.tokenizer.symbols()
    for ours, theirs in zip(model.to_arrays().items(), again.to_arrays().items(), strict=True):
        assert ours[0] == theirs[0]
        assert ours[0] == "facts" or np.array_equal(ours[1], theirs[1])


def test_an_imported_model_is_ordinary_but_marked(tmp_path):
    imported = writing.import_arpa(GOLDEN / "g6-order2.arpa", tmp_path / "model")
    model, manifest = model_folder.load(tmp_path / "model")
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
    writing.export_arpa(model, type(tmp_path)(os.devnull))  # what keeps nothing takes everything
    with pytest.raises(OutputError, match="cannot write .*nowhere"):
        writing.export_arpa(model, tmp_path / "nowhere" / "m.arpa")


@pytest.mark.parametrize(
    "tokenizer",
    [{"tokenizer": "char"}, {"tokenizer": "byte"}, {"lowercase": True, "split_punctuation": True},
                  {"tokenizer": "sentencepiece", "vocab_size": 280}],
    ids=str,
)  # fmt: skip
def test_a_file_with_its_origins_tokenizer_scores_alike(tokenizer, tmp_path):
    lines = ["The cat, it sat.", "A <unk> cat!", "it sat on it", "It's a \u2581 cat"] * 3
    model = fit("ngram", lines, order=3, **tokenizer)
    resolved = small_settings(registry.kind_of("ngram"), order=3, **tokenizer)
    model_folder.save(tmp_path / "model", model, "ngram", resolved.values, 1, {})
    writing.export_arpa(model, tmp_path / "m.arpa")
    again = writing.import_arpa(
        tmp_path / "m.arpa", tmp_path / "again", tokenizer_from=str(tmp_path / "model")
    )
    assert again.tokenizer.fingerprint == model.tokenizer.fingerprint
    for name, array in model.to_arrays().items():
        assert name == "facts" or np.array_equal(again.to_arrays()[name], array), name
    sentences = ["the cat sat on a cat", "It's it!", "dog"]
    ours, theirs = (
        [score.logprob_nats for score in rnnlm.Model(each).score_sentences(sentences)]
        for each in (model, rnnlm.load(tmp_path / "again"))
    )
    assert ours == theirs


def test_a_file_whose_words_mismatch_is_refused(model, tmp_path):
    other = fit("ngram", ["quite other words"], order=2)
    model_folder.save(
        tmp_path / "other", other, "ngram", small_settings(registry.kind_of("ngram")).values, 1, {}
    )
    writing.export_arpa(model, tmp_path / "m.arpa")
    with pytest.raises(
        ModelError, match="has other words than the tokenizer; only one of them has 'a'"
    ):
        writing.import_arpa(
            tmp_path / "m.arpa", tmp_path / "again", tokenizer_from=str(tmp_path / "other")
        )
    assert not (tmp_path / "again").exists()


def test_a_lower_cased_file_accepts_any_case(model, tmp_path):
    writing.export_arpa(model, tmp_path / "m.arpa")
    writing.import_arpa(
        tmp_path / "m.arpa",
        tmp_path / "lower",
        settings=TokenizerSettings(lowercase=True, split_punctuation=True),
    )
    lower = rnnlm.load(tmp_path / "lower")
    (ours,), (theirs,) = (
        rnnlm.Model(model).score_sentences(["the cat sat"]),
        rnnlm.Model(lower).score_sentences(["The CAT sat"]),
    )
    assert ours.logprob_nats == theirs.logprob_nats
