"""Folders of different vocabularies added up: the counts of all their texts counted at once."""

import os
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

from rnnlm.errors import RnnlmWarning, UsageError
from rnnlm.lm.ngram.counting.count_trie import Level
from rnnlm.lm.ngram.counting.workspace import Workspace
from rnnlm.text import tokenizers
from rnnlm.text.corpus import Corpus
from rnnlm.text.lines import TextSettings
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.tools.counting import counts_folder, memory_limit
from rnnlm.tools.counting.beyond_memory import Packing, as_run, merge, whole_ngrams
from rnnlm.tools.counting.counted_data import of_folders, of_text
from support.random_texts import SEEDS, random_text
from support.tiny_models import make_tokenizer
from support.tiny_ngrams import END, assert_same, counts_of

pytestmark = pytest.mark.long

KEEP = TextSettings(blank_lines="keep")
WORDS = TokenizerSettings()


def counted(folder: Path, lines, order, tokenizer=WORDS) -> str:
    """Count lines into a folder; return its name."""
    folder.mkdir()
    with of_text(Corpus.from_lines(lines, KEEP), tokenizer, order) as found:
        counts_folder.save(folder, found.levels, order, found.source, found.tokenizer, {})
    return str(folder)


def content(folder: str | Path) -> dict[str, bytes]:
    """Return what the files of a folder of counts hold, but the random part of their names."""
    return {path.name.split("-", 2)[2]: path.read_bytes() for path in Path(folder).glob("counts-*")}


def merged(folder: Path, names) -> counts_folder.CountsFolder:
    folder.mkdir()
    with of_folders(names) as found:
        read = found.levels, found.order, found.source, found.tokenizer
        return counts_folder.save(folder, *read, {})


def assert_merged_is_whole(folder: Path, names, lines, order, tokenizer=WORDS) -> None:
    """Check that the sum of folders is, to the byte, what counting all lines gives."""
    found = merged(folder / "all", names)
    whole = counts_folder.load(counted(folder / "whole", lines, order, tokenizer))
    assert content(found.folder) == content(whole.folder)
    assert found.index.source == whole.index.source
    assert found.index.tokenizer == whole.index.tokenizer
    assert found.tokenizer.fingerprint == whole.tokenizer.fingerprint


@pytest.fixture
def few_pieces(monkeypatch):
    """Handle few n-grams at a time, in as little memory as that takes."""
    monkeypatch.setattr(counts_folder, "PIECE_NGRAMS", 50)
    monkeypatch.setattr(memory_limit, "memory_for_arrays", lambda memory, size: 20_000)


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.usefixtures("few_pieces")
def test_shards_with_words_of_their_own_make_the_counts_of_the_whole(seeds, tmp_path):
    for seed in seeds:
        text = random_text(seed)
        chance = random.Random(seed)
        # A word in ten is not known at all; the shards come in any order.
        folder = tmp_path / str(seed)
        folder.mkdir()
        names, all_lines = [], []
        for place, sentences in enumerate(text.shards(4)):
            lines = []
            for sentence in sentences:
                words = [f"w{word}" if chance.random() < 0.9 else "<unk>" for word in sentence]
                lines.append(" ".join(words))
            names.append(counted(folder / str(place), lines, text.order))
            all_lines += lines
        assert_merged_is_whole(folder, names, all_lines, text.order)


line = st.text("ab\u00e9\U0001f600 ", max_size=6)
days = st.lists(st.lists(line, min_size=1, max_size=4), min_size=2, max_size=4)


@given(days, st.integers(1, 5), st.sampled_from(["word", "char", "byte"]), st.booleans())
def test_any_texts_add_up(tmp_path_factory, days, order, kind, reverse):
    folder = tmp_path_factory.mktemp("days")
    tokenizer = TokenizerSettings(kind, split_punctuation=kind == "word")
    names = [counted(folder / str(at), each, order, tokenizer) for at, each in enumerate(days)]
    all_lines = [line for lines in days for line in lines]
    assert_merged_is_whole(folder, sorted(names, reverse=reverse), all_lines, order, tokenizer)


def test_sums_add_up_again(tmp_path):
    lines = ["a b a", "c d c c", "d a", "e"]
    names = [counted(tmp_path / str(at), [line], 3) for at, line in enumerate(lines)]
    halves = [str(merged(tmp_path / f"half-{at}", names[at : at + 2]).folder) for at in (0, 2)]
    assert_merged_is_whole(tmp_path, halves, lines, 3)


