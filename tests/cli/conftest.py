"""Models to compare and to mix."""

import shutil

import pytest

from rnnlm.cli.main import run


@pytest.fixture(scope="session")
def trained(models, tmp_path_factory):
    """Make a folder with three models that share a tokenizer, and some that do not."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(models.lstm, folder / "lstm")
    same = ("--tokenizer-from", str(models.lstm))
    for name, *options in (
        ("kn", "--model", "ngram", "--order", "3", *same), ("uni", "--model", "unigram", *same),
        ("lower", "--model", "unigram", "--lowercase"),
        *((f"{tokenizer}s", "--model", "unigram", "--set",
           f"tokenizer={tokenizer}") for tokenizer in ("char", "byte")),
    ):  # fmt: skip
        asked = ["train", str(models.text), "--holdout", "0", *options]
        assert run([*asked, "-o", str(folder / name)]) == 0
    shutil.copy(models.valid, folder / "valid.txt")
    shutil.copy(models.text, folder / "train.txt")
    return folder


@pytest.fixture
def parts(trained, here):
    """Copy that folder into the working directory, and return it."""
    shutil.copytree(trained, here, dirs_exist_ok=True)
    return here
