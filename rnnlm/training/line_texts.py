"""Read the lines of a training run: encode them, or open a prepared text, with lines held out for
validation and the tokenizer.
"""

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

import rnnlm.corpora as corpora
from rnnlm import registry
from rnnlm.amounts import plural
from rnnlm.choices import THE_DATA
from rnnlm.config import AUTO, ResolvedSettings, names_of
from rnnlm.errors import SettingsError, UsageError, keyword, notice
from rnnlm.interface import Tokenizer
from rnnlm.lm.base import loading
from rnnlm.storage.files.tensors import ChunkedArray
from rnnlm.text import tokenizers
from rnnlm.text.corpus import Split, Text, lines_of_sample, open_text, tell_blank
from rnnlm.text.encoding import EncodedText, TrainingData
from rnnlm.text.line_forms import tell_form, tell_unspaced_words
from rnnlm.text.lines import HoldoutSettings, Progress, TextSettings, no_text, watched
from rnnlm.text.marks import tell_unseen, watch_forms
from rnnlm.text.punctuation import tell_glued_in, tell_unsplit
from rnnlm.text.sources import SourceSettings, column_of
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.training.card import MUCH_OVERLAP
from rnnlm.training.request import Overlap, Texts, TrainingRequest

# A text is worth a notice if the share of its tokens that are unknown is so much larger than in the
# training text, and if they are more than a few.
MUCH_UNKNOWN, FEW_UNKNOWN = 0.4, 50

# ---- Overlap: how much of a validation or test text is in the training text, too. Metrics of such
# text are better than metrics of new text.
#
# Lines are compared as the model reads them: by hashes of their token ids, which are there when
# training begins, so that no text is read again. A line of fewer than LEAST_CHARACTERS characters
# ("Yes, sir.") is in any two texts, and does not count. One with an unknown word counts as new, as
# unknown words all have the same id: where the vocabulary was cut, the share is a lower bound. Of
# the training text no more is kept than the hashes of some thousand lines.

LEAST_CHARACTERS = 20
MOST_MAPPED_TOKENS = 100_000_000  # a larger prepared text is not read for this
LINES_AT_ONCE, TOKENS_AT_ONCE = 1 << 16, 1 << 20
_PLACES = 1 << 12  # in a line, each with another factor
_FACTORS = np.random.default_rng(1).integers(1, 1 << 64, size=_PLACES, dtype=np.uint64)
_SLOTS = np.uint64((1 << 22) - 1)


def overlaps(train: EncodedText, others: Mapping[str, EncodedText]) -> dict[str, Overlap]:
    """Return the :class:`Overlap` of each other text, by its name, with the training text, encoded
    by the same tokenizer.

    With a training text on disk of more than MOST_MAPPED_TOKENS, only texts that are the same as a
    whole are found.
    """
    overlap_of = {
        name: Overlap(text.sentences, text.sentences, True)
        for name, text in others.items()
        if text.lines_hash == train.lines_hash
    }
    if isinstance(train.ids, ChunkedArray) and train.tokens > MOST_MAPPED_TOKENS:
        return overlap_of

    # The hashes of the lines of each other text that count and have no unknown word.
    lines, wanted = {}, {}
    for name, text in others.items():
        if name not in overlap_of:
            counts_L = np.asarray(text.characters_L) >= LEAST_CHARACTERS
            is_known_L = np.asarray(text.oov_words_L) == 0
            lines[name] = int(counts_L.sum())
            wanted[name] = np.concatenate(list(_hashes(text)))[counts_L & is_known_L]

    # The training text is read once for all of them.
    all_wanted = np.concatenate([np.empty(0, dtype=np.uint64), *wanted.values()])
    in_train = _occurring(np.unique(all_wanted), train)
    return overlap_of | {
        name: Overlap(lines[name], int(np.isin(hash_L, in_train).sum()))
        for name, hash_L in wanted.items()
    }


Lines = tuple[str, Sequence[str]]  # the hash of examples, and the text that models read of each


def examples_in_train(
    train: Lines, others: Mapping[str, Lines], keeps_case: bool, holds_out: bool
) -> dict[str, Overlap]:
    """Compute overlaps for examples in memory and warn about them. With `keeps_case`, models read
    the lines as they are."""

    def read(lines: Sequence[str]) -> Iterable[str]:
        return lines if keeps_case else map(str.lower, lines)

    train_hash, train_lines = train
    in_train = set(read(train_lines))
    overlap_of, hashes = {}, {}
    for name, (hashes[name], lines) in others.items():
        # The end of a line counts as one of its characters.
        counted = [line for line in read(lines) if len(line) + 1 >= LEAST_CHARACTERS]
        overlap_of[name] = Overlap(len(counted), sum(line in in_train for line in counted))
        if hashes[name] == train_hash:
            overlap_of[name] = Overlap(len(lines), len(lines), True)
    warn_of(overlap_of, hashes, holds_out)
    return overlap_of


