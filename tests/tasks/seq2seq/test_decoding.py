"""What an encoder-decoder writes: the same in any batch, scored as it scores, with what it looked
at."""

import numpy as np
import pytest
import torch

import rnnlm
from rnnlm.errors import UsageError
from rnnlm.scoring.generation.settings import SamplingSettings
from rnnlm.tasks.seq2seq import decoding as translators
from rnnlm.tasks.seq2seq.data import PairCodec, PairedData, joined, rows
from rnnlm.tasks.seq2seq.decoding import AttentionWeights, attended, plot_attention, translate
from rnnlm.tasks.seq2seq.model import Seq2SeqModel
from rnnlm.tasks.seq2seq.options import DecodingSettings
from rnnlm.tasks.seq2seq.pairs import ParallelText
from support.pictures import faults_of
from support.tiny_seq2seq import SOURCE, TARGET, tiny_model, tiny_network, varied_model

LINES = [
    "the cat sat", "dog", "a dog sat on the mat", "   ", "the the cat on mat a dog", "the cow sat",
    "mat",
]  # fmt: skip
SETTINGS = {
    "greedy": (DecodingSettings(), None, 1),
    "n best": (DecodingSettings(nbest=3, beam=4, length_power=3), None, 1),
    "samples": (DecodingSettings(max_length=1), SamplingSettings(seed=3), 2),
}
LOOKING = DecodingSettings(nbest=2, attention=True)


def texts(line):
    return [each.text for each in line.hypotheses]


@pytest.fixture
def model():
    return varied_model()


@pytest.mark.parametrize("name", SETTINGS)
def test_lines_are_answered_in_place_as_if_alone(model, monkeypatch, name):
    monkeypatch.setattr(translators, "BATCH_LINES", 3)
    translator = translators.Translator(model, *SETTINGS[name])
    found = list(translator.translate(LINES))
    assert [line.source for line in found] == LINES
    assert [line.number for line in found] == [*range(1, 8)]
    assert (found[3].hypotheses, found[3].text) == ((), "")
    assert len({text for line in found for text in texts(line)}) > 3
    for line in found:
        [alone] = translator.translate([line.source], line.number)
        assert texts(alone) == texts(line)
        for one, other in zip(alone.hypotheses, line.hypotheses, strict=True):
            assert one.logprob_nats == pytest.approx(other.logprob_nats, abs=1e-5)
            assert one.tokens == other.tokens


@pytest.mark.parametrize("name", SETTINGS)
def test_scores_are_those_the_model_gives(model, name):
    settings, sampling, num = SETTINGS[name]
    lines = translate(model, LINES, settings=settings, sampling=sampling, num=num)
    lines = [line for line in lines if line.hypotheses]
    assert len(lines) == len(LINES) - 1
    assert all(len(line.hypotheses) == max(settings.nbest, num) for line in lines)
    assert {each.complete for line in lines for each in line.hypotheses} == {True, False}
    encode = model.codec.target.encode
    for source, each in ((line.source, each) for line in lines for each in line.hypotheses):
        ids = encode([each.text]).ids[: each.tokens]
        data = PairedData(ParallelText((), "", "", ""), SOURCE.encode([source]), joined([ids]))
        assert len(ids) == each.tokens
        expected = pytest.approx(float(model.score_pairs(data, np.array([0]))[0].sum()), abs=1e-5)
        assert each.logprob_nats == expected
        power = settings.length_power or 0
        assert each.score == pytest.approx(each.logprob_nats / ((5 + each.tokens) / 6) ** power)


def test_output_length_is_limited_by_the_source_however_long(model):
    settings = {factor: DecodingSettings(max_length=factor) for factor in (0.5, 2, 3.5)}
    for factor, each in settings.items():
        found = translate(model, LINES, settings=each)
        assert {each.complete for line in found for each in line.hypotheses} == {True, False}
        for line in found:
            limit = int(factor * (len(line.source.split()) + 1)) + 10
            assert all(each.complete or each.tokens == limit for each in line.hypotheses), factor
    assert settings[3.5].limit(4) == 24 and settings[0.5].limit(1) == 10
    text = " ".join(["the", "cat"] * 4500)
    [line] = translate(model, [text], settings=DecodingSettings(max_length=0.001))
    assert 1 <= line.hypotheses[0].tokens <= 19


def test_unknown_words_are_not_written(model):
    with torch.no_grad():
        model.network.output.bias[TARGET.unk_id] = 100
    [line] = translate(model, ["a cow sat on the mat"])
    assert "<unk>" not in line.text


def test_attention_equals_the_teacher_forced_pass():
    model = Seq2SeqModel(tiny_network().float().eval(), PairCodec(SOURCE, TARGET))
    for line in translate(model, LINES, settings=LOOKING):
        for each in line.hypotheses:
            ids = rows(TARGET.encode([each.text]), [0])[0][: each.tokens]
            [expected_TS] = attended(model, [SOURCE.encode([line.source]).ids], [ids])
            np.testing.assert_allclose(each.attention.weights, expected_TS, atol=1e-5)
            np.testing.assert_allclose(each.attention.weights.sum(axis=1), 1, atol=1e-5)
            assert each.attention.source_tokens == (*line.source.split(), "</s>")
            assert len(each.attention.target_tokens) == each.tokens == len(expected_TS)


def test_a_model_draws_what_it_looked_at(model):
    [line] = rnnlm.Model(model).translate(["the cat sat"], attention=True)
    [record] = line.to_dict()["hypotheses"]
    assert record["attention"]["source_tokens"] == ["the", "cat", "sat", "</s>"]
    assert len(record["attention"]["weights"]) == len(record["attention"]["target_tokens"])
    figure = line.hypotheses[0].attention.figure()
    names = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert names == ["the", "cat", "sat", "</s>"]
    assert faults_of(figure) == []
    assert line.hypotheses[0].attention.figure(figure.axes[0]) is figure


def test_attention_to_many_tokens_names_some():
    tokens = tuple(f"t{number}" for number in range(100))
    figure = plot_attention(AttentionWeights(tokens, tokens[:9], np.eye(9, 100)))
    assert faults_of(figure) == []
    across, down = figure.axes[0].get_xticklabels(), figure.axes[0].get_yticklabels()
    assert [label.get_text() for label in across[:2]] == ["t0", "t4"] and len(down) == 9


def test_what_cannot_be_is_told(model):
    blind = tiny_model(attention=None)
    with pytest.raises(UsageError, match="this model has no attention"):
        translate(blind, LINES, settings=DecodingSettings(attention=True))
    assert len(translate(blind, LINES)) == len(LINES)
    with pytest.raises(UsageError, match="a beam of 2 holds fewer than 3 lines"):
        DecodingSettings(beam=2, nbest=3)
    for settings in (DecodingSettings(beam=2), DecodingSettings(nbest=2)):
        with pytest.raises(UsageError, match="samples cannot be combined with a beam"):
            translate(model, LINES, settings=settings, sampling=SamplingSettings())
    with pytest.raises(UsageError, match="demo is a language model"):
        translate("demo", LINES)


def test_states_may_have_no_rows(model):
    none, two = model.states(["the cat"]).select([]), model.states(["a dog", "the"])
    assert none.select([]).rows == 0
    assert model.decoder.concat_states([none, two, two.select([0, 0])]).rows == 4
