"""Load a model of transformers, and make sure that it gives the same logits however it reads a
text."""

import contextlib
import logging
import math
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rnnlm.errors import ModelError, notice, require_package
from rnnlm.lm.neural.device import resolve_device
from rnnlm.storage.files import tensors
from rnnlm.tools.huggingface import hub
from rnnlm.tools.huggingface.model import CACHES, Beginning, HuggingFaceModel
from rnnlm.tools.huggingface.tokenizer import (
    HuggingFaceTokenizer,
    beginning_in,
    padding_rows,
    tokenizer_in,
)

LONGEST_WINDOW = 4096  # tokens, also of models that know no limit
# Names of the limit in configurations: most families, MPT, decoders of speech.
POSITIONS = ("max_position_embeddings", "max_seq_len", "max_target_positions")
# How many more numbers than the weights a network may have: some tables are not stored
MOST_TIMES, MOST_MORE = 2, 1 << 24
MOST_IN_TABLES = 1 << 28  # numbers that are computed, such as masks: of known models, 150 million
_WITHOUT_NUMBERS = re.compile(r"(?<=\.)\d+(?=\.)")
# A text that a model reads in several ways before it is used; some families mix up rows.
CHECKED_ROWS, CHECKED_TOKENS = 2, 8
MOST_DIFFERENCE = 1e-4  # nats, between these ways
ROUNDING = 1e-5  # of the largest logit


def load(folder: Path, device: str, fingerprint: str) -> HuggingFaceModel:
    """Load the causal language model in a folder."""
    # Load network and tokenizer without transformers' own messages.
    target = resolve_device(device)
    transformers = require_package("transformers", "hf", "models of Hugging Face")
    tokenizer = tokenizer_in(folder)
    with _silence(transformers):
        network = _network(transformers, folder).to(target).eval()
    window = _window(network)
    beginning = _beginning(folder, tokenizer, window)
    model = HuggingFaceModel(network, tokenizer, window, fingerprint, beginning)
    model.padding_rows = padding_rows(network.config.to_dict())
    refused = f"the model at {folder} cannot be used: it is a {type(network).__name__}"

    # Try the network, before time goes into a text: it must predict the tokens of its tokenizer.
    with _refusing_failures(refused):
        one = torch.zeros((1, 1), dtype=torch.int64, device=target)
        size = model.forward(one, 1).logits.shape[2]
    if size != tokenizer.size:
        raise ModelError(
            f"the model at {folder} and its tokenizer do not fit",
            f"the model predicts {size:,} tokens, and the tokenizer has {tokenizer.size:,}",
            "call resize_token_embeddings of transformers, and save it again",
        )
    with _silence(transformers):
        _check_ways_of_reading(model, folder, refused)
    return model


@contextlib.contextmanager
def _silence(transformers: Any) -> Iterator[None]:
    """Keep the log, the progress bars and the warnings of transformers off the terminal."""
    log = logging.getLogger("transformers")
    level = log.level
    log.setLevel(logging.CRITICAL)
    transformers.utils.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _network(transformers: Any, folder: Path) -> Any:
    """Load the network of a folder, in fp32 on the CPU."""
    options = {"local_files_only": True, "trust_remote_code": hub.trusts_remote_code()}
    _check_size(transformers, folder, options)
    try:
        network, loading = transformers.AutoModelForCausalLM.from_pretrained(
            str(folder),
            dtype=torch.float32,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # named below; its own error names no weight
            output_loading_info=True,
            **options,
        )
    except Exception as error:  # of any class: the code of a family is not ours
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ModelError(f"the model at {folder} cannot be loaded", why) from None

    # Transformers draws weights at random that are missing, or have another shape.
    mismatched = [name for name, *_ in loading["mismatched_keys"]]
    wrong = sorted([*loading["missing_keys"], *mismatched])
    if wrong:
        raise ModelError(
            f"the model at {folder} is damaged",
            f"weights are missing, or have another shape: {wrong[0]}",
        )
    # Weights of a head that this class does not have may be left over, but not weights of a layer.
    kinds = {_WITHOUT_NUMBERS.sub("", name) for name in network.state_dict()}
    for name in sorted(loading["unexpected_keys"]):
        kind = _WITHOUT_NUMBERS.sub("", name)
        if kind != name and any(known.endswith(kind) or kind.endswith(known) for known in kinds):
            raise ModelError(
                f"the model at {folder} is damaged",
                f"weights are left over, as config.json describes fewer layers: {name}",
            )
    # Another form of output has no logits by name.
    network.config.return_dict = True
    return network


def _check_size(transformers: Any, folder: Path, options: dict[str, Any]) -> None:
    """Refuse a config.json that describes a far larger network than the weights have, before its
    memory is taken. Code that the user trusts is not asked."""
    if options["trust_remote_code"]:
        return
    try:
        config = transformers.AutoConfig.from_pretrained(str(folder), **options)
        with torch.device("meta"):
            network = transformers.AutoModelForCausalLM.from_config(config)
    except Exception:  # of any class; loading reports faults
        return
    described = sum(weight.numel() for weight in network.parameters())
    computed = sum(table.numel() for table in network.buffers())
    stored = 0
    for path in folder.glob(hub.WEIGHTS):
        stored += sum(math.prod(shape) for _, shape in tensors.shapes(path).values())
    if described > MOST_TIMES * stored + MOST_MORE or computed > MOST_IN_TABLES:
        raise ModelError(
            f"the model at {folder} is damaged",
            f"its config.json describes {described:,} numbers and tables of {computed:,}, and its "
            f"weights are {stored:,}",
        )


