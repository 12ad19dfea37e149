"""Perplexity and its companions: every token of a text scored exactly once, totals in float64.

context "carry": one stream, the state goes on across lines (how PTB and WikiText results are
given). context "reset": each line alone. With documents, the state is reset at each document.
"""

import dataclasses
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np

import rnnlm.corpora as corpora
from rnnlm.errors import UsageError, nearest
from rnnlm.inference import span_scoring
from rnnlm.inference.span_scoring import perplexity
from rnnlm.interface import LanguageModel
from rnnlm.models import loading
from rnnlm.models.loading import language_model_of
from rnnlm.models.manifest import read_manifest
from rnnlm.text.corpus import Text, open_text
from rnnlm.text.encoding import EncodedText
from rnnlm.text.lines import Progress, TextSettings, silent
from rnnlm.text.marks import tell_unseen

# ---- The signature: one line saying what a number was measured on and how, so that numbers can be
# compared or not.

VERSION = "0.1"


@dataclass(frozen=True)
class Signature:
    """The parts of a signature, in the order they are printed."""

    data: str  # hash over the scored lines
    tok: str  # tokenizer kind, fingerprint (of no direction) and size
    case: str  # kept | lower
    ctx: str  # carry | reset
    blank: str  # skip | keep | documents
    unk: str  # literal | spell
    eos: str  # yes | no
    prec: str
    adapt: str
    model: str
    # reversed, of a model that reads each line from its end; else there is no such part
    dir: str = ""

    def __str__(self) -> str:
        parts = "|".join(
            f"{field.name}:{value}"
            for field in fields(self)
            if (value := getattr(self, field.name)) or field.name != "dir"
        )
        return f"rnnlm:{VERSION}|{parts}"

    @classmethod
    def parse(cls, text: str) -> "Signature":
        """The inverse of str().

        Raises:
            UsageError: `text` is not a signature.
        """
        parts = dict(part.partition(":")[::2] for part in text.split("|"))
        parts.pop("rnnlm", None)
        try:
            return cls(**parts)
        except TypeError:
            raise UsageError(f"not a signature: {text!r}") from None


# ---- perplexity

Context = Literal["carry", "reset"]


@dataclass(frozen=True)
class Evaluation:
    """What a text costs under a model. Perplexities are None where a token has probability zero.

    ppl_word = exp(-logprob_nats / (words + sentences)): each line's `</s>` counts as one.
    characters and bytes count each line plus one for its end. `_no_oov` leaves unknown tokens out
    of sum and count (ppl_word_no_oov is None where words are not tokens, and a part of a word may
    be unknown). bits_per_char and bits_per_byte are None, and closed_vocabulary is true, where
    something was unknown or the tokenizer does not keep the text.
    """

    tokens: int
    words: int
    characters: int
    bytes: int
    sentences: int
    oov_words: int
    zero_probability_tokens: int
    logprob_nats: float | None
    ppl_token: float | None
    ppl_token_no_oov: float | None
    ppl_word: float | None
    ppl_word_no_oov: float | None
    bits_per_char: float | None
    bits_per_byte: float | None
    closed_vocabulary: bool
    normalised: bool
    context: Context
    signature: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The figures by name, in JSON's types."""
        return dataclasses.asdict(self)


