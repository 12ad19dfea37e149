"""What `rnnlm doctor` asks of a model of labels: probabilities that sum to one, and the same answer alone and in any company.

It is asked about made-up sentences: words of its vocabulary, or of its tokens, drawn at random.
"""

from collections.abc import Iterator

import numpy as np

from rnnlm.evaluation.soundness import TOLERANCE, Check
from rnnlm.interface import BOUNDARY, UNKNOWN, Tokenizer
from rnnlm.tasks.codec import MULTI, WORD, LabelColumn
from rnnlm.tasks.model import TaskModel
from rnnlm.tasks.prediction import ColumnPrediction, Prediction, Search, predict
from rnnlm.text.labelled import schemes

SENTENCES, LONGEST, LONGEST_WORD = 32, 20, 6
_SEARCH = Search(probabilities=True)


def checks(model: TaskModel, sample: int | None, seed: int) -> Iterator[Check]:
    """The checks of a model whose arrays are whole. sample: how many sentences are made up."""
    texts = _texts(model.codec.tokenizer, sample or SENTENCES, np.random.default_rng(seed))
    together = predict(model, texts, _SEARCH)
    yield Check("labels", "ok", "; ".join(f"{len(each.symbols):,} of {each.name}" for each in model.codec.columns))
    yield _sums(model, together)
    if any(_has_spans(model, column) for column in model.codec.columns):
        yield _spans(model, together)
    yield _padding(model, texts, together)


def _texts(tokenizer: Tokenizer, count: int, generator: np.random.Generator) -> list[list[str]]:
    """So many sentences of different lengths."""
    pieces = [each for each in tokenizer.symbols() if each not in (BOUNDARY, UNKNOWN) and len(each.split()) == 1] or ["a"]
    lengths = 1 + np.arange(count) % LONGEST
    if tokenizer.name == "word":
        return [[pieces[each] for each in generator.integers(len(pieces), size=length)] for length in lengths]
    sizes = [generator.integers(1, LONGEST_WORD + 1, size=length) for length in lengths]
    return [["".join(pieces[each] for each in generator.integers(len(pieces), size=size)) for size in row] for row in sizes]


def _sums(model: TaskModel, found: list[Prediction]) -> Check:
    """The sum of the probabilities of labels that is farthest from one; where a text has any number of labels, what is no probability."""
    worst, asked = 0.0, 0
    for number, column in enumerate(model.codec.columns):
        p_NK = np.concatenate([_p(each[number]) for each in found]).astype(np.float64)
        beyond = np.abs(np.clip(p_NK, 0, 1) - p_NK).max() if column.form == MULTI else np.abs(p_NK.sum(axis=1) - 1).max()
        worst, asked = max(worst, float(np.nan_to_num(beyond, nan=np.inf))), asked + len(p_NK)
    detail = f"probabilities of {asked:,} labels of {len(found)} random sentences: farthest from 1 by {worst:.1e}"
    return Check("sums", "ok" if worst <= TOLERANCE else "failed", detail)


def _has_spans(model: TaskModel, column: LabelColumn) -> bool:
    return column.level == WORD and column.scheme != schemes.NONE and model.is_constrained


def _spans(model: TaskModel, found: list[Prediction]) -> Check:
    """Whether the labels of spans keep to their scheme."""
    for number, column in enumerate(model.codec.columns):
        if not _has_spans(model, column):
            continue
        for each in found:
            labels = each[number].best[0].labels
            if tuple(schemes.convert(labels, column.scheme, column.scheme)) != labels:
                return Check("spans", "failed", f"{column.name}: {' '.join(labels)} is not in {column.scheme}")
    return Check("spans", "ok", f"the labels of {len(found)} random sentences keep to their scheme")


def _padding(model: TaskModel, texts: list[list[str]], together: list[Prediction]) -> Check:
    """By how much the probabilities of a sentence change if it is read alone."""
    worst = 0.0
    for text, before in zip(texts, together, strict=True):
        [alone] = predict(model, [text], _SEARCH)
        differences = [np.abs(_p(one) - _p(other)).max() for one, other in zip(alone, before, strict=True)]
        worst = max(worst, float(np.nan_to_num(max(differences), nan=np.inf)))
    detail = f"probabilities of a sentence alone and among others differ by {worst:.1e} at most"
    return Check("padding", "ok" if worst <= TOLERANCE else "failed", detail)


def _p(found: ColumnPrediction) -> np.ndarray:
    assert found.p_TK is not None  # they were asked for
    return found.p_TK
