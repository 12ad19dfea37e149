"""Model folders: files missing, cut off, swapped, claiming too much, contradicting each other."""

import hashlib
import shutil

import numpy as np
import pytest

import rnnlm
from rnnlm.errors import ModelError, RnnlmError
from rnnlm.storage.files.writing import write_facts
from rnnlm.training import card
from support.damages import (
    PICKLE,
    arrays,
    config,
    cut,
    edited,
    filled,
    first_array,
    link,
    place,
    remove,
    write,
)

pytestmark = pytest.mark.needs(
    "tasks/labelling", "tasks/seq2seq", "tools/mixtures", "tools/rescoring", "tools/serving"
)

NAN, INFINITE = float("nan"), float("inf")
NEST = b"[" * 100_000 + b"]" * 100_000
ESCAPE = "\x1b[31m"


def file(name=None, **values):
    """Change what config.json says of the weights: their name, or other values."""

    def change(content):
        weights = next(each for each in content["files"] if each.endswith(".safetensors"))
        entry = content["files"].pop(weights)
        if name != "unnamed":
            content["files"][weights if name is None else name] = {**entry, **values}

    return config(change)


def settings(**values):
    return config(lambda content: content["settings"].update(values))


def tokenizer(**values):
    return config(lambda content: content["tokenizer"].update(values))


def vocabulary(change):
    return edited("vocab.txt", change)


def folder(name):
    """Put a folder in the place of a file."""
    return lambda model: (remove(name)(model), (model / name).mkdir())


def exchange_weights_and_vocabulary(model):
    weights, words = place(model, "weights").read_bytes(), (model / "vocab.txt").read_bytes()
    edited("weights", lambda data: words)(model)
    edited("vocab.txt", lambda data: weights)(model)


def weights_outside(model):
    """Move the weights out of the folder, and name them there."""
    place(model, "weights").rename(model.parent / "outside.safetensors")
    file("../outside.safetensors")(model)


LSTM = {
    "config.json missing": remove("config.json"), "config.json cut off": cut("config.json", 100),
    "config.json empty": write("config.json", b""),
    "config.json of NULs": write("config.json", bytes(1000)),
    "config.json a nest of arrays": write("config.json", b"[" * 1_000_000),
    "config.json a nest that closes": write("config.json", NEST),
    "config.json a pickle": write("config.json", PICKLE),
    "config.json without end": link("config.json", "/dev/zero"),
    "config.json too large": write("config.json", b" " * (17 << 20)),
    "config.json a folder": folder("config.json"), "no files": config(files={}),
    "files are a list": config(files=[1]),
    "files missing": config(lambda content: content.pop("files")),
    "a newer format": config(format_version=99), "an older format": config(format_version=0),
    "no format": config(lambda content: content.pop("format_version")),
    "a format of text": config(format_version=ESCAPE),
    "an unknown model": config(model="\x1b[2Jtransformer"),
    "another family's model": config(model="jordan"),
    "another tokenizer": tokenizer(tokenizer=ESCAPE),
    "tokenizer settings of a wrong type": tokenizer(lowercase=3),
    "no weights named": file("unnamed"), "a path out of the folder": weights_outside,
    "a name with terminal escapes": file("\x1b]0;owned\x07.safetensors"),
    "a name with NUL": file("weights\0.safetensors"), "a name that is too long": file("w" * 300),
    "a length of 10^30": file(bytes=10**30), "weights missing": remove("weights"),
    "weights cut off": cut("weights", -10),
    "weights cut off, and so recorded": edited("weights", lambda data: data[:-10]),
    "weights longer": lambda model: write("weights", place(model, "weights").read_bytes() + b"x")(
        model
    ),
    "weights a pickle": edited("weights", lambda data: PICKLE),
    "weights a link elsewhere": link("weights"),
    "weights a link to a device": link("weights", "/dev/zero"),
    "weights a folder": lambda model: folder(place(model, "weights").name)(model),
    "weights and vocabulary exchanged": exchange_weights_and_vocabulary,
    "a header of 90 MB": edited(
        "weights", lambda data: (90 << 20).to_bytes(8, "little") + data[8:]
    ),
    "no arrays": arrays(lambda found: {"nothing": np.zeros(1, np.float32)}),
    "an array too many": arrays(lambda found: {**found, f"one{ESCAPE}": np.zeros(1, np.float32)}),
    "an array too few": arrays(lambda found: dict(list(found.items())[1:])),
    "an array of another type": first_array(lambda array: array.astype(np.int32)),
    "an array of another shape": first_array(lambda array: array.reshape(1, -1)),
    "NaN": filled(NAN), "infinity": filled(INFINITE),
    "numbers that overflow": arrays(
        lambda found: {name: np.full_like(array, 3e38) for name, array in found.items()}
    ),
    "a width that the weights do not have": settings(hidden_size=9),
    "a width of 10^30": settings(hidden_size=10**30),
    "a width below zero": settings(hidden_size=-1), "a hundred layers": settings(layers=100),
    "a million layers": settings(layers=1_000_000), "a bias of NaN": settings(forget_bias=NAN),
    "an output layer that there is not": settings(output_layer=ESCAPE),
    "vocabulary missing": remove("vocab.txt"),
    "vocabulary unnamed": config(lambda content: content["files"].pop("vocab.txt")),
    "vocabulary empty": vocabulary(lambda data: b""),
    "vocabulary not UTF-8": vocabulary(lambda data: data[:-2] + b"\xff\n"),
    "a symbol twice": vocabulary(lambda data: data + data.splitlines()[-1] + b"\n"),
    "a symbol more": vocabulary(lambda data: data + b"1\tzorp\n"),
    "no </s>": vocabulary(lambda data: data.replace(b"</s>", b"<xx>")),
    "a count of 5000 digits": vocabulary(lambda data: b"9" * 5000 + data),
    "an unknown escape": vocabulary(lambda data: data + b"1\t\\q\x1b[31m\n"),
    "vocabulary a link elsewhere": link("vocab.txt"),
}  # fmt: skip
NGRAM = {name: LSTM[name] for name in (
    "NaN", "infinity", "weights cut off, and so recorded", "weights a pickle",
    "an array of another type", "an array of another shape", "no arrays", "a symbol more",
)}  # fmt: skip
NGRAM["facts above 1"] = filled(5.0)


