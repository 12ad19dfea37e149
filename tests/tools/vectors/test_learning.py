"""Word vectors learned from text."""

import numpy as np
import pytest

import rnnlm
from rnnlm.errors import SettingsError, TextError, UsageError
from rnnlm.text.tokenizer_settings import TokenizerSettings
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
    settings = {
        "method": method,
        "width": 6,
        "window": 2,
        "epochs": 60,
        "learning_rate": 0.1,
        "seed": 3,
    }
    vectors = rnnlm.learn_vectors(planted(), **settings)
    assert vectors.matrix_VE.shape == (13, 6)
    for things, does in GROUPS:
        number = vectors.number(things[0])
        nearest = {word for word, _ in vectors.nearest(vectors.matrix_VE[number], 2, [number])}
        # GloVe's sums make words alike that stand beside each other, too
        alike = {*things, *does} if method == "glove" else {*things}
        assert nearest <= alike
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
    usual = rnnlm.learn_vectors(planted(), method=method, width=4)
    given = {"method": method, "epochs": epochs, "learning_rate": rate}
    same = rnnlm.learn_vectors(planted(), width=4, **given)
    assert np.array_equal(usual.matrix_VE, same.matrix_VE)
    other = rnnlm.learn_vectors(planted(), width=4, **{**given, "learning_rate": rate / 2})
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
    vectors = rnnlm.learn_vectors(tmp_path / "prepared", method="svd", width=4)
    assert np.array_equal(
        vectors.matrix_VE,
        rnnlm.learn_vectors(tmp_path / "text.txt", method="svd", width=4).matrix_VE,
    )
    with pytest.raises(UsageError, match="is a prepared text, which has its tokenizer"):
        rnnlm.learn_vectors(
            tmp_path / "prepared",
            method="svd",
            width=4,
            tokenizer=TokenizerSettings(lowercase=True),
        )
