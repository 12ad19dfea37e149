import itertools
import sys

import numpy as np
import pytest
import torch

from rnnlm.errors import OutputError, RnnlmWarning, TextError, UsageError
from rnnlm.lm.neural.network import make_network
from rnnlm.lm.neural.trained_network import NeuralLanguageModel
from rnnlm.tools.mixtures.mixture import Mixture
from rnnlm.tools.onnx_export import export as onnx_export
from rnnlm.tools.onnx_export.export import export_onnx
from support.failures import checked_error
from support.model_cases import SPELLING, VARIANTS
from support.networks import network_settings
from support.tiny_models import halves_model, make_tokenizer

SHORT = {"embedding_size": 8, "hidden_size": 12}
PLAIN_OUTPUTS = [
    (model, values)
    for model in ("rnn", "gru", "lstm")
    for values in VARIANTS[model]
    if not values.keys()
    & {"output_layer", "mogrifier_rounds", "ema_decay", "optimizer", "layer_norm"}
]
EXPORTED = [
    *PLAIN_OUTPUTS, ("gru", {"reset_gate": "before", "update_gate": "renew"}),
    ("lstm", {"coupled_gates": True, "peepholes": True}), ("lstm", SPELLING),
    ("gru", {"characters": "lstm", "character_hidden_size": 4, "characters_beside": True}),
]  # fmt: skip


def network(model="lstm", tokenizer=None, **values):
    """Return a network with random weights and biases."""
    torch.manual_seed(3)
    tokenizer = tokenizer or make_tokenizer()
    if values.get("characters"):
        tokenizer = tokenizer.spelling()
    made = make_network(network_settings(model, **{**SHORT, **values}), tokenizer)
    with torch.no_grad():
        for weight in made.parameters():
            weight.uniform_(-0.7, 0.7)
    return NeuralLanguageModel(made.eval(), tokenizer)


@pytest.fixture
def onnx():
    return pytest.importorskip("onnx")


def session(path):
    return pytest.importorskip("onnxruntime").InferenceSession(str(path))


def states_of(loaded, state, without):
    """Return the states of a model of ours, by the names of the inputs of an ONNX model."""
    names = [value.name for value in loaded.get_inputs()[without:]]
    return dict(zip(names, [tensor.numpy() for tensor in state.tensors], strict=True))


# ---- What cannot be exported; it needs no package.


