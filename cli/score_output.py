"""Where `rnnlm score` puts its scores: on standard output, or in a file that an interrupted run can
continue."""

import contextlib
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnlm.errors import TextError
from rnnlm.events import never
from rnnlm.files.reading import standard_input_waits
from rnnlm.files.tables import cell_text
from rnnlm.scoring.rows import MEASURES

from . import terminal
from .metrics import Cell, own, print_columns, shared
from .signals import explaining

if TYPE_CHECKING:
    from rnnlm.inference.next_word import NextWord
    from rnnlm.scoring.forms import Layout, Scores, TextForm
    from rnnlm.scoring.records import SentenceScore, Unit
    from rnnlm.scoring.resumable_output import ScoreFile
    from rnnlm.scoring.sentences import Sentence
    from rnnlm.scoring.settings import ScoringSettings
    from rnnlm.scoring.several_models import ModelsChunk
    from rnnlm.scoring.word_scores import RegionScore


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
    """Print the scores in the format `form`: records as they come, or a table, ranked."""
    from rnnlm.scoring.forms import TextForm
    from rnnlm.scoring.several_models import score_chunks_of_models

    layout, sentences = _layout(models, sentences, settings, has_region_names, is_long)
    about = _About(models, settings)
    as_text = None if form == "table" else TextForm(form, settings, layout)

    # A program that writes line by line gets each answer before it writes the next line. A table is
    # ranked as a whole, so that its input can be read in large chunks.
    waits = never if form == "table" else standard_input_waits
    chunks = score_chunks_of_models(models, sentences, settings, waits=waits)

    # Records are printed as they come; scores for a table are kept to the end.
    scores: list[Scores] = []
    read, say = 0, terminal.Progress()
    if as_text:
        click.echo(as_text.header, nl=False)
    for chunk in chunks:
        about.observe(chunk)
        read += len(chunk)
        say(f"{read:,} sentences scored")
        if as_text:
            click.echo("".join(map(as_text.text, chunk)), nl=False)
        else:
            scores += chunk
    say.close()

    carried = layout.layout.carried
    if not as_text and len(models) > 1:
        show_side_by_side(scores, settings, rank, with_ids, carried)
    elif not as_text:
        show_table([_first(each) for each in scores], settings, rank, with_ids, carried)
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
    """Write the scores to a file, chunk by chunk; with `resume`, after those that an unfinished run
    has written. A Parquet file appears when it is complete."""
    if form == "parquet":
        _write_parquet(path, models, sentences, settings, overwrite, has_region_names, is_long)
        return
    from rnnlm.files import lock
    from rnnlm.scoring.forms import TextForm
    from rnnlm.scoring.several_models import score_chunks_of_models

    about = _About(models, settings)
    layout, sentences = _layout(models, sentences, settings, has_region_names, is_long)
    as_text = TextForm(form, settings, layout)

    # The file grows chunk by chunk: two writers would mix theirs.
    with contextlib.ExitStack() as held:
        held.enter_context(lock.file_held(path))
        file = _begun(path, models, as_text, resume, overwrite)
        is_resumed = file.done > 0
        say = held.enter_context(terminal.Progress())
        held.enter_context(explaining(lambda: _say_how_to_resume(path, overwrite)))
        for chunk in score_chunks_of_models(models, sentences, settings, skip=file.done):
            file.write(chunk.sentences, "".join(map(as_text.text, chunk)))
            about.observe(chunk)
            if len(chunk):
                say(f"{file.sentences:,} sentences written")
        file.finish()
    _say_written(file.sentences, path)
    about.say(is_resumed)


