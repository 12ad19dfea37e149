"""Write the scores of `rnnlm score`: to standard output, or to a file that grows chunk by chunk."""

import contextlib
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from rnnlm.amounts import plural
from rnnlm.errors import TextError, keyword
from rnnlm.events import never
from rnnlm.lm.base.loading import NamedModel
from rnnlm.scoring.rows import RowLayout, measured_columns, measured_of_tokens, word_cells
from rnnlm.scoring.scorer import signature_before
from rnnlm.scoring.sentence_scores import SentenceScore, likelihood_ratio
from rnnlm.scoring.sentences import Sentence
from rnnlm.scoring.settings import ScoringSettings, SentenceSettings
from rnnlm.scoring.several_models import (
    ModelsChunk,
    Scores,
    ScoringSetup,
    Tally,
    TextForm,
    Writer,
    WrittenChunk,
    describe_run_of_models,
    score_chunks_of_models,
    scores_figure,
    written_chunks,
)
from rnnlm.storage.files import lock
from rnnlm.storage.files.outputs import GrowingFile, owned_file
from rnnlm.storage.files.reading import FEW_LINES, standard_input_waits
from rnnlm.storage.files.resuming import merged, tell_finished
from rnnlm.storage.files.tables import cell_text, save_parquet
from rnnlm.storage.files.workbooks import save_workbook

from .. import terminal
from ..options import save_plot
from ..signals import explaining

WHOLE = ("parquet", "xlsx")  # formats of files that do not grow


@dataclass(frozen=True)
class ScoreRequest:
    """The sentences to score, how they are read and scored, and where the scores go."""

    sentences: tuple[str, ...]  # given as arguments; none: those of `inputs`
    inputs: tuple[str, ...]
    model_names: tuple[str, ...]
    device: str
    scoring: ScoringSettings
    reading: SentenceSettings
    form: str  # table, or a format of files
    output: Path | None  # None: standard output
    plot: Path | None
    overwrite: bool
    probabilities: bool
    is_sorted: bool
    workers: int


def show(
    request: ScoreRequest, models: dict[str, Any], sentences: Iterator[Sentence], layout: RowLayout
) -> None:
    """Print the scores: records as they come, or a table, the likeliest first if it is to be
    sorted; draw the table if there is to be a plot."""
    about = _About(models, request.scoring)
    as_text = None if request.form == "table" else TextForm(request.form, request.scoring, layout)

    # A program that writes line by line gets each answer before it writes the next line. A table is
    # printed as a whole, so that its input can be read in large chunks.
    waits = standard_input_waits if as_text else never
    say = terminal.Progress()
    chunks = score_chunks_of_models(models, sentences, request.scoring, waits=waits, report=say)

    # Records are printed as they come; scores for a table are kept to the end.
    scores: list[Scores] = []
    read = 0
    if as_text:
        click.echo(as_text.header, nl=False)
    for chunk in chunks:
        about.observe(chunk)
        read += len(chunk)
        say(f"{plural(read, 'sentence')} scored")
        if as_text:
            click.echo(as_text.text(chunk), nl=False)
        else:
            scores += chunk
    say.close()

    ranked = bool(request.sentences) or request.is_sorted
    if not as_text:
        show_table(scores, request.scoring, bool(request.inputs), layout, ranked)
    if request.plot:
        in_order = _ranked(scores, next(iter(models))) if ranked else scores
        figure = scores_figure(in_order, request.probabilities, request.reading.given)
        save_plot(figure, request.plot)
    about.say()


def write(
    request: ScoreRequest,
    path: Path,
    models: dict[str, Any],
    sentences: Iterator[Sentence],
    layout: RowLayout,
    identity: dict[str, str],
) -> None:
    """Write the scores to a file, chunk by chunk; after those that an interrupted run of the same
    work has written. Parquet and workbooks are written whole. identity: of the sentences."""
    named = tuple(
        NamedModel.of(short, name, model)
        for name, (short, model) in zip(request.model_names, models.items(), strict=True)
    )
    about = _About(models, request.scoring)
    is_whole = request.form in WHOLE
    writer = Writer(layout, None if is_whole else TextForm(request.form, request.scoring, layout))
    setup = ScoringSetup(named, request.device, request.scoring, writer)
    identity = merged(identity, describe_run_of_models(models, request.scoring))
    score = functools.partial(written_chunks, models, sentences, setup, workers=request.workers)

    is_resumed = False
    with contextlib.ExitStack() as held:
        if is_whole:
            held.enter_context(owned_file(path, request.overwrite))
            say = held.enter_context(terminal.Progress(about=path))
            batches = about.watched(score(report=say), say, "scored")
            if request.form == "parquet":
                save_parquet(path, layout.types, batches)
            else:
                rows = (zip(*batch.values(), strict=True) for batch in batches)
                with_header = itertools.chain([[layout.columns]], rows)
                save_workbook(path, itertools.chain.from_iterable(with_header))
        else:
            # The file grows chunk by chunk: two writers would mix theirs.
            held.enter_context(lock.file_held(path))
            assert writer.form is not None
            file = GrowingFile(path, identity, writer.form.header, request.overwrite)
            about.sentences = file.done
            if file.is_finished:
                tell_finished(path, plural(file.done, "sentence"))
                return
            say = held.enter_context(terminal.Progress(about=path))
            is_resumed = file.done > 0
            held.enter_context(explaining(lambda: _say_how_to_resume(path, request.overwrite)))
            for text in about.watched(score(skip=file.done, report=say), say, "written"):
                file.append(text, about.sentences)
            file.finish()
    terminal.say(f"{plural(about.sentences, 'sentence')} written to {path}")
    about.say(is_resumed)


