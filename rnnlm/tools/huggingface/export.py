"""Write a recurrent language model as a folder that `transformers` loads, without rnnlm."""

import functools
import json
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm.errors import SettingsError, UsageError, first_of
from rnnlm.interface import BOUNDARY, UNKNOWN, Tokenizer
from rnnlm.lm.base import loading
from rnnlm.lm.neural.layers import steps
from rnnlm.lm.neural.trained_network import PortableNetwork, portable_network
from rnnlm.storage.files import outputs, tensors
from rnnlm.storage.files.outputs import exported_folder
from rnnlm.storage.manifest import CONFIG, read_manifest
from rnnlm.text import normalisation
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers.sentencepiece import MODEL_FILE
from rnnlm.text.tokenizers.vocabulary import VocabularyTokenizer
from rnnlm.tools.huggingface import network_rnnlm
from rnnlm.tools.huggingface.tokenizer import HuggingFaceTokenizer, byte_of_letter
from rnnlm.tools.huggingface.tokenizer_file import TOKENIZER_FILE
from rnnlm.training import card

# The files that transformers runs: two lie beside this one, and the equations of layers.
CODE = {
    "modeling_rnnlm.py": Path(__file__).with_name("modeling_rnnlm.py"),
    "network_rnnlm.py": Path(__file__).with_name("network_rnnlm.py"),
    "steps_rnnlm.py": Path(steps.__file__),
}
# How far the bias of padding is below all others: its probability is zero. It is finite, so that
# entropies and divergences are numbers, and small enough to leave label smoothing as it is.
PADDING_BIAS = 100
_CARD_HEADER = """\
---
library_name: transformers
pipeline_tag: text-generation
tags: [rnnlm, {kind}]
---
"""
_USAGE = """\
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained({folder}, trust_remote_code=True)
model = AutoModelForCausalLM.from_pretrained({folder}, trust_remote_code=True)
```

`trust_remote_code=True` runs `modeling_rnnlm.py`, `network_rnnlm.py` and `steps_rnnlm.py` from
this folder: plain torch, without rnnlm, for transformers 4.57 and later. The tokenizer puts `</s>`
before each text; the model ends a line with the same symbol. Batches are padded with `<pad>`, whose
probability is 0.
"""


def export(name: str | Path, folder: Path, overwrite: bool = False) -> None:
    """Write the recurrent language model of that name as a folder for transformers.

    Raises:
        ModelError: there is no model of that name, or it is damaged.
        UsageError: the model is no recurrent network with a softmax over all words.
        SettingsError: transformers has no form for its tokenizer.
        OutputError: `folder` cannot be written, or it holds something else and `overwrite` is not
            set.
    """
    model = loading.language_model_of(name, "cpu")

    # The code in the folder must have its layers.
    network = portable_network(model, str(name), takes_mixtures=True)
    if network.settings.model not in network_rnnlm.LAYERS:
        why = f"the exported code has no layers of a {network.settings.model}"
        hint = f"train one of {first_of([*network_rnnlm.LAYERS])}: rnnlm train --model lstm"
        raise UsageError("this model has no form for transformers", why, hint)

    noun, mark = "model for transformers", next(iter(CODE))
    with exported_folder(folder, noun, CONFIG, overwrite, mark):
        outputs.save_folder(folder, _files(name, folder, network, model.tokenizer))


