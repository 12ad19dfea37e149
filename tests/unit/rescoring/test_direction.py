"""Whole hypotheses are scored by models that read each line from its end, beside models that read
forwards."""

import pytest

import rnnlm
from rnnlm.rescoring.features import LM, OOV, feature_table
from rnnlm.rescoring.nbest import Hypothesis, Utterance
from rnnlm.rescoring.settings import TextMapping
from support.tiny_models import fit, make_tokenizer

TEXTS = ("the cat sat on the mat", "a dog sat on the mat", "the zebra sat")


def test_both_directions_score_alike_and_share_unknown_counts():
    models = {"forward": fit("lstm"), "backward": fit("lstm", reversed=True)}
    assert make_tokenizer().fingerprint != make_tokenizer(reversed=True).fingerprint
    table = feature_table(
        [Utterance("u", tuple(Hypothesis(text, 0.0) for text in TEXTS))], models, TextMapping()
    )
    assert [name for name in table.names if name.startswith(OOV)] == [OOV + "forward"]
    for name, model in models.items():
        column = table.features_KSN[table.names.index(LM + name), 0]
        assert column.tolist() == pytest.approx(
            [score.logprob_nats for score in rnnlm.Model(model).score_sentences(TEXTS)], abs=1e-5
        )
