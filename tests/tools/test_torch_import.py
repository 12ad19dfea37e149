import builtins
import importlib
import json
import operator
import os
import pickle
import subprocess
import sys
import tracemalloc
import types
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import rnnlm as library
from rnnlm.errors import ModelError, TextError
from rnnlm.tools.torch_import import reading
from rnnlm.tools.torch_import.importing import read_words
from rnnlm.tools.torch_import.reading import MOST_MEMORY, Charged, Tensor, naming, read_torch
from support.failures import checked_error
from support.servers import client_of

WORDS = ["the", "<unk>", "<eos>", "old", "man", "went", "home", ".", "New\u00a0York"]
LINE = "the old man went . New\u00a0York"


class RNNModel(nn.Module):
    """A model as in word_language_model and its descendants."""

    def __init__(self, kind="LSTM", layers=2, tied=False, size=len(WORDS)):
        super().__init__()
        torch.manual_seed(7)
        self.encoder = nn.Embedding(size, 12)
        width = 12 if tied else 10
        if kind.startswith("RNN"):
            self.rnn = nn.RNN(12, width, layers, nonlinearity=kind[4:].lower())
        else:
            self.rnn = getattr(nn, kind)(12, width, layers, dropout=0.3)
        self.decoder = nn.Linear(width, size)
        if tied:
            self.decoder.weight = self.encoder.weight
        for weight in self.parameters():
            weight.data.uniform_(-1, 1)
        self.eval()

    def forward(self, ids_T):
        return self.decoder(self.rnn(self.encoder(ids_T))[0])


class WeightDrop(nn.Module):
    """A layer of awd-lstm-lm, whose weight has another name; the one in use is stale."""

    def __init__(self, module):
        super().__init__()
        self.module = module
        raw = module._parameters.pop("weight_hh_l0")
        module.register_parameter("weight_hh_l0_raw", raw)
        module.register_parameter("weight_hh_l0", nn.Parameter(raw * 0.5))


class AwdModel(nn.Module):
    """A model of awd-lstm-lm: layers of unequal size, tied."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(8)
        self.encoder = nn.Embedding(len(WORDS), 6)
        widths = [6, 11, *[7] * 10, 6]
        self.rnns = nn.ModuleList(map(nn.LSTM, widths, widths[1:]))
        self.decoder = nn.Linear(6, len(WORDS))
        self.decoder.weight = self.encoder.weight
        for weight in self.parameters():
            weight.data.uniform_(-1, 1)

    def forward(self, ids_T):
        x = self.encoder(ids_T)
        for layer in self.rnns:
            x = layer(x)[0]
        return self.decoder(x)


def logprob(model, words=WORDS):
    """Return log p of LINE by a plain pass in torch, its end included."""
    ids = torch.tensor([words.index(word) for word in ["<eos>", *LINE.split(" "), "<eos>"]])
    with torch.no_grad():
        return float(model(ids[:-1]).log_softmax(1).gather(1, ids[1:, None]).sum())


def legacy(model, path, change=lambda data: data):
    torch.save(model, path, _use_new_zipfile_serialization=False)
    path.write_bytes(change(path.read_bytes()))


def legacy_on_gpu(model, path):
    legacy(model, path, lambda data: data.replace(b"ctorch\nFlo", b"ctorch.cuda\nFlo"))


def whole_of_torch_1(model, path):
    """Write what whole models hold that torch below 1.2 wrote."""
    name = "torch.nn.backends.thnn"
    backend = types.ModuleType(name)
    exec("def _get_thnn_function_backend(): ...", vars(backend))
    backend._get_thnn_function_backend.__module__ = name
    model._backend = Reduced(backend._get_thnn_function_backend)
    sys.modules[name] = backend
    try:
        legacy(model, path)
    finally:
        del sys.modules[name]


class Reduced:
    """An object whose pickle calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def checkpoint(model, path):
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.zeros(1, dtype=torch.int64)).sum().backward()
    optimizer.step()
    before = {"optimizer": optimizer.state_dict(), "epoch": 3}
    torch.save({**before, "state_dict": model.state_dict()}, path)


def with_criterion(model, path):
    torch.save([model, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 1)], path)


