import pytest

from rnnlm.errors import TextError
from rnnlm.lm.base.words import WordTokens
from support.tiny_models import LINES, make_tokenizer

SETTINGS = [
    {}, {"lowercase": True, "split_punctuation": True}, {"tokenizer": "char"}, {"tokenizer": "byte"},
    {"tokenizer": "sentencepiece", "vocab_size": 290}, {"tokenizer": "huggingface"},
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_words_keep_the_tokens_of_their_line(settings):
    tokenizer = make_tokenizer([*LINES, "don't stop."], **settings)
    words = WordTokens(tokenizer)
    for line in ["the cat sat", "don't stop. it's hard", "a zebra sat", "the <unk> sat"]:
        found = [words.of(word, at == 0) for at, word in enumerate(line.split())]
        assert [id for ids, _ in found for id in ids] == tokenizer.encode([line]).ids[:-1].tolist()
    assert words.of("</s>") == ((tokenizer.boundary_id,), True)
    with pytest.raises(TextError, match="only a context"):
        words.of("<s>")


def test_word_is_known_if_all_its_tokens_are():
    words = WordTokens(make_tokenizer())
    expected = [True, False, False, False]
    assert [words.of(word)[1] for word in ("cat", "zebra", "<unk>", "")] == expected
    split = WordTokens(make_tokenizer(["don't stop ."], split_punctuation=True, lowercase=True))
    assert [split.of(word)[1] for word in ("Stop.", "stop!", "STOP")] == [True, False, True]
    spelled = WordTokens(make_tokenizer(tokenizer="char"))
    assert [spelled.of(word)[1] for word in ("tac", "Q", "")] == [True, False, True]
