"""Turn examples and labels into numbers: the codec of the labels, the tokens of each word, the
label of each word or text."""

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Annotated, Any

import msgspec
import numpy as np

from rnnlm.errors import ModelError, TextError
from rnnlm.interface import PADDING, Tokenizer
from rnnlm.storage.files.reading import decode_json
from rnnlm.tasks.labelling import trees
from rnnlm.tasks.labelling.formats import edit_scripts, schemes
from rnnlm.tasks.labelling.formats.example import Example, LabelledText, Level, Tree, labels_in
from rnnlm.text.batches import can_be_read, tell_too_long

# ---- How a task's model encodes words and labels as numbers: the tokenizer of its words, and the
# symbols of each label column.

FILE = "labels.json"
FORMAT = "format"  # of the training data, among the details of a codec
WORD, TEXT = "word", "text"
# The labelled unit of each task.
LEVELS: Mapping[str, Level] = {"tagging": "word", "classification": "text"}
PLAIN, EDIT, SOUNDS, MULTI = "plain", "edit", "sounds", "multi"  # forms

_Scheme = Annotated[str, msgspec.Meta(pattern=f"^({'|'.join((schemes.NONE, *schemes.LETTERS))})$")]


@dataclass(frozen=True)
class LabelColumn:
    """The labels of one column.

    level: "word" or "text", the labelled unit. symbols: the K classes that the network
    distinguishes. scheme: the scheme in which the training data write spans; inner: the scheme of
    `symbols`. form: "plain"; "edit": symbols are edit scripts from a word to its label, as for
    lemmas; "sounds": a symbol joins the sounds of a letter; "multi": a text has any number of
    labels.
    """

    name: str
    level: Annotated[str, msgspec.Meta(pattern=f"^({WORD}|{TEXT})$")]
    symbols: tuple[str, ...]
    scheme: _Scheme = schemes.NONE
    inner: _Scheme = schemes.NONE
    form: Annotated[str, msgspec.Meta(pattern=f"^({PLAIN}|{EDIT}|{SOUNDS}|{MULTI})$")] = PLAIN

    @cached_property
    def ids(self) -> dict[str, int]:
        """The number of each symbol."""
        return {symbol: number for number, symbol in enumerate(self.symbols)}

    def to_symbols(self, labels: Sequence[str], words: Sequence[str]) -> Sequence[str]:
        """Return the labels of a sentence's words as symbols, known ones or not."""
        if self.form == EDIT:
            pairs = zip(words, labels, strict=True)
            return [edit_scripts.script(word, label) for word, label in pairs]
        return schemes.convert(labels, self.scheme, self.inner)

    def encode_words(self, labels: Sequence[str], words: Sequence[str]) -> list[int]:
        """Return the number of each word's symbol, -1 where training never saw it."""
        return [self.ids.get(symbol, PADDING) for symbol in self.to_symbols(labels, words)]

    def encode_text(self, label: str) -> np.ndarray:
        """Return the number of a text's label, (1,), -1 if training never saw it; in a column of
        the form "multi" which symbols are among the labels, as zeros and ones, (K,)."""
        if self.form != MULTI:
            return np.array([self.ids.get(label, PADDING)])
        present = np.zeros(len(self.symbols), dtype=np.int64)
        present[[self.ids[name] for name in labels_in(label) if name in self.ids]] = 1
        return present

    def decode_words(self, ids: Sequence[int], words: Sequence[str]) -> tuple[str, ...]:
        """Return the labels of a sentence's words as the training data write them."""
        symbols = [self.symbols[id] for id in ids]
        if self.form == EDIT:
            pairs = zip(symbols, words, strict=True)
            return tuple(edit_scripts.apply(script, word) for script, word in pairs)
        return tuple(schemes.convert(symbols, self.inner, self.scheme))

    def labels_in(self, scheme: str) -> set[str]:
        """Return the labels that training saw, and those that write other spans of the same types,
        as `scheme` writes them."""
        if scheme == schemes.NONE:
            return set(self.symbols)
        kinds = {schemes.parse(symbol)[1] for symbol in self.symbols if symbol != schemes.OUTSIDE}
        labels = itertools.chain.from_iterable(_all_labels(kind, scheme) for kind in kinds)
        return {schemes.OUTSIDE, *labels}

    @cached_property
    def constraints(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Which symbols may begin, end and follow each other; None where all may."""
        is_free = self.inner == schemes.NONE
        return None if is_free else schemes.allowed(self.symbols, self.inner)


def column_of(
    name: str,
    level: str,
    rows: Iterable[tuple[Sequence[str], Sequence[str]]],
    scheme: str,
    inner: str,
    form: str,
) -> LabelColumn:
    """Make the column with the symbols of `rows`, most frequent first. rows: the labels of each
    sentence, and its words."""
    empty = LabelColumn(name, level, (), scheme, inner, form)
    counts: Counter[str] = Counter()
    for labels, words in rows:
        counts.update(empty.to_symbols(labels, words) if level == WORD else labels)
    symbols = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))

    # Spans of several words may have any length: add labels that training happened not to need.
    if level == WORD and inner != schemes.NONE:
        single = schemes.LETTERS[inner][-1] if inner == schemes.BIOES else ""
        parsed = [schemes.parse(symbol) for symbol in symbols if symbol != schemes.OUTSIDE]
        kinds = sorted({kind for letter, kind in parsed if letter != single})
        possible = itertools.chain.from_iterable(_all_labels(kind, inner) for kind in kinds)
        symbols += [symbol for symbol in (*possible, schemes.OUTSIDE) if symbol not in counts]
    return LabelColumn(name, level, tuple(symbols), scheme, inner, form)


def _all_labels(kind: str, scheme: str) -> list[str]:
    """Return the labels that a scheme has for spans of a kind."""
    behind = f"-{kind}" if kind else ""
    return [letter + behind for letter in dict.fromkeys(f"B{schemes.LETTERS[scheme]}")]


class Codec:
    """A tokenizer of words and the label columns. A task's model stores it where a language model
    stores its tokenizer.

    details: the format of the training data. beside: the language models of `--contextual` (a
    :class:`rnnlm.tasks.labelling.networks.contextual.FrozenModels`), which read the same words;
    None without any. node_loss: for a network that reads trees, which of their nodes it learns
    from: "all" or "root"; None for other networks.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        columns: Sequence[LabelColumn],
        details: dict[str, Any] | None = None,
        beside: Any = None,
        node_loss: str | None = None,
    ) -> None:
        self.tokenizer, self.beside, self.node_loss = tokenizer, beside, node_loss
        self.columns = tuple(columns)
        self.details = details or {}

    @property
    def word_columns(self) -> tuple[LabelColumn, ...]:
        """The columns whose labels belong to words."""
        return tuple(column for column in self.columns if column.level == WORD)

    @property
    def text_columns(self) -> tuple[LabelColumn, ...]:
        """The columns whose labels belong to the whole text."""
        return tuple(column for column in self.columns if column.level == TEXT)

    @cached_property
    def places(self) -> tuple[int, ...]:
        """The place of each column among the columns of its level, if examples have its labels."""
        levels = [column.level for column in self.columns]
        return tuple(levels[:number].count(level) for number, level in enumerate(levels))

    def spelling(self) -> "Codec":
        """Return the codec for a network that reads characters: its tokenizer gives each word a
        separate id."""
        return Codec(
            self.tokenizer.spelling(), self.columns, self.details, self.beside, self.node_loss
        )

    @property
    def name(self) -> str:
        """The name of the tokenizer."""
        return self.tokenizer.name

    @property
    def size(self) -> int:
        """How many words, or pieces of words, have vectors."""
        return self.tokenizer.size

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits over the tokenizer and the labels."""
        digest = hashlib.sha256(self.tokenizer.fingerprint.encode() + self._to_json())
        return digest.hexdigest()[:12]

    def to_settings(self) -> dict[str, Any]:
        """Return the settings of the tokenizer."""
        return self.tokenizer.to_settings()

    def to_files(self) -> dict[str, bytes]:
        """Return the files from which :func:`codec` restores it, by role."""
        return {**self.tokenizer.to_files(), FILE: self._to_json()}

    def _to_json(self) -> bytes:
        stored = {"columns": [asdict(column) for column in self.columns], **self.details}
        return msgspec.json.format(msgspec.json.encode(stored), indent=1)


def _check(column: LabelColumn) -> None:
    """Raise ValueError or TextError unless :func:`column_of` could have made this stored column."""
    "".join((column.name, *column.symbols)).encode()  # JSON can hold halves of characters
    if not len(set(column.symbols)) == len(column.symbols) > 0:
        raise ValueError(f"the column {column.name!r} has no labels, or a duplicate")

    # Form and schemes go with the level.
    is_text, has_spans = column.level == TEXT, column.scheme != schemes.NONE
    if column.form != PLAIN and (column.form == MULTI) != is_text:
        raise ValueError(f"labels of a {column.level} are not of the form {column.form}")
    if has_spans != (column.inner != schemes.NONE) or (has_spans and is_text):
        raise ValueError(
            f"labels of a {column.level} are not of scheme {column.scheme}, inside {column.inner}"
        )
    if column.inner not in (column.scheme, schemes.BIOES):
        raise ValueError(f"spans of scheme {column.scheme} are not learned as {column.inner}")

    # Each symbol can be read.
    if column.form == PLAIN:
        for symbol in column.symbols:
            schemes.check_label(symbol, column.inner, column.name)
    elif column.form == EDIT:
        for symbol in column.symbols:
            edit_scripts.apply(symbol, "word")


class _StoredCodec(msgspec.Struct):
    columns: list[LabelColumn]


def codec(tokenizer: Tokenizer, files: dict[str, bytes]) -> Codec:
    """Restore the codec whose `to_files()` are in a model's folder."""
    if FILE not in files:
        raise ModelError("the model has no labels", f"{FILE} is missing")
    # Files may be damaged, or made by hand: each column has to be one that we could have made.
    try:
        columns = decode_json(files[FILE], _StoredCodec).columns
        details = decode_json(files[FILE], dict[str, Any])
        for column in columns:
            _check(column)
    except (ValueError, TextError) as error:
        why = error.what if isinstance(error, TextError) else str(error)
        raise ModelError(f"{FILE} is damaged", why) from None
    if not columns or len({(column.level, column.name) for column in columns}) < len(columns):
        raise ModelError(f"{FILE} is damaged", "it has no columns, or a duplicate")
    details.pop("columns")
    return Codec(tokenizer, columns, details)