def _files(
    name: str | Path, folder: Path, network: PortableNetwork, tokenizer: Tokenizer
) -> dict[str, Any]:
    """Return the content of the files by name: first the one that describes the folder, last those
    that only our folders have, which get their names first."""
    tokenizer_content, padding_id = tokenizer_files(tokenizer)

    # Their settings; the vocabulary has a row for padding.
    special = dict.fromkeys(("bos_token_id", "eos_token_id"), tokenizer.boundary_id)
    special["pad_token_id"] = padding_id
    config = config_of(network, tokenizer) | special
    config["vocab_size"] = max(tokenizer.size, padding_id + 1)

    # Texts, code and weights.
    manifest = read_manifest(loading.find(name))
    shown = folder.resolve().name
    usage = _USAGE.format(folder=json.dumps(shown, ensure_ascii=False))
    header = _CARD_HEADER.format(kind=manifest.model)
    text = header + card.text(shown, manifest, tokenizer, usage)
    files: dict[str, Any] = {
        CONFIG: [_as_json(config)],
        "generation_config.json": [_as_json(special)],
        "README.md": [text.encode("utf-8", "backslashreplace")],
    }
    files |= {file: [data] for file, data in tokenizer_content.items()}
    arrays = {f"network.{key}": array for key, array in weights_of(network).items()}

    # Add rows of padding, which is read as zeros and never predicted, to the words' arrays.
    for name in ("network.embedding.weight", "network.output.weight", "network.output_bias.0"):
        if name in arrays:
            value = arrays[name].min() - PADDING_BIAS if name.endswith("bias.0") else 0
            widths = [
                (0, (config["vocab_size"] - tokenizer.size)),
                *[(0, 0)] * (arrays[name].ndim - 1),
            ]
            arrays[name] = np.pad(arrays[name], widths, constant_values=value)

    files["model.safetensors"] = tensors.chunks(arrays, {"format": "pt"})
    files |= {file: [CODE[file].read_bytes()] for file in reversed(CODE)}
    return files


def weights_of(network: PortableNetwork) -> dict[str, np.ndarray]:
    """Return the weights, by the names of network_rnnlm.py."""
    return {
        "output_bias.0" if key == "output.bias" else key: array
        for key, array in network.arrays.items()
    }


def config_of(network: PortableNetwork, tokenizer: Tokenizer) -> dict[str, Any]:
    """Return the content of config.json."""
    settings, arrays = network.settings, network.arrays
    projection = arrays.get("projection.bias")
    config: dict[str, Any] = {
        "model_type": "rnnlm",
        "architectures": ["RnnlmForCausalLM"],
        "auto_map": {
            "AutoConfig": "modeling_rnnlm.RnnlmConfig",
            "AutoModelForCausalLM": "modeling_rnnlm.RnnlmForCausalLM",
        },
        "vocab_size": tokenizer.size,
        "predicted_size": tokenizer.size,
        "tie_word_embeddings": network.is_tied,
        "embedding_size": arrays["embedding.weight"].shape[1],
        "layer_sizes": list(settings.widths),
        "hidden_size": settings.widths[-1],
        "num_hidden_layers": settings.layers,
        "projection_size": None if projection is None else len(projection),
        "connections": settings.connections,
        "cell": settings.model,
    }
    if network.settings.output_layer == "mos":
        config |= {
            "mixture_components": settings.mixture_components,
            "mixture_size": settings.embedding_size,
        }
    # The direction of the update gate is in the weights.
    config |= settings.form
    config.pop("update_gate", None)
    return config


def _as_json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=2).encode() + b"\n"


# ---- A tokenizer of ours as the files of a fast tokenizer of Hugging Face: tokenizer.json, with
# the same ids, and tokenizer_config.json.
#
# The boundary `</s>` comes first in every text, and never last. A newline in a text is the
# boundary, without the blank lines beside it, as in continuations; so is `</s>` itself. Batches are
# padded with a symbol of its own, `<pad>`, since programs leave padding out of losses and masks,
# wherever it is.
#
# A tokenizer.json rewrites a text step by step, finds special symbols in it, cuts it, and looks the
# pieces up. `tokenizers` rewrites `</s>`, too, and shows the result, so no step may change it.

Part = dict[str, Any]  # of a tokenizer.json

PADDING = "<pad>"
# Stand for something else while a text is rewritten. Unicode has set these code points aside for
# such a use: they are not characters.
_BOUNDARY_MARK, _UNKNOWN_MARK, _CLOSING_MARK = "\ufdd0", "\ufdd1", "\ufdd2"
_BLANK = r"[ \t\r\x00]"
_ANY = "(?m:.)"  # newlines, too


