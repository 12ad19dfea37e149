import io
import math
import re
import sys
import warnings
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from rnnlm import progress as progresses
from rnnlm.cli import live
from rnnlm.events import (
    Counted,
    Estimated,
    Fitted,
    ModelSaved,
    RolledBack,
    Started,
    Step,
    Validated,
)
from rnnlm.registry import kind_of
from rnnlm.training import printing

STARTED = Started("[red]lstm", 13536, 1440, 4350, 359, "cpu", "bf16", 32, 35, "5 streams, bf16")
STEP = Step(1200, 2.5, 1000, 5.0, 0.001, 12345, progress=0.25, seconds=40)
VALIDATED = Validated(1190, 2.4, {"ppl_token": 150.123}, 149.5, False, 39.0, None)
BETTER = replace(VALIDATED, step=1200, figures={"ppl_token": 149.5})
SAVED = ModelSaved("checkpoints/x", 1100)
ROLLED_BACK = RolledBack(1205, 1190, "the loss is not a number by step 1205", 2, 1, 0.25, 41.0)
FITTED = Fitted(step=1100, steps=4800, tokens=4000, seconds=160, stopped="budget", model=None)


def drawn(width: int, *events, **settings) -> list[str]:
    """Return the lines on a terminal of that width after the events were shown, without escapes."""
    settings = {"force_terminal": True, "legacy_windows": False, **settings}
    console = Console(width=width, height=40, file=io.StringIO(), **settings)
    display = live.LiveDisplay(console)
    with display.live:
        for event in events:
            display.show(event)
        display.live.refresh()
    written = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.file.getvalue())
    return [line.rstrip() for line in written.replace("\r", "\n").split("\n")]


@pytest.mark.parametrize("width, events, lines", [
    (40, [], ["starting ..."]),
    (80, [STEP, VALIDATED, SAVED],
     ["25% done, 2m 00s left, step 1,200, epoch 2.50, 12,345 tokens/s",
                                    ("perplexity: train 148.4, valid 150.12, best 149.50, saved "
                                     "at step 1,100")]),
    (80, [STEP, replace(VALIDATED, best=None)],
     ["perplexity: train 148.4, valid 150.12"]),
    (80, [STEP, VALIDATED, FITTED],
     ["100% done, 0s left, step 4,800, epoch 2.50, 12,345 tokens/s"]),
])  # fmt: skip
def test_bar_and_metrics_have_their_lines(width, events, lines):
    found = drawn(width, STARTED, *events)
    assert set(lines) <= set(found)
    assert not events or any(
        set(line) <= {"━", "╸", "╺"} and len(line) == 60 for line in found if line
    )


@pytest.mark.parametrize("width", [20, 80, 200])
def test_lines_fit_terminal_and_data_is_not_markup(width):
    lines = drawn(width, STARTED, STEP, VALIDATED, SAVED)
    assert max(map(len, lines)) <= width
    assert "[red]lstm" in " ".join(lines)


def test_at_20_columns_each_metric_has_its_line():
    lines = drawn(20, STARTED, STEP, VALIDATED)
    at = lines.index("25% done")
    assert lines[at : at + 6] == [
        "25% done", "2m 00s left", "12,345 tokens/s", "train 148.4", "valid 150.12", "best 149.50",
    ]  # fmt: skip


def test_no_color_has_no_colours():
    console = Console(width=80, force_terminal=True, no_color=True, file=io.StringIO())
    display = live.LiveDisplay(console)
    with display.live:
        display.show(STEP)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", console.file.getvalue())


@pytest.mark.parametrize(
    "term, kind", [("dumb", printing.PlainDisplay), ("xterm", live.LiveDisplay)]
)
def test_a_dumb_terminal_gets_plain_lines(monkeypatch, capsys, term, kind):
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with live.display_for(kind_of("lstm")) as display:
        assert type(display) is kind


def test_validations_are_one_line_each_without_terminal(capsys):
    with live.display_for(kind_of("lstm")) as display:
        for event in (STARTED, STEP, VALIDATED, SAVED, BETTER):
            display.show(event)
    assert capsys.readouterr().err.splitlines() == [
        (
            "[red]lstm: 13,536 parameters, vocabulary 1,440, 4,350 tokens, 359 for validation, "
            "cpu bf16"
        ),
        "step 1,190: validation perplexity 150.12 (best 149.50)",
        "step 1,200: validation perplexity 149.50",
    ]


LABELS = {"loss_nats": 0.69312, "accuracy": 0.5}
OF_LABELS = replace(VALIDATED, figures=LABELS, criterion="accuracy", is_share=True, best=0.50004)
OF_LOSS = replace(VALIDATED, figures=LABELS, criterion="loss_nats", best=0.69314)


