"""Words and their vectors: from models of all tasks, from files, and written."""

import numpy as np
import pytest

import rnnlm
from rnnlm.errors import OutputError, RnnlmWarning, SettingsError, TextError, UsageError
from rnnlm.text.vectors import read_vectors as read_some
from rnnlm.tools.vectors.word_vectors import word_vectors
from support import tiny_models, tiny_seq2seq, tiny_tasks

VECTORS = rnnlm.WordVectors(
    ("</s>", "king", "queen", "cat"),
    np.array([[1, 0], [1, 0.1], [0.9, 0.2], [0, 2]], dtype=np.float32),
)


def test_nearest_words_have_largest_cosine_without_special_symbols():
    found = VECTORS.nearest(np.array([2.0, 0.0]), 2)
    assert [word for word, _ in found] == ["king", "queen"]
    expected = pytest.approx([1 / np.sqrt(1.01), 0.9 / np.sqrt(0.85)])
    assert [cosine for _, cosine in found] == expected
    assert [word for word, _ in VECTORS.nearest(np.array([2.0, 0.0]), 9, [1])] == ["queen", "cat"]


@pytest.mark.parametrize(
    ("word", "hint"), [("Cat", "'cat'"), ("quen", "'queen'"), ("kings", "'king'")]
)
def test_an_unknown_words_error_suggests_similar_spelling(word, hint):
    with pytest.raises(UsageError) as caught:
        VECTORS.number(word)
    assert caught.value.what == f"unknown word {word!r}" and hint in caught.value.hint


def test_saved_vectors_are_read_back_exactly(tmp_path):
    vectors = rnnlm.WordVectors(
        ("the", "a", "m\u00e4t"),
        np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32),
    )
    assert vectors.save(tmp_path / "v.txt.gz") == 3
    again = rnnlm.read_vectors(tmp_path / "v.txt.gz")
    assert again.words == vectors.words and np.array_equal(again.matrix_VE, vectors.matrix_VE)
    with pytest.warns(RnnlmWarning):
        found = read_some(tmp_path / "v.txt.gz", ["m\u00e4t", "x", "the"], 4)
    assert found.ids_K.tolist() == [2, 0]
    assert np.array_equal(found.values_KE, vectors.matrix_VE[[0, 2]])
    with pytest.raises(OutputError, match="already exists"):
        vectors.save(tmp_path / "v.txt.gz")


def test_symbols_with_white_space_are_not_written(tmp_path):
    with pytest.warns(RnnlmWarning, match="1 symbol with white space"):
        vectors = rnnlm.WordVectors(("a", " "), np.eye(2, dtype=np.float32))
        assert vectors.save(tmp_path / "v.txt") == 1
    assert (tmp_path / "v.txt").read_text() == "1 2\na 1 0\n"


@pytest.mark.parametrize(("content", "error", "message"), [
    ("a 1 2\nb 1\n", TextError, "line 2: 1 number instead of 2"),
    ("a 1 x\n", TextError, "'x' is not a finite number"),
    ("2 2\na 1 2\n", TextError, "cut off"),
    ("1 2\na 1 2\nb 3 4\n", TextError, "has 2 vectors, but its first line says 1"),
    ("1 3\na 1 2\n", TextError, "2 numbers instead of 3"),
    ("", TextError, "no vectors"),
])  # fmt: skip
def test_a_damaged_file_is_one_clear_line(tmp_path, content, error, message):
    (tmp_path / "v.txt").write_text(content)
    with pytest.raises(error, match=message):
        rnnlm.read_vectors(tmp_path / "v.txt")


def test_glove_files_keep_first_width_and_first_vectors(tmp_path):
    (tmp_path / "v.txt").write_text("the 1 2\nnew york 3 4\na 5 6\nthe 7 8\n")
    with pytest.warns(RnnlmWarning, match="1 line with a word that occurred before"):
        vectors = rnnlm.read_vectors(tmp_path / "v.txt")
    assert vectors.words == ("the", "a") and vectors.matrix_VE.tolist() == [[1, 2], [5, 6]]


def test_a_model_has_input_and_softmax_vectors():
    model = tiny_models.fit("lstm", tied=False)
    network = model.network
    assert np.array_equal(word_vectors(model).matrix_VE, network.input.weight.detach().numpy())
    output = word_vectors(model, "output")
    assert np.array_equal(output.matrix_VE, network.output.weight.detach().numpy())
    assert output.note == ""
    assert output.words == tuple(model.tokenizer.symbols())
    assert output.source == "output vectors of this model"


def test_tied_vectors_say_so_and_are_the_same():
    model = tiny_models.fit("lstm", tied=True)
    both = [word_vectors(model, which) for which in ("input", "output")]
    assert np.array_equal(both[0].matrix_VE,
                          both[1].matrix_VE) and {each.note for each in both} == {
        "tied: input and output vectors are the same"}  # fmt: skip


def test_words_read_as_characters_have_composed_vectors():
    settings = {"characters": "cnn", "character_filters": "4,4", "tied": False}
    model = tiny_models.fit("lstm", **settings)
    vectors = word_vectors(model)
    assert vectors.matrix_VE.shape == (model.tokenizer.size, 8)
    assert "of the characters of each of the" in vectors.note
    assert word_vectors(
        tiny_models.fit("lstm", **settings, characters_beside=True)
    ).note.startswith("the characters that are read")


@pytest.mark.parametrize("layer", ["adaptive", "hierarchical", "class"])
def test_output_layers_without_word_rows_are_refused(layer):
    more = {"cutoffs": "4"} if layer == "adaptive" else {}
    model = tiny_models.fit("lstm", output_layer=layer, tied=False, **more)
    with pytest.raises(UsageError, match=r"no output vectors.*use its input vectors"):
        word_vectors(model, "output")
    assert word_vectors(model).width == 8


def test_an_encoder_decoder_has_source_and_softmax_vectors():
    model = tiny_seq2seq.tiny_model(tied_embeddings="target")
    codec = model.codec
    source, target = (word_vectors(model, which) for which in ("input", "output"))
    assert (source.words, source.note) == (tuple(codec.source.symbols()), "of the source")
    assert target.words == tuple(codec.target.symbols())
    assert target.note == "of the target; tied: the decoder reads the same"
    assert np.array_equal(target.matrix_VE, model.network.target_words.weight.detach().numpy())


@pytest.mark.parametrize(("task", "kind"), [("tagging", "lstm"), ("classification", "bag")])
def test_a_label_model_has_input_vectors_only(task, kind):
    model = tiny_tasks.fit(task, kind)
    vectors = word_vectors(model)
    assert "oslo" in vectors.words
    assert np.array_equal(vectors.matrix_VE, model.network.encoder.input.weight.detach().numpy())
    with pytest.raises(UsageError, match="it predicts labels, not words"):
        word_vectors(model, "output")


def test_models_without_vectors_and_unknown_kinds_are_refused():
    with pytest.raises(UsageError, match="no word vectors.*n-gram models"):
        word_vectors(tiny_models.fit("ngram", order=2))
    with pytest.raises(UsageError, match="unknown vectors 'outputs'"):
        word_vectors(tiny_models.fit("unigram"), "outputs")
    assert word_vectors(VECTORS) is VECTORS


def test_a_width_unlike_the_first_line_is_reported(tmp_path):
    (tmp_path / "v.txt").write_text("1 2\na 1 2 3\n")
    with pytest.raises((SettingsError, TextError), match="3 numbers instead of 2"):
        rnnlm.read_vectors(tmp_path / "v.txt")
