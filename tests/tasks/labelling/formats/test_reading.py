"""Files with labels: each format is told by its content, each fault by its line."""

import gzip
import json
from decimal import Decimal

import pyarrow
import pyarrow.parquet
import pytest

from rnnlm.errors import RnnlmError, RnnlmWarning, SettingsError, TextError, UsageError
from rnnlm.tasks.labelling.formats.example import LabelledSettings, labels_in
from rnnlm.tasks.labelling.formats.known_formats import read_labelled

WORDS, TAGS = ("We", "do", "n't", "fly", "."), ("PRON", "AUX", "PART", "VERB", "PUNCT")
CONLLU = (
    "# sent_id = 1\n# text = We don't fly.\n# mood = "
    "plain\n1\tWe\twe\tPRON\tPRP\tCase=Nom\t_\t_\t_\t_\n"
    "2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "2\tdo\tdo\tAUX\tVBP\t_\t_\t_\t_\t_\n3\tn't\tnot\tPART\tRB\t_\t_\t_\t_\t_\n4\tfly\tfly\tVERB\tVB\t_\t_\t_\t_\t_\n"
    "4.1\tfly\tfly\tVERB\tVB\t_\t_\t_\t_\t_\n5\t.\t.\tPUNCT\t.\t_\t_\t_\t_\t_\n\n"
)
ROWS = [
    {"id": 7, "text": "fly to Rome", "slots": "O O B-city", "intent": "flight"},
    {"id": 8, "text": "hi", "slots": "O", "intent": "a#b"},
]
TSV = "\n".join(["\t".join(ROWS[0]), *("\t".join(map(str, row.values())) for row in ROWS)]) + "\n"


@pytest.fixture
def read(tmp_path):
    def of(content, task="word", name="data.txt", aligned=True, **settings):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_labelled([file], LabelledSettings(**settings), task, aligned)

    return of


LEXICON = ";;; words and sounds\nCAT  K AE T\n\nDOG  D AO G\nTHE  DH AH0\nTHE(2)  DH IY0\n"


@pytest.mark.system("bash")
@pytest.mark.parametrize("content", [
    LEXICON, "CAT\tK AE T\nDOG\tD AO G\nTHE\tDH AH0\nTHE\tDH IY0\n",
])  # fmt: skip
def test_words_of_a_lexicon_are_read_as_letters(read, content):
    with pytest.warns(RnnlmWarning, match="are read as letters"):
        text = read(content, aligned=False, align=True)
    assert [("".join(each.words), *each.word_labels) for each in text.examples] == [
        ("CAT", ("K", "AE", "T")), ("DOG", ("D", "AO", "G")),
        ("THE", ("DH", "AH0")), ("THE", ("DH", "IY0")),
    ]  # fmt: skip
    assert text.examples[0].words == ("C", "A", "T")
    spelled = read("c a t\tK AE T\nsh o t\tSH AA T\n", aligned=False, align=True)
    assert spelled.examples[1].words == ("sh", "o", "t")


@pytest.mark.parametrize(("content", "format"), [
    (CONLLU, "conllu"),
    ("We PRON\ndo AUX\nn't PART\nfly VERB\n. PUNCT\n", "columns"),
    ("\n-DOCSTART- -X-\n\nWe\tPRON\r\ndo\tAUX\r\nn't\tPART\r\nfly\tVERB\r\n.\tPUNCT\r\n\r\n",
     "columns"),
    ("tags\ttext\nPRON AUX PART VERB PUNCT\tWe do n't fly .\n", "tsv"),
    (json.dumps({"words": WORDS, "tags": TAGS}), "jsonl"),
    ('text\ttags\n"[""We"", ""do"", ""n\'t"", ""fly"", "".""]"\t' + json.dumps(TAGS), "tsv"),
    (f"tags\ttext\n{list(TAGS)}\t['We', 'do', \"n't\", 'fly', '.']\n", "tsv"),  # as pandas writes lists
])  # fmt: skip
def test_formats_of_word_labels_are_detected_by_content(read, content, format):
    text = read(content)
    found = [(each.words, each.word_labels, each.text_labels) for each in text.examples]
    assert found == [(WORDS, (TAGS,), ())]
    assert (text.format, [*text.scheme.values()]) == (format, ["none"])
    assert text.content_hash == read(CONLLU).content_hash


