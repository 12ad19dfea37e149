"""Write a tokenizer of ours as the files of a fast tokenizer of Hugging Face: tokenizer.json, with
the same ids, and tokenizer_config.json.

The boundary `</s>` comes first in every text, and never last. A newline in a text is the boundary,
without the blank lines beside it, as in continuations; so is `</s>` itself.

A tokenizer.json rewrites a text step by step, finds special symbols in it, cuts it, and looks the
pieces up. `tokenizers` rewrites `</s>`, too, and shows what becomes of it, so no step may change
it.
"""

import functools
import json
import sys
import unicodedata
from collections.abc import Iterable
from typing import Any

from rnnlm.errors import SettingsError
from rnnlm.interface import BOUNDARY, UNKNOWN, Tokenizer
from rnnlm.text import normalisation
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import VocabularyTokenizer

Step = dict[str, Any]  # of a tokenizer.json

# Stand for something else while a text is rewritten. Unicode has set these code points aside for
# such a use: they are not characters.
_BOUNDARY_MARK, _UNKNOWN_MARK, _CLOSING_MARK = "\ufdd0", "\ufdd1", "\ufdd2"
_BLANK = r"[ \t\r\x00]"


def tokenizer_files(tokenizer: Tokenizer) -> dict[str, bytes]:
    """Return the files, by name, from which `AutoTokenizer.from_pretrained` loads a tokenizer with
    the ids of `tokenizer`.

    Raises:
        SettingsError: a tokenizer.json cannot do what this tokenizer does to a text.
    """
    if not isinstance(tokenizer, VocabularyTokenizer) or tokenizer.name not in _PARTS:
        raise SettingsError(
            f"the {tokenizer.name} tokenizer cannot be written for Hugging Face",
            "its pieces have no place in a tokenizer.json",
        )
    settings = tokenizer.settings
    _check_expressible(settings)
    boundary = {
        "id": tokenizer.boundary_id,
        "content": BOUNDARY,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": True,  # so that it is found where a newline was
        "special": True,
    }
    first = {"SpecialToken": {"id": BOUNDARY, "type_id": 0}}
    ids_of_first = {"id": BOUNDARY, "ids": [tokenizer.boundary_id], "tokens": [BOUNDARY]}
    whole = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [boundary],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [first, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [
                first,
                {"Sequence": {"id": "A", "type_id": 0}},
                first,
                {"Sequence": {"id": "B", "type_id": 0}},
            ],
            "special_tokens": {BOUNDARY: ids_of_first},
        },
        **_PARTS[tokenizer.name](tokenizer),
    }
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOUNDARY,
        "eos_token": BOUNDARY,
        "pad_token": BOUNDARY,
        # Without these names, transformers 4.5x hands token types to models that take none.
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        # No unk_token: transformers would find <unk> inside words, too, and leave it out of texts
        # that are shown without special tokens.
    }
    return {"tokenizer.json": _json(whole), "tokenizer_config.json": _json(config)}


def _json(value: Step) -> bytes:
    return (json.dumps(value, ensure_ascii=False) + "\n").encode("utf-8")


def _check_expressible(settings: TokenizerSettings) -> None:
    if "entities" in (settings.normalise or ""):
        raise SettingsError(
            "normalise = entities cannot be written for Hugging Face",
            "a tokenizer.json cannot decode HTML entities",
            "train a model on text that `rnnlm normalise` has rewritten, without this setting",
        )


# ---- The steps that rewrite a text, in our order.


def _replace(pattern: str, content: str) -> Step:
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}


