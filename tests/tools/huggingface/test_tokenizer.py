"""A tokenizer.json of another model as a tokenizer of ours."""

import base64
import json
import pickle
import re

import numpy as np
import pytest
from tokenizers import Tokenizer as TheirTokenizer

from rnnlm.errors import ModelError, RnnlmWarning, SettingsError
from rnnlm.interface import Tokenizer
from rnnlm.text import tokenizers
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.tools.huggingface.tokenizer import HuggingFaceTokenizer, tokenizer_in
from support import foreign_tokenizers as foreign

LINES = [
    "the cat sat", "", "Émile's  cat 😀 e\u0301", "a [CLS]x </s>b <s>x <unk>! a<|pad|>",
    "a\u2028b\u00a0c ▁ d", " lead trail ", "tab\there\r\0", "cat " * 3000,
]  # fmt: skip


@pytest.fixture(params=foreign.KINDS)
def kind(request):
    return request.param


@pytest.fixture
def made(kind):
    return HuggingFaceTokenizer(*foreign.make(kind))


def test_ids_are_those_of_the_package_and_files_make_it_again(kind, made):
    theirs = TheirTokenizer.from_buffer(foreign.make(kind)[0])
    theirs.encode_special_tokens = True
    assert isinstance(made, Tokenizer) and made.counts_V is None
    again = tokenizers.load(made.to_settings(), made.to_files())
    assert again.fingerprint == made.fingerprint and again.symbols() == made.symbols()
    copied = pickle.loads(pickle.dumps(made))
    assert np.array_equal(copied.encode(LINES).ids, made.encode(LINES).ids)
    encoded = made.encode(LINES)
    assert np.array_equal(again.encode(LINES).ids, encoded.ids) and encoded.ids.dtype == np.int32
    for index, (start, end) in enumerate(zip(encoded.offsets, encoded.offsets[1:], strict=False)):
        assert encoded.ids[end - 1] == made.boundary_id
        assert made.boundary_id not in encoded.ids[start : end - 1]
        # These find special tokens in a text although they are told not to.
        if kind not in ("unigram", "word-level") or "<" not in LINES[index]:
            expected = theirs.encode(LINES[index], add_special_tokens=False).ids
            assert encoded.ids[start : end - 1].tolist() == expected
    assert len({*made.symbols()}) == made.size == len(made.token_bytes())


def test_lossless_ones_give_the_text_back(kind, made):
    assert made.keeps_text == (kind in ("byte-level", "llama", "unigram"))
    assert made.keeps_case == (kind not in ("word-piece", "word-ends"))
    assert bool(made.rewriting) != made.keeps_case
    plain = ["the cat sat", "a dog a"]
    assert made.decode(made.encode(plain).ids) == "\n".join(plain)
    if kind in ("byte-level", "llama"):
        kept = [line for line in LINES if "▁" not in line or kind == "byte-level"]
        assert made.decode(made.encode(kept).ids) == "\n".join(kept)


def test_words_begin_where_the_space_is(kind, made):
    symbols, starts = made.symbols(), made.starts_word_V
    assert starts.all() == (kind in ("word-level", "word-ends"))
    assert starts[made.boundary_id] and symbols[made.boundary_id] == "</s>"
    if kind in ("byte-level", "llama"):
        assert starts[symbols.index("<0x0A>")] and not starts[symbols.index("a")]
    encoded = made.encode(["the cat sat on"])
    begun = np.flatnonzero(starts[encoded.ids[1:-1]]) + 1
    words = made.decode(encoded.ids).split()
    assert len(begun) >= 3 and len(words) == 4
    for line in LINES[:-1]:
        spans_T2 = made.spans([line])[0]
        assert len(spans_T2) == len(made.surface(line)) - 1
        assert (np.diff(spans_T2, axis=0) >= 0).all()
        if kind in ("byte-level", "llama") and line:
            assert {*range(len(line))} == {at for span in spans_T2 for at in range(*span)}


@pytest.mark.parametrize("kind, unknown", [("unigram", "😀"), ("word-level", "zebra")])
def test_unknown_text_is_marked(kind, unknown):
    made = HuggingFaceTokenizer(*foreign.make(kind))
    encoded = made.encode([f"the {unknown}"])
    assert encoded.ids[encoded.oov].tolist() == [made.unk_id]
    assert made.surface(f"the {unknown}")[encoded.oov[0]] == unknown


