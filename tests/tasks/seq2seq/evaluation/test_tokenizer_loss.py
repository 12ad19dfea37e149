import pytest

from rnnlm.tasks.seq2seq.evaluation.translation import TranslationSettings, tokenizer_metrics
from support.tiny_models import make_tokenizer

LINES = ["The cat, who sat , saw the dog .", "the dog saw the cat who sat"]


@pytest.mark.parametrize("name", ["word", "char", "byte"])
def test_a_tokenizer_that_knows_every_word_loses_nothing(name):
    texts = [LINES, [LINES[0].replace("saw", "sat")]]
    found = tokenizer_metrics(make_tokenizer(LINES, tokenizer=name), texts)
    assert found.is_perfect and (found.exact_match, found.sentences) == (1, 3)
    assert found.bleu == pytest.approx(100)


def test_unknown_words_case_and_punctuation_cost_what_metrics_read():
    found = tokenizer_metrics(make_tokenizer(LINES), [["the dog saw the bird who sat"]])
    assert not found.is_perfect and found.word_error_rate == 1 / 7 and found.bleu < 100
    tokenizer = make_tokenizer(LINES, lowercase=True)
    assert not tokenizer_metrics(tokenizer, [LINES]).is_perfect
    assert tokenizer_metrics(tokenizer, [LINES], TranslationSettings(lowercase=True)).is_perfect
    tokenizer = make_tokenizer(LINES, split_punctuation=True)
    found = tokenizer_metrics(tokenizer, [["the cat, who sat , saw the dog ."]])
    assert found.exact_match == 0 < found.word_error_rate
    assert found.is_perfect and found.bleu == pytest.approx(100)
