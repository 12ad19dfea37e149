"""Read the data of an encoder-decoder's training run: pairs, those held out, and all of them as
numbers."""

import itertools
from dataclasses import asdict, replace

import numpy as np

from rnnlm import registry
from rnnlm.amounts import plural
from rnnlm.choices import THE_DATA
from rnnlm.config import ResolvedSettings
from rnnlm.errors import TextError, notice
from rnnlm.tasks.common.example_texts import files_of_parts, with_held_out
from rnnlm.tasks.seq2seq.data import PairTrainingData, encode_pairs, make_codec
from rnnlm.tasks.seq2seq.pairs import ParallelText, read_pairs
from rnnlm.tasks.seq2seq.settings import Seq2SeqFittingSettings
from rnnlm.text.batches import is_surely_short
from rnnlm.text.lines import HoldoutSettings, Progress
from rnnlm.text.named_columns import ParallelSettings
from rnnlm.text.sources import settings_for
from rnnlm.training.request import Texts, TrainingRequest


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
    details = {"spelled": is_spelled(train), "column": train.source_name}
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


def is_spelled(text: ParallelText) -> bool:
    """Return whether the sources are spelled: letters split by spaces."""
    words = itertools.chain.from_iterable(pair.source.split() for pair in text.pairs)
    return all(len(word) == 1 for word in words) and any(" " in pair.source for pair in text.pairs)


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