def _called(name: str) -> str:
    """Return what messages call a text."""
    return "the validation text" if name == "valid" else f"the {name} text"


def warn_of(overlap_of: Mapping[str, Overlap], hashes: Mapping[str, str], holds_out: bool) -> None:
    """Send a notice if much of the validation ("valid") or the test text is in the training text,
    from which the validation text may have been held out. `hashes` are the texts', by name."""
    same, repeated = [], []
    for name, overlap in overlap_of.items():
        text = _called(name)
        share = f"{overlap.share:.0%}"
        counts = f"({overlap.repeated:,} of {overlap.lines:,}, short ones left out)"
        if overlap.is_same:
            same.append(text)
        elif overlap.share > MUCH_OVERLAP and holds_out and name == "valid":
            notice(
                f"{share} of the lines held out for validation {counts} are also in the rest of "
                "the training text: expect worse metrics on less repetitive text"
            )
        elif overlap.share > MUCH_OVERLAP:
            repeated.append(f"{share} of the lines of {text} {counts}")

    # One notice for both texts.
    if same:
        are, their = ("is", "its") if len(same) == 1 else ("are", "their")
        notice(
            f"{' and '.join(same)} {are} the training text itself: {their} metrics say nothing "
            "about new text"
        )
    if repeated:
        their = "its" if len(repeated) == 1 else "their"
        notice(
            f"{' and '.join(repeated)} are also in the training text: {their} metrics say less "
            "about new text"
        )
    if "test" in hashes and hashes["test"] == hashes.get("valid"):
        notice("the test text is the validation text itself: its metrics add nothing")


def _occurring(wanted_K: np.ndarray, train: EncodedText) -> np.ndarray:
    """Return the hashes of `wanted_K`, in ascending order, that lines of the training text have."""
    if not len(wanted_K):
        return wanted_K
    # A table of their low bits spares most lines the search.
    is_slot_wanted = np.zeros(int(_SLOTS) + 1, dtype=bool)
    is_slot_wanted[wanted_K & _SLOTS] = True
    occurs_K = np.zeros(len(wanted_K), dtype=bool)
    for hash_L in _hashes(train):
        hash_L = hash_L[is_slot_wanted[hash_L & _SLOTS]]
        place_L = np.minimum(np.searchsorted(wanted_K, hash_L), len(wanted_K) - 1)
        occurs_K[place_L[wanted_K[place_L] == hash_L]] = True
    return wanted_K[occurs_K]


def _hashes(text: EncodedText) -> Iterator[np.ndarray]:
    """Yield the hash of each line, some thousands at a time: the sum of its ids, each times the
    factor of its place, modulo 2^64."""
    start = 0
    while start < text.sentences:
        # Take whole lines up to TOKENS_AT_ONCE tokens, but at least one.
        offsets = np.asarray(text.line_offsets[start : start + LINES_AT_ONCE + 1])
        end = int(np.searchsorted(offsets, offsets[0] + TOKENS_AT_ONCE, side="right"))
        offsets = offsets[: max(2, end)]

        ids_N = np.asarray(text.ids[int(offsets[0]) : int(offsets[-1])])
        begins_L = offsets[:-1] - offsets[0]
        place_N = np.arange(len(ids_N)) - begins_L.repeat(np.diff(offsets))
        term_N = _FACTORS[place_N & (_PLACES - 1)] * (ids_N.astype(np.uint64) + np.uint64(1))
        yield np.add.reduceat(term_N, begins_L)
        start += len(begins_L)


# ---- The texts of a training run.

CORPUS = "english"  # the bundled one, which is read if no text is named


