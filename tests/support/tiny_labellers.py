"""Tiny models whose labels are not classes: a treebank's tagger, and a pronouncer."""

from pathlib import Path

import pytest

from support.commands import train

SMALL = ("hidden_size=8", "embedding_size=8", "batch_rows=8", "learning_rate=0.1", "min_count=1",
         "holdout=0",
         "unknown_words=0", "dropout_embedding=0", "dropout_input=0",
         "dropout_output=0")  # fmt: skip
CHARACTERS = ("--set", "character_size=4", "--set", "character_filters=0,6")
TREEBANK = """# sent_id = {number}
# text = They don't like {adjective} {noun}.
1\tThey\tthey\tPRON\t_\t_\t_\t_\t_\t_
2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\t_
2\tdo\tdo\tAUX\t_\t_\t_\t_\t_\t_
3\tn't\tnot\tPART\t_\t_\t_\t_\t_\t_
4\tlike\tlike\tVERB\t_\t_\t_\t_\t_\t_
5\t{adjective}\t{adjective}\tADJ\t_\t_\t_\t_\t_\t_
6\t{noun}\t{noun}\tNOUN\t_\t_\t_\t_\t_\tSpaceAfter=No
7\t.\t.\tPUNCT\t_\t_\t_\t_\t_\t_

"""
SOUNDS = {"c": "K", "t": "T", "sh": "SH", "ee": "IY", "p": "P", "a": "AE", "x": "K S"}
WORDS = [
    (first, vowel, last)
    for first in ("c", "t", "sh", "p")
    for vowel in ("ee", "a")
    for last in ("t", "p", "sh", "x")
]


def treebank() -> str:
    """Return a treebank in CoNLL-U: one sentence with different words."""
    pairs = [
        (adjective, noun)
        for adjective in ("cold", "warm", "old")
        for noun in ("beers", "songs", "teas", "cats")
    ]
    return "".join(
        TREEBANK.format(number=number, adjective=adjective, noun=noun)
        for number, (adjective, noun) in enumerate(pairs)
    )


def trained(folder: Path, *arguments: object) -> Path:
    """Train a model in `folder`, with `rnnlm train`."""
    sets = [f"--set={setting}" for setting in SMALL]
    more = ("--task", "tagging", *sets, "--precision", "fp32", "--budget", "50steps", "-o", folder)
    train(*arguments, *more)
    return folder


@pytest.fixture(scope="session")
def treebank_tagger(made_once):
    """Train a tagger of upos and lemma; treebank.conllu is beside its folder."""

    def make(place: Path) -> Path:
        text = place / "treebank.conllu"
        text.write_text(treebank(), encoding="utf-8")
        return trained(place / "model", text, "--label-column", "upos,lemma", *CHARACTERS)

    return made_once("treebank", make)


@pytest.fixture(scope="session")
def pronouncer(made_once):
    """Train a small model of the sounds of letters. Return its folder."""

    def make(place: Path) -> Path:
        rows = ["text\tlabel\n"]
        for word in WORDS:
            letters = " ".join("".join(word))
            sounds = " ".join(SOUNDS[part] for part in word)
            rows.append(f"{letters}\t{sounds}\n")
        (place / "words.tsv").write_text("".join(rows))
        return trained(place / "model", place / "words.tsv", "--label-column", "label", "--align")

    return made_once("sounds", make)