class _About:
    """The lines below the scores: for each model how many sentences have none, and its signature.
    Raises an error if no line could be scored."""

    def __init__(self, models: dict[str, Any], settings: "ScoringSettings") -> None:
        self.signatures = {
            name: signature_before(model, settings) for name, model in models.items()
        }
        self.tally = Tally()
        self.sentences = 0  # with those that were scored before

    def observe(self, chunk: "ModelsChunk") -> None:
        self.signatures = chunk.signature
        self.tally.observe(chunk)

    def watched(
        self, chunks: "Iterable[WrittenChunk]", say: Callable[[str], None], done: str
    ) -> Iterator[Any]:
        """Yield the written scores; count them, and say how many are `done`."""
        for chunk in chunks:
            self.signatures = chunk.signature
            if chunk.written is None:
                continue
            content, tally = chunk.written
            self.tally.join(tally)
            self.sentences += chunk.sentences
            yield content
            say(f"{plural(self.sentences, 'sentence')} {done}")

    def say(self, is_resumed: bool = False) -> None:
        """Print it. is_resumed: other sentences were scored before, and are not counted."""
        now = " of those scored now" if is_resumed else ""
        for name, lines in self.tally.without_score.items():
            by = f" by {name}" if len(self.signatures) > 1 else ""
            lines_have = terminal.plural(lines, f"line{now} has", f"lines{now} have")
            terminal.say(f"note: {lines_have} no score{by}; the reason is given for each")
        if 0 < self.tally.not_utf8 <= FEW_LINES:
            terminal.say(
                f"note: {self.tally.not_utf8_in_words}: convert the input to UTF-8, or read U+FFFD "
                "in place of their bytes with --encoding-errors replace"
            )
        terminal.say_signatures(self.signatures)
        # Blank lines always have a score: they do not show that the file is a text.
        has_none = self.tally.first_reason is not None and not self.tally.has_words
        if has_none and not is_resumed:
            raise TextError(
                "no line could be scored",
                f"reason for the first: {self.tally.first_reason}",
                "check the input: it must be UTF-8 text with one sentence per line, or a table",
            )
        if self.tally.not_utf8 > FEW_LINES:
            raise TextError(
                self.tally.not_utf8_in_words,
                "they have no score",
                "convert the input to UTF-8, or use " + keyword("encoding_errors", "replace"),
            )


def _say_how_to_resume(path: Path, overwrites: bool) -> None:
    how = " without --overwrite" if overwrites else ""
    terminal.say(f"{path} keeps the finished scores; to resume, run the same command again{how}")


# ---- Scores as tables for people; surprisals; the odds of two sentences in words. The rows of
# several models are below each other.


def show_table(
    scores: "list[Scores]",
    settings: "ScoringSettings",
    with_ids: bool,
    layout: "RowLayout",
    ranked: bool,
) -> None:
    """Print the scores: the likeliest first if they are `ranked`, else in their order. layout: of
    the same scores in files."""
    if not scores:
        raise TextError(
            "nothing to score", "the input has no lines", "give sentences, or --input FILE"
        )
    models = list(scores[0])
    rows = []
    for model in models:
        for by_model in _ranked(scores, model) if ranked else scores:
            score = by_model[model]
            columns = score.shared_columns
            cells = {name: cell_text(columns.get(name)) for name in layout.carried}
            rows.append({"model": model} | cells | _cells(score))

    # Columns of the input come first, unless the table has one of that name; reasons for missing
    # words and scores come last, if any is missing.
    shown = ["logprob_nats", "words", "ppl_word", "sentence"]
    if layout.with_probability:
        shown.insert(1, "probability")
    if with_ids:
        shown.insert(0, "id")
    shown = [*(name for name in layout.carried if name not in shown), *shown]
    for name in ("unknown words", "no score because"):
        if any(row[name] for row in rows):
            shown.append(name)
    if len(models) > 1:
        shown.insert(0, "model")
    text_columns = [name for name in shown if name not in _NUMERIC]
    terminal.print_table(terminal.Table.of_records(rows, text_columns, shown))

    # The first model says in which order ranked sentences come.
    for by_model in _ranked(scores, models[0]) if ranked else scores:
        _show_surprisals(by_model, settings, layout.with_probability)

    # Models may disagree on which of two sentences is likelier.
    if len(scores) == 2:
        for model in models:
            better, worse = (by_model[model] for by_model in _ranked(scores, model))
            comparison = odds(better, worse, settings.eos)
            if comparison:
                click.echo(f"{model}: {comparison}" if len(models) > 1 else comparison)


