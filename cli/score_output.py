"""Where `rnnlm score` puts its scores: on standard output, or in a file that can be gone on with."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from . import score_table, score_text, terminal


def show(model: Any, sentences: Iterator[Any], settings: Any, form: str, rank: str, with_ids: bool, has_region_names: bool) -> None:
    """Print the scores as `form` says: records as they come, or a table, ranked."""
    from rnnlm.scoring.scorer import score_chunks, signature_before

    layout, sentences = _layout(sentences, settings, has_region_names)
    chunks, signature = score_chunks(model, sentences, settings), signature_before(model, settings)
    without, scores, read, say = 0, [], 0, terminal.Progress()
    header, text = score_text.form_of(form, settings, layout) if form != "table" else ("", None)
    click.echo(header, nl=False)
    for chunk in chunks:
        without, signature, read = without + _without_score(chunk), chunk.signature, read + len(chunk)
        say(f"{read:,} sentences scored")
        if text:
            click.echo("".join(map(text, chunk)), nl=False)
        else:
            scores += chunk.scores
    if not text:
        score_table.show(scores, settings, rank, with_ids, layout.carried)
    _say_about(without, signature)


def write(
    path: Path, model: Any, sentences: Iterator[Any], settings: Any, form: str, resume: bool, overwrite: bool, has_region_names: bool
) -> None:
    """Write the scores to a file, chunk by chunk; with `resume`, behind those that an unfinished run has written."""
    from rnnlm.scoring import resumable_output
    from rnnlm.scoring.scorer import describe_run, score_chunks, signature_before

    signature = signature_before(model, settings)
    layout, sentences = _layout(sentences, settings, has_region_names)
    header, text = score_text.form_of(form, settings, layout)
    run = describe_run(model, settings) | {"format": form, "columns": ", ".join(layout.columns)}
    file = resumable_output.resume(path, run) if resume else resumable_output.begin(path, run, header, overwrite)
    without, say = 0, terminal.Progress()
    for chunk in score_chunks(model, sentences, settings, skip=file.done):
        file.write(chunk.sentences, "".join(map(text, chunk)))
        without, signature = without + _without_score(chunk), chunk.signature
        if chunk.scores:
            say(f"{file.sentences:,} sentences written")
    file.finish()
    _say_written(file.sentences, path)
    _say_about(without, signature)


def write_parquet(path: Path, model: Any, sentences: Iterator[Any], settings: Any, overwrite: bool, has_region_names: bool) -> None:
    """Write the scores to a Parquet file, whole or not at all."""
    from rnnlm.files.tables import save_parquet
    from rnnlm.files.writing import check_file
    from rnnlm.scoring.scorer import score_chunks, signature_before

    check_file(path, overwrite)
    signature = signature_before(model, settings)
    layout, sentences = _layout(sentences, settings, has_region_names)
    written, without, say = 0, 0, terminal.Progress()

    def batches() -> Iterator[list[dict[str, Any]]]:
        nonlocal written, without, signature
        for chunk in score_chunks(model, sentences, settings):
            yield [row for score in chunk for row in layout.rows(score)]
            written, without, signature = written + len(chunk), without + _without_score(chunk), chunk.signature
            say(f"{written:,} sentences scored")

    save_parquet(path, layout.types, batches())
    _say_written(written, path)
    _say_about(without, signature)


def _layout(sentences: Iterator[Any], settings: Any, has_region_names: bool) -> tuple[Any, Iterator[Any]]:
    """The layout of the table, and the sentences, of which the first ones were read."""
    from rnnlm.scoring.rows import layout
    from rnnlm.scoring.sentences import first_columns

    carried, sentences = first_columns(sentences)
    return layout(settings, carried, has_region_names), sentences


def _without_score(chunk: Any) -> int:
    return sum(score.logprob_nats is None for score in chunk)


def _say_written(sentences: int, path: Path) -> None:
    terminal.say(f"{sentences:,} {'sentence' if sentences == 1 else 'sentences'} written to {path}")


def _say_about(without: int, signature: Any) -> None:
    if without:
        terminal.say(f"note: {without:,} {'line has' if without == 1 else 'lines have'} no score: each with its reason")
    terminal.say(f"signature: {signature}")
