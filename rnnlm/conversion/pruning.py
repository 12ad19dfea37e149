"""Making a trained n-gram model smaller: it is read from its folder, cut down, and saved as a model
of its own, with sizes and perplexity before and after.

What can be limited is in :class:`Limits`; the mathematics is in :mod:`rnnlm.ngram.pruning`.
"""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from rnnlm.errors import UsageError, notice
from rnnlm.evaluation.perplexity import TextEvaluation, evaluate
from rnnlm.interface import answers_of
from rnnlm.models import card, loading, model_folder
from rnnlm.ngram import pruning
from rnnlm.ngram.counting.counts import count
from rnnlm.ngram.fitting import pruning_thresholds
from rnnlm.ngram.model import NgramModel
from rnnlm.text.corpus import Corpus, Text
from rnnlm.text.lines import TextSettings
from rnnlm.text.tokenizers.vocabulary import Vocabulary
from rnnlm.text.tokenizers.word import WordTokenizer

SMALLEST_VOCABULARY = 3  # </s>, <unk> and a word


@dataclass(frozen=True)
class Limits:
    """What is left out of a model, in this order; None: nothing of the kind.

    max_vocab: all words but the most frequent ones, so many with `</s>` and `<unk>`. vocab: all
    words but those of a file. What the others had as unigrams goes to `<unk>`. max_order: longer
    n-grams. cutoffs: n-grams that occur at most so often in a text, one number for each order, the
    last repeats: `0,0,1`; 0 leaves an order whole. threshold: n-grams without which perplexity
    rises by less than that share (Stolcke 1998). ngrams: the same, with the threshold that leaves
    at most so many n-grams of all orders.
    """

    max_vocab: int | None = None
    vocab: str | None = None
    max_order: int | None = None
    cutoffs: str | None = None
    threshold: float | None = None
    ngrams: int | None = None


@dataclass(frozen=True)
class Size:
    """The size of a model: n-grams by order (`<s>` is one of the unigrams), words, bytes of the
    files. evaluation: of a text, if there is one."""

    ngrams: tuple[int, ...]
    vocabulary_size: int
    bytes: int
    evaluation: TextEvaluation | None


@dataclass(frozen=True)
class Reduction:
    """A model before and after. threshold: that of entropy pruning; None if there was none."""

    folder: str
    before: Size
    after: Size
    threshold: float | None


def prune(
    name: str,
    output: Path,
    limits: Limits,
    *,
    counted: Text | None = None,
    on: Text | None = None,
    overwrite: bool = False,
) -> Reduction:
    """Save what `limits` leave of the model called `name` in the folder `output`. Cut-offs go by
    the n-grams of the text `counted`; perplexities are measured `on` another.
    """
    _check(limits, counted)
    folder = loading.find(name)
    manifest = model_folder.read_manifest(folder)
    if not manifest.kind.has_ngrams:
        raise UsageError(
            f"the model {name} is of kind {manifest.model}", "only n-gram models are pruned"
        )
    with model_folder.owned(output, overwrite, "pruning"):
        loaded, manifest = model_folder.load(folder, "cpu")
        model = answers_of(loaded).with_ngrams
        assert model is not None  # models of that kind have them
        before = _size(model, manifest, on)
        pruned, threshold = _pruned(model, limits, counted)

        # The limits are kept with the new model.
        given = dataclasses.asdict(limits)
        by = {limit: value for limit, value in given.items() if value is not None}
        if threshold is not None:
            by["threshold"] = threshold
        origin = {"from": manifest.fingerprint, "ngrams_before": _ngrams(model), **by}
        training = {**manifest.training, "ngrams": _ngrams(pruned), "pruned": origin}
        settings = {**manifest.settings, "order": pruned.order}
        saved = model_folder.save(output, pruned, manifest.model, settings, manifest.step, training)

        # Its results name its fingerprint.
        pruned.fingerprint = saved.fingerprint
        after = _size(pruned, saved, on)
        if on is not None and after.evaluation:
            results = {", ".join(on.sources): after.evaluation.to_dict()}
            saved = model_folder.save_results(output, saved, results, training)
        card.write(output, saved, pruned.tokenizer)
        return Reduction(str(output), before, after, threshold)


def _check(limits: Limits, counted: Text | None) -> None:
    """Refuse limits that are wrong, or contradict each other."""
    if limits == Limits():
        raise UsageError(
            "no limits are given",
            hint="give --threshold, --ngrams, --cutoffs, --max-order, --max-vocab or --vocab",
        )
    threshold = limits.threshold
    if threshold is not None and limits.ngrams is not None:
        raise UsageError(
            "a threshold and a number of n-grams contradict each other", hint="give one of them"
        )
    if threshold is not None and not (math.isfinite(threshold) and threshold >= 0):
        raise UsageError(
            f"threshold {threshold} is not valid",
            "it is a relative change of perplexity, such as 1e-8",
        )
    if (limits.cutoffs is None) != (counted is None):
        raise UsageError(
            "cut-offs need a text to count, and the other way round",
            "a model holds no counts",
            "give --cutoffs and --counts TEXT",
        )
    if limits.max_order is not None and limits.max_order < 1:
        raise UsageError(f"order {limits.max_order} is not valid", "the lowest is 1")
    if limits.max_vocab is not None and limits.max_vocab < SMALLEST_VOCABULARY:
        raise UsageError(
            f"a vocabulary of {limits.max_vocab} is too small",
            "it holds at least </s>, <unk> and a word",
        )