# ---- Examples as numbers: the tokens of each word, the label of each word or text.


@dataclass(frozen=True)
class EncodedWords:
    """The words of E texts as tokens, each word encoded alone.

    ids: (N,) tokens. token_offsets: (W + 1,), word w is `ids[token_offsets[w]:token_offsets[w +
    1]]`. word_offsets: (E + 1,), text e has the words from `word_offsets[e]` on. is_known: (W,),
    whether the vocabulary has the word, all its tokens. beside: the same words as the language
    models of `--contextual` read them
    (:class:`rnnlm.tasks.labelling.networks.contextual.WordStates`), where there are some. trees:
    the nodes over the words of each text (:func:`rnnlm.tasks.labelling.trees.nodes_of`), for a
    network that reads them.
    """

    ids: np.ndarray
    token_offsets: np.ndarray
    word_offsets: np.ndarray
    is_known: np.ndarray
    beside: Any = None
    trees: tuple[np.ndarray, ...] | None = None

    @property
    def texts(self) -> int:
        """How many texts."""
        return len(self.word_offsets) - 1

    @cached_property
    def is_by_word(self) -> bool:
        """Whether each word is one token."""
        return len(self.ids) == len(self.token_offsets) - 1

    @cached_property
    def token_lengths(self) -> np.ndarray:
        """How many tokens each text has, (E,)."""
        return np.diff(self.token_offsets[self.word_offsets])