@pytest.mark.parametrize("content, format, name", [
    ("__label__b a text\nother __label__a text\n", "fasttext", "x"),
    ("sentence\tlabel\na text\tb\nother text\ta\n", "tsv", "x"),
    ("label;text\nb;a text\na;other text\n", "csv", "x.csv"),
    ('[{"text": "a text", "label": "b"},\n {"text": "other text", "label": "a"}]', "jsonl", "x"),
])  # fmt: skip
def test_formats_of_text_labels_are_detected_by_content(read, content, format, name):
    text = read(content, "text", name)
    found = [(each.words, each.word_labels, each.text_labels) for each in text.examples]
    assert found == [(("a", "text"), (), ("b",)), (("other", "text"), (), ("a",))]
    assert text.format == format


def test_words_may_be_number_signs_or_named_like_columns(read):
    assert read("text\tO\nsentence\tB-X\n\na\tO\n").format == "columns"
    (example, *_) = read(TAGGED.replace("we O", "# O")).examples
    assert example.words == ("#", "saw", "bob", "smith")
    assert read(TAGGED.replace("we O", "#we O")).examples[0].words[0] == "#we"
    for content in ("# licence = CC0\n\n" + CONLLU, CONLLU + "# the end\n\n"):
        assert read(content).content_hash == read(CONLLU).content_hash


@pytest.mark.parametrize("name", ["x", "x.tsv", "x.csv"])
def test_numbers_name_the_columns_of_a_table_without_a_header(read, name):
    content = "b\ta text\n\na\t other  text\n"
    content = content.replace("\t", ",") if name == "x.csv" else content
    text = read(content, "text", name, column="2", label_column="1")
    found = [(each.words, each.text_labels) for each in text.examples]
    assert found == [(("a", "text"), ("b",)), (("other", "text"), ("a",))]
    assert text.text_columns == ("1",)
    found = read(content, "text", name)
    assert [each.text_labels for each in found.examples] == [("b",), ("a",)]


def test_unrecognised_columns_name_the_settings_to_give(read):
    with pytest.raises(TextError, match="not recognised.*a tab separates a text from its label"):
        read("1 good\n0 bad\n", "text")
    with pytest.raises(TextError, match="has 'O' in the last column.*`label_column=2`"):
        read(TAGGED.replace("\n", " O\n").replace("\n O\n", "\n\n"))
    swapped = "\n".join(" ".join(reversed(line.split())) for line in TAGGED.split("\n"))
    with pytest.raises(TextError, match="which column.*`column=2` and `label_column=1`, or `col"):
        read(swapped)
    named = read(swapped, column="2", label_column="1")
    assert named.content_hash == read(TAGGED).content_hash


def test_label_columns_are_named_numbered_or_of_conllu(read):
    text = read("text\t2\nfly me\tO X\n", column="text", label_column="2")
    assert text.examples[0].word_labels == (("O", "X"),)
    assert read("text\t2\nfly me\tO X\n", name="x.tsv", label_column="2").word_columns == ("2",)
    text = read(CONLLU, column="lemma", label_column="xpos,feats", sentence_label_column="mood")
    (example,) = text.examples
    assert (text.word_columns, text.text_columns) == (("xpos", "feats"), ("mood",))
    assert example.words == ("we", "do", "not", "fly", ".")
    assert (example.text_labels, example.line) == (("plain",), 1)
    assert example.word_labels == (tuple("PRP VBP RB VB .".split()), ("Case=Nom", *"____"))
    numbered = read(CONLLU, column="3", label_column="5")
    assert numbered == read(CONLLU, column="lemma", label_column="xpos")


def test_numbered_columns_are_read_or_shown_in_errors(read):
    content = "-DOCSTART- -X- O 0\n\nEU NNP B-ORG 0\nrejects VBZ O 0\n\nall DT O 0\nlamb NN O 0\n"
    text = read(content, label_column="3,2")
    assert text.examples[0].word_labels == (("B-ORG", "O"), ("NNP", "VBZ"))
    assert text.scheme == {"3": "bio", "2": "none"}
    assert [each.line for each in text.examples] == [3, 6]
    with pytest.raises(TextError) as caught:
        read(content)
    columns = "1: EU rejects all ...; 2: NNP VBZ DT ...; 3: B-ORG O; 4: 0"
    assert caught.value.why == f"its columns are {columns}"


