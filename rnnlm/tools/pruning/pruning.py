"""Make a trained n-gram model smaller: read it from its folder, cut it down, and save it as a
separate model, with sizes and perplexity before and after.

:class:`PruningLimits` lists the limits; the mathematics is in :mod:`rnnlm.lm.ngram.pruning`.
"""

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from rnnlm.config import as_stored
from rnnlm.errors import TextError, UsageError, joined_message, keyword, notice
from rnnlm.evaluation.perplexity import TextEvaluation, evaluate
from rnnlm.lm.base import loading, stored_model
from rnnlm.lm.ngram import pruning
from rnnlm.lm.ngram.model import NgramModel
from rnnlm.lm.ngram.pruning import quantised
from rnnlm.lm.ngram.settings import check_bits
from rnnlm.lm.ngram.tables import PRUNING, check_memory
from rnnlm.storage import model_folder
from rnnlm.text.corpus import Text
from rnnlm.text.tokenizers.vocabulary import Vocabulary
from rnnlm.text.tokenizers.word import WordTokenizer
from rnnlm.text.word_lists import WordList, word_list
from rnnlm.training import card

SMALLEST_VOCABULARY = 3  # </s>, <unk> and a word


@dataclass(frozen=True)
class PruningLimits:
    """Limits of a model, which apply in this order; None: no such limit. A model that is quantised
    stays so.

    Of the vocabulary the most frequent words stay; `</s>` and `<unk>` are counted. The unigram
    probability of words that go is added to the probability of `<unk>`. An n-gram goes if
    perplexity rises without it by less than `threshold`, a relative rise (Stolcke 1998).
    """

    max_vocab: int | None = None
    vocab: str | None = None  # a file with the words that stay
    max_order: int | None = None  # of the longest n-grams
    threshold: float | None = None
    ngrams: int | None = None  # at most, of all orders; the threshold is found from it
    quantize: int | None = None  # bits of a value (8); None: as the model that is pruned