def tokenizer_files(tokenizer: Tokenizer) -> tuple[dict[str, bytes], int]:
    """Return the files, by name, from which `AutoTokenizer.from_pretrained` loads a tokenizer with
    the ids of `tokenizer`, and the id of its padding, which is V or beyond unless the tokenizer was
    taken from another model. Such a one keeps its own way with newlines.

    Raises:
        SettingsError: a tokenizer.json cannot rewrite texts as this tokenizer does.
    """
    assert isinstance(tokenizer, VocabularyTokenizer)
    if isinstance(tokenizer, HuggingFaceTokenizer):
        import tokenizers

        # Add padding, unless the other model has some.
        content: Part = json.loads(tokenizer.to_files()[TOKENIZER_FILE])
        content["model"].pop("dropout", None)
        theirs = tokenizers.Tokenizer.from_str(json.dumps(content))
        theirs.add_special_tokens([PADDING])
        content = json.loads(theirs.to_str())
        boundary, padding, padding_id = tokenizer.end_token, PADDING, theirs.token_to_id(PADDING)
        assert padding_id is not None  # it was added
    else:
        settings = tokenizer.settings
        if tokenizer.name not in _PARTS:
            raise SettingsError(
                f"the {tokenizer.name} tokenizer cannot be written for Hugging Face",
                "a tokenizer.json cannot normalise texts as it does",
            )
        if {"entities", "ccnet"} & {*(settings.normalise or "").split(",")}:
            raise SettingsError(
                f"normalise = {settings.normalise} cannot be written for Hugging Face",
                "a tokenizer.json cannot decode HTML entities, nor read texts as CCNet does",
                "train with the other forms, on text that `rnnlm.normalise` of Python has decoded",
            )
        if settings.remove_punctuation and settings.tokenizer != "word":
            raise SettingsError(
                f"remove_punctuation of the {settings.tokenizer} tokenizer cannot be written for "
                "Hugging Face",
                "a tokenizer.json cannot tell where it changes white space",
                "train without it, or with the word tokenizer",
            )

        boundary, padding, padding_id = BOUNDARY, PADDING, tokenizer.size
        while padding in tokenizer.vocabulary.symbols:  # a word of the text
            padding = f"<{padding}>"
        # The boundary is found where a newline was, padding before a step could rewrite its name.
        added = [
            _special(boundary, tokenizer.boundary_id, normalized=True),
            _special(padding, padding_id, normalized=False),
        ]
        content = {"version": "1.0", "added_tokens": added, **_PARTS[tokenizer.name](tokenizer)}

    # The boundary comes before a text, and between two.
    first = {"SpecialToken": {"id": boundary, "type_id": 0}}
    text, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    symbol = {"id": boundary, "ids": [tokenizer.boundary_id], "tokens": [boundary]}
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [first, text],
        "pair": [first, text, first, second],
        "special_tokens": {boundary: symbol},
    }
    content["truncation"] = content["padding"] = None
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": boundary,
        "eos_token": boundary,
        "pad_token": padding,
        "padding_side": "left",  # a batch generates from its last places
        # Without these names, transformers 4.5x hands token types to models that take none.
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        # No unk_token: transformers would find <unk> inside words, too, and leave it out of texts
        # that are shown without special tokens.
    }
    return {TOKENIZER_FILE: _json(content), "tokenizer_config.json": _json(config)}, padding_id