@pytest.mark.parametrize("name", ["x.tsv", "x.tsv.gz", "x.jsonl", "x.csv", "x.parquet"])
def test_slots_stand_beside_intents_in_every_table(read, tmp_path, name):
    content = TSV.encode()
    if name == "x.parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / name)
        content = (tmp_path / name).read_bytes()
    elif name == "x.jsonl":
        content = "\n".join(map(json.dumps, ROWS)).encode()
    elif name == "x.csv":
        content = TSV.replace("\t", ",").encode()
    if name.endswith("gz"):
        content = gzip.compress(content)
    text = read(content, name=name, sentence_label_column="intent")
    assert (text.word_columns, text.text_columns) == (("slots",), ("intent",))
    assert text.scheme == {"slots": "bio"}
    assert [each.text_labels for each in text.examples] == [("flight",), ("a#b",)]
    assert text.examples[0].word_labels == (("O", "O", "B-city"),)
    intents = read(content, "text", name=name, label_column="intent").examples
    assert [each.text_labels for each in intents] == [("flight",), ("a#b",)]
    assert [each.word_labels for each in intents] == [(), ()]


def test_sounds_may_be_more_or_fewer_than_letters(read):
    content = "letters\tsounds\ns c h u h\tS U\n"
    columns = {"column": "letters", "label_column": "sounds"}
    (example,) = read(content, aligned=False, **columns).examples
    assert (example.words, example.word_labels) == (tuple("schuh"), (("S", "U"),))
    with pytest.raises(TextError, match="line 2: 5 words and 2 labels in 'sounds'"):
        read(content, **columns)


def test_a_text_may_have_several_labels_on_request(read):
    table = read("label\ttext\nb|a|b\tx\n\ty\n", "text", multi_label=True)
    assert [each.text_labels[0] for each in table.examples] == ["b|a", ""]
    fast = "__label__b __label__a x\n"
    assert read(fast, "text", multi_label=True).examples[0].text_labels == ("b|a",)
    row = '{"text": "x", "labels": ["b", "a"]}'
    assert labels_in(read(row, "text", multi_label=True).examples[0].text_labels[0]) == ("b", "a")
    for content in (fast, row):
        with pytest.raises(TextError, match="line 1: 2 labels of one text.*`multi_label=True`"):
            read(content, "text")


TAGGED = "we O\nsaw O\nbob B-PER\nsmith I-PER\n\nhe O\nsaw O\nrome B-LOC\n\n" * 10


@pytest.mark.parametrize(
    "comment", ["# id 7", "# id = 7\n# source = x", "#7", "# a b domain=en", "# newdoc"]
)
@pytest.mark.parametrize("tab", [" ", "\t", " _ _ "])
def test_comments_are_no_words(read, comment, tab):
    content = TAGGED.replace(" ", tab)
    commented = f"# of all\n\n{comment}\n" + content.replace("\n\nhe", f"\n\n{comment}\nhe")
    assert read(commented).content_hash == read(content).content_hash
    assert read(commented).scheme == read(content).scheme
    numbers = [each.line for each in read(commented).examples]
    assert [commented.split("\n")[number - 1].split()[0] for number in numbers[:2]] == ["we", "he"]


@pytest.mark.parametrize("odd", ["0", "o", "PER"])
def test_a_few_odd_labels_leave_the_spans(read, odd):
    content = TAGGED.replace("he O", f"he {odd}", 1)
    with pytest.warns(RnnlmWarning, match=f"line 6: '{odd}' is not a span label.*read as O"):
        text = read(content)
    assert (text.scheme, text.content_hash) == ({"2": "bio"}, read(TAGGED).content_hash)
    assert read(content, scheme="none").scheme == {"2": "none"}
    with pytest.warns(RnnlmWarning, match="line 6: .*read as O"):
        assert read(content, scheme="bio").scheme == {"2": "bio"}
    with pytest.warns(RnnlmWarning, match="line 6: .*of 70 labels are like it.*without spans"):
        assert read(TAGGED.replace("he O", f"he {odd}")).scheme == {"2": "none"}


