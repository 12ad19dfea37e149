import dataclasses
import time
import tracemalloc
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from msgspec import Meta

import rnnlm
from rnnlm.config import (
    ANY,
    Budget,
    Count,
    NonNegative,
    Positive,
    SettingsLayer,
    ValidatedSettings,
    convert,
    describe,
    from_stored,
    needs,
    needs_of,
    parse_assignments,
    part,
    resolve,
)
from rnnlm.errors import ModelError, SettingsError
from rnnlm.scoring.generation.settings import SamplingSettings
from rnnlm.scoring.settings import ScoringSettings
from rnnlm.storage.files.reading import read_by_hand


@dataclass(frozen=True)
class Network:
    model: Annotated[Literal["rnn", "lstm"], Meta(description="kind of layer")] = "lstm"
    hidden_size: Annotated[Count, Meta(description="width")] = 256
    tied: bool = True


@dataclass(frozen=True)
class Fitting:
    learning_rate: Positive = 0.001
    weight_decay: NonNegative = 0.0
    clip_norm: Positive | None = 1.0
    budget: str = "20epochs"

    def __post_init__(self):
        Budget.parse(self.budget)


CLASSES = (Network, Fitting)


def test_later_layers_win_and_origins_are_remembered():
    layers = [
        SettingsLayer("recipe x", {"hidden_size": 100, "learning_rate": 1, "tied": False}),
        SettingsLayer("file.toml", {"hidden_size": 200}),
        SettingsLayer("user", {"hidden_size": "300", "clip_norm": "none", "tied": "true"}, is_text=True),
    ]  # fmt: skip
    resolved = resolve(CLASSES, layers)
    assert resolved.make(Network) == Network("lstm", 300, True)
    assert resolved.make(Fitting) == Fitting(1.0, 0.0, None)
    assert isinstance(resolved.values["learning_rate"], float)
    assert resolved.origins == {
        "model": "default", "hidden_size": "user", "tied": "user", "learning_rate": "recipe x",
        "weight_decay": "default", "clip_norm": "user", "budget": "default",
    }  # fmt: skip


@dataclass(frozen=True)
class Base:
    colour: Annotated[str | None, Meta(extra=needs(paint=("oil", "water")))] = None
    layers: Annotated[Count, Meta(extra=needs(colour=ANY))] = 1
    paint: str = "none"


@dataclass(frozen=True)
class Heir(Base):
    colour: Annotated[str | None, Meta(description="what it looks like")] = "red"
    layers: Annotated[Count, Meta(extra=needs(paint=("oil",)))] = 2


def test_what_a_setting_needs_is_inherited():
    colour = ({"paint": ("oil", "water")},)
    assert needs_of(Base) == {"colour": colour, "layers": ({"colour": ANY},)}
    assert needs_of(Heir) == {"colour": colour, "layers": ({"paint": ("oil",)},)}


class Shape:
    pass


@dataclass(frozen=True)
class Round(Shape):
    radius: Count = 1


@dataclass(frozen=True)
class Wheel:
    spokes: Count = 8
    shape: Shape | None = part(Shape)


def test_a_part_holds_settings_beside_the_others():
    resolved = resolve([Wheel, Round], [SettingsLayer("user", {"radius": "3"}, is_text=True)])
    assert resolved.values == {"spokes": 8, "radius": 3}
    assert resolved.make(Wheel) == Wheel(8, Round(3))
    assert from_stored(Wheel, {"radius": 3, "spokes": 5}, [Round]) == Wheel(5, Round(3))
    with pytest.raises(SettingsError, match="unknown setting 'shape'"):
        resolve([Wheel, Round], [SettingsLayer("file.toml", {"shape": 1})])
    with pytest.raises(SettingsError, match="unknown setting 'radius'"):
        resolve([Wheel], [SettingsLayer("file.toml", {"radius": 1})])


def test_what_a_text_brings_makes_other_settings():
    before = resolve(CLASSES, [SettingsLayer("user", {"budget": "3m"}, is_text=True)])
    after = before.with_layer("the data", {"budget": "5m", "hidden_size": 300})
    assert before.values["budget"] == "3m" and before.values["hidden_size"] == 256
    assert after.values["budget"] == "5m" and after.values["hidden_size"] == 300
    assert after.origins["hidden_size"] == "the data" and after.origins["tied"] == "default"
    assert [layer.origin for layer in after.added] == ["the data"] and not before.added
    with pytest.raises(SettingsError, match="soon"):
        before.with_layer("the data", {"budget": "soon"})


