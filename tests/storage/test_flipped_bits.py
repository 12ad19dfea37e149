"""A bit that flips on the disk: what is in the folder is refused, or gives the same numbers.

All in one process. Of a folder below 20 KB each byte has one of its bits flipped, of a larger one
2,000 bits are drawn; without `-m soak`, a few.
"""

import random
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnlm
from rnnlm.errors import RnnlmError, RnnlmWarning
from rnnlm.lm.base import stored_model
from rnnlm.runs import train
from rnnlm.storage.files.lock import OWNER
from rnnlm.storage.files.outputs import GrowingFile
from rnnlm.storage.manifest import read_manifest
from rnnlm.text.corpus import Corpus
from rnnlm.text.lines import TextSettings
from rnnlm.tools.counting import counts_folder
from rnnlm.tools.counting.counted_data import of_folders, of_text
from rnnlm.tools.filtering.run import FilterRequest, run as run_filter
from rnnlm.tools.filtering.settings import FilterSettings
from rnnlm.tools.mixtures.adapted_model import TunedSettings, save_tuned
from rnnlm.tools.prepared import prepared_text
from support import tiny_seq2seq, tiny_tasks
from support.killed_runs import cut_off_after
from support.odd_inputs import put, quiet
from support.tiny_models import LINES, english_lines, fit, make_tokenizer, save

pytestmark = pytest.mark.needs(
    "tasks/labelling",
    "tasks/seq2seq",
    "tools/counting",
    "tools/filtering",
    "tools/mixtures",
    "tools/prepared",
)

SMALL_FOLDER = 20_000
MOST_FLIPS = 2_000
FEW = 12
FEW_TRAINED = 4  # of a run that is trained to its end each time

NETWORK = {"embedding_size": 4, "hidden_size": 4, "layers": 1}
PIECES = {"order": 2, "tokenizer": "sentencepiece", "vocab_size": 290}
PARTS = {"parts": [("unigram", {}), ("ngram", {"order": 2})], "weights": [0.5, 0.5]}
SENTENCES = ["the cat sat", "a dog zorp saw the cat", ""]


@dataclass(frozen=True)
class Kind:
    """A kind of folder: `make` writes one, `read` returns its content, or `resumes` work on it."""

    make: Callable[[Path], Any]
    read: Callable[[Path], Any]
    resumes: bool = False


def model_of(name: str, **settings: Any) -> Kind:
    def make(folder: Path) -> None:
        save(folder, fit(name, **settings), name, **settings)

    return Kind(make, scores)


def scores(folder: Path) -> Any:
    """Score sentences with the model, after looking at its facts."""
    manifest = read_manifest(folder)
    model = rnnlm.Model(stored_model.load(folder, "cpu")[0])
    return manifest.fingerprint, [repr(score) for score in model.score_sentences(SENTENCES)]


def make_adapted(folder: Path) -> None:
    manifest = save(folder, fit("lstm", **NETWORK), "lstm", **NETWORK)
    save_tuned(folder, TunedSettings("cache", {"cache_tokens": 30}, manifest.fingerprint))


def adapted_scores(folder: Path) -> Any:
    return [repr(score) for score in rnnlm.load(f"{folder}+cache").score_sentences(SENTENCES)]


def labeller(task: str) -> Kind:
    def make(folder: Path) -> None:
        tiny_tasks.save(folder, tiny_tasks.fit(task, "lstm"))

    return Kind(make, arrays_of_model)


def arrays_of_model(folder: Path) -> Any:
    """Return the weights of a model and its vocabulary."""
    model = stored_model.load(folder, "cpu")[0]
    files = {**model.tokenizer.to_files()}
    return files, {name: array.tobytes() for name, array in model.to_arrays().items()}


def text_file(folder: Path, lines: int = 40) -> Path:
    """Return a text beside the folder."""
    path = folder.parent / "text.txt"
    if not path.exists():
        path.write_text("\n".join(english_lines(lines)) + "\n", encoding="utf-8")
    return path


