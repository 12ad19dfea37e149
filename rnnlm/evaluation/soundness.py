"""Audit a model: is it intact, and do its probabilities sum to one? One check after another, each
reported as it ends.

Intact: config.json can be read, every file has its length and SHA-256, the stored adaptations are
undamaged, the arrays match the settings and hold numbers, and the tables of an n-gram model are in
order; the parts of a combination are the models that it was made of, and intact. Sums: the model
itself is asked for the probabilities of all next tokens, after all contexts where they are few,
otherwise after a random sample. A model that does not claim to sum to one does not fail this check.
The checks of taggers and classifiers are in :mod:`rnnlm.tasks.labelling.evaluation.evaluation`, the
checks of encoder-decoders in :mod:`rnnlm.tasks.seq2seq.evaluation.evaluation`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from rnnlm import arrays as array_types, registry, satellites
from rnnlm.amounts import plural
from rnnlm.errors import ModelError, UsageError
from rnnlm.interface import SENTENCE_START, Device, LanguageModel
from rnnlm.lm.base import loading, stored_model
from rnnlm.storage import model_folder
from rnnlm.storage.manifest import part_folders

Verdict = Literal["ok", "failed", "not claimed", "not checked"]
TOLERANCE = 1e-5  # of a sum of 1, in fp32
MOST_CELLS = 100_000_000  # contexts times vocabulary that are computed by default
CELLS_PER_CALL = 4_000_000
# Models whose contexts cannot be listed are checked after random contexts: the number of these, and
# the tokens that one has at most.
BEGUN_LINES, LONGEST_CONTEXT = 1000, 16


@dataclass(frozen=True)
class Check:
    """One check and its result.

    Attributes:
        name: Name of the check.
        result: Verdict of the check; "not claimed" if the model does not promise the property, "not
            checked" if there is not enough access to check it.
        detail: The findings.
    """

    name: str
    result: Verdict
    detail: str


def check_model(name: str, *, seed: int = 0, device: str | Device = "auto") -> Iterator[Check]:
    """Check a model as `rnnlm doctor` does: of a model that adapts, the one that it adapts, too."""
    base, kind = loading.without_adaptation(name)
    yield from audit(base, seed=seed, device=device)
    if kind:
        yield from checks_of_scores(loading.language_model_of(name, device), seed, f"+{kind}")


def checks_of_scores(model: LanguageModel, seed: int, prefix: str = "") -> Iterator[Check]:
    """Yield the checks of the scores of a language model, which satellites have. prefix: before
    their names."""
    for checks in satellites.entries("checks"):
        yield from checks.load()(model, seed, prefix)


def audit(
    name: LanguageModel | str | Path,
    *,
    sample: int | None = None,
    seed: int = 0,
    device: str | Device = "auto",
) -> Iterator[Check]:
    """Check a model, or a prepared text. After a failed check, the checks that depend on it are
    skipped.

    name: of a model or of the folder of a prepared text; or a model that was loaded from a folder,
    which is checked. sample: the number of contexts to compute sums of probabilities for, of
    sentences for taggers and classifiers, of sources for an encoder-decoder; None: all, unless
    there are too many.

    Raises:
        UsageError: the sample is empty, or the model was not loaded from a folder.
        ModelError: the model does not exist.
        DeviceError: `device` is not available.
    """
    if sample is not None and sample < 1:
        raise UsageError(f"a sample of {sample} contexts is empty", hint="ask for at least one")
    name = loading.name_of(name)
    form = registry.text_folder(name)
    if not form or not form.is_text:
        yield from _audit(loading.find(name), sample, seed, device)
        return
    for about, problem, detail in form.problems(Path(name)):
        yield Check(about, "failed" if problem else "ok", problem or detail)


def _audit(folder: Path, sample: int | None, seed: int, device: str | Device) -> Iterator[Check]:
    """Yield the checks of the model in `folder`; checks of the models it is made of come before the
    checks that depend on them."""
    try:
        manifest = model_folder.read_manifest(folder)
    except ModelError as error:
        yield Check("config", "failed", error.why or error.what)
        return
    what = f"a model of kind {manifest.model}, format {manifest.format_version}"
    yield Check("config", "ok", what)
    yield _files(folder, manifest)
    yield from _companions(folder)

    # The parts of a combination, each in its own folder.
    try:
        parts = part_folders(folder, manifest)
    except ModelError as error:
        yield Check("parts", "failed", error.fault)
        return
    for number, part in enumerate(parts, start=1):
        for check in _audit(part, sample, seed, device):
            yield replace(check, name=f"part {number}: {check.name}")

    # Loading checks that the arrays are those that the settings imply.
    try:
        model, _ = stored_model.load(folder, device)
    except ModelError as error:
        yield Check("arrays", "failed", error.why or error.what)
        return
    stored = model.to_arrays()
    numbers = sum(array.size for array in stored.values())
    what = f"{plural(len(stored), 'array')} of {numbers:,} numbers, as the settings imply"
    yield Check("arrays", "ok", what)
    yield _numbers(stored, manifest.kind)

    # The remaining checks depend on the task: for language models, the sums.
    yield from registry.task(manifest.task).checks(model, sample, seed)


def probabilities_sum_to_one(
    model: LanguageModel, sample: int | None, seed: int
) -> Iterator[Check]:
    """Check the probabilities of a language model, and the tables that they are read from.
    sample: how many contexts to draw."""
    if hasattr(model, "check_tables"):
        problem, detail = model.check_tables()
        if problem:
            yield Check("tables", "failed", problem)
            return
        yield Check("tables", "ok", detail)
    yield _sums(model, sample, np.random.default_rng(seed))


def _files(folder: Path, manifest: model_folder.Manifest) -> Check:
    faults = model_folder.file_faults(folder, manifest)
    if faults:
        return Check("files", "failed", "; ".join(faults))
    length = sum(entry.bytes for entry in manifest.files.values())
    what = f"{plural(len(manifest.files), 'file')} of {length:,} bytes, SHA-256 as recorded"
    return Check("files", "ok", what)


def _companions(folder: Path) -> Iterator[Check]:
    """Check the files of satellites beside the model, if there are any."""
    for companion in satellites.entries("companions"):
        try:
            names = companion.load()(folder)
        except ModelError as error:
            yield Check(companion.name, "failed", error.fault)
            continue
        if names:
            yield Check(companion.name, "ok", f"{', '.join(names)}: in order")


def _numbers(stored: dict[str, np.ndarray], kind: registry.Kind) -> Check:
    """Look for NaN and infinity, except for logarithms of zero."""
    zeros = 0
    for name, array in stored.items():
        values = array.reshape(-1)
        zeros += int(np.count_nonzero(values == -np.inf))

        # The first wrong number is enough to refuse the model.
        odd = np.flatnonzero(model_folder.odd_numbers(name, values, kind))
        if len(odd):
            first = odd[0]
            what = f"array {name} holds {values[first]} at {first:,}, {len(odd):,} in all"
            return Check("numbers", "failed", what)
    exception = f", except for {zeros:,} logarithms of zero" if zeros else ""
    return Check("numbers", "ok", f"all finite{exception}")


def _sums(model: LanguageModel, sample: int | None, generator: np.random.Generator) -> Check:
    """Find the context after which the sum is farthest from one."""
    # All contexts where the model can list them and they are few; otherwise a sample.
    size = model.tokenizer.size
    most = max(1, MOST_CELLS // size)
    if hasattr(model, "contexts"):
        contexts, are_all = model.contexts(sample or most, generator)
    else:
        count = sample or min(most, BEGUN_LINES)
        contexts, are_all = _begun_lines(model, count, generator), False

    # So many at a time that memory suffices.
    rows = min(max(1, CELLS_PER_CALL // size), model.max_rows or CELLS_PER_CALL)
    worst, where = -1.0, np.zeros(1, dtype=np.int64)
    for ids_ST in contexts:
        for start in range(0, len(ids_ST), rows):
            ids_BT = ids_ST[start : start + rows]
            deviation_B = np.nan_to_num(np.abs(_totals(model, ids_BT) - 1), nan=np.inf)
            if deviation_B.max() > worst:
                worst, where = float(deviation_B.max()), ids_BT[deviation_B.argmax()]

    context_count = sum(map(len, contexts))
    how = (
        f"all {context_count:,} contexts"
        if are_all
        else f"{context_count:,} contexts drawn at random"
    )
    result: Verdict = "ok" if worst <= TOLERANCE + getattr(model, "sum_error", 0.0) else "failed"
    if not model.normalised:
        result = "not claimed"
    what = f"{how}: the largest deviation from 1 is {worst:.1e}, after {_shown(model, where)}"
    return Check("sums", result, what)


def _totals(model: LanguageModel, ids_BT: np.ndarray) -> np.ndarray:
    """Sum the probabilities of all tokens after these contexts, read from the initial state.
    Shape (B,), float64."""
    state = model.initial_state(len(ids_BT))
    if ids_BT.shape[1] > 1:
        _, state = model.score(ids_BT[:, :-1], ids_BT[:, 1:], state)
    logprob_B1V, _ = model.predict(ids_BT[:, -1:], state)
    return np.exp(array_types.as_numpy(logprob_B1V)[:, 0].astype(np.float64)).sum(axis=1)


def _shown(model: LanguageModel, ids_T: np.ndarray) -> str:
    """Write a context as a person reads it; the boundary that it may begin with is the start of
    a line."""
    symbols = model.tokenizer.symbols()
    words = [symbols[id] for id in ids_T]
    if ids_T[0] == model.tokenizer.boundary_id:
        words[0] = SENTENCE_START
    return repr(" ".join(words))


def _begun_lines(
    model: LanguageModel, most: int, generator: np.random.Generator
) -> list[np.ndarray]:
    """Draw random beginnings of lines, grouped by length: ids (S, T)."""
    # About equally many of each length.
    counts = np.bincount(np.arange(most) % LONGEST_CONTEXT).tolist()
    contexts = []
    for length, count in enumerate(counts, start=1):
        ids_ST = generator.integers(model.tokenizer.size, size=(count, length))
        ids_ST[:, 0] = model.tokenizer.boundary_id
        contexts.append(ids_ST)
    return contexts
