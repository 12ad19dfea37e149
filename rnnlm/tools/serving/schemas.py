"""The types of requests and answers: bodies are checked against them, and /openapi.json describes
them."""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar, cast, get_type_hints

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from rnnlm.config import about
from rnnlm.scoring.generation.settings import GenerationSettings
from rnnlm.scoring.settings import ScoringSettings
from rnnlm.tasks.seq2seq.options import DecodingSettings
from rnnlm.tools.rescoring.features import Weights

S = TypeVar("S", bound=Struct)

MAX_TOP = 1_000_000  # labels of a text: more than any classifier has

Name = Annotated[str | None, about("name of the model; the first one that is served, if left out")]
Text = Annotated[str, about("a line of text")]


class Request(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base of all requests."""

    model: Name = None


def takes(settings: type, *names: str) -> Callable[[type[S]], type[S]]:
    """Let a request have fields of a settings class, too; without names, all."""

    def apply(request: type[S]) -> type[S]:
        hints = get_type_hints(settings, include_extras=True)
        fields = [
            (field.name, hints[field.name], field.default)
            for field in dataclasses.fields(settings)
            if field.name in (names or hints)
        ]
        made = msgspec.defstruct(
            request.__name__,
            fields,
            bases=(request,),
            module=request.__module__,
            namespace={"__doc__": request.__doc__},
            frozen=True,
            kw_only=True,
            forbid_unknown_fields=True,
        )
        return cast(type[S], made)

    return apply


def fields_in(asked: Request, settings: type) -> dict[str, Any]:
    """Return the fields of a settings class that a request has, by name."""
    names = {field.name for field in dataclasses.fields(settings)}
    return {name: getattr(asked, name) for name in asked.__struct_fields__ if name in names}


class Answer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of all answers."""

    model: Annotated[str, about("name of the model that answered")]


# ---- GET /health and /models.


class Health(Struct, frozen=True, forbid_unknown_fields=True):
    """The answer of a health check."""

    status: str
    models: int


class Ready(Struct, frozen=True, forbid_unknown_fields=True):
    """The answer of a server that takes requests."""

    status: str
    models: int
    in_work: Annotated[int, about("requests that are answered, or wait for it")]


class ModelRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """A model that is served."""

    name: str
    kind: Annotated[str, about("such as lstm or ngram")]
    family: Annotated[str, about("network or ngram")]
    task: str
    tokenizer: Annotated[str, about("word, char, byte, sentencepiece or huggingface")]
    vocabulary: int
    parameters: int
    order: Annotated[int | None, about("order of an n-gram model")]
    test_ppl: Annotated[float | None, about("perplexity per token of its test text")]
    fingerprint: str | None
    can: Annotated[list[str], about("endpoints and inspections that the model supports")]


class ModelList(Struct, frozen=True, forbid_unknown_fields=True):
    """The models that are served, the default one first."""

    models: list[ModelRecord]


# ---- POST /score and /next.


@takes(ScoringSettings, "tokens", "words", "next_words", "eos")
class ScoreRequest(Request, frozen=True, kw_only=True):
    """Sentences to score."""

    sentences: Annotated[list[Text], about("sentences, one line each", min_length=1)]
    given: Annotated[str, about("text before each sentence in its line")] = ""
    measures: Annotated[
        tuple[Literal["entropy", "rank", "order"], ...],
        about("measures of words besides surprisals; rank and order of tokens, too"),
    ] = ()
    source: Annotated[str | None, about("for an encoder-decoder: the source of the sentences")] = (
        None
    )


class NextWordRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """A word that may come next."""

    word: str
    probability: float


class TokenRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """A token of a sentence."""

    token: str
    surprisal_bits: Annotated[float | None, about("null if infinite")]
    oov: bool
    rank: Annotated[int | UnsetType, about("rank among all tokens, 1 is the likeliest")] = UNSET
    order: Annotated[int | UnsetType, about("length of the n-gram that was found")] = UNSET


class WordRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """A word of a sentence, and where it is in the text."""

    word_index: int
    word: str
    start: int
    end: int
    surprisal_bits: Annotated[float | None, about("null if infinite")]
    oov: bool
    tokens: int
    entropy_bits: float | UnsetType | None = UNSET
    rank: Annotated[
        int | UnsetType | None,
        about("rank among all words, 1 is the likeliest; null for several tokens"),
    ] = UNSET
    order: Annotated[
        int | UnsetType | None, about("length of the n-gram that was found; null as with rank")
    ] = UNSET
    next: list[NextWordRecord] | UnsetType = UNSET


class SentenceRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """A scored sentence, as `rnnlm score --json` prints it."""

    id: int
    text: str
    logprob_nats: Annotated[float | None, about("null if there is no score, see reason")]
    tokens: int | None
    words: int | None
    ppl_word: float | None
    oov: list[str]
    reason: Annotated[str | None, about("why there is no score")]
    surprisals: list[TokenRecord] | UnsetType = UNSET
    word_surprisals: list[WordRecord] | UnsetType = UNSET


class ScoreAnswer(Answer, frozen=True, kw_only=True):
    """The scores, in the order of the sentences."""

    signature: Annotated[str, about("the data that was measured on, and how")]
    scores: list[SentenceRecord]


class NextRequest(Request, frozen=True, kw_only=True):
    """A text to continue."""

    text: str = ""
    n: Annotated[int, about("number of words", ge=1)] = 10


class NextAnswer(Answer, frozen=True, kw_only=True):
    """The words that may come next, likeliest first."""

    next: list[NextWordRecord]


# ---- POST /generate.


@takes(GenerationSettings)
class GenerateRequest(Request, frozen=True, kw_only=True):
    """Texts to draw."""

    stream: Annotated[
        bool, about("send server-sent events as the texts grow instead of one answer")
    ] = True


class SampleRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """A drawn text, as `rnnlm generate --json` prints it."""

    number: int
    text: str
    tokens: int
    logprob_nats: float
    complete: Annotated[bool, about("whether the text ended by itself")]


class GenerateAnswer(Answer, frozen=True, kw_only=True):
    """The texts, in the order of their numbers."""

    samples: list[SampleRecord]


class PieceEvent(Struct, frozen=True, forbid_unknown_fields=True):
    """An event: the text that a step added."""

    sample: int
    text: str


class DoneEvent(Struct, frozen=True, forbid_unknown_fields=True):
    """The last event: all texts are complete, or an error ended them."""

    done: bool
    samples: list[SampleRecord]


# ---- POST /rescore.


class HypothesisInput(Struct, frozen=True, forbid_unknown_fields=True):
    """A hypothesis of an n-best list."""

    text: str
    score: Annotated[float | None, about("score of the first pass; higher is better")] = None
    scores: Annotated[dict[str, float], about("further ones, by the names that weights have")] = {}


class UtteranceInput(Struct, frozen=True, forbid_unknown_fields=True):
    """An utterance of an n-best list, as `rnnlm rescore` reads it."""

    hypotheses: Annotated[list[HypothesisInput], Meta(min_length=1)]
    utt: Annotated[str | int, about("its name")] = ""
    ref: Annotated[str | None, about("the reference, what was really said")] = None
    source: Annotated[str | None, about("for translations: the source")] = None


class RescoreRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """N-best lists, and the weights that order them."""

    utterances: Annotated[list[UtteranceInput], Meta(min_length=1)]
    weights: Annotated[Weights, about("the content of a file of `rnnlm rescore --weights-output`")]


class RescoredHypothesis(Struct, frozen=True, forbid_unknown_fields=True):
    """A hypothesis with its new score."""

    text: str
    score: Annotated[float | None, about("null if it is never chosen")]
    first_pass_rank: int
    first_pass_score: float | None
    features: dict[str, float | None]
    word_errors: int | None


class RescoredUtterance(Struct, frozen=True, forbid_unknown_fields=True):
    """An utterance, the best hypothesis first, as `rnnlm rescore --nbest-output` writes it."""

    utt: str
    ref: str | None
    hypotheses: list[RescoredHypothesis]
    source: str | UnsetType = UNSET


class RescoreAnswer(Struct, frozen=True, forbid_unknown_fields=True):
    """The lists in their new order."""

    models: list[str]
    utterances: list[RescoredUtterance]


# ---- POST /tag, /classify and /translate.


class TagRequest(Request, frozen=True, kw_only=True):
    """Sentences to tag."""

    sentences: Annotated[list[str | list[str]], about("texts, or lists of words", min_length=1)]
    nbest: Annotated[
        int,
        about(
            "number of label sequences for each sentence; from 2 on ranked by their whole "
            "probability",
            ge=1,
        ),
    ] = 1
    probabilities: Annotated[bool, about("also return the probabilities of each word's labels")] = (
        False
    )


class LabelSequenceRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """Labels of all words of a sentence."""

    labels: list[str]
    probability: float
    logprob_nats: float


class TaggedRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """A tagged sentence, as `rnnlm tag --json` prints it."""

    text: str | None
    words: list[str]
    labels: Annotated[dict[str, list[str]], about("by column")]
    sentence_labels: dict[str, str]
    nbest: dict[str, list[LabelSequenceRecord]] | UnsetType = UNSET
    probabilities: dict[str, list[dict[str, float]]] | UnsetType = UNSET
    sentence_probabilities: dict[str, dict[str, float]] | UnsetType = UNSET
    reason: Annotated[str | UnsetType, about("why it has no labels")] = UNSET


class TagAnswer(Answer, frozen=True, kw_only=True):
    """The tagged sentences, in their order."""

    sentences: list[TaggedRecord]


class ClassifyRequest(Request, frozen=True, kw_only=True):
    """Texts to classify."""

    texts: Annotated[list[Text], Meta(min_length=1)]
    top: (
        Annotated[int, about("number of most probable labels to return", ge=1, le=MAX_TOP)] | None
    ) = None


class ClassifiedRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """A classified text, as `rnnlm classify --json` prints it."""

    text: str | None
    labels: Annotated[dict[str, str], about("by column")]
    probabilities: dict[str, dict[str, float]]
    reason: Annotated[str | UnsetType, about("why it has no labels")] = UNSET


class ClassifyAnswer(Answer, frozen=True, kw_only=True):
    """The classified texts, in their order."""

    texts: list[ClassifiedRecord]


@takes(DecodingSettings, "beam", "length_power", "nbest", "attention", "mbr")
class TranslateRequest(Request, frozen=True, kw_only=True):
    """Lines to translate."""

    sources: Annotated[list[Text], Meta(min_length=1)]


class AttentionRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """The attention of each token of a line to its source."""

    source_tokens: list[str]
    target_tokens: list[str]
    most_attended: list[int]
    weights: list[list[float]]


class TranslationRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """A line that was written for a source."""

    text: str
    logprob_nats: float
    score: float
    tokens: int
    complete: bool
    attention: AttentionRecord | UnsetType = UNSET


class TranslatedRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """A source and its lines, as `rnnlm translate --json` prints them."""

    utt: int
    source: str
    text: str
    hypotheses: list[TranslationRecord]


class TranslateAnswer(Answer, frozen=True, kw_only=True):
    """The translations of the sources, in their order."""

    lines: list[TranslatedRecord]


# ---- POST /inspect.


class InspectRequest(Request, frozen=True, kw_only=True):
    """A line that a model reads while it is watched."""

    what: Annotated[
        Literal["gates", "influence", "orders"],
        about("gates of networks, influence of earlier words, or orders of n-grams"),
    ]
    text: str


class GateRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """A gate of a layer: its mean over units, and its first units, at each word."""

    gate: str
    mean: list[float]
    units: list[list[float]]


class LayerRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """The gates of a layer."""

    layer: int
    name: str
    gates: list[GateRecord]


class GatesAnswer(Struct, frozen=True, forbid_unknown_fields=True):
    """The gates at each word that was read."""

    words: list[str]
    layers: list[LayerRecord]


class InfluenceAnswer(Struct, frozen=True, forbid_unknown_fields=True):
    """The influence of each word read on the surprisal of each predicted word."""

    words: Annotated[list[str], about("the words that are predicted")]
    read: Annotated[list[str], about("the words that are read, </s> first")]
    influence: list[list[float]]


class BackoffRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """A context that was dropped for a shorter one, and its cost."""

    context: str
    nats: Annotated[float | None, about("null if infinite")]


class OrderRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """The steps by which a word's probability was found."""

    word: str
    order: Annotated[int, about("number of words in the n-gram that was found")]
    logprob_nats: Annotated[float | None, about("null if infinite")]
    backoffs: list[BackoffRecord]


class OrdersAnswer(Struct, frozen=True, forbid_unknown_fields=True):
    """The steps by which each word's probability was found."""

    words: list[OrderRecord]


InspectAnswer = GatesAnswer | InfluenceAnswer | OrdersAnswer


# ---- Errors.


class Problem(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The description of an error: the fault, the reason, and the hint."""

    what: str
    why: str = ""
    hint: str = ""


class ErrorAnswer(Struct, frozen=True, forbid_unknown_fields=True):
    """The answer to a request that is refused."""

    error: Problem


Reply = Struct | bytes  # an answer, or an answer that is JSON already

encode = msgspec.json.Encoder().encode