def _steps(settings: TokenizerSettings) -> list[Step]:
    """Return the steps that rewrite a text."""
    newline = BOUNDARY
    if settings.tokenizer == "word":
        newline = f" {BOUNDARY} "
    steps = [
        _replace(rf"\A(?:{_BLANK}*\n)+(?:{_BLANK}*\z)?", ""),
        _replace(rf"\r?\n(?:{_BLANK}*\n)*(?:{_BLANK}*\z)?", newline),
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


def _form_steps(forms: str) -> list[Step]:
    """Return the steps of `normalise`; those that depend on each other are in its order."""
    steps = []
    if "spaces" in forms:
        # Soft hyphens go first. What is a special symbol without them stays text.
        shy = normalisation.SOFT_HYPHEN
        spelled = "|".join(f"{shy}*".join(symbol) for symbol in ("s>", "/s>", "unk>"))
        steps.append(_replace(rf"(?i)<(?!/?s>|unk>)(?={shy}*(?:{spelled}))", "&lt;"))
        steps.append(_replace(shy, ""))
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


def _removal_steps() -> list[Step]:
    """Return the steps that remove punctuation from a text whose words are split on spaces."""
    other = rf"[^ \t\r\x00{_BOUNDARY_MARK}]"
    return [
        # Special symbols stay, `<unk>` only as a word.
        _replace(BOUNDARY, _BOUNDARY_MARK),
        _replace(f"(?<!{other}){UNKNOWN}(?!{other})", _UNKNOWN_MARK),
        _replace(_outer_apostrophes(), " "),
        _replace(f"[{_APOSTROPHES}]", "'"),
        _replace(_marks(), " "),
        _replace(_BOUNDARY_MARK, BOUNDARY),
        _replace(_UNKNOWN_MARK, UNKNOWN),
    ]


# ---- Classes of characters, from Python's Unicode: that of `tokenizers` may be newer.

_APOSTROPHES = "'\u2019"


@functools.cache
def _marks() -> str:
    """Return a pattern for punctuation marks and symbols but apostrophes."""
    others = (chr(point) for point in range(sys.maxunicode + 1) if chr(point) not in _APOSTROPHES)
    return _class(mark for mark in others if unicodedata.category(mark)[0] in "PS")


@functools.cache
def _outer_apostrophes() -> str:
    """Return a pattern for apostrophes that are not inside a word."""
    characters = map(chr, range(sys.maxunicode + 1))
    in_word = _class(part for part in characters if part.isalnum() or part == "_")
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


# ---- What differs between our tokenizers: how a text is cut, looked up, and joined again.


def _split(pattern: str, behavior: str) -> Step:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": False}


def _sequence(kind: str, steps: list[Step]) -> Step:
    return {"type": "Sequence", kind: steps}


def _word_level(tokenizer: VocabularyTokenizer) -> Step:
    ids = {symbol: id for id, symbol in enumerate(tokenizer.vocabulary.symbols)}
    return {"type": "WordLevel", "vocab": ids, "unk_token": UNKNOWN}


def _word_parts(tokenizer: VocabularyTokenizer) -> dict[str, Step]:
    steps = _steps(tokenizer.settings)
    cuts = [_split(f"{_BLANK}+", "Removed")]
    joins: list[Step] = [{"type": "WordPiece", "prefix": "\n", "cleanup": False}]  # adds spaces
    if tokenizer.settings.split_punctuation:
        cuts.append(_split(f"{UNKNOWN}|{_marks()}|{_outer_apostrophes()}", "Isolated"))
        joins += _join_steps()
    return {
        "normalizer": _sequence("normalizers", steps),
        "pre_tokenizer": _sequence("pretokenizers", cuts),
        "model": _word_level(tokenizer),
        "decoder": _sequence("decoders", joins),
    }


def _join_steps() -> list[Step]:
    """Return the steps that join words and marks as a person would print them."""
    return [
        {"type": "Fuse"},
        _replace(r"\A", " "),
        # Quotation marks look alike, so they are taken in pairs: a closing one is marked.
        _replace(r' "(?: ?[^"\n])*?\K ?(?:"|(?=\n|\z))', f'"{_CLOSING_MARK}'),
        _replace(r'(?<= ") +', ""),
        _replace(_CLOSING_MARK, ""),
        _replace(r"(?<=[(\[{\u201c\u2018]) ", ""),
        _replace(r" (?=[.,;:!?%)\]}\u201d\u2026])", ""),
        _replace(r"\A ", ""),
    ]


_PARTS = {"word": _word_parts}
