"""A beam search that is shown step by step, against sums over every continuation."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from rnnlm.errors import TextError
from rnnlm.tools.inspection.beam import inspect_beam, with_end
from support import tiny_models
from support.pictures import faults_of
from support.tiny_seq2seq import varied_model


@pytest.mark.parametrize(
    "make", [lambda: tiny_models.fit("lstm"), varied_model], ids=["lm", "seq2seq"]
)
def test_nodes_have_the_probability_of_their_text_and_the_best_of_a_step_are_kept(make):
    model = make()
    found = inspect_beam(model, "the cat", beam=3, max_tokens=3)
    decoder = getattr(model, "decoder", model)
    tokenizer = decoder.tokenizer
    ids_of = {symbol: number for number, symbol in enumerate(tokenizer.symbols())}

    def tokens_of(node):
        before = () if node.parent is None else tokens_of(found.nodes[node.parent])
        return (*before, ids_of[node.token])

    read = [tokenizer.boundary_id]
    state = decoder.initial_state(1)
    if decoder is model:
        read += tokenizer.encode(["the cat"]).ids[:-1].tolist()
    else:
        state = decoder.states(["the cat"])
    for node in found.nodes:
        ids = tokens_of(node)
        inputs = np.array([[*read, *ids[:-1]]])
        targets = np.array([[*read[1:], *ids]])
        scores = np.asarray(decoder.score(inputs, targets, state)[0])[0]
        assert node.logprob_nats == pytest.approx(float(scores[len(read) - 1 :].sum()), abs=1e-4)
        is_end = ids[-1] == tokenizer.boundary_id
        assert node.text == with_end(tokenizer.decode(ids), is_end) and node.step == len(ids)
    for _, step in itertools.groupby(found.nodes, lambda node: node.step):
        ranked = sorted(step, key=lambda node: -node.logprob_nats)
        assert [node.state != "dropped" for node in ranked] == [n < 3 for n in range(len(ranked))]
    path = [node for node in found.nodes if node.state == "best"]
    assert path[-1].text == with_end(found.best, found.best_complete)
    assert path[-1].logprob_nats == found.best_logprob_nats


def lines_behind_frames(figure):
    """Return the frames of a tree that is drawn, by their text, behind which lines pass that end
    elsewhere."""
    (panel,) = figure.axes
    frames = {text.get_text(): text.get_bbox_patch().get_window_extent() for text in panel.texts}
    crossed = []
    for line in panel.lines:
        points = panel.transData.transform(line.get_xydata())
        steps = np.linspace(0, 1)[:, None]
        dense = np.concatenate([a + (b - a) * steps for a, b in itertools.pairwise(points)])
        for text, frame in frames.items():
            inside = ((dense >= frame.min) & (dense <= frame.max)).all(axis=1)
            if inside.any() and not (inside[0] or inside[-1]):
                crossed.append(text)
    return crossed


def test_a_greedy_line_that_is_likelier_wins():
    found = replace(
        inspect_beam("demo", "the old man"), greedy_logprob_nats=-5.0, best_logprob_nats=-8.0
    )
    assert found.verdict.endswith("20.1 times less likely: greedy search wins here.")


def test_the_beam_finds_a_likelier_line_than_greedy_search():
    found = inspect_beam("demo", "the old man")
    assert (found.greedy, found.best) == ("was a man with", "looked at her,")
    cut_off = "(log P -6.98 nats, cut off after 4 tokens), 6.35 times as likely."
    assert f'finds "looked at her," {cut_off}' in found.verdict
    wide = inspect_beam("demo", "the old man", beam=9, max_tokens=10)
    assert wide.best_logprob_nats > wide.greedy_logprob_nats
    for inspected in (found, wide, inspect_beam("demo", "the old man", max_tokens=20)):
        figure = inspected.figure()
        assert faults_of(figure) == [] == lines_behind_frames(figure)
    alone = inspect_beam("demo", beam=1, max_tokens=1)
    assert alone.best == alone.greedy and alone.verdict.endswith("a beam of 1 nothing else.")


def test_quotation_marks_are_those_of_the_model():
    found = inspect_beam("demo", 'she said "', max_tokens=20)
    assert found.best == 'good morning," he said.'
    assert found.best_complete and "cut off" not in found.verdict
    assert 'a beam of 3 finds "good morning," he said. </s>"' in found.verdict
    assert [node.text for node in found.nodes if node.state == "best"][-1].endswith("said. </s>")
    assert inspect_beam("demo", max_tokens=1).best == '"'


def test_an_encoder_decoder_needs_a_line():
    with pytest.raises(TextError, match="no words"):
        inspect_beam(varied_model())
