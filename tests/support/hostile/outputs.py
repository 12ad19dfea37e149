"""Outputs that cannot be written, are in the way, or would replace what is read."""

import os
import shutil
from pathlib import Path

from support.hostile.cases import TINY, Bad, copy, fine, usage
from support.hostile.requests import GOOD


def thesis(path: Path, models) -> None:
    """Make a folder with a file of the user's."""
    path.mkdir()
    (path / "thesis.tex").write_text("years of work")


def readonly(path: Path, models) -> None:
    path.mkdir()
    path.chmod(0o555)


def linked_part(path: Path, models) -> None:
    """Make a model's folder in which one of our names links to another model."""
    shutil.copytree(models["unigram"], path.parent / "mine")
    shutil.copytree(models["unigram"], path)
    (path / "part-1").symlink_to(path.parent / "mine")


def linked_files(path: Path, models) -> None:
    """Make a model's folder whose companion files are links to a file of the user's."""
    (path.parent / "mine.txt").write_text("years of work")
    shutil.copytree(models["lstm"], path)
    for name in ("README.md", "metrics.jsonl"):
        (path / name).unlink()
        (path / name).symlink_to(path.parent / "mine.txt")


WRITERS = {
    "train": "train {text} --model unigram -o OUT",
    "train a network": f"train {{text}} --model lstm {TINY} -o OUT",
    "import": "import {arpa} -o OUT",
    "mix": "mix {lstm} {ngram} --weights 0.5,0.5 -o OUT",
    "mix, static": "mix {ngram} {ngram} --static --weights 0.5,0.5 -o OUT",
    "prune": "prune -m {ngram} --max-order 1 -o OUT",
    "prepare": "prepare {text} -o OUT --workers 1",
}  # fmt: skip
FILES = {
    "count": "count {text} -o OUT", "ARPA": "export -m {ngram} --arpa OUT",
    "report": "report {unigram} -o OUT",
    "scores": "score -m {unigram} the -o OUT",
    "1-best": "rescore -m {unigram} --tune {nbest} --output OUT",
    "n-best": "rescore -m {unigram} --tune {nbest} --nbest-output OUT",
    "weights": "rescore -m {unigram} --tune {nbest} --weights-output OUT",
    "pairs": "score -m {unigram} --pairs {pairs} -o OUT",
}  # fmt: skip

FOLDERS = {  # what OUT is, and what is said of it
    "folder not empty": ("mine", "mine is not empty", {"mine": thesis}),
    "folder is a file": ("text", "", {"text": b"mine\n"}),
    "below a file": ("text/m", "cannot write to text/m", {"text": b"mine\n"}),
    "a model is there": ("m", "m already holds a model", {"m": copy("unigram")}),
    "where nobody can write": ("/proc/nothere", "cannot write to /proc/nothere", {}),
    "a name too long": ("m" * 300, "cannot write to mmm", {}),
}  # fmt: skip
PLACES = {
    "a file is there": ("out.jsonl", "out.jsonl already exists", {"out.jsonl": b"mine\n"}),
    "no such folder": ("no/out.jsonl", "cannot write no/out.jsonl", {}),
    "where nobody can write": ("/proc/out.jsonl", "cannot write", {}),
    "a name too long": ("m" * 300 + ".jsonl", "cannot ", {}),
}  # fmt: skip
if os.geteuid():  # root writes everywhere
    FOLDERS["read-only"] = ("r/m", "cannot write", {"r": readonly})

OTHERWISE = {("where nobody can write", "report"), ("a model is there", "prepare")}
ROWS = [
    Bad(f"{name}: {how}", command.replace("OUT", out), what, files)
    for commands, places in ((WRITERS, FOLDERS), (FILES, PLACES))
    for name, (out, what, files) in places.items()
    for how, command in commands.items()
    if (name, how) not in OTHERWISE
]
ROWS += [
    Bad(
        "where nobody can write: report",
        FILES["report"].replace("OUT", "/proc/out.html"),
        "cannot write to /proc/out.html",
    )
]
ROWS += [Bad(f"a folder is there: {how}", command.replace("OUT", "d.jsonl"),
             "Invalid value" if "rescore" in command else "cannot write d.jsonl",
             {"d.jsonl": thesis},
             code=2 if "rescore" in command else 1)
         for how, command in FILES.items() if how != "count"]  # fmt: skip
ROWS += [
    Bad("a folder is there: count", "count {text} -o d.jsonl", "d.jsonl is not empty",
        {"d.jsonl": thesis}),
    Bad("folder not empty: train, overwrite", "train {text} --model unigram -o mine --overwrite",
        "mine is not empty", {"mine": thesis}),
    usage("mix: over one of its parts", "mix m {ngram} --weights 0.5,0.5 -o m --overwrite", "",
          {"m": copy("lstm")}),
    fine("mix, static: over one of its parts",
         "mix m {ngram} --static --weights 0.5,0.5 -o m --overwrite", {"m": copy("ngram")}),
    Bad("mix, static: an ARPA file is there",
        "mix {ngram} {ngram} --static --weights 0.5,0.5 -o out.arpa", "out.arpa already exists",
        {"out.arpa": b"mine\n"}),
    Bad("mix, static: an ARPA file in no folder",
        "mix {ngram} {ngram} --static --weights 0.5,0.5 -o no/out.arpa.gz",
        "cannot write no/out.arpa.gz"),
    Bad("mix, static: a folder of the name of an ARPA file",
        "mix {ngram} {ngram} --static --weights 0.5,0.5 -o out.arpa --overwrite",
        "cannot write out.arpa", {"out.arpa": thesis}),
    Bad("mix, static: temporary files below a file",
        "mix {ngram} {ngram} --static --weights 0.5,0.5 -o out --memory 8G --temp text/t",
        "cannot write to text/t", {"text": b"mine\n"}),
    fine("prune: over itself", "prune -m m -o m --max-order 1 --overwrite", {"m": copy("ngram")}),
    usage("count: over its text", "count text -o text --overwrite", "text is also an input",
          {"text": b"the man\n"}),
    usage("count: over its text, by another name", "count *.txt -o link --overwrite",
          "link is also an input",
          {"a.txt": b"the man\n", "link": lambda path, models: path.symlink_to("a.txt")}),
    usage("score: over its input", "score -m {unigram} --input a.jsonl -o a.jsonl --overwrite",
          "a.jsonl is also an input",
          {"a.jsonl": b'{"text": "a"}\n'}),
    usage("score: over its pairs",
          "score -m {unigram} --pairs a.jsonl -o a.jsonl --overwrite",
          "a.jsonl is also an input",
          {"a.jsonl": b'{"good": "a", "bad": "b"}\n'}),
    usage("rescore: over its list",
          "rescore -m {unigram} --tune n.tsv --nbest-output n.tsv --overwrite", "",
          {"n.tsv": GOOD}),
    usage("score: compressed", "score -m {unigram} the -o out.jsonl.gz", "-o holds rows or records"),
    usage("score: a journal of another run", "score -m {unigram} the -o out.jsonl --resume",
          "out.jsonl was started with another model or other options",
          {"out.jsonl": b"x\n", "out.jsonl.run": b'{"model": "\\u001b[31m"}\n'}),
    usage("train: nothing to resume", "train {text} --resume -o out",
          "there is nothing to resume in out"),
    fine("a link of the model's folder leads to another model",
         "train {text} --model unigram -o m --overwrite", {"m": linked_part}),
    fine("links of the model's folder lead to a file",
         f"train {{text}} --model lstm {TINY} -o m --overwrite", {"m": linked_files}),
]  # fmt: skip
