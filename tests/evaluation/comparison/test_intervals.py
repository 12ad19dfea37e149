from dataclasses import fields

import numpy as np
import pytest

from rnnlm.evaluation import perplexity
from rnnlm.evaluation.metrics import intervals_of
from rnnlm.evaluation.perplexity import TEXT_METRICS, LineSums, PerEvent
from rnnlm.evaluation.resampling import Resampling
from rnnlm.lm.base import span_scoring
from support.tiny_models import Lines, fit

LINES = ["the cat sat", "a z\u00ebbra sat  down", "zebra zebra", "the dog"]


def sums(model, lines=LINES):
    text = Lines(lines)
    encoded = text.encode(model.tokenizer)
    logprob_N = span_scoring.score_spans(model, encoded.ids, perplexity.spans_of(encoded, "carry"))
    return LineSums.of(encoded, logprob_N), perplexity.text_evaluation(
        model, logprob_N, encoded, "carry", 0.0
    )


@pytest.mark.parametrize("settings", [{}, {"tokenizer": "char"}, {"tokenizer": "byte"}])
def test_what_lines_add_makes_the_evaluation(settings):
    found, whole = sums(fit("unigram", **settings))
    assert found.logprob_S.sum() == pytest.approx(whole.logprob_nats)
    assert found.tokens_S.sum() == whole.tokens
    assert found.characters_S.sum() == whole.characters
    assert found.bytes_S.sum() == whole.bytes
    assert found.words_S.tolist() == [4, 5, 3, 3]
    for block_lines in (1, 3):
        drawn = intervals_of(whole.metrics, Resampling(100, block_lines=block_lines))
        intervals = {name: interval for (_, name), interval in drawn.items()}
        assert intervals["ppl_token"].estimate == pytest.approx(whole.ppl_token)
        assert intervals["ppl_token_no_oov"].estimate == pytest.approx(whole.ppl_token_no_oov)
        assert ("bits_per_char" in intervals) == (whole.bits_per_char is not None)
        if whole.bits_per_byte is not None:
            assert intervals["bits_per_byte"].estimate == pytest.approx(whole.bits_per_byte)


def test_interval_with_unrepresentable_bounds_is_omitted():
    logprob_S = np.array([-1.0, -2000.0])
    counts = dict.fromkeys([field.name for field in fields(LineSums)], np.ones(2))
    no_oov = {"logprob_S": logprob_S, "logprob_no_oov_S": logprob_S, "oov_S": np.zeros(2)}
    huge = LineSums(**counts | no_oov)
    assert (
        PerEvent(huge, TEXT_METRICS["ppl_token"]).interval(Resampling(200, block_lines=1)) is None
    )
