"""Several workers share the tests: `pytest --workers 4`.

This process imports and collects all tests, once, and then forks the workers. Each takes the next
group of tests when it is done with its last one, and sends home what came of them.

pytest-xdist, which this replaces, starts every worker as a new process, which imports and collects
everything again, and sends each of a test's reports through two more processes. Most of these tests
take a few milliseconds: for them, that was a tenth of the whole.
"""

import gc
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from itertools import pairwise
from multiprocessing import connection, get_context
from typing import Any

import pytest

from support.forked import begin_server, import_commands

FORK = get_context("fork")
SYSTEM = "tests/system/"
SERVERS = "tests/system/test_serving"
BUSY = {"tests/system/test_docs.py"}  # it waits for few processes
NONE = -1  # a worker runs no test
MANY = 1000  # tests, among which all workers find some that run commands
LAST_SECONDS = 5  # for a worker to end in when it is asked to


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--workers", type=int, default=1, help="processes that share the tests")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the tests in workers, where more than one is asked for."""
    count = session.config.option.workers
    has_failed = session.testsfailed and not session.config.option.continue_on_collection_errors
    if has_failed or session.config.option.collectonly:
        return None
    if count < 2:
        begin_server()
        return None
    session.config._tmp_path_factory.getbasetemp()  # the workers' folders are to lie in one
    team = Team(session, count)
    try:
        team.report_all()
    finally:
        team.end()
    return True


def in_groups(items: Sequence[pytest.Item]) -> list[list[int]]:
    """Return the numbers of the tests that one worker runs in a row: those of a file, which share
    its models, and nearly all of tests/system, which start processes and wait for them; those that
    start servers are a group of their own. The groups that take longest come first: those of
    tests/system, then large files.
    """
    groups: dict[str, list[int]] = {}
    for number, item in enumerate(items):
        path, _, _ = item.nodeid.partition("::")
        is_waiting = path.startswith(SYSTEM) and path not in BUSY
        if is_waiting:
            path = SERVERS if path.startswith(SERVERS) else SYSTEM
        groups.setdefault(path, []).append(number)
    ordered = sorted(groups, key=lambda name: (name.startswith(SYSTEM), len(groups[name])))
    return [groups[name] for name in reversed(ordered)]


class Team:
    """The workers, seen from the process that has collected the tests."""

    def __init__(self, session: pytest.Session, count: int) -> None:
        self.session = session
        self.is_missing = [True] * len(session.items)
        self.turn = FORK.Value("i", 0)  # the next group
        self.running = FORK.Array("i", [NONE] * count)  # the test that each worker runs
        groups = in_groups(session.items)

        # What is there is not looked at again by the collector, so that workers share its memory;
        # nor do they, and the servers below them, import what commands need, each for itself.
        if len(session.items) > MANY:
            import_commands()
        gc.collect()
        gc.freeze()
        self.processes = {}
        for number in range(count):
            ours, theirs = FORK.Pipe(duplex=False)
            worker = Worker(session, groups, number, self.turn, self.running, theirs)
            process = FORK.Process(target=worker.work, daemon=False)
            process.start()
            theirs.close()
            self.processes[ours] = (number, process)

    def report_all(self) -> None:
        """Report what the workers send, as it comes; then what none of them could send."""
        open_ones = set(self.processes)
        while open_ones:
            for ready in connection.wait(open_ones, timeout=1):
                try:
                    self.report(*ready.recv())
                except EOFError:
                    open_ones.discard(ready)
                    self.report_end(*self.processes[ready])
                self.stop_if_told()

            # A process that a test left behind may hold the pipe of a worker that has ended.
            for pipe in list(open_ones):
                number, process = self.processes[pipe]
                if not process.is_alive() and not pipe.poll():
                    open_ones.discard(pipe)
                    self.report_end(number, process)
        for number, is_missing in enumerate(self.is_missing):
            if is_missing:
                self.report_failure(number, "did not run: the worker that had it has ended")
        self.stop_if_told()

    def report(self, number: int, reports: list[dict], warned: list[dict]) -> None:
        """Report one test, as if it had run here."""
        item, hook = self.session.items[number], self.session.config.hook
        self.is_missing[number] = False
        for each in warned:
            hook.pytest_warning_recorded.call_historic(kwargs=each)
        for each in reports:
            report = hook.pytest_report_from_serializable(config=self.session.config, data=each)
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def report_end(self, worker: int, process: Any) -> None:
        """Report the test that a worker has ended in, if it has."""
        process.join()
        number = self.running[worker]
        if number != NONE:
            self.report_failure(number, f"the worker ended in it, with code {process.exitcode}")

    def report_failure(self, number: int, reason: str) -> None:
        item, hook = self.session.items[number], self.session.config.hook
        self.is_missing[number] = False
        report = pytest.TestReport(
            item.nodeid, item.location, keywords={}, outcome="failed", longrepr=reason, when="call"
        )
        hook.pytest_runtest_logreport(report=report)

    def stop_if_told(self) -> None:
        """End the session where a plugin asks for it, as -x does after the first failure."""
        if self.session.shouldfail:
            raise self.session.Failed(self.session.shouldfail)
        if self.session.shouldstop:
            raise self.session.Interrupted(self.session.shouldstop)

    def end(self) -> None:
        """End workers that still run: somebody has stopped the session. A test may take the signal
        for its own."""
        gc.unfreeze()
        for _, process in self.processes.values():
            process.terminate()
        for _, process in self.processes.values():
            process.join(LAST_SECONDS)
            process.kill()
            process.join()


