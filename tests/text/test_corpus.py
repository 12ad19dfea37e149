import itertools
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from rnnlm.errors import RnnlmWarning, TextError
from rnnlm.text.corpus import Corpus, TextInMemory
from rnnlm.text.lines import (
    Block,
    Lines,
    TextSettings,
    as_bytes,
    check_reserved,
    lines_of as lines_of_whole,
    numbered_lines,
    read_block,
    split_words,
    to_block,
)
from rnnlm.text.marks import count_marks
from support.tiny_models import make_tokenizer

EUROS, LONG = "\u20ac" * 500_001, b"x" * 99 + b"\n"


@pytest.fixture
def corpus(tmp_path):
    def make(*texts: str | bytes, **settings) -> Corpus:
        names = []
        for number, text in enumerate(texts):
            path = tmp_path / f"text{number}.txt"
            path.write_bytes(text.encode() if isinstance(text, str) else text)
            names.append(str(path))
        return Corpus(tuple(names), TextSettings(**settings))

    return make


def lines_of(corpus) -> list[str]:
    return [line for block in corpus.blocks() for line in block.lines]


def documents_of(corpus) -> list[list[str]]:
    documents = []
    for block in corpus.blocks():
        for index, line in enumerate(block.lines):
            if index in block.document_starts:
                documents.append([])
            documents[-1].append(line)
    return documents


@pytest.mark.parametrize("texts, lines", [
    # a newline alone ends a line
    (["a\u2028b\u0085c\x0bd\x0ce\x1cf\rg\nh"], ["a\u2028b\u0085c\x0bd\x0ce\x1cf\rg", "h"]),
    (["a\r\nb\r\r\nc\n"], ["a", "b\r", "c"]), (["a\nb"], ["a", "b"]), (["a\nb\n"], ["a", "b"]),
    (["a\nb", "c\n"], ["a", "b", "c"]),
    ([f"x{EUROS}\n{EUROS}\n"], [f"x{EUROS}", EUROS]),  # characters across the chunks that are read
    # a byte order mark is dropped at the start of a file only
    (["\ufeffa\n\ufeffb\n", "\ufeffc\n"], ["a", "\ufeffb", "c"]),
], ids=range(7))  # fmt: skip
@pytest.mark.parametrize("chunk", [2, None])
def test_lines_of_files_end_at_newlines(corpus, chunk_bytes, texts, lines, chunk):
    if chunk and len(texts[0]) < 100:
        chunk_bytes(chunk)
    assert lines_of(corpus(*texts)) == lines


pieces = st.sampled_from([b"a", b"b c", b"<s>", b"\xc3\xa9", b"\xff", b" ", b"\t", b"\r", b"\0"])
pieces |= st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\xef\xbb\xbf"])


@given(st.lists(pieces, max_size=20), st.sampled_from(["skip", "keep", "documents"]), st.booleans())
def test_plain_lines_are_read_like_all_others(pieces, blank_lines, is_first):
    settings = TextSettings("replace", blank_lines, "replace")
    whole, first_line = b"".join(pieces), 1 if is_first else 7
    one_by_one = list(lines_of_whole(whole, "text", first_line, "replace"))
    expected = to_block("text", first_line, one_by_one, settings, is_first)

    # Each line that is there before is counted, too.
    block, starts_document = read_block("text", first_line, whole, settings, is_first)
    assert block == expected[0]
    if block.lines:
        assert starts_document == expected[1]
    assert as_bytes(block.lines) == as_bytes(list(block.lines))
    assert count_marks(block.lines) == count_marks(list(block.lines))


def test_lines_in_one_piece_are_a_sequence():
    lines = ["a", "", "b \u00e9 c", "d"]
    piece = Lines(as_bytes(lines))
    assert len(piece) == 4 and piece[2] == lines[2] and piece[-1] == "d" and piece == lines
    for start, stop, step in itertools.product((None, 0, 1, 3, -2), (None, 0, 2, 4, 9), (None, 2)):
        cut = piece[start:stop:step]
        assert isinstance(cut, Lines) and list(cut) == lines[start:stop:step]


def test_words_are_split_on_four_ascii_characters_alone():
    assert split_words("a b\tc\rd\0e\nf") == list("abcdef")
    odd = "x\u00a0y\u2028z\x0bv\x0cw\x1cu"
    assert split_words(f" {odd}  \u3000 ") == [odd, "\u3000"]
    assert split_words("") == []


@pytest.mark.parametrize("text, place, why, hint", [
    (b"fine\nm\xc3\xa4 \xff\n", "line 2, byte 5", "0xff", '`encoding_errors="replace"`'),
    (LONG * 30_000 + b"ab\x81c\n" + LONG * 30_000, "line 30001, byte 3", "", ""),
    (b"a\nb\xe2\x82", "line 2, byte 2", "", ""),
    (b"a\nbad\0c\0", "line 2, byte 4", "2 of the 6 bytes", "tr -d"),
], ids=["bad", "far", "cut off", "NUL"])  # fmt: skip
def test_bad_utf8_errors_name_file_line_and_byte(corpus, text, place, why, hint):
    text = corpus(text)
    with pytest.raises(TextError) as error:
        lines_of(text)
    assert f"{text.sources[0]}, {place}" in error.value.what
    assert why in error.value.why and hint in error.value.hint


def test_lines_of_json_are_said_to_be_read_as_text(corpus):
    lines = ['{"text": "a"}', '{"text": "b"}']
    with pytest.warns(RnnlmWarning, match="JSON lines are read as text"):
        assert lines_of(corpus("\n".join(lines))) == lines


