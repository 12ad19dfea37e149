"""What the endpoints take and give, as types: bodies are checked against them, and /openapi.json
describes them."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

Name = Annotated[
    str | None, Meta(description="name of the model; the first one that is served, if left out")
]
Text = Annotated[str, Meta(description="a line of text")]


class Request(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every request has."""

    model: Name = None


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """What every answer has."""

    model: Annotated[str, Meta(description="name of the model that answered")]


# ---- GET /health and /models.


class Health(Struct, frozen=True):
    """That the server answers."""

    status: str
    models: int


class ModelRecord(Struct, frozen=True):
    """A model that is served."""

    name: str
    kind: Annotated[str, Meta(description="such as lstm or ngram")]
    family: Annotated[str, Meta(description="network or ngram")]
    task: str
    tokenizer: Annotated[str, Meta(description="word, char, byte or sentencepiece")]
    vocabulary: int
    parameters: int
    order: Annotated[int | None, Meta(description="of an n-gram model")]
    test_ppl: Annotated[float | None, Meta(description="perplexity per token of its test text")]
    fingerprint: str | None
    can: Annotated[list[str], Meta(description="endpoints and looks that it has answers for")]


class ModelList(Struct, frozen=True):
    """The models that are served, the default one first."""

    models: list[ModelRecord]


# ---- POST /score and /next.


class ScoreRequest(Request, frozen=True, kw_only=True):
    """Sentences to score."""

    sentences: Annotated[list[Text], Meta(min_length=1, description="each is a line")]
    given: Annotated[str, Meta(description="text before each sentence in its line")] = ""
    source: Annotated[
        str | None, Meta(description="of an encoder-decoder: what the sentences are targets of")
    ] = None
    words: Annotated[bool, Meta(description="also the surprisal of each word")] = False
    tokens: Annotated[bool, Meta(description="also the surprisal of each token")] = False
    eos: Annotated[bool, Meta(description="score sentences with their end, </s>")] = True
    alternatives: Annotated[
        int, Meta(ge=0, description="also so many of the likeliest words at each word")
    ] = 0


class NextWordRecord(Struct, frozen=True):
    """A word that may come next."""

    word: str
    probability: float


class TokenRecord(Struct, frozen=True):
    """A token of a sentence."""

    token: str
    surprisal_bits: Annotated[float | None, Meta(description="null: infinite")]
    oov: bool


class WordRecord(Struct, frozen=True):
    """A word of a sentence, and where it is in the text."""

    word_index: int | None
    word: str
    start: int | None
    end: int | None
    surprisal_bits: Annotated[float | None, Meta(description="null: infinite")]
    oov: bool
    tokens: int
    rank: Annotated[
        int | UnsetType | None,
        Meta(description="place among all words, 1 is the likeliest; null: its tokens are pieces"),
    ] = UNSET
    next: list[NextWordRecord] | UnsetType = UNSET


class SentenceRecord(Struct, frozen=True):
    """A scored sentence, as `rnnlm score --json` prints it."""

    id: int
    text: str
    logprob_nats: Annotated[float | None, Meta(description="null: see reason")]
    tokens: int | None
    words: int | None
    ppl_word: float | None
    oov: list[str]
    reason: Annotated[str | None, Meta(description="why it has no score")]
    surprisals: list[TokenRecord] | UnsetType = UNSET
    word_surprisals: list[WordRecord] | UnsetType = UNSET


class ScoreAnswer(Answer, frozen=True, kw_only=True):
    """The scores, in the order of the sentences."""

    signature: Annotated[str, Meta(description="what was measured on, and how")]
    scores: list[SentenceRecord]


class NextRequest(Request, frozen=True, kw_only=True):
    """A text that goes on."""

    text: str = ""
    n: Annotated[int, Meta(ge=1, description="how many words")] = 10


class NextAnswer(Answer, frozen=True, kw_only=True):
    """The words that may come next, likeliest first."""

    next: list[NextWordRecord]


# ---- What goes wrong.


class Problem(Struct, frozen=True, omit_defaults=True):
    """What was wrong, why, and the way out."""

    what: str
    why: str = ""
    hint: str = ""


class ErrorAnswer(Struct, frozen=True):
    """The answer to a request that is refused."""

    error: Problem


Decoded = dict[str, Any]
encode = msgspec.json.Encoder().encode
