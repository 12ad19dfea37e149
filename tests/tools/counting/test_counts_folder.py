"""Counts in folders: what was counted comes back, sums are those of the whole, damage is said."""

import errno
import json
import random
from pathlib import Path

import numpy as np
import pytest

from rnnlm.errors import ModelError, OutputError, RnnlmWarning, UsageError
from rnnlm.lm.ngram.counting.count_trie import count
from rnnlm.lm.ngram.counting.workspace import Workspace
from rnnlm.storage.files import tensors
from rnnlm.storage.files.resuming import NextStep
from rnnlm.storage.files.writing import digest
from rnnlm.text.corpus import Corpus
from rnnlm.text.lines import TextSettings
from rnnlm.tools.counting import counts_folder, strings
from rnnlm.tools.counting.counted_data import of_folders, of_text
from rnnlm.tools.counting.counts_folder import CountsFolder
from support.random_texts import SEEDS, random_text
from support.saved_models import sealed
from support.tiny_models import make_tokenizer
from support.tiny_ngrams import assert_same

WORK = {"order": "3"}
KEEP = TextSettings(blank_lines="keep")
LINES = ["a b", "b a"]


def saved(folder: Path, lines=LINES, tokenizer=None, order=3, settings=KEEP) -> CountsFolder:
    """Count lines into a folder."""
    folder.mkdir(exist_ok=True)
    tokenizer = tokenizer or make_tokenizer(lines)
    with of_text(Corpus.from_lines(lines, settings), tokenizer, order, None) as counted:
        return counts_folder.save(folder, counted.levels, order, counted.source, tokenizer, WORK)


def refused(opened, why=""):
    with pytest.raises(ModelError, match="the counts in .*a are damaged") as raised:
        opened()
    assert why in raised.value.why


def levels_of_lines(lines, tokenizer, order):
    encoded = Corpus.from_lines(lines, KEEP).encode(tokenizer)
    return count(encoded.ids, tokenizer.boundary_id, tokenizer.size, order)


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("number", [1, 6])
def test_merged_counts_equal_counts_of_the_whole(seeds, number, tmp_path, monkeypatch):
    monkeypatch.setattr(counts_folder, "PIECE_NGRAMS", 50)
    for seed in seeds:
        text = random_text(seed)
        tokenizer = make_tokenizer(text.lines())
        # The shards come in any order.
        names = []
        for place, sentences in enumerate(text.shards(number)):
            lines = [" ".join(f"w{word}" for word in sentence) for sentence in sentences]
            names.append(str(tmp_path / f"{seed}-{place}"))
            saved(Path(names[-1]), lines, tokenizer, text.order)
        expected = list(levels_of_lines(text.lines(), tokenizer, text.order))
        with of_folders(names) as counted:
            folder = tmp_path / f"{seed}-all"
            folder.mkdir()
            read = counted.levels, counted.order, counted.source, counted.tokenizer
            merged = counts_folder.save(folder, *read, WORK)
        merged.check()
        assert_same(merged.levels(), expected)
        assert merged.index.source.tokens == np.asarray(expected[0].counts_M)[:-1].sum()
        assert merged.index.source.lines == len(text.sentences)
        assert counts_folder.load(folder).tokenizer.symbols() == tokenizer.symbols()


def test_interrupted_counts_go_on_from_temp(tmp_path, monkeypatch):
    lines = [f"w{i % 7} w{i % 5} w{i % 3}" for i in range(200)]
    tokenizer = make_tokenizer(lines)
    temp = tmp_path / "temp"
    text = Corpus.from_lines(lines, KEEP)
    chunks = tensors.chunks
    written = []

    def on_a_full_disk(arrays):
        written.append(arrays)
        if len(written) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return chunks(arrays)

    monkeypatch.setattr(Workspace, "shard", lambda self, columns: 100)
    with monkeypatch.context() as patched:
        patched.setattr(tensors, "chunks", on_a_full_disk)
        with pytest.raises(OutputError, match="cannot write to .*temp") as raised:  # noqa: SIM117
            with of_text(text, tokenizer, 3, "4G", str(temp)) as counted:
                list(counted.levels)
    assert "run the same command again, or delete the folder" in raised.value.hint
    with of_text(text, tokenizer, 3, "4G", str(temp)) as counted:
        assert_same(counted.levels, levels_of_lines(lines, tokenizer, 3))
    assert not temp.exists()


