"""What can be asked of word vectors that are learned from text."""

from dataclasses import dataclass
from typing import Literal, get_args

from rnnlm.errors import SettingsError, nearest

Method = Literal["skipgram", "cbow", "svd"]


@dataclass(frozen=True)
class LearningSettings:
    """How word vectors are learned. window: the words on each side that count as context, of skip-gram and CBOW at
    most: their window is drawn for each word, from 1 on. min_count: rarer words get no vector. epochs,
    negative (words drawn for each word of the text), learning_rate and seed are of skip-gram and CBOW."""

    method: Method = "skipgram"
    width: int = 100
    window: int = 5
    min_count: int = 5
    epochs: int = 5
    negative: int = 5
    learning_rate: float = 0.025
    seed: int = 1
    threads: int = 1

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise SettingsError(f"unknown method {self.method!r}", hint=nearest(self.method, get_args(Method)))
        for name in ("width", "window", "min_count", "epochs", "negative", "threads"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} = {getattr(self, name)} is not valid", "1 or more is needed")
        if not 0 < self.learning_rate < 1:
            raise SettingsError(f"learning_rate = {self.learning_rate} is not valid", "a number between 0 and 1 is needed")
        if not 0 <= self.seed < 1 << 32:
            raise SettingsError(f"seed = {self.seed} is not valid", "0 or more, and less than 2^32, is needed")