def test_labels_that_write_no_spans_are_not_odd(read, recwarn):
    content = TAGGED.replace("B-PER", "PER").replace("I-PER", "PER").replace("B-LOC", "LOC")
    assert read(content).scheme == {"2": "none"}
    assert not recwarn.list


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("before", ["", "bc/x 0 ", "0 1 bc/x "])
def test_words_stand_behind_their_numbers(read, first, before):
    """As in CoNLL-X, and in CoNLL-2012 behind the document and its part."""
    numbered = []
    for sentence in TAGGED.rstrip("\n").split("\n\n"):
        lines = enumerate(sentence.split("\n"), start=first)
        numbered.append("".join(f"{before}{number} {line}\n" for number, line in lines))
    text = read("#begin document (bc/x); part 000\n" + "\n".join(numbered) + "\n#end document\n")
    assert text.content_hash == read(TAGGED).content_hash
    number = len(before.split()) + 2
    assert text.column == str(number) and text.word_columns == (str(number + 1),)


def test_words_without_blank_lines_are_said_to_be_one_sentence(read):
    with pytest.warns(RnnlmWarning, match="all 70 words are one sentence"):
        assert len(read(TAGGED.replace("\n\n", "\n")).examples) == 1


@pytest.mark.parametrize("change", [str.lower, lambda text: text.replace("-", "_")])
def test_labels_in_another_notation_are_said_to_write_no_spans(read, change):
    with pytest.warns(RnnlmWarning, match="labels such as .* without spans: .* B-LOC"):
        assert read(change(TAGGED)).scheme == {"2": "none"}


@pytest.mark.parametrize("value, label", [
    (["1"], "1"), (1.0, "1"), (1, "1"), ("1.00", "1.00"), (Decimal("1.00"), "1"), (0.5, "0.5"),
    (Decimal("0.50"), "0.5"), ("1.10", "1.10"),
], ids=repr)  # fmt: skip
def test_one_label_may_be_a_list_or_a_number(read, tmp_path, value, label):
    path = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": ["x"], "label": [value]}), path)
    row = json.dumps({"text": "x", "label": value}, default=float)
    for content, name in ((path.read_bytes(), path.name), (row, "t.jsonl")):
        assert read(content, "text", name).examples[0].text_labels == (label,)


@pytest.mark.parametrize("line, count", [(1, 2), (3, 2), (len(TAGGED.splitlines()) - 1, 2)])
def test_the_one_line_without_a_label_is_named(read, line, count):
    lines = TAGGED.splitlines()
    lines[line - 1] = lines[line - 1].split()[0]
    reference = 2 if line == 1 else 1
    with pytest.raises(TextError, match=f"line {line}: 1 column; line {reference} has 2"):
        read("\n".join(lines) + "\n")


WORD_ROWS = "nr,word,tag\n" + "".join(
    f"{number},{word},{tag}\n"
    for number, sentence in enumerate(TAGGED.strip().split("\n\n"))
    for word, tag in (line.split() for line in sentence.splitlines())
)


def test_a_word_a_row_makes_sentences_by_a_column_or_blank_rows(read):
    expected = read(TAGGED)
    by_number = read(WORD_ROWS, name="x.csv", sentence_column="nr")
    assert by_number.content_hash == expected.content_hash
    seen, lines = set(), []
    for line in WORD_ROWS.splitlines():
        number, rest = line.split(",", 1)
        lines.append(f"{'' if number in seen else number},{rest}")
        seen.add(number)
    # Only the first word of a sentence has its number.
    once = read("\n".join(lines), name="x.csv", sentence_column="NR")
    assert once.content_hash == expected.content_hash
    for blank in ("\n", ",\n"):
        content = "word,tag\n" + TAGGED.replace(" ", ",").replace("\n\n", f"\n{blank}")
        assert read(content, name="x.csv").content_hash == expected.content_hash
    with pytest.warns(RnnlmWarning, match="each text has one word.*`sentence_column`"):
        found = read(WORD_ROWS, name="x.csv", column="word", label_column="tag")
    assert len(found.examples) == len(WORD_ROWS.splitlines()) - 1


