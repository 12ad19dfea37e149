"""The cloze test (Taylor 1953) for language models: predict the word in a gap.

A model reads only what stands before the gap, so a text is to be written such that this decides the answer; the words behind the
gap are for human readers.
"""

from pathlib import Path

import rnnlm.corpora as corpora
from rnnlm.inspection.cloze.items import read_items
from rnnlm.inspection.cloze.results import Cloze, ModelCloze, figures_of
from rnnlm.inspection.cloze.scoring import score_items
from rnnlm.inspection.subjects import Models, subjects
from rnnlm.interface import Device
from rnnlm.models.loading import SHIPPED

BUNDLED = corpora.part("english", "cloze.tsv")


def inspect_cloze(models: Models = (SHIPPED,), file: str | Path | None = None, *, device: str | Device = "auto") -> Cloze:
    """How high language models rank the answers of a cloze test, from what stands before the gap alone: accuracy among the first 1, 5
    and 10 words with 95 % intervals, median rank and mean surprisal (bits), by distance and by kind.

    Each item is read from the initial state. Words of models of pieces are ranked as whole words; answers that are no word of a
    model's vocabulary count as missed.

    models: a sequence of models or their names, or models by a name for each. file: a table with the columns text (`___` is the gap)
    and answer, and perhaps distance and kind; None: 200 items in the vocabulary of the bundled English.

    Raises:
        TextError: the table cannot be read, lacks a column, or an item is not valid. ModelError: there is no such model, or its scores
            are not numbers. UsageError: a model is no language model, or reads lines from their end. DeviceError: there is no `device`.
    """
    items = read_items(BUNDLED if file is None else file)
    found = []
    for subject in subjects("cloze", models, device):
        scores = score_items(subject.model, items)
        found.append(ModelCloze(subject.name, figures_of(scores), tuple(scores)))
    return Cloze(BUNDLED.name if file is None else str(file), tuple(found))