@pytest.mark.parametrize("event, line", [
    (replace(VALIDATED, best=150.1228), "validation perplexity 150.1230 (best 150.1228)"),
    (OF_LABELS, "validation accuracy 50.000% (best 50.004%), loss 0.6931"),
    (OF_LOSS, "validation loss 0.69312 (best 0.69314), accuracy 50.00%"),
])  # fmt: skip
def test_a_validation_has_digits_that_tell_it_from_the_best(capsys, event, line):
    printing.PlainDisplay(progresses.Progress()).show(event)
    assert capsys.readouterr().err == f"step 1,190: {line}\n"
    assert any(line.split()[2] in shown for shown in drawn(80, STEP, event))


def test_two_validations_are_told_apart(capsys):
    display = printing.PlainDisplay(progresses.Progress())
    for value in (150.1234, 150.1231):
        display.show(replace(VALIDATED, figures={"ppl_token": value}, best=value))
    assert capsys.readouterr().err.splitlines()[1].endswith("perplexity 150.1231")


def test_steps_are_reported_occasionally_without_terminal(capsys, monkeypatch):
    display = printing.PlainDisplay(progresses.Progress())
    display.show(STEP)
    assert capsys.readouterr().err == ""
    display.progress.last_line -= printing.PLAIN_SECONDS
    display.show(STEP)
    display.show(STEP)
    line = "step 1,200, epoch 2.50: perplexity 148.4, 12,345 tokens/s, 25% done, 2m 00s left\n"
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("budget, progress, is_said", [
    ("20epochs", 0.01, True), ("20epochs", 0.1, False), ("9h", 0.01, False),
])  # fmt: skip
def test_a_long_run_says_what_ten_minutes_would_read(budget, progress, is_said):
    train = SimpleNamespace(tokens=14_814_000)
    resolved = SimpleNamespace(values={"budget": budget})
    plan = SimpleNamespace(resolved=resolved, data=SimpleNamespace(train=train))
    step = replace(STEP, seconds=100.0, progress=progress)
    with warnings.catch_warnings(record=True) as notices:
        warnings.simplefilter("always")
        printing.notice_long_run(plan, step)
    assert [str(notice.message) for notice in notices] == is_said * [
        'the run takes about 2h 46m; `budget="10m"` would read about 0.5 times the text'
    ]


@pytest.mark.parametrize("seconds, said", [
    (30.0, ["the exact evaluation at the end takes about 10m 00s more"]), (1.0, []),
])  # fmt: skip
def test_a_long_evaluation_at_the_end_is_forecast_by_the_first_validation(seconds, said):
    data = SimpleNamespace(valid=SimpleNamespace(tokens=4000))
    plan = SimpleNamespace(data=data, test=SimpleNamespace(tokens=4000))
    with warnings.catch_warnings(record=True) as notices:
        warnings.simplefilter("always")
        printing.notice_long_end(plan, replace(VALIDATED, share=0.1), seconds)
    assert [str(notice.message) for notice in notices] == said


def test_rollback_is_one_line_with_and_without_terminal(capsys):
    line = (
        "the loss is not a number by step 1205; back to step 1,190 at 0.25 times the "
        "learning rate (1 more attempt is left)"
    )
    printing.PlainDisplay(progresses.Progress()).show(ROLLED_BACK)
    assert capsys.readouterr().err == line + "\n"
    assert line in drawn(200, STARTED, STEP, ROLLED_BACK)


def test_a_loss_beyond_floats_is_an_infinite_perplexity():
    assert printing.training_metric(Step(1, 0, 1, 1e4, 0, 1, 0.5, 1)) == "perplexity inf"
    assert (
        printing.training_metric(Step(1, 0, 1, 5.9, 0, 1, 0.5, 1, is_exact=False)) == "loss 5.900"
    )
    found = printing.training_metric(Step(1, 0, 1, 0.25, 0, 1, 0.5, 1), loss_is_of_text=False)
    assert found == "loss 0.250"


def test_counting_tells_what_was_estimated(capsys):
    with live.display_for(kind_of("ngram")) as display:
        display.show(Counted(2, 12_345, 0.25))
        discounts = {"discounts of order 1": [0.5, 1.0, 1.5]}
        display.show(Estimated((10, 12_345), discounts, 2_000_000, 150_000_000, 0.5))
        display.show(replace(VALIDATED, figures={"ppl_token": 148.0071}))
        display.show(replace(VALIDATED, figures={"ppl_token": math.inf}))
    assert capsys.readouterr().err.splitlines() == [
        "n-grams by order: 10 / 12,345; 2.0 MB",
        "validation perplexity is infinite: a token has probability zero",
    ]


def test_counting_that_takes_its_time_tells_each_order(capsys):
    display = printing.CountingDisplay(progresses.Progress())
    display.show(Counted(1, 10, 0.25))
    display.progress.last_line -= progresses.PROGRESS_SECONDS
    display.show(Counted(2, 12_345, 6.25))
    assert capsys.readouterr().err == "order 2: 12,345 n-grams\n"