def values_of(value):
    """Forge all log-probabilities and backoff weights of an n-gram model."""

    def change(found):
        forged = {name: np.full_like(found[name], value) for name in found if "values" in name}
        return {**found, **forged}

    return arrays(change)


NO_LOGPROBS = {
    "positive log-probabilities": values_of(5.0), "log-probabilities of 1e38": values_of(1e38),
    "log-probabilities of NaN": values_of(NAN),
}  # fmt: skip
NGRAM |= NO_LOGPROBS


def part(**values):
    return config(lambda content: content["parts"][0].update(values))


def in_a_part(damage):
    return lambda model: damage(model / "part-1")


MIXTURE = {
    "no parts": config(parts=[]),
    "a part more": config(lambda content: content["parts"].append(content["parts"][0])),
    "a part missing": part(path="nowhere"), "a part with terminal escapes": part(path="\x1b[2J"),
    "a part that is itself": part(path="."), "a part that has changed": part(fingerprint="0" * 12),
    "a part whose weights are cut off": in_a_part(cut("weights", -10)),
    "a part that is a pickle": in_a_part(write("weights", PICKLE)),
    "weights that are negative": filled(-1.0), "weights of NaN": filled(NAN),
}  # fmt: skip
SUBWORDS = {
    "missing": remove("tokenizer.model"),
    "cut off": edited("tokenizer.model", lambda data: data[: len(data) // 2]),
    "a pickle": edited("tokenizer.model", lambda data: PICKLE),
    "of the vocabulary": edited("tokenizer.model", lambda data: b"1\ta\n" * 300),
}
KINDS = {"lstm": LSTM, "ngram": NGRAM, "mixture": MIXTURE, "subwords": SUBWORDS}
CASES = [(kind, name) for kind, damages in KINDS.items() for name in damages]
DAMAGED = "the model at m is damaged"
OTHERWISE = {  # what is said of the others; all: DAMAGED
    "config.json missing": "no model at m", "config.json a folder": "no model at m",
    "config.json without end": "",
    "a newer format": "the model at m has format 99; this rnnlm reads formats up to 2",
    "an older format": "the model at m has format 0; this rnnlm reads formats up to 2",
    "numbers that overflow": "the model's scores are not numbers",
    "a part missing": "part 1 of the combination at m is missing",
    "a part with terminal escapes": "part 1 of the combination at m is missing",
    "a part that is itself": "part 1 of the combination at m has changed",
    "a part that has changed": "part 1 of the combination at m has changed",
    "a part whose weights are cut off": "the model at ", "a part that is a pickle": "the model at ",
}  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), CASES, ids=[ascii(": ".join(case)) for case in CASES])
def test_a_damaged_model_is_refused_with_its_name(there, here, watched, kind, name):
    shutil.copytree(there[kind], "m", symlinks=True)
    KINDS[kind][name](here / "m")
    # What it was trained on reads all of its tables.
    known, *_ = there["text"].read_text(encoding="utf-8").splitlines()
    with pytest.raises(RnnlmError) as caught:
        rnnlm.load("m").score_sentences(["the man", known])
    what = "the model" if kind == "ngram" else OTHERWISE.get(name, DAMAGED)
    assert caught.value.what.startswith(what) and "\n" not in str(caught.value)
    assert caught.value.why or name in ("a newer format", "an older format")
    assert not (here / "hacked").exists()


