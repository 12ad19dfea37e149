"""Where `rnnlm score` puts its scores: on standard output, or in a file that can be gone on
with."""

import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnlm.errors import TextError, visible
from rnnlm.events import never
from rnnlm.files import tables
from rnnlm.files.reading import standard_input_waits
from rnnlm.files.tables import cell_text
from rnnlm.scoring.rows import MEASURES, SideBySide

from . import terminal
from .metrics import Cell, own, print_columns, shared

if TYPE_CHECKING:
    from rnnlm.inference.next_word import NextWord
    from rnnlm.scoring.records import SentenceScore, TokenScore, Unit
    from rnnlm.scoring.rows import BelowEachOther
    from rnnlm.scoring.sentences import Sentence
    from rnnlm.scoring.settings import ScoringSettings
    from rnnlm.scoring.several_models import ModelsChunk
    from rnnlm.scoring.word_scores import RegionScore, WordScore

    Layout = SideBySide | BelowEachOther


def show(
    models: dict[str, Any],
    sentences: "Iterator[Sentence]",
    settings: "ScoringSettings",
    form: str,
    rank: "Unit",
    with_ids: bool,
    has_region_names: bool,
    is_long: bool = False,
) -> None:
    """Print the scores as `form` says: records as they come, or a table, ranked."""
    from rnnlm.scoring.several_models import score_chunks_of_models

    layout, sentences = _layout(models, sentences, settings, has_region_names, is_long)
    about = _About(models, settings)
    # Whoever writes line by line gets an answer before the next line; a table is ranked as a whole.
    waits = never if form == "table" else standard_input_waits
    chunks = score_chunks_of_models(models, sentences, settings, waits=waits)
    scores: list[Scores] = []
    read, say = 0, terminal.Progress()
    header, text = form_of(form, settings, layout) if form != "table" else ("", None)
    click.echo(header, nl=False)
    for chunk in chunks:
        about.observe(chunk)
        read += len(chunk)
        say(f"{read:,} sentences scored")
        if text:
            click.echo("".join(map(text, chunk)), nl=False)
        else:
            scores += chunk
    say.close()
    if not text and len(models) > 1:
        show_side_by_side(scores, settings, rank, with_ids, layout.layout.carried)
    elif not text:
        show_table(
            [score for each in scores for score in each.values()],
            settings,
            rank,
            with_ids,
            layout.layout.carried,
        )
    about.say()


def write(
    path: Path,
    models: dict[str, Any],
    sentences: "Iterator[Sentence]",
    settings: "ScoringSettings",
    form: str,
    resume: bool,
    overwrite: bool,
    has_region_names: bool,
    is_long: bool = False,
) -> None:
    """Write the scores to a file, chunk by chunk; with `resume`, behind those that an unfinished
    run has written. A Parquet file is written whole or not at all."""
    if form == "parquet":
        _write_parquet(path, models, sentences, settings, overwrite, has_region_names, is_long)
        return
    from rnnlm.scoring import resumable_output
    from rnnlm.scoring.several_models import describe_run_of_models, score_chunks_of_models

    about = _About(models, settings)
    layout, sentences = _layout(models, sentences, settings, has_region_names, is_long)
    header, text = form_of(form, settings, layout)
    run = describe_run_of_models(models, settings) | {
        "format": form,
        "columns": ", ".join(layout.columns),
    }
    file = (
        resumable_output.resume(path, run, header)
        if resume
        else resumable_output.begin(path, run, header, overwrite)
    )
    say = terminal.Progress()
    for chunk in score_chunks_of_models(models, sentences, settings, skip=file.done):
        file.write(chunk.sentences, "".join(map(text, chunk)))
        about.observe(chunk)
        if len(chunk):
            say(f"{file.sentences:,} sentences written")
    file.finish()
    say.close()
    _say_written(file.sentences, path)
    about.say()


def _write_parquet(
    path: Path,
    models: dict[str, Any],
    sentences: "Iterator[Sentence]",
    settings: "ScoringSettings",
    overwrite: bool,
    has_region_names: bool,
    is_long: bool = False,
) -> None:
    from rnnlm.files.outputs import check_file
    from rnnlm.files.tables import save_parquet
    from rnnlm.scoring.several_models import score_chunks_of_models

    check_file(path, overwrite)
    about, written, say = _About(models, settings), 0, terminal.Progress()
    layout, sentences = _layout(models, sentences, settings, has_region_names, is_long)

    def batches() -> Iterator[list[dict[str, Any]]]:
        nonlocal written
        for chunk in score_chunks_of_models(models, sentences, settings):
            yield [row for scores in chunk for row in layout.rows(scores)]
            about.observe(chunk)
            written += len(chunk)
            say(f"{written:,} sentences scored")

    save_parquet(path, layout.types, batches())
    say.close()
    _say_written(written, path)
    about.say()