@dataclass(frozen=True)
class LabelledData:
    """Examples and a network's input for them.

    labels: for each column of the codec numbers of labels, -1 where training never saw one: (W,) of
    a column of words, (E, 1) of a column of texts, (E, K) zeros and ones where a text has several;
    of a column of texts that are trees, (N,) of their nodes, -1 where these have no label.
    content_hash: of words and labels.
    """

    examples: tuple[Example, ...]
    words_encoded: EncodedWords
    labels: tuple[np.ndarray, ...]
    content_hash: str

    @cached_property
    def label_offsets(self) -> np.ndarray:
        """Where the labels of each text begin, if those of its words or nodes lie end to end."""
        nodes_E = self.words_encoded.trees
        if nodes_E is None:
            return self.words_encoded.word_offsets
        return _offsets(np.array([nodes_4N.shape[1] for nodes_4N in nodes_E]))

    @property
    def lines_hash(self) -> str:
        """Identifies the data when a run is resumed."""
        return self.content_hash

    @property
    def tokens(self) -> int:
        return len(self.words_encoded.ids)

    @property
    def words(self) -> int:
        return len(self.words_encoded.token_offsets) - 1

    @property
    def sentences(self) -> int:
        return len(self.examples)


@dataclass(frozen=True)
class TaskData:
    """The data that a network is trained on; tokenizer: the codec. valid: None where nothing is
    held out."""

    tokenizer: Codec
    train: LabelledData
    valid: LabelledData | None


def encode_texts(codec: Codec, texts: Sequence[Sequence[str]]) -> EncodedWords:
    """Encode the words of texts as a task's network reads them."""
    nodes = None if codec.node_loss is None else tuple(map(trees.nodes_of, texts))
    beside = None if codec.beside is None else codec.beside.encode(texts)
    return replace(encode_words(codec.tokenizer, texts), beside=beside, trees=nodes)


