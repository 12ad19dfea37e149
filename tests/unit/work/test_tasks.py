"""A team hands out few tasks ahead, gives results in order, and stops at the first error."""

import threading
import time
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor

import pytest

from rnnlm.work import tasks
from rnnlm.work.executors import Inline
from rnnlm.work.tasks import Team, say_share, saying


@pytest.fixture
def team():
    with ThreadPoolExecutor(3) as executor:
        yield Team(executor, 3)


def results(steps):
    return [step for step in steps if step is not None]


def test_results_come_in_the_order_of_tasks(team):
    def late_if_even(number):
        time.sleep(0.01 * (number % 2 == 0))
        return number

    assert results(team.run(late_if_even, range(20))) == list(range(20))
    assert results(Team(Inline(), 1).run(abs, [-1, -2])) == [1, 2]
    assert results(team.run(abs, [])) == []


def test_few_tasks_are_drawn_ahead(team):
    drawn = []

    def drawing():
        for number in range(50):
            drawn.append(number)
            yield number

    steps = team.run(abs, drawing())
    next(steps)
    assert len(drawn) <= 1 + tasks.AHEAD * 3


def test_the_caller_hears_that_it_waits(team, monkeypatch):
    monkeypatch.setattr(tasks, "TICK_SECONDS", 0.01)
    checks = []
    team.check = lambda: checks.append(1)
    goes_on = threading.Event()
    steps = team.run(lambda number: goes_on.wait(10) and number, [7])
    assert [next(steps) for _ in range(3)] == [None] * 3 and len(checks) == 3
    goes_on.set()
    assert results(steps) == [7]


def test_a_late_error_is_raised_at_once(team):
    goes_on = threading.Event()

    def failing(number):
        if number == 2:
            raise ValueError("two")
        goes_on.wait(10)

    began = time.monotonic()
    with pytest.raises(ValueError, match="two"):
        list(team.run(failing, range(9)))
    assert time.monotonic() - began < 5
    goes_on.set()


def test_leaving_calls_off_what_waits():
    class Kept(Inline):
        """Keeps what is submitted, and does nothing."""

        futures = []

        def submit(self, function, *arguments):
            self.futures.append(Future())
            return self.futures[-1]

    steps = Team(Kept(), 4).run(abs, range(9))
    assert next(steps) is None
    steps.close()
    assert len(Kept.futures) == 8 and all(future.cancelled() for future in Kept.futures)
    with pytest.raises(CancelledError):
        Kept.futures[0].result()


def test_tasks_tell_a_listener_how_far_they_are():
    heard = []
    say_share(0.2)
    with saying(heard.append):
        say_share(0.5)
    say_share(0.7)
    assert heard == [0.5]
