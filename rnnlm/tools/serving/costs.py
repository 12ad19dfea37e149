"""The work of a request for the server (reading, computing, answering), and its limits: one
function for all endpoints, asked before anything is computed.

Texts are counted by characters first. Where so many characters could be too many tokens, they are
encoded and counted again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rnnlm.interface import Tokenizer
from rnnlm.tools.serving.responses import Refusal
from rnnlm.tools.serving.settings import MAX_SAMPLES, ServingSettings

BYTES_OF_A_NUMBER = 64  # of an answer in JSON: with its name and its share of a record
BYTES_OF_A_CHARACTER = 8  # a text comes again as words and as tokens, and may be escaped
MOST_BYTES_OF_A_CHARACTER = 4  # in UTF-8: no tokenizer makes more tokens

# Of a request that is soon answered
FEW_TEXTS = 64
FEW_CHARACTERS = 4_000
FEW_NUMBERS = 4_000
ByTokens = Callable[[int], int]  # the number of tokens read -> a number that follows from it


def none(tokens: int) -> int:
    """Return 0 for any number."""
    return 0


@dataclass(frozen=True, kw_only=True)
class Demand:
    """The work that a request asks for.

    Attributes:
        readings: Strings to read for each text: the text, and its context or source, if any.
        tokenizer: Tokenizer of the models.
        models: Number of models that read them.
        drawn: Function from the number of tokens read to the largest number of tokens written.
        numbers: Function from the number of tokens read to the number of numbers in the answer.
        bytes_of_a_number: Bytes of the answer per number, with the words beside it.
    """

    readings: Sequence[tuple[str, ...]]
    tokenizer: Tokenizer
    models: int = 1
    drawn: ByTokens = none
    numbers: ByTokens = none
    bytes_of_a_number: int = BYTES_OF_A_NUMBER

    @property
    def characters(self) -> int:
        """The number of characters to read. A context of several texts counts with each of them."""
        return sum(sum(map(len, reading)) for reading in self.readings)


@dataclass(frozen=True)
class Cost:
    """The cost of a request.

    Attributes:
        texts: Number of texts.
        characters: Number of characters read, including each text's context or source.
        tokens: Number of tokens read by all models, and drawn.
        numbers: Number of numbers in the answer.
        answer_bytes: Size of the answer, in bytes.
    """

    texts: int
    characters: int
    tokens: int
    numbers: int
    answer_bytes: int

    @property
    def is_small(self) -> bool:
        """Whether the request is soon answered."""
        return (
            self.texts <= FEW_TEXTS
            and self.characters <= FEW_CHARACTERS
            and self.numbers <= FEW_NUMBERS
        )


def limits_of(settings: ServingSettings) -> Cost:
    """Return the most that a request may take: it follows from `max_characters`, and from
    `max_tokens` where texts are written."""
    characters = settings.max_characters
    written = MAX_SAMPLES * settings.max_tokens
    return Cost(
        texts=settings.max_sentences,
        characters=characters,
        tokens=2 * characters + written,
        numbers=2 * characters,
        answer_bytes=160 * characters + BYTES_OF_A_NUMBER * written,
    )


def check_texts(demand: Demand, limits: Cost) -> None:
    """Refuse a request by its texts and characters, which takes no time."""
    _check(len(demand.readings), limits.texts, "texts")
    what = "characters of text, context and source counted with each sentence"
    _check(demand.characters, limits.characters, what)


def cost_of(demand: Demand, limits: Cost) -> Cost:
    """Return the most that a request takes; refuse one that takes more than the limits.

    Its texts are encoded only where their characters leave it open whether that is too much.
    """
    check_texts(demand, limits)
    texts, characters = len(demand.readings), demand.characters

    # A line has a token at its end, and perhaps one for the space before it.
    tokens = characters * MOST_BYTES_OF_A_CHARACTER + 2 * sum(map(len, demand.readings))
    cost = _cost_by_tokens(demand, texts, characters, tokens)
    if not _fits(cost, limits):
        # Newlines cannot be encoded; the readers refuse a text that is no line.
        lines = [text.replace("\n", " ") for reading in demand.readings for text in reading]
        tokens = len(demand.tokenizer.encode(lines).ids)
        cost = _cost_by_tokens(demand, texts, characters, tokens)
    _check(cost.tokens, limits.tokens, "tokens to read and to write")
    _check(cost.numbers, limits.numbers, "numbers to answer")
    _check(cost.answer_bytes, limits.answer_bytes, "bytes to answer")
    return cost


def _cost_by_tokens(demand: Demand, texts: int, characters: int, tokens: int) -> Cost:
    numbers, drawn = demand.numbers(tokens), demand.drawn(tokens)
    answer_bytes = numbers * demand.bytes_of_a_number + drawn * BYTES_OF_A_NUMBER
    answer_bytes += characters * BYTES_OF_A_CHARACTER
    return Cost(texts, characters, tokens * demand.models + drawn, numbers, answer_bytes)


def _fits(cost: Cost, limits: Cost) -> bool:
    return (
        cost.tokens <= limits.tokens
        and cost.numbers <= limits.numbers
        and cost.answer_bytes <= limits.answer_bytes
    )


def _check(amount: int, most: int, of_what: str) -> None:
    if amount > most:
        raise Refusal(
            413,
            f"the request is too large: {amount:,} {of_what}",
            f"the limit is {most:,}",
            "send several requests",
        )
