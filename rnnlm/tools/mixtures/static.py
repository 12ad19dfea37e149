"""N-gram models joined into one (static interpolation).

The weights of a joined model are tuned on a text, or given. It needs none of its parts, is read as
fast as one of them, and has an ARPA form. The mathematics is in :mod:`rnnlm.lm.ngram.joining`.
Models with different vocabularies of words get one that holds all words of all of them. As in
SRILM's `ngram -mix-lm`, a word that a model does not know has probability zero there, and is in
none of its contexts.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm.checks import several
from rnnlm.errors import ModelError, UsageError, keyword
from rnnlm.evaluation.perplexity import Context, as_text
from rnnlm.interface import LanguageModel, Tokenizer
from rnnlm.lm.base import loading
from rnnlm.lm.ngram.arpa.writing import export_arpa
from rnnlm.lm.ngram.counting.workspace import Workspace, memory_for_arrays
from rnnlm.lm.ngram.joining import joined, renumbered
from rnnlm.lm.ngram.model import NgramModel
from rnnlm.lm.ngram.tables import MIXING, check_memory, disorders
from rnnlm.storage import model_folder
from rnnlm.storage.files.file_types import without_suffix
from rnnlm.storage.files.outputs import owned_file
from rnnlm.storage.files.writing import writing
from rnnlm.storage.manifest import Manifest
from rnnlm.text.corpus import Text
from rnnlm.text.lines import Progress, TextSettings, silent
from rnnlm.tools.mixtures import mixing
from rnnlm.tools.mixtures.mixture import shared_tokenizer
from rnnlm.training.imported import save_ngrams

ARPA = ".arpa"


def mix_static(
    names: Sequence[LanguageModel | str | Path],
    on: str | Path | Sequence[str | Path] | Text | None = None,
    output: str | Path = "checkpoints/mixture",
    *,
    weights: Sequence[float] | None = None,
    context: Context = "carry",
    overwrite: bool = False,
    memory: str | None = None,
    temp: str | None = None,
    text_settings: TextSettings | None = None,
    report: Progress = silent,
) -> mixing.MixingResult:
    """Merge n-gram models into one, with given weights or with the weights that make a text most
    probable under their mixture.

    The result has the n-grams of all models, each with the weighted sum of its probabilities, and
    sums to one.

    Args:
        names: Names of models, or models loaded from folders.
        on: Text to tune the weights on.
        output: Folder of the model; an ARPA file if it ends in .arpa, .arpa.gz or the like.
        weights: Weight of each model, which sum to 1. None: tuned on the text.
        context: "carry" (read all lines as one stream) or "reset" (read each line alone).
        overwrite: Replace an existing result.
        memory: Memory limit, such as "2G"; the rest goes to disk.
        temp: Folder for temporary files. None: the system's temporary folder.
        text_settings: How to read lines. None: the defaults.
        report: Callback for the progress.

    Returns:
        The model's folder, parts with weights, and evaluation.

    Raises:
        UsageError: There are fewer than two models, one is not an n-gram model or has no
            probabilities, their tokenizers split text differently, the weights are invalid, or
            there are neither a text nor weights.
        SettingsError: The memory limit is too low.
        TextError: The text cannot be read.
        ModelError: A model is missing or damaged.
        OutputError: The result cannot be written, or another one exists.
    """
    began = time.perf_counter()
    output = Path(output)
    called = [loading.name_of(name) for name in several(names, "names")]
    mixing.check_request(called, on, weights, context)
    if temp is not None and memory is None:
        raise UsageError(
            keyword("temp") + " needs " + keyword("memory"),
            "nothing is written to disk unless memory is limited",
        )
    manifests = [_ngram_manifest(name) for name in called]
    owned = owned_file(output, overwrite)
    if not is_arpa(output):
        owned = model_folder.owned(output, overwrite, "mixing")
    with owned:
        models = [_load(name, report) for name in called]
        text = None if on is None else as_text(on, text_settings)

        # One vocabulary for all models.
        tokenizer = shared_tokenizer([model.tokenizer for model in models], called)
        workspace = _workspace(memory, temp, tokenizer.size)
        if memory is None:
            ngrams = sum(len(values) for model in models for values in model.values)
            check_memory("mixing", MIXING, ngrams, "use " + keyword("memory", "1G"))
        parts = [_with_tokenizer(model, tokenizer, workspace) for model in models]

        measured = None
        if text is not None:
            measured = mixing.measure(parts, text, context, report)
            if memory is not None:
                for part in parts:
                    part.drop_pages()
        by_name = {name: loading.find(name) for name in called}
        chosen = mixing.choose_weights(weights, measured, by_name, report)

        # A model of weight 0 adds nothing, not even its n-grams.
        active = np.flatnonzero(chosen.weights_K).tolist()
        model = joined([parts[k] for k in active], chosen.weights_K[active], workspace, report)

        # Save the model, then its results, which name its fingerprint.
        facts = _facts(called, manifests, chosen, model)
        facts["seconds"] = round(time.perf_counter() - began, 1)
        manifest: Manifest | None = None
        if is_arpa(output):
            export_arpa(model, output, overwrite=True, report=report)
        else:
            manifest = save_ngrams(model, output, facts, "mix")
        evaluations = None
        if measured is not None:
            scores = [measured.score(model), *measured.scores_KN]
            evaluations = measured.summaries([model, *parts], scores)
        if manifest is not None:
            mixing.save_results(output, manifest, facts, measured, evaluations, tokenizer)
    return mixing.mixed(output, "static", called, parts, chosen, evaluations)


def is_arpa(output: Path) -> bool:
    """Return whether an output is an ARPA file by its name, compressed or not."""
    return Path(without_suffix(str(output))).suffix == ARPA


def _ngram_manifest(name: str) -> Manifest:
    """Return the manifest of a model that can be joined; refuse others before they are loaded."""
    base, adaptation = loading.without_adaptation(name)
    manifest = model_folder.read_manifest(loading.find(base))
    hint = "mix them without " + keyword("static")
    if adaptation:
        raise UsageError(
            f"{name} cannot be merged into one n-gram model",
            f"{base} adapts to what it reads, which an n-gram table cannot",
            hint,
        )
    if not manifest.kind.has_ngrams:
        if manifest.model == "mixture":
            hint = f"name the parts of {name}, or " + hint
        raise UsageError(
            f"{name} cannot be merged into one n-gram model",
            f"it is of kind {manifest.model}, not an n-gram model of rnnlm",
            hint,
        )
    return manifest


def _load(name: str, report: Progress) -> NgramModel:
    """Load an n-gram model, and make sure that it can be joined with others."""
    report(f"reading {name}")
    model = loading.load(name, "cpu")
    assert isinstance(model, NgramModel)  # the only class of that kind
    if model.unseen_context_logprob:
        raise UsageError(
            f"{name} cannot be merged into one n-gram model",
            "the scores of stupid backoff are not probabilities",
            "train it with another smoothing, or mix them without " + keyword("static"),
        )
    for disorder in disorders(model):
        raise ModelError(
            f"the tables of {name} are damaged",
            disorder,
            "rebuild it; rnnlm doctor shows what is damaged",
        )
    return model


def _workspace(memory: str | None, temp: str | None, size: int) -> Workspace:
    """Return a workspace for the arrays of a joined model with a vocabulary of that size."""
    if memory is None:
        return Workspace()
    folder = None
    if temp is not None:
        folder = Path(temp)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
    return Workspace(memory_for_arrays(memory, size), None, folder)


def _with_tokenizer(model: NgramModel, tokenizer: Tokenizer, workspace: Workspace) -> NgramModel:
    """Return the model with the vocabulary of `tokenizer`, which has all its words."""
    if model.tokenizer.fingerprint == tokenizer.fingerprint:
        return model
    id_of = {symbol: id for id, symbol in enumerate(tokenizer.symbols())}
    number_V = np.array([id_of[symbol] for symbol in model.tokenizer.symbols()])
    renumbered_model = renumbered(model, number_V, tokenizer, workspace)
    renumbered_model.fingerprint = model.fingerprint
    return renumbered_model


def _facts(
    names: Sequence[str],
    manifests: Sequence[Manifest],
    chosen: mixing.ChosenWeights,
    model: NgramModel,
) -> dict[str, Any]:
    """Return the facts that are kept with the joined model: its parts."""
    weighed = zip(names, manifests, chosen.weights_K.tolist(), strict=True)
    parts = [
        {"model": name, "fingerprint": manifest.fingerprint, "weight": weight}
        for name, manifest, weight in weighed
    ]
    ngrams = [len(values) for values in model.values]
    return {"joined": parts, "weights": chosen.origin, "ngrams": ngrams}
