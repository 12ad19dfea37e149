"""Settings: whatever is written, a value or an RnnlmError comes of it."""

import math

import pytest
from hypothesis import given, strategies as st

from rnnlm import registry
from rnnlm.config import SettingsLayer, resolve
from rnnlm.errors import RnnlmError, SettingsError
from rnnlm.scoring.generation.settings import SamplingSettings
from rnnlm.storage.files.reading import read_by_hand
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.tools.mixtures.adapted_model import KINDS
from rnnlm.training.plan import TrainingRequest, plan
from support.odd_inputs import damaged, deep_json, odd_json, odd_numbers, odd_text, value_or_error

pytestmark = [pytest.mark.soak, pytest.mark.needs("tools/mixtures")]

TRAINED = [name for name, kind in registry.kinds_of().items() if kind.is_trained]
CLASSES = {
    **{name: (*kind.settings, TokenizerSettings) for name, kind in registry.kinds_of().items()},
    **{name: (cls,) for name, cls in KINDS.items()}, "sampling": (SamplingSettings,),
}  # fmt: skip
TOML = b"# a comment\nhidden_size = 8\nlearning_rate = 1.5e-3\ntied = false\nbudget = \"3epochs\"\nlayer_sizes = [8, 8]\nschedule = 'linear'\n"
names_of = {
    kind: sorted({field for cls in classes for field in cls.__dataclass_fields__})
    for kind, classes in CLASSES.items()
}


@given(st.data())
def test_any_setting_of_any_kind(data):
    kind = data.draw(st.sampled_from(sorted(CLASSES)))
    is_text = data.draw(st.booleans())
    sizes = st.lists(odd_numbers | st.integers(0, 50).map(str), max_size=4).map(",".join)
    values = odd_text | odd_numbers | sizes if is_text else odd_json
    names = st.sampled_from(names_of[kind]) | odd_text
    settings = data.draw(st.dictionaries(names, values, min_size=1, max_size=3))
    layers = [SettingsLayer("test", settings, is_text)]
    resolved = value_or_error(lambda: resolve(CLASSES[kind], layers))
    if not isinstance(resolved, RnnlmError):
        for value in resolved.values.values():
            assert not (isinstance(value, float) and not math.isfinite(value))


def line(name, value):
    return f"{name} = {value}\n".encode()


LINES = st.builds(line, st.sampled_from(names_of["lstm"]), odd_text | odd_numbers)
DEEP = deep_json | deep_json.map(lambda deep: deep.replace(b'"a":', b"a = "))


@given(damaged(TOML) | LINES | DEEP.map(lambda deep: b"layers = " + deep))
def test_a_toml_file(place, data):
    path = place / "settings.toml"
    path.write_bytes(data)
    values = value_or_error(lambda: read_by_hand(path, SettingsError))
    if not isinstance(values, RnnlmError):
        value_or_error(lambda: resolve(CLASSES["lstm"], [SettingsLayer("test", values)]))


@given(st.data())
def test_a_plan_of_any_settings(place, data):
    """All that `train` does before it trains: nothing is too large to be refused, or only to be
    thought of."""
    (place / "text.txt").write_text("the cat sat\non the mat\n" * 3)
    model = data.draw(st.sampled_from(TRAINED))
    names = st.sampled_from(names_of[model])
    settings = data.draw(st.dictionaries(names, odd_text | odd_numbers, max_size=2))
    settings.pop("model", None)
    settings = {"device": "cpu", **settings} if "device" in names_of[model] else settings
    asked = {"model": model, "assignments": settings, "output": place / "out"}
    request = TrainingRequest((str(place / "text.txt"),), **asked)
    planned = value_or_error(lambda: plan(request))
    if not isinstance(planned, RnnlmError):
        value_or_error(planned.parameters)