def evaluate(
    model: LanguageModel | str | Path,
    text: str | Path | Sequence[str | Path] | Text | EncodedText | None = None,
    *,
    context: Context = "carry",
    text_settings: TextSettings | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Evaluate `model` on `text`: a path, several, a text, one that its tokenizer has encoded, or
    the folder of a prepared text.

    model: a language model, or the name of one, which is then loaded anew by each call. text: None
    stands for the test part of the bundled corpus that a named model was trained on. progress:
    called with how far reading and scoring are.

    Raises:
        UsageError: there is no such context, or no text. TextError: the text cannot be read or is
            empty. ModelError: there is no such model, or its scores are not numbers.
    """
    began = time.perf_counter()
    check_context(context)
    text = _bundled_test(model) if text is None else text
    model = language_model_of(model)
    if isinstance(text, EncodedText):
        encoded = text
    else:
        encoded = as_text(text, text_settings).encode(model.tokenizer, progress)
        tell_unseen(encoded.marks, {"the model": model.tokenizer})
    logprob_N = span_scoring.score_spans(
        model, encoded.ids, spans_of(encoded, context), report=progress
    )
    return summary(model, logprob_N, encoded, context, began)


def _bundled_test(model: LanguageModel | str | Path) -> Path:
    """The test part of the bundled corpus that the model of this name was trained on.

    Raises:
        UsageError: it was trained on another text, or is not given by its name. ModelError: there
            is no such model.
    """
    if isinstance(model, (str, os.PathLike)):
        trained_on = read_manifest(loading.folder_of(model)).training.get("text")
        for name in corpora.names():
            if trained_on == [corpora.named(name)]:
                return corpora.part(name, "test")
    raise UsageError("no text to evaluate on", hint="name one: evaluate(model, 'test.txt')")


def check_context(context: str) -> None:
    """Make sure that `context` is a known way to read.

    Raises:
        UsageError: it is not.
    """
    if context not in get_args(Context):
        raise UsageError(f"unknown context {context!r}", hint=nearest(context, get_args(Context)))


def as_text(
    text: str | Path | Sequence[str | Path] | Text, settings: TextSettings | None = None
) -> Text:
    """A text, itself or by its path or paths; one that is prepared by its folder."""
    if isinstance(text, Text):
        return text
    return open_text(
        [text] if isinstance(text, (str, os.PathLike)) else text, settings or TextSettings()
    )


def sign(model: LanguageModel, encoded: EncodedText, context: Context) -> Signature:
    """The signature of numbers measured with `model` on that text."""
    return signature_of(model, encoded.lines_hash, context, encoded.blank_lines)


def signature_of(
    model: LanguageModel, lines_hash: str, context: Context, blank_lines: str, eos: str = "yes"
) -> Signature:
    """The signature of numbers measured with `model` on the lines of that hash. eos: "no" where
    `</s>` is not scored."""
    tokenizer = model.tokenizer.in_direction(False)
    return Signature(
        data=lines_hash,
        tok=f"{tokenizer.name}:{tokenizer.fingerprint},V={tokenizer.size}"
        + (f",{tokenizer.rewriting}" if tokenizer.rewriting else ""),
        case="kept" if tokenizer.keeps_case else "lower",
        ctx=context,
        blank=blank_lines,
        unk="spell" if tokenizer.literal_unk == "spell" else "literal",
        eos=eos,
        prec=model.precision,
        adapt=model.adaptation,
        model=loading.fingerprint_in_signature(model),
        dir="reversed" if model.tokenizer.is_reversed else "",
    )


def spans_of(encoded: EncodedText, context: Context) -> np.ndarray:
    """What is read from the initial state: lines, documents, or the whole text."""
    if context == "reset":
        return span_scoring.spans_between(encoded.line_offsets)
    if encoded.document_offsets is not None:
        return span_scoring.spans_between(encoded.document_offsets)
    return span_scoring.whole_text(encoded.ids)


def summary(
    model: LanguageModel,
    logprob_N: np.ndarray,
    encoded: EncodedText,
    context: Context,
    began: float,
) -> Evaluation:
    """The evaluation of a text whose tokens have these log-probabilities (nats).

    Raises:
        ModelError: they are not numbers.
    """
    span_scoring.check_scores(logprob_N)
    zeros = int(np.isneginf(logprob_N).sum())
    total = float(logprob_N.sum(dtype=np.float64))
    total_no_oov = float(np.delete(logprob_N, encoded.oov).sum(dtype=np.float64))
    words = encoded.words + encoded.sentences
    words_are_tokens = encoded.tokens == words or not len(encoded.oov)
    closed = bool(len(encoded.oov)) or not model.tokenizer.keeps_text
    bits = None if closed or zeros else -total / math.log(2)
    return Evaluation(
        tokens=encoded.tokens,
        words=encoded.words,
        characters=encoded.characters,
        bytes=encoded.bytes,
        sentences=encoded.sentences,
        oov_words=encoded.oov_words,
        zero_probability_tokens=zeros,
        logprob_nats=total if not zeros else None,
        ppl_token=perplexity(total, encoded.tokens),
        ppl_token_no_oov=perplexity(total_no_oov, encoded.tokens - len(encoded.oov)),
        ppl_word=perplexity(total, words),
        ppl_word_no_oov=perplexity(total_no_oov, words - encoded.oov_words)
        if words_are_tokens
        else None,
        bits_per_char=None if bits is None else bits / encoded.characters,
        bits_per_byte=None if bits is None else bits / encoded.bytes,
        closed_vocabulary=closed,
        normalised=model.normalised,
        context=context,
        signature=str(sign(model, encoded, context)),
        seconds=time.perf_counter() - began,
    )


# ---- The signature of a figure of a task: what was counted, by which convention, on which data,
# for which model.


@dataclass(frozen=True)
class FigureSignature:
    """What signatures of figures have in common: the figure, and parts with names, of which empty
    ones are left out."""

    figure: str
    of_what: ClassVar[str]  # labels, translations
    # parts by which figures that compare may differ
    may_differ: ClassVar[frozenset[str]] = frozenset({"model"})

    def __str__(self) -> str:
        parts = [(field.name, getattr(self, field.name)) for field in fields(self)[1:]]
        return "|".join(
            [
                _escaped(self.figure),
                *(f"{name}:{_escaped(value)}" for name, value in parts if value),
            ]
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of str().

        Raises:
            UsageError: `text` is not a signature of this kind.
        """
        figure, *parts = text.split("|")
        values = dict(part.partition(":")[::2] for part in parts)
        if (
            not figure
            or ":" in figure
            or not set(values) <= {field.name for field in fields(cls)[1:]}
        ):
            raise UsageError(f"not a signature of {cls.of_what}: {text!r}")
        return cls(_read(figure), **{name: _read(value) for name, value in values.items()})

    def differing(self, other: Self) -> list[str]:
        """The names of parts by which the two figures are not of the same thing: none where they
        compare."""
        names = [field.name for field in fields(self) if field.name not in self.may_differ]
        return [name for name in names if getattr(self, name) != getattr(other, name)]


def _escaped(value: str) -> str:
    """Columns are named by people; what divides the parts is written as URLs do."""
    return value.replace("%", "%25").replace("|", "%7C").replace(":", "%3A")


def _read(value: str) -> str:
    return value.replace("%3A", ":").replace("%7C", "|").replace("%25", "%")