def test_an_end_token_as_a_word_is_text_with_a_notice(made):
    end = TheirTokenizer.from_buffer(made.to_files()["tokenizer.json"]).id_to_token(
        made.boundary_id
    )
    with pytest.warns(RnnlmWarning, match=re.escape(f"the word {end}, the end token")):
        ids = made.encode(["a", f"cat {end} x"]).ids.tolist()
    assert ids.count(made.boundary_id) == 2
    assert made.encode([f"cat {end} x"]).ids.tolist() == ids[2:]


def test_bytes_to_fall_back_to_may_be_special_tokens():
    data, end = foreign.make("llama")
    content = json.loads(data)
    for piece, id in content["model"]["vocab"].items():
        if piece.startswith("<0x"):
            content["added_tokens"].append(
                {**content["added_tokens"][0], "id": id, "content": piece}
            )
    special = HuggingFaceTokenizer(json.dumps(content).encode("utf-8"), end)
    encoded = special.encode(["😀 \0"])
    assert encoded.ids.tolist() == HuggingFaceTokenizer(data, end).encode(["😀 \0"]).ids.tolist()
    assert special.decode(encoded.ids) == "😀 \0" and encoded.oov.size == 0


def test_a_file_that_was_saved_again_is_the_same_tokenizer(made):
    """As other versions write it: in another layout, with settings left out, with a template."""

    def fingerprint_of(content) -> str:
        data = json.dumps(content, indent=1, ensure_ascii=True).encode("utf-8")
        return HuggingFaceTokenizer(data, made.boundary_id, made.size).fingerprint

    content = json.loads(made.to_files()["tokenizer.json"])
    model = content["model"]
    model.update(dropout=0.1, fuse_unk=model.get("fuse_unk", False))
    pairs = model.get("merges", [])
    model["merges"] = [" ".join(pair) for pair in pairs]
    if not pairs:
        del model["merges"]
    model.pop("ignore_merges", None)
    (content["pre_tokenizer"] or {}).pop("use_regex", None)
    content["post_processor"] = None
    assert fingerprint_of(content) == made.fingerprint
    content["normalizer"] = {"type": "Lowercase"}
    assert fingerprint_of(content) != made.fingerprint


def test_a_model_may_have_vectors_for_more_tokens(tmp_path):
    data, end = foreign.make("byte-level")
    plain, padded = HuggingFaceTokenizer(data, end), HuggingFaceTokenizer(data, end, 384)
    assert padded.size == padded.input_size == 384 == len(padded.symbols())
    assert padded.fingerprint != plain.fingerprint
    assert padded.encode(LINES).ids.tolist() == plain.encode(LINES).ids.tolist()
    assert tokenizers.load(padded.to_settings(), padded.to_files()).size == 384
    stored = tokenizer_in(foreign.save(tmp_path, "byte-level", vocab_size=384))
    assert stored.fingerprint == padded.fingerprint
    with pytest.raises(ModelError, match="ids up to 295, the model 200 tokens"):
        HuggingFaceTokenizer(data, end, 200)


ENDS = [
    ({"config.json": {"eos_token_id": [4, 1]}}, 4),
    ({"config.json": {"text_config": {"eos_token_id": 3}}}, 3),
    ({"config.json": {}, "generation_config.json": {"eos_token_id": 2}}, 2),
    ({"tokenizer_config.json": {"eos_token": {"content": "<|pad|>"}}}, 1),
    ({"tokenizer_config.json": {"eos_token": "<|pad|>"}}, 1), ({}, 0),
]  # fmt: skip


@pytest.mark.parametrize("files, end", ENDS)
def test_the_boundary_is_the_end_token_of_the_model(tmp_path, files, end):
    (tmp_path / "tokenizer.json").write_bytes(foreign.byte_level())
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    assert tokenizer_in(tmp_path).boundary_id == end


def _changed(**changes):
    content = json.loads(foreign.byte_level())
    for name, value in changes.items():
        section, _, key = name.rpartition("__")
        (content[section] if section else content)[key] = value
    return json.dumps(content).encode()


def _replacing(pattern, content, times=1):
    step = {"type": "Replace", "pattern": pattern, "content": content}
    return {"type": "Sequence", "normalizers": [step] * times}