def test_a_folder_given_twice_counts_twice(tmp_path):
    lines = ["b a b", "a c"]
    name = counted(tmp_path / "a", lines, 3)
    with pytest.warns(RnnlmWarning, match="given more than once"):
        assert_merged_is_whole(tmp_path, [name, name], lines * 2, 3)


def test_a_vocabulary_from_elsewhere_stays(tmp_path):
    tokenizer = make_tokenizer(["z y x", "x a"])
    names = [counted(tmp_path / day, [f"a {day} x"], 2, tokenizer) for day in "bc"]
    found = merged(tmp_path / "all", names)
    assert found.tokenizer.symbols() == tokenizer.symbols()
    assert found.tokenizer.counts_V.tolist() == tokenizer.counts_V.tolist()


def test_words_that_only_some_know_are_sorted_among_all(tmp_path):
    """A word of one vocabulary that the text of another has was <unk> there, and stays so."""
    limited = TokenizerSettings(max_vocab=3)
    names = [
        counted(tmp_path / "own", ["b b c"], 2),
        counted(tmp_path / "limited", ["a a b"], 2, limited),
        counted(tmp_path / "unseen", ["b"], 2, make_tokenizer(["b d"])),
    ]
    for order_of_names in (names, names[::-1]):
        with of_folders(order_of_names) as found:
            unigrams = next(found.levels)
        assert found.tokenizer.symbols() == ["</s>", "<unk>", "b", "a", "c", "d"]
        assert found.tokenizer.counts_V.tolist() == [3, 1, 3, 2, 1, 0]
        assert np.asarray(unigrams.counts_M).tolist() == [3, 1, 3, 2, 1, 0, 3]
        assert found.tokenizer.to_settings()["max_vocab"] is None


def refused(names, what: str, why: str) -> None:
    added = of_folders(names)
    with pytest.raises(UsageError, match=what) as raised:
        added.__enter__()
    assert why in raised.value.why


@pytest.mark.parametrize("settings", [
    {"lowercase": True}, {"split_punctuation": True}, {"normalise": "all"}, {"tokenizer": "char"},
], ids=str)  # fmt: skip
def test_different_ways_of_making_words_are_refused(tmp_path, settings):
    own = counted(tmp_path / "own", ["A b"], 2)
    other = counted(tmp_path / "other", ["A b"], 2, TokenizerSettings(**settings))
    refused([own, other], "have different tokenizers", f"{next(iter(settings))} is ")


def test_pieces_are_not_joined(tmp_path):
    lines = [f"w{number} w{number % 7}" for number in range(60)]
    pieces = TokenizerSettings("sentencepiece", vocab_size=275)
    names, made = [], []
    for number in range(2):
        made.append(tokenizers.train(pieces, Corpus.from_lines(lines[number::2]).blocks()))
        names.append(counted(tmp_path / str(number), lines[number::2], 2, made[-1]))
    refused(names, "different sentencepiece tokenizers", "only vocabularies of words or characters")
    shared = [names[0], counted(tmp_path / "shared", lines[1::2], 2, made[0])]
    with of_folders(shared) as found:
        [*levels] = found.levels
    assert_same(levels, counts_folder.load(counted(tmp_path / "whole", lines, 2, made[0])).levels())


@pytest.mark.parametrize("memory", [1000, 30_000, None])
@pytest.mark.parametrize("seed", range(12))
def test_renumbered_counts_are_those_of_the_renumbered_text(seed, memory, tmp_path):
    text = random_text(seed)
    chance = random.Random(seed)
    size = text.size + chance.choice([0, 1, 30])
    number_V = [END, *chance.sample(range(1, size), text.size - 1)]
    packing, workspace = Packing(size, text.order), Workspace(memory, 1, tmp_path)
    levels = counts_of(text.sentences, text.size, text.order).levels
    rows = whole_ngrams(levels, np.array(number_V), END, packing, workspace)
    steps = merge([as_run(*part) for part in rows], packing, workspace)
    found = [step for step in steps if isinstance(step, Level)]
    moved = [[number_V[word] for word in sentence] for sentence in text.sentences]
    assert_same(found, list(counts_of(moved, size, text.order).levels))
    assert os.name == "nt" or not list(tmp_path.iterdir())  # elsewhere, files have no names
