"""What a log without a terminal holds: how far the work is, and that it goes on."""

import io
import itertools
import threading

import click
import pytest
from rich.console import Console

from rnnlm import progress as progresses
from rnnlm.cli import terminal
from rnnlm.events import Started, Step, Validated
from rnnlm.training import printing


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def said(capsys):
    return lambda: capsys.readouterr().err.splitlines()


def test_final_count_is_reported_after_an_earlier_one(clock, said):
    progress = progresses.Progress(clock)
    clock.now += 6  # loading
    for number in range(1, 1480):
        progress(f"gradient statistics: {number:,} of 1,479 segments")
    assert said() == [f"gradient statistics: {n} of 1,479 segments" for n in ("1", "1,479")]
    progress.close()
    assert said() == []


def test_lines_begin_with_the_file_they_are_about(clock, said):
    progress = progresses.Progress(clock, about="o.csv")
    clock.now += 6
    progress("1 sentence written")
    assert said() == ["o.csv: 1 sentence written"]


def test_reported_part_is_finished_before_the_next(clock, said):
    progress = progresses.Progress(clock)
    for lines in (1000, 2000, 3000):
        progress(f"{lines:,} lines read")
        clock.now += 3
    assert said() == ["3,000 lines read"]
    progress("3,500 lines read")
    progress("12 n-grams written")
    assert said() == ["3,500 lines read"]
    progress("4,000 n-grams written")
    progress.close()
    progress.close()
    assert said() == []  # it was soon done


def test_progress_lines_thin_out_to_half_minute_gaps(clock, said):
    progress, times = progresses.Progress(clock), []
    for second in range(600):
        clock.now += 1
        progress(f"{second} lines read")
        times += [second + 1 for _ in said()]
    assert times[:3] == [5, 10, 15] and times[-1] > 570
    gaps = {b - a for a, b in itertools.pairwise(times)}
    assert min(gaps) == 5 and max(gaps) == 30


def test_silent_minute_ends_in_still_working_line(clock, said):
    progress = progresses.Progress(clock)
    clock.now += 59
    progress.say_if_silent()
    assert said() == []
    clock.now += 1
    progress.say_if_silent()
    progress("lstm: 5 of 10 tokens scored")
    assert said() == ["still working after 1m 00s"]
    clock.now += 60
    progress.say_if_silent()
    assert said() == ["still working after 2m 00s; lstm: 5 of 10 tokens scored"]


def test_command_reports_still_working_until_it_ends(monkeypatch):
    monkeypatch.setattr(progresses, "SILENT_SECONDS", 0.01)
    lines, heard = [], threading.Event()
    monkeypatch.setattr(progresses, "say", lambda line: (lines.append(line), heard.set()))
    with click.Context(click.Command("eval")):
        progress = terminal.Progress()
        assert heard.wait(10) and lines[0] == "still working after 0s"
    assert progress.closed.is_set()


@pytest.mark.needs("tools/mixtures")
@pytest.mark.parametrize(
    "command", ["eval {0} -m {1}", "compare {1} {2} --on {0}", "mix {1} {2} --on {0} -o both"]
)
def test_scoring_is_watched_to_its_end(rnnlm, models, here, monkeypatch, command):
    monkeypatch.setattr(progresses, "PROGRESS_SECONDS", 0.0)
    ended = rnnlm(*command.format(models.valid, models.lstm, models.lstm).split())
    assert ended.code == 0, ended.err
    told = [line for line in ended.err.splitlines() if line.endswith("tokens scored")]
    scored = [line.split(": ")[-1].split() for line in told]
    assert scored and scored[-1][0] == scored[-1][2]


def test_run_without_terminal_reports_within_fifteen_seconds(clock, said):
    display = printing.PlainDisplay(progresses.Progress(clock))
    for number in range(40):
        clock.now += 1
        display.show(Step(number, 0.5, 10, 2.0, 0.1, 100.0, number / 40, float(number)))
    assert [line.split(",")[0] for line in said()] == ["step 14", "step 29"]


def test_ten_seconds_tell_how_long_a_run_takes_between_validations(clock, said):
    display = printing.PlainDisplay(progresses.Progress(clock))
    clock.now += 30  # computing word vectors
    display.show(Started("lstm", 10, 10, 10, 10, "cpu", "fp32"))
    for number in range(1, 40):
        clock.now += 1
        display.show(Step(number, 0.5, 10, 2.0, 0.1, 100.0, number / 200, float(number)))
        if number % 4 == 0:
            figures = {"ppl_token": 9.0}
            display.show(Validated(number, 0.5, figures, 9.0, True, float(number), None))
    lines = [line for line in said() if line.endswith("left")]
    assert len(lines) == 1 and lines[0].startswith("step 10,")
    assert lines[0].endswith("5% done, 3m 10s left")


@pytest.mark.parametrize("phases, message, shown", [
    ((), "3 of 4 files filtered, 60%, 3 MB/s", "60% done"), ((), "1 of 4 lines", "25% done"),
    (("read", "counting", "order 1:", "order 10:"), "counting: 50%", "38% done"),
    (("read", "counting", "order 1:", "order 10:"), "order 1: 7 n-grams", "75% done"),
    (("read", "counting"), "700 lines seen", "0% done"),
])  # fmt: skip
def test_a_bar_shows_how_much_of_the_whole_is_done(clock, phases, message, shown):
    bar = terminal.Bar(phases, clock=clock)
    bar.console = Console(width=80, force_terminal=True, file=io.StringIO())
    bar("soon done")
    assert not bar.console.file.getvalue()
    clock.now += 2
    bar(message)
    bar("an earlier part: 0%")  # never goes back
    bar.close()
    assert f"{shown}, after 2s" in bar.console.file.getvalue()
    assert "an earlier part" in bar.console.file.getvalue()


def test_a_bar_is_lines_without_a_terminal(said, clock):
    bar = terminal.Bar(clock=clock)
    clock.now += 6
    bar("1 of 4 files")
    assert said() == ["1 of 4 files"]


def test_the_rest_of_each_part_is_estimated(clock):
    progress, lefts = progresses.Progress(clock), []
    for seconds, message in [
        (5, "valid: 100 of 1,100 tokens scored"), (15, "valid: 600 of 1,100 tokens scored"),
        (25, "valid: 1,100 of 1,100 tokens scored"), (30, "test: 10 of 100 tokens scored"),
        (40, "test: 20 of 100 tokens scored"), (50, "test: done"),
    ]:  # fmt: skip
        clock.now = seconds
        progress(message)
        lefts.append(progress.shown().partition("scored")[2])
    assert lefts == ["", ", 10s left", "", "", ", 1m 20s left", ""]
