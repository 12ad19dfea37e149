"""Save and load models: a reader sees the old or the new one, never half, and loading runs no code.

Files are written under new names and fsynced, then config.json is replaced atomically, then old
files are deleted. config.json names each file that belongs to the model with its length and
SHA-256; everything else in the folder is a companion. Before there is a config.json,
unfinished.json names the files, so that the leftovers of a killed writer are recognised.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm import registry
from rnnlm.arrays import drop_pages
from rnnlm.errors import ModelError, OutputError, SettingsError, keyword
from rnnlm.interface import LanguageModel, Shapes
from rnnlm.storage.files import lock, tensors
from rnnlm.storage.files.folder import check_place, remove_files
from rnnlm.storage.files.outputs import remove_record
from rnnlm.storage.files.reading import read_json
from rnnlm.storage.files.writing import (
    BESIDE,
    STANDARD_OUTPUT,
    delete,
    digest,
    replace_file,
    sha256,
    whole_name,
    write_facts,
    writing,
)
from rnnlm.storage.manifest import (
    COMPANION,
    CONFIG,
    FORMAT_VERSION,
    HINT,
    QUANTISED_FORMAT,
    FileEntry,
    Manifest,
    ModelArrays,
    bundled,
    file_faults,
    files_of,
    is_data,
    is_model,
    is_ours,
    is_unfinished,
    read_manifest,
    referenced,
    remove_unnamed,
    write_manifest,
)
from rnnlm.storage.run_files import (
    CHECKPOINT_FOLDER,
    METRICS,
    is_a_link,
    is_of_a_run,
    remove_checkpoints,
)
from rnnlm.version import made_now

__all__ = [
    "Manifest",
    "check_output",
    "file_faults",
    "is_model",
    "owned",
    "read_manifest",
    "save",
    "save_results",
]

UNFINISHED_FILES = "unfinished.json"
MOST_HASHED = 16 << 20  # bytes of arrays that stay mapped, and are hashed when they are opened


def save(
    folder: Path,
    model: LanguageModel | ModelArrays,
    kind: str,
    settings: Mapping[str, Any],
    step: int,
    training: dict[str, Any],
    parts: Sequence[Path] = (),
    bundle: bool = False,
    in_8_bits: bool = False,
    continues_run: bool = False,
) -> Manifest:
    """Write `model` into `folder`, replacing the model that is there. If it cannot be written, that
    one stays whole.

    kind: its kind, as the registry names it: "lstm", "ngram". parts: the folders of the models that
    a combination is made of. bundle: copy them into `folder`, else refer to them. in_8_bits: store
    the weights of a network in 8 bits, as in the shipped model. continues_run: the model there is
    of the same training run; else its companions are deleted: its checkpoints, and how it adapts
    itself.
    """
    files: dict[str, FileEntry] = {}
    # The family of the kind ("neural", "ngram", "combination") is stored, too: loading checks it.
    family = registry.kind_of(kind, settings.get("task", registry.LANGUAGE_MODEL)).family
    with writing(folder):
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        before = _listed_files(folder)
        try:
            # All files first, then config.json, which makes them the model.
            for role, path, pieces in _files_to_write(folder, model, step, in_8_bits):
                _write(role, path, pieces, files, before)
            enter = bundled if bundle else referenced
            manifest = Manifest(
                model=kind,
                family=family,
                settings=dict(settings),
                tokenizer=model.tokenizer.to_settings(),
                files=files,
                step=step,
                training=training,
                parts=enter(folder, parts),
                made_by=made_now(),
                format_version=QUANTISED_FORMAT if settings.get("quantize") else FORMAT_VERSION,
            )
            write_manifest(folder, manifest)
        except BaseException:
            _remove_unnamed(folder, [*files, *before, UNFINISHED_FILES])
            with contextlib.suppress(OSError):
                if is_new:
                    folder.rmdir()
            raise

        # Delete the files of the model before, and the files of writers that were killed.
        listed = {UNFINISHED_FILES, *before}
        names = os.listdir(folder)
        left = [name for name in names if is_data(name) or whole_name(name) in listed]
        _remove_unnamed(folder, left)
        remove_files(folder, is_unfinished)
        if not continues_run:
            # The companions of a model that is no longer there: settings tuned for it, the log of
            # its training.
            remove_checkpoints(folder)
            remove_record(folder / CONFIG)  # of an earlier version
            for path in folder.iterdir():
                if COMPANION.fullmatch(path.name) or (path.name == METRICS and is_of_a_run(folder)):
                    delete(path)
    return manifest


def _files_to_write(
    folder: Path, model: LanguageModel | ModelArrays, step: int, in_8_bits: bool
) -> Iterator[tuple[str, Path, list[bytes | memoryview]]]:
    """Yield (role, wanted path, content in pieces) of the files of a model, weights first."""
    arrays = scaled(model.to_arrays()) if in_8_bits else model.to_arrays()
    yield "weights", folder / f"weights-{step:08d}.safetensors", list(tensors.chunks(arrays))
    for role, data in model.tokenizer.to_files().items():
        yield role, folder / role, [data]


def _write(
    role: str,
    path: Path,
    pieces: list[bytes | memoryview],
    files: dict[str, FileEntry],
    before: list[str],
) -> None:
    """Write one file of a model. Its name is entered in `files` first, so that a killed writer
    leaves no file that is not listed.

    before: files that were there, which stay listed until there is a config.json.
    """
    # A file of the same name belongs to the model before, which stays whole until config.json is
    # replaced: take another name if the contents differ. A link is replaced: the file that it leads
    # to is not ours.
    new_hash = digest(_dropping_pages(pieces))
    existing_hash = None if path.is_symlink() else sha256(path)
    if existing_hash != new_hash and path.exists() and not path.is_symlink():
        path = path.with_stem(f"{path.stem}-{new_hash[:8]}")
        existing_hash = sha256(path)
    files[path.name] = FileEntry(role, sum(map(len, pieces)), new_hash)
    if not is_model(path.parent):
        write_facts(path.parent / UNFINISHED_FILES, {"files": sorted({*files, *before})})
    if existing_hash != new_hash:
        replace_file(path, _dropping_pages(pieces))


def unfinished_files(folder: Path) -> list[str]:
    """Return the names of files that a writer has started in `folder` before its config.json."""
    try:
        path = folder / UNFINISHED_FILES
        facts = read_json(path, dict[str, list[str]], ModelError, "it is damaged", has_hash=True)
    except ModelError:
        return []
    return [name for name in facts.get("files", []) if name == os.path.basename(name)]


def save_results(
    folder: Path, manifest: Manifest, results: dict[str, dict[str, Any]], training: dict[str, Any]
) -> Manifest:
    """Enter the evaluation `results` of a model, and facts of its training, in its manifest.

    The caller owns the folder: leftovers of writers that were killed are deleted.
    """
    manifest = dataclasses.replace(manifest, results=results, training=training)
    with writing(folder):
        write_manifest(folder, manifest)
        remove_files(folder, is_unfinished)
    return manifest


@contextlib.contextmanager
def naming_folder(folder: Path) -> Iterator[None]:
    """Turn errors about a model's content into a ModelError that names its folder."""
    try:
        yield
    except (ModelError, SettingsError) as error:
        if isinstance(error, ModelError) and f"model at {folder}" in error.what:
            raise
        what = f"the model at {folder} is damaged"
        raise ModelError(what, error.fault, error.hint) from None