def make_prepared(folder: Path) -> None:
    for _ in rnnlm.prepare(text_file(folder), folder, workers=0):
        pass


def prepared_content(folder: Path) -> Any:
    """Return all that training and evaluation read of a prepared text."""
    text = prepared_text.load(folder)
    encoded = text.encode(text.tokenizer)
    ids = np.asarray(encoded.ids).tolist()
    per_line = [np.asarray(text.shards.line_counts(name)).tolist() for name in ("words", "bytes")]
    counts = (encoded.words, encoded.tokens, encoded.oov_words, encoded.characters, encoded.bytes)
    oov = np.asarray(text.shards.oov()).tolist()
    return ids, per_line, counts, oov, np.asarray(text.shards.line_offsets()).tolist()


def make_counts(folder: Path) -> None:
    folder.mkdir()
    text = Corpus.from_lines(LINES, TextSettings())
    tokenizer = make_tokenizer(LINES)
    with of_text(text, tokenizer, 3) as counted:
        counts_folder.save(folder, counted.levels, 3, counted.source, tokenizer, {"order": "3"})


def levels_of(counted: Any) -> Any:
    """Return the numbers of counts."""
    found = []
    for level in counted.levels:
        arrays = (level.keys_M, level.suffixes_M, level.counts_M)
        numbers = [np.asarray(array).tolist() for array in arrays]
        found.append((level.size, level.after_start, level.watched, numbers))
    return counted.order, counted.source, counted.tokenizer.symbols(), found


def counts_read(folder: Path) -> Any:
    with of_folders([str(folder)]) as counted:
        return levels_of(counted)


# ---- Folders of interrupted work, from which it resumes.

COUNTED = [f"w{number % 7} w{number % 5} w{number % 3}" for number in range(60)]


def count_below(folder: Path, orders: int | None = None) -> Any:
    """Count in a folder; stop after some orders."""
    text = Corpus.from_lines(COUNTED, TextSettings())
    with of_text(text, make_tokenizer(COUNTED), 3, "4G", str(folder)) as counted:
        if orders is None:
            return levels_of(counted)
        for _, _ in zip(range(orders), counted.levels, strict=False):
            pass
        raise Interrupted


class Interrupted(Exception):
    """Work was cut off."""


def make_half_counted(folder: Path) -> None:
    with pytest.raises(Interrupted):
        count_below(folder, 1)


ROWS = [f"{number} {'x' * (number % 5)}\n" for number in range(12)]
SCORING = {"model": "abc"}


def make_half_written(folder: Path) -> None:
    folder.mkdir()
    path = folder / "scores.tsv"
    growing = GrowingFile(path, SCORING, "header\n", overwrite=False)
    for number, row in enumerate(ROWS[:7], start=1):
        growing.append(row, number)


def rest_written(folder: Path) -> Any:
    """Resume the file, and return its content."""
    path = folder / "scores.tsv"
    growing = GrowingFile(path, SCORING, "header\n", overwrite=False)
    for number, row in enumerate(ROWS[growing.done :], start=growing.done + 1):
        growing.append(row, number)
    growing.finish()
    return path.read_bytes()


def training(folder: Path) -> Iterator[Any]:
    settings = {"batch_rows": 2, "bptt_tokens": 4, "precision": "fp32", "device": "cpu"}
    return train(
        text_file(folder), valid=text_file(folder), output=folder, threads=1, budget="8steps",
        save_every="3steps", validate_every_steps=4, schedule="constant", warmup=0.0,
        dropout_output=0.2, **NETWORK, **settings,
    )  # fmt: skip


def rest_trained(folder: Path) -> Any:
    """Resume training, and return the weights."""
    for _ in training(folder):
        pass
    return arrays_of_model(folder)