BLANKS = "\n \na\n\t\r\n\u00a0\nb\n\n"


@pytest.mark.parametrize("text, settings, lines", [
    (b"a\xffb\n\xe2\x82\n", {"encoding_errors": "replace"}, ["a\ufffdb", "\ufffd"]),
    (BLANKS, {}, ["a", "\u00a0", "b"]), ("", {}, []), ("\n\n \r\n", {}, []),
    (BLANKS, {"blank_lines": "keep"}, ["", "", "a", "", "\u00a0", "b", ""]),
    ("<s> a\t</s>\n", {"special_symbols": "replace"}, ["<unk> a\t<unk>"]),
    ("a\n<s> </s>\nb\n", {"special_symbols": "drop"}, ["a", "b"]),
])  # fmt: skip
def test_bytes_blank_lines_and_symbols_are_read_as_settings_say(corpus, text, settings, lines):
    assert lines_of(corpus(text, **settings)) == lines


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 10**6])
def test_blank_lines_separate_documents_whatever_the_chunks(corpus, chunk_bytes, chunk):
    chunk_bytes(chunk)
    text = corpus("\n\na\nb\n\n \nc\nd\n\ne", "f\n\n", blank_lines="documents")
    assert documents_of(text) == [["a", "b"], ["c", "d"], ["e"], ["f"]]


@pytest.mark.parametrize(("line", "dropped"), [
    ("<s> hello world </s>", "hello world"), ("<s>", ""), ("<s> </s>", ""), ("a <s> b", "a b"),
    ("a </s>", "a"), ("a\t<s>\tb", "a\tb"),
    ("a <s> </s>", "a"), ("  <s> a", "  a"), ("<s> <s> a", "a"),
    # What is no word by itself stays.
    *((line, line) for line in ("<s>a", "x</s>", "<S>", "<s>\u00a0", "<unk>", "a<s>b")),
])  # fmt: skip
def test_reserved_symbols_are_refused_or_dropped_with_their_space(corpus, line, dropped):
    assert check_reserved(line, "here", "drop") == dropped
    if line == dropped:
        assert lines_of(corpus(line)) == [line]
    else:
        with pytest.raises(TextError, match="text0.txt, line 3: .*</?s>.*`special_symbols`"):
            lines_of(corpus(f"a\n\n{line}\n"))


def test_lines_are_numbered_from_one_blank_ones_too(corpus, chunk_bytes):
    chunk_bytes(3)
    numbered = []
    for first, lines in numbered_lines(corpus("a\n\nb\nc\n").sources[0]):
        numbered += enumerate(lines, start=first)
    assert numbered == [(1, "a"), (2, ""), (3, "b"), (4, "c")]


def parts_of(text, share: float) -> tuple[list[str], list[str]]:
    """Return the lines of both parts of a text, found by encoding it."""
    tokenizer = make_tokenizer([], tokenizer="byte")
    parts = text.split(share).encode(tokenizer)
    return tuple(tokenizer.decode(part.ids).split("\n") if part else [] for part in parts)


def test_a_split_takes_whole_documents_and_a_single_one_cannot_be_split(corpus):
    text = corpus("a\nb\n\nc\nd\ne\n\nf\ng\nh\n", blank_lines="documents")
    assert parts_of(text, 0.25) == ([*"abcde"], [*"fgh"])
    train, held_out = text.split(0.25).encode(make_tokenizer([], tokenizer="byte"))
    assert train.document_offsets.tolist() == [0, 4, 10]
    assert held_out.document_offsets.tolist() == [0, 6]
    assert parts_of(corpus("a\n"), 0.5) == (["a"], [])
    assert parts_of(corpus("a\nb\n", blank_lines="documents"), 0.5) == (["a", "b"], [])


@given(data=st.data(), share=st.floats(0, 0.99), has_documents=st.booleans())
def test_a_split_does_not_depend_on_blocks(data, share, has_documents):
    lines = data.draw(st.integers(1, 60))
    inside = st.integers(1, lines)
    starts = sorted(data.draw(st.sets(inside, max_size=6)) - {lines}) if has_documents else []
    borders = [0, *sorted(data.draw(st.sets(inside, max_size=12)) - {lines}), lines]
    every = [str(line) for line in range(lines)]
    blocks = []
    for first, last in pairwise(borders):
        documents = [start for start in [0, *starts] if has_documents and first <= start < last]
        blocks.append(Block(every[first:last], [start - first for start in documents]))
    settings = TextSettings(blank_lines="documents" if has_documents else "skip")
    text = TextInMemory(("t",), settings, tuple(blocks))
    wanted = lines - max(1, round(lines * share))
    if has_documents:
        wanted = min(starts, key=lambda start: abs(start - wanted), default=0)
    cut = wanted if share and wanted > 0 else lines
    assert parts_of(text, share) == (every[:cut], every[cut:])
    split = text.split(share)
    assert [line for block in split.blocks() for line in block.lines] == every[:cut]
    # where the second part begins is known by now
    again, held_out = split.encode(make_tokenizer([], tokenizer="byte"))
    assert again.sentences == cut and (held_out.sentences if held_out else 0) == lines - cut


def test_text_in_memory_is_reread_without_its_source(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("a b\n\nc\n")
    text = Corpus((str(path),), TextSettings(blank_lines="documents"))
    held, blocks = TextInMemory.read(text), list(text.blocks())
    path.unlink()
    assert list(held.blocks()) == list(held.blocks()) == blocks
    assert (held.sources, held.settings) == (text.sources, text.settings)