FORMS = {
    "whole": torch.save, "state": lambda model, path: torch.save(model.state_dict(), path),
    "legacy": legacy, "legacy state": lambda model, path: legacy(model.state_dict(), path),
    "on a GPU": legacy_on_gpu, "before 1.2": whole_of_torch_1, "checkpoint": checkpoint,
    "list": with_criterion, "half": lambda model, path: torch.save(model.half().state_dict(), path),
}  # fmt: skip


@pytest.fixture
def imported(rnnlm, here):
    """Return a function that saves a model and imports it."""

    def run(model, *options, save=torch.save, words=WORDS):
        save(model, here / "model.pt")
        lines = "\n".join([*words, ""])
        (here / "vocab.txt").write_text(lines, encoding="utf-8", errors="surrogateescape")
        return rnnlm("import", "model.pt", "--vocab", "vocab.txt", "-o", "out", *options)

    return run


@pytest.mark.parametrize(
    "kind, layers, tied, form",
    [
        *(("LSTM", 2, True, form) for form in FORMS),
        ("LSTM", 1, False, "whole"), ("GRU", 2, True, "state"), ("GRU", 1, False, "legacy"),
        ("RNN_TANH", 2, False, "whole"), ("RNN_RELU", 1, True, "before 1.2"),
    ],
)  # fmt: skip
def test_numbers_are_those_of_a_plain_pass(imported, kind, layers, tied, form):
    model = RNNModel(kind, layers, tied)
    if form == "checkpoint":
        checkpoint(model, "first.pt")  # a step of training
    if form == "half":
        model.half().float()
    expected = logprob(model)
    ended = imported(model, save=FORMS[form])
    name = kind[:3].lower() if kind.startswith("RNN") else kind.lower()
    assert ended.code == 0 and f"a network of kind {name}, V = 9" in ended.err
    if form == "checkpoint":
        expected = logprob(model)
    loaded = library.load("out")
    assert loaded.network.settings.is_tied is tied
    assert loaded.logprob_nats(LINE) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("form", ["whole", "legacy state", "list"])
def test_layers_of_awd_have_sizes_of_their_own(rnnlm, imported, form):
    model = AwdModel()
    expected = logprob(model)
    model.rnns = nn.ModuleList([WeightDrop(layer) for layer in model.rnns])
    assert imported(model, save=FORMS[form]).code == 0
    assert library.load("out").logprob_nats(LINE) == pytest.approx(expected, rel=1e-5)
    assert rnnlm("info out --json").json["settings"]["layer_sizes"] == "11,7,7,7,7,7,7,7,7,7,7,6"


def test_words_are_read_in_the_forms_of_these_repositories(here):
    class Dictionary:
        """A dictionary that a corpus keeps."""

    number_of = {word: number for number, word in enumerate(WORDS)}
    dictionary = types.SimpleNamespace(idx2word=WORDS, word2idx=number_of)
    corpus = types.SimpleNamespace(dictionary=dictionary, train=torch.zeros(3))
    (here / "lines").write_bytes("\r\n".join(WORDS).encode())
    (here / "list").write_text(json.dumps(WORDS))
    (here / "ids").write_text(json.dumps(number_of))
    (here / "pickled").write_bytes(pickle.dumps(number_of))
    (here / "dictionary").write_bytes(pickle.dumps(dictionary, protocol=2))
    torch.save(corpus, here / "corpus")
    torch.save(types.SimpleNamespace(itos=WORDS, stoi=number_of), here / "torchtext")
    for name in ("lines", "list", "ids", "pickled", "dictionary", "corpus", "torchtext"):
        assert read_words(here / name) == WORDS, name
    for content, why in ((b"a\nb\na\n", "'a' 2 times"), (pickle.dumps(3), "no list of words")):
        (here / "odd").write_bytes(content)
        with pytest.raises((ModelError, TextError), match=why):
            read_words(here / "odd")


