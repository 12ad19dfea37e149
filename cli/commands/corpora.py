"""`rnnlm corpora`: the texts that come with rnnlm."""

import sys

import click

from .. import terminal
from ..options import json_option


@click.command()
@json_option
def command(as_json: bool) -> None:
    """List the bundled corpora: tasks, licences, files.

    Words are counted in the texts alone: labels, ids and tags do not count.
    """
    import rnnlm.corpora as corpora

    rows = []
    for name in corpora.names():
        for file in corpora.FILES[name]:
            path = corpora.part(name, file)
            data = path.read_bytes()
            rows.append(
                {
                    "corpus": name,
                    "file": file,
                    "lines": data.count(b"\n"),
                    "words": corpora.words_of_text(name, file),
                    "bytes": len(data),
                    "path": str(path),
                    "task": ", ".join(corpora.TASKS[name]),
                    "licence": corpora.LICENCE,
                }
            )
    if as_json:
        terminal.print_json(*rows)
        return
    records = []
    for row in rows:
        records.append({name: terminal.cell(value) for name, value in row.items()})
    if not sys.stdout.isatty():
        terminal.print_records(records, left=["corpus", "file", "path"])
        return

    # On a terminal, what would not fit into the table is said once for each corpus below it.
    for record in records:
        del record["path"], record["task"], record["licence"]
    terminal.print_records(records, left=["corpus", "file"])
    for name in corpora.names():
        purpose = f"{' and '.join(corpora.TASKS[name])}, {corpora.LICENCE}"
        click.echo(f"{name} ({purpose}) is in {terminal.visible(str(corpora.FOLDER / name))}")
