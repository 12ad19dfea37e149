"""Tasks of a filter on a team: handed out a few at a time, kept as they come, called off."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext

import pytest

from rnnlm.errors import TextError
from rnnlm.filtering import team
from rnnlm.filtering.team import Means, of_this_machine, run_tasks
from rnnlm.work.tasks import Team


def doubled(number):
    if number == 3:
        raise TextError("three cannot be doubled")
    return 2 * number


def submit(team, name):
    return team.submit(doubled, int(name))


def test_results_come_as_they_are_ready():
    slow = threading.Event()

    def wait_or_double(number):
        return slow.wait(10) if number == 0 else 2 * number

    with ThreadPoolExecutor(2) as executor:
        means = Means(nullcontext(Team(executor, 2)))
        found = []
        for name, result in run_tasks(means, "0123", lambda team, name: team.submit(
                wait_or_double, int(name))):  # fmt: skip
            found.append((name, result))
            if len(found) == 3:
                slow.set()
    assert sorted(found[:3]) == [("1", 2), ("2", 4), ("3", 6)] and found[3] == ("0", True)


def test_after_an_error_no_more_tasks_begin():
    begun = []

    def noted(team, name):
        begun.append(name)
        return submit(team, name)

    found = []
    with pytest.raises(TextError, match="three cannot be doubled"):
        for name, _ in run_tasks(of_this_machine(1, 9, True), "123456789", noted):
            found.append(name)
    assert found == ["1", "2"] and begun == ["1", "2", "3"]


def test_tasks_that_wait_are_called_off():
    waiting = []

    class Idle(Team):
        def submit(self, function, *arguments):
            future = Future()
            waiting.append(future)
            if len(waiting) == 1:
                future.set_result("done")
            return future

    results = run_tasks(Means(nullcontext(Idle(None, 2)), ahead=2), "12345678", submit)
    assert next(results) == ("1", "done")
    results.close()
    assert len(waiting) == 4 and all(future.cancelled() for future in waiting[1:])


@pytest.mark.parametrize(
    ("workers", "tasks", "size", "threads"),
    [(4, 9, 4, 1), (4, 2, 2, 2), (4, 1, 1, 4), (2, 0, 1, 2)],
)
def test_processors_are_shared_by_files(monkeypatch, workers, tasks, size, threads):
    monkeypatch.setattr(team, "local_team", lambda count: nullcontext(Team(None, count)))
    means = of_this_machine(workers, tasks, reads_in_threads=True)
    with means.team as made:
        assert (made.size, means.threads) == (size, threads)
    assert of_this_machine(workers, tasks, reads_in_threads=False).threads == 1
