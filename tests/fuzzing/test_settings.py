"""Settings, budgets, sizes, names: whatever is written, a value or an RnnlmError comes of it."""

import math

from hypothesis import given
from hypothesis import strategies as st

from rnnlm.config import Budget, Layer, parse_assignments, resolve
from rnnlm.errors import RnnlmError, UsageError
from rnnlm.evaluation.perplexity import Signature
from rnnlm.files.reading import read_toml
from rnnlm.generation.settings import SamplingSettings
from rnnlm.models import registry
from rnnlm.models.adaptation_settings import KINDS
from rnnlm.system import parse_size
from rnnlm.text.sources import parse_hub_name
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.training.plan import Request, plan
from support.odd_inputs import damaged, deep_json, odd_json, odd_numbers, odd_text, value_or_error

TRAINED = [name for name, kind in registry.KINDS.items() if kind.fitting]
CLASSES = {
    **{name: (*registry.KINDS[name].settings_classes(),
              TokenizerSettings) for name in registry.KINDS},
    **{name: (cls,) for name, cls in KINDS.items()}, "sampling": (SamplingSettings,),
}  # fmt: skip
TOML = b"# a comment\nhidden_size = 8\nlearning_rate = 1.5e-3\ntied = false\nbudget = \"3epochs\"\nlayer_sizes = [8, 8]\nschedule = 'linear'\n"


numbers_with_units = st.builds(
    lambda space, number, gap, unit, end: f"{space}{number}{gap}{unit}{end}",
    st.sampled_from(["", " ", "\n"]),
    odd_numbers | st.integers(0, 10**6).map(str) | st.floats(0, 1e6).map(str),
    st.sampled_from(["", " "]),
    st.sampled_from(
        [
            "s",
            "m",
            "h",
            "d",
            "epoch",
            "epochs",
            "step",
            "steps",
            "",
            "S",
            "parsecs",
            "k",
            "M",
            "GiB",
            "tb",
            "ß",
        ]
    ),
    st.sampled_from(["", " ", "\n", "x"]),
)


@given(numbers_with_units | odd_text)
def test_a_budget(text):
    budget = value_or_error(lambda: Budget.parse(text))
    if not isinstance(budget, RnnlmError):
        amounts = [
            each for each in (budget.seconds, budget.epochs, budget.steps) if each is not None
        ]
        assert len(amounts) == 1 and 0 < amounts[0] < math.inf


@given(numbers_with_units | odd_text)
def test_a_size_of_memory(text):
    size = value_or_error(lambda: parse_size(text))
    assert isinstance(size, RnnlmError) or (isinstance(size, int) and size > 0)


@given(st.lists(st.one_of(odd_text, st.builds("{}={}".format, odd_text, odd_text)), max_size=3))
def test_assignments(texts):
    assignments = value_or_error(lambda: parse_assignments(texts))
    assert isinstance(assignments, RnnlmError) or all(name.strip() == name for name in assignments)


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
    settings = data.draw(
        st.dictionaries(st.sampled_from(names_of[kind]) | odd_text, values, min_size=1, max_size=3)
    )
    resolved = value_or_error(lambda: resolve(CLASSES[kind], [Layer("test", settings, is_text)]))
    if not isinstance(resolved, RnnlmError):
        assert not any(
            isinstance(value, float) and not math.isfinite(value)
            for value in resolved.values.values()
        )


@given(
    st.one_of(
        damaged(TOML),
        st.builds(
            lambda name, value: f"{name} = {value}\n".encode(),
            st.sampled_from(names_of["lstm"]),
            odd_text | odd_numbers,
        ),
        deep_json.map(lambda deep: b"layers = " + deep),
        deep_json.map(lambda deep: b"layers = " + deep.replace(b'"a":', b"a = ")),
    )
)
def test_a_toml_file(place, data):
    path = place / "settings.toml"
    path.write_bytes(data)
    values = value_or_error(lambda: read_toml(path))
    if not isinstance(values, RnnlmError):
        value_or_error(lambda: resolve(CLASSES["lstm"], [Layer("test", values)]))


@given(st.data())
def test_a_plan_of_any_settings(place, data):
    """All that `train` does before it trains: nothing is too large to be refused, or only to be
    thought of."""
    (place / "text.txt").write_text("the cat sat\non the mat\n" * 3)
    model = data.draw(st.sampled_from(TRAINED))
    settings = data.draw(
        st.dictionaries(st.sampled_from(names_of[model]), odd_text | odd_numbers, max_size=2)
    )
    settings.pop("model", None)
    settings = {"device": "cpu", **settings} if "device" in names_of[model] else settings
    request = Request(
        (str(place / "text.txt"),), model=model, assignments=settings, output=place / "out"
    )
    planned = value_or_error(lambda: plan(request))
    if not isinstance(planned, RnnlmError):
        value_or_error(planned.parameters)


@given(odd_text, st.sampled_from(["", "hf:"]))
def test_the_name_of_a_data_set(text, before):
    parts = value_or_error(lambda: parse_hub_name(before + text))
    assert isinstance(parts, UsageError) or parts[0]


SIGNATURE = str(
    Signature(
        "77d05c1b9f3e",
        "word:9a21c0ffee12,V=10000",
        "kept",
        "carry",
        "skip",
        "literal",
        "yes",
        "fp32",
        "none",
        "1f0c8d2a4b6e",
    )
)


@given(damaged(SIGNATURE.encode()).map(lambda data: data.decode("utf-8", "replace")) | odd_text)
def test_a_signature(text):
    signature = value_or_error(lambda: Signature.parse(text))
    assert isinstance(signature, UsageError) or Signature.parse(str(signature)) == signature
