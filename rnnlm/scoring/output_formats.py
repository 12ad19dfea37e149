"""Write scores for other programs, as JSON-lines and tables of tab- or comma-separated values, and
count them while they are written.

A table has a line for each sentence, or with surprisals a line for each of its tokens, words or
regions. A number that is missing is an empty cell, and the last column says why.
"""

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any

from rnnlm.amounts import plural
from rnnlm.errors import notice, visible
from rnnlm.evaluation import plotting
from rnnlm.scoring.rows import RowLayout, record
from rnnlm.scoring.scorer import is_utf8
from rnnlm.scoring.sentence_scores import SentenceScore
from rnnlm.scoring.settings import ScoringSettings
from rnnlm.scoring.several_models import ModelsChunk
from rnnlm.storage.files import tables
from rnnlm.storage.files.file_types import legacy_encoding
from rnnlm.storage.files.reading import SAMPLE_BYTES
from rnnlm.storage.files.tables import cell_text, in_json

Scores = Mapping[str, SentenceScore]  # of one sentence, by model


@dataclass(frozen=True)
class TextForm:
    """A text format of scores."""

    name: str  # jsonl, tsv or csv
    settings: ScoringSettings
    layout: RowLayout  # makes rows of a table

    @property
    def header(self) -> str:
        """The part before all scores."""
        return "" if self.name == "jsonl" else self._lines([[name] for name in self.layout.columns])

    def text(self, chunk: ModelsChunk) -> str:
        """Return the scores of some sentences."""
        if self.name == "jsonl":
            return self._json_lines(chunk)
        return self._lines(self.layout.table(chunk.scores).values())

    def _json_lines(self, chunk: ModelsChunk) -> str:
        # Rows that could not be read lack the columns that sentences carry.
        has_columns = all(
            len(sentence.columns) == len(self.layout.carried) for sentence in chunk.sentences
        )
        if self.layout.by == "sentence" and has_columns:
            table = self.layout.sentences(chunk.scores)
            for name in self.layout.carried:
                table[name] = list(map(in_json, table[name]))
            keys = [tables.json_text(in_json(name)).replace("%", "%%") for name in table]
            line = "{" + ", ".join(f"{key}: %s" for key in keys) + "}\n"
            columns = map(_json_cells, table.values())
            return "".join([line % row for row in zip(*columns, strict=True)])

        lines = []
        for by_model in chunk:
            for model, score in by_model.items():
                of_model = {"model": model} if self.layout.with_model else {}
                records = [record(score, self.settings, self.layout.with_probability)]
                if score.by_word:
                    records = list(map(in_json, self.layout.rows({model: score})))
                lines += [tables.json_text(of_model | of_score) + "\n" for of_score in records]
        return "".join(lines)

    def _lines(self, table: Iterable[Sequence[object]]) -> str:
        """Return the rows of a table, which is given by its columns."""
        delimiter = "," if self.name == "csv" else "\t"
        columns = [_cells(values, delimiter) for values in table]
        return "".join([delimiter.join(row) + "\n" for row in zip(*columns, strict=True)])


def _json_cells(values: Sequence[object]) -> list[str]:
    """Return the values of a column in JSON."""
    if _are_numbers(values):
        return ["null" if value is None else repr(value) for value in values]
    # An encoder takes longer for a list than for the texts in it.
    return [
        f"[{', '.join(map(tables.json_text, value))}]"
        if type(value) is tuple
        else tables.json_text(value)
        for value in values
    ]


def _are_numbers(values: Sequence[object]) -> bool:
    """Return whether a column holds numbers, or nothing: what its cells share need not be asked of
    each."""
    return {*map(type, values)} <= {int, float, NoneType}


def _cells(values: Sequence[object], delimiter: str) -> list[str]:
    """Return the values of a column as cells, with control characters escaped, except tabs and line
    ends: they may end up on a terminal."""
    if _are_numbers(values):
        return ["" if value is None else repr(value) for value in values]
    texts = [value if type(value) is str else cell_text(value) for value in values]
    together = "".join(texts)
    if not together.isascii() or not together.isprintable():
        texts = [visible(text, kept="\t\n") for text in texts]
    elif delimiter not in together and '"' not in together:
        return texts
    return [tables.quoted(text, delimiter) for text in texts]


