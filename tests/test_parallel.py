"""A pool hands out few tasks ahead, gives results in order or as they end, and stops at an error."""

import threading
import time
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor

import pytest

from rnnlm import parallel
from rnnlm.parallel import InlineExecutor, WorkerPool, inline_pool, report_done, reporting_to


@pytest.fixture
def pool():
    with ThreadPoolExecutor(3) as executor:
        yield WorkerPool(executor, 3)


def results(steps):
    return [step[1] for step in steps if step is not None]


def test_results_come_in_the_order_of_tasks(pool):
    def late_if_even(number):
        time.sleep(0.01 * (number % 2 == 0))
        return number

    assert results(pool.run(late_if_even, range(20))) == list(range(20))
    assert results(WorkerPool(InlineExecutor(), 1).run(abs, [-1, -2])) == [1, 2]
    assert results(pool.run(abs, [])) == []


def test_few_tasks_are_drawn_ahead(pool):
    drawn = []

    def drawing():
        for number in range(50):
            drawn.append(number)
            yield number

    steps = pool.run(abs, drawing())
    next(steps)
    assert len(drawn) <= 1 + parallel.AHEAD * 3


def test_the_caller_hears_that_it_waits(pool, monkeypatch):
    monkeypatch.setattr(parallel, "TICK_SECONDS", 0.01)
    checks = []
    pool.check = lambda: checks.append(1)
    goes_on = threading.Event()
    steps = pool.run(lambda number: goes_on.wait(10) and number, [7])
    assert [next(steps) for _ in range(3)] == [None] * 3 and len(checks) == 3
    goes_on.set()
    assert results(steps) == [7]


def test_a_late_error_is_raised_at_once(pool):
    goes_on = threading.Event()

    def failing(number):
        if number == 2:
            raise ValueError("two")
        goes_on.wait(10)

    began = time.monotonic()
    with pytest.raises(ValueError, match="two"):
        list(pool.run(failing, range(9)))
    assert time.monotonic() - began < 5
    goes_on.set()


def test_leaving_calls_off_what_waits():
    class Kept(InlineExecutor):
        """Keeps submitted calls, and does nothing."""

        futures = []

        def submit(self, function, *arguments):
            self.futures.append(Future())
            return self.futures[-1]

    steps = WorkerPool(Kept(), 4).run(abs, range(9))
    assert next(steps) is None
    steps.close()
    assert len(Kept.futures) == 8 and all(future.cancelled() for future in Kept.futures)
    with pytest.raises(CancelledError):
        Kept.futures[0].result()


def test_results_come_as_they_end():
    slow = threading.Event()

    def wait_or_double(number):
        return slow.wait(10) if number == 0 else 2 * number

    found = []
    with ThreadPoolExecutor(2) as executor:
        steps = WorkerPool(executor, 2).run(wait_or_double, range(4), "as they end")
        for done in filter(None, steps):
            found.append(done)
            if len(found) == 3:
                slow.set()
    assert sorted(found[:3]) == [(1, 2), (2, 4), (3, 6)] and found[3] == (0, True)


def test_after_an_error_no_more_tasks_begin_and_those_that_run_come_to_their_end():
    drawn, found = [], []

    def failing(number):
        if number == 3:
            raise ValueError("three")
        time.sleep(0.1 * (number == 4))
        return number

    def tasks():
        for number in range(1, 10):
            drawn.append(number)
            yield number

    def run(pool):
        for done in pool.run(failing, tasks(), "as they end"):
            found.append(done and done[0])

    with inline_pool() as pool, pytest.raises(ValueError, match="three"):
        run(pool)
    assert found == [1, 2] and drawn == [1, 2, 3]
    with ThreadPoolExecutor(2) as executor, pytest.raises(ValueError, match="three"):
        run(WorkerPool(executor, 2, most=2))
    assert sorted({*filter(None, found[2:])} | {3}) == sorted(drawn[3:])


def test_tasks_tell_a_listener_how_far_they_are():
    heard = []
    report_done(0.2)
    with reporting_to(heard.append):
        report_done(0.5)
    report_done(0.7)
    assert heard == [0.5]
