"""Metrics of models that normalise, on clean text and on messy text."""

import pytest

import rnnlm
from rnnlm.errors import ComparisonError
from rnnlm.evaluation.comparison.settings import ComparisonSettings
from rnnlm.evaluation.perplexity import Signature, evaluate
from rnnlm.scoring.generation.search import next_words
from rnnlm.text.normalisation import normalise, remove_punctuation
from support.tiny_models import LINES, Lines, fit, save

TRAIN = [*LINES, "it's a cat - a dog's mat"]
MESSY = ["the cat sat on  the\u00a0mat", "it\u2019s a cat \u2013 a dog&rsquo;s mat", "it is hard"]
CLEAN = [normalise(line) for line in MESSY]
KINDS = [{}, {"tokenizer": "char"}, {"tokenizer": "sentencepiece", "vocab_size": 290}]


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_normalised_metrics_equal_those_of_clean_text(kind):
    plain, normalising = (
        fit("ngram", TRAIN, order=2, **kind, **more) for more in ({}, {"normalise": "all"})
    )
    of_messy, of_clean = evaluate(normalising, Lines(MESSY)), evaluate(plain, Lines(CLEAN))
    for metric in ("tokens", "words", "oov_words", "logprob_nats", "ppl_token", "ppl_word"):
        assert getattr(of_messy, metric) == getattr(of_clean, metric), metric
    assert (of_messy.characters, of_messy.words) == (sum(map(len, MESSY)) + 3, 16)
    assert of_messy.closed_vocabulary and of_messy.bits_per_char is None and of_clean.bits_per_char
    steps = ",normalise=dashes+entities+nfc+quotes+spaces"
    assert Signature.parse(of_messy.signature).tok.endswith(steps)
    assert Signature.parse(of_clean.signature).tok.endswith(f",V={plain.tokenizer.size}")


def test_only_models_that_normalise_alike_are_compared():
    plain = fit("unigram", TRAIN)
    char, byte = (
        fit("unigram", TRAIN, normalise="all", tokenizer=kind) for kind in ("char", "byte")
    )
    with pytest.raises(ComparisonError, match="their signatures differ in tok") as refused:
        rnnlm.compare([plain, char], Lines(CLEAN))
    expected = "unchanged for model 1, normalise=dashes+entities+nfc+quotes+spaces for model 2"
    assert expected in refused.value.why
    found = rnnlm.compare([char, byte], Lines(MESSY), settings=ComparisonSettings(resamples=2))
    assert found.figure == "ppl_word" and "bits_per_char" not in found.figures
    its = found.details
    assert (its.unit, its.units, its.unaligned_lines) == ("word", 19, 0)


@pytest.mark.parametrize(
    "kind", [*KINDS, {"split_punctuation": True}, {"tokenizer": "byte"}], ids=str
)
@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
def test_words_are_shown_as_written_in_the_line(kind):
    model = fit("unigram", TRAIN, normalise="all", **kind)
    line = "It&rsquo;s  a\u00a0cafe\u0301 \u2019mat\u2019"
    (score,) = rnnlm.Model(model).score_sentences([line], given="the\u00a0dog", words=True)
    expected = ["It&rsquo;s", "a\u00a0cafe\u0301", "\u2019mat\u2019", "</s>"]
    assert [word.word for word in score.word_scores] == expected


def test_words_are_those_that_are_read_normalised():
    model = fit("unigram", TRAIN, remove_punctuation=True)
    line = "\u201cThe cat\u2019s mat,\u201d \u2013 sat!"
    (score,) = rnnlm.Model(model).score_sentences([line], words=True, split="tokens")
    assert [word.word for word in score.word_scores] == ["The", "cat\u2019s", "mat", "sat", "</s>"]
    assert evaluate(model, Lines([line])).words == len(remove_punctuation(line).split()) == 4
    model = fit("ngram", ["it's a cat"] * 3, order=2, normalise="quotes")
    (found,) = next_words(model, "it\u2019", 1)
    assert found.word == "it's"


def test_a_models_fingerprint_says_what_its_tokenizer_rewrites(tmp_path):
    settings = ({}, {"normalise": "all"}, {"remove_punctuation": True})
    saved = [
        save(tmp_path / str(number), fit("unigram", LINES, **each), "unigram", **each)
        for number, each in enumerate(settings)
    ]
    assert len({manifest.fingerprint for manifest in saved}) == 3
    files = [sorted(entry.sha256 for entry in manifest.files.values()) for manifest in saved]
    assert files[0] == files[1] == files[2]
