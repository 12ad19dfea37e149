"""Read the data of a tagger's or classifier's training run: examples, columns of labels, and all of
it as numbers."""

import functools
import itertools
import operator
from collections import Counter
from dataclasses import asdict, replace

import numpy as np

import rnnlm.corpora as corpora
from rnnlm import registry
from rnnlm.amounts import plural
from rnnlm.choices import THE_DATA
from rnnlm.config import DEFAULT, ResolvedSettings
from rnnlm.errors import SettingsError, TextError, keyword, notice
from rnnlm.interface import Tokenizer
from rnnlm.lm.base import loading
from rnnlm.lm.neural.training import choosing
from rnnlm.tasks.common.example_texts import files_of_parts, with_held_out
from rnnlm.tasks.labelling import data as codecs
from rnnlm.tasks.labelling.data import (
    LEVELS,
    Codec,
    LabelColumn,
    TaskData,
    encode_examples,
    one_token,
)
from rnnlm.tasks.labelling.evaluation.evaluation_data import (
    MOST_NAMED,
    notice_odd_labels,
    notice_unseen_labels,
)
from rnnlm.tasks.labelling.formats import schemes, trees
from rnnlm.tasks.labelling.formats.alignment import UNALIGNED, align, align_more
from rnnlm.tasks.labelling.formats.example import (
    Example,
    LabelledSettings,
    LabelledText,
    labels_in,
    labels_of_nodes,
)
from rnnlm.tasks.labelling.formats.known_formats import read_labelled
from rnnlm.tasks.labelling.options import TaskTokenizerSettings
from rnnlm.tasks.labelling.weights import check_has_layers
from rnnlm.text import tokenizers
from rnnlm.text.batches import is_surely_short
from rnnlm.text.line_forms import tell_unspaced_words
from rnnlm.text.lines import Block, HoldoutSettings, Progress
from rnnlm.text.sources import settings_for
from rnnlm.training.request import Texts, TrainingRequest


def open_texts(
    request: TrainingRequest, resolved: ResolvedSettings, kind: registry.Kind, progress: Progress
) -> Texts:
    """Read and encode the data of a :class:`rnnlm.training.request.TrainingRequest`.

    Facts found on the way go into the settings: format and columns of the data, and the settings of
    a given tokenizer.
    """
    # The training data say how the others are read.
    files, corpus = files_of_parts(request, kind.task)
    if corpus is not None:
        resolved = _with_columns(corpus, kind, resolved)
    settings = resolved.make(LabelledSettings)
    for setting, without_it, why, with_it in (
        ("multi_label", "tagging", "a word has one label per column", "classification"),
        ("align", "classification", "it aligns the letters of a word with its sounds", "tagging"),
    ):
        if getattr(settings, setting) and kind.task == without_it:
            raise SettingsError(
                keyword(setting) + f" is not for {kind.task}",
                why,
                "leave it out, or use " + keyword("task", with_it),
            )

    train = _read(files["train"], settings, kind)
    resolved = _with_detected(train, resolved)
    # The words of another table may be in another column.
    settings = replace(resolved.make(LabelledSettings), column=settings.column)
    if resolved.values.get("node_loss") is not None and settings.format != trees.FORMAT:
        notice(
            "the texts are not trees: a balanced tree joins the words of each (Shi et al. 2018 "
            "find that such trees do about as well as parses)"
        )

    # The other parts. Without validation data, a share of the training data is held out for it.
    others = {}
    for part in filter(files.get, ("valid", "test")):
        fitted = settings_for(files[part], asdict(settings))
        others[part] = _read(files[part], LabelledSettings(**fitted), kind)
    share = resolved.make(HoldoutSettings).holdout
    draw = functools.partial(_held_out, settings=settings, seed=resolved.values["seed"])
    parts = with_held_out(train, others, files["valid"], share, draw)

    # The network learns one label per word; sounds are aligned with letters to this end.
    train = learned = parts.train
    gold = labelled = parts.others
    if settings.align:
        train, learned, labelled = _with_sounds(train, gold, progress)

    # Words and labels as numbers.
    tokenizer, resolved = _tokenizer(request, resolved, learned)
    overlaps = parts.overlaps(_lines, tokenizer.keeps_case)
    codec = _codec(tokenizer, resolved, settings, learned)
    notice_odd_labels(codec, train)
    titles = {"valid": "validation data", "test": "test data"}
    for part, text in gold.items():
        notice_unseen_labels(codec, text, titles[part])
    # Language models beside the words are networks; without them, none is needed to read texts.
    if request.contextual or resolved.values.get("context_models"):
        check_has_layers("contextual", kind)
        from rnnlm.tasks.labelling.networks.contextual import load_contextual

        codec.beside, resolved = load_contextual(request, resolved)
    encoded = {part: encode_examples(codec, gold[part], labelled[part]) for part in gold}
    data = TaskData(codec, encode_examples(codec, train, learned), encoded.get("valid"))
    return Texts(resolved, data, parts.valid_is, encoded.get("test"), parts.holds_out, overlaps)