@pytest.mark.parametrize(("model", "values", "why"), [
    ("qrnn", {}, "ONNX has no operator for the layers of a qrnn"),
    ("lstm", {"mogrifier_rounds": 2}, "a Mogrifier changes input and state"),
    ("jordan", {}, "a model of kind jordan has no recurrent layers"),
    ("ffnn", {}, "a model of kind ffnn has no recurrent layers"),
    ("lstm", {"layer_norm": True}, "its layers are normalised"),
    ("lstm", {"output_layer": "mos"}, "its output layer is mos"),
    ("lstm", {"output_layer": "class"}, "its output layer is class"),
])  # fmt: skip
def test_networks_without_an_onnx_form_say_why(tmp_path, model, values, why):
    with pytest.raises(UsageError, match=why):
        export_onnx(network(model, **values), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_models_say_why(tmp_path):
    unigram = halves_model()
    for model in (unigram, Mixture([unigram, unigram], (0.5, 0.5))):
        with pytest.raises(UsageError, match="a model of kind .* is not a network"):
            export_onnx(model, tmp_path / "out")


@pytest.mark.parametrize(("model", "values", "what"), [
    ("gru", {}, "sherpa reads LSTMs only; this is a gru"),
    ("lstm", {"layers": 2, "layer_sizes": "4,6"}, "layers of one width only; the widths are 4,6"),
])  # fmt: skip
def test_sherpa_reads_lstms_of_one_width(tmp_path, model, values, what):
    with pytest.raises(UsageError, match=what):
        export_onnx(network(model, **values), tmp_path / "out", target="sherpa")
    with pytest.raises(UsageError, match=r"`tokens` .* add `target=\"sherpa\"`"):
        export_onnx(network(), tmp_path / "out", tokens="tokens.txt")


def test_a_missing_package_is_named(rnnlm, models, here, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    ended = rnnlm("export", "-m", models.lstm, "--onnx", "out")
    checked_error(ended, 2, "ONNX models need the package onnx")
    assert not (here / "out").exists()
    ended = rnnlm("export", "-m", models.unigram, "--onnx", "out")
    last = checked_error(ended, 2, "this model cannot be exported in this form")[-1]
    assert "--arpa FILE" in last
    ended = rnnlm("export", "-m", models.lstm, "--arpa", "out", "--tokens", "tokens.txt")
    checked_error(ended, 2, "--tokens needs --onnx.")


# ---- The models, in onnxruntime and in ONNX's own evaluator.


@pytest.mark.filterwarnings("ignore:.*by their characters")
@pytest.mark.parametrize(("model", "values"), EXPORTED)
def test_both_models_equal_torch(tmp_path, model, values, onnx):
    ours = network(model, **values)
    assert export_onnx(ours, tmp_path)[:2] == ["step.onnx", "score.onnx"]
    step, score = session(tmp_path / "step.onnx"), session(tmp_path / "score.onnx")
    random = np.random.default_rng(0)
    V = ours.tokenizer.size
    for rows, length in itertools.product((1, 2, 5), (1, 4, 13)):
        ids = random.integers(0, V, (rows, length))
        targets = random.integers(-1, V, (rows, length))
        _, state = ours.predict(random.integers(0, V, (rows, 3)), ours.initial_state(rows))
        wanted, after = ours.score(ids, targets, state)
        all_wanted, _ = ours.predict(ids, state)
        for loaded, names in ((step, ["ids"]), (score, ["ids", "targets"])):
            given = dict.fromkeys(names, ids) | states_of(loaded, state, len(names))
            with pytest.raises(Exception, match="(?i)out of (data )?bounds"):
                loaded.run(None, given | {"ids": np.where(ids == ids[0, 0], -1, ids)})
        given = {"ids": ids, "targets": targets, **states_of(score, state, 2)}
        scored, *scored_states = score.run(None, given)
        np.testing.assert_allclose(scored, wanted, atol=1e-4)
        stepped, *stepped_states = step.run(None, {"ids": ids, **states_of(step, state, 1)})
        np.testing.assert_allclose(stepped, all_wanted[:, -1], atol=1e-4)
        for number, tensor in enumerate(after.tensors):
            np.testing.assert_allclose(scored_states[number], tensor, atol=1e-4)
            np.testing.assert_allclose(stepped_states[number], tensor, atol=1e-4)


@pytest.mark.parametrize(("model", "values"), [
    ("lstm", {"layers": 2}), ("gru", {}), ("gru", {"reset_gate": "before"}), ("rnn", {}),
])  # fmt: skip
def test_the_evaluator_of_onnx_agrees(tmp_path, model, values, onnx):
    from onnx.reference import ReferenceEvaluator

    ours = network(model, **values)
    export_onnx(ours, tmp_path)
    loaded = onnx.load(tmp_path / "step.onnx")
    assert (loaded.ir_version, loaded.opset_import[0].version) == (8, 17)
    names = [value.name for value in loaded.graph.input][1:]
    ids, state = np.array([[1, 4, 2], [3, 0, 5]]), ours.initial_state(2)
    for _ in range(2):
        states = [tensor.numpy() for tensor in state.tensors]
        given = {"ids": ids, **dict(zip(names, states, strict=True))}
        logprobs, *_ = ReferenceEvaluator(loaded).run(None, given)
        wanted, state = ours.predict(ids, state)
        np.testing.assert_allclose(logprobs, wanted[:, -1], atol=1e-4)


def test_tied_weights_are_stored_once(tmp_path, onnx):
    sizes = {}
    for tied in (True, False):
        ours = network(tokenizer=make_tokenizer([" ".join(map(str, range(1000)))]), tied=tied)
        export_onnx(ours, tmp_path / str(tied))
        sizes[tied] = (tmp_path / str(tied) / "step.onnx").stat().st_size
    assert sizes[False] - sizes[True] > 4 * 1000 * 4


def test_the_folder_has_tokens_and_a_readme_whose_example_runs(here, capsys, onnx):
    pytest.importorskip("onnxruntime")
    ours = network(tokenizer=make_tokenizer(tokenizer="sentencepiece", vocab_size=280))
    files = ["step.onnx", "score.onnx", "tokens.txt", "tokenizer.model", "README.md"]
    assert export_onnx(ours, here) == files
    tokens = [line.split(" ") for line in (here / "tokens.txt").read_text().splitlines()]
    assert tokens == [[symbol, str(id)] for id, symbol in enumerate(ours.tokenizer.symbols())]
    assert (here / "tokenizer.model").read_bytes() == ours.tokenizer.to_files()[files[3]]
    readme = (here / "README.md").read_text()
    assert "| input | `h_1` | float32 | (1, B, 12) |" in readme
    example = readme.split("```python\n")[1].split("```")[0]
    names: dict = {}
    exec(example, names)
    wanted, _ = ours.score(names["ids"], names["targets"], ours.initial_state(1))
    np.testing.assert_allclose(names["logprobs"], wanted, atol=1e-4)
    assert names["ids"][0, 0] == ours.tokenizer.boundary_id and capsys.readouterr().out


def test_what_is_there_is_replaced_only_if_asked(tmp_path, monkeypatch, onnx):
    ours = network()
    export_onnx(ours, tmp_path / "out")
    with pytest.raises(OutputError, match=r"out/step\.onnx already exists"):
        export_onnx(ours, tmp_path / "out")
    export_onnx(ours, tmp_path / "out", overwrite=True)
    with pytest.raises(OutputError, match=r"is not empty and holds no model in lm\.onnx"):
        export_onnx(ours, tmp_path / "out", target="sherpa", overwrite=True)
    (tmp_path / "file").write_text("mine")
    for place, error in ((tmp_path / "file", "it is a file"), ("-", "a folder of files")):
        with pytest.raises(OutputError, match=error):
            export_onnx(ours, place, overwrite=True)
    monkeypatch.setattr(onnx_export, "LARGEST", 1000)
    with pytest.raises(UsageError, match="an ONNX file has less than 2 GiB"):
        export_onnx(ours, tmp_path / "large")
    assert not (tmp_path / "large").exists()


def test_the_command_says_what_it_wrote(rnnlm, models, here, onnx):
    ended = rnnlm("export", "-m", models.lstm, "--onnx", "out")
    assert ended.code == 0
    last = ended.err.splitlines()[-1]
    assert last == "written to out: step.onnx, score.onnx, tokens.txt, README.md"
    ended = rnnlm("export", "-m", models.lstm, "--onnx", "lm", "--for", "sherpa")
    assert "shallow fusion only" in ended.err.splitlines()[-1]


# ---- sherpa-onnx.


def recogniser_tokens(folder, symbols):
    path = folder / "recogniser.txt"
    path.write_text("".join(f"{symbol} {id}\n" for id, symbol in enumerate(symbols)))
    return path


def test_calls_of_sherpa_by_position(tmp_path, onnx):
    """The calls of its OnlineRnnLM: the boundary from states of zeros, then one token at a time."""
    ours = network(layers=2, connections="highway")
    export_onnx(ours, tmp_path, target="sherpa")
    loaded = session(tmp_path / "lm.onnx")
    names = [value.name for value in loaded.get_inputs()]
    facts = loaded.get_modelmeta().custom_metadata_map
    assert names == ["x", "h0", "c0"]
    assert facts["model_type"] == "rnnlm" and facts["version"] == "1"
    assert int(facts["vocab_size"]) == ours.tokenizer.size
    assert facts["sos_id"] == facts["eos_id"] == str(ours.tokenizer.boundary_id)
    zeros = np.zeros((int(facts["num_layers"]), 1, int(facts["hidden_size"])), np.float32)
    states, state = [zeros, zeros], ours.initial_state(1)
    for id in (int(facts["sos_id"]), 3, 5, 2):
        x = np.array([[id]])
        logprobs, *states = loaded.run(None, dict(zip(names, [x, *states], strict=True)))
        wanted, state = ours.predict(x, state)
        assert logprobs.shape == (1, ours.tokenizer.size)
        np.testing.assert_allclose(logprobs, wanted[:, 0], atol=1e-4)


@pytest.mark.parametrize(("content", "error"), [
    (None, "cannot read"), ("a b c\n", "line 1 has no id: 'a b c'"), ("a -1\n", "line 1 has no id"),
    ("a 0\nb 2\n", "line 2 has the id 2, and no line has 1"),
    ("a 0\nb 1\n\na 2\n", "line 4 has a again, after line 1"),
    ("a 0\nb 0\n", "line 2 has 0 again, after line 1"), (b"\xff 0\n", "not UTF-8"),
])  # fmt: skip
def test_tokens_that_cannot_be_read(tmp_path, content, error, onnx):
    if content:
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "tokens.txt").write_bytes(data)
    with pytest.raises(TextError, match=error):
        export_onnx(network(), tmp_path / "o", target="sherpa", tokens=tmp_path / "tokens.txt")


def test_a_byte_order_mark_is_no_part_of_a_symbol(tmp_path, onnx):
    tokens = recogniser_tokens(tmp_path, make_tokenizer().symbols())
    plain = tokens.read_bytes()
    tokens.write_bytes(b"\xef\xbb\xbf" + plain)
    export_onnx(network(), tmp_path / "lm", target="sherpa", tokens=tokens)
    assert (tmp_path / "lm" / "tokens.txt").read_bytes() == plain


def test_tokens_of_another_language(tmp_path, onnx):
    tokens = recogniser_tokens(tmp_path, ["<blk>", "chat", "chien"])
    with pytest.raises(UsageError, match="has none of these tokens"):
        export_onnx(network(), tmp_path / "o", target="sherpa", tokens=tokens)


def transducer(folder, size, context=2):
    """Write a recogniser of random weights: an encoder of one frame a chunk, a decoder that reads
    the last token, a joiner that adds both. Return the paths of the three."""
    onnx = pytest.importorskip("onnx")
    node, weight = onnx.helper.make_node, onnx.numpy_helper.from_array
    FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    random = np.random.default_rng(5)

    def write(name, nodes, inputs, outputs, weights, **facts):
        sides = []
        for side in (inputs, outputs):
            sides.append([onnx.helper.make_tensor_value_info(*value) for value in side])
        arrays = [weight(array, key) for key, array in weights.items()]
        model = onnx.helper.make_model(
            onnx.helper.make_graph(nodes, name, *sides, arrays),
            opset_imports=[onnx.helper.make_opsetid("", 17)],
            ir_version=8,
        )
        onnx.helper.set_model_props(model, {key: str(value) for key, value in facts.items()})
        onnx.save(model, folder / f"{name}.onnx")
        return str(folder / f"{name}.onnx")

    states = [("h", FLOAT, [1, "N", 4]), ("c", FLOAT, [1, "N", 4])]
    states_after = [("next_h", FLOAT, [1, "N", 4]), ("next_c", FLOAT, [1, "N", 4])]
    encoder = write(
        "encoder",
        [
            node("ReduceMean", ["x"], ["mean"], axes=[1], keepdims=1),
            node("MatMul", ["mean", "weight"], ["encoder_out"]),
            node("Identity", ["h"], ["next_h"]),
            node("Identity", ["c"], ["next_c"]),
        ],
        [("x", FLOAT, ["N", 9, 80]), *states],
        [("encoder_out", FLOAT, ["N", 1, size]), *states_after],
        {"weight": random.normal(0, 0.5, (80, size)).astype(np.float32)},
        model_type="lstm", num_encoder_layers=1, T=9, decode_chunk_len=4, rnn_hidden_size=4,
        d_model=4,
    )  # fmt: skip
    decoder = write(
        "decoder",
        [
            node("Gather", ["y", "last"], ["token"], axis=1),
            node("Gather", ["weight", "token"], ["decoder_out"]),
        ],
        [("y", INT64, ["N", context])],
        [("decoder_out", FLOAT, ["N", size])],
        {
            "last": np.array(context - 1),
            "weight": random.normal(0, 2, (size, size)).astype(np.float32),
        },
        vocab_size=size,
        context_size=context,
    )
    joiner = write(
        "joiner",
        [node("Add", ["encoder_out", "decoder_out"], ["logit"])],
        [("encoder_out", FLOAT, ["N", size]), ("decoder_out", FLOAT, ["N", size])],
        [("logit", FLOAT, ["N", size])],
        {},
        joiner_dim=size,
    )
    return {"encoder": encoder, "decoder": decoder, "joiner": joiner}


def test_sherpa_adds_our_log_probabilities(tmp_path):
    """A recogniser of random weights, with other ids than ours, reports what the language model
    gave to each token of its best hypothesis."""
    sherpa_onnx = pytest.importorskip("sherpa_onnx")
    ours = network(layers=2)
    symbols = ours.tokenizer.symbols()
    theirs = ["<blk>", "<sos/eos>", "<unk>", *reversed(symbols[2:])]
    tokens = recogniser_tokens(tmp_path, theirs)
    with pytest.warns(RnnlmWarning, match="<blk>, <sos/eos>: tokens that are <unk>"):
        export_onnx(ours, tmp_path / "lm", target="sherpa", tokens=tokens)
    assert (tmp_path / "lm" / "tokens.txt").read_bytes() == tokens.read_bytes()
    recogniser = sherpa_onnx.OnlineRecognizer.from_transducer(
        tokens=str(tokens), **transducer(tmp_path, len(theirs)), num_threads=1, model_type="lstm",
        decoding_method="modified_beam_search", lm=str(tmp_path / "lm" / "lm.onnx"), lm_scale=0.5,
    )  # fmt: skip
    stream = recogniser.create_stream()
    noise = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    stream.accept_waveform(16000, noise)
    stream.input_finished()
    while recogniser.is_ready(stream):
        recogniser.decode_stream(stream)
    words = recogniser.tokens(stream)
    assert len(words) > 5
    known = {symbol: id for id, symbol in enumerate(symbols)}
    unk_id, boundary_id = ours.tokenizer.unk_id, ours.tokenizer.boundary_id
    ids = [boundary_id, *(known.get(word, unk_id) for word in words)]
    assert len({*ids}) > 3, words
    wanted, _ = ours.score(np.array([ids[:-1]]), np.array([ids[1:]]), ours.initial_state(1))
    np.testing.assert_allclose(recogniser.lm_probs(stream), wanted[0], atol=1e-4)
