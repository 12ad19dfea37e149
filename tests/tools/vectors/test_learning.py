"""Word vectors learned from text; GloVe against its equations."""

import numpy as np
import pytest
import torch

import rnnlm
from rnnlm.errors import SettingsError, TextError, UsageError
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.vectors import cooccurrences
from rnnlm.tools.vectors import gradient_methods
from rnnlm.tools.vectors.gradient_methods import Adagrad, Cells, glove_vectors, weights
from rnnlm.tools.vectors.word_vectors import word_stream
from support.tiny_models import Lines

GROUPS = (
    (("cat", "dog", "cow"), ("eats", "sleeps", "runs")),
    (("axe", "saw", "pick"), ("cuts", "breaks", "rusts")),
)


def planted(lines=1000):
    """Return sentences of animals with their verbs, and of tools with theirs."""
    draw = np.random.default_rng(1)
    chosen = (GROUPS[int(number)] for number in draw.integers(0, 2, lines))
    return Lines(
        [
            f"the {draw.choice(things)} {draw.choice(does)} {draw.choice(things)}"
            for things, does in chosen
        ]
    )


def test_rare_words_are_removed_before_taking_windows():
    stream = word_stream(Lines(["a once b", "b <unk> a", "a b"]), TokenizerSettings(), 2)
    assert stream.words == ("a", "b") and stream.counts_V.tolist() == [3, 3]
    assert [stream.words[id] for id in stream.ids_N] == ["a", "b", "b", "a", "a", "b"]
    assert stream.line_offsets.tolist() == [0, 2, 4, 6]


@pytest.mark.parametrize(
    "method", ["svd", pytest.param("glove", marks=pytest.mark.soak), "skipgram", "cbow"]
)
def test_planted_groups_are_found_reproducibly(method):
    settings = {"method": method, "width": 6, "window": 2, "learning_rate": 0.1, "seed": 3}
    settings["epochs"] = 60
    vectors = rnnlm.learn_vectors(planted(), **settings)
    assert vectors.matrix_VE.shape == (13, 6)
    for things, does in GROUPS:
        number = vectors.number(things[0])
        nearest = {word for word, _ in vectors.nearest(vectors.matrix_VE[number], 2, [number])}
        # GloVe's sums make words alike that stand beside each other, too
        alike = {*things, *does} if method == "glove" else {*things}
        assert nearest <= alike
    settings["epochs"] = 5
    one, other = (rnnlm.learn_vectors(planted(50), **settings).matrix_VE for _ in range(2))
    assert np.array_equal(one, other)


def test_progress_tells_of_each_epoch():
    said = []
    rnnlm.learn_vectors(planted(30), method="skipgram", width=4, epochs=3, progress=said.append)
    told = [line for line in said if line.startswith("epoch")]
    assert told == [f"epoch {number} of 3: 0% of the text" for number in (1, 2, 3)]


def test_settings_out_of_range_and_tiny_texts_fail():
    with pytest.raises(SettingsError, match=r"method = 'cbo' is not valid.*'cbow'"):
        rnnlm.learn_vectors(planted(), method="cbo")
    with pytest.raises(SettingsError, match="window = 0"):
        rnnlm.learn_vectors(planted(), window=0)
    with pytest.raises(TextError, match=r"too little text in memory.*lower `min_count`"):
        rnnlm.learn_vectors(Lines(["a b c"]), method="svd")


@pytest.mark.parametrize("method, epochs, rate", [
    ("glove", 15, 0.05), ("skipgram", 5, 0.025), ("cbow", 5, 0.025),
])  # fmt: skip
def test_each_method_has_its_own_epochs_and_rate(method, epochs, rate):
    usual = rnnlm.learn_vectors(planted(100), method=method, width=4)
    given = {"method": method, "epochs": epochs, "learning_rate": rate}
    same = rnnlm.learn_vectors(planted(100), width=4, **given)
    assert np.array_equal(usual.matrix_VE, same.matrix_VE)
    other = rnnlm.learn_vectors(planted(100), width=4, **{**given, "learning_rate": rate / 2})
    assert not np.array_equal(usual.matrix_VE, other.matrix_VE)


