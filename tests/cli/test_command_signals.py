"""Signals to a run: the first ends it in order, the second at once, USR1 saves."""

import signal
import subprocess
import sys
import time

import pytest

from rnnlm.cli.main import _raise_signalled
from rnnlm.cli.signals import Signals, saving_ignored
from rnnlm.errors import Signalled
from support.commands import environment

pytestmark = pytest.mark.processes


@pytest.fixture(autouse=True)
def as_in_main():
    """Handle TERM as the entry point does."""
    before = signal.signal(signal.SIGTERM, _raise_signalled)
    yield
    signal.signal(signal.SIGTERM, before)


def send(number):
    signal.raise_signal(number)
    time.sleep(0)


def test_echo_of_first_signal_is_not_a_second():
    """As of `timeout`, which sends it to its child, and to the group that the child is in."""
    signals = Signals()
    with signals:
        for _ in range(3):
            send(signal.SIGTERM)
        assert signals.ending == signal.SIGTERM


def test_the_second_signal_is_what_it_was_before(monkeypatch):
    monkeypatch.setattr("rnnlm.cli.signals.ONE_WISH_SECONDS", 0.0)
    signals = Signals()
    with signals:
        assert not signals.wants_end()
        send(signal.SIGINT)
        assert signals.wants_end() and signals.ending == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            time.sleep(0.01)
            signal.raise_signal(signal.SIGINT)
            time.sleep(1)
        with pytest.raises(Signalled):
            signal.raise_signal(signal.SIGTERM)
            time.sleep(1)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.system("signals")
def test_each_usr1_asks_for_one_save_and_is_ignored_with_nothing_to_save():
    before = signal.getsignal(signal.SIGUSR1)
    signals = Signals()
    with signals:
        assert not signals.wants_saving()
        for _ in range(2):
            send(signal.SIGUSR1)
            assert signals.wants_saving() and not signals.wants_saving()
        send(signal.SIGTERM)
        send(signal.SIGUSR1)  # also while the run comes to its end
        assert signals.wants_saving() and signals.wants_end()
    assert signal.getsignal(signal.SIGUSR1) == before
    with saving_ignored():
        send(signal.SIGUSR1)
        with Signals():
            pass
        send(signal.SIGUSR1)
    assert signal.getsignal(signal.SIGUSR1) == before


@pytest.mark.system("signals")
def test_run_that_cannot_end_cleanly_ends_at_once():
    signals = Signals(ends_in_order=False)
    with signals:
        with pytest.raises(Signalled):
            signal.raise_signal(signal.SIGTERM)
            time.sleep(1)
        send(signal.SIGUSR1)
    assert not signals.wants_end()


@pytest.mark.system("signals")
def test_what_was_ignored_stays_ignored():
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        signals = Signals()
        with signals:
            send(signal.SIGHUP)
            assert not signals.wants_end()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", ["click", "rnnlm.cli.options", "rnnlm.cli.data.list", ""])
def test_signals_at_start_and_end_leave_no_traceback(module, number):
    """The signal comes while that module is imported, or while Python ends."""
    code = f"""
import atexit, signal, sys
if not {module!r}:
    atexit.register(signal.raise_signal, {number:d})
class Interrupting:
    def find_spec(name, *more):
        if name == {module!r}:
            signal.raise_signal({number:d})
sys.meta_path.insert(0, Interrupting)
from rnnlm.cli.main import main
main()
"""
    command = [sys.executable, "-c", code, "list"]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert ended.returncode in (128 + number, -number) and "Traceback" not in ended.stderr