@dataclass(frozen=True)
class ModelSize:
    """The size of a model, and its evaluation on a text, if there is one."""

    ngrams: tuple[int, ...]  # by order; `<s>` is one of the unigrams
    vocabulary_size: int
    bytes: int  # of the files
    evaluation: TextEvaluation | None

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers by name."""
        return {**vars(self), "evaluation": self.evaluation and self.evaluation.to_dict()}


@dataclass(frozen=True)
class Reduction:
    """A model before and after."""

    folder: str
    before: ModelSize
    after: ModelSize
    threshold: float | None  # of entropy pruning; None if there was none


def prune(
    name: str,
    output: Path,
    limits: PruningLimits,
    *,
    test_text: Text | None = None,
    overwrite: bool = False,
) -> Reduction:
    """Limit the model called `name`, and save the result in the folder `output`. Both models are
    evaluated on `test_text`."""
    _check(limits)
    if limits.vocab is not None:
        limits = replace(limits, vocab=word_list(limits.vocab))
    folder = loading.find(name)
    manifest = model_folder.read_manifest(folder)
    if not manifest.kind.has_ngrams:
        raise UsageError(
            f"the model {name} is of kind {manifest.model}", "only n-gram models can be pruned"
        )
    with model_folder.owned(output, overwrite, "pruning"):
        model, manifest = stored_model.load(folder, "cpu")
        assert isinstance(model, NgramModel)  # the only class of that kind
        check_memory("pruning", PRUNING, sum(_ngrams(model)))
        before = _size(model, manifest, test_text)
        pruned, threshold = _apply_limits(model, limits)
        bits = limits.quantize or manifest.settings.get("quantize")
        if bits:
            pruned = quantised(pruned)

        # The new model's folder keeps the limits, and the fingerprint of the model before.
        all_limits = {**asdict(limits), "threshold": threshold}
        applied = as_stored({name: v for name, v in all_limits.items() if v is not None})
        origin = {"from": manifest.fingerprint, "ngrams_before": _ngrams(model), **applied}
        training = {**manifest.training, "ngrams": _ngrams(pruned), "pruned": origin}
        settings = {**manifest.settings, "order": pruned.order, "quantize": bits}
        saved = model_folder.save(output, pruned, manifest.model, settings, manifest.step, training)

        # Its results name its fingerprint.
        pruned.fingerprint = saved.fingerprint
        after = _size(pruned, saved, test_text)
        if test_text is not None and after.evaluation:
            results = {", ".join(test_text.sources): after.evaluation.to_dict()}
            saved = model_folder.save_results(output, saved, results, training)
        card.write(output, saved, pruned.tokenizer)
        return Reduction(str(output), before, after, threshold)


def _check(limits: PruningLimits) -> None:
    """Refuse limits that are wrong, or contradict each other."""
    if limits == PruningLimits():
        raise UsageError(
            "no limits are given",
            hint="give one of " + joined_message(", ", map(keyword, vars(limits))),
        )
    check_bits(limits.quantize)

    # By perplexity: one of two ways to say how much goes.
    threshold = limits.threshold
    if threshold is not None and limits.ngrams is not None:
        raise UsageError(
            "a threshold and a number of n-grams cannot be combined", hint="leave one of them out"
        )
    if threshold is not None and not (math.isfinite(threshold) and threshold >= 0):
        raise UsageError(
            f"threshold {threshold} is not valid",
            "it is a relative change of perplexity, such as 1e-8",
        )

    # By order and vocabulary: something must be left.
    if limits.max_order is not None and limits.max_order < 1:
        raise UsageError(f"order {limits.max_order} is not valid", "it must be 1 or more")
    if limits.max_vocab is not None and limits.max_vocab < SMALLEST_VOCABULARY:
        raise UsageError(
            f"a vocabulary of {limits.max_vocab} is too small",
            "it holds at least </s>, <unk> and a word",
        )


def _apply_limits(model: NgramModel, limits: PruningLimits) -> tuple[NgramModel, float | None]:
    """Return `model` within the limits, and the threshold of entropy pruning."""
    # Words and orders come first: they leave fewer n-grams for entropy pruning.
    if limits.max_vocab is not None or limits.vocab is not None:
        model = _with_fewer_words(model, limits)
    if limits.max_order is not None and limits.max_order < model.order:
        model = pruning.by_order(model, limits.max_order)

    # Then by entropy, to a threshold or to a size.
    if limits.threshold is None and limits.ngrams is None:
        return model, None
    if model.unseen_context_logprob:
        raise UsageError(
            "stupid backoff cannot be pruned by entropy",
            "its scores are not probabilities",
            "give "
            + joined_message(" or ", map(keyword, ("max_order", "max_vocab", "vocab")))
            + ", or train it with "
            + keyword("prune"),
        )
    if limits.threshold is not None:
        return pruning.by_entropy(model, limits.threshold), limits.threshold
    assert limits.ngrams is not None
    if limits.ngrams < len(model.values[0]):
        raise UsageError(
            f"{limits.ngrams:,} n-grams are too few",
            f"unigrams are never pruned, and the model has {len(model.values[0]):,}",
            "ask for more, or limit the vocabulary: " + keyword("max_vocab"),
        )
    return pruning.to_size(model, limits.ngrams)


def _with_fewer_words(model: NgramModel, limits: PruningLimits) -> NgramModel:
    """Limit the vocabulary to the words of a file, to the most frequent ones, or both."""
    if model.tokenizer.name != WordTokenizer.name:
        raise UsageError(
            f"the vocabulary of a {model.tokenizer.name} tokenizer cannot be limited",
            "only whole words can be removed",
        )
    tokenizer = cast(WordTokenizer, model.tokenizer)
    kept_V = np.ones(tokenizer.size, dtype=bool)
    if isinstance(limits.vocab, WordList):
        kept_V &= _mask_of_listed(tokenizer, limits.vocab)
    if limits.max_vocab is not None:
        kept_V &= _mask_of_most_frequent(model, tokenizer, kept_V, limits.max_vocab)
    return pruning.by_vocabulary(model, kept_V, _smaller_tokenizer(tokenizer, kept_V))


def _mask_of_listed(tokenizer: WordTokenizer, listed: WordList) -> np.ndarray:
    """Mark the listed words; the special symbols always are."""
    # Words that the model lacks stay unknown.
    words = tokenizer.encode([word.decode("utf-8") for word in listed.words])
    if np.isin(words.ids, (tokenizer.boundary_id, tokenizer.unk_id)).all():
        raise TextError(f"{listed.source} has no word that is in the model")
    if len(words.oov):
        notice(
            f"words of {listed.source} that are not in the model stay unknown: {len(words.oov):,}"
        )
    listed_V = np.zeros(tokenizer.size, dtype=bool)
    listed_V[words.ids] = True
    listed_V[[tokenizer.boundary_id, tokenizer.unk_id]] = True
    return listed_V


def _mask_of_most_frequent(
    model: NgramModel, tokenizer: WordTokenizer, kept_V: np.ndarray, size: int
) -> np.ndarray:
    """Mark the `size` most frequent of the words kept, the special symbols among them."""
    if tokenizer.counts_V is not None:
        frequency_V = tokenizer.counts_V
    else:
        frequency_V = np.asarray(model.values[0])[: tokenizer.size, 0]
        notice("the model has no word counts: the most probable words are kept")

    # Words left out come last, the special symbols first; ties are broken by id.
    frequency_V = np.where(kept_V, frequency_V.astype(np.float64), -np.inf)
    frequency_V[[tokenizer.boundary_id, tokenizer.unk_id]] = np.inf
    chosen_V = np.zeros(tokenizer.size, dtype=bool)
    chosen_V[np.argsort(-frequency_V, kind="stable")[:size]] = True
    return chosen_V


def _smaller_tokenizer(tokenizer: WordTokenizer, kept_V: np.ndarray) -> WordTokenizer:
    """Return a tokenizer of the words kept, in their order; occurrences of the others count for
    `<unk>`."""
    symbols = tokenizer.symbols()
    kept = [symbols[id] for id in np.flatnonzero(kept_V).tolist()]
    counts_V = tokenizer.counts_V
    if counts_V is not None:
        lost = counts_V[~kept_V].sum()
        counts_V = counts_V[kept_V]
        # The number of <unk> is the same as before, as special symbols come first.
        counts_V[tokenizer.unk_id] += lost
    return WordTokenizer(tokenizer.settings, Vocabulary(tuple(kept), counts_V))


def _ngrams(model: NgramModel) -> list[int]:
    """Count the n-grams of each order."""
    return [len(values) for values in model.values]


def _size(model: NgramModel, manifest: model_folder.Manifest, test_text: Text | None) -> ModelSize:
    """Measure a model, and evaluate it on a text if there is one."""
    evaluation = None if test_text is None else evaluate(model, test_text)
    file_bytes = sum(entry.bytes for entry in manifest.files.values())
    return ModelSize(tuple(_ngrams(model)), model.size, file_bytes, evaluation)
