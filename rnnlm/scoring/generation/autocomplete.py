"""Complete a text that is being typed: find its likeliest next words.

A last word that no white space follows counts as incomplete: the words that begin so are given.
"""

from itertools import islice
from pathlib import Path

from rnnlm.interface import LanguageModel
from rnnlm.lm.base.loading import language_model_of
from rnnlm.lm.base.words import WordFinder
from rnnlm.scoring.generation.drawing import checked_prompt, encoded_prompt
from rnnlm.scoring.next_word import NextWord, WordSearch, check_count
from rnnlm.tabular import RecordList
from rnnlm.text.lines import WORD_SPACE, split_words


def next_words(
    model: LanguageModel | str | Path, text: str, count: int = 10
) -> RecordList[NextWord]:
    """Return the `count` likeliest next words after `text`, likeliest first; fewer if no more begin
    like the typed part. Unknown ones are left out.

    `model` may be the name of a model, which is then loaded by each call.

    Raises:
        TextError: the text contains a newline, `<s>` or `</s>`, or is not UTF-8.
        UsageError: `count` is below 0.
        ModelError: there is no such model, or its scores are not numbers.
    """
    check_count(count)
    model = language_model_of(model)
    before, begun = _split(model, checked_prompt(text))
    if not model.tokenizer.keeps_case:
        begun = begun.lower()
    search = WordSearch(model, WordFinder(model.tokenizer))
    ids = encoded_prompt(model, before.rstrip(WORD_SPACE))
    [words] = search.at_places(ids, [len(ids)], begun)
    return RecordList(islice(search.known(words), count))


def _split(model: LanguageModel, text: str) -> tuple[str, str]:
    """Return the text as it is read, up to the incomplete word, and that word."""
    text = model.tokenizer.normalise([text])[0]
    if not text or text[-1] in WORD_SPACE:
        return text, ""
    if model.tokenizer.starts_word_V.all():
        begun = model.tokenizer.surface(text)[-2]  # before `</s>`
    else:
        begun = split_words(text)[-1]
    return text[: len(text) - len(begun)], begun
