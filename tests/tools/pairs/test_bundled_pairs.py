"""The bundled pairs, of agreement above all: their README is right."""

import csv
from collections import Counter

import numpy as np
import pytest

import rnnlm
from rnnlm import corpora
from rnnlm.config import SettingsLayer, resolve
from rnnlm.registry import kind_of
from rnnlm.text.corpus import Corpus
from rnnlm.text.encoding import TrainingData
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers import train
from rnnlm.tools.pairs.accuracy import PairScores
from rnnlm.tools.pairs.pair import read_pairs
from rnnlm.tools.pairs.scoring import score_pairs
from rnnlm.training.recipes import recipe
from support.tiny_models import small_settings

PATH = corpora.part("english", "agreement.tsv")


@pytest.fixture(scope="module")
def rows():
    with open(PATH, encoding="utf-8") as table:
        return list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.fixture(scope="module")
def corpus():
    return Corpus((str(corpora.part("english", "train")),))


@pytest.fixture(scope="module")
def tokenizer(corpus):
    """Build the demo's tokenizer, which `rnnlm train` builds by default."""
    known = TokenizerSettings.__dataclass_fields__
    settings = recipe.load("demo").settings.items()
    demo = SettingsLayer("demo", {name: value for name, value in settings if name in known})
    return train(resolve([TokenizerSettings], [demo]).make(TokenizerSettings), corpus.blocks())


@pytest.fixture(scope="module")
def unigram(corpus, tokenizer):
    kind = kind_of("unigram")
    data = TrainingData(tokenizer, corpus.encode(tokenizer), None)
    *_, fitted = kind.fit(small_settings(kind), data, lambda: False, None)
    return fitted.model


def test_sentences_are_unique_with_known_words_and_the_right_distance(rows, tokenizer):
    sentences = [row[side] for row in rows for side in ("good", "bad")]
    assert len(rows) == len({row["id"] for row in rows}) == 240
    assert len(set(sentences)) == 480 and len(tokenizer.encode(sentences).oov) == 0
    # subjects begin with a determiner and their head
    assert all(differing_word(row)[0] - 2 == int(row["distance"]) for row in rows)


def test_pairs_are_balanced_by_number_nouns_and_verb(rows):
    cells = Counter((row["nouns"], row["number"]) for row in rows)
    assert len(cells) == 10 and set(cells.values()) == {24}
    forms = Counter((differing_word(row)[1:], row["number"]) for row in rows)
    for (good, bad), number in forms:
        if number == "singular":
            assert forms[(good, bad), "singular"] == forms[(bad, good), "plural"]
    for number in ("singular", "plural"):
        chosen = [row for row in rows if row["number"] == number]
        nouns = sum(int(row["nouns"]) for row in chosen)
        assert 2 * sum(int(row["attractors"]) for row in chosen) == nouns
    for one, other in zip(rows[::2], rows[1::2], strict=True):
        assert (one["number"], other["number"]) == ("singular", "plural")
        assert differing_word(one)[1:] == differing_word(other)[:0:-1]
        distance = int(one["distance"])
        assert one["good"].split()[2 : 2 + distance] == other["good"].split()[2 : 2 + distance]


def differing_word(row: dict[str, str]) -> tuple[int, str, str]:
    good, bad = row["good"].split(), row["bad"].split()
    assert len(good) == len(bad)
    (at,) = [at for at, (one, other) in enumerate(zip(good, bad, strict=True)) if one != other]
    return at, good[at], bad[at]


def test_word_frequencies_alone_reach_half_accuracy_also_of_homophones(unigram):
    pairs = read_pairs(PATH).pairs
    for scoring in ("full", "word"):
        scores = PairScores(score_pairs(unigram, pairs, scoring=scoring))
        found = {each.by: set() for each in scores.accuracies()}
        for each in scores.accuracies():
            found[each.by].add(each.accuracy)
        assert found["all"] == found["kind"] == found["distance"] == {0.5}
    # Half by construction: in half of the pairs the good sentence holds the more frequent words.
    pairs = read_pairs(PATH.with_name("homophones.tsv")).pairs
    for accuracy in PairScores(score_pairs(unigram, pairs)).accuracies():
        assert accuracy.accuracy == pytest.approx(0.5, abs=0.03), accuracy.group
        assert accuracy.known_accuracy == pytest.approx(0.5, abs=0.03), accuracy.group


def test_a_file_of_the_name_of_a_bundled_list_comes_first(here):
    assert len(read_pairs("homophones").pairs) == 400
    (here / "homophones").write_text("good\tbad\na b\tb a\n", encoding="utf-8")
    assert [pair.good for pair in read_pairs("homophones").pairs] == ["a b"]


# ---- "The food of the cats are": docs/lectures.md on the shipped model.

RECENCY = corpora.part("english", "recency.tsv")
HEADS, NOUNS = 18, 6


def test_recency_pairs_have_both_numbers_of_both_nouns_in_words_of_the_corpus(tokenizer):
    pairs = read_pairs("recency").pairs
    assert len(pairs) == HEADS * NOUNS * 4
    assert Counter(pair.number for pair in pairs) == {"singular": 216, "plural": 216}
    assert set(Counter(pair.kind for pair in pairs).values()) == {216}
    words = {word for pair in pairs for word in pair.good.split()}
    assert words <= set(tokenizer.symbols())


def test_the_shipped_model_errs_in_the_lectures_sentence_and_follows_both_nouns():
    model = rnnlm.load("demo")
    lines = [f"the food of the cats {verb}" for verb in ("is", "are")]
    is_, are = model.score_sentences(lines, eos=False)
    assert are.logprob_nats - is_.logprob_nats > 1.5

    # log P(is) / P(are) by X, Y, number of X, number of Y: how far the two numbers move it.
    scores = model.score_pairs(read_pairs(str(RECENCY)), scoring="word")
    nats = np.array([score.good.logprob_nats - score.bad.logprob_nats for score in scores])
    bits = nats.reshape(HEADS, NOUNS, 2, 2) * [[1], [-1]] / np.log(2)
    subject = (bits[:, :, 0] - bits[:, :, 1]).mean()
    nearest = (bits[..., 0] - bits[..., 1]).mean()
    assert subject == pytest.approx(4.29, abs=0.01)
    assert nearest == pytest.approx(2.83, abs=0.01)
    accuracy = {each.group: each.accuracy for each in scores.accuracies() if each.by == "kind"}
    assert list(accuracy.values()) == pytest.approx([0.995, 0.671], abs=0.001)
