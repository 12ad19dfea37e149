"""The corpora with labels: what make.py makes is what is there, and what their READMEs say of them
holds."""

import importlib.util

import pytest

from rnnlm import corpora, registry

PARTS = ("train", "valid", "test")
MADE = [name for name in corpora.names() if (corpora.FOLDER / name / "make.py").exists()]


def maker_of(name):
    spec = importlib.util.spec_from_file_location(f"make_{name}", corpora.FOLDER / name / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows_of(name):
    """Return the rows of a table as dictionaries, by part."""
    found = {}
    for part in PARTS:
        head, *lines = corpora.part(name, part).read_text(encoding="utf-8").splitlines()
        found[part] = [dict(zip(head.split("\t"), line.split("\t"), strict=True)) for line in lines]
    return found


@pytest.fixture(scope="module")
def travel():
    return rows_of("travel")


@pytest.mark.parametrize("name", MADE)
def test_make_py_makes_the_files_that_are_there(name):
    made = maker_of(name).files()
    assert sorted(made) == sorted(corpora.FILES[name])
    for file, text in made.items():
        assert corpora.part(name, file).read_bytes() == text.encode(), file


def test_request_words_are_labelled_with_spans_beginning_b(travel):
    for row in [*travel["train"], *travel["valid"], *travel["test"]]:
        labels = row["slots"].split(" ")
        assert len(row["text"].split(" ")) == len(labels)
        for before, label in zip(["O", *labels], labels, strict=False):
            goes_on = label.startswith("I-") and before[2:] == label[2:]
            assert label == "O" or label.startswith("B-") or goes_on, row


def tagged(part):
    """Yield the text of each sentence, its lines without comments, and the parts of speech."""
    content = corpora.part("words-and-tags", part).read_text(encoding="utf-8")
    for block in content.strip().split("\n\n"):
        lines = block.splitlines()
        (text,) = [line for line in lines if line.startswith("# text = ")]
        rows = [line.split("\t") for line in lines if not line.startswith("#")]
        yield text.removeprefix("# text = "), rows, [row[3] for row in rows if "-" not in row[0]]


def test_tagged_sentences_are_spelled_by_words_and_ranges():
    known = set(corpora.part("english", "train").read_text(encoding="utf-8").splitlines())
    texts = []
    for part, size in zip(PARTS, (200, 50, 50), strict=True):
        found = list(tagged(part))
        assert len(found) == size
        for text, rows, _ in found:
            # Words inside a range are spelled by the range.
            inside = set()
            for row in rows:
                if "-" in row[0]:
                    inside.update(row[0].split("-"))
            spelled = ""
            for row in rows:
                if row[0] not in inside:
                    spelled += row[1] if row[9] == "SpaceAfter=No" else f"{row[1]} "
            assert spelled.rstrip(" ") == text
            assert text in known

            # Words are numbered from 1.
            count = len(rows) - len(inside) // 2
            numbers = [row[0] for row in rows if "-" not in row[0]]
            assert numbers == [str(number) for number in range(1, count + 1)]
        texts += [text for text, _, _ in found]
    assert len(texts) == len(set(texts))


def test_corpora_have_parts_columns_and_tasks():
    assert corpora.labelled("english") is corpora.labelled("no-such") is None
    assert corpora.paired("travel") is corpora.paired("no-such") is None
    assert corpora.labelled("dates") is None
    travel = corpora.labelled("travel")
    assert travel.train == corpora.part("travel", "train")
    assert travel.tasks == ("tagging", "classification")
    assert (travel.column, travel.word_columns, travel.text_columns) == (
        "text", ("slots",), ("intent",)
    )  # fmt: skip
    for labelled in map(corpora.labelled, corpora.COLUMNS):
        assert labelled.train.is_file() and labelled.test.is_file()
    dates = corpora.paired("dates")
    assert dates.train == corpora.part("dates", "train") and dates.tasks == ("seq2seq",)
    assert registry.task("seq2seq").usual_corpus == "dates"
    for pairs in map(corpora.paired, corpora.PAIRS):
        for part in (pairs.train, pairs.valid, pairs.test):
            head = part.read_text(encoding="utf-8").partition("\n")[0]
            assert head == f"{pairs.column}\t{pairs.target_column}"