# The size of its index, the index, and what a character becomes
CHARSMAP = base64.b64encode(b"\4\0\0\0" + b"\0" * 4 + b"a" * 999 + b"\0").decode()
BOMBS = [
    {"pattern": {"String": "a"}, "content": "a" * 999},  # of an old form, without its type
    _replacing({"String": "a"}, "a" * 999), _replacing({"String": ""}, "aa", 9),
    _replacing({"Regex": "."}, "aa", 9), {"type": "Prepend", "prepend": "a" * 100},
    {"type": "Precompiled", "precompiled_charsmap": CHARSMAP},
]  # fmt: skip


@pytest.mark.parametrize("normalizer", BOMBS, ids=range(6))
def test_a_normaliser_cannot_grow_a_text_without_bounds(normalizer):
    with pytest.raises(ModelError, match="rewrites text without bounds"):
        HuggingFaceTokenizer(_changed(normalizer=normalizer), 0)


DAMAGED = [
    (b"", "truncated"), (b"{", "truncated"), (b"[" * 100_000, "Expected"),
    (b'{"version": "1.0"}', "model"), (_changed(model__vocab={"a": 1}), "."),
    (_changed(added_tokens="x"), "Expected"), (_changed(model__vocab=3), "."),
    (_changed(pre_tokenizer={"type": "Cut"}), "."),
]  # fmt: skip


@pytest.mark.parametrize("data, why", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_file_is_one_line(data, why, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(data)
    with pytest.raises(ModelError, match="the tokenizer is damaged|cannot read every") as error:
        tokenizer_in(tmp_path)
    assert "\n" not in f"{error.value.what}{error.value.why}"


MANY = [{"id": 300 + number, "content": f"x{number}"} for number in range(1 << 18)]
TEMPLATE = {
    "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "none", "type_id": 0}}],
    "pair": [], "special_tokens": {},
}  # fmt: skip
HOSTILE = [
    ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": ""}}, "damaged; .*Precompiled"),
    ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}] * 99}}, "more than 64 s"),
    ({"added_tokens": MANY + MANY[:1]}, "adds 262,145 tokens, more than 262,144"),
    ({"post_processor": TEMPLATE}, "damaged; .*no entry"),
]  # fmt: skip


@pytest.mark.parametrize("changes, message", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_file_is_one_line_and_no_trace(changes, message, capfd):
    with pytest.raises(ModelError, match=message):
        print(HuggingFaceTokenizer(_changed(**changes), 0).template_begin)
    assert capfd.readouterr() == ("", "")


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(ModelError, match="has no tokenizer"):
        tokenizer_in(tmp_path)
    with pytest.raises(ModelError, match="no folder at"):
        tokenizer_in(tmp_path / "x")
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(ModelError, match=r"has no tokenizer\.json") as error:
        tokenizer_in(tmp_path)
    assert "save_pretrained" in error.value.hint
    data = foreign.word_piece().replace(b"[SEP]", b"[END]")
    (tmp_path / "tokenizer.json").write_bytes(data)
    with pytest.raises(ModelError, match="it names no end token") as error:
        tokenizer_in(tmp_path)
    assert "eos_token_id in config.json" in error.value.why
    (tmp_path / "config.json").write_text('{"eos_token_id": 7777}')
    with pytest.raises(ModelError, match="the end token, id 7777, is not in the tokenizer"):
        tokenizer_in(tmp_path)
    with pytest.raises(SettingsError, match="cannot be trained"):
        tokenizers.train(TokenizerSettings(tokenizer="huggingface"), [])


def test_a_tokenizer_that_drops_text_is_refused():
    content = json.loads(foreign.byte_level())
    del content["model"]["vocab"]["z"]
    with pytest.raises(ModelError, match="cannot read every text"):
        HuggingFaceTokenizer(json.dumps(content).encode(), 0)


def test_what_cuts_pads_or_drops_at_random_is_ignored():
    changed = _changed(
        truncation={"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
        padding={
            "strategy": {"Fixed": 10**12}, "direction": "Right", "pad_to_multiple_of": None,
            "pad_id": 1, "pad_type_id": 0, "pad_token": "<|pad|>",
        },
        model__dropout=0.9,
    )  # fmt: skip
    plain, odd = HuggingFaceTokenizer(foreign.byte_level(), 0), HuggingFaceTokenizer(changed, 0)
    assert odd.encode(LINES).ids.tolist() == plain.encode(LINES).ids.tolist()
