"""Judge documents by models: compute their perplexities, and the group that each belongs to.

A document is read as `rnnlm eval --blank-lines documents` reads it: all its lines, each with its
`</s>`, from the initial state. Lines without words are skipped. Its perplexity is the perplexity of
its tokens, of the model's own kind: words, pieces, characters.

With a general model, documents are chosen by the difference of two cross-entropies, that of the
model (of the wanted domain) minus that of the general one: Moore & Lewis (2010), "Intelligent
Selection of Language Model Training Data".
"""

import functools
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm.errors import UsageError, notice
from rnnlm.interface import LanguageModel
from rnnlm.lm.base import span_scoring
from rnnlm.text.encoding import words_between_newlines
from rnnlm.text.lines import WORD_SPACE, SpecialSymbols, as_bytes, check_reserved
from rnnlm.tools.filtering.settings import FilterRule

# The number of possible unseen characters: all of Unicode's scalar values but the known ones.
CHARACTERS = 0x110000 - 0x800
OF_SPELLING = ("char", "byte", "sentencepiece")  # tokenizers to which no text is unknown as a whole


@dataclass(frozen=True)
class Documents:
    """D documents as lines: document d has the lines from `starts_D[d]` to `starts_D[d + 1]`, and
    none where it is without words."""

    lines: Sequence[str]
    starts_D: np.ndarray  # (D + 1,)

    def __len__(self) -> int:
        return len(self.starts_D) - 1

    @classmethod
    def of_texts(
        cls,
        texts: Iterable[str | None],
        special_symbols: SpecialSymbols,
        where: str = "document",
        first: int = 1,
    ) -> "Documents":
        """Split texts into lines; None is a document without words. special_symbols: treatment of
        `<s>` and `</s>`; where: the name of a document in messages; first: the first number."""
        lines: list[str] = []
        starts = [0]
        for number, text in enumerate(texts, start=first):
            if text:
                lines += lines_of_text(text, special_symbols, f"{where} {number}")
            starts.append(len(lines))
        return cls(lines, np.array(starts))

    @functools.cached_property
    def data(self) -> bytes:
        """The lines in UTF-8, each with its newline."""
        return as_bytes(self.lines)

    def words_D(self) -> np.ndarray:
        """Return how many words each document holds."""
        return sums_between(words_between_newlines(self.data), self.starts_D)

    def bytes_D(self) -> np.ndarray:
        """Return how many bytes of UTF-8 each document has, newlines included."""
        newlines_L = np.flatnonzero(np.frombuffer(self.data, np.uint8) == ord("\n"))
        starts_L = np.append(0, newlines_L + 1)
        return np.diff(starts_L[self.starts_D])


def lines_of_text(text: str, special_symbols: SpecialSymbols, where: str) -> list[str]:
    """Return the lines of a text that have words, as models read them. A line ends at a newline
    alone; one carriage return before it is dropped."""
    return lines_read(text.replace("\r\n", "\n").split("\n"), special_symbols, where)


def lines_read(lines: Sequence[str], special_symbols: SpecialSymbols, where: str) -> list[str]:
    """Return the lines that have words, as models read them."""
    kept = [line for line in lines if line.strip(WORD_SPACE)]
    for number, line in enumerate(kept):
        if "<s>" in line or "</s>" in line:
            kept[number] = check_reserved(line, where, special_symbols)
    return kept


def sums_between(values_N: np.ndarray, starts_D: np.ndarray) -> np.ndarray:
    """Return the sums of the values from each start to the next one, (D,); 0 where there are
    none."""
    sums_D = np.zeros(len(starts_D) - 1, values_N.dtype)
    # reduceat takes the value at the start for the sum of nothing.
    held = np.flatnonzero(np.diff(starts_D))
    if len(held):
        sums_D[held] = np.add.reduceat(values_N, starts_D[held])
    return sums_D


@dataclass(frozen=True)
class Verdicts:
    """The verdicts on D documents. group_D: their groups, by number in the rule's groups; one
    beyond these is outside the thresholds, two beyond is empty. perplexity_D: infinite where a
    token has probability zero, NaN where there is none. difference_D: bits per token or byte under
    the model minus those under the general one; None if there is no such model."""

    group_D: np.ndarray
    perplexity_D: np.ndarray
    words_D: np.ndarray
    difference_D: np.ndarray | None = None


