"""`rnnlm prepare`: what it writes and prints, what it refuses, and how it ends when told to."""

import signal
import time

import pytest

from rnnlm.tools.prepared import preparation, prepared_text, shards
from support.commands import TINY

SMALL = 1 << 19  # bytes of a shard
SMALL_SHARDS = (
    "from rnnlm.tools.prepared import preparation, shards\n"
    f"shards.SHARD_BYTES = preparation.SHARD_BYTES = {SMALL}"
)
PREPARE = "prepare text.txt -o big --workers 1 --max-vocab 1000 --sample 1M".split()


@pytest.fixture
def text(here, corpus_lines):
    path = here / "text.txt"
    path.write_text("\n".join(corpus_lines[:300]) + "\n", encoding="utf-8")
    return path


@pytest.mark.processes
def test_text_is_prepared_described_checked_and_trained_on(rnnlm, text, here):
    prepared = rnnlm(f"prepare {text} -o big --workers 1 --min-count 2")
    assert prepared.code == 0, prepared.err
    first, second, *_ = prepared.err.splitlines()
    assert first.startswith("note: marks are split from words, as 16% of the words")
    assert second == "building the vocabulary from the whole text ..."
    assert "tokenizer word:" in prepared.err and "lines\t300" in prepared.out
    files = sorted(path.name for path in (here / "big").iterdir())
    assert files == ["index.json", "shard-00000.safetensors", "vocab.txt"]
    told = rnnlm("info big --json").json
    assert (told["prepared text"], told["text"]) == ("finished", [str(text)])
    assert told["counts"]["lines"] == 300
    assert "SHA-256 as recorded" in rnnlm("doctor big").out
    trained = rnnlm("train", "big", "-o", "model", *TINY, "--budget", "3steps")
    assert trained.code == 0, trained.err
    one, other = (rnnlm("eval", "-m", "model", each, "--json").json for each in (text, "big"))
    # The words of a prepared text are not kept, so that unknown ones cannot be told apart.
    unknown = {"oov_types": None, "ppl_adjusted": None}
    assert one["oov_types"] and other["oov_types"] is None
    assert one | unknown | {"seconds": 0} == other | {"seconds": 0}


def test_the_outcome_as_json(rnnlm, text):
    told = rnnlm(f"prepare {text} -o big --workers 1 --tokenizer byte --json").json
    assert (told["lines"], told["vocabulary_size"]) == (300, 257)
    assert told["tokens"] == told["bytes"] == text.stat().st_size


@pytest.mark.parametrize(("number", "code"), [
    pytest.param(signal.SIGINT, 130, marks=pytest.mark.soak),
    pytest.param(signal.SIGTERM, 143, marks=pytest.mark.system("signals")),
])  # fmt: skip
def test_interrupted_preparation_stops_soon_and_can_resume(
    start, rnnlm, here, corpus_lines, monkeypatch, number, code
):
    # Text of many shards: the signal comes while the second one is in the making.
    text = "\n".join(corpus_lines) + "\n"
    (here / "text.txt").write_text(text * (16 * SMALL // len(text)), encoding="utf-8")
    process = start(*PREPARE, first=SMALL_SHARDS)
    deadline = time.monotonic() + 60
    while not list((here / "big").glob("shard-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code and "Traceback" not in err
    assert "to resume, run the same command again" in err
    if number == signal.SIGINT:
        return
    for module in (shards, preparation):
        monkeypatch.setattr(module, "SHARD_BYTES", SMALL)
    assert rnnlm(*PREPARE).code == 0
    assert prepared_text.load(here / "big").index.counts.bytes == (here / "text.txt").stat().st_size
