import os
import shutil

from rnnlm import corpora


def test_the_bundled_corpus_is_listed_with_its_counts(rnnlm):
    shown = rnnlm("list", "corpora")
    columns, *rows = shown.rows
    assert (shown.code, shown.err) == (0, "")
    assert columns == ["corpus", "file", "lines", "words", "bytes", "path", "task", "licence"]
    assert {row[1]: row[3] for row in rows if row[0] == "english"} == {
        "agreement.tsv": "6,064", "cloze.tsv": "3,382", "homophones.tsv": "6,032",
        "lessons.tsv": "296", "ratings.tsv": "460", "recency.tsv": "5,184",
        "test.txt": "18,698", "train.txt": "258,019",
        "valid.txt": "14,631",
    }  # fmt: skip


def test_labels_ids_and_tags_are_no_words(rnnlm):
    records = rnnlm("list corpora --json").records
    words = {(each["corpus"], each["file"]): each["words"] for each in records}
    conllu = corpora.part("words-and-tags", "test").read_text().splitlines()
    expected = sum(line.partition("\t")[0].isdigit() for line in conllu)
    assert words["words-and-tags", "test.conllu"] == expected
    rows = [line.split("\t") for line in corpora.part("travel", "valid").read_text().splitlines()]
    assert words["travel", "valid.tsv"] == sum(len(text.split()) for _, text, _ in rows[1:])


def test_json_has_one_line_per_file_that_exists(rnnlm):
    records = rnnlm("list", "corpora", "--json").records
    expected = [file for name in corpora.names() for file in corpora.FILES[name]]
    assert [record["file"] for record in records] == expected
    expected = {(name, ", ".join(corpora.TASKS[name]), "CC0-1.0") for name in corpora.names()}
    assert {(record["corpus"], record["task"], record["licence"]) for record in records} == expected
    assert {record["path"] for record in records} >= {str(corpora.part("english", "train"))}
    for record in records:
        assert os.path.getsize(record["path"]) == record["bytes"]


def test_user_text_beside_bundled_corpora_is_not_listed(rnnlm, tmp_path, monkeypatch):
    for name in corpora.names():
        shutil.copytree(corpora.FOLDER / name, tmp_path / name)
    for added in ("english/notes.txt", "mine/train.txt"):
        (tmp_path / added).parent.mkdir(exist_ok=True)
        (tmp_path / added).write_text("my own\n")
    before = [record["file"] for record in rnnlm("list corpora --json").records]
    monkeypatch.setattr(corpora, "FOLDER", tmp_path)
    assert [record["file"] for record in rnnlm("list corpora --json").records] == before


def test_terminal_shows_folder_once_without_folded_lines(rnnlm, terminal_of):
    terminal_of(80)
    lines = rnnlm("list", "corpora").plain.splitlines()
    expected = list(corpora.FILES["english"])
    assert [line.split()[1] for line in lines if line.startswith("english  ")] == expected
    assert f"english (language-model, CC0-1.0) is in {corpora.FOLDER / 'english'}" in lines