def test_all_uses_of_a_network_work_with_one_without_unknown_words(rnnlm, imported, here):
    words = [word for word in WORDS if word != "<unk>"]
    model = RNNModel(size=len(words))
    ended = imported(model, words=words)
    assert "note: vocab.txt has no <unk>: unknown words get probability zero" in ended.err
    loaded = library.load("out")
    assert loaded.logprob_nats(LINE) == pytest.approx(logprob(model, words), rel=1e-5)
    assert loaded.logprob_nats("the dog") == -np.inf

    # Lines of different lengths are padded.
    lines = ["the", LINE, "the old man"]
    alone = [loaded.logprob_nats(line) for line in lines]
    together = [score.logprob_nats for score in loaded.score_sentences(lines)]
    assert together == pytest.approx(alone, rel=1e-5)
    assert all(row[1] != "failed" for row in rnnlm("doctor out").rows)
    shown = dict(rnnlm("info out").rows)
    assert shown["imported from"] == "model.pt (PyTorch)" and "training" not in shown

    (here / "pairs.csv").write_text("good,bad\nthe old man,old the man\nthe man,man\n")
    (here / "text.txt").write_text("the old man went home .\nthe man went .\n" * 9)
    (here / "list.tsv").write_text(
        "u\tREF\t\tthe old man\nu\t1\t-1\tthe old\nu\t2\t-2\tthe old man\n"
    )
    assert rnnlm("score -m out --pairs pairs.csv --json").json
    assert rnnlm("inspect", "gates", "-m", "out", "the old man").rows
    assert rnnlm("export -m out --hf hf").code == 0
    assert rnnlm("rescore -m out --tune list.tsv").code == 0
    with client_of({"out": "out"}) as client:
        assert client.post("/next", "out", text="the old ")["next"]
    fine = "train text.txt --init-from out --holdout 0 --budget 5steps --precision fp32 -o fine"
    assert rnnlm(fine).code == 0
    assert library.load("fine").logprob_nats("the dog") > -np.inf
    assert rnnlm("train text.txt --model ngram --holdout 0 -o other").code == 0
    assert "ppl_token is not compared" in rnnlm("compare out other --on text.txt").err


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Embedding(9, 4)
        self.transformer_encoder = nn.TransformerEncoderLayer(4, 1, 4)


class Qrnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Embedding(9, 4), nn.Linear(4, 9)
        self.rnns = nn.ModuleList([nn.ModuleDict({"linear": nn.Linear(4, 12)})])


class Split(RNNModel):
    def __init__(self):
        super().__init__()
        self.tail_vectors = nn.Parameter(torch.zeros(1, 10))


