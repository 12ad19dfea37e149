"""Prepared texts that are damaged, and bad texts, options and folders of `prepare`."""

import json
import shutil

import numpy as np
import pytest

import rnnlm
from rnnlm.storage.files import tensors
from rnnlm.storage.files.writing import digest, write_facts
from support.damages import PICKLE, cut, link, remove, write

pytestmark = pytest.mark.needs("tasks/labelling", "tasks/seq2seq", "tools/mixtures")

FIRST, SECOND = "shard-00000.safetensors", "shard-00001.safetensors"
TEXT = b"the man and the boy\nthe boy was there\n" * 40
ESCAPE = "\x1b[31m"


def index(change=dict, **values):
    """Change index.json: set these values, then apply `change`."""

    def damage(folder):
        content = json.loads((folder / "index.json").read_bytes())
        del content["hash"]
        content.update(values)
        change(content)
        # Beside the hash, something else must find it.
        write_facts(folder / "index.json", content)

    return damage


def first_shard(**values):
    return index(lambda content: content["shards"][0].update(values))


def more(name, number):
    """Raise a count of the first shard and the total, so that they agree."""

    def change(content):
        content["shards"][0]["counts"][name] += number
        content["counts"][name] += number

    return index(change)


def rewritten(change, number=0):
    """Write other bytes into a shard, and their length and hash into the index."""

    def damage(folder):
        path = sorted(folder.glob("shard-*"))[number]
        data = change(path)
        path.write_bytes(data)
        now = {"file_bytes": len(data), "sha256": digest([data])}
        index(lambda content: content["shards"][number].update(now))(folder)

    return damage


def array(name, change, number=0):
    """Change an array of a shard, or remove it, in a file that stays well-formed."""

    def chunks(path):
        found = {name: np.array(array) for name, array in tensors.mapped(path).items()}
        changed = change(found.pop(name))
        return b"".join(tensors.chunks(found if changed is None else {**found, name: changed}))

    return rewritten(chunks, number)


def exchange_shards(folder):
    (folder / FIRST).rename(folder / "x")
    (folder / SECOND).rename(folder / FIRST)
    (folder / "x").rename(folder / SECOND)


def vocabulary_outside(folder):
    """Move the vocabulary out of the folder, and name it there."""
    (folder / "vocab.txt").rename(folder.parent / "vocab.txt")
    index(
        lambda content: content["files"].update({"../vocab.txt": content["files"].pop("vocab.txt")})
    )(folder)


DAMAGES = {
    "a digit of the index": lambda folder: write("index.json",
        (folder / "index.json").read_bytes().replace(b'"words": ', b'"words": 1', 1))(folder),
    "index cut off": cut("index.json", 200), "index a pickle": write("index.json", PICKLE),
    "index of 65 MB": write("index.json", b" " * (65 << 20)),
    "a format of terminal escapes": index(format_version=ESCAPE),
    "a shard's path that leads out": first_shard(name=f"../{FIRST}"),
    "a shard's name with escapes": first_shard(name="\x1b]0;owned\x07.safetensors"),
    "a tokenizer's path that leads out": vocabulary_outside,
    "a count below zero": first_shard(counts={"tokens": -1}),
    "a shard without counts": first_shard(counts={}),
    "totals that do not add up": index(lambda content: content["counts"].update(lines=1)),
    "shards out of order": index(lambda content: content["shards"].reverse()),
    "20,000 shards": index(lambda content: content.update(shards=content["shards"][:1] * 20_000)),
    "no shards": index(shards=[], counts={}, lines_hash=""),
    "10^15 tokens": more("tokens", 10**15), "10^15 lines": more("lines", 10**15),
    "10^18 unknown tokens": more("oov_tokens", 10**18),
    "a vocabulary of 10^30": index(vocabulary_size=10**30),
    "a shard missing": remove(SECOND), "a shard cut off": cut(SECOND, 100),
    "a shard a link to a device": link(FIRST, "/dev/zero"),
    "a shard a link out of the folder": link(FIRST), "shards exchanged": exchange_shards,
    "a shard a pickle, and so recorded": rewritten(lambda path: PICKLE),
    "ids that are no whole numbers": array("ids", lambda ids: ids.astype(np.float32)),
    "an array missing": array("oov", lambda oov: None),
    "ids too few": array("ids", lambda ids: ids[1:]),
    "unknown tokens too many": array("oov", lambda oov: np.resize(oov, len(oov) + 1)),
    "vocabulary missing": remove("vocab.txt"),
    "vocabulary changed": lambda folder: write("vocab.txt",
        (folder / "vocab.txt").read_bytes().replace(b"the", b"teh"))(folder),
    "vocabulary a link to a device": link("vocab.txt", "/dev/zero"),
    "another tokenizer": index(lambda content: content["tokenizer"].update(tokenizer=ESCAPE)),
}  # fmt: skip


def last_byte(folder):
    data = bytearray((folder / FIRST).read_bytes())
    data[-1] ^= 1
    write(FIRST, bytes(data))(folder)


CONTENT = {  # which only reading can find
    "a bit of a shard": last_byte,
    "ids beyond the vocabulary": array("ids", lambda ids: np.full_like(ids, 60_000)),
    "too many tokens in a line": array("tokens", lambda tokens: np.full_like(tokens, 255), -1),
    "too few tokens in a line": array("tokens", lambda tokens: np.zeros_like(tokens), -1),
}
DAMAGES |= CONTENT
DAMAGED = "the prepared text in d is damaged"
TINY = "--set hidden_size=8 --set embedding_size=8 --precision fp32 --budget 2steps"
READERS = [
    "train d --model unigram -o out", f"train d --model lstm {TINY} -o out",
    "train {text} --valid d --model unigram -o out", f"train d --test d --model lstm {TINY} -o out",
]  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_text_is_refused_with_its_name(refused, harmless, there, here, name):
    shutil.copytree(there["prepared"], "d")
    DAMAGES[name](here / "d")
    refused("eval -m {unigram} d", "the prepared text" if name in CONTENT else DAMAGED)
    if "a link to a device" not in name:
        harmless("doctor d", code=1)


