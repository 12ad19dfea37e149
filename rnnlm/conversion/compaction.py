"""Writing a network in compact form: a model folder like any other, with weights in bfloat16 or 8
bits."""

from pathlib import Path

from rnnlm.errors import UsageError
from rnnlm.models import card, loading, model_folder, registry
from rnnlm.models.manifest import ModelArrays
from rnnlm.text.corpus import Text

BEFORE = "test, before"  # the name of results of the model before it is made compact


def compact(
    name: str,
    output: str | Path,
    overwrite: bool = False,
    bits: int = 16,
    test: str | Path | Text | None = None,
) -> dict[str, int]:
    """Write the neural model called `name` to the folder `output` in compact form; return the sizes
    of its files in bytes, by name.

    bits: 16 or 8, of a weight. test: a text that the compact model is evaluated on, for its card;
    an encoder-decoder is also evaluated as it was before.
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
        if not manifest.kind.trains_in_steps:
            hint = "write its parts in compact form, and mix them"
            if manifest.kind.is_counted:
                hint = "rnnlm prune makes n-gram models smaller"
            raise UsageError(
                f"a model of kind {manifest.model} has no compact form",
                "it is made of counts or of other models",
                hint,
            )

        # The compact model keeps settings and step, and records the fingerprint of the weights that
        # it was made from.
        step = manifest.step
        weights = ModelArrays(model.tokenizer, model.to_arrays())
        origin = f"{bits} bits, step {step:,} of `{manifest.fingerprint}`"
        training = {**manifest.training, "compact": origin}
        stored = model_folder.save(
            output, weights, manifest.model, manifest.settings, step, training, bits=bits
        )
        # Its results show what smaller weights cost.
        if data is not None:
            results = {"test": task.evaluate_encoded(loading.load(output, "cpu"), data).to_dict()}
            # Decoding can make a large difference of a small change of weights.
            if task.is_decoded:
                results = {BEFORE: task.evaluate_encoded(model, data).to_dict()} | results
            stored = model_folder.save_results(output, stored, results, training)
        card.write(output, stored, model.tokenizer)

    files = [path for path in sorted(output.rglob("*")) if path.is_file()]
    return {path.relative_to(output).as_posix(): path.stat().st_size for path in files}