@pytest.mark.parametrize("name", [
    "an unknown model", "vocabulary missing", "a million layers", "config.json cut off",
    "a newer format", "weights cut off", "vocabulary empty",
])  # fmt: skip
def test_a_damaged_model_is_described_by_doctor_alone(harmless, there, here, name):
    shutil.copytree(there["lstm"], "m")
    LSTM[name](here / "m")
    if name != "weights cut off":  # which are not read here
        with pytest.raises(ModelError, match=OTHERWISE.get(name, DAMAGED)):
            card.describe("m")
    harmless("doctor m", code=1)


COMMANDS = {
    "score": "score -m m 'the man'", "generate": "generate -m m", "eval": "eval -m m {valid}",
    "compare": "compare {unigram} m --on {valid}",
    "mix": "mix {unigram} m --weights 0.5,0.5 --bundle -o out",
    "tune": "tune -m m+unigram --on {valid}", "rescore": "rescore -m m --tune {nbest}",
    "export": "export -m m --vectors out",
    "train": "train {text} --init-from m --model lstm -o out", "serve": "serve -m m --port 0",
    "mix, static": "mix {ngram} m --static --weights 0.5,0.5 -o out",
    "prune": "prune -m m -o out --max-order 1",
    "train, tokenizer": "train {text} --tokenizer-from m --model unigram -o out",
    "count": "count {text} -m m -o out", "import": "import {arpa} -o out --tokenizer-from m",
    "info": "info m",
}  # fmt: skip
WITHOUT_WEIGHTS = ("mix, static", "prune", "train, tokenizer", "count", "import", "info")


@pytest.mark.parametrize("how", COMMANDS)
def test_each_command_refuses_a_damaged_model(refused, there, here, how):
    shutil.copytree(there["lstm"], "m")
    whole = (here / "m/config.json").read_bytes()
    LSTM["a newer format"](here / "m")
    refused(COMMANDS[how], OTHERWISE["a newer format"])
    (here / "m/config.json").write_bytes(whole)
    if how not in WITHOUT_WEIGHTS:
        LSTM["weights cut off"](here / "m")
        refused(COMMANDS[how], DAMAGED)


@pytest.mark.parametrize("name", [
    "a name with terminal escapes", "an array too many", "an unknown escape",
    "config.json without end", "numbers that overflow",
])  # fmt: skip
def test_no_terminal_escape_of_a_model_is_shown(refused, typed, there, here, name):
    shutil.copytree(there["lstm"], "m")
    LSTM[name](here / "m")
    refused(COMMANDS["score"], OTHERWISE.get(name, DAMAGED))
    typed("doctor m")


@pytest.mark.parametrize("name", NO_LOGPROBS)
def test_forged_log_probabilities_are_not_evaluated(refused, there, here, name):
    """Tables are mapped, and not read when a model is opened: only the values in use are seen."""
    shutil.copytree(there["ngram"], "m")
    NO_LOGPROBS[name](here / "m")
    fault = "not numbers" if "NaN" in name else "above 0"
    for how in ("eval", "score", "compare", "rescore"):
        refused(COMMANDS[how], f"the model's scores are {fault}")


