"""A run on a prepared text is the run on the text; contradictions are refused."""

import numpy as np
import pytest

import rnnlm
from rnnlm import corpora
from rnnlm.errors import OutputError, UsageError
from rnnlm.storage.files import tensors
from rnnlm.text.corpus import Corpus
from rnnlm.text.encoding import LINE_COUNTS
from rnnlm.text.lines import TextSettings
from rnnlm.tools.prepared import preparation, prepared_text, shards
from support.small_runs import SMALL, assert_equal

pytestmark = pytest.mark.long

TINY = {**SMALL, "bptt_tokens": 11, "seed": 3, "budget": "12steps"}
SHARD_BYTES = 6_000


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Write a text, validation text, and both prepared (in several shards), with one tokenizer."""
    folder = tmp_path_factory.mktemp("texts")
    lines = list(corpora.part("english", "valid").read_text(encoding="utf-8").splitlines())
    (folder / "text.txt").write_text("\n".join(lines[:400]) + "\n", encoding="utf-8")
    (folder / "valid.txt").write_text("\n".join(lines[400:460]) + "\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shards, "SHARD_BYTES", SHARD_BYTES)
        patched.setattr(preparation, "SHARD_BYTES", SHARD_BYTES)
        for blank in ("skip", "documents"):
            asked = {"min_count": 2, "blank_lines": blank, "workers": 0}
            list(rnnlm.prepare(folder / "text.txt", folder / f"text-{blank}", **asked))
        asked = {"tokenizer": rnnlm.load_tokenizer(folder / "text-skip"), "workers": 0}
        list(rnnlm.prepare(folder / "valid.txt", folder / "valid-skip", **asked))
    return folder


def weights(folder):
    (path,) = folder.glob("weights-*.safetensors")
    return {name: np.array(array) for name, array in tensors.mapped(path).items()}


def trained(output, text, **settings):
    """Train for a few steps. Return the weights, and the last event."""
    events = list(rnnlm.train(text, output=output, **{**TINY, **settings}))
    return weights(output), events[-1]


@pytest.mark.parametrize("blank, validation", [("skip", "held out"), ("documents", "named")])
def test_prepared_and_plain_text_give_the_same_weights(tmp_path, texts, blank, validation):
    prepared = texts / f"text-{blank}"
    of_text, of_folder = {"tokenizer_from": str(prepared), "blank_lines": blank}, {}
    if validation == "named":
        of_text["valid"] = of_folder["valid"] = texts / "valid.txt"
    one, finished = trained(tmp_path / "text", texts / "text.txt", **of_text)
    other, same = trained(tmp_path / "folder", prepared, **of_folder)
    assert_equal(one, other)
    for figure in "logprob_nats tokens words oov_words characters bytes sentences".split():
        assert finished.results["valid"][figure] == same.results["valid"][figure]


def test_prepared_validation_text_keeps_the_texts_signature(tmp_path, texts):
    signatures, all_weights = set(), []
    for name in ("valid.txt", "valid-skip"):
        asked = {"valid": texts / name, "test": texts / name}
        found, finished = trained(tmp_path / name, texts / "text-skip", **asked)
        signatures |= {result["signature"] for result in finished.results.values()}
        all_weights.append(found)
    assert_equal(*all_weights)
    assert len(finished.results) == 2 and len(signatures) == 1


@pytest.mark.parametrize("model", ["ngram", "unigram"])
def test_models_of_counts_read_a_prepared_text_too(tmp_path, texts, model):
    prepared = texts / "text-skip"
    from_text = {"tokenizer_from": str(prepared), "output": tmp_path / "text"}
    list(rnnlm.train(texts / "text.txt", model=model, **from_text))
    list(rnnlm.train(prepared, model=model, output=tmp_path / "folder"))
    assert_equal(weights(tmp_path / "text"), weights(tmp_path / "folder"))


def test_an_interrupted_run_on_prepared_text_resumes(tmp_path, texts):
    settings = {"validate_every_steps": 4, "schedule": "constant", "warmup": 0}
    whole, _ = trained(tmp_path / "whole", texts / "text-skip", budget="16steps", **settings)
    trained(tmp_path / "cut", texts / "text-skip", budget="8steps", **settings)
    trained(tmp_path / "cut", texts / "text-skip", budget="16steps", **settings)
    assert_equal(whole, weights(tmp_path / "cut"))
    with pytest.raises(OutputError, match="training text"):
        trained(tmp_path / "cut", texts / "valid-skip", budget="20steps", **settings)


@pytest.mark.parametrize("blank", ["skip", "documents"])
@pytest.mark.parametrize("share", [0.001, 0.05, 0.3, 0.9])
def test_prepared_and_plain_text_hold_out_the_same(texts, blank, share):
    prepared = prepared_text.load(texts / f"text-{blank}")
    text = Corpus((str(texts / "text.txt"),), TextSettings(blank_lines=blank))
    parts = [each.split(share).encode(prepared.tokenizer) for each in (prepared, text)]
    for one, other in zip(*parts, strict=True):
        names = "ids line_offsets document_offsets oov words oov_words characters bytes".split()
        for name in (*names, *LINE_COUNTS):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_holdout_of_huge_texts_is_bounded_by_default(tmp_path, texts, monkeypatch):
    monkeypatch.setattr("rnnlm.tools.prepared.prepared_text.MOST_HELD_OUT", 100)
    tokens = []
    for name, share in {"a": {}, "b": {"holdout": 0.2}}.items():
        asked = {**TINY, **share, "budget": "1steps", "output": tmp_path / name}
        started, *_ = rnnlm.train(texts / "text-skip", **asked)
        tokens.append(started.valid_tokens)
    assert 60 < tokens[0] <= 100 and tokens[1] > 500


@pytest.mark.parametrize(("given", "match"), [
    ({"tokenizer": "char"}, "tokenizer = word"), ({"min_count": 3}, "min_count = 2"),
    ({"lowercase": True}, "lowercase = False"),
    ({"blank_lines": "keep"}, "blank_lines = skip"), ({"column": "text"}, "column has no effect"),
    ({"recipe": "char-cnn-lstm"}, "spelling of unknown words"), ({"tokenizer_from": "demo"}, "another tokenizer"),
], ids=lambda given: next(iter(given)) if isinstance(given, dict) else None)  # fmt: skip
def test_contradictions_to_a_prepared_text_are_refused(tmp_path, texts, given, match):
    with pytest.raises(UsageError, match=match):
        list(rnnlm.train(texts / "text-skip", output=tmp_path / "model", **given))


def test_a_prepared_text_refuses_other_texts_and_tokenizers(tmp_path, texts):
    with pytest.raises(UsageError, match="cannot be combined"):
        list(rnnlm.train([texts / "text-skip", texts / "text.txt"], output=tmp_path / "model"))
    with pytest.raises(UsageError, match="another tokenizer"):
        valid = texts / "valid-skip"
        list(rnnlm.train(texts / "text.txt", valid=valid, output=tmp_path / "model", **TINY))
