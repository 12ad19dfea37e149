"""Score sentences with several models; write their scores as JSON-lines and tables of tab- or
comma-separated values, and count them while they are written."""

import contextlib
import functools
import itertools
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from types import NoneType
from typing import Any, NamedTuple, cast

from rnnlm.amounts import plural
from rnnlm.errors import RnnlmWarning, UsageError, keyword, notice, visible
from rnnlm.evaluation import plotting
from rnnlm.evaluation.perplexity import Signature
from rnnlm.events import never
from rnnlm.interface import LanguageModel
from rnnlm.lm.base.loading import NamedModel, load_all
from rnnlm.parallel import process_pool
from rnnlm.scoring.rows import RowLayout, record
from rnnlm.scoring.scorer import (
    SentenceScorer,
    check_settings,
    chunks_of,
    is_utf8,
    lines_per_chunk,
    signature_before,
)
from rnnlm.scoring.sentence_scores import ChunkScores, SentenceScore, by_sentence
from rnnlm.scoring.sentences import Sentence
from rnnlm.scoring.settings import ScoringSettings
from rnnlm.storage.files.file_types import legacy_encoding
from rnnlm.storage.files.reading import SAMPLE_BYTES
from rnnlm.storage.files.resuming import settings_identity
from rnnlm.storage.files.tables import cell_text, in_json, json_text, quoted
from rnnlm.system import one_processor
from rnnlm.text.lines import Progress, prefixed, silent
from rnnlm.text.unknown_words import UnknownWords


@dataclass(frozen=True)
class ModelsChunk:
    """Sentences that several models have read, as a sequence of their scores by model."""

    sentences: list[Sentence]
    scores: dict[str, ChunkScores]  # by model
    signature: dict[str, Signature]

    def __iter__(self) -> Iterator[dict[str, SentenceScore]]:
        return by_sentence(self.scores)

    def __len__(self) -> int:
        return len(next(iter(self.scores.values())))


def score_chunks_of_models(
    models: Mapping[str, LanguageModel],
    sentences: Iterable[Sentence],
    settings: ScoringSettings = ScoringSettings(),
    waits: Callable[[], bool] = never,
    report: Progress = silent,
) -> Iterator[ModelsChunk]:
    """Yield the scores of `sentences` by several models, chunk by chunk. Each model reads a chunk
    before the next one is taken, so that no more than a chunk is held. A chunk ends where `waits`
    tells that the next sentence has to be waited for. `report` is called with how far a model is in
    a chunk with a long line."""
    scorers = scorers_of(models, settings, report)
    yield from _scored(scorers, chunks_of(sentences, _most_lines(models, settings), waits))


def _scored(
    scorers: Mapping[str, SentenceScorer], parts: Iterable[list[Sentence]]
) -> Iterator[ModelsChunk]:
    for part in parts:
        chunks = {name: scorer.chunk(part) for name, scorer in scorers.items()}
        scores = {name: cast(ChunkScores, chunk.scores) for name, chunk in chunks.items()}
        signature = {name: chunk.signature for name, chunk in chunks.items()}
        yield ModelsChunk(part, scores, signature)
    for scorer in scorers.values():
        scorer.tell()


def _most_lines(models: Mapping[str, LanguageModel], settings: ScoringSettings) -> int:
    """Return how many sentences the models read together."""
    return min(lines_per_chunk(model, settings) for model in models.values())


def scorers_of(
    models: Mapping[str, LanguageModel], settings: ScoringSettings, report: Progress = silent
) -> dict[str, SentenceScorer]:
    """Return what scores by each model. Refuse settings that contradict a model."""
    if not models:
        raise UsageError("no model to score with", hint="name at least one")
    called = dict(zip(models, models if len(models) > 1 else ["the model"], strict=True))

    # The first model reports unseen marks for all of them, in one notice.
    unseen_by = {called[name]: model.tokenizer for name, model in models.items()}
    scorers = {}
    for name, model in models.items():
        of_model = prefixed(report, called[name])
        scorers[name] = SentenceScorer(model, settings, called[name], unseen_by, of_model)
        unseen_by = {}
    return scorers


# ---- The same in several processes.


@dataclass(frozen=True)
class ScoringSetup:
    """What all workers of a run share. write: makes the scores of sentences into what is returned
    from the worker, as scores themselves would take long to send."""

    models: tuple[NamedModel, ...]
    device: str
    settings: ScoringSettings
    write: Callable[[ModelsChunk], Any]


class WrittenChunk(NamedTuple):
    """Sentences whose scores were written. written: what `write` makes of them; None if they were
    skipped."""

    sentences: int
    written: Any
    signature: dict[str, Signature]