@contextlib.contextmanager
def owned(folder: Path, overwrite: bool, work: str) -> Iterator[None]:
    """Lock `folder`, into which a model can be written, for this context. work: for messages, such
    as "pruning"."""
    if folder == STANDARD_OUTPUT:
        check_output(folder, overwrite)
    with lock.held(folder, work):
        check_output(folder, overwrite)
        yield


def check_output(folder: Path, overwrite: bool) -> None:
    """Make sure a model can be written to `folder`, before hours of work."""
    if is_model(folder) and not overwrite:
        raise OutputError(
            f"{folder} already holds a model",
            hint="choose another folder with "
            + keyword("output")
            + ", or replace it with "
            + keyword("overwrite", True),
        )
    if os.path.islink(folder / CHECKPOINT_FOLDER):
        raise is_a_link(folder)

    # A folder with other files is probably meant for something else.
    def foreign(names: list[str]) -> list[str]:
        return [] if is_model(folder) or holds_leftovers(folder) else names

    check_place(folder, "model", foreign)


def holds_leftovers(folder: Path) -> bool:
    """Return whether all files in `folder` are leftovers of a writer that was killed before
    config.json (a locked folder first, then weights), or the log of a run that diverged before
    there was a model."""
    if not folder.is_dir():
        return False
    names = [name for name in os.listdir(folder) if not BESIDE.fullmatch(name)]
    listed = {UNFINISHED_FILES, *unfinished_files(folder)}
    expected = {CHECKPOINT_FOLDER}
    if METRICS in names and is_of_a_run(folder):
        expected.add(METRICS)
    rest = [name for name in names if name not in expected and name not in listed]
    is_begun = any(name.startswith("weights-") for name in names)
    return all(map(is_ours, rest)) and (is_begun or not rest)


