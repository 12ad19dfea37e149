"""A feed-forward network without hidden layers: a softmax of one-hot words learns the counts."""

import pytest

import rnnlm
from rnnlm.errors import SettingsError
from support.commands import english_lines
from support.networks import network_settings

PLAIN = {
    "layers": 0, "context_words": 1, "dropout_input": 0.0, "dropout_output": 0.0,
    "weight_decay": 0.0, "unknown_words": 0.0, "holdout": 0.0, "precision": "fp32",
}  # fmt: skip


def loss_of(text, **settings):
    """Return the loss on its training text in nats a token."""
    model = rnnlm.train(text, holdout=settings.pop("holdout", 0.0), **settings).wait(progress=None)
    found = rnnlm.load(model.folder).evaluate(text)
    return -found.logprob_nats / found.tokens


@pytest.mark.soak
def test_bigrams_of_letters_by_a_softmax_are_those_of_counts(here):
    letters = ["".join(filter(str.islower, line.lower())) for line in english_lines()[:300]]
    (here / "letters.txt").write_text("\n".join(letters) + "\n", encoding="utf-8")
    alike = {"tokenizer": "char"}
    counts = loss_of("letters.txt", model="ngram", order=2, smoothing="mle", output="c", **alike)
    learned = loss_of(
        "letters.txt", model="ffnn", embedding_size=32, learning_rate=0.03, batch_rows=16,
        bptt_tokens=64, budget="2000steps", output="s", **PLAIN, **alike,
    )  # fmt: skip
    assert counts <= learned < counts + 0.01


def test_it_has_no_weights_but_those_of_words_and_output():
    settings = network_settings("ffnn", layers=0, context_words=3, embedding_size=5)
    assert (settings.output_width, settings.is_tied) == (15, False)
    with pytest.raises(SettingsError, match="tied = true is not possible"):
        network_settings("ffnn", layers=0, tied=True)