def test_lower_orders_can_be_taken_alone(tmp_path):
    lines = ["a b a c", "a b"]
    tokenizer = make_tokenizer(lines)
    saved(tmp_path / "a", lines, tokenizer, order=4)
    with of_folders([str(tmp_path / "a")], 2) as counted:
        assert_same(counted.levels, levels_of_lines(lines, tokenizer, 2))
    higher = of_folders([str(tmp_path / "a")], 5)
    with pytest.raises(UsageError, match="order = 5 is higher than"):
        higher.__enter__()


@pytest.mark.parametrize("seed", range(8))
def test_rows_are_those_of_the_text(seed, tmp_path):
    text = random_text(seed)
    tokenizer = make_tokenizer(text.lines())
    counts = saved(tmp_path / "a", text.lines(), tokenizer, text.order)
    chance = random.Random(seed)
    options = {"highest_only": chance.random() < 0.3, "min_count": chance.choice([1, 1, 2])}
    corpus = Corpus.from_lines(text.lines(), KEEP)
    expected = list(strings.count_text(corpus, tokenizer, text.order, **options))
    assert list(strings.rows_of(counts.levels(), tokenizer, text.order, **options)) == expected


def damage_a_byte(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def change(path: Path, old: str, new: str) -> None:
    """Change the index, whose hash is right afterwards."""
    text = path.read_text()
    assert old in text
    path.write_text(json.dumps(sealed(json.loads(text.replace(old, new)))))


DAMAGES = {  # what becomes of a piece, of the index and of the vocabulary
    "a byte of a piece": lambda piece, index, words: damage_a_byte(piece, -1),
    "a short piece": lambda piece, index, words: piece.write_bytes(piece.read_bytes()[:-1]),
    "no piece": lambda piece, index, words: piece.unlink(),
    "a byte of a word": lambda piece, index, words: damage_a_byte(words, 0),
    "half an index": lambda piece, index, words: index.write_bytes(index.read_bytes()[:-20]),
    "a path": lambda piece, index, words: change(index, piece.stem, f"../{piece.stem}"),
    "no pieces": lambda piece, index, words: change(index, '"pieces": [', '"pieces": [], "x": ['),
    "a fact missing": lambda piece, index, words: change(index, '"count_bytes"', '"x"'),
    "a number of 999 bytes": lambda piece, index, words: change(
        index, '_bytes": 4', '_bytes": 999'
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damage_is_an_error_that_names_the_folder(damage, tmp_path):
    folder = tmp_path / "a"
    saved(folder)
    piece, words = min(folder.glob("*order-2*")), next(folder.glob("*vocab.txt"))
    damage(piece, folder / counts_folder.COUNTS, words)

    def opened():
        counts = counts_folder.load(folder)
        counts.check()
        assert counts.tokenizer

    refused(opened)


def rewrite(folder: Path, n: int, **changes) -> None:
    """Replace arrays of an order, whose length and hash are right afterwards."""
    path = min(folder.glob(f"*order-{n}-*"))
    arrays = {name: np.array(array) for name, array in tensors.mapped(path).items()}
    for name, changed in changes.items():
        arrays[name] = changed(arrays[name])
    data = b"".join(tensors.chunks(arrays))
    path.write_bytes(data)
    index = folder / counts_folder.COUNTS
    content = json.loads(index.read_text())
    for piece in content["pieces"]:
        if piece["name"] == path.stem:
            piece.update(bytes=len(data), sha256=digest([data]))
    index.write_text(json.dumps(sealed(content)))


def item(at, changed):
    """Return what changes one item of an array."""

    def change(array):
        array[at] = array.dtype.type(changed(array[at]))
        return array

    return change


def shorter(array):
    return array[:-1]


STRANGE_ARRAYS = {
    "too few counts": (2, {"counts": shorter}, "differ in length"),
    "too few words": (1, dict.fromkeys(("keys", "suffixes", "counts"), shorter), "and <s>"),
    "keys in reverse": (2, {"keys": lambda array: array[::-1].copy()}, "not in order"),
    "a key twice": (2, {"keys": lambda array: np.sort(np.append(array[1:], array[1]))}, "in order"),
    "an unknown context": (3, {"keys": item(-1, lambda key: key + (1 << 30))}, "a context that does not exist"),
    "an unknown word": (2, {"keys": item(-1, lambda key: key + 3)}, "a word that is not in"),
    "an unknown suffix": (3, {"suffixes": item(0, lambda _: 99)}, "a suffix that does not exist"),
    "a negative suffix": (3, {"suffixes": item(0, lambda _: -1)}, "a suffix that does not exist"),
    "no count": (2, {"counts": item(0, lambda _: 0)}, "has no count"),
    "a large count": (3, {"counts": item(0, lambda _: 200)}, "occurs more often than its context"),
    "fractions": (2, {"counts": lambda array: array / np.float32(2)}, "not whole numbers"),
    "rows": (2, {"counts": lambda array: array[:, None]}, "not whole numbers"),
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGE_ARRAYS)
def test_arrays_that_cannot_be_counts_are_refused(name, tmp_path):
    folder = tmp_path / "a"
    saved(folder)
    order, changes, why = STRANGE_ARRAYS[name]
    rewrite(folder, order, **changes)
    refused(lambda: counts_folder.load(folder).check(), why)
    refused(of_folders([str(folder)]).__enter__, why)


STRANGE_FACTS = {
    "after_start": ('"after_start": 4', '"after_start": 5', "after_start is 5"),
    "watched": ('"watched": -1', '"watched": 7', "watched is 7"),
    "size": ('"size": 4', '"size": 5', "another vocabulary"),
    "one byte": ('"suffix_bytes": 4', '"suffix_bytes": 1', "suffix_bytes is 1"),
}


@pytest.mark.parametrize("name", STRANGE_FACTS)
def test_facts_that_do_not_fit_the_arrays_are_refused(name, tmp_path):
    folder = tmp_path / "a"
    saved(folder)
    old, new, why = STRANGE_FACTS[name]
    change(folder / counts_folder.COUNTS, old, new)
    refused(lambda: counts_folder.load(folder).check(), why)


def test_newer_formats_are_refused(tmp_path):
    saved(tmp_path / "a")
    change(tmp_path / "a" / counts_folder.COUNTS, '"format_version": 1', '"format_version": 2')
    with pytest.raises(ModelError, match="has format 2"):
        counts_folder.load(tmp_path / "a")


def test_failed_writing_leaves_the_counts_before(tmp_path):
    tokenizer = make_tokenizer(LINES)
    before = saved(tmp_path / "a")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())

    def broken():
        yield from before.levels(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        counts_folder.save(tmp_path / "a", broken(), 3, before.index.source, tokenizer, WORK)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == names
    counts_folder.load(tmp_path / "a").check()


def test_leftovers_of_killed_writers_are_deleted(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    left = folder / "counts-0123abcd-order-1-000000.safetensors.0123456789abcdef.new"
    left.write_bytes(b"cut off")
    assert counts_folder.next_step_in(folder, WORK, False) is NextStep.START
    saved(folder, ["a b"])
    assert not left.exists()
    what = "already holds another result; `order` was 3 and is now 5"
    with pytest.raises(OutputError, match=what):
        counts_folder.next_step_in(folder, {"order": "5"}, False)
    with pytest.warns(RnnlmWarning, match="a is finished: counts of 3 tokens up to order 3"):
        assert counts_folder.next_step_in(folder, WORK, False) is NextStep.FINISHED
    assert counts_folder.next_step_in(folder, WORK, True) is NextStep.START


@pytest.mark.parametrize("name", ["thesis.txt", "counts.json"])
def test_a_folder_with_foreign_files_is_refused(tmp_path, name):
    (tmp_path / name).write_text("{}")
    with pytest.raises(OutputError, match="is not empty and holds no counts"):
        counts_folder.next_step_in(tmp_path, WORK, overwrite=True)


def test_a_changed_digit_of_counts_json_is_noticed(tmp_path):
    saved(tmp_path, ["a b"])
    index = tmp_path / counts_folder.COUNTS
    index.write_bytes(index.read_bytes().replace(b'"tokens": 3', b'"tokens": 4'))
    with pytest.raises(ModelError, match="counts.json: it was changed"):
        counts_folder.load(tmp_path)
    with pytest.raises(OutputError, match="has changed since it was written"):
        counts_folder.next_step_in(tmp_path, WORK, overwrite=False)
