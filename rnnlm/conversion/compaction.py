"""Writing a model in compact form: a model folder like any other, with the weights of a network in
bfloat16 or 8 bits, or with packed keys and quantised values of n-grams."""

from pathlib import Path

import numpy as np

from rnnlm.errors import UsageError
from rnnlm.interface import LanguageModel, answers_of
from rnnlm.models import card, loading, model_folder, registry
from rnnlm.models.manifest import Manifest, ModelArrays
from rnnlm.text.corpus import Text

BEFORE = "test, before"  # the name of results of the model before it is made compact


def compact(
    name: str,
    output: str | Path,
    overwrite: bool = False,
    bits: int = 16,
    test: str | Path | Text | None = None,
) -> dict[str, int]:
    """Write the network or n-gram model called `name` to the folder `output` in compact form;
    return the sizes of its files in bytes, by name.

    bits: 16 or 8, of a weight, or of a probability or backoff weight. test: a text that the compact
    model is evaluated on, for its card; an encoder-decoder or an n-gram model is also evaluated as
    it was before.
    """
    if bits not in (16, 8):
        raise UsageError(f"weights cannot be written with {bits} bits", hint="16 or 8")
    folder, output = loading.find(str(name)), Path(output)
    if output.resolve() == folder.resolve():
        raise UsageError(
            f"{output} cannot be written in compact form over itself", hint="name another folder"
        )
    with model_folder.owned(output, overwrite, "export"):
        model, manifest = model_folder.load(folder, "cpu")
        # Read the text before anything is written: a text that cannot be read leaves no new model.
        task = registry.task(manifest.task)
        data = None if test is None else task.read(model, test)
        # Tables become other arrays; weights become smaller as they are written.
        bits_of_weights: int | None = bits
        if manifest.kind.has_ngrams:
            arrays = _compact_tables(model, name, bits)
            bits_of_weights = None
        elif manifest.kind.trains_in_steps:
            arrays = model.to_arrays()
        else:
            raise _no_compact_form(manifest)

        # The compact model keeps settings and step, and records the fingerprint of the weights that
        # it was made from.
        step = manifest.step
        weights = ModelArrays(model.tokenizer, arrays)
        origin = f"{bits} bits, step {step:,} of `{manifest.fingerprint}`"
        training = {**manifest.training, "compact": origin}
        stored = model_folder.save(
            output, weights, manifest.model, manifest.settings, step, training, bits=bits_of_weights
        )
        # Its results show what smaller weights cost.
        if data is not None:
            results = {"test": task.evaluate_encoded(loading.load(output, "cpu"), data).to_dict()}
            # Decoding can make a large difference of a small change of weights. Probabilities in
            # bins do not sum to one: their perplexity says little without the one before.
            if task.is_decoded or manifest.kind.has_ngrams:
                results = {BEFORE: task.evaluate_encoded(model, data).to_dict()} | results
            stored = model_folder.save_results(output, stored, results, training)
        card.write(output, stored, model.tokenizer)

    files = [path for path in sorted(output.rglob("*")) if path.is_file()]
    return {path.relative_to(output).as_posix(): path.stat().st_size for path in files}


def _compact_tables(model: LanguageModel, name: str, bits: int) -> dict[str, np.ndarray]:
    """Return the arrays of an n-gram model in compact form."""
    ngrams = answers_of(model).with_ngrams
    assert ngrams is not None  # models of that kind have them
    if ngrams.order == 1:
        raise UsageError(
            f"the model {name} has no compact form",
            "it has no n-grams but single words, whose probabilities stay as they are",
        )
    return ngrams.compacted(bits).to_arrays()


def _no_compact_form(manifest: Manifest) -> UsageError:
    """Return the error for a model that has no compact form."""
    hint = "write its parts in compact form, and mix them"
    if manifest.kind.is_counted:
        hint = "use it as it is: it is small"
    return UsageError(
        f"a model of kind {manifest.model} has no compact form",
        "it is made of counts of words or of other models",
        hint,
    )