def _special(symbol: str, id: int, normalized: bool) -> Part:
    """Return a special symbol. normalized: it is found in the text as rewritten."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
    return {"id": id, "content": symbol, **flags, "normalized": normalized, "special": True}


def _json(value: Part) -> bytes:
    return (json.dumps(value, ensure_ascii=False) + "\n").encode("utf-8")


# ---- The steps that rewrite a text, in our order.


def _replace(pattern: str, content: str) -> Part:
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}


def _replace_text(old: str, new: str) -> Part:
    return {"type": "Replace", "pattern": {"String": old}, "content": new}


def _steps(settings: TokenizerSettings) -> list[Part]:
    """Return the steps that rewrite a text."""
    steps = [
        _replace(rf"\A(?:{_BLANK}*\n)+(?:{_BLANK}*\z)?", ""),
        _replace(rf"\r?\n(?:{_BLANK}*\n)*(?:{_BLANK}*\z)?", BOUNDARY),
        *_form_steps(settings.normalise or ""),
    ]
    if settings.remove_punctuation:
        steps += _removal_steps()
    if settings.lowercase:
        # Python writes the sigma at the end of a word as such, Rust does not.
        before, after = r"\p{Cased}\p{Case_Ignorable}*", r"\p{Case_Ignorable}*\p{Cased}"
        steps.append(_replace(rf"(?<={before})\u03a3(?!{after})", "\u03c2"))
        steps.append({"type": "Lowercase"})
    return steps


def _form_steps(forms: str) -> list[Part]:
    """Return the steps of `normalise`; steps that depend on each other are in its order."""
    steps = []
    if "spaces" in forms:
        # Soft hyphens go first. A text that is a special symbol without them stays text.
        shy = normalisation.SOFT_HYPHEN
        spelled = "|".join(f"{shy}*".join(symbol) for symbol in ("s>", "/s>", "unk>"))
        steps.append(_replace(rf"(?i)<(?!/?s>|unk>)(?={shy}*(?:{spelled}))", "&lt;"))
        steps.append(_replace_text(shy, ""))
    if "nfc" in forms:
        steps.append({"type": "NFC"})
    for form, replacements in normalisation.CHARACTERS.items():
        if form in forms:
            for new in sorted(set(replacements.values())):
                olds = sorted(old for old in replacements if replacements[old] == new)
                steps.append(_replace(_class(olds), new))
    if "spaces" in forms:
        steps.append(_replace("  +", " "))
    return steps


def _removal_steps() -> list[Part]:
    """Return the steps that remove punctuation from a text whose words are split on spaces."""
    other = rf"[^ \t\r\x00{_BOUNDARY_MARK}]"
    return [
        # Special symbols stay, `<unk>` only as a word.
        _replace_text(BOUNDARY, _BOUNDARY_MARK),
        _replace(f"(?<!{other}){UNKNOWN}(?!{other})", _UNKNOWN_MARK),
        _replace(_outer_apostrophes(), " "),
        _replace(f"[{_APOSTROPHES}]", "'"),
        _replace(_marks(), " "),
        _replace_text(_BOUNDARY_MARK, BOUNDARY),
        _replace_text(_UNKNOWN_MARK, UNKNOWN),
    ]


# ---- Classes of characters, from Python's Unicode: the version of `tokenizers` may be newer.

_APOSTROPHES = "'\u2019"
_CHARACTERS = range(0x40000)  # beyond are no letters and no marks


@functools.cache
def _marks() -> str:
    """Return a pattern for punctuation marks and symbols but apostrophes."""
    others = (character for character in map(chr, _CHARACTERS) if character not in _APOSTROPHES)
    return _class(mark for mark in others if unicodedata.category(mark)[0] in "PS")


@functools.cache
def _outer_apostrophes() -> str:
    """Return a pattern for apostrophes that are not inside a word."""
    in_word = _class(part for part in map(chr, _CHARACTERS) if part.isalnum() or part == "_")
    return f"(?<!{in_word})[{_APOSTROPHES}]|[{_APOSTROPHES}](?!{in_word})"


def _class(characters: Iterable[str]) -> str:
    """Return a pattern for these characters, which ascend."""
    ranges: list[list[int]] = []
    for point in map(ord, characters):
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    return "[" + "".join(rf"\x{{{first:x}}}-\x{{{last:x}}}" for first, last in ranges) + "]"


# ---- The differences between our tokenizers: how a text is cut, looked up, and joined again.


def _split(pattern: str, behavior: str) -> Part:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": False}


def _sequence(kind: str, steps: list[Part]) -> Part:
    return {"type": "Sequence", kind: steps}


def _word_level(symbols: Sequence[str]) -> Part:
    ids = {symbol: id for id, symbol in enumerate(symbols)}
    return {"type": "WordLevel", "vocab": ids, "unk_token": UNKNOWN}


def _word_parts(tokenizer: VocabularyTokenizer) -> dict[str, Part]:
    steps = _steps(tokenizer.settings)
    cuts = [_split(f"{_BLANK}+", "Removed")]
    joins: list[Part] = [{"type": "WordPiece", "prefix": "\n", "cleanup": False}]  # adds spaces
    if tokenizer.settings.split_punctuation:
        cuts.append(_split(f"{UNKNOWN}|{_marks()}|{_outer_apostrophes()}", "Isolated"))
        joins += _join_steps()
    return {
        "normalizer": _sequence("normalizers", steps),
        "pre_tokenizer": _sequence("pretokenizers", cuts),
        "model": _word_level(tokenizer.vocabulary.symbols),
        "decoder": _sequence("decoders", joins),
    }


def _join_steps() -> list[Part]:
    """Return the steps that join words and marks as a person would print them."""
    return [
        {"type": "Fuse"},
        _replace(r"\A", " "),
        # Quotation marks look alike, so they are taken in pairs: a closing one is marked.
        _replace(r' "(?: ?[^"\n])*?\K ?"', f'"{_CLOSING_MARK}'),
        _replace(r'(?<= ") +', ""),
        _replace_text(_CLOSING_MARK, ""),
        _replace(r"(?<=[(\[{\u201c\u2018]) ", ""),
        _replace(r" (?=[.,;:!?%)\]}\u201d\u2026])", ""),
        _replace(r"\A ", ""),
    ]


def _char_parts(tokenizer: VocabularyTokenizer) -> dict[str, Part]:
    symbol = f"{UNKNOWN}|" if tokenizer.literal_unk == "symbol" else ""
    return {
        "normalizer": _sequence("normalizers", _steps(tokenizer.settings)),
        "pre_tokenizer": _split(f"{symbol}{_ANY}", "Isolated"),
        "model": _word_level(tokenizer.vocabulary.symbols),
        "decoder": {"type": "Fuse"},
    }


def _byte_parts(tokenizer: VocabularyTokenizer) -> dict[str, Part]:
    letters = {byte: letter for letter, byte in byte_of_letter().items()}
    symbols = [BOUNDARY, *(letters[byte] for byte in range(256))]
    in_letters = {
        "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False
    }  # fmt: skip
    return {
        "normalizer": _sequence("normalizers", _steps(tokenizer.settings)),
        "pre_tokenizer": _sequence("pretokenizers", [in_letters, _split(_ANY, "Isolated")]),
        "model": _word_level(symbols),
        "decoder": in_letters,
    }


def _sentencepiece_parts(tokenizer: VocabularyTokenizer) -> dict[str, Part]:
    import sentencepiece

    # A space is a space here, since U+2581 in a text is spelled in bytes.
    processor = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.to_files()[MODEL_FILE])
    pieces = [piece.replace("\u2581", " ") for piece in tokenizer.vocabulary.symbols]
    scores = [processor.get_score(id) for id in range(len(pieces))]

    # No piece goes beyond a space, so words are looked up one by one, which is faster. The names of
    # bytes are not names in a text.
    cuts = [_split("<(?=0x[0-9A-F]{2}>)", "MergedWithPrevious"), _split(" ", "MergedWithNext")]
    is_symbol = tokenizer.literal_unk == "symbol"
    unknown = (UNKNOWN, "Isolated") if is_symbol else ("<(?=unk>)", "MergedWithPrevious")
    cuts.insert(0, _split(*unknown))
    first_space = _replace(rf"(?:\A|(?<={BOUNDARY}))(?!{BOUNDARY}|\z)", " ")

    # The likeliest pieces, or pairs joined by their scores; bytes for characters that no piece has.
    if tokenizer.settings.sentencepiece_model == "unigram":
        model: Part = {
            "type": "Unigram",
            "unk_id": tokenizer.unk_id,
            "vocab": list(zip(pieces, scores, strict=True)),
            "byte_fallback": True,
        }
    else:
        texts = {
            piece: score
            for id, (piece, score) in enumerate(zip(pieces, scores, strict=True))
            if not (processor.is_byte(id) or processor.is_control(id) or processor.is_unknown(id))
        }

        # The pairs of pieces that make a piece, in the order in which they are joined.
        merges = []
        for piece in sorted(texts, key=lambda piece: -texts[piece]):
            pairs = [(piece[:at], piece[at:]) for at in range(1, len(piece))]
            merges += [pair for pair in pairs if pair[0] in texts and pair[1] in texts]
        model = {
            "type": "BPE",
            "vocab": {piece: id for id, piece in enumerate(pieces)},
            "merges": merges,
            "byte_fallback": True,
            "ignore_merges": True,  # finds <unk>
        }
    joins: list[Part] = [
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ]
    return {
        "normalizer": _sequence("normalizers", [*_steps(tokenizer.settings), first_space]),
        "pre_tokenizer": _sequence("pretokenizers", cuts),
        "model": model,
        "decoder": _sequence("decoders", joins),
    }


_PARTS = {
    "word": _word_parts,
    "char": _char_parts,
    "byte": _byte_parts,
    "sentencepiece": _sentencepiece_parts,
}