def _lines(text: LabelledText) -> list[str]:
    """Return the words of each example as a line."""
    return [" ".join(example.words) for example in text.examples]


def _read(files: tuple[str, ...], settings: LabelledSettings, kind: registry.Kind) -> LabelledText:
    return read_labelled(files, settings, LEVELS[kind.task], aligned=not settings.align)


def _with_columns(name: str, kind: registry.Kind, resolved: ResolvedSettings) -> ResolvedSettings:
    """Return the settings with the columns of a bundled corpus. A tagger learns its labels of
    words, and, unless it is counted, labels of texts beside them."""
    corpus = corpora.labelled(name)
    assert corpus is not None  # as the corpus is for this task
    words = corpus.word_columns if kind.task == "tagging" else ()
    texts = () if words and kind.is_counted else corpus.text_columns
    from_corpus = {
        "column": corpus.column,
        "label_column": ",".join(words or texts),
        "sentence_label_column": ",".join(texts) if words else None,
    }
    columns = {
        name: value or None
        for name, value in from_corpus.items()
        if not resolved.is_requested(name)
    }
    return resolved.with_layer("the bundled corpus", columns)


def _with_detected(text: LabelledText, resolved: ResolvedSettings) -> ResolvedSettings:
    """Return the settings with the format, columns and scheme that were detected in the training
    data, so that all parts are read alike."""
    # Columns of different schemes are detected one by one in each part.
    schemes_used = set(text.scheme.values()) or {schemes.NONE}
    scheme = "auto" if len(schemes_used) > 1 else schemes_used.pop()
    words, texts = ",".join(text.word_columns), ",".join(text.text_columns)
    from_text = {
        "format": text.format,
        "column": text.column,
        "label_column": words or texts or None,
        "sentence_label_column": texts if words and texts else None,
        "scheme": scheme,
    }
    # What somebody set was found as it was set.
    found = {name: value for name, value in from_text.items() if value is not None}
    chosen = {name: found[name] for name in found if name in resolved.free}
    resolved = resolved.choose(THE_DATA, plural(len(text.examples), "example"), chosen)
    # Who names none has them detected, too, but for the column of the words.
    left = [name for name in found if resolved.values[name] is None and name != "column"]
    resolved = resolved.with_layer(THE_DATA, {name: found[name] for name in left})

    # The words of --align are letters, which have no characters themselves.
    of_characters = [name for name in resolved.origins if name.startswith("character")]
    is_default = all(resolved.origins[name] == DEFAULT for name in of_characters)
    if resolved.values["align"] and is_default:
        resolved = resolved.choose(THE_DATA, "letters", {"characters": None})
    return resolved


