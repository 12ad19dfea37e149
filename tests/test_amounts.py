"""Numbers as people type them, wherever they are typed."""

import pytest

from rnnlm.amounts import number, whole_number
from rnnlm.config import Budget, SettingsLayer, resolve
from rnnlm.errors import SettingsError, UsageError
from rnnlm.lm.neural.training.settings import FittingSettings
from rnnlm.system import parse_size
from rnnlm.tools.grids.grid_request import parse_axes
from rnnlm.tools.inspection.step import read_lesson

TYPED = {
    ".9": 0.9, "1.": 1, "+0.9": 0.9, "+.5": 0.5, "-.5": -0.5, "05": 5, "1e3": 1000, ".5e-1": 0.05,
    " 7 ": 7, "1_000": 1000, "9007199254740993": 9007199254740993,
}  # fmt: skip
NO_NUMBERS = ["", ".", "+", "1,5", "0x1", "nan", "inf", "1e400", "1_", "1__0", "٣", "1 2", "--1"]


@pytest.mark.parametrize("text", TYPED)
def test_numbers_are_read_as_people_type_them(text):
    assert number(text) == TYPED[text]
    assert isinstance(number(text), int) == isinstance(TYPED[text], int)


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_other_texts_are_no_numbers(text):
    with pytest.raises(ValueError, match="is not a number"):
        number(text)
    with pytest.raises(SettingsError, match="must be a (finite )?number"):
        resolve([FittingSettings], [SettingsLayer("user", {"l2": text}, is_text=True)])


def test_whole_numbers_have_no_fraction():
    assert whole_number("+5.") == 5
    with pytest.raises(ValueError, match="'5.5' is not a whole number"):
        whole_number("5.5")


def test_settings_are_read_alike():
    typed = {"l2": ".003", "warmup": "5.%", "batch_rows": "+8.", "clip_norm": "1."}
    values = resolve([FittingSettings], [SettingsLayer("user", typed, is_text=True)]).values
    assert [values[name] for name in typed] == [0.003, 0.05, 8, 1.0]
    # A text stays as it is.
    [vectors] = [{"embeddings": "1."}]
    layer = SettingsLayer("user", vectors, is_text=True)
    assert resolve([FittingSettings], [layer]).values["embeddings"] == "1."
    with pytest.raises(SettingsError, match="'1.' is not valid; it must be .* below 1"):
        resolve([FittingSettings], [SettingsLayer("user", {"momentum": "1."}, is_text=True)])


def test_budgets_and_sizes_are_read_alike():
    assert Budget.parse(".5h") == Budget(seconds=1800) and Budget.parse("1e3steps") == Budget(
        steps=1000
    )
    assert parse_size(".5G") == parse_size("+500.M") == 500_000_000
    for wrong in ("0m", "-3m", "1e30h", "1e999epochs", "inf h"):
        with pytest.raises(SettingsError, match="is not understood"):
            Budget.parse(wrong)
    with pytest.raises(SettingsError, match="has no unit"):
        parse_size("+500")


def test_a_lesson_holds_lists_of_them():
    read = read_lesson(assignments=["W=[[0, .5], [+.5, 1.]]", "activation=tanh"])
    assert read.network.W_HH.tolist() == [[0, 0.5], [0.5, 1]]
    # Numbers in quotation marks are words.
    vectors = 'vectors={"a": [.5, 1, 0], ".5": [0, 0, 1]}'
    sizes = ["V=[[1, 0], [0, 1]]", "c=[0, 0]"]
    read = read_lesson(assignments=["words=a .5", "targets=a", vectors, *sizes])
    assert read.network.vocabulary == ("a", ".5")


def test_a_grid_knows_equal_numbers():
    assert parse_axes(["l2=.003,.1"]) == {"l2": (".003", ".1")}
    with pytest.raises(UsageError, match="given twice"):
        parse_axes(["l2=.1,0.1"])