@pytest.mark.parametrize(
    "name", ["index cut off", "a shard missing", "vocabulary changed", *CONTENT]
)
@pytest.mark.parametrize("line", READERS)
def test_each_command_that_reads_it_refuses_it(refused, there, here, line, name):
    if "--valid d" in line and name in CONTENT:
        pytest.skip("a unigram model counts the lines, and reads no ids")
    shutil.copytree(there["prepared"], "d")
    DAMAGES[name](here / "d")
    refused(line, "the prepared text" if name in CONTENT else DAMAGED)


@pytest.mark.system("proc")
def test_an_index_that_is_none_is_not_described(refused, there, here):
    shutil.copytree(there["prepared"], "d")
    index(text_settings={"blank_lines": ESCAPE})(here / "d")
    refused("eval -m {unigram} d", "")
    index(format_version=99)(here / "d")
    refused("info d", "the text in d has format 99")
    link("index.json", "/dev/zero")(here / "d")
    refused("info d", "")


def begun(folder):
    """Make the folder look as if the work had been cut off before the first shard."""
    index(shards=[], counts={}, lines_hash="")(folder)
    later(folder)


def later(folder):
    """Make the folder look as if the work had been cut off at its end."""
    (folder / "index.json").rename(folder / "unfinished.json")


def other_text(content):
    return write("../text.txt", content)


THESIS = write("thesis.tex", b"years of work")
OTHER, CHANGED = "d already holds another result", "d has changed since it was written"
PREPARE = "prepare text.txt -o d --workers 1"
REQUESTS = {  # what happened to a prepared text, what is typed, and what is said
    "a sample of NaN": ([], f"{PREPARE} --sample nan", "sample = ", 2),
    "a sample of escapes": ([], f"{PREPARE} --sample '{ESCAPE}'", "sample = ", 2),
    "two tokenizers": ([], f"{PREPARE} --tokenizer-from {{unigram}} --tokenizer char", "", 2),
    "a tokenizer and a sample": ([], f"{PREPARE} --tokenizer-from {{unigram}} --sample 1M", "", 2),
    "stdin twice": ([], "prepare - - -o d", "standard input is named twice", 2),
    "bad text": (
        [other_text(b"a\nb \xff\n")], f"{PREPARE} --overwrite", "text.txt, line 2, byte 3", 1),
    "others": ([remove("index.json"), THESIS], f"{PREPARE} --overwrite", "d is not empty", 1),
    "another index": (
        [write("index.json", b"{}"), THESIS], f"{PREPARE} --overwrite", "d is not", 1),
    "a foreign index alone": (
        [remove("vocab.txt"), remove(FIRST), write("index.json", b"{}")],
        f"{PREPARE} --overwrite", "d is not empty and holds no prepared text", 1),
    "other settings": ([begun], f"{PREPARE} --max-vocab 10", OTHER, 1),
    "whole, others": ([], f"{PREPARE} --lowercase", OTHER, 1),
    "a longer text": ([begun, other_text(TEXT * 2)], PREPARE, OTHER, 1),
    "another text": ([later, other_text(TEXT.upper())], PREPARE, OTHER, 1),
    "half a journal": ([begun, cut("unfinished.json", 99)], PREPARE, CHANGED, 1),
    "vocabulary changed": ([begun, write("vocab.txt", b"1\tx\n")], PREPARE, CHANGED, 1),
    "vocabulary missing": ([begun, remove("vocab.txt")], PREPARE, CHANGED, 1),
    "train: a part": ([begun], "train d --model unigram -o out", "the text in d is only partly", 1),
    "train: two texts": ([], "train d {text} --model unigram -o out", "d is a prepared text", 2),
    "train: tokenizer": (
        [], "train d --model unigram --tokenizer char -o out", "d was prepared", 2),
    "eval: tokenizer": ([], "eval -m {subwords} d", "d was prepared with another tokenizer", 2),
    "train: characters": (
        [], "train d --model lstm --set characters=cnn -o out", "d does not store the spelling", 2),
    "count": ([], "count d", "d is a prepared text", 1),
    "damaged": ([cut("index.json", 9)], "prepare text.txt -o o --tokenizer-from d", DAMAGED, 1),
}  # fmt: skip


@pytest.mark.parametrize(("damages", "line", "what", "code"), REQUESTS.values(), ids=REQUESTS)
def test_a_prepared_text_is_kept(refused, here, damages, line, what, code):
    (here / "text.txt").write_bytes(TEXT)
    list(rnnlm.prepare("text.txt", here / "d", workers=0))
    for damage in damages:
        damage(here / "d")
    refused(line, what, code)


def test_a_text_without_words_is_not_prepared(refused, here):
    (here / "text.txt").write_bytes(b"\n \n\t\n")
    refused(PREPARE, "no text in text.txt", keeps=False)


def test_documents_out_of_order_are_found(refused, here):
    (here / "text.txt").write_bytes(TEXT.replace(b"there\n", b"there\n\n"))
    list(rnnlm.prepare("text.txt", here / "d", workers=0, blank_lines="documents"))
    array("document_lines", lambda lines: lines[::-1])(here / "d")
    refused(READERS[1], DAMAGED)