def _held_out(
    text: LabelledText, share: float, settings: LabelledSettings, seed: int
) -> tuple[LabelledText, LabelledText, str] | None:
    """Return the text without its last `share`, that share, and its description; None if there are
    too few examples. Texts with one label each are often sorted by label: their share is drawn at
    random, the same one each time.

    Where a label or type of spans would be missing, the share is drawn by the seed so that each
    occurs that at least two short examples have. A notice names those that are missing all the
    same.
    """
    # Long ones, which perhaps cannot be read, are not drawn.
    places = [
        place
        for place, example in enumerate(text.examples)
        if is_surely_short(" ".join(example.words))
    ]
    count = max(1, round(len(text.examples) * share))
    if count >= len(places):
        return None

    # The usual draw.
    if text.word_columns:
        drawn = set(places[-count:])
        how = f"the last {plural(count, 'example')}"
    else:
        drawn = set(np.random.default_rng(0).permutation(places)[:count].tolist())
        how = f"{plural(count, 'example')} drawn at random"

    # Another one if it lacks a label that could be there; name the labels that are still missing.
    kinds_E = [_kinds(example, text, settings) for example in text.examples]
    times = Counter(itertools.chain.from_iterable(kinds_E))
    times_short = Counter(itertools.chain.from_iterable(kinds_E[place] for place in places))
    missing = _missing(times, kinds_E, drawn)
    if any(times_short[kind] > 1 for kind in missing):
        drawn = _draw_with_all(kinds_E, times_short, places, count, seed)
        how = f"{plural(count, 'example')} drawn at random"
        missing = _missing(times, kinds_E, drawn)
    if missing:
        named = [f"{label!r} of column {name}" for name, label in missing[:MOST_NAMED]]
        if len(missing) > MOST_NAMED:
            named.append(f"{len(missing) - MOST_NAMED:,} more")
        notice(
            f"no example held out for validation has {' or '.join(named)}: validation says "
            "nothing about that"
        )

    is_drawn = [place in drawn for place in range(len(text.examples))]
    kept = tuple(itertools.compress(text.examples, map(operator.not_, is_drawn)))
    held = tuple(itertools.compress(text.examples, is_drawn))
    return replace(text, examples=kept), replace(text, examples=held), how


MOST_TRIED = 100  # examples, to find one of a kind
LabelKind = tuple[str, str]  # a column, and a label or type of spans in it


def _kinds(example: Example, text: LabelledText, settings: LabelledSettings) -> set[LabelKind]:
    """Return the labels and types of spans of an example. Lemmas and sounds are no classes."""
    kinds: set[LabelKind] = set()
    for name, labels in zip(text.word_columns, example.word_labels, strict=True):
        if settings.align or name == "lemma":
            continue
        scheme = text.scheme.get(name, schemes.NONE)
        types = [kind for _, _, kind in schemes.spans(labels, scheme)]
        kinds.update((name, kind) for kind in (labels if scheme == schemes.NONE else types))
    for name, label in zip(text.text_columns, example.text_labels, strict=True):
        single_labels = labels_in(label) if settings.multi_label else (label,)
        kinds.update((name, label_name) for label_name in single_labels)
    return kinds


def _missing(
    times: Counter[LabelKind], kinds_E: list[set[LabelKind]], drawn: set[int]
) -> list[LabelKind]:
    """Return the labels that no drawn example has, the most frequent first."""
    covered = set[LabelKind]().union(*(kinds_E[place] for place in drawn))
    return [kind for kind, _ in times.most_common() if kind not in covered]


def _draw_with_all(
    kinds_E: list[set[LabelKind]],
    times: Counter[LabelKind],
    places: list[int],
    count: int,
    seed: int,
) -> set[int]:
    """Draw `count` of the examples at `places` at random so that each kind occurs among them, the
    frequent ones first where there are too few places. Where possible, each kind also occurs among
    the others. times: how many of the examples at `places` have each kind."""
    order = np.random.default_rng(seed).permutation(places).tolist()
    places_of: dict[LabelKind, list[int]] = {}
    for place in order:
        for kind in kinds_E[place]:
            places_of.setdefault(kind, []).append(place)
    drawn: set[int] = set()
    left = times.copy()  # how many of the examples that are not drawn have each kind

    def lost(place: int) -> int:
        return sum(left[kind] < 2 for kind in kinds_E[place])

    def draw(place: int) -> None:
        drawn.add(place)
        left.subtract(kinds_E[place])

    # One example of each kind, then others.
    for kind, number in times.most_common():
        if len(drawn) < count and number > 1 and left[kind] == number:
            draw(min(places_of[kind][:MOST_TRIED], key=lost))
    for most_lost in (0, len(times)):
        for place in order:
            if len(drawn) < count and place not in drawn and lost(place) <= most_lost:
                draw(place)
    return drawn