def filtering(folder: Path) -> Iterator[Any]:
    """Filter two files that lie beside the folder."""
    place = folder.parent
    if not (place / "m").exists():
        save(place / "m", fit("ngram", order=2), "ngram", order=2)
        for name in "ab":
            (place / f"{name}.txt").write_text("\n".join(LINES * 2) + "\n", encoding="utf-8")
    shards = tuple(str(place / f"{name}.txt") for name in "ab")
    models = {"": str(place / "m")}
    return run_filter(
        FilterRequest(shards, folder, models, FilterSettings(max_perplexity=25.0), workers=1)
    )


def make_half_filtered(folder: Path) -> None:
    events = filtering(folder)
    next(events)
    events.close()


def rest_filtered(folder: Path) -> Any:
    """Resume the filter, and return what it says and has written."""
    *_, result = filtering(folder)
    written = {path.name: path.read_bytes() for path in folder.glob("*.txt")}
    return result.documents, result.words, result.groups, written


KINDS = {
    "unigram": model_of("unigram"), "ngram": model_of("ngram", order=2),
    "sentencepiece": model_of("ngram", **PIECES),
    "characters": model_of("ngram", order=2, tokenizer="char"),
    "lstm": model_of("lstm", **NETWORK), "mixture": model_of("mixture", **PARTS),
    "adapted": Kind(make_adapted, adapted_scores), "classifier": labeller("classification"),
    "tagger": labeller("tagging"), "seq2seq": Kind(tiny_seq2seq.saved, arrays_of_model),
    "prepared": Kind(make_prepared, prepared_content), "counts": Kind(make_counts, counts_read),
    "half counted": Kind(make_half_counted, count_below, resumes=True),
    "half written": Kind(make_half_written, rest_written, resumes=True),
    "half trained": Kind(
        lambda folder: cut_off_after(training(folder), step=6), rest_trained, resumes=True
    ),
    "half filtered": Kind(make_half_filtered, rest_filtered, resumes=True),
}  # fmt: skip


def flips(folder: Path, most: int) -> Iterator[tuple[Path, int, int]]:
    """Yield (file, byte, bit), `most` at most: each byte of a small folder, else random ones."""
    draw = random.Random(1)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != OWNER]
    sizes = [path.stat().st_size for path in files]
    places = [(path, byte) for path, size in zip(files, sizes, strict=True) for byte in range(size)]
    if len(places) >= SMALL_FOLDER or most < MOST_FLIPS:
        places = draw.sample(places, min(most, len(places)))
    for path, byte in places:
        yield path, byte, draw.randrange(8)


def outcome(read: Callable[[Path], Any], folder: Path) -> Any:
    """Return what is read, or the error that refuses it."""
    with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
        try:
            return read(folder)
        except RnnlmError as error:
            assert error.what.strip()
            return error


@pytest.mark.parametrize("most", [FEW, pytest.param(MOST_FLIPS, marks=pytest.mark.soak)])
@pytest.mark.parametrize("name", KINDS)
def test_a_flipped_bit_is_refused_or_changes_nothing(name, most, tmp_path):
    kind = KINDS[name]
    whole = tmp_path / "whole"
    with quiet():
        kind.make(whole)
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    expected = outcome(kind.read, copy)
    assert not isinstance(expected, RnnlmError), expected

    if name == "half trained" and most == FEW:
        most = FEW_TRAINED
    for path, byte, bit in flips(whole, most):
        if kind.resumes:
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(whole, copy)
        damaged = copy / path.relative_to(whole)
        intact = path.read_bytes()
        put(damaged, intact[:byte] + bytes([intact[byte] ^ 1 << bit]) + intact[byte + 1 :])
        found = outcome(kind.read, copy)
        is_same = isinstance(found, RnnlmError) or found == expected
        assert is_same, f"bit {bit} of byte {byte} of {path.relative_to(whole)}"
        if not kind.resumes:
            put(damaged, intact)
