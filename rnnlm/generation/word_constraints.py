"""Words that a drawn text must not have, whatever tokens the model reads.

Where each token is a word, a word is one token. Elsewhere a word is a run of letters, digits, `_`
and characters beyond ASCII, with none of these before or after it: "cat" is a word of "a cat's
tail", not of "category". A banned word is therefore kept from ending, not from beginning: once it
is written, only what makes a longer word of it may follow.
"""

import re
import string
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from rnnlm.checks import items_of
from rnnlm.errors import UsageError, first_of, notice
from rnnlm.interface import Tokenizer
from rnnlm.text.lines import check_reserved

_WORD = (string.ascii_letters + string.digits + "_").encode() + bytes(range(0x80, 0x100))
_RUN = re.compile(b"[" + re.escape(_WORD) + b"]+")
_LAST_RUN = re.compile(b"[" + re.escape(_WORD) + rb"]*\Z")
LOOK_BACK = 256  # tokens, for the beginning of a word


def _last_run(text: bytes) -> bytes:
    match = _LAST_RUN.search(text)
    return match[0] if match else b""


class WordMatcher:
    """The words of `tokenizer`'s texts, found in token ids."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.words_are_tokens = bool(np.all(tokenizer.starts_word_V))
        self.token_bytes = [] if self.words_are_tokens else tokenizer.token_bytes()

    def ids(self, word: str) -> list[int]:
        """Return the tokens of one word; where words are tokens, unk_id for one that is not known.

        UsageError: it is not one word of these texts. TextError: it is `<s>` or `</s>`.
        """
        line = check_reserved(word, "the word to ban", "error", "leave it out")
        ids = self.tokenizer.encode([line]).ids[:-1].tolist()
        if self.words_are_tokens and len(ids) != 1:
            raise UsageError(
                f"{word!r} is not one word",
                f"to this model it is {len(ids)}",
                "give words one by one",
            )
        if not self.words_are_tokens and not _RUN.fullmatch(self.key(word)):
            raise UsageError(
                f"{word!r} is not one word",
                "to this model a word is made of letters and digits",
                "give words one by one",
            )
        return ids

    def key(self, word: str) -> bytes:
        """Return the word as :meth:`found` returns it: as the tokenizer writes it, which may be in
        lower case."""
        return self.tokenizer.decode(self.tokenizer.encode([word]).ids).encode("utf-8")

    def found(self, ids: Sequence[int]) -> set[bytes] | set[int]:
        """Return the whole words of a text: token ids where these are words, else their bytes."""
        if self.words_are_tokens:
            return set(ids)
        return set(_RUN.findall(self._text(ids)))

    def last_run(self, ids: Sequence[int]) -> bytes:
        """Return the part of a word that the text ends with; empty where it ends with none."""
        return _last_run(self._text(ids[-LOOK_BACK:]))

    def _text(self, ids: Sequence[int]) -> bytes:
        return b"".join(self.token_bytes[id] if id < len(self.token_bytes) else b" " for id in ids)


class Ban:
    """The tokens that must not come next: `always`, and others that depend on what was drawn."""

    def __init__(self, tokenizer: Tokenizer, banned: Sequence[str], unknown: bool = False) -> None:
        """`unknown`: <unk> may be drawn. What is banned and not one word raises UsageError."""
        self.words = words = WordMatcher(tokenizer)
        self.tokenizer = tokenizer
        unk_id = tokenizer.unk_id
        always = set() if unknown or unk_id is None else {unk_id}
        self.banned: set[bytes] = set()
        unknown_words = []
        for word in items_of(banned, str, "ban"):
            ids = words.ids(word)
            if not words.words_are_tokens:
                self.banned.add(words.key(word))
            elif ids[0] == unk_id or ids[0] >= tokenizer.size:
                unknown_words.append(repr(word))
            else:
                always.add(ids[0])
        if unknown_words:
            words_shown = first_of(unknown_words)
            notice(f"the model does not know {words_shown}, and would not draw that in any case")

        # ids by the part of a word that they end
        self._ending: defaultdict[bytes, list[int]] = defaultdict(list)
        # ids that are a part of a word and do not end it, by that part
        self._continuing: defaultdict[bytes, list[int]] = defaultdict(list)
        self._at_the_end: set[int] = set()  # ids after which a banned word is at the end
        if self.banned:
            self._sort_tokens(always)
        self.always = np.array(sorted(always), dtype=np.int64)

    @property
    def looks_back(self) -> bool:
        """Whether what is forbidden depends on what was drawn."""
        return bool(self.banned)

    def forbidden(self, ids: Sequence[int], is_last: bool) -> list[int]:
        """Return the ids that must not follow `ids`, besides `always`. `is_last`: nothing will come
        after."""
        run = self.words.last_run(ids)
        forbidden_ids = list(self._at_the_end) if is_last else []
        for word in self.banned:
            if word.startswith(run):
                rest = word[len(run) :]
                forbidden_ids += self._ending.get(rest, [])
                if is_last:
                    forbidden_ids += self._continuing.get(rest, [])
        return forbidden_ids

    def check_prompt(self, ids: Sequence[int]) -> None:
        """Refuse a prompt that holds a banned word."""
        words = self.words.found(ids)
        always = {*self.always.tolist()} - {self.tokenizer.unk_id}
        if self.banned & words or always & words:
            raise UsageError(
                "the prompt holds a banned word",
                "every sample begins with the prompt",
                "change the prompt, or lift the ban",
            )

    def _sort_tokens(self, always: set[int]) -> None:
        """Sort the tokens by what they do to a word: continue it, end it, or hold whole ones."""
        for id, text in enumerate(self.words.token_bytes):
            # The beginning of a token may continue the word before it. A token of word characters
            # alone does no more than that; any other character ends the word.
            runs = _RUN.findall(text)
            begins_inside = bool(_RUN.match(text))
            first = runs.pop(0) if begins_inside else b""
            if text == first:
                self._continuing[text].append(id)
                continue
            self._ending[first].append(id)
            ends_inside = bool(_last_run(text))
            last = runs.pop() if ends_inside else b""
            # A word in the middle of a token is whole, and so is the token's last word if the text
            # ends there.
            if self.banned & set(runs):
                always.add(id)
            if last in self.banned:
                self._at_the_end.add(id)