def scripted(model, path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", b"")
        archive.writestr("model/constants.pkl", b"")


def cut_off(model, path):
    torch.save(model, path)
    path.write_bytes(path.read_bytes()[:-99])


@pytest.mark.parametrize(
    "model, given, said",
    [
        (RNNModel, {"words": WORDS[1:]}, "vocab.txt has 8 words, the embedding 9 rows"),
        (RNNModel, {"words": [*WORDS[:2], "end", *WORDS[3:]]}, "it has no <eos>"),
        (RNNModel, {"words": ["</s>", *WORDS[1:]]}, "both <eos> and </s>"),
        (RNNModel, {"words": [*WORDS[:-1], "\udce9"]}, "not UTF-8"),
        (RNNModel, {"save": scripted}, "a TorchScript archive"),
        (RNNModel, {"save": cut_off}, "the end of the archive is missing"),
        (RNNModel, {"save": lambda model, path: torch.save(torch.ones(2), path)}, "no named"),
        (RNNModel, {"save": lambda model, path: torch.save({"w": torch.ones(2)}, path)}, "no model"),
        (lambda: RNNModel("RNN_RELU"), {"save": FORMS["state"]}, "which activation"),
        (Transformer, {}, "holds a Transformer"), (Qrnn, {}, "holds a QRNN"),
        (Split, {}, "softmax is split"),
    ],
)  # fmt: skip
def test_other_files_are_refused(imported, model, given, said):
    ended = imported(model(), **given)
    assert ended.code != 0 and said in " ".join(ended.err.split()), ended.err


def test_options_that_do_not_fit_a_file_are_refused(rnnlm, imported, here):
    assert imported(RNNModel("RNN_RELU"), "--activation", "relu", save=FORMS["state"]).code == 0
    ended = imported(RNNModel(), "--activation", "relu", "--overwrite")
    checked_error(ended, 2, "--activation is not for model.pt")
    checked_error(rnnlm("import model.pt -o new"), 2, "model.pt has no words")
    refused = "--quantize is for an ARPA file, which model.pt is not"
    checked_error(imported(RNNModel(), "--quantize", 8), 2, refused)
    (here / "m.arpa").write_text("")
    refused = "--vocab is for a PyTorch file, which m.arpa is not"
    checked_error(rnnlm("import m.arpa -o new --vocab vocab.txt"), 2, refused)
    ended = rnnlm("import no.pt -o new --vocab vocab.txt")
    assert ended.code and "cannot read no.pt" in ended.err


# ---- Files that hold several networks, or one that is saved in another way.


def changed(model, by):
    """Return the state of a model whose weights are all `by` larger."""
    return {name: weight + by for name, weight in model.state_dict().items()}


PAIRS = {
    "model and ema": lambda model: {"model": model.state_dict(), "ema": changed(model, 0.1)},
    "best": lambda model: {"state_dict": model.state_dict(), "best_state_dict": changed(model, 0.1)},
    "list": lambda model: [model.state_dict(), changed(model, 0.1)],
    "within": lambda model: model.state_dict() | {
        f"ema.{name}": weight for name, weight in changed(model, 0.1).items()
    },
}  # fmt: skip


@pytest.mark.parametrize("form", PAIRS)
def test_one_of_two_networks_is_chosen_by_name(rnnlm, imported, form):
    model = RNNModel()
    names = {"best": "state_dict, best_state_dict", "list": "0, 1", "within": "., ema"}
    named = names.get(form, "model, ema")
    ended = imported(PAIRS[form](model))
    checked_error(ended, 1, "model.pt holds 2 networks")
    assert f"why: {named}" in ended.err
    first, second = named.split(", ")
    assert f"--part {first}" in ended.err
    expected = [logprob(model)]
    model.load_state_dict(changed(model, 0.1))
    expected.append(logprob(model))
    for part, number in zip((first, second), expected, strict=True):
        command = f"import model.pt --vocab vocab.txt --overwrite -o out --part {part}"
        assert rnnlm(command).code == 0
        assert library.load("out").logprob_nats(LINE) == pytest.approx(number, rel=1e-5)
    ended = rnnlm("import model.pt --vocab vocab.txt -o new --part x")
    checked_error(ended, 1, "model.pt holds no network called 'x'")


def test_equal_networks_are_one_and_parts_of_one_do_not_count(imported):
    model = RNNModel()
    state = model.state_dict()
    copies = {name: weight.clone() for name, weight in state.items()}
    halves = {name: weight for name, weight in state.items() if "decoder" not in name}
    other = dict(copies) | {"decoder.weight": torch.ones(9, 3)}
    for beside in (copies, halves, other):
        held = {"first": beside, "model": state}
        ended = imported(held, "--overwrite")
        assert ended.code == 0, ended.err
        assert library.load("out").logprob_nats(LINE) == pytest.approx(logprob(model), rel=1e-5)


@pytest.mark.parametrize("kind, layers, bias", [
    ("LSTM", 2, False), ("GRU", 1, False), ("RNN_TANH", 1, False), ("LSTM", 1, True),
])  # fmt: skip
def test_missing_biases_are_zero(imported, kind, layers, bias):
    model = RNNModel(kind, layers)
    for name in [name for name, _ in model.rnn.named_parameters() if "bias" in name]:
        getattr(model.rnn, name).data.zero_()
    model.decoder.bias.data.zero_()
    expected = logprob(model)
    kept = {
        name: weight
        for name, weight in model.state_dict().items()
        if "bias" not in name or (bias and "rnn" in name)
    }
    given = ["--activation", "tanh"] if kind == "RNN_TANH" else []
    ended = imported(kept, *given)
    assert ended.code == 0, ended.err
    assert library.load("out").logprob_nats(LINE) == pytest.approx(expected, rel=1e-5)


def test_bfloat16_is_read(imported):
    model = RNNModel().bfloat16()
    assert imported(model).code == 0
    expected = logprob(model.float())
    assert library.load("out").logprob_nats(LINE) == pytest.approx(expected, rel=1e-5)


class Dropping(nn.Module):
    """Weight drop as a parametrisation."""

    def forward(self, weight):
        return nn.functional.dropout(weight, 0.5, self.training)


class Parametrised(RNNModel):
    """A model whose recurrent weight is parametrised, as a whole module holds it."""

    def __init__(self, change):
        super().__init__(layers=1)
        self.rnn = nn.Module()
        for name, weight in RNNModel(layers=1).rnn.named_parameters():
            self.rnn.register_parameter(name, weight)
        weight = self.rnn._parameters.pop("weight_hh_l0")
        changes = [change] if isinstance(change, nn.Module) else change
        held = nn.utils.parametrize.ParametrizationList(changes, weight)
        self.rnn.parametrizations = nn.ModuleDict({"weight_hh_l0": held})


def test_weight_drop_of_today_is_read_where_it_is_known(rnnlm, imported):
    expected = logprob(RNNModel(layers=1))
    for change in ([Dropping()], [nn.Dropout(0.5)]):
        ended = imported(Parametrised(change).eval(), "--overwrite")
        assert ended.code == 0, ended.err
        assert library.load("out").logprob_nats(LINE) == pytest.approx(expected, rel=1e-5)

    # A state does not say what changes the weight; a whole module may say another thing.
    refused = "a weight that is parametrised, as dropout, softplus and orthogonal leave it alike"
    refused = f"model.pt holds {refused}"
    checked_error(imported(Parametrised([nn.Softplus()]).eval(), "--overwrite"), 1, refused)
    ended = imported(Parametrised([Dropping()]), "--overwrite", save=FORMS["state"])
    checked_error(ended, 1, refused)
    assert "try: if it is the weight drop of awd-lstm-lm: --weight-drop" in ended.err
    assert rnnlm("import model.pt --vocab vocab.txt -o new --weight-drop").code == 0
    assert library.load("new").logprob_nats(LINE) == pytest.approx(expected, rel=1e-5)


def without(name):
    """Return a function that saves the state of a model without the tensors of one layer."""
    return lambda model, path: torch.save(
        {key: weight for key, weight in model.state_dict().items() if name not in key}, path
    )


class Odd(RNNModel):
    """A model with a recurrent layer of another form."""

    def __init__(self, **options):
        super().__init__()
        self.rnn = nn.LSTM(12, 10, **options)


class Mixed(nn.Module):
    """Elman layers of two activations."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Embedding(len(WORDS), 4), nn.Linear(4, len(WORDS))
        self.rnns = nn.ModuleList([nn.RNN(4, 4), nn.RNN(4, 4, nonlinearity="relu")])


@pytest.mark.parametrize("model, save, said", [
    (lambda: Odd(proj_size=3), torch.save, "an LSTM with projections"),
    (lambda: Odd(bidirectional=True), FORMS["state"], "a network of two directions"),
    (lambda: RNNModel(layers=3), without("_l1"), "lacks layer 1"),
    (AwdModel, without("rnns.1."), "lacks rnns.1"),
    (Mixed, torch.save, "layers of relu and tanh"),
])  # fmt: skip
def test_other_networks_are_refused_by_what_they_are(imported, model, save, said):
    ended = imported(model(), save=save)
    assert ended.code == 1 and said in " ".join(ended.err.split()), ended.err


def test_a_safetensors_file_says_what_to_do(rnnlm, here):
    save_file(RNNModel().state_dict(), here / "model.safetensors")
    (here / "vocab.txt").write_text("\n".join([*WORDS, ""]))
    ended = rnnlm("import model.safetensors --vocab vocab.txt -o out")
    checked_error(ended, 1, "model.safetensors is a safetensors file")
    assert "try: torch.save(" in ended.err


# ---- Damaged and hostile files. Nothing that they name runs, and memory stays small.


def test_a_flipped_bit_is_noticed(imported, here):
    def flipped(model, path):
        torch.save(model.state_dict(), path)
        data = bytearray(path.read_bytes())
        data[data.index(model.decoder.weight.detach().numpy().tobytes()) + 3] ^= 0x40
        path.write_bytes(data)

    ended = imported(RNNModel(), save=flipped)
    assert ended.code == 1 and "the checksum of" in ended.err


MANY = {  # operations that take most memory for their bytes
    "dictionaries": (b"", b"}"), "lists": (b"", b"]"), "marks": (b"", b"("), "names": (b"", b"ca\nb\n"),
    "memo": (b"N", b"\x94"), "tuples": (b"N", b"\x85"), "objects": (b"ca\nb\n\x94", b"h\0)\x81}b"),
    "texts": (b"", b"\x8c\x01a"), "numbers": (b"", b"\x8a\x08" + b"\x7f" * 8), "twice": (b"N", b"2"),
}  # fmt: skip


@pytest.mark.parametrize("content", MANY)
def test_what_a_pickle_may_make_is_bounded(here, content, monkeypatch):
    monkeypatch.setattr(Charged, "left", MOST_MEMORY // 50)  # a fiftieth of all, for speed
    start, unit = MANY[content]
    size = reading.MOST_BYTES // 50 - len(start) - 2
    (here / "forged").write_bytes(b"\x80\x04" + start + unit * (size // len(unit)) + b".")
    tracemalloc.start()
    with pytest.raises(ModelError, match="than the limit of 200 MB"):
        read_torch(here / "forged")
    assert tracemalloc.get_traced_memory()[1] < 250_000_000 // 50
    tracemalloc.stop()


def test_a_list_of_600000_words_is_read(here, monkeypatch):
    monkeypatch.setattr(Charged, "left", MOST_MEMORY // 50)
    for protocol in (2, 4):
        words = [f"word-{number:06}" for number in range(600_000 // 50)]
        (here / "words").write_bytes(pickle.dumps(words, protocol))
        assert read_words(here / "words") == words


def test_the_limit_of_a_pickle_is_said(here, monkeypatch):
    monkeypatch.setattr(reading, "MOST_BYTES", 1 << 12)
    (here / "long").write_bytes(pickle.dumps(list(range(3000))))
    torch.save(list(range(3000)), here / "long.pt")
    for name in ("long", "long.pt"):
        with pytest.raises(ModelError, match="more than the limit of 4,096 bytes"):
            read_torch(here / name)


TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\n((S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI%d\ntQ"
)
CALLS = [
    Reduced(os.system, "touch ran"), Reduced(eval, "open('ran', 'w')"),
    Reduced(exec, "open('ran', 'w')"), Reduced(subprocess.Popen, ["touch", "ran"]),
    Reduced(importlib.import_module, "antigravity"), Reduced(getattr, "a", "upper"),
    Reduced(builtins.open, "ran", "w"), Reduced(operator.attrgetter, "a"),
]  # fmt: skip
RAW = {
    "class": b"cevil\nRNNModel\n(S'x'\ntR.",
    "dotted": b"ctorch.nn.modules\nos.system\n(S'touch ran'\ntR.",
    "deep": b"(" * 100_000 + b"b.",
    "deep key": b"}(" + b"N" + b"\x85" * 200_000 + b"Nu.",
    "memo": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "bytes": b"\x80\x05\x96\0\0\0\0\x10\0\0\0.",
    "stack": b"ccollections\nOrderedDict\n)R}(S'__class__'\nI1\nub.",
    "shape": TENSOR % 4 + b"I0\n(I1000000000\nt(I1\nttR.",
    "stride": TENSOR % 4 + b"I0\n(I2\nt(I9\nttR.",
    "broadcast": TENSOR % 4 + b"I0\n(I1000000000\nI1000000000\nt(I0\nI0\nttR.",
    "offset": TENSOR % 4 + b"I-1\n(I2\nt(I1\nttR.",
    "storage": TENSOR % 1_000_000_000 + b"I0\n(I2\nt(I1\nttR.",
    "self": b"}(S'dictionary'\n\x94",
}


@pytest.mark.parametrize("content", [*CALLS, *RAW.values()], ids=[*range(len(CALLS)), *RAW])
def test_hostile_files_run_nothing(here, content):
    data = pickle.dumps({"encoder.weight": content}, 2)
    if isinstance(content, bytes):
        data = b"\x80\x02" + content
    with zipfile.ZipFile(here / "h.pt", "w") as archive:
        archive.writestr("a/data.pkl", data)
        archive.writestr("a/data/0", bytes(16))
    (here / "h.pickle").write_bytes(data)
    tracemalloc.start()
    for name in ("h.pt", "h.pickle"):
        with pytest.raises(ModelError), naming(here / name):
            file = read_torch(here / name)
            for _, part in file.parts():
                if isinstance(part, Tensor):
                    file.array(part)
            raise ModelError("it has no weights")
        with pytest.raises((ModelError, TextError)):
            read_words(here / name)
    assert tracemalloc.get_traced_memory()[1] < 100_000_000
    tracemalloc.stop()
    assert not (here / "ran").exists() and "antigravity" not in sys.modules