# ---- The scores as a picture.

MOST_BARS, LONGEST_SENTENCE = 30, 32  # that are drawn; characters of a name


def scores_figure(
    scores: Sequence[Scores], probabilities: bool, given: str = ""
) -> "plotting.Figure":
    """Draw the log-probability of each sentence by each model, or its probability, the first
    sentence on top; a notice says so where there is no room for all. given: the text before all of
    them, which the title says."""
    shown = scores[: max(1, MOST_BARS // len(scores[0]))]
    if len(shown) < len(scores):
        notice(f"the plot shows the first {plural(len(shown), 'sentence')} of {len(scores):,}")
    name, what, form = "logprob_nats", "log-probability (nats)", ".1f"
    if probabilities:
        name, what, form = "probability", "probability", ".2g"
    series = {
        plotting.short_name(model): [getattr(by_model[model], name) for by_model in shown]
        for model in scores[0]
    }
    # Of a sentence that is cut, its end is shown: beginnings are often the same.
    texts = [next(iter(by_model.values())).text for by_model in shown]
    names = [plotting.short_name(text, LONGEST_SENTENCE) for text in texts]
    height = max(2.0, 1.2 + 0.2 * len(names) * (len(series) + 0.6))
    title = f'after "{plotting.short_name(given, LONGEST_SENTENCE)}"' if given else ""
    figure, axes = plotting.new_figure(title, what, "", height=height)
    plotting.draw_bars(axes, names, series, form)
    if len(series) > 1:
        plotting.legend_below(figure, axes)
    return figure


# ---- The counts.


@dataclass
class Tally:
    """Counts of sentences over scores."""

    without_score: Counter[str] = field(default_factory=Counter)  # by model
    has_words: bool = False  # any that can be read
    not_utf8: int = 0
    first_reason: str | None = None  # why the first unreadable sentence cannot be read
    # Of the sentences that are not UTF-8, by which their encoding is recognised
    sample: bytes = b""

    @property
    def not_utf8_in_words(self) -> str:
        """The lines that are not UTF-8 and their encoding, in words."""
        fits = legacy_encoding(self.sample)
        lines = plural(self.not_utf8, "line is", "lines are")
        return f"{lines} not UTF-8" + (f", but probably {fits}" if fits else "")

    def join(self, other: "Tally") -> None:
        """Add the counts of other sentences, which come later."""
        self.without_score += other.without_score
        self.has_words = self.has_words or other.has_words
        self.not_utf8 += other.not_utf8
        self.sample += other.sample
        self.first_reason = self.first_reason or other.first_reason

    def observe(self, chunk: ModelsChunk) -> None:
        """Count the sentences of a chunk."""
        for name, scores in chunk.scores.items():
            self.has_words = self.has_words or any(scores.totals["words"])
            without = len(scores) - scores.totals["reason"].count(None)
            if without:
                self.without_score[name] += without
            if self.first_reason is None:
                self.first_reason = next(filter(None, scores.reasons), None)
        # Only few sentences have reasons.
        reasons = zip(*(scores.totals["reason"] for scores in chunk.scores.values()), strict=True)
        for sentence, of_models in zip(chunk.sentences, reasons, strict=False):  # or it was skipped
            if any(of_models) and not is_utf8(sentence):
                self.not_utf8 += 1
                texts = f"{sentence.given} {sentence.source or ''} {sentence.text}\n"
                with contextlib.suppress(UnicodeEncodeError):  # half a character, from JSON
                    self.sample += texts.encode("utf-8", "surrogateescape")[:SAMPLE_BYTES]


@dataclass(frozen=True)
class Writer:
    """Makes scores into what a file takes: text, or for Parquet, where `form` is None, columns."""

    layout: RowLayout
    form: TextForm | None

    def __call__(self, chunk: ModelsChunk) -> tuple[Any, Tally]:
        """Return the written scores of a chunk, and their counts."""
        tally = Tally()
        tally.observe(chunk)
        return self.form.text(chunk) if self.form else self.layout.table(chunk.scores), tally