@pytest.mark.parametrize(("name", "value"), [
    ("hidden_size", 0), ("hidden_size", -1), ("hidden_size", 2.5), ("hidden_size", "12"),
    ("hidden_size", True), ("hidden_size", None), ("learning_rate", 0), ("learning_rate", "0.1"),
    ("learning_rate", float("nan")), ("learning_rate", float("inf")), ("weight_decay", -0.1),
    ("weight_decay", float("nan")), ("clip_norm", float("nan")), ("model", "lstmm"), ("model", 3),
    ("tied", "yes"), ("tied", 1), ("budget", 3),
])  # fmt: skip
def test_invalid_type_or_range_error_names_the_setting(name, value):
    with pytest.raises(SettingsError, match=name):
        resolve(CLASSES, [SettingsLayer("file.toml", {name: value})])


@pytest.mark.parametrize(("name", "text"), [
    ("hidden_size", "12.5"), ("hidden_size", "-3"), ("hidden_size", "many"), ("hidden_size", ""),
    ("hidden_size", "none"), ("learning_rate", "nan"), ("learning_rate", "inf"),
    ("learning_rate", "-inf"), ("learning_rate", "1e999"), ("learning_rate", "-1"),
    ("tied", "maybe"), ("model", "transformer"), ("budget", "soon"), ("clip_norm", "0"),
])  # fmt: skip
def test_invalid_text_value_is_an_error(name, text):
    with pytest.raises(SettingsError):
        resolve(CLASSES, [SettingsLayer("user", {name: text}, is_text=True)])


@pytest.mark.parametrize(("text", "value"), [("3e-4", 3e-4), ("1", 1.0), (" 2 ", 2.0)])
def test_text_is_parsed_by_field_type(text, value):
    layer = SettingsLayer("user", parse_assignments([f"learning_rate={text}"]), is_text=True)
    assert resolve(CLASSES, [layer]).values["learning_rate"] == value


def test_stored_settings_accept_known_and_reject_damaged_values():
    stored = {"hidden_size": 7, "of_a_later_version": 1}
    assert from_stored(Network, stored) == Network(hidden_size=7)
    with pytest.raises(ModelError, match="damaged"):
        from_stored(Network, {"hidden_size": -7})


def test_descriptions_are_told():
    assert describe(Network) == {"model": "kind of layer", "hidden_size": "width", "tied": ""}


