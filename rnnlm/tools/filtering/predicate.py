"""`rnnlm.filter`: the rule of a filter as a function of rows, for data sets in Python."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from rnnlm.errors import ArgumentTypeError, TextError, given, nearest
from rnnlm.interface import LanguageModel
from rnnlm.lm.base.loading import language_model_of
from rnnlm.storage.files.tables import is_gap
from rnnlm.tools.filtering.judging import Documents, Judge, Verdicts, difference_unit
from rnnlm.tools.filtering.settings import AGAINST, FilterRule, FilterSettings, rule_of
from rnnlm.tools.filtering.shards import added_columns

Row = Mapping[str, object]


class TextFilter:
    """A function that decides which rows to keep; :func:`rnnlm.filter` makes it.

    `dataset.filter(keep)` and `dataset.filter(keep, batched=True, num_proc=4)` take it. It pickles
    as the folders of its models and their fingerprints, so that processes load them, and so that
    `datasets` recognises the result of an earlier call.

    Args:
        models: Models by language, or a single model.
        rule: Which rows to keep.
        column: Column of the text.
        perplexity_column: Column for the perplexity in the result of `columns`.
    """

    def __init__(
        self,
        models: Mapping[str, LanguageModel],
        rule: FilterRule,
        column: str,
        perplexity_column: str,
    ) -> None:
        self.models = dict(models)
        self.rule = rule
        self.column = column
        self.perplexity_column = perplexity_column

    def __repr__(self) -> str:
        return f"<filter of {self.column}: {', '.join(self.rule.kept)}>"

    @overload
    def __call__(self, row: Row) -> bool | list[bool]: ...

    @overload
    def __call__(self, row: str) -> bool: ...

    def __call__(self, row: Row | str) -> bool | list[bool]:
        """Return whether a row is kept; for a batch, whose columns are lists, whether each of its
        rows is. A text alone is a row, too.

        Raises:
            TextError: there is no such column, or it holds something else than text.
        """
        verdicts, is_one = self._judged(row)
        kept = [self.rule.groups.index(name) for name in self.rule.kept]
        is_kept = np.isin(verdicts.group_D, kept).tolist()
        return is_kept[0] if is_one else is_kept

    def columns(self, row: Row | str) -> dict[str, object]:
        """Return the columns that `rnnlm filter` adds, for `dataset.map(keep.columns)`: the
        perplexity, and the bucket or language; None if a row has none.

        Args:
            row: A row, a batch whose columns are lists, or a text alone.

        Raises:
            TextError: As for a call.
        """
        verdicts, is_one = self._judged(row)
        added = added_columns(verdicts, self.rule, self.perplexity_column)
        return {name: values[0] if is_one else values for name, values in added.items()}

    def _judged(self, row: Row | str) -> tuple[Verdicts, bool]:
        """Return the verdicts on a row or a batch, and whether it is a row."""
        if isinstance(row, str):
            row = {self.column: row}
        if not isinstance(row, Mapping):
            raise ArgumentTypeError(f"a row must be a mapping of columns, not {given(row)}")
        if self.column not in row:
            raise TextError(f"no column {self.column!r}", hint=nearest(self.column, map(str, row)))

        # One text of a row, or a list of them of a batch.
        value: Any = row[self.column]
        is_one = isinstance(value, str) or is_gap(value)
        if not is_one and not isinstance(value, Sequence):
            raise TextError(f"column {self.column!r} holds {given(value)}, not text")
        texts = [None if is_gap(text) else text for text in ([value] if is_one else value)]
        for text in texts:
            if text is not None and not isinstance(text, str):
                raise TextError(f"column {self.column!r} holds {given(text)}, not text")
        return Judge(self.models, self.rule)(Documents.of_texts(texts, "replace")), is_one


def filter(
    model: LanguageModel | str | Path | Mapping[str, LanguageModel | str | Path],
    *,
    column: str = "text",
    min_perplexity: float | None = None,
    max_perplexity: float | None = None,
    against: LanguageModel | str | Path | None = None,
    max_difference: float | None = None,
    cutoffs: tuple[float, float] | None = None,
    min_probability: float = 0.5,
    keep: Sequence[str] | str | None = None,
    perplexity_column: str = "perplexity",
    bucket_column: str = "bucket",
    language_column: str = "language",
) -> TextFilter:
    """Return a function that decides which rows of a data set to keep, as `rnnlm filter` does.

        keep = rnnlm.filter("my-5gram", max_perplexity=500)
        dataset = dataset.filter(keep, batched=True)

    Rows without words are dropped.

    Args:
        model: A language model or its name, or several character models by language, of which the
            likeliest language is chosen.
        column: Column of the text.
        min_perplexity: Drop rows below this perplexity, or assign them to no language.
        max_perplexity: Drop rows above this perplexity, or assign them to no language.
        against: A general model. None: there is none.
        max_difference: Drop rows whose bits per token (per byte if the tokenizers differ) exceed
            those of the general model by more (Moore & Lewis 2010).
        cutoffs: Perplexities at which the buckets head and middle end.
        min_probability: Assign a row to no language if the likeliest one has a lower probability.
        keep: Buckets (head, middle, tail) or languages ("none" is one). None: all buckets, or all
            languages but "none".
        perplexity_column: Column for the perplexity, in the result of the method `columns`.
        bucket_column: Column for the bucket, in the same result.
        language_column: Column for the language, in the same result.

    Raises:
        UsageError: The arguments contradict each other, or the models cannot tell languages apart.
        ModelError: The model does not exist.
    """
    models = dict(model) if isinstance(model, Mapping) else {"": model}
    languages = tuple(models) if isinstance(model, Mapping) else ()
    if isinstance(keep, str):
        keep = (keep,)
    if keep is None and languages:
        keep = languages
    settings = FilterSettings(
        cutoffs=None if cutoffs is None else tuple(cutoffs),
        min_perplexity=min_perplexity,
        max_perplexity=max_perplexity,
        min_probability=min_probability,
        max_difference=max_difference,
        keep=None if keep is None else tuple(keep),
        perplexity_column=perplexity_column,
        bucket_column=bucket_column,
        language_column=language_column,
    )
    rule = rule_of(settings, languages, cutoffs is not None, against is not None)
    if against is not None:
        models[AGAINST] = against
    loaded = {label: language_model_of(model) for label, model in models.items()}
    Judge(loaded, rule)  # which checks that they fit
    difference_unit(loaded, rule, tell=True)
    return TextFilter(loaded, rule, column, perplexity_column)
