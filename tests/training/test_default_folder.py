"""Where a run saves that names no folder: below the name of its text and kind."""

from itertools import chain, repeat
from pathlib import Path

import pytest

import rnnlm
from rnnlm.errors import OutputError, RnnlmWarning
from rnnlm.training.request import TrainingRequest
from rnnlm.training.resolution import resolve_request
from rnnlm.training.run_folder import usual_folder
from support.small_runs import SMALL

UNSEEN = {"model": "gru", "threads": 1, "min_validations": 0, **SMALL}
USUAL = Path("checkpoints", "text-gru")


def run(text, **request):
    """Train to the end; the events that hold no step."""
    events = list(rnnlm.train(text, **{**UNSEEN, **request}))
    return events[0], events[-1]


@pytest.fixture
def stopped(text):
    """Make a run in the default folder, stopped after three steps."""
    asked = chain(repeat(False, 3), repeat(True))
    _, end = run(text, stop=asked.__next__)
    assert (Path(end.folder), end.steps) == (USUAL, 3)
    return text


def test_same_settings_go_on(stopped):
    with pytest.warns(RnnlmWarning, match="resumes after step 3"):
        started, finished = run(stopped)
    assert (Path(finished.folder), started.step, finished.steps) == (USUAL, 3, 6)


def test_other_settings_are_refused_with_ways_out(stopped):
    with pytest.raises(OutputError) as caught:
        run(stopped, hidden_size=9)
    assert caught.value.why == "`hidden_size` was 8 and is now 9"
    assert "`output`" in caught.value.hint and "overwrite=True" in caught.value.hint


def test_another_text_has_its_own_folder(stopped, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("the cat sat on the mat\n" * 40, encoding="utf-8")
    _, finished = run(other)
    assert Path(finished.folder) == USUAL.with_name("other-gru")


def test_another_text_of_that_name_is_refused(stopped, tmp_path):
    other = tmp_path / "another" / "text.txt"
    other.parent.mkdir()
    other.write_text("the cat sat on the mat\n" * 40, encoding="utf-8")
    with pytest.raises(OutputError, match="training text"):
        run(other)


def test_overwrite_replaces_the_unfinished_run(stopped):
    started, finished = run(stopped, hidden_size=9, overwrite=True)
    assert (started.step, Path(finished.folder)) == (0, USUAL)


def test_a_finished_model_stays(text):
    _, first = run(text)
    only, second = run(text)
    assert only is second and second.results == first.results
    assert (Path(second.folder), second.steps) == (USUAL, 6)
    assert [path.name for path in USUAL.parent.iterdir()] == [USUAL.name]


def test_loading_tells_how_the_run_ended(stopped):
    with pytest.warns(RnnlmWarning, match="text-gru was stopped before its end; .* step 3"):
        rnnlm.load("text-gru")


def name_for(*text, **request):
    asked = TrainingRequest(text=text, **request)
    return usual_folder(asked, resolve_request(asked)).as_posix().removeprefix("checkpoints/")


NAMES = {
    "my.txt": "my", "texts/my.txt.gz": "my", "my.jsonl.zst": "my", "news.2024.txt": "news.2024",
    "talks.en": "talks.en", "-": "stdin", "hf:owner/name": "name",
    "hf:owner/name@main#small": "name-main-small", "parts/*.txt": "parts",
    "parts/news-*.txt.gz": "news", "parts/**/*.txt": "parts", "prepared/": "prepared",
    "english": "english", "train.txt": "train", "texts/mine/train.txt": "mine",
    "-my text: été.txt": "my-text-été", ".txt": "txt", "x" * 300 + ".txt": "x" * 100,
}  # fmt: skip


@pytest.mark.parametrize(("text", "name"), NAMES.items())
def test_a_folder_is_named_after_its_text(text, name):
    assert name_for(text) == f"{name}-lstm"


@pytest.mark.needs("tasks/labelling", "tasks/seq2seq")
def test_a_folder_is_named_after_its_kind_too():
    assert name_for() == name_for(recipe="demo") == "english-lstm"
    assert name_for(model="ngram") == "english-ngram"
    assert name_for("my.txt", "other.txt", model="gru") == "my-gru"
    assert name_for("my.txt", recipe="zaremba-small") == "my-zaremba-small"
    assert name_for("my.txt", recipe="demo") == "my-demo"
    assert name_for(counts="counts/mine", model="ngram") == "mine-ngram"
    assert name_for(task="seq2seq") == "dates-seq2seq-lstm"
    assert name_for("my.conll", task="tagging", model="gru") == "my-tagging-gru"


def test_a_dot_has_its_folders_name(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    assert name_for(".") == name_for("*.txt") == "mine-lstm"


def test_a_file_may_be_called_like_a_glob(here):
    Path("my[1].txt").touch()
    assert name_for("my[1].txt") == "my-1-lstm"