class Judge:
    """One model, alone or with a general one, or one for each language, and the rule by which
    documents are sorted."""

    def __init__(self, models: Mapping[str, LanguageModel], rule: FilterRule) -> None:
        self.models = dict(models)
        self.rule = rule
        if rule.languages:
            check_languages(self.models)

    def __call__(self, documents: Documents) -> Verdicts:
        """Sort documents into groups."""
        difference_D = None
        unit = difference_unit(self.models, self.rule)
        spelled = bool(self.rule.languages) or unit == "byte"
        scored = [document_scores(model, documents, spelled) for model in self.models.values()]
        if self.rule.languages:
            # The number of each document's language, and its perplexity under that model.
            logprob_KD, tokens_KD = map(np.stack, zip(*scored, strict=True))
            group_D = logprob_KD.argmax(axis=0)
            columns_D = np.arange(len(group_D))
            best_D = logprob_KD[group_D, columns_D]
            perplexity_D = perplexities(best_D, tokens_KD[group_D, columns_D])

            # By Bayes' rule, where every language is as probable as every other before reading.
            with np.errstate(invalid="ignore"):  # impossible in all languages: -inf less -inf
                probability_D = 1 / np.exp(logprob_KD - best_D).sum(axis=0)
            is_sure_D = probability_D >= self.rule.min_probability
            group_D[~is_sure_D | self._is_beyond(perplexity_D)] = len(self.rule.languages)
        else:
            logprob_D, tokens_D = scored[0]
            perplexity_D = perplexities(logprob_D, tokens_D)
            group_D = np.searchsorted(self.rule.cutoffs, perplexity_D, side="right")
            is_beyond_D = self._is_beyond(perplexity_D)

            # A document that is impossible under both models is as if beyond the limit.
            if self.rule.max_difference is not None:
                units_D = tokens_D if unit == "token" else documents.bytes_D()
                with np.errstate(invalid="ignore", divide="ignore"):
                    nats_D = scored[1][0] - logprob_D
                    difference_D = nats_D / units_D / math.log(2)
                is_beyond_D |= ~(difference_D <= self.rule.max_difference)
            group_D[is_beyond_D] = len(self.rule.groups)
        group_D[np.isnan(perplexity_D)] = len(self.rule.groups) + 1
        return Verdicts(group_D, perplexity_D, documents.words_D(), difference_D)

    def _is_beyond(self, perplexity_D: np.ndarray) -> np.ndarray:
        """Return which perplexities lie beyond the thresholds."""
        return (perplexity_D < self.rule.min_perplexity) | (perplexity_D > self.rule.max_perplexity)


def perplexities(logprob_D: np.ndarray, tokens_D: np.ndarray) -> np.ndarray:
    """Return exp(-logprob / tokens); NaN where there are no tokens, infinity beyond a float."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return np.exp(-logprob_D / tokens_D)


def document_scores(
    model: LanguageModel, documents: Documents, spelled: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return the log-probability (nats) of each document and how many tokens it has, both (D,).

    spelled: an unseen character is not just unknown, but this very one of all that are unseen.
    Without it, a model that knows few characters would be good at texts in other scripts.
    """
    if not len(documents.lines):
        nothing = np.zeros(len(documents))
        return nothing, nothing
    encoded = model.tokenizer.encode(documents.lines)
    starts_D = encoded.offsets[documents.starts_D]
    spans = span_scoring.spans_between(starts_D)
    spans = spans[spans[:, 1] > spans[:, 0]]
    logprob_N = span_scoring.score_spans(model, encoded.ids, spans)
    span_scoring.check_scores(logprob_N)

    # `<unk>` is any unseen character: each has an equal share of the probability.
    if spelled and model.tokenizer.name == "char":
        logprob_N[encoded.oov] -= math.log(CHARACTERS - model.tokenizer.size)
    return sums_between(logprob_N, starts_D), np.diff(starts_D).astype(np.float64)


def difference_unit(
    models: Mapping[str, LanguageModel], rule: FilterRule, tell: bool = False
) -> str | None:
    """Return what the bits of a model and the general one are compared per: "token" if both have
    the same tokens, else "byte"; None if there is no general model. tell: send a notice where
    unknown words make the comparison unfair."""
    if rule.max_difference is None:
        return None
    own, general = (model.tokenizer for model in models.values())
    if own.fingerprint == general.fingerprint:
        return "token"
    is_of_words = "word" in (own.name, general.name)
    if tell and is_of_words and {*own.symbols()} != {*general.symbols()}:
        notice(
            "the two models know different words, and unknown ones cost little: the model that "
            "knows fewer is favoured; train both with the same words (rnnlm train --vocab FILE)"
        )
    return "byte"


def check_languages(models: Mapping[str, LanguageModel]) -> None:
    """Make sure that the models' probabilities of a text compare."""
    readings = {}
    for name, model in models.items():
        tokenizer = model.tokenizer
        if tokenizer.name not in OF_SPELLING:
            raise UsageError(
                f"the model of {name} reads words",
                "to it, all words of other languages are the same <unk>",
                "train models of characters: rnnlm train TEXT --model ngram --tokenizer char",
            )
        case = "kept" if tokenizer.keeps_case else "lowered"
        readings[name] = f"case {case}, {tokenizer.rewriting or 'nothing rewritten'}"
    for (label, settings), (next_label, next_settings) in itertools.pairwise(readings.items()):
        if settings != next_settings:
            raise UsageError(
                "the models read text differently",
                f"{label}: {settings}; {next_label}: {next_settings}",
                "train them with the same tokenizer options",
            )
