import errno
import gc
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, strategies as st

from rnnlm.errors import OutputError, SettingsError
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers import vocabulary, word_runs
from rnnlm.text.tokenizers.vocabulary import MemoryLimit
from rnnlm.text.tokenizers.word import WordCounts, WordTokenizer

PLENTY = 1 << 30


def counted(blocks, limit=None):
    counts = WordCounts(limit)
    for table in map(Counter, blocks):
        words = [word.encode() for word in table]
        counts.add(words, np.array(list(table.values()), dtype=np.int64))
    return counts


words = st.text("abcé€😀\U0010fffd", min_size=1, max_size=3) | st.just("<unk>")
blocks = st.lists(st.lists(words, max_size=30), max_size=12)


@given(blocks, st.integers(1, 3), st.none() | st.integers(3, 20))
def test_spilled_counts_give_the_same_vocabulary(blocks, min_count, max_size):
    total = Counter(word for block in blocks for word in block)
    unknown = total.pop("<unk>", 0)
    wanted = [item for item in total.items() if item[1] >= min_count]
    wanted.sort(key=lambda item: (-item[1], item[0]))
    wanted = wanted[: None if max_size is None else max_size - 2]
    unknown += sum(total.values()) - sum(count for _, count in wanted)

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(word_runs, "MOST_RUNS", 3)  # runs of runs of runs
        patch.setattr(word_runs, "CHUNK_BYTES", 10)
        patch.setattr(vocabulary, "MOST_WAITING", 0)
        few = 372 * len(wanted)  # the most frequent words are found on the way
        for counting, room in ((PLENTY, PLENTY), (1, PLENTY), (3000, few)):
            counts = counted(blocks, MemoryLimit(counting, room, folder))
            found = counts.vocabulary(min_count, max_size)
            assert found.symbols == ("</s>", "<unk>", *(word for word, _ in wanted))
            assert found.counts_V.tolist() == [0, unknown, *(count for _, count in wanted)]
            del counts  # and its files, which have names on Windows


# 4,000 words, of which 1,000 come twice
LINES = [" ".join(f"word{n}" for n in range(start, start + 40)) for start in range(0, 4000, 40)]
LINES += LINES[::4]


def test_a_large_vocabulary_names_limits_that_fit(tmp_path):
    limit = MemoryLimit(100_000, 140_000, tmp_path)
    blocks = [[line] for line in LINES]
    with pytest.raises(SettingsError, match="vocabulary of 4,000 words does not fit") as caught:
        WordTokenizer.train(TokenizerSettings(), blocks, limit)
    named = re.search(r"`max_vocab=(\d+)` or `min_count=(\d+)`", str(caught.value))
    del caught  # and the open files of its frames
    gc.collect()
    assert os.listdir(tmp_path) == []

    # Both limits that it names are such that the vocabulary fits, and little more does not.
    largest, rarest = map(int, named.groups())
    assert 1200 < largest < 1500 and rarest == 2
    for setting in ({"max_vocab": largest}, {"min_count": rarest}):
        settings = TokenizerSettings(**setting)
        made = WordTokenizer.train(settings, blocks, limit)
        assert made.fingerprint == WordTokenizer.train(settings, [LINES]).fingerprint
    with pytest.raises(SettingsError, match="does not fit in memory"):
        WordTokenizer.train(TokenizerSettings(max_vocab=largest + 20), blocks, limit)


def test_unwritable_counts_name_the_folder(tmp_path, monkeypatch):
    limit = MemoryLimit(1, PLENTY, tmp_path / "missing")
    with pytest.raises(OutputError, match=f"cannot write to {re.escape(str(limit.folder))}"):
        counted([["a"], ["b"]], limit)

    class Full(tempfile.SpooledTemporaryFile):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    with pytest.raises(OutputError, match="No space left on device; free some space, or choose"):
        counted([["a"], ["b"]], MemoryLimit(1, PLENTY, tmp_path))
    assert os.listdir(tmp_path) == []


MANY_WORDS = """
import re, sys, threading, time
from pathlib import Path
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import MemoryLimit
from rnnlm.text.tokenizers.word import WordTokenizer

words, most, counting, folder = *map(int, sys.argv[1:4]), Path(sys.argv[4])

def anonymous():
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"RssAnon:\\s+(\\d+)", status)[1]) << 10

def blocks():
    # 7919 has no factor of 2 or 5: each number comes once a round. Multiples of 1000 come twice.
    step = 5000
    for start in range(0, words, step):
        numbers = [number * 7919 % words for number in range(start, start + step)]
        numbers += [number for number in numbers if number % 1000 == 0]
        yield [" ".join(f"{number:x}" for number in numbers)]

peak, is_done = 0, threading.Event()

def watch():
    global peak
    while not is_done.wait(0.02):
        peak = max(peak, anonymous())

before = anonymous()
watcher = threading.Thread(target=watch)
watcher.start()
limit = MemoryLimit(counting, 50_000_000, folder)
settings = TokenizerSettings(max_vocab=most)
made = WordTokenizer.train(settings, blocks(), limit).vocabulary
is_done.set()
watcher.join()

twice = sorted(f"{number:x}" for number in range(0, words, 1000))
once = sorted(f"{number:x}" for number in range(words) if number % 1000)[: most - 2 - len(twice)]
assert made.symbols == ("</s>", "<unk>", *twice, *once)
assert made.counts_V.tolist() == [
    words // 5000, words - len(twice) - len(once), *[2] * len(twice), *[1] * len(once)
]
print(peak - before)
"""


@pytest.mark.processes
@pytest.mark.parametrize(("words", "counting"), [
    (100_000, 3 << 20), pytest.param(20_000_000, 100 << 20, marks=pytest.mark.soak),
])  # fmt: skip
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux's /proc")
def test_counting_many_words_keeps_within_the_limit(words, counting, tmp_path):
    arguments = map(str, (words, words // 500, counting, tmp_path))
    command = [sys.executable, "-c", MANY_WORDS, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    # A block, the chunks of runs that are merged, and what libraries take when they are first used
    assert int(done.stdout) < counting + (60 << 20)
    assert os.listdir(tmp_path) == []
