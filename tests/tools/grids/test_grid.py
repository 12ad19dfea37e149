"""A grid of tiny runs: each is a run of `train`, and finished ones are not trained again."""

import csv
import warnings

import pytest

from rnnlm.errors import OutputError, RnnlmWarning, UsageError
from rnnlm.evaluation.learning_curves import learning_curve
from rnnlm.events import Fitted, Validated
from rnnlm.runs import train
from rnnlm.tools.grids import grid as grids
from rnnlm.tools.grids.grid import RunResult, notice_unknown_words, train_grid
from rnnlm.tools.grids.grid_request import GridRequest
from rnnlm.tools.reports.curve_plots import plot_curves
from rnnlm.training.request import TrainingRequest
from support.small_runs import SMALL, assert_equal, numbers

pytestmark = pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")


def grid(text, stop=lambda: False, **settings):
    """Return the events of a grid of two kinds."""
    asked = {"grid": {"model": ["gru", "unigram"]}, "output": "lesson", "test": text, "stop": stop}
    return list(train_grid(text, **asked, **{**SMALL, **settings}))


def of_kind(events, kind):
    return [event for event in events if isinstance(event, kind)]


def test_an_interrupted_grid_resumes_and_runs_match_train(text):
    steps = []
    cut = grid(text, stop=lambda: steps.append(1) or len(steps) > 4, min_validations=2)
    assert (cut[-1].stopped, cut[-1].results, cut[-1].table) == ("request", (), None)
    assert of_kind(cut, Fitted)[0].steps < 6
    events = grid(text, min_validations=2)
    kinds = (grids.GridRunStarted, grids.GridRunEnded, grids.GridFinished)
    started, ended, finished = (of_kind(events, kind) for kind in kinds)
    expected = [(1, "model=gru"), (2, "model=unigram")]
    assert [(event.number, event.run.name) for event in started] == expected
    assert [event.result for event in ended] == list(finished[0].results)
    assert finished[0].stopped == "complete"
    *_, single = train(text, output="alone", model="gru", test=text, holdout=0.05, **SMALL)
    assert_equal(numbers("alone"), numbers("lesson/model=gru"))
    gru, unigram = finished[0].results
    assert gru.test_ppl == single.results["test"]["ppl_token"]
    assert gru.steps == 6
    assert gru.stopped == "budget"
    assert all(each.test_ppl_low < each.test_ppl < each.test_ppl_high for each in (gru, unigram))
    # the same text, held out, and tokenizer
    assert gru.valid_signature.split("|")[:3] == unigram.valid_signature.split("|")[:3]

    with open("lesson/grid.tsv", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    expected = [(each.run, each.values["model"], each.test_ppl) for each in finished[0].results]
    assert [(row["run"], row["model"], float(row["test_ppl"])) for row in rows] == expected
    assert "model=gru" in (text.parent / "lesson" / "curves.svg").read_text(encoding="utf-8")

    [axes] = plot_curves(["lesson"], "by-seconds.png", by="seconds").axes
    drawn = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert drawn == [gru.run, f"{unigram.run} (counted)"]
    assert [learning_curve(each.folder).model for each in (gru, unigram)] == ["gru", "unigram"]
    assert gru.test_ppl_no_oov == single.results["test"]["ppl_token_no_oov"]

    frame = finished[0].to_pandas()
    assert list(frame["model"]) == ["gru", "unigram"]
    assert list(frame["test_ppl"]) == [gru.test_ppl, unigram.test_ppl]

    again = grid(text, min_validations=2)
    assert of_kind(again, Validated) == [] and again[-1] == finished[0]
    match = "model=gru: .*another result; `hidden_size` was 8 and is now 9; choose another"
    with pytest.raises(OutputError, match=match):
        grid(text, hidden_size=9)


def test_a_diverging_run_does_not_end_the_grid(text):
    wild = {"optimizer": "sgd", "clip_norm": None, "schedule": "constant", "warmup": 0.0}
    wild |= {**SMALL, "activation": "elu", "model": "rnn", "budget": "2steps"}
    events = list(train_grid(text, grid={"learning_rate": [1e30, 0.01]}, output="lesson", **wild))
    first, second = of_kind(events, grids.GridRunEnded)
    assert "diverged" in first.error.what
    assert first.result.stopped == "diverged"
    assert first.result.valid_ppl is None
    assert second.error is None and second.result.valid_ppl > 1 and events[-1].stopped == "complete"


def test_kinds_share_one_text_given_validation_text(text):
    asked = TrainingRequest(text=(str(text),), valid=(str(text),), flags=SMALL)
    first, second = grids.plan_grid(GridRequest(asked, {"model": ("gru", "ngram")})).plans
    assert first.data.train is second.data.train


def test_a_grid_notes_another_best_without_unknown_words():
    def result(run, ppl, known, tokenizer="word"):
        signature = f"tok:{tokenizer}|model:{run}"
        metrics = {"valid_ppl": ppl, "valid_ppl_no_oov": known, "valid_signature": signature}
        return RunResult(run, run, {}, "budget", **metrics)

    failed = RunResult("failed", "failed", {}, "diverged")
    match = r"on the validation text, b is best with .*, but a without them \(20.00 to 25.00\)"
    with pytest.warns(RnnlmWarning, match=match):
        notice_unknown_words([result("a", 50.0, 20.0), failed, result("b", 40.0, 25.0)])
    with warnings.catch_warnings(action="error"):
        notice_unknown_words([result("a", 50.0, 20.0), result("b", 60.0, 25.0)])
        notice_unknown_words([result("a", 50.0, 20.0), result("b", 40.0, 25.0, tokenizer="char")])
        notice_unknown_words([result("a", 50.0, 20.0), result("b", 49.9, 25.0)])
        notice_unknown_words([failed])
        notice_unknown_words([result("a", 50.0, 20.0), result("zeros", None, 15.0)])


def test_infinite_perplexities_are_results_of_a_grid(text, tmp_path):
    valid = tmp_path / "valid.txt"
    valid.write_text("the unseen-word\n", encoding="utf-8")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*hidden state")
        asked = {"grid": {"smoothing": ["mle", "witten-bell"]}, "model": "ngram", "order": 1}
        *_, finished = train_grid(text, **asked, output="lesson", valid=valid)
    zeros, smooth = finished.results
    assert zeros.valid_ppl is None and smooth.valid_ppl > 1


def test_a_model_is_no_folder_of_a_grid(text, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(OutputError, match="is not the folder of a grid"):
        list(train_grid(text, grid={"seed": [1, 2]}, output="model", **SMALL))
    with pytest.raises(UsageError, match="model has no value in the grid"):
        list(train_grid(text, grid={"model": []}, output="lesson", **SMALL))
    with pytest.raises(UsageError, match="the list of texts is empty"):
        list(train_grid([], grid={"seed": [1, 2]}))
