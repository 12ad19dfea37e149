"""Model folders: files missing, cut off, swapped, linked elsewhere, claiming too much,
contradicting each other."""

import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np

from support.hostile.cases import (
    Bad,
    Maker,
    arrays,
    config,
    copy,
    edited,
    header,
    model,
    recorded,
    weights_file,
)


class _Bomb:
    """Unpickled, it would leave a file behind."""

    def __reduce__(self):
        return (open, ("hacked", "w"))


PICKLE = pickle.dumps(_Bomb())


def write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (weights_file(folder) if name == "weights" else folder / name).unlink()


def link(name: str, target: str) -> Callable[[Path], None]:
    """Replace what is at `name` by a link."""

    def damage(folder: Path) -> None:
        path = weights_file(folder) if name == "weights" else folder / name
        if target == "moved":
            path.rename(folder.parent / "elsewhere")
            path.symlink_to(folder.parent / "elsewhere")
        else:
            path.unlink(missing_ok=True)
            path.symlink_to(target)

    return damage


def renamed(new: str) -> Callable[[Path], None]:
    """Give the weights another name in config.json."""

    def change(content):
        name = next(name for name, entry in content["files"].items() if entry["role"] == "weights")
        content["files"][new] = content["files"].pop(name)

    return config(change)


def unnamed(ending: str) -> Callable[[Path], None]:
    """Remove the file with this ending from config.json."""

    def change(content):
        del content["files"][next(name for name in content["files"] if name.endswith(ending))]

    return config(change)


def setting(**values) -> Callable[[Path], None]:
    return config(lambda content: content["settings"].update(values))


def tokenizer(**values) -> Callable[[Path], None]:
    return config(lambda content: content["tokenizer"].update(values))


def entry(**values) -> Callable[[Path], None]:
    """Change the first entry of the weights' header."""

    def change(entries):
        first = next(name for name in entries if name != "__metadata__")
        entries[first].update(values)

    return header(change)


def first_array(change) -> Callable[[Path], None]:
    """Change the first array of floating-point numbers."""

    def each(found):
        name = next(name for name, array in found.items() if array.dtype.kind == "f")
        found[name] = change(found[name])

    return arrays(each)


def filled(value: float) -> Callable[[Path], None]:
    return first_array(lambda array: np.full_like(array, value))


def swapped_files(folder: Path) -> None:
    """Exchange weights and vocabulary."""
    one, other = weights_file(folder), folder / "vocab.txt"
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second), other.write_bytes(first)
    recorded(folder, one.name), recorded(folder, other.name)


def long_header(size: int) -> Callable[[Path], None]:
    return edited("weights", lambda data: size.to_bytes(8, "little") + data[8:])


