"""`rnnlm prepare` given bad texts, options and folders; and damaged prepared texts, as training,
eval, info and doctor find them."""

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import rnnlm
from rnnlm.files import tensors
from support.hostile.cases import TINY, Bad, Maker, copy, usage
from support.hostile.models import PICKLE, write
from support.hostile.outputs import thesis

Damage = Callable[[Path], Any]
FIRST, SECOND = "shard-00000.safetensors", "shard-00001.safetensors"
TEXT = b"the man and the boy\nthe boy was there\n" * 40


def text(*damages: Damage) -> Maker:
    """Make a damaged copy of the existing prepared text, which has several shards."""

    def make(path: Path, models) -> None:
        shutil.copytree(models["prepared"], path)
        for damage in damages:
            damage(path)

    return make


def prepared(*damages: Damage, **request: Any) -> Maker:
    """Prepare text.txt as the command does."""

    def make(path: Path, models) -> None:
        list(rnnlm.prepare("text.txt", path, workers=0, **request))
        for damage in damages:
            damage(path)

    return make


def index(change: Callable[[dict[str, Any]], Any]) -> Damage:
    """Change index.json."""

    def damage(folder: Path) -> None:
        content = json.loads((folder / "index.json").read_bytes())
        content = change(content) or content
        (folder / "index.json").write_text(json.dumps(content))

    return damage


def shard(change: Callable[[dict[str, np.ndarray]], Any], number: int = 0) -> Damage:
    """Change the arrays of a shard, in a file that stays well-formed and has the length that the
    index says."""

    def damage(folder: Path) -> None:
        path = sorted(folder.glob("shard-*"))[number]
        arrays = {name: np.array(array) for name, array in tensors.mapped(path).items()}
        arrays = change(arrays) or arrays
        rewritten(b"".join(tensors.chunks(arrays)), number)(folder)

    return damage


def rewritten(data: bytes, number: int = 0) -> Damage:
    """Write other bytes into a shard, and their length into the index."""

    def damage(folder: Path) -> None:
        sorted(folder.glob("shard-*"))[number].write_bytes(data)
        index(lambda content: content["shards"][number].update(file_bytes=len(data)))(folder)

    return damage


def header(size: int | None = None, **values: Any) -> Damage:
    """Change what the first shard's header claims: its own length, or the entry of the ids."""

    def damage(folder: Path) -> None:
        data = (folder / FIRST).read_bytes()
        end = 8 + int.from_bytes(data[:8], "little")
        entries = json.loads(data[8:end])
        entries["ids"].update(values)
        new = json.dumps(entries).encode()
        rewritten((len(new) if size is None else size).to_bytes(8, "little") + new + data[end:])(
            folder
        )

    return damage


def renamed(name: str) -> Damage:
    return index(lambda content: content["shards"][0].update(name=name))


def count(name: str, more: int) -> Damage:
    """Raise a count of the first shard and the total, so that they agree."""

    def change(content):
        content["shards"][0]["counts"][name] += more
        content["counts"][name] += more

    return index(change)


def swapped(folder: Path) -> None:
    (folder / FIRST).rename(folder / "x")
    (folder / SECOND).rename(folder / FIRST)
    (folder / "x").rename(folder / SECOND)