def _begun(
    path: Path, models: dict[str, Any], form: "TextForm", resume: bool, overwrite: bool
) -> "ScoreFile":
    """Begin the file, or go on with that of a run with the same models, settings and columns."""
    from rnnlm.scoring import resumable_output
    from rnnlm.scoring.several_models import describe_run_of_models

    run = describe_run_of_models(models, form.settings)
    run |= {"format": form.name, "columns": ", ".join(form.layout.columns)}
    if resume:
        return resumable_output.resume(path, run, form.header)
    return resumable_output.begin(path, run, form.header, overwrite)


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
            yield list(itertools.chain.from_iterable(map(layout.rows, chunk)))
            # Below the yield: a batch counts once the file has taken it.
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
    """Return the layout of the table, and all sentences again: the first ones were read for the
    names of their columns."""
    from rnnlm.scoring.rows import BelowEachOther, SideBySide, layout
    from rnnlm.scoring.sentences import first_columns

    carried, sentences = first_columns(sentences)
    kind = BelowEachOther if is_long else SideBySide
    return kind(layout(settings, carried, has_region_names), tuple(models)), sentences


class _About:
    """What is printed below the scores: for each model how many sentences have none, and its
    signature. Raises an error if no line could be scored."""

    def __init__(self, models: dict[str, Any], settings: "ScoringSettings") -> None:
        from rnnlm.scoring.forms import Tally
        from rnnlm.scoring.scorer import signature_before

        self.signatures = {}
        for name, model in models.items():
            self.signatures[name] = signature_before(model, settings)
        self.tally = Tally()

    def observe(self, chunk: "ModelsChunk") -> None:
        self.signatures = chunk.signatures
        self.tally.observe(chunk)

    def say(self, is_resumed: bool = False) -> None:
        """Print it. is_resumed: other sentences were scored before, and are not counted."""
        now = " of those scored now" if is_resumed else ""
        for name, lines in self.tally.without_score.items():
            by = f" by {name}" if len(self.signatures) > 1 else ""
            lines_have = terminal.plural(lines, f"line{now} has", f"lines{now} have")
            terminal.say(f"note: {lines_have} no score{by}: each with its reason")
        terminal.say_signatures(self.signatures)
        # Blank lines always have a score: they do not show that the file is a text.
        has_none = self.tally.first_reason is not None and not self.tally.with_words
        if has_none and not is_resumed:
            raise TextError(
                "no line could be scored",
                f"the first: {self.tally.first_reason}",
                "look at what the input holds: one sentence a line in UTF-8, or a table",
            )


def _say_how_to_resume(path: Path, overwrites: bool) -> None:
    how = "--resume instead of --overwrite" if overwrites else "--resume"
    terminal.say(f"{path} keeps what is written; to go on, run the same command with {how}")


def _say_written(sentences: int, path: Path) -> None:
    terminal.say(f"{terminal.plural(sentences, 'sentence', 'sentences')} written to {path}")


def _measures(settings: "ScoringSettings") -> list[str]:
    """Return the columns of words beside their surprisal."""
    return [column for name, column in MEASURES.items() if name in settings.measures]


# ---- Scores of one model as tables for people: the likeliest first; surprisals; the odds of two
# sentences in words.


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
    rows = []
    for score in ranked:
        cells = {name: cell_text(score.columns.get(name)) for name in carried}
        rows.append(cells | _cells(score, unit, settings.eos))

    # Columns of the input come first, unless the table has one of that name; what explains missing
    # words and scores comes last, if any is missing.
    shown = ["logprob_nats", "words", "ppl_word", "sentence"]
    if unit != "logprob":
        shown.insert(0, f"logprob_per_{unit}")
    if with_ids:
        shown.insert(0, "id")
    shown = [*(name for name in carried if name not in shown), *shown]
    for name in ("unknown words", "no score because"):
        if any(row[name] for row in rows):
            shown.append(name)
    text_columns = [name for name in shown if name not in _NUMERIC]
    terminal.print_records(rows, text_columns, shown)

    for score in ranked:
        _show_surprisals(score, settings)
    if len(ranked) == 2 and unit == "logprob":
        better, worse = ranked
        said = odds(better, worse, settings.eos)
        if said:
            click.echo(said)


_NUMERIC = ("logprob_nats", "logprob_per_word", "logprob_per_token", "words", "ppl_word")


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
    """Return what a sentence is ranked by: sentences without a score come last."""
    return -math.inf if logprob_nats is None else logprob_nats