def _ranked(scores: "list[Scores]", model: str) -> "list[Scores]":
    """Return the scores with the likeliest by one model first."""
    return sorted(scores, key=lambda by_model: rank(by_model[model].logprob_nats), reverse=True)


_NUMERIC = ("logprob_nats", "probability", "words", "ppl_word")


def _cells(score: "SentenceScore") -> dict[str, str]:
    return {
        "id": str(score.id),
        "logprob_nats": terminal.amount(score.logprob_nats),
        "probability": terminal.amount(score.probability, ".4g"),
        "words": str(score.words) if score.is_read else "-",
        "ppl_word": terminal.amount(score.ppl_word), "sentence": score.text,
        "unknown words": ", ".join(score.oov),
        "no score because": score.reason or "",
    }  # fmt: skip


def rank(logprob_nats: float | None) -> float:
    """Return the number that a sentence is ranked by: sentences without a score come last."""
    return -math.inf if logprob_nats is None else logprob_nats


def _show_surprisals(scores: "Scores", settings: "ScoringSettings", with_probability: bool) -> None:
    """Print the surprisals of the tokens, words or regions of a sentence, if they were asked
    for."""
    probability = ["probability"] if with_probability else []

    # Collect the rows of all models.
    measures = measured_columns(settings.measures)
    of_tokens = measured_of_tokens(settings.measures)
    following = ["next"] if settings.next_words else []
    tokens, words, regions = [], [], []
    for model, score in scores.items():
        for token in score.token_scores:
            cells = [token.token, terminal.amount(token.surprisal_bits)]
            if with_probability:
                cells.append(terminal.amount(token.probability, ".4g"))
            cells += [_measure(getattr(token, name)) for name in of_tokens]
            tokens.append([model, *cells, "yes" if token.is_oov else ""])
        of_words = word_cells(score.word_scores, settings.measures)
        likely = score.next_words or [()] * len(of_words)
        for word, of_word, next_words in zip(score.word_scores, of_words, likely, strict=True):
            cells = [word.word, terminal.amount(word.surprisal_bits)]
            if with_probability:
                cells.append(terminal.amount(word.probability, ".4g"))
            cells += [_measure(of_word[name]) for name in measures]
            if following:
                cells.append(" ".join(next_word.word for next_word in next_words))
            words.append([model, *cells, "yes" if word.is_oov else ""])
        for region in score.region_scores:
            amounts = map(terminal.amount, (region.surprisal_bits, region.next_surprisal_bits))
            cells = [region.name or str(region.index), region.text, str(region.words), *amounts]
            regions.append([model, *cells, "yes" if region.is_oov else ""])

    # Print a table for each kind of row, with the model's name if there are several. Whether words
    # are unknown comes last, if any is.
    for columns, rows in (
        (["token", "surprisal_bits", *probability, *of_tokens], tokens),
        (["word", "surprisal_bits", *probability, *measures, *following], words),
        (["region", "text", "words", "surprisal_bits", "next_surprisal_bits"], regions),
    ):
        if not rows:
            continue
        if any(row[-1] for row in rows):
            columns.append("unknown")
        else:
            rows = [row[:-1] for row in rows]
        if len(scores) > 1:
            columns = ["model", *columns]
        else:
            rows = [row[1:] for row in rows]
        click.echo()
        numbers = ["words", "surprisal_bits", *probability, "next_surprisal_bits", *measures]
        terminal.print_table(
            terminal.Table(columns, rows, right=[name for name in numbers if name in columns])
        )


def _measure(value: float | bool | None) -> str:
    """Return a measure of a word in a cell: counts whole, and whether it is unknown in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, int) else terminal.amount(value)


def odds(better: "SentenceScore", worse: "SentenceScore", eos: bool) -> str | None:
    """Say how many times likelier the first of two sentences is, in total and per word. None if one
    has no score, or their conditions differ."""
    ratio = likelihood_ratio(better, worse, eos) if better.source == worse.source else None
    if ratio is None:
        return None
    total, per_word = ratio
    if total == 0 and better.oov != worse.oov:
        return "They differ only in words that the model does not know."
    if total == 0:
        return "Both are equally likely."

    # The likelier sentence may be the less likely one per word, if it is shorter.
    direction = "less likely" if per_word < 0 else "likelier"
    by_word = f"{times(abs(per_word))} {direction}"
    text = terminal.visible(better.text)
    return f'"{text}" is {times(total)} likelier in total; per word, {by_word}.'


def times(log10: float) -> str:
    """Return a ratio in words: "about 3.2 times", "about 10^6 times"."""
    if log10 < math.log10(1.05):
        return "hardly (less than 1.05 times)"
    if log10 < 2:
        return f"about {10**log10:.2g} times"
    if log10 < 4:
        return f"about {round(10**log10, -1):,.0f} times"
    return f"about 10^{round(log10)} times"