def _layout(
    models: dict[str, Any],
    sentences: "Iterator[Sentence]",
    settings: "ScoringSettings",
    has_region_names: bool,
    is_long: bool,
) -> "tuple[Layout, Iterator[Sentence]]":
    """The layout of the table, and the sentences, of which the first ones were read."""
    from rnnlm.scoring.rows import BelowEachOther, SideBySide, layout
    from rnnlm.scoring.sentences import first_columns

    carried, sentences = first_columns(sentences)
    kind = BelowEachOther if is_long else SideBySide
    return kind(layout(settings, carried, has_region_names), tuple(models)), sentences


class _About:
    """What is said below the scores: how many sentences have none, and the signature, of each
    model; and the error if no line could be scored."""

    def __init__(self, models: dict[str, Any], settings: "ScoringSettings") -> None:
        from rnnlm.scoring.scorer import signature_before

        self.signatures = {
            name: signature_before(model, settings) for name, model in models.items()
        }
        self.without: Counter[str] = Counter()
        self.lines_with_words = 0
        self.first_reason: str | None = None

    def observe(self, chunk: "ModelsChunk") -> None:
        self.signatures = chunk.signatures
        for scores in chunk:
            self.lines_with_words += any(its.is_read and its.words for its in scores.values())
            if self.first_reason is None:
                unread = [its.reason for its in scores.values() if not its.is_read]
                self.first_reason = unread[0] if unread else None
        self.without.update(
            name for scores in chunk for name, score in scores.items() if score.logprob_nats is None
        )

    def say(self) -> None:
        for name, lines in self.without.items():
            by = f" by {name}" if len(self.signatures) > 1 else ""
            terminal.say(
                f"note: {lines:,} {'line has' if lines == 1 else 'lines have'} no score{by}: "
                "each with its reason"
            )
        terminal.say_signatures(self.signatures)
        # Blank lines have a score whatever the file is: they do not make it a text.
        if self.first_reason is not None and not self.lines_with_words:
            raise TextError(
                "no line could be scored",
                f"the first: {self.first_reason}",
                "look at what the input holds: one sentence a line in UTF-8, or a table",
            )


def _say_written(sentences: int, path: Path) -> None:
    terminal.say(f"{sentences:,} {'sentence' if sentences == 1 else 'sentences'} written to {path}")


# ---- Scores as tables for people: the likeliest first; surprisals; of two sentences the odds in
# words.


def show_table(
    scores: "list[SentenceScore]",
    settings: "ScoringSettings",
    unit: "Unit",
    with_ids: bool,
    carried: Sequence[str],
) -> None:
    """Print the scores, ranked by their log-probability as a whole, by word or by token. carried:
    columns of the input."""
    if not scores:
        raise TextError(
            "nothing to score", "the input has no line", "give sentences, or --input FILE"
        )
    ranked = sorted(
        scores, key=lambda score: rank(score.logprob_by(unit, settings.eos)), reverse=True
    )
    cells = [
        {name: cell_text(score.columns.get(name)) for name in carried}
        | _cells(score, unit, settings.eos)
        for score in ranked
    ]
    shown = ["logprob_nats", "words", "ppl_word", "sentence"]
    if unit != "logprob":
        shown.insert(0, f"logprob_per_{unit}")
    if with_ids:
        shown.insert(0, "id")
    shown = [*(name for name in carried if name not in shown), *shown]
    shown += [
        name for name in ("unknown words", "no score because") if any(row[name] for row in cells)
    ]
    terminal.print_table(
        shown,
        [[row[name] for name in shown] for row in cells],
        right=[name for name in shown if name in _FIGURES],
    )
    for score in ranked:
        _show_surprisals(score, settings)
    if len(ranked) == 2 and unit == "logprob":
        better, worse = ranked
        said = odds(better, worse, settings.eos)
        if said:
            click.echo(said)


_FIGURES = ("logprob_nats", "logprob_per_word", "logprob_per_token", "words", "ppl_word")


def _cells(score: "SentenceScore", unit: "Unit", eos: bool) -> dict[str, str]:
    return {
        "id": str(score.id), f"logprob_per_{unit}": terminal.number(score.logprob_by(unit, eos), 4),
        "logprob_nats": terminal.number(score.logprob_nats),
        "words": str(score.words) if score.is_read else "-",
        "ppl_word": terminal.number(score.ppl_word), "sentence": score.text,
        "unknown words": ", ".join(score.oov),
        "no score because": score.reason or "",
    }  # fmt: skip


def rank(logprob_nats: float | None) -> float:
    """What a sentence is ranked by: last where it has no score."""
    return -math.inf if logprob_nats is None else logprob_nats