class Worker:
    """One worker, which begins where it is forked."""

    def __init__(
        self, session: pytest.Session, groups: list[list[int]], number: int, turn: Any,
        running: Any, home: connection.Connection,
    ) -> None:  # fmt: skip
        self.session, self.groups, self.number = session, groups, number
        self.turn, self.running, self.home = turn, running, home
        # Few ask what came of beginnings and ends that were as they should be.
        options = session.config.option
        self.tells_all = options.durations is not None or bool(options.xmlpath)
        self.reports: list[dict] = []
        self.warned: list[dict] = []

    def work(self) -> None:
        """Run groups of tests until none is left."""
        code = 1
        try:
            self.settle()
            for number, following in pairwise(self.taken()):
                self.run(number, following)
            code = 0
        except KeyboardInterrupt:
            pass
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        self.home.close()
        os._exit(code)

    def settle(self) -> None:
        """Have files, captured output and reports of one's own."""
        plugins = self.session.config.pluginmanager
        capture = plugins.getplugin("capturemanager")
        capture.stop_global_capturing()
        capture.start_global_capturing()
        plugins.unregister(name="terminalreporter")
        plugins.register(self)
        files = self.session.config._tmp_path_factory
        files._basetemp = files.getbasetemp() / f"worker{self.number}"
        files._basetemp.mkdir(mode=0o700)
        begin_server()

    def taken(self) -> Iterator[int | None]:
        """Yield the tests of group after group, then None."""
        while True:
            with self.turn.get_lock():
                turn = self.turn.value
                self.turn.value += 1
            if turn >= len(self.groups):
                yield None
                return
            yield from self.groups[turn]

    def run(self, number: int, following: int | None) -> None:
        """Run one test, and send what came of it. What the `following` one needs, too, stays."""
        items = self.session.items
        self.running[self.number] = number
        items[number].config.hook.pytest_runtest_protocol(
            item=items[number], nextitem=None if following is None else items[following]
        )
        self.home.send((number, self.reports, self.warned))
        self.running[self.number] = NONE
        self.reports, self.warned = [], []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        hook, config = self.session.config.hook, self.session.config
        if report.passed and report.when != "call" and not self.tells_all:
            return
        self.reports.append(hook.pytest_report_to_serializable(config=config, report=report))

    def pytest_warning_recorded(
        self, warning_message: warnings.WarningMessage, when: str, nodeid: str, location: Any
    ) -> None:
        kept = warnings.WarningMessage(
            str(warning_message.message), warning_message.category, warning_message.filename,
            warning_message.lineno,
        )  # fmt: skip
        self.warned.append(
            {"warning_message": kept, "when": when, "nodeid": nodeid, "location": location}
        )