def _show_surprisals(score: "SentenceScore", settings: "ScoringSettings") -> None:
    for unit, items, more in (
        ("token", score.token_scores, []),
        ("word", score.word_scores, _measures(settings)),
    ):
        if not items:
            continue
        columns = [unit, "surprisal_bits", *more, ""]
        rows = []
        for item in items:
            numbers = [terminal.number(getattr(item, name)) for name in ("surprisal_bits", *more)]
            rows.append([getattr(item, unit), *numbers, "unknown" if item.is_oov else ""])
        # Several words need room: they come last.
        if unit == "word" and settings.next_words:
            columns.append("likeliest here")
            for row, likeliest in zip(rows, score.next_words, strict=True):
                row.append(words_there(likeliest))
        click.echo()
        terminal.print_table(columns, rows, right=["surprisal_bits", *more])
    if score.region_scores:
        _show_regions(score.region_scores)


def _show_regions(regions: "Sequence[RegionScore]") -> None:
    rows = []
    for region in regions:
        rows.append([
            region.name or str(region.index),
            region.text,
            str(region.words),
            terminal.number(region.surprisal_bits),
            terminal.number(region.next_surprisal_bits),
            "unknown words" if region.is_oov else "",
        ])  # fmt: skip
    click.echo()
    right = ["words", "surprisal_bits", "next_surprisal_bits"]
    terminal.print_table(["region", "text", *right, ""], rows, right)


def words_there(likeliest: "Sequence[NextWord]") -> str:
    """Return the likeliest words at one place, with their probabilities."""
    return ", ".join(f"{each.word} {each.probability:.2g}" for each in likeliest)


def odds(better: "SentenceScore", worse: "SentenceScore", eos: bool) -> str | None:
    """Say how many times likelier the first of two sentences is, in total and per word. None if one
    has no score, or their sources differ."""
    from rnnlm.scoring.records import likelihood_ratio

    if better.source != worse.source:
        return None
    ratio = likelihood_ratio(better, worse, eos)
    if ratio is None:
        return None
    total, per_word = ratio
    if total == 0:
        return "Both are equally likely."

    # The likelier sentence may be the less likely one per word, if it is shorter.
    per_word_direction = f"{times(per_word)} likelier"
    if per_word < 0:
        per_word_direction = f"{times(-per_word)} less likely"
    text = terminal.visible(better.text)
    return f'"{text}" is {times(total)} likelier in total; per word, {per_word_direction}.'


def times(log10: float) -> str:
    """Return a ratio in words: "about 3.2 times", "about 10^6 times"."""
    if log10 < math.log10(1.05):
        return "hardly (less than 1.05 times)"
    if log10 < 2:
        return f"about {10**log10:.2g} times"
    if log10 < 4:
        return f"about {round(10**log10, -1):,.0f} times"
    return f"about 10^{round(log10)} times"


# ---- Scores of several models as tables for people: the columns of the models side by side.


def show_side_by_side(
    scores: "list[Scores]",
    settings: "ScoringSettings",
    unit: "Unit",
    with_ids: bool,
    carried: Sequence[str],
) -> None:
    """Print the scores of several models, ranked by the first model: its log-probability as a
    whole, by word or by token. carried: columns of the input."""
    if not scores:
        raise TextError(
            "nothing to score", "the input has no line", "give sentences, or --input FILE"
        )
    ranked = sorted(scores, key=lambda each: _rank(_first(each), unit, settings.eos), reverse=True)
    firsts = [_first(each) for each in ranked]
    by_model = {}
    for name in ranked[0]:
        by_model[name] = [each[name] for each in ranked]

    # Columns of the input first, then what each model says of the sentence.
    columns = {}
    if with_ids:
        columns["id"] = [str(score.id) for score in firsts]
    for name in carried:
        columns[name] = [cell_text(score.columns.get(name)) for score in firsts]
    columns |= shared({"words": lambda score: str(score.words) if score.is_read else "-"}, by_model)
    columns |= own(_numbers_of(unit, settings.eos), by_model)
    columns["sentence"] = [score.text for score in firsts]
    unknown: dict[str, Cell] = {
        "unknown words": lambda score: ", ".join(score.oov),
        "no score because": lambda score: score.reason or "",
    }
    columns |= shared(unknown, by_model)
    print_columns(columns, left=("id", *carried, "sentence", *unknown))

    for each in ranked:
        _show_surprisals_side_by_side(each, settings)
    # Models may disagree on which of two sentences is likelier.
    if len(ranked) == 2 and unit == "logprob":
        for name, its in by_model.items():
            better, worse = sorted(
                its, key=lambda score: _rank(score, unit, settings.eos), reverse=True
            )
            said = odds(better, worse, settings.eos)
            if said:
                click.echo(f"{name}: {said}")


