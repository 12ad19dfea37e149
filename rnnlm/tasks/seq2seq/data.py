"""The data of an encoder-decoder: pairs of lines as numbers, the encoder's input and the decoder's
output; and the pairs of a training run, with those held out.
"""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, NoReturn

import msgspec
import numpy as np

from rnnlm import registry
from rnnlm.amounts import plural
from rnnlm.choices import THE_DATA
from rnnlm.config import ResolvedSettings, as_text
from rnnlm.errors import ModelError, SettingsError, TextError, UsageError, keyword, notice
from rnnlm.interface import Encoded, Tokenizer
from rnnlm.lm.base import loading
from rnnlm.storage.files.reading import decode_json
from rnnlm.tasks.common.example_texts import files_of_parts, with_held_out
from rnnlm.tasks.seq2seq.options import (
    OF_TARGET,
    ParallelSettings,
    SourceTokenizerSettings,
    TargetTokenizerSettings,
)
from rnnlm.tasks.seq2seq.pairs import ParallelPair, ParallelText, read_pairs
from rnnlm.tasks.seq2seq.settings import Seq2SeqFittingSettings
from rnnlm.text import tokenizers
from rnnlm.text.batches import can_be_read, is_surely_short, tell_too_long
from rnnlm.text.line_forms import tell_unspaced_words
from rnnlm.text.lines import Block, HoldoutSettings, Progress
from rnnlm.text.sources import settings_for
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.training.request import Texts, TrainingRequest

# ---- The tokenizers of an encoder-decoder, as a model stores them: one for its input, and one for
# its output.

FILE = "pairs.json"
TARGET = "target-"  # before the names of the files of the target's tokenizer


