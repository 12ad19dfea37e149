"""A tiny encoder-decoder in a folder, made by `rnnlm train`."""

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import pytest

from rnnlm.cli.main import run as run_command
from support.tiny_pairs import counted

TINY = {
    "tokenizer": "word", "hidden_size": 16, "embedding_size": 12, "batch_rows": 16, "learning_rate": 0.02, "device": "cpu",
    "precision": "fp32", "threads": 1, "validate_every_steps": 60, "label_smoothing": 0, "dropout_input": 0, "dropout_output": 0,
}  # fmt: skip


def table(rows: list[tuple[str, str]]) -> str:
    """Pairs as a table."""
    return "english\tspanish\n" + "".join(f"{source}\t{target}\n" for source, target in rows)


@dataclass(frozen=True)
class Translator:
    """The folder of a model, the tables that it was trained and validated on, and what training said. Tests must not change them."""

    folder: Path
    train: Path
    valid: Path
    out: str


@pytest.fixture(scope="session")
def translator(tmp_path_factory):
    """Learned to count in Spanish from the last number to the first (train.tsv, valid.tsv; columns english and spanish), not well."""
    place = tmp_path_factory.mktemp("translator")
    files = []
    for name, rows in (("train", counted(200)), ("valid", counted(21, seed=2))):
        files.append(place / f"{name}.tsv")
        files[-1].write_text(table(rows), encoding="utf-8")
    folder = place / "checkpoints" / "spa"
    sets = [f"--set={name}={value}" for name, value in TINY.items()]
    arguments = ["train", files[0], "--task", "seq2seq", "--valid", files[1], *sets, "--budget", "60steps", "-o", folder]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        assert run_command([str(each) for each in arguments]) == 0, err.getvalue()
    return Translator(folder, *files, out.getvalue())
