"""Ranks and surprisals of the answers of a cloze test under one model, which reads what stands before the gap, and nothing behind it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm import arrays
from rnnlm.inference.direction import check_reads_forward
from rnnlm.inference.distributions import MOST_CELLS, score_and_look
from rnnlm.inference.span_scoring import check_scores, spans_between
from rnnlm.inspection.cloze.items import ClozeItem
from rnnlm.interface import LanguageModel
from rnnlm.scoring.scorer import score_sentences

RANKED = 10  # words that are found where tokens are pieces of words


@dataclass(frozen=True)
class ClozeScore:
    """How a model does on one item. rank: of the answer among all words that the model may say there, from 1; None where it is unknown, or
    not among the first RANKED under a model whose tokens are pieces of words. surprisal_bits: -log2 p(answer | what stands before the gap);
    None where it is unknown or infinite. unknown: the answer is no word of the model's vocabulary.
    """

    item: ClozeItem
    rank: int | None
    surprisal_bits: float | None
    unknown: bool


def score_items(model: LanguageModel, items: Sequence[ClozeItem]) -> list[ClozeScore]:
    """The score of each item. Each is read from the initial state.

    Where every token is a word, ranks are those of the sorted distribution over the vocabulary (of equally likely tokens the one of the
    lower id comes first). Where words are made of pieces, the likeliest words are built piece by piece, as
    :mod:`rnnlm.inference.next_word` does it, and surprisals are those of :mod:`rnnlm.inference.word_surprisal`.

    Raises:
        UsageError: the model reads lines from their end. ModelError: its scores are not numbers.
    """
    check_reads_forward(model.tokenizer, "fill a gap from what stands before it")
    tokens_are_words = bool(model.tokenizer.starts_word_V.all())
    scored = score_sentences(
        model, [item.answer for item in items], given=[item.context for item in items], with_words=True, eos=False, split="tokens",
        next_words=0 if tokens_are_words else RANKED,
    )  # fmt: skip
    unknown = [len(each.word_scores) != 1 or each.word_scores[0].is_oov for each in scored]
    if tokens_are_words:
        ranks: Iterator[int | None] = iter(_ranks(model, items))
    else:
        ranks = (_place(model, item.answer, [found.word for found in each.next_words[0]]) for item, each in zip(items, scored, strict=True))
    return [
        ClozeScore(item, None if is_unknown else rank, None if is_unknown else each.word_scores[0].surprisal_bits, is_unknown)
        for item, rank, each, is_unknown in zip(items, ranks, scored, unknown, strict=True)
    ]


def _ranks(model: LanguageModel, items: Sequence[ClozeItem]) -> list[int]:
    """The rank of each answer's last token among all tokens, distributions in bounded memory."""
    encoded = model.tokenizer.encode([f"{item.context} {item.answer}" for item in items])
    ends = encoded.offsets[1:] - 2  # the last token before the boundary
    at_once = max(1, MOST_CELLS // model.tokenizer.size)
    ranks: list[int] = []
    for first in range(0, len(items), at_once):
        spans = spans_between(encoded.offsets)[first : first + at_once]
        at_M = ends[first : first + at_once]
        is_place_N = np.zeros(len(encoded.ids), dtype=bool)
        is_place_N[at_M] = True
        _, logprob_MV, _ = score_and_look(model, encoded.ids, spans, is_place_N, arrays.as_numpy)
        check_scores(logprob_MV.max(axis=1))
        ranks += [_rank(logprob_V, int(id)) for logprob_V, id in zip(logprob_MV, encoded.ids[at_M], strict=True)]
    return ranks


def _rank(logprob_V: np.ndarray, id: int) -> int:
    if id >= len(logprob_V):  # a word that is only spelled
        return len(logprob_V)
    its = logprob_V[id]
    return 1 + int((logprob_V > its).sum()) + int((logprob_V[:id] == its).sum())


def _place(model: LanguageModel, answer: str, words: Sequence[str]) -> int | None:
    """Where the answer, as the model's tokenizer writes it, is among the words found."""
    written = model.tokenizer.decode(model.tokenizer.encode([answer]).ids[:-1]).strip()
    return words.index(written) + 1 if written in words else None