def open_texts(
    request: TrainingRequest, resolved: ResolvedSettings, kind: registry.Kind, progress: Progress
) -> Texts:
    """Read and encode the texts of a :class:`TrainingRequest`. A given tokenizer or a prepared text
    brings its settings. A notice is sent if much of the evaluation text is in the training text."""
    if request.counts is not None:
        return _of_counts(request.counts, request, resolved, kind)

    # The texts, and the tokenizer that they are read with. A kind may read the text in another way.
    text, valid, test, resolved = _opened(request, resolved)
    tokenizer, resolved = _tokenizer_for(text, request, resolved)
    share = held_out_share(request, resolved)
    text = kind.text_to_read(text, tokenizer, share, resolved, progress)
    tokenizer = text.tokenizer or tokenizer
    split = text.split(share, is_share_chosen(resolved))
    data = _encode(split, text, tokenizer, resolved, progress)

    # The text decided against splitting, or has a vocabulary that nobody asked for.
    is_unsplit = resolved.values["split_punctuation"] is False
    if is_unsplit and resolved.origins["split_punctuation"] == THE_DATA:
        tell_unsplit(data.tokenizer)
    option, source = _given(request)
    share_unknown = data.train.unknown_share
    if source and option == "init_from" and share_unknown > MUCH_UNKNOWN:
        notice(
            f"{share_unknown:.0%} of the tokens of the training text are unknown to {source}: "
            "without " + keyword(option) + " the model has the vocabulary of the text"
        )

    # The usual validation, if there is no text for it.
    valid_is = "none"
    if valid:
        data = replace(data, valid=valid.encode(data.tokenizer))
        valid_is = ", ".join(map(corpora.title, valid.sources))
    elif data.valid:
        valid_is = f"the last {split.held_out} of the training text, held out"
    elif share:
        valid_is = "none: the text is a single line"
        notice("the text is a single line: nothing is held out for validation")
    tested = test.encode(data.tokenizer) if test else None

    overlap_of = _notice_oddities(data, tested, holds_out=not valid)
    holds_out = data.valid is not None and not valid
    return Texts(resolved, data, valid_is, tested, holds_out, overlap_of)


def _opened(
    request: TrainingRequest, resolved: ResolvedSettings
) -> tuple[Text, Text | None, Text | None, ResolvedSettings]:
    """Open the texts for training, validation and test. Return them, and the settings of the first:
    a prepared text brings those by which the others are read, too."""
    names, as_given = request.text or _bundled(request, "train"), resolved
    resolved = _with_column(names, resolved)
    text = _open(names, resolved)
    if text.tokenizer:
        prepared = Path(text.sources[0])
        resolved = _with_read(
            prepared, "prepared", text.settings, text.tokenizer, request, resolved
        )
    others = resolved if text.tokenizer else as_given  # another table may have another column
    valid, test = (
        _open(names, _with_column(names, others)) if names else None
        for names in (
            request.valid or _bundled(request, "valid"),
            request.test or _bundled(request, "test"),
        )
    )
    return text, valid, test, resolved


def _tokenizer_for(
    text: Text, request: TrainingRequest, resolved: ResolvedSettings
) -> tuple[Tokenizer | None, ResolvedSettings]:
    """Return the tokenizer of a prepared text, or a given one, and the settings with those that it
    brings. None: one is made of the text, which decides whether marks are split off."""
    if text.tokenizer:
        return text.tokenizer, resolved

    # A text that is read as it is may be other than its lines look.
    sample, (option, source) = lines_of_sample(text), _given(request)
    tell_form(sample, resolved.values["unwrap"] or resolved.is_requested("unwrap"))

    tokenizer = loading.load_tokenizer(source) if source else None
    if source and tokenizer:
        brings, origin = keyword(option) + " has", f"tokenizer of {source}"
        resolved = _with_stored(tokenizer.to_settings(), resolved, brings, origin)
        tell_glued_in(sample, tokenizer, source)
    else:
        tell_unspaced_words(sample, resolved.values["tokenizer"])
        if resolved.values["split_punctuation"] == AUTO:
            splits, why = tokenizers.splits_marks(sample)
            resolved = resolved.choose(THE_DATA, why, {"split_punctuation": splits})

    # Characters make running text, to which blank lines belong.
    skips = resolved.values["blank_lines"] == "skip" and not resolved.is_requested("blank_lines")
    if skips and resolved.values["tokenizer"] == "char":
        tell_blank(sample)
    return tokenizer, resolved


def _encode(
    split: Split,
    text: Text,
    tokenizer: Tokenizer | None,
    resolved: ResolvedSettings,
    progress: Progress,
) -> TrainingData:
    """Encode the training text and its held-out part. Without a tokenizer, one is made of the
    text."""
    # Words are numbered while the text is encoded; others need two readings.
    settings = resolved.make(TokenizerSettings)
    spells = bool(resolved.values.get("characters"))
    if not tokenizer and not spells and tokenizers.is_made_on_the_way(settings):
        data = TrainingData(*split.encode_once(settings, progress))
        tokenizers.tell_empty(data.tokenizer, settings)
    else:
        made = tokenizer or _new_tokenizer(settings, split, text, progress)
        made = made.spelling() if spells else made
        data = TrainingData(made, *split.encode(made, progress))
    return data