def _listed_files(folder: Path) -> list[str]:
    """Return the files of the model that is there, or that a killed writer has begun, by its list;
    none if that cannot be read."""
    if not is_model(folder):
        return unfinished_files(folder)
    with contextlib.suppress(ModelError):
        return list(read_manifest(folder).files)
    return []


def _remove_unnamed(folder: Path, names: Iterable[str]) -> None:
    """Delete the files among `names`, and the copies of parts, that config.json does not name
    now."""
    named = set()
    if is_model(folder):
        try:
            named = set(read_manifest(folder).files)
        except ModelError:
            return  # leave all: the model's own files are not known
    for name in set(names) - named:
        delete(folder / name)
    remove_unnamed(folder)


def _dropping_pages(pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """Yield the pieces; release the memory pages of mapped ones once they are used."""
    for piece in pieces:
        yield piece
        if isinstance(piece, memoryview):
            drop_pages(piece)


def checked_files(folder: Path, manifest: Manifest, role: str) -> dict[Path, FileEntry]:
    """Return the files with that role, at least one, their lengths checked."""
    checked = files_of(folder)
    # Lengths are compared before hashes: that takes no time.
    files = {
        checked.plain_file(name, entry.bytes): entry
        for name, entry in manifest.files.items()
        if entry.role == role
    }
    if not files:
        raise ModelError(checked.damaged, f"{CONFIG} names no {role}")
    return files


def read_codec_files(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    """Read each file that holds no weights, by role, and check its hash."""
    content: dict[str, bytes] = {}
    for listed in manifest.files.values():
        role = listed.role
        if role == "weights" or role in content:
            continue
        path, entry = next(iter(checked_files(folder, manifest, role).items()))
        content[role] = files_of(folder).read(path.name, entry)
    return content


def read_arrays(
    files: dict[Path, FileEntry], shapes: Shapes, kind: registry.Kind
) -> dict[str, np.ndarray]:
    """Return the arrays of the files, if they are those of `shapes`: mapped; or read, hashed, and
    checked for NaN and infinity."""
    if kind.is_mapped:
        # Reading large files here would take what mapping them saves.
        if _total_bytes(files.values()) <= MOST_HASHED:
            for path, entry in files.items():
                files_of(path.parent).plain_file(path.name, entry.bytes, entry.sha256)
        arrays = joined([tensors.mapped(path) for path in files])
        tensors.check_shapes(arrays, shapes)
        return arrays
    # Large files are refused before they take memory.
    most_bytes = tensors.bytes_of(shapes) + tensors.LARGEST_HEADER
    if _total_bytes(files.values()) > most_bytes:
        raise ModelError(
            "the weights do not fit the settings", f"they take more than {most_bytes:,} bytes"
        )
    arrays = joined([_hashed(path, entry) for path, entry in files.items()])
    tensors.check_shapes(arrays, shapes)
    for name, array in arrays.items():
        if odd_numbers(name, array, kind).any():
            raise ModelError(
                "the weights are not all numbers",
                f"array {name!r} holds NaN or infinity",
                "train it again",
            )
    return arrays


def odd_numbers(name: str, array: np.ndarray, kind: registry.Kind) -> np.ndarray:
    """Return where an array of a model holds NaN or infinity.

    -inf is the logarithm of zero in a model of counts, and in the bias of an output layer that
    never predicts a word.
    """
    is_odd = ~np.isfinite(array)
    if kind.is_counted or name == "output.bias":
        is_odd &= array != -np.inf
    return is_odd


def is_unchecked(manifest: Manifest) -> bool:
    """Return whether the hashes of a model's arrays are left to `rnnlm doctor`."""
    weights = [entry for entry in manifest.files.values() if entry.role == "weights"]
    return manifest.kind.is_mapped and _total_bytes(weights) > MOST_HASHED


def _total_bytes(files: Iterable[FileEntry]) -> int:
    return sum(entry.bytes for entry in files)


def _hashed(path: Path, entry: FileEntry) -> dict[str, np.ndarray]:
    """Read the arrays of a file into memory, and check its hash."""
    try:
        arrays, sha256 = tensors.hashed(path)
    except ModelError as error:
        raise ModelError(f"{path.name} cannot be read", error.why, HINT) from None
    files_of(path.parent).check_hash(path.name, entry.sha256, sha256)
    return arrays


# ---- Weights in 8 bits: networks at a quarter of their bytes, such as the shipped one.
#
# Each row of a matrix is whole numbers from -127 to 127 times its scale, NAME@scale (symmetric, per
# channel: Krishnamoorthi 2018, section 2.1). Vectors are bfloat16, the upper half of a float32:
# eight bits of mantissa are kept, rounded to nearest, ties to even.

SCALE = "@scale"
LARGEST_WHOLE = 127  # of 8 bits, symmetric


def rounded(array: np.ndarray) -> np.ndarray:
    """Round float32 to bfloat16; return arrays of other types as they are."""
    if array.dtype != np.float32:
        return array
    bits = np.ascontiguousarray(array).view(np.uint32)
    is_odd = (bits >> 16) & 1  # a tie is rounded up if that makes the last bit zero
    upper = (bits + 0x7FFF + is_odd) >> 16
    return upper.astype(np.uint16).view(tensors.BF16).reshape(array.shape)


def widened(array: np.ndarray) -> np.ndarray:
    """Widen bfloat16 to float32, exactly; return arrays of other types as they are."""
    if array.dtype != tensors.BF16:
        return array
    return (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def scaled(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return float32 matrices as whole numbers and the scale of each row, other arrays rounded."""
    small: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        if array.dtype != np.float32 or array.ndim < 2:
            small[name] = rounded(array)
            continue
        rows = array.reshape(len(array), -1)
        scale = np.abs(rows).max(axis=1, initial=0.0) / LARGEST_WHOLE
        wholes = np.rint(rows / np.where(scale > 0, scale, 1)[:, None]).astype(np.int8)
        small[name] = wholes.reshape(array.shape)
        small[name + SCALE] = scale.astype(np.float32)
    return small


def joined(files: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the arrays of the files of a model, in float32 where they are stored in fewer bits."""
    joined_arrays: dict[str, np.ndarray] = {}
    for arrays in files:
        for name, array in arrays.items():
            if name in joined_arrays:
                raise ModelError("the weights cannot be read", f"array {name!r} appears twice")
            joined_arrays[name] = widened(array)
    return _multiplied(joined_arrays)


def _multiplied(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Multiply whole numbers by their scales, as float32; leave other arrays as they are."""
    for name in [name for name in arrays if name.endswith(SCALE)]:
        scaled_name = name.removesuffix(SCALE)
        scale, wholes = arrays.pop(name), arrays.get(scaled_name)
        if (
            wholes is None
            or wholes.dtype != np.int8
            or scale.dtype != np.float32
            or scale.shape != wholes.shape[:1]
        ):
            raise ModelError(
                "the weights cannot be read", f"array {name!r} is not the scale of another array"
            )
        arrays[scaled_name] = wholes * scale.reshape(-1, *[1] * (wholes.ndim - 1))
    return arrays