FAULTS = [  # content, what the message holds, settings
    (CONLLU.replace("\tRB", " RB"), "line 7: 9 columns, not 10", {}),
    (CONLLU.replace("\n3\tn't", "\n4\tn't"), "line 7: '4' is not the number of a word.*number 3",
     {}),
    (CONLLU.replace("2-3", "1-3"), "line 5: 1-3 is not a range", {}),
    (CONLLU.replace("2-3", "2-9"), "line 5: a multiword form ends with word 9.*has 5", {}),
    (CONLLU + "0.1\tx" + "\t_" * 8 + "\n\n", "line 12: no words", {}),
    (CONLLU, "no column 'upso'.*form, lemma, upos.*did you mean 'upos'", {"label_column": "upso"}),
    (CONLLU, "line 1: no comment '# tone", {"sentence_label_column": "tone"}),
    (CONLLU, "'deprel' holds _ alone", {"label_column": "deprel"}),
    ('{"text": "a b", "tags": "X Y"}\n{"text": "a b", "tags": "X"}\n',
     "line 2: 2 words and 1 label", {}),
    ("a X\nb\n", "line 2: 1 column.*line 1 has 2", {"format": "columns"}),
    ("a\nb\n", "line 1: one column", {"format": "columns"}),
    ("a\tX\n\tY\n", "line 2: the word or its label is empty", {}),
    ("a X\nb Y\n", "line 1: no column '3'.*it has 1, 2", {"label_column": "3"}),
    (b"a X\nb \xff\n", "line 2, byte 3: not UTF-8", {}),
    (TSV.replace("O O B-city", "O O"), "line 2: 3 words and 2 labels in 'slots'", {}),
    (TSV.replace("O O B-city", "O O O O"), "line 2: 3 words and 4 labels in 'slots'", {}),
    (TSV, "line 2: no column 'slot'.*id, text, slots, intent.*did you mean 'slots'",
     {"label_column": "slot"}),
    ('{"text": "a", "tags": ["X"]}\n[1]\n', "line 2: not a JSON object", {}),
    ('{"text": "a", "tags": ["X"]}\n{"text": "a"}\n', "line 2: no column 'tags'", {}),
    ('{"text": "a", "tags": [[]]}\n', "line 1: column 'tags' holds a list", {}),
    ('{"text": "a", "x": "X", "y": "Y"}\n', "line 1: which column holds the labels.*x, y", {}),
    ("just a text\nand one more of them\n", "its label format is not recognised", {}),
    ("\n \n", "no sentences", {}),
    ("a B-X\nb E-X\n", "line 2: 'E-X' is not a label of bio", {"scheme": "bio"}),
]  # fmt: skip


@pytest.mark.parametrize("content, message, settings", FAULTS)
def test_each_fault_is_an_error_naming_its_line(read, content, message, settings):
    with pytest.raises(TextError, match=message) as caught:
        read(content, **settings)
    assert "data.txt" in caught.value.what


@pytest.mark.parametrize("content, task, settings, message", [
    (CONLLU, "text", {"format": "conllu"}, 'conllu labels words.*`task="tagging"`'),
    ("__label__a b", "word", {"format": "fasttext"}, 'labels texts.*`task="classification"`'),
    ("__label__a b c", "text", {"label_column": "x,y"}, "2 label columns, but format fasttext has"),
    ("__label__a b c", "text", {"column": "text", "format": "fasttext"}, "column 'text', but form"),
    ("a X\nb Y\n", "word", {"sentence_label_column": "mood", "format": "columns"},
     "no label of the whole sentence; there is none in format columns.*CoNLL-U comments"),
])  # fmt: skip
def test_what_does_not_go_together_is_wrong_usage(read, content, task, settings, message):
    with pytest.raises(UsageError, match=message):
        read(content, task, **settings)


def test_a_column_is_named_once():
    with pytest.raises(SettingsError, match="names a column twice"):
        LabelledSettings(label_column="upos, upos")


@pytest.mark.parametrize("word", ["x" * 100_000, "\\" * 100_000, "\\/" * 50_000, "[" * 100_000])
def test_words_of_any_length_are_read_or_refused(read, word):
    a_row = json.dumps({"text": word, "tags": word})
    for content in (f"{word}/X\n", f"{word} X\nb Y\n", CONLLU.replace("fly", word), a_row):
        try:
            assert all(example.words for example in read(content).examples)
        except RnnlmError as error:
            assert len(str(error)) < 5000
