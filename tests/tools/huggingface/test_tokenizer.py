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
    assert len(begun) >= 3 and len(made.decode(encoded.ids).split()) == 4
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


def _steps(*steps):
    return {"type": "Sequence", "normalizers": steps, "pretokenizers": steps}


def _replacing(content, **pattern):
    return {"type": "Replace", "pattern": pattern, "content": content}


def _map(content):
    """Return a map of characters: the size of its index, the index, and what they become."""
    data = b"\4\0\0\0" + b"\0" * 4 + content
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(data).decode()}


def _added(**changes):
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return {"added_tokens": [{**plain, "id": 300, "content": "x", **changes}]}


LETTERS = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
BYTES = {**LETTERS, "use_regex": False}
META = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
ALBERT = [
    _replacing('"', String="``"), {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"},
    _replacing(" ", Regex=" {2,}"),
]  # fmt: skip
CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _cut(behavior="Isolated", **pattern):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": False}


def _template(name, id):
    single = [{"SpecialToken": {"id": name, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    tokens = {name: {"id": name, "ids": [id], "tokens": [name]}}
    return {"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": tokens}


# As the families write them: kind, normaliser, pre-tokenizer, post-processor, ids at the beginning
FAMILIES = {
    "GPT-2": ("byte-level", None, LETTERS, BYTES, ()),
    "Llama 3": ("byte-level", None, _steps(_cut(Regex=CL100K), BYTES), {
        "type": "Sequence", "processors": [BYTES, _template("<|pad|>", 1)]}, (1,)),
    "Qwen": ("byte-level", {"type": "NFC"}, _steps(_cut(Regex=CL100K), BYTES), None, ()),
    "DeepSeek": ("byte-level", _steps(), _steps(_cut(Regex=r"\p{N}{1,3}"), _cut(
        Regex="[\u4e00-\u9fa5]+"), BYTES), None, ()),
    "BLOOM": ("byte-level", None, _steps(_cut(Regex=r" ?[^(\s|[.,!?])]+"), BYTES), None, ()),
    "RoBERTa": ("byte-level", None, LETTERS, {
        "type": "RobertaProcessing", "sep": ["</s>", 0], "cls": ["<s>", 1]}, (1,)),
    "Mistral": ("llama", None, {**META, "prepend_scheme": "first"}, _template("<s>", 1), (1,)),
    "Gemma": ("llama", _replacing("\u2581", String=" "), _cut(
        "MergedWithPrevious", String=" "), None, ()),
    "T5": ("unigram", None, _steps({"type": "WhitespaceSplit"}, META), None, ()),
    "ALBERT": ("unigram", _steps(*ALBERT), META, None, ()),
    "BERT": ("word-piece", {"type": "BertNormalizer", "clean_text": True, "lowercase": True,
        "handle_chinese_chars": True, "strip_accents": None}, {"type": "BertPreTokenizer"}, {
        "type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}, (2,)),
}  # fmt: skip


@pytest.mark.parametrize("kind, normalizer, cut, template, begin", FAMILIES.values(), ids=FAMILIES)
def test_known_families_are_read_as_the_package_does(kind, normalizer, cut, template, begin):
    data, end = foreign.make(kind)
    parts = {"normalizer": normalizer, "pre_tokenizer": cut, "post_processor": template}
    data = json.dumps({**json.loads(data), **parts}).encode()
    theirs = TheirTokenizer.from_buffer(data)
    ours = HuggingFaceTokenizer(data, end)
    for line in ("the cat's life 1234567", " \u00e9  \u4e2d\u6587 !!"):
        expected = theirs.encode(line, add_special_tokens=False).ids
        assert ours.encode([line]).ids[:-1].tolist() == expected
    assert ours.template_begin == begin


REFUSED = {
    "nothing": (b"", "truncated"), "half": (b"{", "truncated"), "deep": (b"[" * 100_000, "Expected"),
    "no model": (b'{"version": "1.0"}', "model"),
    "few bytes": ({"model__vocab": {"a": 1}}, "cannot read every text"),
    "tokens": ({"added_tokens": "x"}, "Expected"), "vocabulary": ({"model__vocab": 3}, "Expected"),
    "an id": ({"model__vocab": {"a": 1 << 20}}, "<= 1048575"), "merges": ({"model__merges": 3}, "Exp"),
    "another kind": ({"pre_tokenizer": {"type": "Cut"}}, "'Cut' is no step of a known model"),
    "no kind": ({"normalizer": {"pattern": {"String": "a"}, "content": "aa"}}, "field 'type'"),
    "steps": ({"normalizer": _steps(*[{"type": "NFC"}] * 99)}, "more than 64 steps"),
    "many tokens": (_added() | {"added_tokens": [*_added()["added_tokens"]] * ((1 << 18) + 1)}, "<= 262144"),
    "long token": (_added(content="x" * 9999), "length <= 4096"),
    "odd number": (_added(id=900, special=True, content="</s>"), "900 is not the id of an added token"),
    "growing text": ({"normalizer": _replacing("a" * 4999, String="a")}, "19,996 times as long"),
    "between": ({"normalizer": _steps(*[_replacing("aa", Regex="")] * 9)}, "78,732 times as long"),
    "in turn": ({"pre_tokenizer": _steps(*[LETTERS] * 9)}, "262,144 times as long"),
    "mapped": ({"normalizer": _map(b"a" * 9999 + b"\0")}, "39,996 times as long"),
    "prefix": ({"normalizer": {"type": "Prepend", "prepend": "a" * 100}}, "length <= 4"),
    "long words": ({"model__max_input_chars_per_word": 10**9}, "<= 1024"),
    "no map": ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AA=="}}, "Precompiled"),
    "bad map": ({"normalizer": _map(b"")}, "."),
    "endless search": ({"pre_tokenizer": _steps(_cut(Regex="(a+)+$"), LETTERS)}, "retry-limit-in-match over"),
    "long pattern": ({"pre_tokenizer": _cut(Regex="a" * 70_000)}, "length <= 65536"),
    "template": ({"post_processor": {"single": [{"SpecialToken": {"id": "x"}}]}}, "no entry for 'x'"),
}  # fmt: skip


@pytest.mark.parametrize("changes, message", REFUSED.values(), ids=REFUSED)
def test_a_damaged_or_hostile_file_is_one_line_and_no_trace(changes, message, tmp_path, capfd):
    data = changes if isinstance(changes, bytes) else _changed(**changes)
    (tmp_path / "tokenizer.json").write_bytes(data)
    with pytest.raises(ModelError, match=message) as error:
        tokenizer_in(tmp_path)
    assert "\n" not in f"{error.value.what}{error.value.why}"
    assert capfd.readouterr() == ("", "")


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(ModelError, match="has no tokenizer"):
        tokenizer_in(tmp_path)
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(ModelError, match=r"has no tokenizer\.json") as error:
        tokenizer_in(tmp_path)
    assert "save_pretrained" in error.value.hint
    (tmp_path / "tokenizer.json").write_bytes(foreign.word_piece().replace(b"[SEP]", b"[END]"))
    with pytest.raises(ModelError, match="it names no end token") as error:
        tokenizer_in(tmp_path)
    assert "eos_token_id in config.json" in error.value.why
    (tmp_path / "config.json").write_text('{"eos_token_id": 7777}')
    with pytest.raises(ModelError, match="the end token, id 7777, is not in the tokenizer"):
        tokenizer_in(tmp_path)
    with pytest.raises(SettingsError, match="cannot be trained"):
        tokenizers.train(TokenizerSettings(tokenizer="huggingface"), [])


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