def _show_surprisals(score: "SentenceScore", settings: "ScoringSettings") -> None:
    measures = [column for name, column in MEASURES.items() if name in settings.measures]
    for unit, items, more in (
        ("token", score.token_scores, []),
        ("word", score.word_scores, measures),
    ):
        if not items:
            continue
        columns = [unit, "surprisal_bits", *more, ""]
        rows = [_item(item, unit, more) for item in items]
        if unit == "word" and settings.next_words:
            columns.append("likeliest here")
            for row, likeliest in zip(rows, score.next_words, strict=True):
                row.append(words_there(likeliest))
        click.echo()
        terminal.print_table(columns, rows, right=["surprisal_bits", *more])
    if score.region_scores:
        _show_regions(score.region_scores)


def _item(item: "TokenScore | WordScore", unit: str, measures: list[str]) -> list[str]:
    figures = [terminal.number(getattr(item, name)) for name in ("surprisal_bits", *measures)]
    return [getattr(item, unit), *figures, "unknown" if item.is_oov else ""]


def _show_regions(regions: "Sequence[RegionScore]") -> None:
    rows = [
        [region.name or str(region.index), region.text, str(region.words),
         terminal.number(region.surprisal_bits),
         terminal.number(region.next_surprisal_bits), "unknown words" if region.is_oov else ""]
        for region in regions
    ]  # fmt: skip
    click.echo()
    right = ["words", "surprisal_bits", "next_surprisal_bits"]
    terminal.print_table(["region", "text", *right, ""], rows, right)


def words_there(likeliest: "Sequence[NextWord]") -> str:
    """The likeliest words at one place, with their probabilities."""
    return ", ".join(f"{each.word} {each.probability:.2g}" for each in likeliest)


def odds(better: "SentenceScore", worse: "SentenceScore", eos: bool) -> str | None:
    """How many times likelier the first of two sentences is, in total and per word; None where one
    has no score, or another source."""
    from rnnlm.scoring.records import likelihood_ratio

    ratio = likelihood_ratio(better, worse, eos) if better.source == worse.source else None
    if ratio is None:
        return None
    total, per_word = ratio
    if total == 0:
        return "Both are equally likely."
    text = f'"{terminal.visible(better.text)}" is {times(total)} likelier'
    direction = (
        f"{times(per_word)} likelier" if per_word >= 0 else f"{times(-per_word)} less likely"
    )
    return f"{text} in total; per word, {direction}."


def times(log10: float) -> str:
    """A ratio in words: "about 3.2 times", "about 10^6 times"."""
    if log10 < math.log10(1.05):
        return "hardly (less than 1.05 times)"
    if log10 < 2:
        return f"about {10**log10:.2g} times"
    if log10 < 4:
        return f"about {round(10**log10, -1):,.0f} times"
    return f"about 10^{round(log10)} times"


# ---- Scores as text for other programs: JSON-lines, and tables of tab- or comma-separated values.
#
# A table has a line for each sentence, or with surprisals a line for each of its tokens, words or
# regions (with --next, for each of the likely next words there). A figure that is not there is an
# empty cell, and the last column says why.

# what stands before all scores, and what makes the text of a sentence
Form = tuple[str, Callable[["Scores"], str]]


def form_of(name: str, settings: "ScoringSettings", layout: "Layout") -> Form:
    """How `name` (jsonl, tsv, csv) writes the scores of a sentence by model. layout: rows of a
    table, and records."""
    if name == "jsonl":
        assert isinstance(layout, SideBySide)  # the other one is of rows alone
        return "", lambda scores: terminal.json_text(layout.record(scores, settings)) + "\n"
    lines = _tsv_lines if name == "tsv" else _csv_lines
    return lines([layout.columns]), lambda scores: lines(
        row.values() for row in layout.rows(scores)
    )


def _tsv_lines(rows: Iterable[Iterable[object]]) -> str:
    return "".join(["\t".join(map(tables.quoted, map(_cell, row))) + "\n" for row in rows])


