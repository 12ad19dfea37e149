"""What preparing a text reports while it lasts; frozen values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sampling:
    """The tokenizer is about to be made of a sample. how: "all" of the text, "even" stretches of it, its "start"."""

    how: str
    bytes: int  # asked for


@dataclass(frozen=True)
class Sampled:
    """The tokenizer is there. how: as above, or the model that it is of."""

    how: str
    bytes: int
    tokenizer: str
    vocabulary_size: int
    seconds: float


@dataclass(frozen=True)
class Encoding:
    """How far the work is. share: of the text, None where its length is not known beforehand."""

    text_bytes: int  # of lines that are kept
    tokens: int
    shards: int
    share: float | None
    seconds: float
    bytes_per_second: float
    seconds_left: float | None
    is_skipping: bool = False  # over what was done before the work was cut off


@dataclass(frozen=True)
class Prepared:
    """The folder holds all of the text."""

    folder: str
    lines: int
    documents: int
    tokens: int
    words: int
    oov_words: int
    characters: int
    bytes: int  # of text
    shards: int
    file_bytes: int
    vocabulary_size: int
    lines_hash: str
    seconds: float


Event = Sampling | Sampled | Encoding | Prepared