def _notice_oddities(
    data: TrainingData, tested: EncodedText | None, holds_out: bool
) -> dict[str, Overlap]:
    """Warn of marks, words and lines that make metrics worse, or better than they are: unknown
    ones, and repeated lines. Return how much of the validation and the test text is in the training
    text."""
    texts = {"valid": data.valid, "test": tested}
    others = {name: encoded for name, encoded in texts.items() if encoded is not None}
    marks = sum((Counter(text.marks) for text in (data.train, *others.values())), Counter[str]())
    tell_unseen(marks, {"the model": data.tokenizer})
    for name, encoded in others.items():
        further = encoded.unknown_share - data.train.unknown_share
        if further > MUCH_UNKNOWN and len(encoded.oov) > FEW_UNKNOWN:
            notice(
                f"{encoded.unknown_share:.0%} of the tokens of {_called(name)} are unknown to the "
                "model: choose a text that is more like the training text"
            )
    overlap_of = overlaps(data.train, others)
    hashes = {name: encoded.lines_hash for name, encoded in others.items()}
    warn_of(overlap_of, hashes, holds_out)
    return overlap_of


def held_out_share(request: TrainingRequest, resolved: ResolvedSettings) -> float:
    """Return the share of the training text that is held out for validation: none beside a
    validation text, of a bundled corpus, which has its own, or of counts."""
    if request.valid or not request.text:
        return 0.0
    return resolved.make(HoldoutSettings).holdout


def is_share_chosen(resolved: ResolvedSettings) -> bool:
    """Return whether the share is another one than the usual, of which a prepared text need not
    hold out all."""
    return bool(resolved.values["holdout"] != resolved.defaults["holdout"])


def _bundled(request: TrainingRequest, part: str) -> tuple[str, ...]:
    """Return the part of the bundled corpus, if no text is named."""
    return () if request.text else (str(corpora.part(CORPUS, part)),)


def _with_column(names: tuple[str, ...], resolved: ResolvedSettings) -> ResolvedSettings:
    """Return the settings with the column of the text, where these are tables and none is named."""
    errors = resolved.make(TextSettings).encoding_errors
    found = column_of(names, resolved.make(SourceSettings), errors)
    if found is None:
        return resolved
    column, count = found
    return resolved.choose(THE_DATA, f"one of {plural(count, 'column')}", {"column": column})


def _open(names: tuple[str, ...], resolved: ResolvedSettings) -> Text:
    return open_text(names, resolved.make(TextSettings), resolved.make(SourceSettings))


def _of_counts(
    folder: str, request: TrainingRequest, resolved: ResolvedSettings, kind: registry.Kind
) -> Texts:
    """Open counts in place of the training text, and read the texts beside it as theirs was."""
    # Counts hold no lines, so nothing can be held out.
    if resolved.is_requested("holdout") and resolved.values["holdout"]:
        raise UsageError(
            f"nothing can be held out of the counts in {folder}",
            "they hold no lines",
            "name a validation text with "
            + keyword("valid")
            + ", and leave "
            + keyword("holdout")
            + " out",
        )

    # Tokenizer and settings of the counted text hold for the other texts.
    counts, resolved = kind.open_counts(folder, resolved)
    tokenizer = counts.tokenizer
    resolved = _with_read(
        counts.folder, "counted", counts.text_settings, tokenizer, request, resolved
    )
    named = {"valid": request.valid, "test": request.test}
    encoded = {
        name: _open(names, resolved).encode(tokenizer) for name, names in named.items() if names
    }

    # Warn of marks that the counted text does not have.
    marks = sum((Counter(text.marks) for text in encoded.values()), Counter[str]())
    tell_unseen(marks, {"the model": tokenizer})
    valid_is = ", ".join(map(corpora.title, request.valid)) or "none"
    if not request.valid:
        notice("nothing can be held out of counts: name a validation text with " + keyword("valid"))
    return Texts(resolved, counts.with_valid(encoded.get("valid")), valid_is, encoded.get("test"))


