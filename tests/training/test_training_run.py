"""The run that `rnnlm.train` returns stores its work, however it is left."""

import gc
import signal
import sys

import pytest

import rnnlm
from rnnlm.errors import RnnlmWarning
from rnnlm.events import Started, Validated
from rnnlm.storage import run_files
from rnnlm.storage.model_folder import read_manifest
from support.small_runs import SMALL

pytestmark = pytest.mark.long

LONG = {**SMALL, "model": "gru", "threads": 1, "budget": "5000steps", "validate_every_steps": 2}


@pytest.fixture
def begin(text, tmp_path):
    """Make a run in the folder m that would take long."""

    def made(**request):
        return rnnlm.train(text, output=tmp_path / "m", **{**LONG, **request})

    return made


@pytest.fixture
def stored(tmp_path):
    """Read after which step the run in the folder m was stored, and whether it may go on."""

    def read():
        assert read_manifest(tmp_path / "m").training["stopped"] == "request"
        assert not (tmp_path / "m" / "owner.json").exists()
        return run_files.load_checkpoint(tmp_path / "m").state.facts["step"]

    return read


def to_step(run, step):
    """Iterate up to the validation after that step."""
    return next(event for event in run if isinstance(event, Validated) and event.step == step)


def interrupt():
    signal.raise_signal(signal.SIGINT)


def test_a_run_that_is_closed_is_stored(begin, stored, tmp_path):
    run = begin()
    assert run.folder is None
    to_step(run, 4)
    assert run.folder == tmp_path / "m"
    run.close()
    assert stored() == 4
    run.close()
    assert list(run) == []


def test_leaving_a_with_stores_the_run(begin, stored):
    with pytest.raises(ZeroDivisionError), begin() as run:
        to_step(run, 4)
        raise ZeroDivisionError
    assert stored() == 4


def test_a_run_that_is_dropped_is_stored(begin, stored):
    for event in begin():
        if isinstance(event, Validated) and event.step == 6:
            break
    gc.collect()
    assert stored() == 6


@pytest.mark.parametrize("signalled", [True, False])
def test_an_interruption_inside_stores_at_once(begin, stored, signalled):
    asked = 0

    def stop():
        nonlocal asked
        asked += 1
        if asked == 20:
            if not signalled:
                raise KeyboardInterrupt
            interrupt()
        return False

    run = begin(stop=stop, validate_every_steps=None, min_validations=0)
    with pytest.raises(KeyboardInterrupt) as caught:
        list(run)
    sys.last_traceback = caught.tb  # as a notebook keeps it, and with it the run
    assert stored() == 19
    del sys.last_traceback


def test_ctrl_c_in_the_body_stores_at_once(begin, stored):
    kept = []
    with pytest.raises(KeyboardInterrupt) as caught:
        kept.append(begin())
        to_step(kept[0], 4)
        interrupt()
    sys.last_traceback = caught.tb
    assert stored() == 4
    del sys.last_traceback
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_does_not_wait(begin):
    def stop():
        interrupt()
        interrupt()
        return False

    with pytest.raises(KeyboardInterrupt):
        list(begin(stop=stop))


def test_a_run_closed_before_steps_leaves_nothing(begin, tmp_path):
    run = begin()
    assert isinstance(next(run), Started)
    with pytest.warns(RnnlmWarning, match="stopped before the first step"):
        run.close()
    assert not (tmp_path / "m").exists()


def test_a_run_that_nobody_started_warns(begin):
    with pytest.warns(RnnlmWarning, match="never started"):
        begin()
        gc.collect()
    with pytest.warns(RnnlmWarning, match="never started"), begin():
        pass


def test_wrong_arguments_are_refused_at_the_call():
    with pytest.raises(TypeError):
        rnnlm.train("text.txt", output=5)


GRID = {"grid": {"encoding_errors": ["strict", "replace"]}, "output": "grid"}
LAZY = {
    "train": lambda **settings: rnnlm.train("no-such-text.txt", **settings),
    "train_grid": lambda **settings: rnnlm.train_grid("no-such-text.txt", **GRID, **settings),
}


@pytest.mark.needs("tools/grids")
@pytest.mark.parametrize("function", LAZY)
@pytest.mark.parametrize("settings, what", [
    ({"hiden_size": 3}, "unknown setting 'hiden_size'"),
    ({"hidden_size": 0}, "hidden_size"),
    ({"model": "ngram", "hidden_size": 3}, "kind ngram has no setting 'hidden_size'"),
    ({"model": "rnnn"}, "rnnn"),
    ({"schedule": "plateau", "holdout": 0}, "needs validation text"),
    ({"model": "ngram", "smoothing": "jelinek-mercer", "holdout": 0}, "needs held-out text"),
    ({"task": "tagging", "bptt_tokens": 3}, "bptt_tokens"),
])  # fmt: skip
def test_impossible_settings_are_refused_at_the_call_without_text(function, settings, what):
    with pytest.raises(rnnlm.RnnlmError) as refused:
        LAZY[function](**settings)
    assert what in str(refused.value)


def test_settings_of_sentences_that_contradict_are_refused_at_the_call():
    settings = rnnlm.SentenceSettings(given="a", given_column="b")
    with pytest.raises(rnnlm.RnnlmError, match="cannot be combined"):
        rnnlm.read_sentences("no-such-text.txt", settings)


def test_notices_of_a_run_are_sent_once(text, tmp_path):
    """An ignored option is mentioned when the run is planned, not at the call, too."""
    with pytest.warns(RnnlmWarning) as sent:
        list(rnnlm.train(text, model="unigram", precision="fp32", output=tmp_path / "m"))
    assert sum("ignored" in str(warning.message) for warning in sent) == 1
