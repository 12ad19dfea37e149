"""What counting leaves in a folder that a user named, and what it never touches there."""

import contextlib
import os
import re
import warnings

import numpy as np
import pytest

import rnnlm
from rnnlm import system
from rnnlm.errors import RnnlmWarning, SettingsError
from rnnlm.lm.ngram.counting import workspace
from rnnlm.lm.ngram.counting.workspace import BYTES_PER_COLUMN, BYTES_PER_ROW
from rnnlm.text import tokenizers
from rnnlm.text.corpus import open_text
from rnnlm.text.lines import Block
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.tools.counting import beyond_memory, counted_data, memory_limit, plan as plans
from rnnlm.tools.counting.beyond_memory import name_of
from rnnlm.tools.counting.store import Piece, Store, WrittenPiece
from rnnlm.tools.prepared import preparation

pytestmark = pytest.mark.long

LINES = [f"w{number % 7} w{number % 5} w{number % 3}" for number in range(400)]


@pytest.fixture
def text(tmp_path, little_memory):
    """Write a text that is counted beyond memory."""
    path = tmp_path / "text.txt"
    path.write_text("".join(line + "\n" for line in LINES))
    return path


def train(text, temp, memory="40k"):
    """Train a model beside the text."""
    settings = {"output": text.parent / "model", "overwrite": True, "memory": memory}
    with warnings.catch_warnings(action="ignore"):
        rnnlm.train(text, model="ngram", order=3, temp=str(temp), **settings).wait()


def interrupted(text, temp, monkeypatch):
    """Train until the second piece is written."""
    write, written = Store.write, []

    def killed(store, name, arrays):
        if written:
            raise KeyboardInterrupt
        written.append(name)
        return write(store, name, arrays)

    with monkeypatch.context() as context:
        context.setattr(Store, "write", killed)
        with contextlib.suppress(KeyboardInterrupt):
            train(text, temp)


def test_a_text_is_not_read_again_after_a_kill_in_merging(text, tmp_path, monkeypatch):
    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(beyond_memory, "_merged", killed)
        with contextlib.suppress(KeyboardInterrupt):
            train(text, tmp_path / "temp", "20k")
    assert any("shard-" in name for name in files(tmp_path / "temp"))
    monkeypatch.setattr(preparation, "pieces", killed)
    train(text, tmp_path / "temp", "20k")
    assert (text.parent / "model" / "config.json").is_file()
    assert os.name == "nt" or not (tmp_path / "temp").exists()  # as the process ends


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_users_own_files_stay(text, tmp_path):
    temp = tmp_path / "temp"
    for name in ("", "text-mine"):
        list(rnnlm.prepare(text, temp / name, workers=0))
    before = files(temp)
    assert any(name.startswith("shard-") for name in before)
    train(text, temp)
    assert files(temp) == before


def test_another_count_is_left_alone_and_what_a_killed_cleaning_leaves_goes_next(
    text, tmp_path, monkeypatch
):
    temp = tmp_path / "temp"
    interrupted(text, temp, monkeypatch)
    before = files(temp)
    assert any("run-" in name for name in before)
    # One in memory needs no folder, and naming one is refused.
    with pytest.raises(SettingsError, match="temp = .* needs memory"):
        train(text, temp, memory=None)
    assert files(temp) == before
    [folder] = temp.glob("rnnlm-*-counts-*")
    plans.delete(folder)
    train(text, temp)
    assert os.name == "nt" or not temp.exists()


@pytest.mark.parametrize(("memory", "is_enough"), [("230M", False), ("240M", True)])
def test_the_memory_of_the_moment_does_not_decide(monkeypatch, memory, is_enough):
    """Two runs of the same command with as many words once held 17 MB more or less."""
    allowed = []
    for held in (113_000_000, 130_000_000, 145_000_000):
        monkeypatch.setattr(system, "private_bytes", lambda held=held: held)
        if is_enough:
            allowed.append(workspace.memory_for_arrays(memory, 175_000))
            continue
        with pytest.raises(SettingsError, match="give 232M or more"):
            workspace.memory_for_arrays(memory, 175_000)
    # The arrays take what is left.
    assert all(size >= workspace.LEAST_BYTES for size in allowed)


@pytest.fixture
def many_words(tmp_path, little_memory, monkeypatch):
    """Write a text of 20,000 different words, of which 40 kB hold 80. Pieces of it are short."""
    monkeypatch.setattr(workspace, "HELD_PER_WORD", 500)
    monkeypatch.setattr(preparation, "SMALLEST_PIECE", 1000)
    path = tmp_path / "text.txt"
    path.write_text("".join(f"word{n} common\n" for n in range(20_000)))
    return path