def _pruned(
    model: NgramModel, limits: Limits, counted: Text | None
) -> tuple[NgramModel, float | None]:
    """Return what the limits leave of `model`, and the threshold of entropy pruning."""
    # Words, orders and counts first: each leaves less to what follows.
    if limits.max_vocab is not None or limits.vocab is not None:
        model = _with_fewer_words(model, limits)
    if limits.max_order is not None and limits.max_order < model.order:
        model = pruning.by_order(model, limits.max_order)
    if counted is not None and limits.cutoffs is not None:
        thresholds = pruning_thresholds(limits.cutoffs, model.order, "cutoffs")
        ids = counted.encode(model.tokenizer).ids
        counts = list(count(ids, model.tokenizer.boundary_id, model.size, model.order))
        model = pruning.by_count(model, counts, thresholds)

    # Then by entropy, to a threshold or to a size.
    if limits.threshold is None and limits.ngrams is None:
        return model, None
    if model.unseen_context_logprob:
        raise UsageError(
            "stupid backoff cannot be pruned by entropy",
            "its scores are not probabilities",
            "give --cutoffs and --counts TEXT",
        )
    if limits.threshold is not None:
        return pruning.by_entropy(model, limits.threshold), limits.threshold
    assert limits.ngrams is not None
    if limits.ngrams < len(model.values[0]):
        raise UsageError(
            f"{limits.ngrams:,} n-grams are too few",
            f"unigrams are never pruned, and there are {len(model.values[0]):,}",
            "ask for more, or limit the vocabulary: --max-vocab",
        )
    return pruning.to_size(model, limits.ngrams)


def _with_fewer_words(model: NgramModel, limits: Limits) -> NgramModel:
    """Limit the vocabulary to the words of a file, to the most frequent ones, or both."""
    if model.tokenizer.name != WordTokenizer.name:
        raise UsageError(
            f"the vocabulary of a {model.tokenizer.name} tokenizer cannot be limited",
            "only words can be left out as a whole",
        )
    tokenizer = cast(WordTokenizer, model.tokenizer)
    kept_V = np.ones(tokenizer.size, dtype=bool)
    if limits.vocab is not None:
        kept_V &= _listed(tokenizer, limits.vocab)
    if limits.max_vocab is not None:
        kept_V &= _most_frequent(model, tokenizer, kept_V, limits.max_vocab)
    return pruning.by_vocabulary(model, kept_V, _limited(tokenizer, kept_V))


def _listed(tokenizer: WordTokenizer, file: str) -> np.ndarray:
    """Mark the words that are in a file; the special symbols always are."""
    words = Corpus((file,), TextSettings(special_symbols="drop")).encode(tokenizer)
    if len(words.oov):
        notice(f"{len(words.oov):,} words of {file} are not in the model: they stay unknown")
    listed_V = np.zeros(tokenizer.size, dtype=bool)
    listed_V[words.ids] = True
    listed_V[[tokenizer.boundary_id, tokenizer.unk_id]] = True
    return listed_V


def _most_frequent(
    model: NgramModel, tokenizer: WordTokenizer, kept_V: np.ndarray, size: int
) -> np.ndarray:
    """Mark the `size` most frequent of the words kept, the special symbols among them."""
    if tokenizer.counts_V is not None:
        frequency_V = tokenizer.counts_V
    else:
        frequency_V = model.values[0][: tokenizer.size, 0]
        notice("the model has no word counts: the most probable words are kept")

    # Words left out come last, the special symbols first; ties are broken by id.
    frequency_V = np.where(kept_V, frequency_V.astype(np.float64), -np.inf)
    frequency_V[[tokenizer.boundary_id, tokenizer.unk_id]] = np.inf
    chosen_V = np.zeros(tokenizer.size, dtype=bool)
    chosen_V[np.argsort(-frequency_V, kind="stable")[:size]] = True
    return chosen_V


def _limited(tokenizer: WordTokenizer, kept_V: np.ndarray) -> WordTokenizer:
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


def _size(model: NgramModel, manifest: model_folder.Manifest, on: Text | None) -> Size:
    """Measure a model, and evaluate it on a text if there is one."""
    evaluation = None if on is None else evaluate(model, on)
    file_bytes = sum(entry.bytes for entry in manifest.files.values())
    return Size(tuple(_ngrams(model)), model.size, file_bytes, evaluation)
