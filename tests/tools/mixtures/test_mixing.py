"""Mixing models on disk: tuned on a text, saved, evaluated; facts that are kept with the mixture."""

import math

import pytest

import rnnlm
from rnnlm.errors import OutputError, UsageError
from rnnlm.evaluation.evaluate import evaluate
from rnnlm.storage import model_folder
from rnnlm.tools.mixtures.mixing import mix
from support.tiny_models import HELD_OUT, fit, save

TEXT = "text.txt"


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [*HELD_OUT, "the dog sat on a mat", "speech is hard", "a zebra"]
    (tmp_path / TEXT).write_text("\n".join(lines) + "\n")
    mle = {"order": 2, "smoothing": "mle"}
    kinds = {"lstm": ("lstm", {}), "kn": ("ngram", {"order": 3}), "mle": ("ngram", mle)}
    for name, (kind, settings) in kinds.items():
        save(tmp_path / name, fit(kind, **settings), kind, **settings)


@pytest.mark.parametrize("context", ["carry", "reset"])
def test_mixture_beats_each_part_and_evaluates_as_reported(context):
    mixed = mix(["lstm", "kn"], TEXT, "both", context=context)
    assert mixed.evaluation.ppl_token < min(part.evaluation.ppl_token for part in mixed.parts)
    model = rnnlm.load("both", "cpu")
    again = evaluate(model, TEXT, context=context)
    assert again.ppl_token == pytest.approx(mixed.evaluation.ppl_token, rel=1e-5)
    assert again.signature == mixed.evaluation.signature
    assert f"model:{model.fingerprint}" in again.signature
    for part in mixed.parts:
        alone = evaluate(rnnlm.load(part.name, "cpu"), TEXT, context=context)
        assert alone.ppl_token == pytest.approx(part.evaluation.ppl_token)
        assert alone.signature == part.evaluation.signature
    assert mixed.iterations > 1
    assert model.weights_K.tolist() == [part.weight for part in mixed.parts]


def test_given_weights_need_no_text_and_are_kept():
    mixed = mix(["lstm", "kn"], None, "fixed", weights=[0.75, 0.25])
    assert (mixed.iterations, mixed.evaluation, mixed.parts[0].evaluation) == (None, None, None)
    assert rnnlm.load("fixed", "cpu").weights_K.tolist() == [0.75, 0.25]
    measured = mix(["lstm", "kn"], TEXT, "measured", weights=[0.75, 0.25])
    assert [part.weight for part in measured.parts] == [0.75, 0.25] and measured.iterations is None
    geometric = math.prod(part.evaluation.ppl_token**part.weight for part in measured.parts)
    assert measured.evaluation.ppl_token < geometric  # by Jensen's inequality


def test_other_parts_cover_a_token_impossible_for_one():
    mixed = mix(["mle", "kn"], TEXT, "both")
    assert mixed.parts[0].evaluation.ppl_token is None and mixed.parts[0].weight > 0
    assert mixed.evaluation.ppl_token <= mixed.parts[1].evaluation.ppl_token


def test_origin_of_weights_and_parts_is_on_card():
    mixed = mix(["lstm", "kn"], TEXT, "both", bundle=True)
    manifest = model_folder.read_manifest(model_folder.Path("both"))
    assert (manifest.model, manifest.family) == ("mixture", "combination")
    expected = [{"model": part.name, "weight": part.weight} for part in mixed.parts]
    assert manifest.training["mixed"] == expected
    assert manifest.training["weights"] == "tuned on text.txt, context carry"
    assert manifest.results[TEXT]["signature"] == mixed.evaluation.signature
    card = model_folder.Path("both/README.md").read_text()
    known = [mixed.evaluation.signature, mixed.parts[1].fingerprint]
    for piece in ("mixed with rnnlm", "`lstm`, weight 0.", "tuned on text.txt", *known):
        assert piece in card


@pytest.mark.parametrize(("arguments", "settings", "what"), [
    ((["gone"], TEXT), {}, "a mixture needs at least two models"),
    ((["gone", "lost"],), {}, "the mixture has no weights"),
    ((["gone", "lost"], TEXT), {"context": "none"}, "unknown context 'none'"),
    ((["gone", "lost"], TEXT), {"weights": [1]}, "1 weight for 2 models"),
])  # fmt: skip
def test_unmixable_requests_are_refused_before_reading(arguments, settings, what):
    with pytest.raises(UsageError, match=f"^{what}"):
        mix(*arguments, **settings)


def test_mixture_replaces_models_on_request_never_its_parts():
    mix(["lstm", "kn"], TEXT, "both")
    with pytest.raises(OutputError, match="both already holds a model"):
        mix(["lstm", "kn"], TEXT, "both", context="reset")
    with pytest.raises(OutputError, match="lstm already holds a model"):
        mix(["both", "kn"], "gone.txt", "lstm")
    with pytest.raises(UsageError, match="cannot replace kn"):
        mix(["lstm", "kn"], "gone.txt", "kn", overwrite=True)
    with pytest.raises(UsageError, match="cannot replace lstm"):
        mix(["both", "kn"], "gone.txt", "lstm", overwrite=True)