def refused(command, *arguments, **settings):
    """Return how many tokens had been read when the memory was refused."""
    with pytest.raises(SettingsError) as caught:
        command(*arguments, **settings)
    assert str(caught.value).startswith("memory = 40k is too little")
    [read] = re.findall("the first ([0-9,]+) tokens .* at least [0-9]+ kB", caught.value.why)
    return int(read.replace(",", ""))


def counted(text, tokenizer=TokenizerSettings(), memory="40k"):
    with counted_data.of_text(open_text([str(text)]), tokenizer, 2, memory=memory) as found:
        return list(found.levels)


@pytest.mark.parametrize("command", [counted, lambda text: train(text, text.parent / "temp")])
def test_a_large_vocabulary_is_refused_while_the_text_is_read(many_words, command):
    # Each line has three tokens, and one new word.
    assert 3 * 80 <= refused(command, many_words) < 3 * 200


def test_the_amount_that_is_named_is_enough(many_words, monkeypatch):
    # New words become rarer: 40,000 tokens have about 4,000 words.
    words = (np.arange(40_000) ** 0.5 * 20).astype(int)
    many_words.write_text("".join(f"word{word} common\n" for word in words.tolist()))
    monkeypatch.setattr(workspace, "PROGRAM_BYTES", 1_000_000)
    with pytest.raises(SettingsError, match="memory = 1500k is too little") as caught:
        counted(many_words, memory="1500k")
    [named] = re.findall(r"give ([0-9]+M): all of it is likely to have [34],", caught.value.hint)
    assert len(counted(many_words, memory=named)) == 2


def test_the_words_of_a_text_are_foreseen():
    def foreseen(exponent, share):
        earlier = [(tokens, int(7 * tokens**exponent)) for tokens in (1000, 2000, 4000, 8000)]
        return memory_limit._foreseen(earlier, int(7 * 10_000**exponent), 10_000, share)

    for exponent in (0.4, 0.6, 0.99):
        whole = 7 * 100_000**exponent
        assert whole < foreseen(exponent, 0.1) < 1.2 * whole
    # Of the first tokens, and of the last ones.
    assert memory_limit._foreseen([], 10, 10, 0.1) == pytest.approx(110, abs=1)
    assert foreseen(0.6, 1.0) < 1.2 * 7 * 10_000**0.6
    # A stream has no length.
    check = memory_limit.check_while_reading("400M")
    with pytest.raises(SettingsError, match="or more: the rest of the text may add words"):
        check(10**8, 10**9, None)


def test_a_line_that_is_too_long_for_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, "LEAST_MEMORY", 0)
    path = tmp_path / "text.txt"
    path.write_text("a b c\n" * 1000 + "d e " * 6_000_000 + "\n")
    with pytest.raises(SettingsError, match="a line of .* is too long for the memory") as caught:
        counted(path, memory="400M")
    assert "has 2" in caught.value.why and "break the line" in caught.value.hint


def test_vocabularies_alone_need_memory_and_known_ones_unread(many_words, monkeypatch):
    assert len(counted(many_words, TokenizerSettings(min_count=2))) == 2
    assert len(counted(many_words, TokenizerSettings(max_vocab=70))) == 2
    with pytest.raises(SettingsError, match="is too little"):
        counted(many_words, TokenizerSettings(max_vocab=90))
    words = " ".join(f"word{n}" for n in range(5000))
    tokenizer = tokenizers.train(TokenizerSettings(), [Block([words], [])])
    monkeypatch.setattr(preparation, "pieces", None)
    with pytest.raises(SettingsError, match="memory = 40k is too little") as caught:
        counted(many_words, tokenizer)
    assert "its vocabulary of 5,002 words" in caught.value.why


def test_shards_too_large_for_the_memory_are_told(tmp_path):
    shards = [plans.PlannedShard(0, 1000, ""), plans.PlannedShard(1000, 1100, "")]
    store = Store(tmp_path)
    plan = plans.CountingPlan({}, shards, [], [])
    little = memory_limit.Workspace(1000 * (BYTES_PER_ROW + BYTES_PER_COLUMN), threads=1)
    assert little.shard(columns=1) == 500
    with pytest.warns(RnnlmWarning, match="in parts of 1,000 tokens"):
        memory_limit._tell_large_shards(plan, store, little)
    # Those that are counted need no memory.
    store.finish(WrittenPiece(Piece(name_of(0), 0, "")))
    with warnings.catch_warnings(action="error"):
        memory_limit._tell_large_shards(plan, store, little)