ANY = {
    "config.json missing": ("no model at m", remove("config.json")),
    "config.json cut off": ("the model at m is damaged", lambda folder: write("config.json",
        (folder / "config.json").read_bytes()[:100])(folder)),
    "config.json empty": ("the model at m is damaged", write("config.json", b"")),
    "config.json of NULs": ("the model at m is damaged", write("config.json", bytes(1000))),
    "config.json in UTF-16": ("the model at m is damaged",
                              write("config.json", "{}".encode("utf-16"))),
    "config.json an array": ("the model at m is damaged", write("config.json", b"[1, 2]")),
    "config.json a nest of arrays": ("the model at m is damaged",
                                     write("config.json", b"[" * 1_000_000)),
    "config.json a nest that closes": ("the model at m is damaged",
                                       write("config.json", b"[" * 100_000 + b"]" * 100_000)),
    "config.json a pickle": ("the model at m is damaged", write("config.json", PICKLE)),
    "config.json with a number of 10000 digits": ("the model at m is damaged",
                                                  write("config.json",
                                                        b'{"step": ' + b"9" * 10_000 + b"}")),
    "config.json without end": ("", link("config.json", "/dev/zero")),
    "config.json too large": ("the model at m is damaged", write("config.json", b" " * (17 << 20))),
    "config.json a folder": ("no model at m", lambda folder: ((folder / "config.json").unlink(),
        (folder / "config.json").mkdir()) and None),
    "no files": ("the model at m is damaged", config(lambda content: content.update(files={}))),
    "files are a list": ("the model at m is damaged",
                         config(lambda content: content.update(files=[1]))),
    "settings are a number": ("the model at m is damaged",
                              config(lambda content: content.update(settings=3))),
    "a newer format": ("the model at m has format 99",
                       config(lambda content: content.update(format_version=99))),
    "a format of NaN": ("the model at m is damaged",
                        config(lambda content: content.update(format_version=float("nan")))),
    "a format of text": ("the model at m is damaged",
                         config(lambda content: content.update(format_version="\x1b[31m"))),
    "an unknown model": ("the model at m is damaged",
                         config(lambda content: content.update(model="\x1b[2Jtransformer"))),
    "another family's model": ("the model at m is damaged",
                               config(lambda content: content.update(model="jordan"))),
    "a path out of the folder": ("the model at m is damaged", renamed("../outside.safetensors")),
    "an absolute path": ("the model at m is damaged", renamed("/etc/passwd")),
    "a path with terminal escapes": ("the model at m is damaged",
                                     renamed("\x1b]0;owned\x07.safetensors")),
    "a name with NUL": ("the model at m is damaged", renamed("weights\0.safetensors")),
    "a name that is too long": ("the model at m is damaged", renamed("w" * 300)),
    "a name that is empty": ("the model at m is damaged", renamed("")),
    "weights missing": ("the model at m is damaged", remove("weights")),
    "weights empty": ("the model at m is damaged", edited("weights", lambda data: b"")),
    "weights cut off": ("the model at m is damaged",
        lambda folder: weights_file(folder).write_bytes(weights_file(folder).read_bytes()[:-10]) and None),
    "weights cut off, and so recorded": ("the model at m is damaged",
                                         edited("weights", lambda data: data[:-10])),
    "weights of zeros": ("the model at m is damaged",
                         edited("weights", lambda data: bytes(len(data)))),
    "weights a pickle": ("the model at m is damaged", edited("weights", lambda data: PICKLE)),
    "weights a link elsewhere": ("the model at m is damaged", link("weights", "moved")),
    "weights a link to a device": ("the model at m is damaged", link("weights", "/dev/zero")),
    "weights swapped with the vocabulary": ("the model at m is damaged", swapped_files),
    "a length that is negative": ("the model at m is damaged",
        config(lambda content: [each.update(bytes=-1) for each in content["files"].values()] and None)),
    "a length of 10^30": ("the model at m is damaged",
        config(lambda content: [each.update(bytes=10**30) for each in content["files"].values()] and None)),
    "a header of 2^63 bytes": ("the model at m is damaged", long_header(2**63)),
    "a header of 90 MB": ("the model at m is damaged", long_header(90 << 20)),
    "a header of 0 bytes": ("the model at m is damaged", long_header(0)),
    "a header that is no JSON": ("the model at m is damaged", header(lambda entries: b"\xff" * 64)),
    "a header that is a nest of arrays": ("the model at m is damaged",
                                          header(lambda entries: b"[" * 100_000 + b"]" * 100_000)),
    "a header that is an array": ("the model at m is damaged", header(lambda entries: b"[1,2]")),
    "a header of 20,000 entries": ("the model at m is damaged", header(lambda entries: {
        f"\x1b{n}": {"dtype": "F32", "shape": [0],
                     "data_offsets": [0, 0]} for n in range(20_000)})),
    "an unknown type": ("the model at m is damaged", entry(dtype="F8\x1b[31m")),
    "a shape of 10^18": ("the model at m is damaged", entry(shape=[10**18])),
    "a shape that overflows": ("the model at m is damaged", entry(shape=[2**32, 2**32])),
    "a negative shape": ("the model at m is damaged", entry(shape=[-1, -1])),
    "a shape of 100 dimensions": ("the model at m is damaged", entry(shape=[1] * 100)),
    "a shape of NaN": ("the model at m is damaged", entry(shape=[float("nan")])),
    "negative offsets": ("the model at m is damaged", entry(data_offsets=[-8, 0])),
    "offsets beyond the file": ("the model at m is damaged", entry(data_offsets=[0, 2**62])),
    "no arrays": ("the model at m is damaged",
                  arrays(lambda found: {"nothing": np.zeros(1, np.float32)})),
    "an array too many": ("the model at m is damaged",
                          arrays(lambda found: {**found, "one\x1b[31m": np.zeros(1, np.float32)})),
    "an array of another type": ("the model at m is damaged",
                                 first_array(lambda array: array.astype(np.int32))),
    "an array of another shape": ("the model at m is damaged",
                                  first_array(lambda array: array.reshape(1, -1))),
    "vocabulary missing": ("the model at m is damaged", remove("vocab.txt")),
    "vocabulary empty": ("the model at m is damaged", edited("vocab.txt", lambda data: b"")),
    "vocabulary cut off": ("the model at m is damaged",
                           edited("vocab.txt", lambda data: data[:50])),
    "vocabulary not UTF-8": ("the model at m is damaged",
                             edited("vocab.txt", lambda data: data[:-2] + b"\xff\n")),
    "vocabulary with a symbol twice": ("the model at m is damaged", edited("vocab.txt",
        lambda data: data + data[-20:].split(b"\n")[-2] + b"\n")),
    "vocabulary with a count of 5000 digits": ("the model at m is damaged",
                                               edited("vocab.txt",
                                                      lambda data: b"9" * 5000 + data)),
    "vocabulary with a negative count": ("the model at m is damaged",
                                         edited("vocab.txt", lambda data: b"-" + data)),
    "vocabulary with an unknown escape": ("the model at m is damaged",
                                          edited("vocab.txt",
                                                 lambda data: data + b"1\t\\q\x1b[31m\n")),
    "vocabulary without </s>": ("the model at m is damaged",
                                edited("vocab.txt", lambda data: data.replace(b"</s>", b"<xx>"))),
    "vocabulary of one word more": ("the model at m is damaged",
                                    edited("vocab.txt", lambda data: data + b"1\tzorp\n")),
    "vocabulary a link elsewhere": ("the model at m is damaged", link("vocab.txt", "moved")),
    "another tokenizer": ("the model at m is damaged", tokenizer(tokenizer="\x1b[31mbpe")),
    "another tokenizer that there is": ("the model at m is damaged",
                                        tokenizer(tokenizer="sentencepiece")),
    "tokenizer settings of a wrong type": ("the model at m is damaged", tokenizer(lowercase=3)),
    "files missing": ("the model at m is damaged",
                      config(lambda content: content.pop("files") and None)),
    "no weights named": ("the model at m is damaged", unnamed(".safetensors")),
    "no vocabulary named": ("the model at m is damaged", unnamed("vocab.txt")),
    "a name of dots": ("the model at m is damaged", renamed("..")),
    "weights a folder": ("the model at m is damaged",
                         lambda folder: ((path := weights_file(folder)).unlink(),
                                         path.mkdir()) and None),
    "weights longer": ("the model at m is damaged",
                       edited("weights", lambda data: data + b"x", in_config=False)),
    "an array too few": ("the model at m is damaged",
                         arrays(lambda found: found.pop(next(iter(found))) is None)),
}  # fmt: skip
NETWORK = {
    "NaN": ("the model at m is damaged", filled(float("nan"))),
    "infinity": ("the model at m is damaged", filled(float("inf"))),
    "numbers that overflow": (
        "the model's scores are not numbers",
        arrays(lambda found: {name: np.full_like(array, 3e38) for name, array in found.items()}),
    ),
    "a width that the weights do not have": ("the model at m is damaged", setting(hidden_size=9)),
    "a width of 10^9": ("the model at m is damaged", setting(hidden_size=10**9)),
    "a width of 10^30": ("the model at m is damaged", setting(hidden_size=10**30)),
    "a million layers": ("the model at m is damaged", setting(layers=1_000_000)),
    "a width below zero": ("the model at m is damaged", setting(hidden_size=-1)),
    "a width in words": ("the model at m is damaged", setting(hidden_size="many")),
    "a hundred layers": ("the model at m is damaged", setting(layers=100)),
    "a bias of NaN": ("the model at m is damaged", setting(forget_bias=float("nan"))),
    "a width of NaN": ("the model at m is damaged", setting(hidden_size=float("nan"))),
    "a dropout of 1e400": ("the model at m is damaged", setting(dropout_output=float("inf"))),
    "an output layer that there is not": (
        "the model at m is damaged",
        setting(output_layer="\x1b[31m"),
    ),
}