def _window(network: Any) -> int:
    """Return how many tokens the model reads at most."""
    window = LONGEST_WINDOW
    for limit in [getattr(network.config, name, None) for name in POSITIONS]:
        if type(limit) is int and limit > 0:
            window = min(window, limit - _unused_positions(network, limit))
    if window < 1:
        raise ModelError("the model cannot be used", "no token has a position")
    return window


def _unused_positions(network: Any, limit: int) -> int:
    """Return how many of the positions no token can have: RoBERTa counts from behind the number of
    its padding."""
    for module in network.modules():
        is_table = isinstance(module, torch.nn.Embedding) and module.num_embeddings == limit
        if is_table and module is not network.get_input_embeddings():
            return 0 if module.padding_idx is None else module.padding_idx + 1
    return 0


def _beginning(folder: Path, tokenizer: HuggingFaceTokenizer, window: int) -> Beginning:
    """Return the symbols that the network reads before a text, with a note if nothing names
    them."""
    ids, in_each = beginning_in(folder, tokenizer)
    if not ids:
        notice(
            f"the model at {folder} does not say what its texts begin with: "
            f"its end token, {tokenizer.end_token}, is read before each"
        )
        ids = (tokenizer.boundary_id,)
    if len(ids) > max(1, window // 2):
        raise ModelError(
            f"the model at {folder} cannot be used",
            f"its tokenizer puts {len(ids):,} tokens before each text, and it reads {window:,}",
        )
    return Beginning(ids, in_each)


# ---- Whether a model gives the same logits however it reads a text.


@contextlib.contextmanager
def _refusing_failures(refused: str) -> Iterator[None]:
    """Turn errors of a network in this context into an error that refuses it."""
    try:
        yield
    except Exception as error:  # of any class, as above
        why = f"reading a text fails: {type(error).__name__}: {error}".splitlines()[0]
        raise ModelError(refused, why) from None


def _check_ways_of_reading(model: HuggingFaceModel, folder: Path, refused: str) -> None:
    """Read a few tokens as a whole, in part and one by one, and a full window. Refuse a model that
    cannot, or whose logits then differ, and note whether it has a cache to read with one by one."""
    tokens = min(CHECKED_TOKENS, model.window)
    part = max(1, tokens // 2)
    ids_RN = _some_text(model, CHECKED_ROWS, tokens)
    with _refusing_failures(refused):
        whole_RNV = model.forward(ids_RN, tokens).logits
        part_RNV = model.forward(ids_RN[:, :part], part).logits
        # A table of positions may be shorter than the limit that is stated.
        if model.window < LONGEST_WINDOW:
            model.forward(_some_text(model, 1, model.window), 1)
    if bool(whole_RNV.isnan().any()):
        raise ModelError(f"the model at {folder} is damaged", "its predictions are not numbers")
    if difference := _difference(part_RNV, whole_RNV[:, :part]):
        raise ModelError(refused, f"later tokens change earlier predictions, {difference}")
    if difference := _difference_step_by_step(model, ids_RN, whole_RNV):
        raise ModelError(refused, f"read token by token its predictions differ, {difference}")


def _some_text(model: HuggingFaceModel, rows: int, tokens: int) -> torch.Tensor:
    """Return random text (rows, tokens) as it is read: its beginning, tokens, line ends."""
    generator = torch.Generator().manual_seed(0)
    text_V = torch.from_numpy(np.flatnonzero(model.tokenizer.is_text_V))
    ids_RN = text_V[torch.randint(len(text_V), (rows, tokens), generator=generator)]
    ids_RN[:, tokens // 2] = model.tokenizer.boundary_id
    begin = torch.tensor(model.beginning.ids[:tokens])
    ids_RN[:, : len(begin)] = begin
    return ids_RN.to(model.device)


def _difference_step_by_step(
    model: HuggingFaceModel, ids_RN: torch.Tensor, whole_RNV: torch.Tensor
) -> str | None:
    """Return how the logits differ where tokens are read one by one, with transformers' cache,
    after the first half of them."""
    # Read the first half at once, then each token from the cache, as long as the logits agree.
    time = max(1, ids_RN.shape[1] // 2)
    options: dict[str, Any] = {}
    ids_RT = ids_RN[:, :time]
    while True:
        try:
            output = model.forward(ids_RT, 1, use_cache=True, **options)
        except Exception:  # of any class
            return None  # such a model is read from its cut on for each token
        difference = _difference(output.logits[:, 0], whole_RNV[:, time - 1])
        cache_name = next((name for name in CACHES if name in output), None)
        if difference is not None or cache_name is None:
            return difference
        if time == ids_RN.shape[1]:
            break
        options = {cache_name: output[cache_name]}
        ids_RT = ids_RN[:, time : time + 1]
        time += 1

    # The cache can be used if its rows can be selected.
    if hasattr(output[cache_name], "reorder_cache"):
        model.cache_name = cache_name
    return None


def _difference(first: torch.Tensor, second: torch.Tensor) -> str | None:
    """Return by how much log-probabilities differ; None if it is rounding."""
    gap = float((first.log_softmax(-1) - second.log_softmax(-1)).abs().max())
    allowed = MOST_DIFFERENCE + ROUNDING * float(second.abs().max())
    return None if gap <= allowed else f"by {gap:.2g} nats"
