"""Models of transformers as language models of ours: `-m hf:FOLDER`."""

import json
import logging
import math
import os
import types
import warnings

import numpy as np
import pytest
import torch

import rnnlm
from rnnlm.errors import ModelError, UsageError
from rnnlm.lm.base import loading, span_scoring
from rnnlm.scoring.prefixes import CachedPrefixes
from rnnlm.storage.files import tensors
from rnnlm.tools.huggingface.folders import FOLDERS
from rnnlm.tools.huggingface.fusion import ShallowFusion
from rnnlm.tools.mixtures.mixture import Mixture
from support import foreign_models
from support.systems import need

pytest.importorskip("transformers")

FAMILIES = ("gpt2", "llama", "mamba")
OTHER_FAMILIES = ("rwkv", "bert", "mpt")
TEXT = ["the cat sat on the mat", "a dog's life, a cat's life", "Numbers 123 and 456"]
HOSTILE = [
    "", " ", "😀 e\u0301 \u2028 \u00a0", "\x00\x7f\ufffd", "a<|endoftext|>b <unk> <pad><|pad|>",
    "word " * 3000, "  two  spaces  ",
]  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return the folder of a model of each family."""
    root = tmp_path_factory.mktemp("foreign")
    return {
        family: foreign_models.save(root / family, family)
        for family in (*FAMILIES, *OTHER_FAMILIES)
    }


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request, folders):
    return folders[request.param]


@pytest.fixture
def gpt2(folders, tmp_path):
    """Return a copy of the folder of a model, to change it."""
    import shutil

    return shutil.copytree(folders["gpt2"], tmp_path / "gpt2")


def their_loss(folder, ids) -> float:
    """Return the sum of the losses that transformers gives ids after the first, in nats."""
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(folder)
    ids_1N = torch.as_tensor(np.asarray(ids, dtype=np.int64))[None]
    with torch.no_grad():
        return float(theirs(input_ids=ids_1N, labels=ids_1N).loss) * (len(ids) - 1)


def test_scores_are_the_losses_of_transformers_in_windows_cut_at_half(folder):
    model = loading.load(f"hf:{folder}", "cpu")
    for line in ["the cat sat", "é ü", ""]:
        ids = model.tokenizer.encode([line]).ids
        read = [model.tokenizer.boundary_id, *ids]
        assert len(read) <= model.window + 1
        [score] = rnnlm.Model(model).score_sentences([line])
        assert score.logprob_nats == pytest.approx(-their_loss(folder, read), abs=1e-5 * len(ids))
    model.window = P = 7
    ids = model.tokenizer.encode(TEXT).ids
    stream = [model.tokenizer.boundary_id, *ids.tolist()]
    expected = -their_loss(folder, stream[: P + 1])
    # Each further window scores what lies beyond the one before.
    for start in range(P // 2, len(ids), P // 2):
        scored = start + P - P // 2
        part = stream[start : start + P + 1]
        if scored < len(ids):
            expected -= their_loss(folder, part) - their_loss(folder, part[: P - P // 2 + 1])
    found = span_scoring.score_spans(model, ids, span_scoring.whole_text(ids)).sum()
    assert found == pytest.approx(expected, abs=1e-5 * len(ids))
    assert "window:7" in str(rnnlm.Model(model).evaluate(rnnlm.Corpus.from_lines(TEXT)).signature)


def test_limits_of_any_name_are_kept(folders):
    model = rnnlm.load(f"hf:{folders['mpt']}")
    assert model.core.window == 8  # its max_seq_len: MPT fails on longer texts
    assert math.isfinite(model.score_sentences(["the cat sat on the mat"])[0].logprob_nats)


def test_the_log_of_transformers_is_silent_while_a_text_is_read(tmp_path):
    folder = foreign_models.save(tmp_path / "openai", "openai-gpt", pad_token_id=1)
    log, records = logging.getLogger("transformers"), []
    handler = logging.Handler()
    handler.emit = records.append
    log.addHandler(handler)
    try:
        model = loading.load(f"hf:{folder}", "cpu")
        model.score([[1, 2]], [[2, 1]], model.initial_state(1))  # padding, and no mask
        log.warning("shown")
    finally:
        log.removeHandler(handler)
    assert [record.getMessage() for record in records] == ["shown"]


def test_any_text_is_scored(folder):
    model = rnnlm.Model(loading.load(f"hf:{folder}", "cpu"))
    tokenizer = model.core.tokenizer
    for line, score in zip(HOSTILE, model.score_sentences(HOSTILE, words=True), strict=True):
        assert math.isfinite(score.logprob_nats)
        assert tokenizer.boundary_id not in tokenizer.encode([line]).ids[:-1]
        bits = sum(word.surprisal_bits for word in score.word_scores)
        assert bits * math.log(2) == pytest.approx(-score.logprob_nats, abs=1e-3)


def test_words_end_before_the_space_of_the_next_word(folder):
    """p(cat | the) = p(tokens) P(a word begins | the cat) / P(a word begins | the)."""
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(folder)
    model = loading.load(f"hf:{folder}", "cpu")
    tokenizer = model.tokenizer
    ids = [tokenizer.boundary_id, *tokenizer.encode(["the cat's"]).ids.tolist()]
    with torch.no_grad():
        p_NV = theirs(input_ids=torch.tensor([ids])).logits[0].double().softmax(1)
    texts = [data.decode("utf-8", "replace") for data in tokenizer.token_bytes()]
    begins = {tokenizer.boundary_id, texts.index("<|pad|>")}
    begins |= {id for id, text in enumerate(texts) if text[:1] in (" ", "\t", "\r", "\0", "\n")}
    begins_N = p_NV[:, sorted(begins)].sum(1)
    second = next(at for at in range(2, len(ids)) if texts[ids[at]].startswith(" "))
    last = len(ids) - 1
    p_tokens = math.prod(float(p_NV[at - 1, ids[at]]) for at in range(second, last))
    expected = p_tokens * float(begins_N[last - 1] / begins_N[second - 1])
    [score] = rnnlm.Model(model).score_sentences(["the cat's"], words=True)
    assert [word.word for word in score.word_scores] == ["the", "cat's", "</s>"]
    assert score.word_scores[1].surprisal_bits == pytest.approx(-math.log2(expected), abs=1e-4)


# ---- What the texts of a network begin with.

BOS = 1  # <|pad|>, which is no end token
BEGINNINGS = {
    "template": ({"template": "first $A last"}, (BOS,), "begin-each=1"),
    "template of two": ({"template": "last first $A"}, (5, BOS), "begin-each=5-1"),
    "flag": ({"tokenizer_config": {"add_bos_token": True, "bos_token": "<|pad|>"}}, (BOS,),
             "begin-each=1"),
    "config": ({"config": {"bos_token_id": BOS}}, (BOS,), "begin=1"),
    "name": ({"config": {"bos_token_id": None}, "tokenizer_config": {
        "bos_token": {"content": "<|pad|>"}}}, (BOS,), "begin=1"),
    "a word": ({"config": {"bos_token_id": 40}}, (), ""),  # such as the default of a family
    "beyond V": ({"template": "beyond $A"}, (0,), ""),  # config.json has a token
    "nothing": ({"config": {"bos_token_id": None}}, (), ""),
    "the end": ({}, (0,), ""),
}  # fmt: skip


def describe(folder, template=None, tokenizer_config=None, config=None):
    """Say in a folder what its texts begin with."""
    if template:
        foreign_models.change_template(folder, template, first=BOS, last=5, beyond=999)
    if tokenizer_config:
        (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    (folder / "generation_config.json").unlink()
    foreign_models.change_config(folder, **(config or {}))
    return folder


@pytest.fixture
def beginning_with_bos(tmp_path):
    """Return the folder of a model whose template begins texts with a token of its own."""
    folder = foreign_models.save(tmp_path / "bos", "llama", max_position_embeddings=40)
    return describe(folder, template="first $A")


@pytest.mark.parametrize("said, begin, signature", BEGINNINGS.values(), ids=BEGINNINGS)
def test_a_text_begins_as_its_model_says(tmp_path, said, begin, signature):
    folder = foreign_models.save(tmp_path / "llama", "llama", max_position_embeddings=40)
    describe(folder, **said)
    with warnings.catch_warnings(record=True) as caught:
        model = rnnlm.load(f"hf:{folder}")
    notes = [str(warning.message) for warning in caught]
    if begin:
        assert not notes
    else:
        assert "does not say what its texts begin with" in notes[0]
    read = [*(begin or (0,)), *model.core.tokenizer.encode(["the cat sat"]).ids.tolist()]
    expected = -their_loss(folder, read) + (len(begin) > 1 and their_loss(folder, begin))
    [score] = model.score_sentences(["the cat sat"])
    assert score.logprob_nats == pytest.approx(expected, abs=1e-4)
    window = model.evaluate(rnnlm.Corpus.from_lines(["the cat sat"])).signature.rpartition("|")[2]
    assert window == ",".join(filter(None, ("window:40", signature)))


def test_each_window_begins_as_the_tokenizer_begins_a_text(beginning_with_bos):
    model = loading.load(f"hf:{beginning_with_bos}", "cpu")
    model.window = P = 6
    ids = model.tokenizer.encode(TEXT).ids
    stream = [BOS, *ids.tolist()]
    expected = -their_loss(beginning_with_bos, stream[: P + 1])
    for start in range(P // 2, len(ids) - P // 2, P // 2):
        part = [BOS, *stream[start + 1 : start + P + 1]]
        context = part[: P // 2 + 1]
        expected -= their_loss(beginning_with_bos, part) - their_loss(beginning_with_bos, context)
    found = span_scoring.score_spans(model, ids, span_scoring.whole_text(ids)).sum()
    assert found == pytest.approx(expected, abs=1e-4)
    # Cut anywhere, and read token by token, it is the same.
    stepping, state, total = model.stepping(), model.initial_state(1), 0.0
    for before, token in zip([0, *ids[:-1]], ids, strict=True):
        logprob_11V, state = stepping.predict([[before]], state)
        total += float(logprob_11V[0, 0, token])
    assert total == pytest.approx(expected, abs=1e-4)


def test_every_use_begins_a_text_alike(beginning_with_bos):
    """The next token after "the": of a prefix, in a search, a mixture and a sample."""
    from transformers import AutoModelForCausalLM

    model = loading.load(f"hf:{beginning_with_bos}", "cpu")
    ids = model.tokenizer.encode(["the"]).ids[:-1].tolist()
    theirs = AutoModelForCausalLM.from_pretrained(beginning_with_bos)
    with torch.no_grad():
        logprob_V = theirs(torch.tensor([[BOS, *ids]])).logits[0, -1].log_softmax(0).numpy()
    prefixes = CachedPrefixes(model)
    of_prefix_V, _ = prefixes.distribution(prefixes.prefix_of((0, *ids)))
    np.testing.assert_allclose(of_prefix_V, logprob_V, atol=1e-5)
    predicted_V = np.flatnonzero(model.tokenizer.is_text_V).tolist()
    fused_1V = ShallowFusion(model, 1.0)(torch.tensor([ids]), torch.zeros(1, len(logprob_V)))
    np.testing.assert_allclose(fused_1V[0, predicted_V], logprob_V[predicted_V], atol=1e-5)
    # The other part reads the boundary.
    other = foreign_models.make("mamba")
    mixture = Mixture([model, other], [0.5, 0.5])
    of_other = other.predict([[0, *ids]], other.initial_state(1))[0][0, -1].exp().numpy()
    mixed = mixture.predict([[0, *ids]], mixture.initial_state(1))[0][0, -1].exp().numpy()
    np.testing.assert_allclose(mixed, (np.exp(logprob_V) + of_other) / 2, atol=1e-6)
    assert loading.window_of(mixture) == "40,begin-each=1+4096"
    [sample] = rnnlm.Model(model).generate(prompt="the", max_tokens=1, temperature=0)
    likeliest = max(predicted_V, key=lambda id: logprob_V[id])
    assert sample.text == "the" + model.tokenizer.decode([likeliest])


# ---- Positions.


def test_positions_are_those_that_tokens_can_have(tmp_path):
    folder = foreign_models.save(tmp_path / "roberta", "roberta", pad_token_id=1)
    model = rnnlm.load(f"hf:{folder}")
    assert model.core.window == 10  # of 12, as RoBERTa counts from behind its padding
    assert math.isfinite(model.score_sentences(["the cat sat on the mat " * 9])[0].logprob_nats)


REFUSED = {
    "padding ends a line": ({"pad_token_id": 0}, "token by token its predictions differ"),
    "no positions": ({"pad_token_id": -1}, "cannot be used; no token has a position"),
    "no padding": ({"pad_token_id": None}, "RobertaForCausalLM; reading a text fails: TypeError"),
}


@pytest.mark.parametrize("settings, message", REFUSED.values(), ids=REFUSED)
def test_a_model_that_reads_text_in_two_ways_is_refused(tmp_path, settings, message):
    folder = foreign_models.save(tmp_path / "roberta", "roberta", **settings)
    with pytest.raises(ModelError, match=message):
        loading.load(f"hf:{folder}", "cpu")


def test_positions_that_a_model_lacks_are_found_before_it_is_used(gpt2, monkeypatch):
    monkeypatch.setattr("rnnlm.tools.huggingface.loading.POSITIONS", ("n_embd",))  # 16, not 8
    with pytest.raises(ModelError, match="GPT2LMHeadModel; reading a text fails: .*[Ii]ndex"):
        loading.load(f"hf:{gpt2}", "cpu")


# ---- Reading token by token.


def test_generation_with_a_cache_draws_what_rereading_draws(folder, monkeypatch):
    model = loading.load(f"hf:{folder}", "cpu")
    assert model.cache_name
    drawing = {"prompt": "the", "num": 3, "max_tokens": 20, "running": True}
    beam = {"prompt": "the", "beam": 3, "max_tokens": 6}
    read = []
    plain = type(model).forward
    monkeypatch.setattr(
        type(model), "forward",
        lambda self, ids, *more, **options: read.append(ids.numel())
        or plain(self, ids, *more, **options),
    )  # fmt: skip
    drawn = list(rnnlm.Model(model).generate(**drawing))
    cached_tokens = sum(read)
    best = rnnlm.Model(model).likeliest(**beam)
    monkeypatch.setattr(type(model), "stepping", lambda self: self)
    read.clear()
    assert [sample.text for sample in rnnlm.Model(model).generate(**drawing)] == [
        sample.text for sample in drawn
    ]
    again = rnnlm.Model(model).likeliest(**beam)
    assert [sample.text for sample in again] == [sample.text for sample in best]
    assert cached_tokens < sum(read)


def test_cached_rows_are_used_for_the_tokens_that_they_have_read(folder):
    model = loading.load(f"hf:{folder}", "cpu")
    stepping = model.stepping()
    random = np.random.default_rng(1)
    state = model.initial_state(4)
    for step in range(12):
        inputs_B1 = random.integers(model.tokenizer.size, size=(len(state.rows), 1))
        found, after = stepping.predict(inputs_B1, state)
        expected, also_after = model.predict(inputs_B1, state)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert [*map(list, after.rows)] == [*map(list, also_after.rows)]
        # Go on with some rows, some twice, some anew; now and then again from the state before.
        rows = random.integers(len(after.rows), size=3)
        fresh = model.initial_state(1)
        following = state if step % 5 == 4 else after
        state = model.concat_states([following.select(rows % len(following.rows)), fresh])


# ---- Folders that are refused, each in one line of what, why and the way out.


def test_families_that_read_differently_are_refused_by_name(folders):
    with pytest.raises(ModelError, match="RwkvForCausalLM; read token by token .* differ"):
        loading.load(f"hf:{folders['rwkv']}", "cpu")
    with pytest.raises(ModelError, match="BertLMHeadModel; later tokens change earlier"):
        loading.load(f"hf:{folders['bert']}", "cpu")


def rewritten(**types):
    """Return a function that changes the type of weights, or how much of them is written."""

    def spoil(folder) -> None:
        path = folder / "model.safetensors"
        arrays = dict(tensors.mapped(path))
        for name, array in arrays.items():
            arrays[name] = array.astype(types["type"]) * types.get("times", 1)
        path.write_bytes(b"".join(tensors.chunks(arrays))[: types.get("end")])

    return spoil


def with_pipe(folder) -> None:
    need("pipes")
    (folder / "generation_config.json").unlink()
    os.mkfifo(folder / "generation_config.json")


def with_shard(name):
    """Return a function that has an index name a file for a weight."""

    def spoil(folder) -> None:
        (folder / "model.safetensors").rename(folder / "part.safetensors")
        index = {
            "metadata": {},
            "weight_map": {"transformer.wte.weight": name, "x": "part.safetensors"},
        }
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    return spoil


def configured(**settings):
    """Return a function that changes config.json; `null` is written."""

    def spoil(folder) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **settings}))

    return spoil


def with_token_without_text(folder) -> None:
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace("<|pad|>", ""))


DAMAGES = {
    "no list of classes": (configured(architectures=5), "architectures is 5, not a list of names"),
    "no map of code": (configured(auto_map=None), "damaged; auto_map is null, not an object"),
    "code for attention": (
        configured(text_config={"attn_implementation": "owner/kernels"}),
        "names code of its own for attention; attn_implementation in config.json is .owner/kernels",
    ),
    "no layers": (configured(n_layer=-1), "n_layer is -1, not a number from 0 to 28"),
    "many layers": (configured(n_layer=20_000), "n_layer is 20000, not a number from 0 to 28"),
    "a wide network": (configured(n_embd=30_000), "describes 21,[0-9,]+ numbers .*its weights are"),
    "many heads": (configured(n_head=10**9), "n_head is 1000000000, not a number from 0 to 296"),
    "many labels": (configured(num_labels=10**8), "num_labels is 100000000, not a number"),
    "fewer layers": (configured(n_layer=1), "weights are left over, .*: transformer.h.1"),
    "a pipe": (with_pipe, "generation_config.json is no regular file"),
    "part elsewhere": (with_shard("../part.safetensors"), "it names .../part.safetensors., no .safe"),
    "pickled part": (with_shard("evil.bin"), "index.json is damaged; it names .evil.bin., no .safe"),
    "adapter": (lambda at: (at / "adapter_config.json").touch(), "an adapter of another model"),
    "token without text": (with_token_without_text, "length >= 1 - at .\\$.added_tokens"),
    "no config": (lambda at: (at / "config.json").unlink(), "holds no config.json; save the model"),
    "no JSON": (lambda at: (at / "config.json").write_text("{"), "config.json"),
    "encoder": (configured(architectures=["BertForMaskedLM"]), "no causal .*; it is a BertForMas"),
    "no tokenizer": (lambda at: (at / "tokenizer.json").unlink(), "no tokenizer; .* writes it"),
    "quantised": (configured(quantization_config={"quant_method": "gptq"}), "_config: gptq"),
    "8 bits": (rewritten(type=np.int8), "quantised; transformer.* is of type I8"),
    "only .bin": (
        lambda at: (at / "model.safetensors").rename(at / "pytorch_model.bin"),
        "no weights in safetensors; pytorch_model.bin runs code when it is loaded",
    ),
    "cut": (rewritten(type="f4", end=-100), "the model at .* is damaged; the weights cannot be read: array .* not fit"),
    "not numbers": (rewritten(type="f4", times=np.nan), "damaged; its predictions are not numbers"),
    "larger model": (configured(vocab_size=310), "vocab_size is 310, not a number from 0 to 296"),
    "wider layers": (configured(n_inner=99), "missing, or have another shape: .*mlp.c_fc"),
    "unknown family": (configured(model_type="xyz"), "cannot be loaded; .*xyz"),
    "more layers": (configured(n_layer=3), "damaged; weights are missing"),
    "remote code": (
        configured(auto_map={"AutoConfig": "evil.Config"}), "needs code .*; .*--trust-remote-code"
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_folder_that_cannot_be_read_says_why(gpt2, damage):
    spoil, message = DAMAGES[damage]
    spoil(gpt2)
    with pytest.raises(ModelError, match=message):
        loading.load(f"hf:{gpt2}", "cpu")


@pytest.mark.parametrize("settings, message", [
    ({"n_routed_experts": 10**6}, "n_routed_experts is 1000000, not a number from 0 to 1,024"),
    ({"head_dim": 10**9}, "numbers and tables of 1,000,000,0"),
])  # fmt: skip
def test_experts_and_tables_are_counted_before_they_are_made(tmp_path, settings, message):
    folder = foreign_models.save(tmp_path / "experts", "deepseek_v3")
    foreign_models.change_config(folder, **settings)
    with pytest.raises(ModelError, match=message):
        loading.load(f"hf:{folder}", "cpu")


def test_weights_in_parts_and_another_form_of_output_are_read(gpt2):
    expected = rnnlm.load(f"hf:{gpt2}").logprob_nats("the cat")
    path = gpt2 / "model.safetensors"
    arrays = dict(tensors.mapped(path))
    parts = {"a.safetensors": list(arrays)[::2], "b.safetensors": list(arrays)[1::2]}
    for part, names in parts.items():
        content = tensors.chunks({name: arrays[name] for name in names}, {"format": "pt"})
        (gpt2 / part).write_bytes(b"".join(content))
    path.unlink()
    weight_map = {name: part for part, names in parts.items() for name in names}
    (gpt2 / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": weight_map})
    )
    foreign_models.change_config(gpt2, return_dict=False)
    assert rnnlm.load(f"hf:{gpt2}").logprob_nats("the cat") == pytest.approx(expected)


@pytest.mark.parametrize("name", ["code.py", "sub/code.py"])
def test_code_that_a_model_brings_is_part_of_its_fingerprint(gpt2, name):
    foreign_models.change_config(gpt2, auto_map={"AutoConfig": "code.Config"})
    (gpt2 / "sub").mkdir()
    found = set()
    for code in ("a = 1", "a = 2"):
        (gpt2 / name).write_text(code)
        found.add(FOLDERS.manifest(gpt2).fingerprint)
    assert len(found) == 2


def test_tokens_beyond_those_of_the_model_are_refused(gpt2):
    path = gpt2 / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"]["zzz"] = 900
    path.write_text(json.dumps(content))
    with pytest.raises(ModelError, match="the tokenizer has ids up to 900, the model 296 tokens"):
        loading.load(f"hf:{gpt2}", "cpu")


def test_without_transformers_the_extra_is_named(gpt2, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(UsageError, match=r"need the package transformers.*'.\[hf\]'"):
        loading.load(f"hf:{gpt2}", "cpu")


# ---- The commands.


def test_commands_take_it_and_keep_their_streams_clean(rnnlm, here, folders):
    (here / "t.txt").write_text("".join(f"{line}\n" for line in TEXT))
    name = f"hf:{folders['gpt2']}"
    ngram = f"train t.txt --model ngram --set order=2 --tokenizer-from {name} -o ng"
    mix = f"mix {name} ng --weights 0.5,0.5 -o mixed"
    for command in (
        f"eval -m {name} t.txt", f"score -m {name} --words 'the cat'", f"next -m {name} the",
        f"generate -m {name} --max-tokens 3", f"info {name}", f"doctor -m {name}",
        f"compare {name} hf:{folders['llama']} --on t.txt", ngram, mix, "eval -m mixed t.txt",
        "doctor -m mixed", f"eval -m {name}+unigram t.txt",
    ):  # fmt: skip
        ended = rnnlm(command)
        assert ended.code == 0, ended.err
        assert "transformers]" not in ended.err and "Warning" not in ended.err
    assert rnnlm("eval -m mixed t.txt --json").json["signature"].endswith("|window:8")


def test_a_mixture_refuses_another_model_at_the_place_of_its_part(rnnlm, here, gpt2):
    (here / "t.txt").write_text("".join(f"{line}\n" for line in TEXT))
    name = f"hf:{gpt2}"
    assert rnnlm(f"train t.txt --model unigram --tokenizer-from {name} -o uni").code == 0
    assert rnnlm(f"mix {name} uni --weights 0.5,0.5 -o mixed").code == 0
    assert rnnlm(f"mix {name} uni --weights 0.5,0.5 -o copied --bundle").code == 2
    foreign_models.save(gpt2, "llama")
    ended = rnnlm("eval -m mixed t.txt")
    assert ended.code == 1 and "part 1 of the combination at mixed has changed" in ended.err


def test_nothing_is_written_into_its_folder(rnnlm, here, gpt2):
    (here / "t.txt").write_text("".join(f"{line}\n" for line in TEXT))
    before = sorted(path.name for path in gpt2.iterdir())
    tuned = rnnlm(f"tune -m hf:{gpt2}+unigram --on t.txt")
    assert tuned.code == 2 and "the folder of another library" in tuned.err
    for form in ("--hf", "--onnx"):
        exported = rnnlm(f"export -m hf:{gpt2} {form} out")
        assert exported.code == 2 and "transformers, which stores it, exports it" in exported.err
    assert sorted(path.name for path in gpt2.iterdir()) == before


def test_models_of_other_tokens_compare_per_byte_and_word(rnnlm, here, folders):
    (here / "t.txt").write_text("the cat sat\na dog sat\n")
    assert rnnlm("train t.txt --model ngram --set tokenizer=char --valid t.txt -o chars").code == 0
    compared = rnnlm(f"compare hf:{folders['gpt2']} chars --on t.txt --json").json
    assert compared["figures"] == ["ppl_word", "ppl_word_no_oov", "bits_per_char", "bits_per_byte"]
    refused = {value for entry in compared["refused"] for value in entry.values()}
    assert {"ppl_token", "ppl_token_no_oov"} <= refused


# ---- The hub.


def test_a_download_is_announced_and_only_with_the_flag(rnnlm, here, monkeypatch, folders):
    import huggingface_hub

    (here / "t.txt").write_text("the cat\n")
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    ended = rnnlm("eval -m hf:owner/gpt2 t.txt")
    assert ended.code == 1 and "hf:owner/gpt2 is not on this machine" in ended.err
    assert "add --download" in ended.err

    class Api:
        def model_info(self, name, revision, files_metadata):
            names = ["config.json", "model.safetensors", "pytorch_model.bin", "onnx/model.onnx"]
            files = [types.SimpleNamespace(rfilename=name, size=1_500_000) for name in names]
            return types.SimpleNamespace(sha="abc", siblings=files)

    fetched = []
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download",
        lambda name, revision, allow_patterns: fetched.append(allow_patterns) or folders["gpt2"],
    )  # fmt: skip
    ended = rnnlm("eval -m hf:owner/gpt2 t.txt --download")
    assert ended.code == 0 and "downloading owner/gpt2" in ended.err
    assert "2 files, 3.0 MB" in ended.err
    assert {*map(tuple, fetched)} == {("config.json", "model.safetensors")}

    def no_network(*_, **__):
        raise ConnectionError("name resolution failed")

    monkeypatch.setattr(Api, "model_info", no_network)
    ended = rnnlm("eval -m hf:owner/gpt2 t.txt --download")
    assert ended.code == 1 and "why: ConnectionError: name resolution failed" in ended.err