class PairCodec:
    """Two tokenizers, or one for both sides. A model stores it where a language model stores its
    tokenizer.

    details: the facts about its data that a model's folder records, in JSON types: `spelled`,
    whether sources are spelled (letters split by spaces), so that a word's symbols are the symbols
    of its line; `column`, the name of their column.
    """

    def __init__(
        self,
        source: Tokenizer,
        target: Tokenizer | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        self.source, self.target = source, source if target is None else target
        self.is_shared = target is None
        self.details = dict(details or {})

    @property
    def spelled(self) -> bool:
        """Whether the sources of the training data are spelled."""
        return bool(self.details.get("spelled"))

    @property
    def column(self) -> str | None:
        """The name of the column of sources in the training data."""
        return self.details.get("column")

    @property
    def name(self) -> str:
        """The name of the source's tokenizer."""
        return self.source.name

    @property
    def size(self) -> int:
        """How many tokens the decoder predicts, the boundary included."""
        return self.target.size

    def spelling(self) -> NoReturn:
        """Refuse: an encoder-decoder reads no characters beside its tokens."""
        raise NotImplementedError

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits over both tokenizers."""
        both = f"{self.source.fingerprint}:{self.target.fingerprint}"
        return hashlib.sha256(both.encode()).hexdigest()[:12]

    def to_settings(self) -> dict[str, Any]:
        """Return the settings of the source's tokenizer."""
        return self.source.to_settings()

    def to_files(self) -> dict[str, bytes]:
        """Return the files from which :func:`codec` restores it, by role."""
        files = dict(self.source.to_files())
        if not self.is_shared:
            files |= {TARGET + name: data for name, data in self.target.to_files().items()}
        stored = {
            "shared": self.is_shared, "target": self.target.to_settings(), **self.details
        }  # fmt: skip
        files[FILE] = msgspec.json.format(msgspec.json.encode(stored), indent=1)
        return files


class _StoredPairCodec(msgspec.Struct):
    shared: bool
    target: dict[str, Any]
    spelled: bool = False
    column: str | None = None


def codec(tokenizer: Tokenizer, files: dict[str, bytes]) -> PairCodec:
    """Restore the codec whose `to_files()` are in a model's folder."""
    if FILE not in files:
        raise ModelError("the model has no tokenizer for its target", f"{FILE} is missing")
    try:
        stored = decode_json(files[FILE], _StoredPairCodec)
        details = decode_json(files[FILE], dict[str, Any])
    except ValueError as error:
        raise ModelError(f"{FILE} is damaged", str(error)) from None
    for name in ("shared", "target"):
        details.pop(name)
    if stored.shared:
        return PairCodec(tokenizer, None, details)

    # The target's tokenizer has files with a prefix.
    of_target = {
        name.removeprefix(TARGET): data for name, data in files.items() if name.startswith(TARGET)
    }
    return PairCodec(tokenizer, tokenizers.load(stored.target, of_target), details)


# ---- Encoded pairs.


@dataclass(frozen=True)
class PairedData:
    """P pairs of a source and one reference each, encoded.

    text: the text that was read. source, target: P lines each, one for each reference of the text
    in its order, without lines that are left out; the boundary ends them.
    """

    text: ParallelText
    source: Encoded
    target: Encoded

    @property
    def lines_hash(self) -> str:
        """Identifies the data when a run is resumed."""
        return self.text.content_hash

    @cached_property
    def groups(self) -> tuple[ParallelPair, ...]:
        """Each source of the text once, with all its references: the unit of decoding and
        comparison."""
        return self.text.grouped().pairs

    @cached_property
    def source_lengths(self) -> np.ndarray:
        """How many tokens each source has, `</s>` counted, (P,)."""
        return np.diff(self.source.offsets)

    @cached_property
    def target_lengths(self) -> np.ndarray:
        """How many tokens each reference has, `</s>` counted, (P,)."""
        return np.diff(self.target.offsets)

    @property
    def tokens(self) -> int:
        """How many tokens both sides have."""
        return len(self.source.ids) + len(self.target.ids)

    @property
    def words(self) -> int:
        """How many words both sides have, split at white space."""
        pairs = ((pair.source, *pair.references) for pair in self.text.pairs)
        return sum(len(line.split()) for line in itertools.chain.from_iterable(pairs))

    @property
    def sentences(self) -> int:
        """How many pairs there are."""
        return len(self.source.offsets) - 1


@dataclass(frozen=True)
class PairTrainingData:
    """The data that an encoder-decoder is trained on; tokenizer: the codec. valid: None if nothing
    is held out."""

    tokenizer: PairCodec
    train: PairedData
    valid: PairedData | None


def encode_pairs(codec: PairCodec, text: ParallelText, longest: int | None = None) -> PairedData:
    """Encode the pairs of a text as an encoder-decoder reads them. longest: pairs with more tokens
    on either side are left out; None: those too long to be read."""
    if longest is None:
        pairs = tuple(pair for pair in text.pairs if _is_readable(codec, pair))
        tell_too_long(len(text.pairs) - len(pairs), len(text.pairs), "pairs")
        text = replace(text, pairs=pairs)
    sources, targets = lines_of(text)
    source, target = codec.source.encode(sources), codec.target.encode(targets)
    if longest is not None:
        longest_P = np.maximum(np.diff(source.offsets), np.diff(target.offsets))
        is_short_P = longest_P <= longest
        if not is_short_P.all():
            chosen = np.flatnonzero(is_short_P)
            source, target = joined(rows(source, chosen)), joined(rows(target, chosen))
    return PairedData(text, source, target)


def _is_readable(codec: PairCodec, pair: ParallelPair) -> bool:
    """Return whether neither side of a pair is too long."""
    if is_surely_short(pair.source, *pair.references):
        return True
    sides = (codec.source.encode([pair.source]), codec.target.encode(pair.references))
    return all(can_be_read(np.diff(side.offsets)).all() for side in sides)


def lines_of(text: ParallelText) -> tuple[list[str], list[str]]:
    """Return the sources and the references of a text, one source for each reference."""
    sources, targets = [], []
    for pair in text.pairs:
        for reference in pair.references:
            sources.append(pair.source)
            targets.append(reference)
    return sources, targets


def joined(lines: Sequence[np.ndarray]) -> Encoded:
    """Join lines that are given as the tokens of each. Which of them are unknown is not kept."""
    offsets = np.append(0, np.cumsum(list(map(len, lines)), dtype=np.int64))
    ids = np.concatenate(lines) if lines else np.zeros(0, dtype=np.int32)
    return Encoded(ids, offsets, np.zeros(0, dtype=np.int64))


def rows(lines: Encoded, chosen: np.ndarray | Sequence[int]) -> list[np.ndarray]:
    """Return the tokens of each of these lines."""
    return [lines.ids[lines.offsets[line] : lines.offsets[line + 1]] for line in chosen]


# ---- The tokenizers of pairs: one for each side, or one for both.

ENCODER, DECODER = "init_encoder_from", "init_decoder_from"  # language models of either side


def make_codec(
    request: TrainingRequest,
    resolved: ResolvedSettings,
    train: ParallelText,
    details: dict[str, Any],
) -> tuple[PairCodec, ResolvedSettings]:
    """Make the requested tokenizers from the training text, or take them from models. Return them,
    and the settings with the decisions made on the way."""
    # One tokenizer cannot have two values of a setting.
    source_settings = resolved.make(SourceTokenizerSettings)
    if source_settings.shared_vocabulary:
        for name, value in _of_target(resolved).items():
            if value != getattr(source_settings, name):
                raise SettingsError(
                    f"shared_vocabulary=true, but {OF_TARGET}{name} differs from {name}",
                    "one tokenizer reads both sides",
                    f"leave {OF_TARGET}{name} out",
                )

    # Tokenizers that are given bring their settings; nothing else may have been asked for.
    if request.tokenizer_from is None:
        codec, resolved = _made(request, resolved, train, details)
    else:
        codec = _taken_over(request.tokenizer_from, source_settings.shared_vocabulary, details)
        brings = keyword("tokenizer_from") + " has"
        _check_requested("shared_vocabulary", codec.is_shared, brings, resolved)
        resolved = _with_tokenizer(codec.source, "", brings, resolved)
        if codec.is_shared:
            for name, value in codec.source.to_settings().items():
                if resolved.values.get(OF_TARGET + name) is not None:
                    _check_requested(OF_TARGET + name, value, brings, resolved)
        else:
            resolved = _with_tokenizer(codec.target, OF_TARGET, brings, resolved)

    # The facts that the network needs of them.
    if resolved.values["shared_vocabulary"] != codec.is_shared:
        resolved = resolved.with_layer("the tokenizer", {"shared_vocabulary": codec.is_shared})
    if resolved.values["tied_embeddings"] == "all" and not codec.is_shared:
        raise SettingsError(
            "tied_embeddings = all needs one vocabulary",
            "both sides share word vectors, but have different vocabularies",
            "set shared_vocabulary=true, or tied_embeddings=target",
        )
    return codec, resolved


def _made(
    request: TrainingRequest,
    resolved: ResolvedSettings,
    train: ParallelText,
    details: dict[str, Any],
) -> tuple[PairCodec, ResolvedSettings]:
    """Take tokenizers from the language models that the network starts from, and make the others
    from the training text."""
    # Tokenizers of language models, and which option brings each.
    source: Tokenizer | None = None
    target: Tokenizer | None = None
    source_brings = target_brings = ""
    if request.init_encoder_from:
        source = loading.load_tokenizer(request.init_encoder_from)
        source_brings = keyword(ENCODER) + f" {request.init_encoder_from} has"
    if request.init_decoder_from:
        target = loading.load_tokenizer(request.init_decoder_from)
        target_brings = keyword(DECODER) + f" {request.init_decoder_from} has"

    # One for both sides: the tokenizer of either language model, or one made of the lines of both
    # sides.
    sources, targets = lines_of(train)
    source_settings = {
        field.name: resolved.values[field.name] for field in fields(TokenizerSettings)
    }
    if resolved.values["shared_vocabulary"]:
        shared, brings = source, source_brings
        if shared is None:
            shared, brings = target, target_brings
        elif target is not None and shared.fingerprint != target.fingerprint:
            raise UsageError(
                "shared_vocabulary=true needs one tokenizer",
                f"{request.init_encoder_from} and {request.init_decoder_from} have different "
                "tokenizers",
                "train one with the tokenizer of the other: " + keyword("tokenizer_from"),
            )
        if shared is None:
            tell_unspaced_words([*sources, *targets], resolved.values["tokenizer"])
            shared = tokenizers.train(
                TokenizerSettings(**source_settings), _blocks(sources, targets)
            )
        return PairCodec(shared, None, details), _with_tokenizer(shared, "", brings, resolved)

    # One for each side. Settings that the target's has not are the same as the source's.
    if source is None:
        tell_unspaced_words(sources, resolved.values["tokenizer"])
        source = tokenizers.train(TokenizerSettings(**source_settings), _blocks(sources))
    resolved = _with_tokenizer(source, "", source_brings, resolved)
    if target is None:
        tell_unspaced_words(targets, _of_target(resolved)["tokenizer"])
        target = tokenizers.train(TokenizerSettings(**_of_target(resolved)), _blocks(targets))
    resolved = _with_tokenizer(target, OF_TARGET, target_brings, resolved)
    return PairCodec(source, target, details), resolved


def _of_target(resolved: ResolvedSettings) -> dict[str, Any]:
    """Return the settings of the target's tokenizer. One that is not given is the source's, if both
    have the same kind, else the default."""
    kind = resolved.values[f"{OF_TARGET}tokenizer"] or resolved.values["tokenizer"]
    is_same = kind == resolved.values["tokenizer"]
    target_settings: dict[str, Any] = {}
    for field in fields(TargetTokenizerSettings):
        plain, value = field.name.removeprefix(OF_TARGET), resolved.values[field.name]
        if value is None:
            value = resolved.values[plain] if is_same else getattr(TokenizerSettings, plain)
        target_settings[plain] = value
    return target_settings | {"tokenizer": kind}


def _taken_over(name: str, is_shared: bool, details: dict[str, Any]) -> PairCodec:
    """Load the tokenizers of an encoder-decoder, or the one of another model for both sides."""
    codec = loading.load_codec(name)
    if isinstance(codec, PairCodec):
        return PairCodec(codec.source, None if codec.is_shared else codec.target, details)
    if not is_shared:
        raise SettingsError(
            keyword("tokenizer_from") + f" {name} has a tokenizer for one side only",
            "it has one tokenizer, and each side needs its own",
            "set " + keyword("shared_vocabulary", True),
        )
    # A tagger's codec holds labels, too.
    return PairCodec(loading.load_tokenizer(name), None, details)


def _with_tokenizer(
    tokenizer: Tokenizer, prefix: str, brings: str, resolved: ResolvedSettings
) -> ResolvedSettings:
    """Return the settings with the settings of a tokenizer, under names that begin with `prefix`.

    brings: says which model has it; "" where it was made as asked for.
    """
    differing = {}
    for name, value in tokenizer.to_settings().items():
        setting = prefix + name
        if setting in resolved.values and resolved.values[setting] != value:
            if brings:
                _check_requested(setting, value, brings, resolved)
            differing[setting] = value
    return resolved.with_layer("the tokenizer", differing)


def _check_requested(setting: str, value: object, brings: str, resolved: ResolvedSettings) -> None:
    """Raise UsageError if a person asked for another value of a setting than a model brings."""
    requested = resolved.values[setting]
    if requested != value and resolved.is_requested(setting):
        raise UsageError(
            brings + f" {setting} = {as_text(value)}",
            f"{as_text(requested)} was requested",
            "leave one of them out",
        )


def _blocks(*sides: Sequence[str]) -> list[Block]:
    return [Block(list(lines), []) for lines in sides]


# ---- The pairs of a training run.


def open_texts(
    request: TrainingRequest, resolved: ResolvedSettings, kind: registry.Kind, progress: Progress
) -> Texts:
    """Read and encode the data of a :class:`rnnlm.training.request.TrainingRequest`.

    Facts found on the way go into the settings: format and columns of the data, and the settings of
    given tokenizers.
    """
    # The training data say how the others are read, which may be in another format.
    files, _ = files_of_parts(request, kind.task)
    # The target files of the training text, one for each of its files.
    targets = [request.target] if request.target else []
    train = read_pairs(files["train"], resolved.make(ParallelSettings), targets)
    resolved = _with_columns(train, resolved)
    settings = resolved.make(ParallelSettings)
    if train.format == "parallel":
        settings = replace(settings, format="auto")
    others = {}
    for part, references in (("valid", request.valid_target), ("test", request.test_target)):
        if files[part]:
            others[part] = _read(files[part], settings, references)

    # Without validation data, a share of the training data is held out for it.
    share = resolved.make(HoldoutSettings).holdout
    parts = with_held_out(train, others, files["valid"], share, _held_out)
    train = parts.train

    # Tokenizers are made from the training data alone.
    words = itertools.chain.from_iterable(pair.source.split() for pair in train.pairs)
    are_letters = all(len(word) == 1 for word in words)
    is_spelled = are_letters and any(" " in pair.source for pair in train.pairs)
    details = {"spelled": is_spelled, "column": train.source_name}
    codec, resolved = make_codec(request, resolved, train, details)

    # Very long pairs would take the memory of a whole batch. All that is evaluated on is kept.
    longest = resolved.make(Seq2SeqFittingSettings).longest
    encoded = encode_pairs(codec, train, longest)
    if not encoded.sentences:
        raise TextError(
            "no pairs are left to train on",
            f"all have more than {longest:,} tokens",
            "raise longest",
        )
    left_out = sum(len(pair.references) for pair in train.pairs) - encoded.sentences
    if left_out:
        notice(
            f"{left_out:,} training pairs have more than {longest:,} tokens on a side and are "
            f"left out (longest={longest})"
        )
    evaluated = {name: encode_pairs(codec, text) for name, text in parts.others.items()}
    data = PairTrainingData(codec, encoded, evaluated.get("valid"))
    overlaps = parts.overlaps(_sources, codec.source.keeps_case)
    return Texts(resolved, data, parts.valid_is, evaluated.get("test"), parts.holds_out, overlaps)


def _sources(text: ParallelText) -> list[str]:
    return [pair.source for pair in text.pairs]


def _read(
    names: tuple[str, ...], settings: ParallelSettings, targets: tuple[str, ...]
) -> ParallelText:
    """Read a text that is evaluated on. targets: files, each of them one reference."""
    # Files of targets have no columns.
    if targets:
        settings = replace(settings, format="auto", column=None, target_column=None)
    else:
        settings = ParallelSettings(**settings_for(names, asdict(settings)))
    return read_pairs(names, settings, [(target,) for target in targets])


def _with_columns(text: ParallelText, resolved: ResolvedSettings) -> ResolvedSettings:
    """Return the settings with the columns that were detected in the training data, so that all
    parts are read alike, regardless of their format."""
    if text.format == "parallel":
        return resolved
    found = {"format": text.format, "column": text.source_name, "target_column": text.target_name}
    chosen = {name: found[name] for name in found if name in resolved.free}
    return resolved.choose(THE_DATA, plural(len(text.pairs), "pair"), chosen)


def _held_out(text: ParallelText, share: float) -> tuple[ParallelText, ParallelText, str] | None:
    """Return the text without a share of its sources, that share, and its description; None if
    there are too few. Sources are drawn at random, the same ones each time; pairs of one source
    stay together. Long ones, which perhaps cannot be read, are not drawn."""
    short = [pair.source for pair in text.pairs if is_surely_short(pair.source, *pair.references)]
    sources = list(dict.fromkeys(short))
    count = max(1, round(len(sources) * share))
    if count >= len(sources):
        return None
    order = np.random.default_rng(0).permutation(len(sources)).tolist()
    drawn = {sources[place] for place in order[:count]}
    kept = tuple(pair for pair in text.pairs if pair.source not in drawn)
    held = tuple(pair for pair in text.pairs if pair.source in drawn)
    how = f"{plural(len(held), 'pair')} drawn at random"
    return replace(text, pairs=kept), replace(text, pairs=held), how