def _with_read(
    folder: Path,
    how: str,
    settings: TextSettings,
    tokenizer: Tokenizer,
    request: TrainingRequest,
    resolved: ResolvedSettings,
) -> ResolvedSettings:
    """Return the settings with those by which a text was prepared, or counted, into a folder."""
    # Nothing else may be asked for: another tokenizer, another way to read.
    noun, command = {
        "prepared": ("a prepared text", "prepare"),
        "counted": ("a folder of counts", "count"),
    }[how]
    option, source = _given(request)
    if source:
        given = loading.load_tokenizer(source)
        if given.fingerprint != tokenizer.fingerprint:
            called = shlex.quote(source)
            raise UsageError(
                keyword(option) + f" names another tokenizer than {folder} was {how} with",
                hint=f"rnnlm {command} TEXT --tokenizer-from {called}",
            )

    # How the text was read is long decided.
    for field in fields(SourceSettings):
        if resolved.is_requested(field.name):
            raise UsageError(
                f"{folder} is {noun}: {field.name} has no effect",
                "it says how a text is read",
                "leave it out",
            )

    read = {field.name: getattr(settings, field.name) for field in fields(TextSettings)}
    stored = {**tokenizer.to_settings(), **read}
    origin = f"{noun.removeprefix('a ')} {folder}"
    return _with_stored(stored, resolved, f"{folder} was {how} with", origin)


def _with_stored(
    stored: dict[str, Any], resolved: ResolvedSettings, brings: str, origin: str
) -> ResolvedSettings:
    """Return the settings with those that come with a tokenizer or a prepared text."""
    for name, value in stored.items():
        if resolved.is_requested(name) and resolved.values[name] not in (value, AUTO):
            raise UsageError(
                brings + f" {name} = {value}",
                f"{resolved.values[name]} was requested",
                "leave one of them out",
            )
    return resolved.with_layer(origin, stored)


def _new_tokenizer(
    settings: TokenizerSettings, split: Split, text: Text, progress: Progress
) -> Tokenizer:
    """Make a tokenizer from the training text."""
    blocks = watch_forms(watched(split.blocks(), progress), settings)
    try:
        return tokenizers.train(settings, blocks)
    except SettingsError:
        # Of an empty text the settings are not at fault.
        if not any(True for _ in text.blocks()):
            raise no_text(text.sources) from None
        raise


def _given(request: TrainingRequest) -> tuple[str, str | None]:
    """Return the option that names the model whose tokenizer is used, and that model."""
    option = "tokenizer_from" if request.tokenizer_from else "init_from"
    return option, getattr(request, option)


# ---- Texts that are read and encoded once for several training runs.

Opener = Callable[[TrainingRequest, ResolvedSettings, registry.Kind, Progress], Texts]


class SharedTexts:
    """An Opener for the runs of a grid: a text that was read and encoded once is handed to every
    run that would read and encode it in the same way. All have the same `tokenizer_from`."""

    def __init__(self, tokenizer_from: str | None) -> None:
        self.tokenizer_from = tokenizer_from
        self.texts: dict[str, Texts] = {}

    def __call__(
        self,
        request: TrainingRequest,
        resolved: ResolvedSettings,
        kind: registry.Kind,
        progress: Progress,
    ) -> Texts:
        key = _key(request, resolved, kind)
        if key not in self.texts:
            shared = replace(request, tokenizer_from=self.tokenizer_from)
            task = registry.task(kind.task)
            self.texts[key] = task.open_texts(shared, resolved, kind, progress)
            return self.texts[key]

        # The texts are there already. They bring this run the settings that they brought the first.
        texts = self.texts[key]
        return replace(texts, resolved=resolved.with_added(texts.resolved.added))


def _key(request: TrainingRequest, resolved: ResolvedSettings, kind: registry.Kind) -> str:
    """Return a text that is the same for runs that read and encode their texts in the same way."""
    task = registry.task(kind.task)
    parts: list[object] = [
        kind.task, request.text, request.counts, request.valid, request.test,
        request.target, request.valid_target, request.test_target,
    ]  # fmt: skip

    # Settings that change how a text is read. A requested one may be applied more strictly.
    names = names_of(cls for cls in task.text_settings if cls is not HoldoutSettings)
    names |= task.settings_of_data

    # The share that is held out, and the seed that may draw it, matter only without a validation
    # text.
    if request.text and not request.valid:
        parts += [held_out_share(request, resolved), is_share_chosen(resolved)]
    else:
        names -= {"seed"}
    for name in sorted(names & resolved.values.keys()):
        parts.append((name, resolved.values[name], resolved.is_requested(name)))

    # Whether the characters of words are read, too: their use is up to the network. A kind without
    # that setting reads the same as one that does not use it.
    has_characters = "characters" in resolved.values
    parts.append(bool(resolved.values.get("characters")))
    parts.append(has_characters and resolved.is_requested("characters"))
    return repr(parts)