def encode_words(tokenizer: Tokenizer, texts: Sequence[Sequence[str]]) -> EncodedWords:
    """Encode the words of texts as tokens. A word that the tokenizer reduces to nothing becomes the
    unknown token."""
    # Each of the D different words is tokenized once.
    different = dict.fromkeys(itertools.chain.from_iterable(texts))
    numbers = {word: number for number, word in enumerate(different)}
    encoded = tokenizer.encode([one_token(word) for word in numbers])
    unknown_id = tokenizer.boundary_id if tokenizer.unk_id is None else tokenizer.unk_id
    unknown = np.array([unknown_id], dtype=np.int32)
    bounds = itertools.pairwise(encoded.offsets)
    without_end = (encoded.ids[start : end - 1] for start, end in bounds)
    pieces = [piece if len(piece) else unknown for piece in without_end]
    is_known_D = np.ones(len(numbers), dtype=bool)
    is_known_D[np.searchsorted(encoded.offsets, encoded.oov, side="right") - 1] = False

    # Put each text together from the pieces of its words.
    all_words = itertools.chain.from_iterable(texts)
    order = np.fromiter((numbers[word] for word in all_words), dtype=np.int64)
    lengths_W = np.fromiter(map(len, pieces), dtype=np.int64, count=len(pieces))[order]
    in_order = [pieces[number] for number in order.tolist()]
    ids = np.concatenate(in_order) if in_order else np.zeros(0, dtype=np.int32)
    words_E = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    return EncodedWords(ids, _offsets(lengths_W), _offsets(words_E), is_known_D[order])


def one_token(word: str) -> str:
    """Return the word without white space at which a tokenizer would split it, as in 10 000."""
    parts = [] if word.isalnum() else word.split()
    return "\u00a0".join(parts) if len(parts) > 1 else word.strip("\n")


def lines_of(texts: Sequence[Sequence[str]]) -> list[str]:
    """Return the words of texts as lines of which the tokenizer makes the same tokens."""
    return [" ".join(map(one_token, words)) for words in texts]


def encode_examples(codec: Codec, gold: LabelledText, learned: LabelledText) -> LabelledData:
    """Encode examples that have the label columns of the codec, in its order. learned: the same
    examples with one label per word; differs from `gold` only where letters and sounds were
    aligned. Examples too long to be read are left out."""
    encoded = encode_texts(codec, [example.words for example in gold.examples])
    is_short = can_be_read(encoded.token_lengths)
    if not is_short.all():
        count = len(gold.examples)
        tell_too_long(count - int(is_short.sum()), count, "texts")
        gold = replace(gold, examples=tuple(itertools.compress(gold.examples, is_short)))
        learned = replace(learned, examples=tuple(itertools.compress(learned.examples, is_short)))
        return encode_examples(codec, gold, learned)
    labels = encode_labels(codec, learned.examples)
    return LabelledData(gold.examples, encoded, labels, gold.content_hash)


def every(codec: Codec, data: LabelledData, step: int) -> LabelledData:
    """Return every `step`-th example of the data."""
    examples = data.examples[::step]
    bounds = np.cumsum([0, *(len(example.words) for example in data.examples)])
    labels = []
    for column, column_labels in zip(codec.columns, data.labels, strict=True):
        # Labels of words lie end to end; a text has one row.
        if column.level == WORD:
            pieces = [
                column_labels[bounds[i] : bounds[i + 1]] for i in range(0, len(data.examples), step)
            ]
            labels.append(np.concatenate(pieces))
        else:
            labels.append(_labels_of_texts(codec, column, examples))
    words = encode_texts(codec, [example.words for example in examples])
    return LabelledData(examples, words, tuple(labels), data.content_hash)


def encode_labels(codec: Codec, examples: Sequence[Example]) -> tuple[np.ndarray, ...]:
    """Return the labels of each column as :class:`LabelledData` has them."""
    labels: list[np.ndarray] = []
    for column, place in zip(codec.columns, codec.places, strict=True):
        if column.level == WORD:
            ids = [
                column.encode_words(example.word_labels[place], example.words)
                for example in examples
            ]
            labels.append(np.fromiter(itertools.chain.from_iterable(ids), dtype=np.int64))
        else:
            labels.append(_labels_of_texts(codec, column, examples))
    return tuple(labels)


def _labels_of_texts(codec: Codec, column: LabelColumn, examples: Sequence[Example]) -> np.ndarray:
    """Return the labels of texts; for a network that reads trees, those of the nodes it learns
    from."""
    place = codec.places[codec.columns.index(column)]
    rows = [column.encode_text(example.text_labels[place]) for example in examples]
    if codec.node_loss is None or column.form == MULTI:
        return np.stack(rows)

    # The root is the last node. Without a tree, it is the only one with a label.
    by_node: list[int] = []
    for example, [root] in zip(examples, rows, strict=True):
        nodes = [PADDING] * (2 * len(example.words) - 1)
        if codec.node_loss == "all" and isinstance(example.words, Tree):
            nodes = [column.ids.get(label, PADDING) for label in example.words.labels]
        by_node += [*nodes[:-1], int(root)]
    return np.array(by_node, dtype=np.int64)


def _offsets(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate(([0], np.cumsum(lengths)))
