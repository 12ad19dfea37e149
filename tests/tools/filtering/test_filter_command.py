"""`rnnlm filter`: what it writes and says, and what it refuses."""

import json
import math

import pytest


@pytest.fixture
def shards(here, corpus_lines):
    """Write a few lines as plain text and as rows."""
    lines = [line for line in corpus_lines if line.strip()][:40]
    (here / "plain.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = [json.dumps({"body": line, "id": number}) for number, line in enumerate(lines)]
    (here / "rows.jsonl").write_text("\n".join([*rows, '{"body": null}']), encoding="utf-8")
    return lines


def perplexities(rnnlm, model, lines):
    """Return what `rnnlm score` says of lines."""
    scored = rnnlm("score", "-m", model, "--input", "plain.txt", "--json")
    rows = {row["text"]: row for row in map(json.loads, scored.out.splitlines())}
    return [math.exp(-rows[line]["logprob_nats"] / rows[line]["tokens"]) for line in lines]


def test_documents_are_sorted_and_counted(rnnlm, models, shards, here):
    of_lines = perplexities(rnnlm, models.unigram, shards)
    low, high = sorted(of_lines)[10], sorted(of_lines)[30]
    cutoffs = f"{low!r},{high!r}"
    done = rnnlm("filter", "plain.txt", "rows.jsonl", "-o", "out", "-m", models.unigram,
                 "--column", "body", "--cutoffs", cutoffs, "--keep", "head,middle",
                 "--workers", 1)  # fmt: skip
    assert done.code == 0, done.err
    header, *rows = done.rows
    assert header == ["group", "documents", "share", "words", "written"]
    found = {row[0]: (row[1], row[4]) for row in rows}
    head = sum(each < low for each in of_lines)
    tail = sum(each >= high for each in of_lines)
    assert found == {
        "head": (f"{2 * head}", "yes"), "middle": (f"{80 - 2 * head - 2 * tail}", "yes"),
        "tail": (f"{2 * tail}", "no"), "outside": ("0", "no"), "empty": ("1", "no"),
    }  # fmt: skip
    assert "2 files; 81 documents in out" in done.err
    assert sorted(path.name for path in (here / "out").iterdir()) == [
        ".filter.run", "head", "middle",
    ]  # fmt: skip
    expected = [line for line, each in zip(shards, of_lines, strict=True) if each < low]
    assert (here / "out" / "head" / "plain.txt").read_text().splitlines() == expected


def test_errors_spell_settings_as_the_command_does(rnnlm, models, here):
    (here / "bad.txt").write_bytes(b"a good line\n\xff bad\n")
    done = rnnlm("filter", "bad.txt", "-o", "out", "-m", models.unigram, "--max-perplexity", 300)
    assert done.code == 1 and done.err.count("or use --encoding-errors replace") == 2


def test_a_reference_gives_the_borders(rnnlm, models, shards):
    request = ("filter", "rows.jsonl", "-m", models.unigram, "--column", "body", "--workers", 1)
    done = rnnlm(*request, "-o", "out", "--reference", "rows.jsonl", "--quantiles", "0.25,0.5")
    assert "(from 40 documents of the reference)" in done.err and "--cutoffs" in done.err
    told = rnnlm(*request, "-o", "out", "--reference", "rows.jsonl", "--quantiles",
                            "0.25,0.5", "--json").json  # fmt: skip
    counts = {group["name"]: group["documents"] for group in told["groups"]}
    assert counts == {"head": 10, "middle": 10, "tail": 20, "outside": 0, "empty": 1}
    assert told["shards_before"] == told["shards"] == 1 and told["documents"] == 41
    low, high = told["cutoffs"]
    again = rnnlm(*request, "-o", "again", "--cutoffs", f"{low!r},{high!r}", "--json")
    assert again.json["groups"] == told["groups"]


def test_languages_have_folders(rnnlm, models, here):
    letters = {"low": "abcd efgh bade", "high": "wxyz uvwx zyxw"}
    for name, text in letters.items():
        (here / f"{name}.txt").write_text(f"{text}\n" * 20)
        trained = rnnlm("train", f"{name}.txt", "--model", "ngram", "--order", 3, "--tokenizer",
                        "char", "-o", name)  # fmt: skip
        assert trained.code == 0, trained.err
    (here / "mixed.txt").write_text("bad face\nzyx wvu\n0123456789\n")
    done = rnnlm("filter", "mixed.txt", "-o", "out", "-m", "low=low", "-m", "high=high",
                 "--max-perplexity", 100, "--json")  # fmt: skip
    assert done.code == 0, done.err
    found = {group["name"]: group["documents"] for group in done.json["groups"]}
    assert found == {"low": 1, "high": 1, "none": 1, "empty": 0}
    for name, line in (("low", "bad face"), ("high", "zyx wvu"), ("none", "0123456789")):
        assert (here / "out" / name / "mixed.txt").read_text() == f"{line}\n"


@pytest.mark.system("links")
def test_model_names_may_have_equals_signs(rnnlm, models, shards, here):
    (here / "model=unigram").symlink_to(models.unigram)
    done = rnnlm("filter", "plain.txt", "-o", "out", "-m", "model=unigram", "--max-perplexity", 1e9)
    assert done.code == 0 and "kept\t40" in done.out, done.err


@pytest.mark.parametrize(("options", "what"), [
    ("", "nothing says which documents to keep"),
    ("--max-perplexity 9 --keep head", "keep is for buckets or languages"),
    ("--cutoffs 9", "cutoffs = 9 is not valid"),
    ("--reference plain.txt --quantiles 0.3,0.3", "quantiles = 0.3,0.3 is not valid"),
    ("--max-perplexity 9 --quantiles 0.1,0.2", "--quantiles needs --reference"),
    ("--cutoffs a,b", "'a,b' is not a list of numbers"),
    ("--cutoffs 3,9 --reference plain.txt", "a reference and cutoffs cannot be combined"),
    ("--max-perplexity 9 -m x", "several models need the name of a language each"),
    ("--max-perplexity 9 --perplexity-column ''", "perplexity_column is empty"),
    ("--cutoffs 3,9 --bucket-column perplexity", "two columns are called"),
    ("--against lstm", "--against and --max-difference need each other"),
    ("--cutoffs 3,9 --keep heads", "there is no 'heads'"),
    ("--cutoffs 3,9 --keep ''", "keep is empty"),
])  # fmt: skip
def test_wrong_requests_are_refused(rnnlm, models, shards, here, options, what):
    before = sorted(here.rglob("*"))
    ended = rnnlm(f"filter plain.txt -o out -m {models.unigram} {options}")
    assert ended.code == 2 and what in ended.err, ended.err
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize(("models", "what"), [
    ("-m en=a -m en=b", "en already has a model"),
    ("-m =a -m de=b", "give both the name of a language and a model"),
    ("-m en=a -m de=b --against x --max-difference 0", "a general model is for one model"),
    ("-m en=a -m de=b --cutoffs 3,9", "buckets are for one model"),
    ("-m none=a -m de=b", "none cannot be the name of a language"),
    ("-m en/x=lstm -m de=b", "'en/x' cannot be the name of a language"),
])  # fmt: skip
def test_languages_are_named_once(rnnlm, shards, models, what):
    ended = rnnlm(f"filter plain.txt -o out {models}")
    assert ended.code == 2 and what in ended.err, ended.err