def written_chunks(
    models: Mapping[str, LanguageModel],
    sentences: Iterable[Sentence],
    setup: ScoringSetup,
    workers: int = 1,
    skip: int = 0,
    report: Progress = silent,
) -> Iterator[WrittenChunk]:
    """Yield the written scores of `sentences`, chunk by chunk, as :func:`score_chunks_of_models`
    yields the scores: from this process, or from several `workers`. The first `skip` sentences were
    scored before."""
    settings = setup.settings
    if workers > 1 and settings.context == "carry":
        raise UsageError(
            "sentences that are one stream cannot be scored side by side",
            "context is carry",
            "leave out " + keyword("workers"),
        )
    scorers = scorers_of(models, settings, report)
    most_lines = _most_lines(models, settings)

    def passed_over(part: list[Sentence]) -> dict[str, Signature]:
        return {name: scorer.pass_over(part) for name, scorer in scorers.items()}

    sentences = iter(sentences)
    for part in chunks_of(itertools.islice(sentences, skip), most_lines):
        yield WrittenChunk(0, None, passed_over(part))
    parts = chunks_of(sentences, most_lines)
    if workers == 1:
        for chunk in _scored(scorers, parts):
            yield WrittenChunk(len(chunk), setup.write(chunk), chunk.signature)
        return

    def tasks() -> Iterator[tuple[list[tuple], dict[str, Signature]]]:
        # Columns are sent faster than sentences.
        for part in parts:
            yield list(zip(*map(_FIELDS, part), strict=True)), passed_over(part)

    with process_pool(workers) as pool:
        for done in pool.run(functools.partial(_written, setup), tasks(), "in turn"):
            if done is None:
                continue
            (columns, signature), (written, unknown) = done
            for scorer, of_model in zip(scorers.values(), unknown, strict=True):
                scorer.add_unknown(*of_model)
            yield WrittenChunk(len(columns[0]), written, signature)

    for scorer in scorers.values():
        scorer.tell()


_FIELDS = attrgetter(*(field.name for field in fields(Sentence)))


def _written(
    setup: ScoringSetup, task: tuple[list[tuple], dict[str, Signature]]
) -> tuple[Any, list[tuple[dict[str, None], UnknownWords]]]:
    """In a worker: score sentences, and return what is written, and the unknown words by model."""
    columns, signature = task
    part = list(map(Sentence, *columns))
    # The parent gives the same notices.
    ignored = warnings.catch_warnings(action="ignore", category=RnnlmWarning)
    with ignored, one_processor():
        scorers = _scorers_here(setup.models, setup.device, setup.settings)
        scores = {name: scorer.scores(part) for name, scorer in scorers.items()}
        written = setup.write(ModelsChunk(part, scores, signature))
    return written, [scorer.take_unknown() for scorer in scorers.values()]


@functools.lru_cache(maxsize=1)
def _scorers_here(
    models: tuple[NamedModel, ...], device: str, settings: ScoringSettings
) -> dict[str, SentenceScorer]:
    loaded = load_all(models, device)
    return scorers_of({of.label: model for of, model in zip(models, loaded, strict=True)}, settings)


def describe_run_of_models(
    models: Mapping[str, LanguageModel], settings: ScoringSettings
) -> dict[str, str]:
    """Return the identity of a run of scoring, by name: the settings, the facts that the models
    share, and each one's own facts with its name after them."""
    for model in models.values():
        check_settings(model, settings)
    identity = settings_identity(settings)
    if len(models) > 1:
        identity["models"] = ", ".join(models)
    for fact in ("model", "adapt", "prec", "tok"):
        values = [getattr(signature_before(model, settings), fact) for model in models.values()]
        if len({*values}) == 1:
            identity[fact] = values[0]
        else:
            names = [f"{fact}.{name}" for name in models]
            identity |= dict(zip(names, values, strict=True))
    return identity


# ---- Scores for other programs: a table has a line for each sentence, token, word or region. A
# missing number is an empty cell; the last column says why.

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
            keys = [json_text(in_json(name)).replace("%", "%%") for name in table]
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
                lines += [json_text(of_model | of_score) + "\n" for of_score in records]
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
        f"[{', '.join(map(json_text, value))}]" if type(value) is tuple else json_text(value)
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
    return [quoted(text, delimiter) for text in texts]


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
        for sentence, of_models in zip(chunk.sentences, reasons, strict=True):
            if any(of_models) and not is_utf8(sentence):
                self.not_utf8 += 1
                texts = f"{sentence.given} {sentence.source or ''} {sentence.text}\n"
                with contextlib.suppress(UnicodeEncodeError):  # half a character, from JSON
                    self.sample += texts.encode("utf-8", "surrogateescape")[:SAMPLE_BYTES]


@dataclass(frozen=True)
class Writer:
    """Makes scores into what a file takes: text, or, where `form` is None, columns."""

    layout: RowLayout
    form: TextForm | None

    def __call__(self, chunk: ModelsChunk) -> tuple[Any, Tally]:
        """Return the written scores of a chunk, and their counts."""
        tally = Tally()
        tally.observe(chunk)
        return self.form.text(chunk) if self.form else self.layout.table(chunk.scores), tally
