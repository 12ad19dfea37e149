"""`rnnlm corpora`: the texts that come with rnnlm."""

import sys

import click

from .. import terminal
from ..options import json_option


@click.command()
@json_option
def command(as_json: bool) -> None:
    """List the bundled corpora and where their files are."""
    from rnnlm import corpora

    rows = []
    for name in corpora.names():
        for file in corpora.FILES[name]:
            path = corpora.part(name, file)
            data = path.read_bytes()
            rows.append({"corpus": name, "file": file, "lines": data.count(b"\n"), "words": len(data.split()),
                         "bytes": len(data), "path": str(path)})  # fmt: skip
    if as_json:
        terminal.print_json(*rows)
        return
    records = [{name: terminal.cell(value) for name, value in row.items()} for row in rows]
    if not sys.stdout.isatty():
        terminal.print_records(records, left=["corpus", "file", "path"])
        return
    for record in records:  # paths are too long for a column
        del record["path"]
    terminal.print_records(records, left=["corpus", "file"])
    for name in corpora.names():
        click.echo(f"{name} is in {terminal.visible(str(corpora.FOLDER / name))}")
