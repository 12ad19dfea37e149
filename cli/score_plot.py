"""The plot of `rnnlm score --plot`: the surprisals of the first sentences that are scored."""

import dataclasses
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rnnlm.errors import RnnlmWarning


def keeping(sentences: Iterator[Any], plot: Path | None) -> tuple[Iterator[Any], list[Any]]:
    """All of `sentences`, and a list that holds the first of them, as many as the plot needs to know, as soon as they are read."""
    kept: list[Any] = []
    return (_keeping(sentences, kept), kept) if plot else (sentences, kept)


def _keeping(sentences: Iterator[Any], kept: list[Any]) -> Iterator[Any]:
    from rnnlm.scoring.plots import MOST_SENTENCES

    for sentence in sentences:
        if len(kept) <= MOST_SENTENCES:  # one more than it shows
            kept.append(sentence)
        yield sentence


def draw(path: Path, models: dict[str, Any], kept: list[Any], settings: Any) -> None:
    """Plot the sentences that were kept. They are scored once more: a run that goes on where another one stopped has only the rest."""
    from rnnlm.scoring.plots import plot_surprisals
    from rnnlm.scoring.several_models import score_chunks_of_models

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RnnlmWarning)  # it was said before
        chunks = list(score_chunks_of_models(models, kept, dataclasses.replace(settings, with_words=True)))
    plot_surprisals([scores for chunk in chunks for scores in chunk], path)
