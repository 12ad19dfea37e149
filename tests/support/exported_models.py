"""Models exported for transformers, with what ours computes, for exported_program.py.

`python tests/support/exported_models.py FOLDER` writes them for an environment without rnnlm.
"""

import json
import sys
from pathlib import Path

import numpy as np

from rnnlm.tools.huggingface.export import export
from support.tiny_models import LINES, fit, save

MODELS = {
    "lstm": {"layers": 2, "layer_sizes": "9,12"},  # tied, by a projection
    "lstm-peepholes": {"model": "lstm", "peepholes": True, "tied": False},
    "lstm-dense": {"model": "lstm", "layers": 2, "connections": "dense"},
    "lstm-mixture": {"model": "lstm", "output_layer": "mos", "mixture_components": 3},
    "gru": {"update_gate": "renew"},
    "gru-before": {"model": "gru", "reset_gate": "before", "layers": 2, "connections": "highway"},
    "rnn": {"activation": "sigmoid", "layers": 2, "connections": "residual"},
    "qrnn": {"layers": 2},
    "lstm-pieces": {"model": "lstm", "tokenizer": "sentencepiece", "vocab_size": 300},
    "gru-characters": {"model": "gru", "tokenizer": "char"},
    "rnn-bytes": {"model": "rnn", "tokenizer": "byte"},
    "rnn-foreign": {"model": "rnn", "tokenizer": "huggingface"},
}
TEXTS = (*LINES, "", "the zebra sat on a the cat")
STEPS = 6  # of the greedy continuation


def export_all(folder: Path, names=tuple(MODELS)) -> None:
    """Train models of these names for a few steps; write FOLDER/NAME and FOLDER/NAME.json."""
    for name in names:
        settings = dict(MODELS[name])
        kind = settings.pop("model", name)
        model = fit(kind, **settings)
        stored = folder / "ours" / name
        save(stored, model, kind, **settings)
        export(stored, folder / name, overwrite=True)
        (folder / f"{name}.json").write_text(json.dumps(_expected(model)), encoding="utf-8")


def _expected(model) -> dict[str, object]:
    """Return texts, their ids, the log-probability of each next token, and what follows greedily."""
    texts = []
    for line in TEXTS:
        targets_1T = model.tokenizer.encode([line]).ids[None]
        inputs_1T = np.concatenate(([[model.tokenizer.boundary_id]], targets_1T[:, :-1]), axis=1)
        logprob_1T, _ = model.score(inputs_1T, targets_1T, model.initial_state(1))
        facts = {"text": line, "ids": inputs_1T[0].tolist(), "logprobs": logprob_1T[0].tolist()}
        facts["decoded"] = model.tokenizer.decode(targets_1T[0])
        texts.append(facts | {"greedy": _greedy(model, inputs_1T)})
    return {"boundary": model.tokenizer.boundary_id, "texts": texts}


def _greedy(model, ids_1T) -> list[int]:
    state, chosen = model.initial_state(1), []
    for _ in range(STEPS):
        logprob_1TV, state = model.predict(ids_1T, state)
        chosen.append(int(logprob_1TV[0, -1].argmax()))
        ids_1T = np.array([[chosen[-1]]])
        if chosen[-1] == model.tokenizer.boundary_id:
            break
    return chosen


if __name__ == "__main__":
    export_all(Path(sys.argv[1]))
