"""A model folder in compact form, to be carried to another machine: weights in bfloat16 or 8 bits, files below 15 MB.

It is a model like any other. There is room for one set of weights: the model's, which were the best on its validation text; or, to
carry a training run, those that the run had reached, or their average where one has begun, and the small rest of what --resume
needs: the run goes on there, its optimizer and its best weights begin anew.
"""

import dataclasses
from pathlib import Path

import numpy as np

from rnnlm.errors import ModelError, UsageError
from rnnlm.evaluation.perplexity import as_text, evaluate
from rnnlm.events import TrainingState
from rnnlm.interface import LanguageModel
from rnnlm.models import card, checkpoints, loading, model_folder
from rnnlm.text.corpus import Held, Text, no_text

CARRIED = ("carry.", "random.")  # arrays of a training state that are carried beside the weights


@dataclasses.dataclass(frozen=True)
class _WithArrays:
    """A model's tokenizer with other weights: what saving asks for."""

    tokenizer: object
    arrays: dict[str, np.ndarray]

    def to_arrays(self) -> dict[str, np.ndarray]:
        return self.arrays


def compact(
    name: str, output: str | Path, overwrite: bool = False, run: bool = False, bits: int = 16, test: str | Path | Text | None = None
) -> dict[str, int]:
    """Write the neural model called `name` to the folder `output` in compact form; the bytes of its files by name.

    run: the training run that made it, to go on there, instead of its best weights. bits: 16 or 8, of a weight. test: a text that
    the compact model is evaluated on, for its card.

    Raises:
        UsageError: it is no neural model, or has no run to go on with, or there is no such number of bits. ModelError: it is missing or damaged. OutputError: the
            folder cannot be written, or holds a model already.
    """
    if bits not in (16, 8):
        raise UsageError(f"weights of {bits} bits are not written", hint="16 or 8")
    folder, output = loading.find(str(name)), Path(output)
    model_folder.check_output(output, overwrite)
    if output.resolve() == folder.resolve():
        raise UsageError(f"{output} cannot be written in compact form over itself", hint="name another folder")
    if test is not None:
        test = Held.read(as_text(test))  # whether it can be read shows before anything is written
        if not test.held:
            raise no_text(test)
    model, manifest = model_folder.load(folder, "cpu")
    if manifest.family != "neural":
        hint = "rnnlm prune makes n-gram models smaller" if manifest.family == "ngram" else "write its parts in compact form, and mix them"
        raise UsageError(f"a model of kind {manifest.model} has no compact form", "it is made of counts or of other models", hint)
    state = checkpoints.load(folder) if run else None
    arrays, step = (model.to_arrays(), manifest.step) if state is None else (_reached(model, state), state.facts["step"])
    training = {**manifest.training, "compact": f"{bits} bits, step {step:,} of `{manifest.fingerprint}`"}
    stored = model_folder.save(output, _WithArrays(model.tokenizer, arrays), manifest.model, manifest.settings, step, training, bits=bits)
    if state is not None:
        small = {name: array for name, array in state.arrays.items() if name.startswith(CARRIED)}
        checkpoints.save(output, TrainingState(state.facts, small), checkpoints.load_run(folder))
    if test is not None:
        result = evaluate(loading.load(output, "cpu"), test)
        stored = model_folder.save_results(output, stored, {"test": result.to_dict()}, training)
    card.write(output, stored, model.tokenizer)
    return {path.relative_to(output).as_posix(): path.stat().st_size for path in sorted(output.rglob("*")) if path.is_file()}


def _reached(model: LanguageModel, state: TrainingState) -> dict[str, np.ndarray]:
    """The weights a run had reached, averaged where it averages."""
    arrays = {name: state.arrays.get(f"network.{name}") for name in model.to_arrays()}
    if any(array is None for array in arrays.values()):
        raise ModelError("the run is in compact form already", "its weights are those of the model", "copy the folder as it is")
    return {name: state.arrays.get(f"averaging.{name}", array) for name, array in arrays.items()}