@pytest.mark.parametrize(("name", "text"), [
    ("a.toml", 'hidden_size = 3\nmodel = "rnn"\n'), ("a.JSON", '{"hidden_size": 3, "model": "rnn"}'),
])  # fmt: skip
def test_files_of_people_are_toml_or_json(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8-sig")
    expected = {"hidden_size": 3, "model": "rnn"}
    assert read_by_hand(tmp_path / name, SettingsError) == expected


@pytest.mark.parametrize(("name", "text"), [("a.toml", "x = 1\ny = \n"), ("a.json", '{"x": 1,\n}')])
def test_files_of_people_are_refused_with_the_line(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(SettingsError, match=f"{name} is not {name[2:].upper()}") as refused:
        read_by_hand(tmp_path / name, SettingsError)
    assert "line 2" in refused.value.why


DOTTED = ".".join(["a"] * 20_000)
TOO_MUCH = {
    "a name of 20,000 dots": ("a.toml", f"{DOTTED} = 1", "a name has 19,999 dots, of 32"),
    "a table of dots": ("a.toml", f"[{DOTTED}]\nx = 1", "a name has 19,999 dots, of 32"),
    "dots in braces": ("a.toml", f"x = {{b = 1, {DOTTED} = 1}}", "a name has 19,999 dots"),
    "dots behind quotes": ("a.toml", f'x = {{b = """\n" """, {DOTTED} = 1}}', "19,999 dots"),
    "dots behind a comment": ("a.toml", f'# """ \'\n{DOTTED} = 1\n# """', "19,999 dots"),
    "quoted names": ("a.toml", ".".join(["\"a\"", "'b'"] * 500) + " = 1", "999 dots"),
    "200,000 keys": ("a.toml", "".join(f"k{n} = 1\n" for n in range(200_000)), "more than 1,000 keys"),
    "200,000 tables": ("a.toml", "[[a]]\n" * 200_000, "more than 1,000 keys"),
    "keys in braces": ("a.toml", "x = [{" + "a=1,b=1},{" * 2000 + "}]", "more than 1,000 keys"),
    "keys of JSON": ("a.json", "{" + ",".join(f'"k{n}":1' for n in range(9999)) + "}", "more than 1,000 keys"),
    "arrays": ("a.toml", "x = " + "[" * 5000 + "]" * 5000, "nested more than 32 deep"),
    "objects": ("a.json", '{"a":' * 500 + "1" + "}" * 500, "nested more than 32 deep"),
    "many quotes": ("a.toml", "\"" + "\\\"" * 40_000, "is not TOML"),
}  # fmt: skip


@pytest.mark.parametrize("what", TOO_MUCH)
def test_files_of_people_are_bounded_before_they_are_parsed(tmp_path, what):
    name, text, why = TOO_MUCH[what]
    (tmp_path / name).write_text(text)
    began = time.process_time()
    tracemalloc.start()
    with pytest.raises(SettingsError, match=why):
        read_by_hand(tmp_path / name, SettingsError)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200 * len(text) + 10**7 and time.process_time() - began < 20


def test_words_of_people_are_not_counted(tmp_path):
    begin, end = '# e.g. [[[[ "\nabout = """One. Two: = [[[\n""" # \nx = "', '"\ny.z = 0.5\n'
    text = begin + "a. " * 99 + end
    (tmp_path / "a.toml").write_text(text)
    found = read_by_hand(tmp_path / "a.toml", SettingsError)
    assert found["y"] == {"z": 0.5} and found["about"].startswith("One.")


def test_assignments_are_taken_apart():
    assert parse_assignments(["a = b=c", "learning-rate=1"]) == {"a": "b=c", "learning_rate": "1"}
    for wrong in ("a", "=b", " = b", ""):
        with pytest.raises(SettingsError):
            parse_assignments([wrong])


@pytest.mark.parametrize(("text", "budget"), [
    ("90s", Budget(seconds=90)), ("3m", Budget(seconds=180)), ("1.5h", Budget(seconds=5400)),
    ("1d", Budget(seconds=86400)), ("20epochs", Budget(epochs=20)), ("1 epoch", Budget(epochs=1)),
    ("0.5epochs", Budget(epochs=0.5)), ("5000steps", Budget(steps=5000)), ("1step", Budget(steps=1)),
])  # fmt: skip
def test_budgets(text, budget):
    assert Budget.parse(text) == budget


@pytest.mark.parametrize("text", [
    "", "3", "m", "0s", "-3m", "nan s", "inf h", "3 weeks", "1.5steps", "1e-3steps", "9" * 400 + "steps",
])  # fmt: skip
def test_other_texts_are_no_budgets(text):
    with pytest.raises(SettingsError):
        Budget.parse(text)


def test_nearest_valid_text_is_suggested():
    methods = Annotated[Literal["mkn", "katz"], Meta(description="an estimator")]
    with pytest.raises(SettingsError, match=r"did you mean 'katz'\?"):
        convert("smoothing", "katzz", methods, False)
    # Others are listed once.
    with pytest.raises(SettingsError) as raised:
        convert("smoothing", "other", methods, False)
    assert (raised.value.why, raised.value.hint) == ("it must be one of katz, mkn", "")


@pytest.mark.parametrize("cls, values, needed", [
    (SamplingSettings, {"top_k": 0}, "a whole number of at least 1 or none"),
    (SamplingSettings, {"temperature": -1}, "a number of at least 0"),
    (SamplingSettings, {"top_p": 5}, "at most 1"),
    (ScoringSettings, {"split": "exactly"}, "one of tokens, whitespace"),
    (SamplingSettings, {"seed": -1}, "at least 0"),
])  # fmt: skip
def test_settings_made_in_python_keep_their_ranges(cls, values, needed):
    [(name, _)] = values.items()
    with pytest.raises(SettingsError, match=f"{name} = .* is not valid.*{needed}"):
        cls(**values)
    with pytest.raises(SettingsError):
        dataclasses.replace(cls(), **values)


def test_all_public_settings_check_themselves():
    public = [name for name in rnnlm.__all__ if name.endswith("Settings") or name == "TextMapping"]
    classes = [getattr(rnnlm, name) for name in public]
    assert [cls for cls in classes if not issubclass(cls, ValidatedSettings)] == []