def _numbers_of(unit: "Unit", eos: bool) -> dict[str, Cell]:
    """Return the columns of numbers that the table has for each model."""
    columns: dict[str, Cell] = {}
    if unit != "logprob":
        columns[f"logprob_per_{unit}"] = lambda score: terminal.number(
            score.logprob_by(unit, eos), 4
        )
    columns["logprob_nats"] = lambda score: terminal.number(score.logprob_nats)
    columns["ppl_word"] = lambda score: terminal.number(score.ppl_word)
    return columns


def _first(scores: "Scores") -> "SentenceScore":
    return next(iter(scores.values()))


def _rank(score: "SentenceScore", unit: "Unit", eos: bool) -> float:
    return rank(score.logprob_by(unit, eos))


def _show_surprisals_side_by_side(scores: "Scores", settings: "ScoringSettings") -> None:
    for unit, of, more in (
        ("token", "token_scores", []),
        ("word", "word_scores", _measures(settings)),
    ):
        by_model = _beside({name: getattr(score, of) for name, score in scores.items()}, unit)
        # Each row shows the word of the first model that has one there.
        items = [next(filter(None, each)) for each in zip(*by_model.values(), strict=True)]
        if not items:
            continue
        columns = {unit: [getattr(item, unit) for item in items]}
        columns |= own(_numbers("surprisal_bits", *more), by_model)
        columns |= shared(
            {"unknown": lambda item: "unknown" if item and item.is_oov else ""}, by_model
        )

        # Next words belong to words: a model has none where it has no word.
        if unit == "word" and settings.next_words:
            likeliest = {}
            for name, score in scores.items():
                there = dict(zip(score.word_scores, score.next_words, strict=True))
                likeliest[name] = [there.get(word, ()) for word in by_model[name]]
            columns |= own({"likeliest here": words_there}, likeliest)
        click.echo()
        print_columns(columns, left=(unit, "unknown", "likeliest"))
    if _first(scores).region_scores:
        _show_regions_side_by_side({name: score.region_scores for name, score in scores.items()})


def _beside(by_model: dict[str, Any], unit: str) -> dict[str, list[Any]]:
    """Return the tokens or words of each model in the order of the text, with None for each word
    that a model lacks. Tokens are the same for all; but a model that removes marks has fewer words,
    which end elsewhere."""
    if unit == "token":
        return by_model
    placed = {}
    for name, its in by_model.items():
        placed[name] = {(item.start, item.end, item.index): item for item in its}
    places = sorted(set().union(*placed.values()))
    return {name: list(map(its.get, places)) for name, its in placed.items()}


def _show_regions_side_by_side(by_model: dict[str, Any]) -> None:
    columns: dict[str, list[str]] = {"region": [], "text": [], "words": []}
    for region in next(iter(by_model.values())):
        columns["region"].append(region.name or str(region.index))
        columns["text"].append(region.text)
        columns["words"].append(str(region.words))
    columns |= own(_numbers("surprisal_bits", "next_surprisal_bits"), by_model)
    columns |= shared(
        {"unknown words": lambda region: "unknown words" if region.is_oov else ""}, by_model
    )
    click.echo()
    print_columns(columns, left=("region", "text", "unknown"))


def _numbers(*names: str) -> dict[str, Cell]:
    """Return columns that show the attributes with these names."""

    def cell_of(name: str) -> Cell:
        return lambda item: terminal.number(item and getattr(item, name))

    return {name: cell_of(name) for name in names}