NAMES = {
    "nothere": "no model named 'nothere'", "a.txt": "no model at a.txt",
    "itself": "no model named 'itself'", "m" * 300: "no model named 'mmm",
    "\x1b[31mm": "no model named '\\x1b[31mm'", "a\0b": "no model named 'a\\x00b'",
}  # fmt: skip


@pytest.mark.system("links")
@pytest.mark.parametrize(("name", "what"), NAMES.items(), ids=map(ascii, NAMES))
def test_what_is_no_model_is_named(refused, here, name, what):
    (here / "a.txt").write_bytes(PICKLE)
    (here / "itself").symlink_to("itself")
    refused(f"score x -m '{name}'", what)


@pytest.mark.parametrize("command", ["doctor", "report", "serve -m"])
def test_each_command_names_what_is_no_model(refused, command):
    refused(f"{command} nothere", "no model named 'nothere'")


@pytest.mark.parametrize("name", ["NaN", "infinity", *NO_LOGPROBS])
def test_tables_of_no_probabilities_are_not_mixed(refused, there, here, name):
    shutil.copytree(there["ngram"], "m")
    NGRAM[name](here / "m")
    what = "the tables of m are damaged" if name in NO_LOGPROBS else "the model"
    refused(COMMANDS["mix, static"], what)


def adaptation(**changes):
    whole = {"kind": "dynamic", "settings": {"adaptation_rate": 0.1}, "format_version": 1}
    return lambda model: write_facts(model / "adapt-dynamic.json", {**whole, **changes})


@pytest.mark.system("proc")
def test_settings_of_an_adaptation_may_be_damaged_too(refused, there, here):
    shutil.copytree(there["lstm"], "m")
    adaptation(settings={ESCAPE: 1})(here / "m")
    refused("eval -m m+dynamic {valid}", "the settings in m/adapt-dynamic.json are damaged")
    adaptation(settings={"adaptation_rule": "rms"})(here / "m")
    write("adapt-dynamic.safetensors", PICKLE)(here / "m")
    what = "the gradient statistics in m/adapt-dynamic.safetensors are damaged"
    refused("eval -m m+dynamic {valid}", what)
    link("adapt-dynamic.json", "/dev/zero")(here / "m")
    refused("eval -m m+dynamic {valid}", "")


RESUME = (
    "train {text} --valid {valid} --test {valid} --set hidden_size=8 --set embedding_size=8 "
    "--set batch_rows=4 --set coupled_gates=false --budget 40steps --precision fp32 -o m"
)
STATES = {"missing": None, "empty": b"", "a nest of arrays": b"[" * 100_000, "a pickle": PICKLE}


@pytest.mark.parametrize("name", STATES)
def test_a_damaged_state_is_not_resumed(refused, there, here, name):
    shutil.copytree(there["lstm"], "m")
    for older in sorted((here / "m/training").glob("state-*"))[:-2]:
        older.unlink()
    facts = next((here / "m/training").glob("state-*.json"))
    content = STATES[name]
    if name == "a pickle":
        facts.with_suffix(".safetensors").write_bytes(content)
    else:
        facts.unlink()
    if name in ("empty", "a nest of arrays"):  # under the name that matches their hash
        digest = hashlib.sha256(content).hexdigest()[:8]
        facts.with_name(f"{facts.stem.rpartition('-')[0]}-{digest}.json").write_bytes(content)
    refused(RESUME, "m holds the model of this run, but" if name == "missing" else "cannot resume")


@pytest.mark.parametrize(("fact", "value"), [
    ("stopped", ["x"]), ("stopped", {}), ("steps", "9"), ("seconds", None), ("recipe", []),
    ("train_data", 1), ("identity", []), ("tokens_read", "x"), ("mixed", [1]),
    ("lines_in_train", {"x": "1"}), ("text", "x"), ("contextual", [1]), ("init_from", 1),
    ("joined", [{"model": "x", "weight": 1}]), ("mixed", [{"model": "x", "weight": "1"}]),
    ("weights", 1), ("ngrams", ["1"]), ("pruned", []),
])  # fmt: skip
@pytest.mark.parametrize("kind", ["lstm", "ngram"])
def test_facts_of_a_run_have_their_types(refused, there, here, kind, fact, value):
    shutil.copytree(there[kind], "m")
    config(lambda content: content["training"].update({fact: value}))(here / "m")
    for command in ("info m", "eval -m m {valid}", "score -m m 'the man'"):
        refused(command, DAMAGED)
