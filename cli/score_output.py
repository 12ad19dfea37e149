"""Where `rnnlm score` puts its scores: on standard output, or in a file that can be gone on with."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from . import score_side_by_side, score_table, score_text, terminal


def show(
    models: dict[str, Any], sentences: Iterator[Any], settings: Any, form: str, rank: str, with_ids: bool, has_region_names: bool
) -> None:
    """Print the scores as `form` says: records as they come, or a table, ranked."""
    from rnnlm.scoring.several_models import score_chunks_of_models

    layout, sentences = _layout(models, sentences, settings, has_region_names)
    chunks, about = score_chunks_of_models(models, sentences, settings), _About(models, settings)
    scores, read, say = [], 0, terminal.Progress()
    header, text = score_text.form_of(form, settings, layout) if form != "table" else ("", None)
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
        score_side_by_side.show_side_by_side(scores, settings, rank, with_ids, layout.layout.carried)
    elif not text:
        score_table.show_table([score for each in scores for score in each.values()], settings, rank, with_ids, layout.layout.carried)
    about.say()


def write(
    path: Path,
    models: dict[str, Any],
    sentences: Iterator[Any],
    settings: Any,
    form: str,
    resume: bool,
    overwrite: bool,
    has_region_names: bool,
) -> None:
    """Write the scores to a file, chunk by chunk; with `resume`, behind those that an unfinished run has written. A Parquet file is
    written whole or not at all."""
    if form == "parquet":
        _write_parquet(path, models, sentences, settings, overwrite, has_region_names)
        return
    from rnnlm.scoring import resumable_output
    from rnnlm.scoring.several_models import describe_run_of_models, score_chunks_of_models

    about = _About(models, settings)
    layout, sentences = _layout(models, sentences, settings, has_region_names)
    header, text = score_text.form_of(form, settings, layout)
    run = describe_run_of_models(models, settings) | {"format": form, "columns": ", ".join(layout.columns)}
    file = resumable_output.resume(path, run) if resume else resumable_output.begin(path, run, header, overwrite)
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
    path: Path, models: dict[str, Any], sentences: Iterator[Any], settings: Any, overwrite: bool, has_region_names: bool
) -> None:
    from rnnlm.files.tables import save_parquet
    from rnnlm.files.writing import check_file
    from rnnlm.scoring.several_models import score_chunks_of_models

    check_file(path, overwrite)
    about, written, say = _About(models, settings), 0, terminal.Progress()
    layout, sentences = _layout(models, sentences, settings, has_region_names)

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


def _layout(models: dict[str, Any], sentences: Iterator[Any], settings: Any, has_region_names: bool) -> tuple[Any, Iterator[Any]]:
    """The layout of the table, and the sentences, of which the first ones were read."""
    from rnnlm.scoring.rows import SideBySide, layout
    from rnnlm.scoring.sentences import first_columns

    carried, sentences = first_columns(sentences)
    return SideBySide(layout(settings, carried, has_region_names), tuple(models)), sentences


class _About:
    """What is said below the scores: how many sentences have none, and the signature; of each model."""

    def __init__(self, models: dict[str, Any], settings: Any) -> None:
        from rnnlm.scoring.runs import signature_before

        self.signatures = {name: signature_before(model, settings) for name, model in models.items()}
        self.without: Counter[str] = Counter()

    def observe(self, chunk: Any) -> None:
        self.signatures = chunk.signatures
        self.without.update(name for scores in chunk for name, score in scores.items() if score.logprob_nats is None)

    def say(self) -> None:
        for name, lines in self.without.items():
            by = f" by {name}" if len(self.signatures) > 1 else ""
            terminal.say(f"note: {lines:,} {'line has' if lines == 1 else 'lines have'} no score{by}: each with its reason")
        terminal.say_signatures(self.signatures)


def _say_written(sentences: int, path: Path) -> None:
    terminal.say(f"{sentences:,} {'sentence' if sentences == 1 else 'sentences'} written to {path}")
