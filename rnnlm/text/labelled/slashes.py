"""Words followed by a slash and their tags, `We/PRP love/VBP beer/NN`: one sentence per line.

The last slash parts word and tag. `\\/` is a slash that does not part them; as in most such notations, a run of backslashes before a slash
stands for half as many.
"""

import re
from sys import intern

from rnnlm.errors import TextError, shown
from rnnlm.text.file_lines import lines_with_ends
from rnnlm.text.labelled.example import Example, LabelledText
from rnnlm.text.labelled.settings import LabelledSettings
from rnnlm.text.lines import split_words

TAG_COLUMN = "tag"
_ESCAPED = re.compile(r"(?<!\\)(\\*+)/")


def parting_slash(token: str) -> int | None:
    """Where the slash stands between word and tag, None where there is none."""
    end = len(token)
    while (end := token.rfind("/", 0, end)) >= 0:
        start = end
        while start and token[start - 1] == "\\":
            start -= 1
        if (end - start) % 2 == 0:
            return end
        end = start
    return None


def parse(token: str) -> tuple[str, str] | None:
    """Word and tag of a token, None where one of them is missing."""
    place = parting_slash(token)
    if not place or place == len(token) - 1:
        return None
    word = token[:place]
    bare = word.rstrip("\\")
    return _unescaped(bare) + "\\" * ((place - len(bare)) // 2), _unescaped(token[place + 1 :])


def written(word: str, tag: str) -> str:
    """The token of a word and a tag, of which :func:`parse` makes them again."""
    return _escaped(word) + "\\" * (len(word) - len(word.rstrip("\\"))) + "/" + _escaped(tag)


def with_tag(token: str, tag: str) -> str:
    """A token with another tag, its word written as it was."""
    return token[: parting_slash(token)] + "/" + _escaped(tag)


def _escaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: match[1] * 2 + "\\/", text)


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: match[1][: len(match[1]) // 2] + "/", text)


def read_slashes(source: str, settings: LabelledSettings) -> LabelledText:
    """A file of lines with `word/TAG`; its one label column is called as the settings say, or "tag".

    Raises:
        TextError: a token has no tag or no word.
    """
    names = settings.label_columns[:1] or (TAG_COLUMN,)
    examples = []
    for number, line in lines_with_ends(source, settings.encoding_errors):
        tokens = split_words(line)
        pairs = [parse(token) for token in tokens]
        if None in pairs:
            token = tokens[pairs.index(None)]
            raise TextError(f"{source}, line {number}: {shown(token)} is not a word and its tag", "they are written word/TAG")
        if pairs:
            words, tags = zip(*pairs, strict=True)
            examples.append(Example(tuple(map(intern, words)), (tuple(map(intern, tags)),), (), number, source))
    return LabelledText(tuple(examples), names, (), "slashes")