def test_few_words_have_narrower_vectors():
    with pytest.warns(rnnlm.RnnlmWarning, match="the vectors have 12 numbers.*13 words"):
        assert rnnlm.learn_vectors(planted()).matrix_VE.shape == (13, 12)
    with pytest.raises(SettingsError, match="width = 13 is more than 13 words allow"):
        rnnlm.learn_vectors(planted(), width=13)


def test_a_prepared_text_keeps_its_tokenizer(tmp_path):
    (tmp_path / "text.txt").write_text(
        "".join(f"{line}\n" for line in planted(50).lines), encoding="utf-8"
    )
    list(rnnlm.prepare([tmp_path / "text.txt"], tmp_path / "prepared"))
    asked = {"method": "svd", "width": 4}
    vectors = rnnlm.learn_vectors(tmp_path / "prepared", **asked)
    expected = rnnlm.learn_vectors(tmp_path / "text.txt", **asked)
    assert np.array_equal(vectors.matrix_VE, expected.matrix_VE)
    lower = TokenizerSettings(lowercase=True)
    with pytest.raises(UsageError, match="is a prepared text, which has its tokenizer"):
        rnnlm.learn_vectors(tmp_path / "prepared", **asked, tokenizer=lower)


def test_weights_are_equation_nine():
    found = weights(np.array([0.5, 5.0, 10.0, 25.0]))
    assert found == pytest.approx([0.05**0.75, 0.5**0.75, 1.0, 1.0])


def test_pairs_count_by_their_distance():
    stream = word_stream(Lines(["a b c", "a b"]), TokenizerSettings(), 1)
    counts = cooccurrences(
        stream.ids_N, stream.line_offsets, len(stream.words), 2, by_distance=True
    ).toarray()
    a, b, c = (stream.words.index(word) for word in "abc")
    assert counts[a, b] == counts[b, a] == 2 and counts[b, c] == 1 and counts[a, c] == 0.5


def test_one_step_is_adagrad_on_equation_eight(monkeypatch):
    """The first step from the vectors drawn by the seed, written out with autograd."""
    monkeypatch.setattr(gradient_methods, "LEAST_GLOVE_STEPS", 1)
    cells = Cells(np.array([0, 1, 1]), np.array([1, 0, 2]), np.array([3.0, 3.0, 200.0]))
    rate, size, width = 0.05, 3, 4
    found = glove_vectors(cells, size, width=width, epochs=1, learning_rate=rate, seed=2)
    draw = torch.Generator().manual_seed(2)
    values = ((torch.rand(2 * size, width, generator=draw) - 0.5) / width).requires_grad_()
    squares = torch.full_like(values, 1 / rate**2)
    total = torch.zeros_like(values)
    for i, j, x in zip(cells.words_N, cells.contexts_N, cells.counts_N, strict=True):
        error = values[i] @ values[size + j] - np.log(x)
        half = 0.5 * float(weights(np.array([x]))[0]) * error**2
        (gradient,) = torch.autograd.grad(half, values)
        squares += gradient**2
        total += gradient
    after = (values - total / squares.sqrt()).detach()
    np.testing.assert_allclose(found, (after[:size] + after[size:]).numpy(), rtol=1e-4, atol=1e-6)


def test_products_come_to_equal_log_counts(monkeypatch):
    """Counts of rank one are fitted exactly: a pair's product and biases are its log count."""
    factor = np.random.default_rng(1).uniform(1, 8, 6)
    i, j = np.nonzero(np.ones((6, 6)))
    cells = Cells(i, j, factor[i] * factor[j])
    kept = []
    real = Adagrad.__init__

    def watched(self, values, rate):
        real(self, values, rate)
        kept.append(self)

    monkeypatch.setattr(Adagrad, "__init__", watched)
    glove_vectors(cells, 6, width=4, epochs=30, learning_rate=0.1, seed=1)
    vectors, biases = kept[0].values, kept[1].values
    product = (vectors[i] * vectors[6 + j]).sum(1) + biases[i] + biases[6 + j]
    np.testing.assert_allclose(product.numpy(), np.log(cells.counts_N), atol=0.02)