def _csv_lines(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(map(_cell, row) for row in rows)
    return text.getvalue()


def _cell(value: object) -> str:
    """A value as a cell, control characters but tabs and line ends written out, as it may end on a
    terminal."""
    if type(value) is float or type(value) is int:
        return repr(value)
    text = value if type(value) is str else cell_text(value)
    return text if text.isascii() and text.isprintable() else visible(text, kept="\t\n")


# ---- Scores of several models as tables for people: the columns of each model beside those of the
# others.

Scores = Mapping[str, "SentenceScore"]  # of one sentence, by model


def show_side_by_side(
    scores: list[Scores],
    settings: "ScoringSettings",
    unit: "Unit",
    with_ids: bool,
    carried: Sequence[str],
) -> None:
    """Print the scores, ranked by the first model: its log-probability as a whole, by word or by
    token. carried: columns of the input."""
    if not scores:
        raise TextError(
            "nothing to score", "the input has no line", "give sentences, or --input FILE"
        )
    ranked = sorted(scores, key=lambda each: _rank(_first(each), unit, settings.eos), reverse=True)
    by_model = {name: [each[name] for each in ranked] for name in ranked[0]}
    columns = {"id": [str(_first(each).id) for each in ranked]} if with_ids else {}
    columns |= {
        name: [cell_text(_first(each).columns.get(name)) for each in ranked] for name in carried
    }
    columns |= shared({"words": lambda score: str(score.words) if score.is_read else "-"}, by_model)
    columns |= own(_figures(unit, settings.eos), by_model) | {
        "sentence": [_first(each).text for each in ranked]
    }
    unknown: dict[str, Cell] = {
        "unknown words": lambda score: ", ".join(score.oov),
        "no score because": lambda score: score.reason or "",
    }
    print_columns(columns | shared(unknown, by_model), left=("id", *carried, "sentence", *unknown))
    for each in ranked:
        _show_surprisals_side_by_side(each, settings)
    if len(ranked) == 2 and unit == "logprob":
        for name, its in by_model.items():
            better, worse = sorted(
                its, key=lambda score: _rank(score, unit, settings.eos), reverse=True
            )
            said = odds(better, worse, settings.eos)
            if said:
                click.echo(f"{name}: {said}")


def _first(scores: Scores) -> "SentenceScore":
    return next(iter(scores.values()))


def _rank(score: "SentenceScore", unit: "Unit", eos: bool) -> float:
    return rank(score.logprob_by(unit, eos))


def _figures(unit: "Unit", eos: bool) -> dict[str, Cell]:
    per = (
        {}
        if unit == "logprob"
        else {f"logprob_per_{unit}": lambda score: terminal.number(score.logprob_by(unit, eos), 4)}
    )
    return per | {
        "logprob_nats": lambda score: terminal.number(score.logprob_nats),
        "ppl_word": lambda score: terminal.number(score.ppl_word),
    }  # fmt: skip


def _show_surprisals_side_by_side(scores: Scores, settings: "ScoringSettings") -> None:
    measures = [column for name, column in MEASURES.items() if name in settings.measures]
    for unit, of, figures in (("token", "token_scores", []), ("word", "word_scores", measures)):
        by_model = _beside({name: getattr(score, of) for name, score in scores.items()}, unit)
        items = [next(filter(None, each)) for each in zip(*by_model.values(), strict=True)]
        if not items:
            continue
        columns = {unit: [getattr(item, unit) for item in items]} | own(
            _numbers("surprisal_bits", *figures), by_model
        )
        columns |= shared(
            {"unknown": lambda item: "unknown" if item and item.is_oov else ""}, by_model
        )
        if unit == "word" and settings.next_words:
            there = {
                name: dict(zip(score.word_scores, score.next_words, strict=True))
                for name, score in scores.items()
            }
            likeliest = {
                name: [there[name].get(word, ()) for word in its] for name, its in by_model.items()
            }
            columns |= own({"likeliest here": words_there}, likeliest)
        click.echo()
        print_columns(columns, left=(unit, "unknown", "likeliest"))
    if _first(scores).region_scores:
        _show_regions_side_by_side({name: score.region_scores for name, score in scores.items()})


def _beside(by_model: dict[str, Any], unit: str) -> dict[str, list[Any]]:
    """The tokens or words of each model, in the order of the text; None for a word that it does
    not have: one that removes marks has fewer words, which end elsewhere. Tokens are the same
    for all."""
    if unit == "token":
        return by_model
    placed = {
        name: {(item.start, item.end, item.index): item for item in its}
        for name, its in by_model.items()
    }
    places = sorted(set().union(*placed.values()))
    return {name: [its.get(place) for place in places] for name, its in placed.items()}


def _show_regions_side_by_side(by_model: dict[str, Any]) -> None:
    regions = next(iter(by_model.values()))
    columns = {
        "region": [region.name or str(region.index) for region in regions],
        "text": [region.text for region in regions],
        "words": [str(region.words) for region in regions],
    }  # fmt: skip
    columns |= own(_numbers("surprisal_bits", "next_surprisal_bits"), by_model)
    columns |= shared(
        {"unknown words": lambda region: "unknown words" if region.is_oov else ""}, by_model
    )
    click.echo()
    print_columns(columns, left=("region", "text", "unknown"))


def _numbers(*names: str) -> dict[str, Cell]:
    """The columns of figures that have the names of what holds them."""

    def cell_of(name: str) -> Cell:
        return lambda item: terminal.number(item and getattr(item, name))

    return {name: cell_of(name) for name in names}
