import pytest

import rnnlm
from rnnlm.errors import TextError, UsageError
from rnnlm.scoring.scorer import score_chunks
from rnnlm.scoring.sentences import read_sentences
from rnnlm.scoring.settings import ScoringSettings, SentenceSettings, check_mark
from rnnlm.scoring.word_scores import joined, split_regions
from support.tiny_models import fit


@pytest.mark.parametrize("text, read, regions", [
    ("The dog | barked .", "The dog barked .", ["The dog", "barked ."]),
    ("The dog| barked", "The dog barked", ["The dog", "barked"]),
    ("a  |\tb  c |d", "a b  c d", ["a", "b  c", "d"]), ("no mark ", "no mark ", ["no mark "]),
    (" a | b ", " a b ", [" a", "b "]),
    ("| a || b |", "a b", ["", "a", "", "b", ""]), ("|", "", ["", ""]), ("", "", [""]),
])  # fmt: skip
def test_marks_separate_regions_without_changing_the_sentence(text, read, regions):
    found = split_regions(text, "|", "line 1")
    assert ([region.text for region in found], joined(found)) == (regions, read)
    assert [region.index for region in found] == list(range(1, len(regions) + 1))


@pytest.mark.parametrize("text", ["the dog|barked", "the dog |barked a|b", "dog||barked", "a |b|c"])
def test_a_mark_inside_a_word_is_an_error(text):
    message = r"s.txt, line 7: region mark \d is inside a word: (dog\|+barked|a\|b|b\|c)"
    with pytest.raises(TextError, match=message):
        split_regions(text, "|", "s.txt, line 7")


@pytest.mark.parametrize("mark", ["", " ", "\t"])
def test_white_space_separates_no_regions(mark):
    with pytest.raises(UsageError, match="white space"):
        check_mark(mark)


@pytest.mark.parametrize("settings", [
    {"split_punctuation": True}, {"tokenizer": "char"},
    {"tokenizer": "sentencepiece", "vocab_size": 280},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("split", ["whitespace", "tokens"])
def test_regions_sum_their_words_and_marks_stay_unscored(settings, split):
    model = rnnlm.Model(fit("ngram", order=2, smoothing="witten-bell", **settings))
    asked = {"words": True, "split": split, "given": "a dog"}
    marked = ["the cat, | sat | on a mat.", "| zebra || sat", ""]
    plain = ["the cat, sat on a mat.", "zebra sat", ""]
    scores = model.score_sentences(marked, regions="|", **asked)
    for score, expected in zip(scores, model.score_sentences(plain, **asked), strict=True):
        assert (score.text, score.logprob_nats) == (expected.text, expected.logprob_nats)
        assert score.word_scores == expected.word_scores
        regions = score.region_scores
        for region in regions:
            assert score.text[region.start : region.end] == region.text
            its = [word for word in score.word_scores if region.start <= word.start < region.end]
            bits = sum(word.surprisal_bits for word in its)
            assert region.surprisal_bits == pytest.approx(bits) and region.words == len(its)
            assert region.tokens == sum(word.tokens for word in its)
            assert region.is_oov == any(word.is_oov for word in its)
        following = [*(region.surprisal_bits for region in regions[1:]), None]
        assert [region.next_surprisal_bits for region in regions] == following[: len(regions)]
        assert sum(region.words for region in regions) == len(score.word_scores) - 1
    assert [region.index for region in scores[1].region_scores] == [2, 4]
    assert model.score_sentences(marked, regions="|")[0].word_scores == ()


def test_columns_are_named_regions_keeping_their_numbers(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("item,r1,r2,r3,next\n1,the cat,,sat <s>,x\n2,,a  dog ,,y\n")
    settings = SentenceSettings(region_columns=("r1", "r2", "r3"))
    sentences = list(read_sentences((str(path),), settings))
    assert [(each.text, each.columns) for each in sentences] == [
        ("the cat sat <s>", {"item": "1", "input_next": "x"}),
        ("a  dog", {"item": "2", "input_next": "y"})
    ]  # fmt: skip
    scoring = ScoringSettings(with_regions=True, special_symbols="drop")
    [chunk] = score_chunks(fit("unigram"), sentences, scoring)
    first, second = chunk.scores
    regions = [*first.region_scores, *second.region_scores]
    expected = [(1, "r1", "the cat"), (3, "r3", "sat"), (2, "r2", "a  dog")]
    assert [(region.index, region.name, region.text) for region in regions] == expected
    assert first.text == "the cat sat"
    with pytest.raises(UsageError, match="choose one"):
        list(read_sentences((str(path),), SentenceSettings(column="r1", region_columns=("r1",))))
    with pytest.raises(TextError, match="no column 'r9'"):
        list(read_sentences((str(path),), SentenceSettings(region_columns=("r9",))))
