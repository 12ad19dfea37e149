"""Words outside a vocabulary, numbered as they come, for models that read words by their characters."""

import threading
import weakref
from collections.abc import Sequence

import numpy as np


class UnseenWords:
    """words[number]: the words met so far. A word keeps its number; threads may ask side by side."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._numbers: dict[bytes, int] = {}
        self._lock = threading.Lock()

    def numbers(self, words: Sequence[bytes]) -> np.ndarray:
        """The numbers (int32) of `words`; those not met before get the next ones."""
        with self._lock:
            for word in words:
                if word not in self._numbers:
                    self._numbers[word] = len(self.words)
                    self.words.append(word.decode("utf-8"))
            return np.fromiter(map(self._numbers.__getitem__, words), dtype=np.int32, count=len(words))

    def __deepcopy__(self, memo: object) -> "UnseenWords":
        """Itself: a copied network reads the same ids."""
        return self


_by_vocabulary: weakref.WeakValueDictionary[str, UnseenWords] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def unseen_words(fingerprint: str) -> UnseenWords:
    """Those of the vocabulary with that fingerprint, the same for all who hold them."""
    with _lock:
        return _by_vocabulary.setdefault(fingerprint, UnseenWords())
