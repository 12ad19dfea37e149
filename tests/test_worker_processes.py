"""Processes run calls as any executor does, and end when they are told to."""

import os
import time

import pytest

from rnnlm.errors import RnnlmError
from rnnlm.parallel import InlineExecutor, ProcessExecutor, process_pool
from rnnlm.text.lines import TextSettings
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.tools.prepared.shards import RawPiece
from rnnlm.tools.prepared.tokenizer_sample import learn


@pytest.fixture(scope="module")
def processes():
    with ProcessExecutor(1) as executor:
        yield executor


def test_calls_give_their_results_and_raise_their_errors(processes):
    for executor in (processes, InlineExecutor()):
        futures = [executor.submit(int, text, base=16) for text in ("ff", "no", "10")]
        assert futures[0].result() == 255 and futures[2].result() == 16
        with pytest.raises(ValueError, match="'no'"):
            futures[1].result()


def test_printing_in_a_worker_is_not_a_result(processes):
    assert processes.submit(print, "noise").result() is None
    assert processes.submit(len, b"\n" * 10_000_000).result() == 10_000_000


def test_a_worker_survives_running_out_of_memory(processes):
    with pytest.raises(RnnlmError, match="not enough memory; a worker ran out of it"):
        processes.submit(bytes, 1 << 62).result()
    assert processes.submit(len, "abc").result() == 3


@pytest.mark.system("pipes")
def test_a_pool_knows_how_far_running_calls_are(tmp_path):
    # Each call reports, and ends when its pipe has been opened.
    code = "from rnnlm.parallel import report_done; report_done(0.25); open({!r}).read()"
    paths = [str(tmp_path / name) for name in "ab"]
    with process_pool(2) as pool:
        calls = []
        for path in paths:
            os.mkfifo(path)
            calls.append(pool.submit(exec, code.format(path)))
        while pool.begun < 0.5:
            assert not any(call.done() for call in calls)
            time.sleep(0.01)
        for path, call in zip(paths, calls, strict=True):
            open(path, "w").close()
            call.result()
        assert pool.begun == 0.0


def test_workers_do_without_torch(processes):
    sample = [RawPiece("t", 1, True, b"the cat sat\n")]
    assert processes.submit(learn, sample, TextSettings(), TokenizerSettings()).result().size == 5
    assert not processes.submit(eval, "'torch' in __import__('sys').modules").result()


def test_submitted_work_finishes_before_the_context_ends():
    with ProcessExecutor(2) as executor:
        futures = [executor.submit(len, "a" * length) for length in range(20)]
    assert [future.result() for future in futures] == list(range(20))


def test_an_error_ends_busy_workers_at_once():
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), ProcessExecutor(2) as executor:
        futures = [executor.submit(time.sleep, 600) for _ in range(5)]
        executor.submit(len, "").cancel()
        raise KeyboardInterrupt
    assert time.monotonic() - began < 60 and all(future.done() for future in futures)
    assert all(process.process.returncode is not None for process in executor.processes)
