"""What an encoder-decoder writes: alike in any batch, with its scores and attention."""

import dataclasses

import numpy as np
import pytest
import torch

import rnnlm
from rnnlm.errors import UsageError
from rnnlm.scoring.generation.settings import SamplingSettings
from rnnlm.tasks.seq2seq import decoding as translators
from rnnlm.tasks.seq2seq.data import PairCodec, PairedData, joined, rows
from rnnlm.tasks.seq2seq.decoding import (
    AttentionWeights,
    attended,
    expected_chrf,
    plot_attention,
    translate,
)
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


# ---- Minimum Bayes risk.


def test_expected_chrf_by_hand():
    """`abc` and `abd` share 2 of 3 characters, 1 of 2 pairs and no triple: chrF is 7/18. So `abc`,
    which is not the likeliest, is most like all of them."""
    weights = np.array([4.0, 3.0, 5.0])
    chrf = expected_chrf(["abc", "abd", "xyz"], weights)
    alike = 100 * 7 / 18
    expected = [(400 + 3 * alike) / 12, (4 * alike + 300) / 12, 500 / 12]
    assert chrf == pytest.approx(expected, rel=1e-9)
    assert chrf.argmax() == 0 != weights.argmax()
    # A text that is drawn twice counts twice.
    twice = expected_chrf(["abc", "xyz", "abc"], np.ones(3))
    assert twice == pytest.approx([200 / 3, 100 / 3, 200 / 3])


def test_the_line_of_least_risk_is_one_of_the_n_best(model):
    settings = DecodingSettings(nbest=4, beam=4)
    several = translate(model, LINES, settings=settings)
    chosen = translate(model, LINES, settings=dataclasses.replace(settings, mbr=True))
    by_method = rnnlm.Model(model).translate(LINES, nbest=4, mbr=True)
    for line, found, same in zip(several, chosen, by_method, strict=True):
        assert found == same
        if line.hypotheses:
            weights = np.exp([each.logprob_nats for each in line.hypotheses])
            chrf = expected_chrf(texts(line), weights)
            [best] = found.hypotheses
            assert best.score == pytest.approx(chrf.max())
            expected = line.hypotheses[int(chrf.argmax())]
            assert dataclasses.replace(best, score=expected.score) == expected


def test_samples_count_alike(model):
    drawn = {"sampling": SamplingSettings(seed=3), "num": 8}
    several = translate(model, LINES, **drawn)
    chosen = translate(model, LINES, settings=DecodingSettings(mbr=True), **drawn)
    for line, found in zip(several, chosen, strict=True):
        if line.hypotheses:
            chrf = expected_chrf(texts(line), np.ones(8))
            assert found.text == texts(line)[int(chrf.argmax())] and len(found.hypotheses) == 1


def test_the_chosen_line_has_its_attention(model):
    [line] = translate(model, LINES[:1], settings=dataclasses.replace(LOOKING, mbr=True))
    [best] = line.hypotheses
    assert best.attention.weights.shape[0] == best.tokens


def test_one_line_has_no_choice(model):
    with pytest.raises(UsageError, match="chooses among several lines"):
        translate(model, LINES, settings=DecodingSettings(mbr=True, beam=4))
