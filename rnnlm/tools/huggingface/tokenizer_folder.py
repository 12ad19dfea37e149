"""The tokenizer in the folder of a model of transformers, and what its texts begin and end with."""

import json
from pathlib import Path
from typing import Any

from rnnlm.errors import ModelError, shown
from rnnlm.storage.files.reading import decode_json, read_json, read_small
from rnnlm.tools.huggingface.tokenizer import HuggingFaceTokenizer
from rnnlm.tools.huggingface.tokenizer_file import (
    DAMAGED,
    MOST_PIECES,
    TOKENIZER_FILE,
    TokenizerFile,
    naming_failures,
)

LARGEST_TOKENIZER = 1 << 27  # bytes: 260,000 pieces take 34 MB
# Names that end tokens usually have, where no file names the end token
_ENDS = ("</s>", "<|endoftext|>", "<|end_of_text|>", "<eos>", "<|im_end|>", "[EOS]", "[SEP]")


def tokenizer_in(folder: Path) -> HuggingFaceTokenizer:
    """Return the tokenizer in the folder of a model of Hugging Face. V is the model's, where
    config.json says it.

    Raises:
        ModelError: there is no tokenizer.json, it is damaged, or nothing names its end token.
    """
    try:
        data = read_small(folder / TOKENIZER_FILE, LARGEST_TOKENIZER)
    except FileNotFoundError:
        raise _no_tokenizer(folder) from None
    except OSError as error:
        raise ModelError(
            f"cannot read {folder / TOKENIZER_FILE}", error.strerror or str(error)
        ) from None
    config = _json_in(folder, "config.json")
    size = _named(config, "vocab_size")
    if padding_rows(config):
        size = config["predicted_size"]
        data = _without_token(data, config["pad_token_id"])
    if size is not None and (type(size) is not int or not 1 <= size <= MOST_PIECES):
        raise ModelError(f"{folder / 'config.json'} is damaged", f"vocab_size is {shown(size)}")
    try:
        return HuggingFaceTokenizer(data, _end_of(folder, config, data), size)
    except ModelError as error:
        raise ModelError(f"{folder}: " + error.what, error.why, error.hint) from None


def padding_rows(config: dict[str, Any]) -> int:
    """Return how many rows at the end of the model's vocabulary are padding, which is no part of V:
    the rows that `rnnlm export --hf` adds, unless words were added behind them."""
    predicted, size = config.get("predicted_size"), config.get("vocab_size")
    if not (isinstance(predicted, int) and isinstance(size, int)):
        return 0
    is_last = config.get("pad_token_id") == size - 1
    return size - predicted if is_last and 0 < predicted < size else 0


def _without_token(data: bytes, id: int) -> bytes:
    """Return a tokenizer.json without an added token."""
    with naming_failures(ModelError, DAMAGED, f"{TOKENIZER_FILE}: "):
        content = decode_json(data, dict[str, Any])
        tokens = [token for token in content["added_tokens"] if token["id"] != id]
        return json.dumps(content | {"added_tokens": tokens}).encode()


def _no_tokenizer(folder: Path) -> ModelError:
    slow = [
        name for name in ("tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
        if (folder / name).exists()
    ]  # fmt: skip
    if not slow:
        return ModelError(
            f"{folder} has no tokenizer",
            f"{TOKENIZER_FILE} is missing",
            f"AutoTokenizer.from_pretrained(NAME).save_pretrained({str(folder)!r}) writes it",
        )
    return ModelError(
        f"{folder} has no {TOKENIZER_FILE}",
        f"it has {slow[0]}, of a tokenizer of another form",
        f"convert it: AutoTokenizer.from_pretrained({str(folder)!r}).save_pretrained(FOLDER)",
    )


def _json_in(folder: Path, name: str) -> dict[str, Any]:
    if not (folder / name).exists():
        return {}
    return read_json(folder / name, dict[str, Any], ModelError, f"{folder / name} is damaged")


def _named(config: dict[str, Any], name: str) -> Any:
    """Return a setting of a model; if it also reads pictures or sound, the setting for its text."""
    of_text = config.get("text_config")
    if config.get(name) is None and isinstance(of_text, dict):
        return of_text.get(name)
    return config.get(name)


def beginning_in(folder: Path, tokenizer: HuggingFaceTokenizer) -> tuple[tuple[int, ...], bool]:
    """Return the ids that the model in a folder reads before a text, and whether its tokenizer puts
    them there: the ids of its template, else the first token that the settings name. () where
    nothing says it."""
    in_template = tokenizer.template_begin
    if in_template and max(in_template) < tokenizer.size:
        return in_template, True

    about = _json_in(folder, "tokenizer_config.json")
    named = tokenizer.special_tokens.get(_name_in(about, "bos_token"))
    if named is not None and about.get("add_bos_token") is True:
        return (named,), True
    files = ("config.json", "generation_config.json")
    in_settings = [_named(_json_in(folder, name), "bos_token_id") for name in files]
    # The default of a family may be any token of this tokenizer.
    for id in (*in_settings, named):
        if type(id) is int and id in tokenizer.special_ids:
            return (id,), False
    return (), False


def _name_in(settings: dict[str, Any], token: str) -> str:
    """Return the name of a token in tokenizer_config.json; "" if there is none."""
    named = settings.get(token)
    name = named.get("content") if isinstance(named, dict) else named
    return name if isinstance(name, str) else ""


def _end_of(folder: Path, config: dict[str, Any], data: bytes) -> int:
    """Return the id of the end token: the one that the model names, else its tokenizer, else the
    usual ones."""
    for settings in (config, _json_in(folder, "generation_config.json")):
        end = _named(settings, "eos_token_id")
        first = end[0] if isinstance(end, list) and end else end
        if isinstance(first, int) and not isinstance(first, bool):
            return first

    tokens = {token.content: token.id for token in TokenizerFile(data).added_tokens}
    named = _name_in(_json_in(folder, "tokenizer_config.json"), "eos_token")
    for name in (named, *_ENDS):
        if name in tokens:
            return tokens[name]
    raise ModelError(
        "it names no end token",
        "looked for eos_token_id in config.json and generation_config.json, eos_token in "
        f"tokenizer_config.json, and {', '.join(_ENDS)} among the special tokens",
        "name it in config.json: eos_token_id",
    )
