"""The n best answers and their whole probabilities against lists of all label sequences."""

import itertools
import math

import pytest
import torch

from rnnlm.tasks.labelling import answers
from rnnlm.tasks.labelling.data import EDIT, SOUNDS, WORD, Codec, LabelColumn
from rnnlm.tasks.labelling.formats.alignment import join
from rnnlm.tasks.labelling.model import LabelSearch, TaskModel, predict
from rnnlm.tasks.labelling.networks.network import TaskNetwork
from rnnlm.tasks.labelling.settings import network_settings
from rnnlm.text import tokenizers
from rnnlm.text.lines import Block
from rnnlm.text.tokenizer_settings import TokenizerSettings

TEXTS = [["s"], ["is", "s", "cats"], ["Is", "cats", "s", "a"]]
# At most four labels, several of which are written alike.
COLUMNS = {
    "parts of speech": LabelColumn("upos", WORD, ("A", "B", "C", "D")),
    "lemmas": LabelColumn("lemma", WORD, ("lower", "lower;$1-1", "keep;^2-2", "=be"), form=EDIT),
    "sounds": LabelColumn("label", WORD, ("_", "A", "B", "A+B"), form=SOUNDS),
    "bio": LabelColumn("ner", WORD, ("O", "B-X", "I-X", "I-Y"), "bio", "bio"),
    "iob1": LabelColumn("ner", WORD, ("I-X", "B-X", "I-Y", "O"), "iob1", "iob1"),
    "bio as bioes": LabelColumn("ner", WORD, ("B-X", "I-X", "E-X", "O"), "bio", "bioes"),
    "iob1 as bioes": LabelColumn("ner", WORD, ("S-X", "I-X", "B-X", "S-Y"), "iob1", "bioes"),
    "bilou": LabelColumn("ner", WORD, ("U-X", "I-X", "L-X", "U-Y"), "bilou", "bilou"),
}


def make_model(column: LabelColumn, output_layer: str, constrained: bool) -> TaskModel:
    """Return a tagger in float64 with large random weights."""
    torch.manual_seed(4)
    words = tokenizers.train(TokenizerSettings(min_count=1), [Block(["a s is cats"], [])])
    codec = Codec(words, (column,))
    shape = network_settings(
        "tagging", "lstm", hidden_size=4, embedding_size=3, output_layer=output_layer,
        constrained=constrained, characters=None,
    )  # fmt: skip
    network = TaskNetwork(shape, codec).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.uniform_(-2, 2)
    return TaskModel(network, codec)


@torch.no_grad()
def all_paths(model: TaskModel, words: list[str], constrained: bool):
    """Return the log-probability, by the loss, of each label sequence that is not forbidden."""
    [column], [head] = model.codec.columns, model.network.heads
    [reading] = model.read([words])
    lengths_1 = torch.tensor([len(words)])
    may_begin, may_end, may_follow = (column.constraints if constrained else None) or (None,) * 3
    paths = {}
    for ids in itertools.product(range(len(column.symbols)), repeat=len(words)):
        if may_begin is not None and not (
            may_begin[ids[0]]
            and may_end[ids[-1]]
            and all(may_follow[pair] for pair in itertools.pairwise(ids))
        ):
            continue
        labels_T1 = torch.tensor(ids).unsqueeze(1)
        nats, _ = head.loss(reading.features.words_TBH, labels_T1, lengths_1)
        paths[ids] = -float(nats)
    return paths


def written(column: LabelColumn, labels) -> tuple[str, ...]:
    return tuple(join(labels)) if column.form == SOUNDS else tuple(labels)


# Columns without a scheme constrain nothing.
CASES = [(name, True) for name, column in COLUMNS.items() if column.constraints]
CASES += [(name, False) for name in COLUMNS]


@pytest.mark.parametrize("output_layer", ["softmax", "crf", "memm"])
@pytest.mark.parametrize(("name", "constrained"), CASES)
def test_answers_have_the_probability_of_all_that_is_written_alike(
    name, output_layer, constrained, monkeypatch
):
    column = COLUMNS[name]
    model = make_model(column, output_layer, constrained)
    searches = {n: LabelSearch(nbest=n, probabilities=True) for n in (1, 2, 5, 20)}
    found = {n: predict(model, TEXTS, search) for n, search in searches.items()}
    for place, words in enumerate(TEXTS):
        # All label sequences: the best one, and the probability of each answer.
        paths = all_paths(model, words, constrained)
        best_path = column.decode_words(max(paths, key=paths.__getitem__), words)
        expected: dict[tuple[str, ...], float] = {}
        for ids, logprob in paths.items():
            answer = written(column, column.decode_words(ids, words))
            expected[answer] = expected.get(answer, 0.0) + math.exp(logprob)

        for n, predictions in found.items():
            best = predictions[place][0].best
            listed = [written(column, answer.labels) for answer in best]
            p = [math.exp(answer.logprob_nats) for answer in best]
            assert p == pytest.approx([expected[answer] for answer in listed], abs=1e-9)
            assert p == sorted(p, reverse=True) and len(set(listed)) == len(listed) <= n
        assert written(column, found[1][place][0].best[0].labels) == written(column, best_path)
        assert len(found[2][place][0].best) == min(2, len(expected))
        assert p[0] == pytest.approx(max(expected.values()), abs=1e-9)

    # Answers that are summed one after the other have the same probabilities.
    monkeypatch.setattr(answers, "CELLS_AT_ONCE", 1)
    for one, other in zip(predict(model, TEXTS, searches[5]), found[5], strict=True):
        logprobs = [answer.logprob_nats for answer in other[0].best]
        again = [answer.logprob_nats for answer in one[0].best]
        assert again == pytest.approx(logprobs, abs=1e-9)
        assert [best.labels for best in one[0].best] == [best.labels for best in other[0].best]
