"""Write scores for other programs, as JSON-lines and tables of tab- or comma-separated values, and
count them while they are written.

A table has a line for each sentence, or with surprisals a line for each of its tokens, words or
regions. A number that is missing is an empty cell, and the last column says why.
"""

import contextlib
import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rnnlm.amounts import plural
from rnnlm.errors import notice, visible
from rnnlm.evaluation import plotting
from rnnlm.scoring.rows import RowLayout, record
from rnnlm.scoring.scorer import is_utf8
from rnnlm.scoring.sentence_scores import SentenceScore
from rnnlm.scoring.settings import ScoringSettings
from rnnlm.scoring.several_models import ModelsChunk
from rnnlm.storage.files import tables
from rnnlm.storage.files.first_bytes import legacy_encoding
from rnnlm.storage.files.reading import SAMPLE_BYTES
from rnnlm.storage.files.tables import cell_text

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
        return "" if self.name == "jsonl" else self._lines([self.layout.columns])

    def text(self, scores: Scores) -> str:
        """Return the scores of a sentence."""
        if self.name == "jsonl":
            lines = []
            for model, score in scores.items():
                of_model = {"model": model} if self.layout.with_model else {}
                records = [record(score, self.settings, self.layout.with_probability)]
                if score.by_word:
                    records = list(map(tables.in_json, self.layout.rows({model: score})))
                lines += [tables.json_text(of_model | of_score) + "\n" for of_score in records]
            return "".join(lines)
        return self._lines(row.values() for row in self.layout.rows(scores))

    def _lines(self, rows: Iterable[Iterable[object]]) -> str:
        if self.name == "csv":
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(map(_cell, row) for row in rows)
            return text.getvalue()
        return "".join("\t".join(map(tables.quoted, map(_cell, row))) + "\n" for row in rows)


def _cell(value: object) -> str:
    """Return a value as a cell, with control characters escaped, except tabs and line ends: it may
    end up on a terminal."""
    if type(value) is float or type(value) is int:
        return repr(value)
    text = value if type(value) is str else cell_text(value)
    return text if text.isascii() and text.isprintable() else visible(text, kept="\t\n")


# ---- The scores as a picture.

MOST_BARS, LONGEST_SENTENCE = 30, 32  # that are drawn; characters of a name


def scores_figure(scores: Sequence[Scores], probabilities: bool) -> "plotting.Figure":
    """Draw the log-probability of each sentence by each model, or its probability, the first
    sentence on top; a notice says so where there is no room for all."""
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
    figure, axes = plotting.new_figure("", what, "", height=height)
    plotting.draw_bars(axes, names, series, form)
    if len(series) > 1:
        plotting.legend_below(figure, axes)
    return figure


# ---- The counts.


@dataclass
class Tally:
    """Counts of sentences over scores."""

    without_score: Counter[str] = field(default_factory=Counter)  # by model
    with_words: int = 0  # they can be read
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

    def observe(self, chunk: ModelsChunk) -> None:
        """Count the sentences of a chunk."""
        for sentence, scores in zip(chunk.sentences, chunk, strict=False):  # or it was skipped
            self.with_words += any(score.is_read and score.words for score in scores.values())
            has_reason = any(score.reason for score in scores.values())
            if has_reason and not is_utf8(sentence):
                self.not_utf8 += 1
                texts = f"{sentence.given} {sentence.source or ''} {sentence.text}\n"
                with contextlib.suppress(UnicodeEncodeError):  # half a character, from JSON
                    self.sample += texts.encode("utf-8", "surrogateescape")[:SAMPLE_BYTES]
            for name, score in scores.items():
                if score.logprob_nats is None:
                    self.without_score[name] += 1
                if self.first_reason is None and not score.is_read:
                    self.first_reason = score.reason
