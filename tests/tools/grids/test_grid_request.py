"""The runs that a grid asks for: which there are, and impossible ones."""

from dataclasses import replace
from pathlib import Path

import pytest

from rnnlm.errors import RnnlmWarning, SettingsError, UsageError
from rnnlm.tools.grids import grid_request
from rnnlm.tools.grids.grid_request import combinations, differing, folder_name, parse_axes
from rnnlm.training.request import TrainingRequest

ASKED = TrainingRequest(text=("my.txt",), output=Path("lesson"))


def runs_of(*grid, **request):
    return combinations(grid_request.GridRequest(replace(ASKED, **request), parse_axes(grid)))[0]


def settings(runs, name):
    return [run.resolved.values.get(name) for run in runs]


def test_each_combination_has_a_run_in_its_folder():
    runs = runs_of("model=rnn,gru", "hidden_size=8, 16")
    kinds = [(kind, size) for kind in ("rnn", "gru") for size in (8, 16)]
    assert [run.name for run in runs] == [f"model={kind},hidden_size={n}" for kind, n in kinds]
    assert [run.request.output for run in runs] == [Path("lesson") / run.name for run in runs]
    assert settings(runs, "model") == ["rnn", "rnn", "gru", "gru"]
    assert settings(runs, "hidden_size") == [8, 16, 8, 16]
    assert settings(runs, "learning_rate") == [0.002, 0.002, 0.006, 0.006]  # of their recipes


def test_semicolons_separate_values_that_contain_commas():
    assert parse_axes(["layer-sizes=400,400;650,650"]) == {"layer_sizes": ("400,400", "650,650")}
    axes = grid_request.axes_of({"seed": [1, 2], "tied": [True, None], "model": "gru", "layers": 2})
    expected = {"seed": ("1", "2"), "tied": ("true", "none"), "model": ("gru",), "layers": ("2",)}
    assert axes == expected


def test_shared_settings_are_those_of_the_first_run():
    runs = runs_of("recipe=ffnn,demo", "seed=3,4")
    assert settings(runs, "budget") == ["15epochs"] * 4
    assert settings(runs, "lowercase") == [False] * 4
    assert settings(runs, "seed") == [3, 4, 3, 4]
    expected = ["1epochs", "9epochs"]
    assert settings(runs_of("budget=1epochs,9epochs", model="gru"), "budget") == expected
    given = runs_of("recipe=ffnn,demo", assignments={"lowercase": "true"}, flags={"budget": "5m"})
    assert settings(given, "lowercase") == [True, True]
    assert settings(given, "budget") == ["5m", "5m"]


def test_recipe_settings_differ_unless_made_equal():
    equal_settings = {"learning_rate": "0.001", "dropout_input": "0.3"}
    runs = runs_of("model=rnn,gru,lstm")
    equal = runs_of("model=rnn,gru,lstm", assignments=equal_settings)
    expected = {"model=rnn": 0.002, "model=gru": 0.006, "model=lstm": 0.008}
    assert differing(runs)["learning_rate"] == expected
    # a setting of the LSTM alone
    assert "model" not in differing(runs) and "forget_bias" not in differing(runs)
    assert differing(equal) == {} and settings(equal, "learning_rate") == [0.001] * 3


def test_general_settings_skip_kinds_that_lack_them():
    match = "trained without a setting of the grid: kind ngram has no budget, hidden_size"
    with pytest.warns(RnnlmWarning, match=match):
        flags = {"budget": "5m", "order": 2}
        runs = runs_of("model=ngram,gru", assignments={"hidden_size": "8"}, flags=flags)
    assert settings(runs, "hidden_size") == [None, 8]
    assert settings(runs, "order") == [2, None]
    assert settings(runs, "budget") == [None, "5m"]
    assert settings(runs, "holdout") == [0.05] * 2


@pytest.mark.parametrize("grid, request_of, says", [
    (["hidden_sise=3,4"], {},
     "hidden_sise=3: unknown setting 'hidden_sise' in the grid; did you mean 'hidden_size'"),
    (["model=gru,rnn", "hidden_sise=3"], {},
     "model=gru,hidden_sise=3: unknown setting 'hidden_sise' in the grid; did you mean 'hidden_size'"),
    (["hidden_size=3,x"], {}, "hidden_size=x: setting hidden_size = 'x' is not valid"),
    (["model=gru,ngram", "hidden_size=3,4"], {},
     "model=ngram,hidden_size=3: a model of kind ngram has no setting 'hidden_size'"),
    (["model=gru,ngram", "hidden_size=3"], {}, "train ngram by itself, or in a grid without"),
    (["model=grru"], {}, "model=grru: unknown model 'grru'; did you mean 'gru'"),
    (["recipe=lstm,nothing"], {}, "recipe=nothing: "),
    (["seed=1,2"], {"assignments": {"seed": "3"}}, "seed has a value in the grid and another outside it"),
    (["seed=1,2"], {"flags": {"seed": 3}}, "seed has a value in the grid and another outside it"),
    (["model=gru,rnn"], {"model": "gru"}, "model has a value in the grid and another outside it"),
    (["hidden_size"], {}, "'hidden_size' in the grid is not of the form"),
    (["seed=1,1"], {}, "a value of seed in the grid is given twice"),
    (["seed=1", "seed=2"], {}, "names seed twice; give all its values at once: seed=1,2"),
    (["seed=1,"], {}, "a value of seed in the grid is empty"), ([], {}, "a grid needs a setting"),
])  # fmt: skip
def test_what_cannot_be_is_refused_by_its_name(grid, request_of, says):
    with pytest.raises(UsageError) as refused:
        runs_of(*grid, **request_of)
    assert says in str(refused.value)
    assert isinstance(refused.value, SettingsError) or "unknown" not in says


def test_folders_have_names_that_every_disk_takes():
    assert folder_name("model=gru,learning_rate=0.1") == "model=gru,learning_rate=0.1"
    odd, other = folder_name("embeddings=/a/b.vec"), folder_name("embeddings=/a:b.vec")
    assert odd.startswith("embeddings=_a_b.vec-")
    assert odd != other
    assert len(folder_name("x=" + 500 * "1")) < 200


def test_a_grids_folder_defaults_to_its_text():
    texts = {(): "english", ("data/my.corpus.txt",): "my.corpus", ("-",): "stdin"}
    for text, name in {**texts, ("hf:owner/some-text@main",): "some-text-main"}.items():
        assert grid_request.usual_folder(replace(ASKED, text=text)).name == f"{name}-grid"