def linked(name: str, target: str) -> Damage:
    def damage(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(target)

    return damage


def unfinished(folder: Path) -> None:
    """Make the folder look as if the work had been cut off before the first shard was finished."""
    index(lambda content: content.update(shards=[], counts={}, lines_hash=""))(folder)
    (folder / "index.json").rename(folder / "unfinished.json")


def cut_off_after_a_shard(folder: Path) -> None:
    (folder / "index.json").rename(folder / "unfinished.json")


def setting(name: str, value: Any) -> Callable[[np.ndarray], Any]:
    return lambda arrays: arrays[name].__setitem__(slice(0, 1), value)


DAMAGED = "the prepared text in d is damaged"
INDEXES = {
    "index.json cut off": (DAMAGED, lambda folder: os.truncate(folder / "index.json", 200)),
    "index.json empty": (DAMAGED, write("index.json", b"")),
    "index.json a pickle": (DAMAGED, write("index.json", PICKLE)),
    "index.json a nest of arrays": (DAMAGED, write("index.json", b"[" * 1_000_000)),
    "index.json in UTF-16": (DAMAGED, write("index.json", "{}".encode("utf-16"))),
    "index.json of 65 MB": (DAMAGED, write("index.json", b" " * (65 << 20))),
    "index.json a link to a device": ("", linked("index.json", "/dev/zero")),
    "a newer format": ("the text in d has format 99",
                       index(lambda content: content.update(format_version=99))),
    "a format of terminal escapes": (DAMAGED,
                                     index(lambda content: content.update(format_version="\x1b[31m"))),
    "a shard's path that leads out": (DAMAGED, renamed(f"../{FIRST}")),
    "a shard's path that is absolute": (DAMAGED, renamed("/etc/passwd")),
    "a shard's name with terminal escapes": (DAMAGED, renamed("\x1b]0;owned\x07.safetensors")),
    "a shard's name with NUL": (DAMAGED, renamed("shard-00000\0.safetensors")),
    "a tokenizer's path that leads out": (DAMAGED,
        index(lambda content: content.update(files={"../vocab.txt": content["files"]["vocab.txt"]}))),
    "a count below zero": (DAMAGED,
                           index(lambda content: content["shards"][0]["counts"].update(tokens=-1))),
    "a shard without counts": (DAMAGED, index(lambda content: content["shards"][0].update(counts={}))),
    "a count of 1e400": (DAMAGED,
                         index(lambda content: content["shards"][0]["counts"].update(tokens=float("inf")))),
    "totals that do not add up": (DAMAGED,
                                  index(lambda content: content["counts"].update(lines=1))),
    "shards out of order": (DAMAGED, index(lambda content: content["shards"].reverse())),
    "a list of 20,000 shards": (DAMAGED,
                                index(lambda content: content.update(shards=content["shards"][:1] * 20_000))),
}  # fmt: skip
FILES = {
    "no shards": (DAMAGED,
                  index(lambda content: content.update(shards=[], counts={}, lines_hash=""))),
    "10^15 tokens": (DAMAGED, count("tokens", 10**15)),
    "10^15 lines": (DAMAGED, count("lines", 10**15)),
    "10^18 unknown tokens": (DAMAGED, count("oov_tokens", 10**18)),
    "a vocabulary of 10^30": (DAMAGED,
                              index(lambda content: content.update(vocabulary_size=10**30))),
    "a length of 10^30": (DAMAGED,
                          index(lambda content: content["shards"][0].update(file_bytes=10**30))),
    "a shard missing": (DAMAGED, lambda folder: (folder / SECOND).unlink()),
    "a shard cut off": (DAMAGED, lambda folder: os.truncate(folder / SECOND, 100)),
    "a shard empty, and so recorded": (DAMAGED, rewritten(b"")),
    "a shard a pickle, and so recorded": (DAMAGED, rewritten(PICKLE)),
    "a shard a link to a device": (DAMAGED, linked(FIRST, "/dev/zero")),
    "a shard a link out of the folder": (DAMAGED,
                                         lambda folder: ((folder / FIRST).rename(folder.parent / "away"), linked_back(folder))),
    "shards swapped": (DAMAGED, swapped),
    "a header of 2^63 bytes": (DAMAGED, header(2**63)),
    "a header of no bytes": (DAMAGED, header(0)),
    "ids in a shape of 10^18": (DAMAGED, header(shape=[10**18])),
    "ids in a negative shape": (DAMAGED, header(shape=[-1, -1])),
    "ids beyond the file": (DAMAGED, header(data_offsets=[0, 2**62])),
    "ids of an unknown type": (DAMAGED, header(dtype="F8\x1b[31m")),
    "ids that are floating-point numbers": (DAMAGED,
                                            shard(lambda arrays: arrays.update(ids=arrays["ids"].astype(np.float32)))),
    "an array missing": (DAMAGED, shard(lambda arrays: arrays.pop("oov") is None)),
    "an array too many": (DAMAGED,
                          shard(lambda arrays: arrays.update({"one\x1b[31m": np.zeros(1,
                              np.uint8)}))),
    "vocabulary missing": (DAMAGED, lambda folder: (folder / "vocab.txt").unlink()),
    "vocabulary cut off": (DAMAGED, lambda folder: os.truncate(folder / "vocab.txt", 50)),
    "vocabulary changed": (DAMAGED,
                           lambda folder: write("vocab.txt",
                                                (folder / "vocab.txt").read_bytes().replace(b"the",
                                                    b"teh"))(folder)),
    "vocabulary a link to a device": (DAMAGED, linked("vocab.txt", "/dev/zero")),
    "another tokenizer": (DAMAGED,
                          index(lambda content: content["tokenizer"].update(tokenizer="\x1b[31mbpe"))),
    "settings of the text that there are not": ("",
                                                index(lambda content: content["text_settings"].update(blank_lines="\x1b[31m"))),
}  # fmt: skip
CONTENT = {  # which only reading can find
    "ids beyond the vocabulary": shard(setting("ids", 60_000)),
    "lines of more tokens than there are": shard(lambda arrays: arrays.update(tokens=np.full_like(arrays["tokens"], 255)), -1),
    "lines of fewer tokens than there are": shard(lambda arrays: arrays.update(tokens=np.zeros_like(arrays["tokens"])), -1),
}  # fmt: skip


def linked_back(folder: Path) -> None:
    (folder / FIRST).symlink_to(folder.parent / "away")


READERS = {
    "train": "train d --model unigram -o out",
    "train a network": f"train d --model lstm {TINY} -o out",
        "valid": "train {text} --valid d --model unigram -o out",
    "test": f"train d --test d --model lstm {TINY} -o out",
}  # fmt: skip
PREPARE = "prepare text.txt -o d --workers 1"
ROWS = [
    Bad(f"eval: {name}", "eval -m {unigram} d", what, {"d": text(damage)})
    for name, (what, damage) in {**INDEXES, **FILES}.items()
]
ROWS += [Bad(f"{how}: {name}", command, {**INDEXES, **FILES}[name][0],
             {"d": text({**INDEXES, **FILES}[name][1])})
         for how,
         command in READERS.items() for name in ("index.json cut off", "a shard missing",
                                                 "shards swapped",
             "vocabulary changed")]  # fmt: skip
ROWS += [
    Bad(f"info: {name}", "info d", what, {"d": text(damage)})
    for name, (what, damage) in INDEXES.items()
]
ROWS += [Bad(f"doctor: {name}", "doctor d", None, {"d": text(damage)})
         for name, damage in {**{name: damage for name, (_, damage) in {**INDEXES, **FILES}.items()
                                 if "a link to a device" not in name and "settings" not in name}, **CONTENT}.items()]  # fmt: skip
ROWS += [Bad(f"{how}: {name}", command, "the prepared text", {"d": text(damage)}) for name,
         damage in CONTENT.items()
         for how,
         command in {"eval": "eval -m {unigram} d",
                     **READERS}.items() if how != "valid"]  # fmt: skip
ROWS += [Bad(f"prepare: bad text, {name}", PREPARE, what, {"text.txt": data}, keeps=False) for name,
         (what, data) in {
    "not UTF-8": ("text.txt, line 2, byte 5", b"good\nbad \xff here\n"),
    "in UTF-16": ("text.txt is in UTF-16", "the man\n".encode("utf-16")),
    "empty": ("no text in text.txt", b""), "blank": ("no text in text.txt", b"\n \n\t\n"),
    "reserved symbols": ("text.txt, line 2",
        b"a\nb </s>\n"),
}.items()]  # fmt: skip
ROWS += [
    usage("prepare: standard input twice", "prepare - - -o d", "standard input is named twice"),
    *(usage(f"prepare: a sample of {size!r}", f"{PREPARE} --sample '{size}'", "sample = ",
            {"text.txt": TEXT})
      for size in ("", "nan", "0", "\x1b[31m", "9" * 5000)),
    Bad("prepare: the tokenizer of a damaged text", f"{PREPARE} --tokenizer-from old",
        "the prepared text in old is damaged",
        {"text.txt": TEXT, "old": text(INDEXES["index.json cut off"][1])}),
    usage("prepare: a tokenizer and another",
          f"{PREPARE} --tokenizer-from {{unigram}} --tokenizer char", "", {"text.txt": TEXT}),
    usage("prepare: a tokenizer and a sample",
          f"{PREPARE} --tokenizer-from {{unigram}} --sample 1M", "--tokenizer-from and --sample",
        {"text.txt": TEXT}),
    Bad("prepare: the folder is a model, overwrite", f"{PREPARE} --overwrite", "d is not empty",
        {"text.txt": TEXT, "d": copy("unigram")}),
    Bad("prepare: the folder is not empty, overwrite", f"{PREPARE} --overwrite", "d is not empty",
        {"text.txt": TEXT, "d": thesis}),
    Bad("prepare: the folder has an index of others, overwrite", f"{PREPARE} --overwrite",
        "d is not empty",
        {"text.txt": TEXT, "d": lambda path,
         models: (thesis(path, models), write("index.json", b'{"page": 1}')(path))}),
    Bad("prepare: the folder has a prepared text", PREPARE, "d holds a prepared text already",
        {"text.txt": TEXT, "d": prepared()}),
    Bad("prepare: the folder has a part", PREPARE, "d holds a partly prepared text",
        {"text.txt": TEXT,
        "d": prepared(unfinished)}),
    Bad("prepare: overwrite with a damaged text", "prepare t.gz -o d --workers 1 --overwrite",
        "cannot read t.gz",
        {"text.txt": TEXT, "d": prepared(), "t.gz": gzip.compress(TEXT)[:-9]}),
    usage("resume: and overwrite", f"{PREPARE} --resume --overwrite", "--resume and --overwrite",
          {"text.txt": TEXT,
        "d": prepared(unfinished)}),
    usage("resume: other settings", f"{PREPARE} --resume --max-vocab 10", "--resume cannot continue",
          {"text.txt": TEXT,
        "d": prepared(unfinished)}),
    usage("resume: other settings of a whole text", f"{PREPARE} --resume --lowercase",
          "--resume cannot continue", {"text.txt": TEXT,
        "d": prepared()}),
    usage("resume: a longer text", f"{PREPARE} --resume", "--resume cannot continue",
          {"text.txt": TEXT,
           "d": prepared(unfinished, lambda folder: write("../text.txt", TEXT + TEXT)(folder))}),
    usage("resume: another text of that length", f"{PREPARE} --resume",
          "the text is not the one that was prepared so far",
          {"text.txt": TEXT,
           "d": prepared(cut_off_after_a_shard,
                         lambda folder: write("../text.txt", TEXT.upper())(folder))}),
    usage("resume: another text", "prepare other.txt -o d --resume", "--resume cannot continue",
          {"text.txt": TEXT, "other.txt": TEXT,
        "d": prepared(unfinished)}),
    Bad("resume: the journal cut off", f"{PREPARE} --resume", DAMAGED,
        {"text.txt": TEXT,
         "d": prepared(unfinished, lambda folder: os.truncate(folder / "unfinished.json", 99))}),
    Bad("resume: the journal a pickle", f"{PREPARE} --resume", DAMAGED,
        {"text.txt": TEXT, "d": prepared(unfinished,
        write("unfinished.json", PICKLE))}),
    Bad("resume: the vocabulary changed", f"{PREPARE} --resume", DAMAGED,
        {"text.txt": TEXT, "d": prepared(unfinished, write("vocab.txt",
        b"1\tx\n"))}),
    Bad("resume: the vocabulary missing", f"{PREPARE} --resume", DAMAGED,
        {"text.txt": TEXT,
         "d": prepared(unfinished, lambda folder: (folder / "vocab.txt").unlink())}),
    Bad("train: not prepared to its end", "train d --model unigram -o out",
        "the text in d is not completely prepared",
        {"text.txt": TEXT, "d": prepared(unfinished)}),
    usage("train: another text besides", "train d {text} --model unigram -o out",
          "d is a prepared text", {"d": text()}),
    usage("train: another tokenizer", "train d --model unigram --tokenizer char -o out",
          "d is prepared with tokenizer", {"d": text()}),
    usage("eval: another tokenizer", "eval -m {subwords} d", "d is prepared with another tokenizer",
          {"d": text()}),
    Bad("count: needs the text itself", "count d", "d is a prepared text", {"d": text()}),
]  # fmt: skip