def _codec(
    tokenizer: Tokenizer,
    resolved: ResolvedSettings,
    settings: LabelledSettings,
    train: LabelledText,
) -> Codec:
    """Make the codec of the training data."""
    if resolved.values.get("characters"):
        tokenizer = tokenizer.spelling()
    columns: list[LabelColumn] = []

    # BIOES encodes most about how spans continue, so it is learned where labels depend on each
    # other.
    has_chain = resolved.values.get("output_layer") in ("crf", "memm")
    is_chained = has_chain or resolved.values.get("constrained")
    for place, name in enumerate(train.word_columns):
        scheme = inner = train.scheme.get(name, schemes.NONE)
        if is_chained and scheme != schemes.NONE:
            inner = schemes.BIOES
        form = codecs.EDIT if name == "lemma" else codecs.PLAIN
        if settings.align:
            form = codecs.SOUNDS
        rows = [(example.word_labels[place], example.words) for example in train.examples]
        columns.append(codecs.column_of(name, codecs.WORD, rows, scheme, inner, form))

    # A text has no spans.
    for place, name in enumerate(train.text_columns):
        labels = [example.text_labels[place] for example in train.examples]
        if settings.multi_label:
            form, sets = codecs.MULTI, list(map(labels_in, labels))
        else:
            form, sets = codecs.PLAIN, [(label,) for label in labels]
            # A network that learns from the nodes of trees has labels that no root has.
            if resolved.values.get("node_loss") == "all":
                sets += map(labels_of_nodes, train.examples)
        rows = [(label_set, ()) for label_set in sets]
        columns.append(codecs.column_of(name, codecs.TEXT, rows, schemes.NONE, schemes.NONE, form))
    return Codec(
        tokenizer,
        columns,
        {codecs.FORMAT: train.format},
        node_loss=resolved.values.get("node_loss"),
    )


def _with_sounds(
    train: LabelledText, others: dict[str, LabelledText], progress: Progress
) -> tuple[LabelledText, LabelledText, dict[str, LabelledText]]:
    """Align letters with sounds, so that each letter has a label: the training text, and `others`
    by the units learned from it.

    Return the training text without the words that cannot be aligned, first with its sounds, then
    with a label for each letter; and `others` with such labels. A notice says how many words were
    left out.
    """
    if len(train.word_columns) != 1:
        raise TextError(
            f"{len(train.word_columns)} columns of labels cannot be aligned at once",
            hint="name one with " + keyword("label_column"),
        )
    learned = align(_letters_and_sounds(train), progress=progress)
    if learned.skipped:
        notice(
            f"{len(learned.skipped):,} of {len(train.examples):,} words need more than "
            f"{learned.max_symbols} sounds per letter and are left out"
        )

    # A network cannot learn from a word without a label for each letter.
    pairs = zip(train.examples, learned.labels, strict=True)
    kept = [(example, labels) for example, labels in pairs if labels is not None]
    if not kept:
        raise TextError(
            "no word can be aligned", f"all need more than {learned.max_symbols} sounds per letter"
        )

    # But such a word is evaluated, and counts as wrong.
    aligned_others = {}
    for name, text in others.items():
        labels_E = align_more(learned, _letters_and_sounds(text)).labels
        examples = tuple(
            replace(example, word_labels=(labels or (UNALIGNED,) * len(example.words),))
            for example, labels in zip(text.examples, labels_E, strict=True)
        )
        aligned_others[name] = replace(text, examples=examples)
    return (
        replace(train, examples=tuple(example for example, _ in kept)),
        replace(
            train,
            examples=tuple(replace(example, word_labels=(labels,)) for example, labels in kept),
        ),
        aligned_others,
    )


def _letters_and_sounds(text: LabelledText) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    return [(example.words, example.word_labels[0]) for example in text.examples]


def _tokenizer(
    request: TrainingRequest, resolved: ResolvedSettings, train: LabelledText
) -> tuple[Tokenizer, ResolvedSettings]:
    """Make a tokenizer of the training data, or load the given one. Return it, and the settings
    with its own."""
    source = request.tokenizer_from or request.init_from
    if source is None:
        if not request.is_bundled:
            resolved = choosing.keep_rare_words(resolved, len(train.examples))
        lines = [" ".join(map(one_token, example.words)) for example in train.examples]
        tell_unspaced_words(lines, resolved.values["tokenizer"])
        made = tokenizers.train(resolved.make(TaskTokenizerSettings), [Block(lines, [])])
        return made, resolved
    tokenizer = loading.load_tokenizer(source)
    return tokenizer, resolved.with_layer(f"tokenizer of {source}", tokenizer.to_settings())