NGRAM = {
    "NaN": ("the model", filled(float("nan"))),
    "infinity": ("the model", filled(float("inf"))),
    "positive log-probabilities": ("the model", filled(5.0)),
    **{name: ANY[name] for name in ("weights cut off, and so recorded", "weights a pickle",
                                    "a shape of 10^18", "an array of another type",
                                    "an array of another shape", "vocabulary of one word more",
                                    "no arrays")},
}  # fmt: skip


def below(name: str, damage: Callable[[Path], None]) -> Callable[[Path], None]:
    """Damage a model inside the model's folder."""
    return lambda folder: damage(folder / name)


def part(change) -> Callable[[Path], None]:
    return config(lambda content: change(content["parts"]) and None)


MIXTURE = {
    "no parts": ("the model at m is damaged", config(lambda content: content.update(parts=[]))),
    "a part missing": ("part 1 of the mixture at m is missing",
                       part(lambda parts: parts[0].update(path="nowhere") or True)),
    "a part that is itself": ("part 1 of the mixture at m has changed",
                              part(lambda parts: parts[0].update(path=".") or True)),
    "a part that has changed": ("part 1 of the mixture at m has changed",
        part(lambda parts: parts[0].update(fingerprint="0" * 12) or True)),
    "a part with terminal escapes": ("part 1 of the mixture at m is missing",
                                     part(lambda parts: parts[0].update(path="\x1b[2J") or True)),
    "a part with NUL": ("part 1 of the mixture at m is missing",
                        part(lambda parts: parts[0].update(path="a\0b") or True)),
    "a part more": ("the model at m is damaged",
                    part(lambda parts: parts.append(parts[0]) or True)),
    "weights that are negative": ("the model at m is damaged", filled(-1.0)),
    "weights of NaN": ("the model at m is damaged", filled(float("nan"))),
    "weights of 1e308": ("the model at m is damaged", filled(1e308)),
    "a part whose weights are cut off": ("the model at ",
                                         below("part-1",
                                               edited("weights", lambda data: data[:-10],
                                                      in_config=False))),
    "a part that is a pickle": ("the model at ",
                                below("part-1",
                                      edited("weights", lambda data: PICKLE, in_config=False))),
}  # fmt: skip
SUBWORDS = {
    "tokenizer.model missing": ("the model at m is damaged", remove("tokenizer.model")),
    "tokenizer.model empty": (
        "the model at m is damaged",
        edited("tokenizer.model", lambda data: b""),
    ),
    "tokenizer.model of noise": (
        "the model at m is damaged",
        edited("tokenizer.model", lambda data: bytes(range(256)) * 40),
    ),
    "tokenizer.model cut off": (
        "the model at m is damaged",
        edited("tokenizer.model", lambda data: data[: len(data) // 2]),
    ),
    "tokenizer.model a pickle": (
        "the model at m is damaged",
        edited("tokenizer.model", lambda data: PICKLE),
    ),
    "tokenizer.model of the vocabulary": (
        "the model at m is damaged",
        edited("tokenizer.model", lambda data: b"1\ta\n" * 300),
    ),
}


def tuned(**changes) -> Callable[[Path], None]:
    whole = {"kind": "dynamic", "settings": {"adaptation_rate": 0.1}, "format_version": 1}
    return write("adapt-dynamic.json", json.dumps({**whole, **changes}).encode())


ADAPTED = {
    "unknown settings": ("the settings in m/adapt-dynamic.json are damaged",
                         tuned(settings={"\x1b[31m": 1})),
    "a link to a device": ("", link("adapt-dynamic.json", "/dev/zero")),
    "statistics a pickle": ("the gradient statistics in m/adapt-dynamic.safetensors are damaged",
                            lambda folder: (tuned(settings={"adaptation_rule": "rms"})(folder),
                                            write("adapt-dynamic.safetensors",
                                PICKLE)(folder)) and None),
}  # fmt: skip
COMMANDS = {
    "generate": "generate -m m", "eval": "eval -m m {valid}",
    "compare": "compare {unigram} m --on {valid}",
    "mix": "mix {unigram} m --weights 0.5,0.5 -o out",
    "mix, bundle": "mix {unigram} m --weights 0.5,0.5 --bundle -o out",
    "mix, static": "mix {ngram} m --static --weights 0.5,0.5 -o out",
    "tune": "tune -m m+unigram --on {valid}", "rescore": "rescore -m m --tune {nbest}",
    "export": "export -m m --vectors out", "prune": "prune -m m -o out --max-order 1",
        "train, init": "train {text} --init-from m --model lstm -o out",
    "train, tokenizer": "train {text} --tokenizer-from m --model unigram -o out",
    "count": "count {text} -m m -o out",
    "info": "info m", "import": "import {arpa} -o out --tokenizer-from m",
}  # fmt: skip
SCORE = "score -m m 'the man'"


def state(change: Callable[[Path], None]) -> Maker:
    """Copy the trained network with only its last checkpoint, and damage that."""

    def damage(folder: Path) -> None:
        for older in sorted((folder / "training").glob("state-*"))[:-2]:
            older.unlink()
        change(folder / "training")

    return model("lstm", damage)


def facts(place: Path, content: bytes) -> None:
    """Replace the checkpoint's facts, under the name that matches their hash."""
    path = next(place.glob("state-*.json"))
    path.unlink()
    path.with_name(
        f"{path.name.rpartition('-')[0]}-{hashlib.sha256(content).hexdigest()[:8]}.json"
    ).write_bytes(content)


STATES = {
    "missing": lambda place: next(place.glob("state-*.json")).unlink(),
    "empty": lambda place: facts(place, b""),
    "a nest of arrays": lambda place: facts(place, b"[" * 100_000),
    "arrays that are a pickle": lambda place: (
        next(place.glob("state-*.safetensors")).write_bytes(PICKLE) and None
    ),
}

# read by the library; some by a command:
LOADED = {"lstm": {**ANY, **NETWORK}, "ngram": NGRAM, "mixture": MIXTURE, "subwords": SUBWORDS}
ROWS = [Bad(f"model: {name}", SCORE, ANY[name][0], {"m": model("lstm", ANY[name][1])})
        for name in ("config.json missing", "config.json without end",
                     "a path with terminal escapes", "an unknown type",
            "a header of 90 MB",
                     "weights a link to a device", "an array too many",
                     "vocabulary with an unknown escape")]  # fmt: skip
ROWS += [Bad(f"model: {name}", SCORE, what, {"m": model(kind, damage)}) for kind, name,
         (what, damage) in (
    ("lstm", "numbers that overflow", NETWORK["numbers that overflow"]),
    ("ngram", "NaN", NGRAM["NaN"]),
    ("mixture", "a part with terminal escapes",
     MIXTURE["a part with terminal escapes"]))]  # fmt: skip
ROWS += [Bad(f"adaptation: {name}", "eval -m m+dynamic {valid}", what,
             {"m": model("lstm", damage)})
         for name, (what, damage) in ADAPTED.items()]  # fmt: skip
ROWS += [Bad(f"{how}: {name}", command, ANY[name][0], {"m": model("lstm", ANY[name][1])})
         for how,
         command in COMMANDS.items() for name in ("config.json cut off",
                                                  "a newer format")]  # fmt: skip
ROWS += [Bad(f"{how}: weights cut off", COMMANDS[how], "",
             {"m": model("lstm", ANY["weights cut off"][1])})
         for how in ("generate", "eval", "compare", "mix, bundle", "tune", "rescore", "export",
                     "train, init")]  # fmt: skip
RESUME = ("train {text} --valid {valid} --test {valid} --set hidden_size=8 --set embedding_size=8 "
          "--set batch_rows=4 --budget 30steps "
          "--precision fp32 --resume -o m")  # fmt: skip
ROWS += [Bad(f"resume: state {name}", RESUME, "", {"m": state(damage)},
             code=2 if name == "missing" else 1)
         for name, damage in STATES.items()]  # fmt: skip
ROWS += [
    *(Bad(f"doctor: {name}", "doctor m", None, {"m": model("lstm", ANY[name][1])}, code=1)
      for name in ("config.json cut off", "a newer format", "weights cut off", "weights a pickle",
                   "vocabulary empty",
          "a path with terminal escapes")),
    Bad("doctor: missing", "doctor nothere", "no model at nothere"),
    Bad("report: missing", "report nothere", "no model at nothere"),
    Bad("report: a suffix of no page", "report {lstm} -o curves.txt",
        "a report of runs cannot be written to curves.txt", code=2),
    Bad("model: missing", "score -m nothere x", "no model at nothere"),
    Bad("serve: missing", "serve -m nothere", "no model at nothere"),
    Bad("serve: a model that is cut off", "serve -m m --port 0", "",
        {"m": model("lstm", ANY["weights cut off"][1])}),
    Bad("serve: for everybody", "serve -m {lstm} --host 0.0.0.0", "other machines reach", code=2),
    Bad("serve: a short token", "serve -m {lstm} --token-file t", "the token in t is too short",
        {"t": b"secret"}, code=2),
    Bad("serve: a token of bytes", "serve -m {lstm} --token-file t", "the token in t is none",
        {"t": bytes(range(128, 160))}, code=2),
    Bad("model: a file", "score -m a.txt x", "no model at a.txt", {"a.txt": b"the man\n"}),
    Bad("model: an empty name", "score -m '' x --no-eos", None, code=0),
    Bad("model: a name that is too long", f"score -m {'m' * 300} x", "no model at mmm"),
    Bad("model: a name with terminal escapes", "score -m '\x1b[31mm' x", "no model at \\x1b[31mm"),
    Bad("model: a name with NUL", "score -m 'a\0b' x", "no model at a\\x00b"),
    Bad("model: a link to itself", "score -m m x", "no model at m",
        {"m": lambda path, models: path.symlink_to("m")}),
    Bad("model: a pickle by itself", "score -m m.pt x", "no model at m.pt", {"m.pt": PICKLE}),
    Bad("prune: no n-gram model", "prune -m {lstm} -o out --max-order 1", "the model", code=2),
    Bad("export: no n-gram model", "export -m {lstm} --arpa out", "this model has no ARPA form",
        code=2),
    Bad("mix: one model", "mix {lstm} --weights 1 -o out", "", code=2),
    Bad("mix, static: no n-gram model", "mix {ngram} {lstm} --static --weights 1,0 -o out", "",
        code=2),
    *(Bad(f"mix, static: {name}", COMMANDS["mix, static"], NGRAM[name][0],
          {"m": model("ngram", NGRAM[name][1])})
      for name in ("NaN", "infinity", "positive log-probabilities")),
    Bad("a model as a text", "eval -m {unigram} m", "m is a ", {"m": copy("unigram")}),
]  # fmt: skip
