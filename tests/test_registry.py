"""Every kind of model by name, its functions found when asked for and not before."""

from types import SimpleNamespace

import pytest

from rnnlm import registry
from rnnlm.config import SettingsLayer, names_of, resolve
from rnnlm.errors import SettingsError

KINDS = registry.kinds_of()
# arrays whose shapes only the file tells
STORED = {"ngram": {"values_1": ("F32", (11, 1))}, "mixture": {"weights": ("F64", (2,))}}


def test_the_kinds_are_those_documented():
    assert sorted(KINDS) == ALL.split(", ")
    assert all(kind.name == name and kind.about for name, kind in KINDS.items())


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_each_kind_has_settings_with_name_and_shapes(kind):
    if kind.library:
        return  # which knows the shapes
    classes = kind.settings
    model_class = next(cls for cls in classes if "model" in cls.__dataclass_fields__)
    resolved = resolve(classes, [SettingsLayer("test", {"model": kind.name})])
    assert resolved.make(model_class).model == kind.name
    settings = resolved.values
    tokenizer = SimpleNamespace(size=10, input_size=10, unk_id=1, spells=False)
    shapes = kind.array_shapes(settings, tokenizer)
    if shapes is None:  # only counting tells
        shapes = kind.array_shapes(settings, tokenizer, STORED[kind.name])
    types, sizes = zip(*shapes.values(), strict=True)
    assert {*types} <= {"F32", "F64"} and all(size > 0 for shape in sizes for size in shape)
    assert any({10, 11} & {*shape} for shape in sizes) or shapes == STORED[kind.name]


def test_combined_kind_is_untrained_and_names_its_maker():
    untrained = [kind.name for kind in KINDS.values() if not kind.is_trained]
    assert sorted(untrained) == ["kenlm", "mixture", "transformers"]
    with pytest.raises(SettingsError, match="cannot be trained; another library trains it"):
        registry.trained_kind("transformers")
    match = "it combines trained models; make one with rnnlm mix A B --on TEXT"
    with pytest.raises(SettingsError, match=f"cannot be trained; {match}"):
        registry.trained_kind("mixture")
    assert registry.trained_kind("lstm") == KINDS["lstm"]


def test_setting_names_are_unique_within_a_kind():
    from rnnlm.text.lines import HoldoutSettings, TextSettings
    from rnnlm.text.sources import SourceSettings
    from rnnlm.text.tokenizer_settings import TokenizerSettings

    for kind in KINDS.values():
        classes = (*kind.settings, TokenizerSettings, TextSettings, SourceSettings, HoldoutSettings)
        assert len(names_of(classes)) == sum(len(names_of([each])) for each in classes)


ALL = "ffnn, gru, jordan, kenlm, lstm, mixture, ngram, qrnn, rnn, transformers, unigram"


@pytest.mark.parametrize("name, nearest", [("lsmt", "'lstm'"), ("zzz", ALL)])
def test_an_unknown_kind_suggests_the_nearest(name, nearest):
    with pytest.raises(SettingsError, match=f"unknown model '{name}'.*{nearest}"):
        registry.kind_of(name)


def test_every_kind_has_what_its_modules_promise():
    for kind in registry.all_kinds():
        assert kind.settings
        assert kind.library or (kind.array_shapes and kind.from_arrays)
        assert not kind.is_trained or kind.fit


def test_an_unknown_task_suggests_the_nearest():
    with pytest.raises(SettingsError, match="unknown task 'taging'; did you mean 'tagging'"):
        registry.task("taging")
