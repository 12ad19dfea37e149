import numpy as np
import pytest

from rnnlm import arrays
from rnnlm.evaluation.calibration import calibrate
from rnnlm.ngram.unigram import UnigramModel
from support.tiny_models import LINES, Lines, fit, make_tokenizer


def test_constant_confidence_is_off_by_its_accuracy_gap():
    tokenizer = make_tokenizer(["a b"])
    p = {"</s>": 0.25, "<unk>": 0.05, "a": 0.55, "b": 0.15}
    model = UnigramModel(np.log([p[symbol] for symbol in tokenizer.symbols()]), tokenizer)
    found = calibrate(model, Lines(["a a a b", "a a a"]).encode(tokenizer), "carry")
    assert (found.tokens, found.text_tokens, found.accuracy) == (9, 9, pytest.approx(6 / 9))
    assert found.expected_error == pytest.approx(6 / 9 - 0.55)
    (filled,) = [each for each in found.bins if each.tokens]
    assert (filled.low, filled.high, filled.tokens) == (0.5, 0.6, 9)
    assert (filled.mean_probability, filled.accuracy) == (pytest.approx(0.55), pytest.approx(6 / 9))
    assert sum(each.tokens for each in found.bins) == 9 and found.bins[0].accuracy is None


@pytest.mark.parametrize("name", ["lstm", "ngram"])
@pytest.mark.parametrize("context", ["carry", "reset"])
def test_it_is_that_of_predicting_token_by_token(name, context):
    model = fit(name)
    encoded = Lines(LINES * 3).encode(model.tokenizer)
    found = calibrate(model, encoded, context)
    right, sure, state, last = [], [], None, model.tokenizer.boundary_id
    for at, target in enumerate(encoded.ids.tolist()):
        if at == 0 or (context == "reset" and at in encoded.line_offsets):
            state, last = model.initial_state(1), model.tokenizer.boundary_id
        logprob_11V, state = model.predict(np.array([[last]]), state)
        logprob_V = arrays.as_numpy(logprob_11V)[0, 0]
        right.append(logprob_V.argmax() == target)
        sure.append(float(np.exp(logprob_V.max())))
        last = target
    assert found.tokens == encoded.tokens and found.accuracy == pytest.approx(np.mean(right))
    assert sum((each.mean_probability or 0) * each.tokens for each in found.bins) == pytest.approx(
        sum(sure), rel=1e-4
    )


@pytest.mark.parametrize("context", ["carry", "reset"])
def test_long_text_is_sampled_evenly(context, monkeypatch):
    monkeypatch.setattr("rnnlm.evaluation.calibration.WINDOW_TOKENS", 5)
    model = fit("lstm")
    encoded = Lines(LINES * 20).encode(model.tokenizer)
    found = calibrate(model, encoded, context, most_tokens=encoded.tokens // 4)
    assert found.text_tokens == encoded.tokens and 0.15 < found.tokens / encoded.tokens < 0.35
