import csv
import io
import json
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet
import pytest

from rnnlm.cli.score_output import times
from support.commands import environment


def test_likeliest_sentence_is_first_and_unknown_words_named(rnnlm, models):
    shown = rnnlm("score", "-m", models.unigram, "the zorp of the zarp", "the man", "the")
    columns, *rows = shown.rows
    assert columns == ["logprob_nats", "words", "ppl_word", "sentence", "unknown words"]
    assert [row[3] for row in rows] == ["the", "the man", "the zorp of the zarp"]
    assert [row[1] for row in rows] == ["1", "2", "5"]
    assert rows[2][4] == "zorp, zarp"
    assert [float(row[0]) for row in rows] == sorted((float(row[0]) for row in rows), reverse=True)


def test_odds_of_two_sentences_are_put_in_words(rnnlm, models):
    shown = rnnlm("score", "-m", models.unigram, "the man was in the house and on the hill", "the")
    assert shown.out.splitlines()[-1].startswith('"the" is about 10^')
    assert shown.out.splitlines()[-1].count("times l") == 2
    assert "per word" in shown.out.splitlines()[-1]
    assert "likelier" not in rnnlm("score", "-m", models.unigram, "the", "the man", "a").out
    assert rnnlm("score", "-m", models.unigram, "the", "the").out.endswith(
        "Both are equally likely.\n"
    )


@pytest.mark.parametrize("log10, words", [
    (0.0, "hardly (less than 1.05 times)"), (0.30103, "about 2 times"), (1.5, "about 32 times"),
    (2.0, "about 100 times"),
    (3.25, "about 1,780 times"), (6.02, "about 10^6 times"),
])  # fmt: skip
def test_ratios_in_words(log10, words):
    assert times(log10) == words


def test_json_keeps_input_order_including_empty_lines(rnnlm, models):
    lines = ["the man was in the house", "", "zorp", "", "the"]
    shown = rnnlm("score", "-m", models.lstm, "--json", stdin="\n".join(lines).encode() + b"\n")
    records = shown.records
    assert [record["text"] for record in records] == lines
    assert [record["words"] for record in records] == [6, 0, 1, 0, 1]
    assert [record["oov"] for record in records] == [[], [], ["zorp"], [], []]
    assert records[1]["tokens"] == 1 and records[1]["logprob_nats"] < 0


def test_arguments_file_and_standard_input_score_alike(rnnlm, models, here):
    sentences = ["the man was in the house", "the day"]
    (here / "sentences.txt").write_text("\n".join(sentences) + "\n")
    ways = [
        rnnlm("score", "-m", models.lstm, "--json", *sentences),
        rnnlm("score", "-m", models.lstm, "--json", "--input", "sentences.txt"),
        rnnlm(
            f"score -m {models.lstm} --json --input -", stdin=(here / "sentences.txt").read_bytes()
        ),
    ]
    assert ways[0].out == ways[1].out == ways[2].out != ""


def test_tokens_show_surprisals_that_add_up(rnnlm, models):
    (record,) = map(
        json.loads,
        rnnlm("score", "-m", models.lstm, "--json", "--tokens", "the zorp").out.splitlines(),
    )
    assert [each["token"] for each in record["surprisals"]] == ["the", "zorp", "</s>"]
    assert [each["oov"] for each in record["surprisals"]] == [False, True, False]
    bits = sum(each["surprisal_bits"] for each in record["surprisals"])
    assert bits * 0.6931471805599453 == pytest.approx(-record["logprob_nats"])
    shown = rnnlm("score", "-m", models.lstm, "--tokens", "the zorp").out
    assert "token\tsurprisal_bits" in shown and "zorp\t" in shown and "\tunknown" in shown


def test_special_symbols_are_refused_or_treated_as_asked(rnnlm, models):
    refused, _ = records(rnnlm("score", "-m", models.unigram, "--json", "the </s> man", "a"))
    assert refused["logprob_nats"] is None and refused["reason"] == "the text holds </s>"
    dropped = rnnlm(f"score -m {models.unigram} --json --special-symbols drop 'the </s> man'").json
    plain = rnnlm("score", "-m", models.unigram, "--json", "the man").json
    assert dropped["logprob_nats"] == plain["logprob_nats"]


def test_terminal_shows_data_literally_without_markup(rnnlm, models, terminal_of):
    terminal_of(160)
    sentences = ["[red]the[/red] \x1b[31mman", ":smile: [bold]"]
    shown = rnnlm("score", "-m", models.unigram, *sentences)
    assert "[red]the[/red] \\x1b[31mman" in shown.plain
    assert ":smile: [bold]" in shown.plain
    assert "\x1b" not in shown.plain


def test_at_20_columns_every_cell_has_its_line(rnnlm, models, terminal_of):
    terminal_of(20)
    shown = rnnlm("score", "-m", models.unigram, "the man was in the house")
    assert "sentence: the man was in the house" in shown.out


def records(shown) -> list[dict]:
    return shown.records


def rows_of(rnnlm, *arguments) -> list[dict[str, str]]:
    """Return the rows that a command writes into a file."""
    ended = rnnlm(*arguments, "--overwrite", "-o", "rows.tsv")
    assert ended.code == 0, ended.err
    return table(Path("rows.tsv").read_text())


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter="\t", strict=True))


def test_words_have_their_surprisals_in_every_format(rnnlm, models):
    (record,) = records(
        rnnlm("score", "-m", models.lstm, "--json", "--words", "--tokens", "the zorp")
    )
    assert [w["word"] for w in record["word_surprisals"]] == ["the", "zorp", "</s>"]
    rows = rows_of(rnnlm, "score", "-m", models.lstm, "--words", "the zorp", "")
    assert [(row["id"], row["position"], row["word"], row["oov"]) for row in rows] == [
        ("1", "1", "the", "0"), ("1", "2", "zorp", "1"), ("1", "3", "</s>", "0"),
        ("2", "1", "</s>", "0")
    ]  # fmt: skip
    bits = [w["surprisal_bits"] for w in record["word_surprisals"]]
    assert [float(row["surprisal_bits"]) for row in rows[:3]] == pytest.approx(bits, abs=1e-4)
    assert "word\tsurprisal_bits" in rnnlm("score", "-m", models.lstm, "--words", "the zorp").out


STIMULI = """item,cond,sentence
1,sg,"The man | ""was"", here."
2,pl,The men | were zorp
"""
PLACES = [
    "id",
    "item",
    "cond",
    "position",
    "word_index",
    "word",
    "start",
    "end",
    "surprisal_bits",
    "oov",
    "tokens",
]


def test_stimuli_become_word_rows_in_every_format(rnnlm, models, here):
    (here / "s.csv").write_text(STIMULI)
    asked = [
        "score",
        "-m",
        models.lstm,
        "--input",
        "s.csv",
        "--words",
        "--regions",
        "|",
        "--with",
        "entropy,frequency",
    ]
    for suffix in ("csv", "tsv", "jsonl", "parquet"):
        assert rnnlm(*asked, "-o", f"w.{suffix}").code == 0
    rows = list(csv.DictReader(io.StringIO((here / "w.csv").read_text(), newline=""), strict=True))
    assert [*rows[0]] == [*PLACES, "entropy_bits", "log10_frequency", "region_index", "reason"]
    assert [[row[name] for name in PLACES[:8]] for row in rows[:4]] == [
        ["1", "1", "sg", "1", "1", "The", "0", "3"], ["1", "1", "sg", "2", "2", "man", "4", "7"],
        ["1", "1", "sg", "3", "3", '"was",', "8", "14"],
        ["1", "1", "sg", "4", "4", "here.", "15", "20"],
    ]  # fmt: skip
    assert [row["region_index"] for row in rows if row["id"] == "2"] == ["1", "1", "2", "2", ""]
    assert "zorp" in [row["word"] for row in rows if row["oov"] == "1" and row["id"] == "2"]
    assert table((here / "w.tsv").read_text()) == rows
    written = pyarrow.parquet.read_table(here / "w.parquet").to_pylist()
    assert [{name: "" if cell is None else str(int(cell) if cell in (True,
        False) else cell) for name, cell in row.items()}
            for row in written] == rows  # fmt: skip
    records = [json.loads(line) for line in (here / "w.jsonl").read_text().splitlines()]
    nested = [word for record in records for word in record["word_surprisals"]]
    assert [word["surprisal_bits"] for word in nested] == [row["surprisal_bits"] for row in written]
    assert [word["entropy_bits"] for word in nested] == [row["entropy_bits"] for row in written]
    assert [(record["item"], record["cond"], record["text"]) for record in records] == [
        ("1", "sg", 'The man "was", here.'), ("2", "pl", "The men were zorp")
    ]  # fmt: skip
    assert [[region["text"] for region in record["regions"]] for record in records][1] == [
        "The men",
        "were zorp",
    ]


def test_regions_from_marks_or_columns_have_own_rows(rnnlm, models, here):
    (here / "s.csv").write_text("cond,r1,r2,r3\na,The man,was,here\nb,The man,,here\n")
    columns = ["--input", "s.csv", "--region-columns", "r1, r2,r3"]
    rows = rows_of(rnnlm, "score", "-m", models.lstm, *columns)
    assert [(row["id"], row["cond"], row["region_index"], row["region"], row["text"],
             row["words"]) for row in rows] == [
        ("1", "a", "1", "r1", "The man", "2"), ("1", "a", "2", "r2", "was", "1"),
        ("1", "a", "3", "r3", "here", "1"),
        ("2", "b", "1", "r1", "The man", "2"), ("2", "b", "3", "r3", "here", "1"),
    ]  # fmt: skip
    assert [row["next_surprisal_bits"] for row in rows] == [
        rows[1]["surprisal_bits"], rows[2]["surprisal_bits"], "", rows[4]["surprisal_bits"], ""
    ]  # fmt: skip
    marked = rows_of(rnnlm, "score", "-m", models.lstm, "The man / was / here", "--regions", "/")
    assert [row["surprisal_bits"] for row in marked] == [
        row["surprisal_bits"] for row in rows[:3]
    ] and "region" not in marked[0]
    assert (
        "region\ttext\twords\tsurprisal_bits\tnext_surprisal_bits"
        in rnnlm("score", "-m", models.lstm, *columns).out
    )
    refused = rnnlm(
        "score", "-m", models.lstm, "--regions", "|", stdin=b"the | man\nwas| here|now\n"
    )
    assert (
        refused.code == 1 and "-, line 2: region mark 2 is inside a word: here|now" in refused.err
    )


def test_columns_to_keep_are_chosen_by_name(rnnlm, models, here):
    (here / "s.csv").write_text(STIMULI.replace(" |", ""))
    for keep, kept in (
        ([], ["item", "cond"]),
        (["--keep", "cond"], ["cond"]),
        (["--keep", "none"], []),
        (["--keep", "all"], ["item", "cond"]),
    ):
        (row, _) = rows_of(rnnlm, "score", "-m", models.unigram, "--input", "s.csv", *keep)
        assert [*row] == [
            "id",
            *kept,
            "logprob_nats",
            "tokens",
            "words",
            "oov",
            "ppl_word",
            "text",
            "reason",
        ]
    assert rnnlm("score", "-m", models.unigram, "--input", "s.csv").out.startswith(
        "id\tlogprob_nats"
    )
    assert rnnlm(f"score -m {models.unigram} --input s.csv --keep cond").out.startswith(
        "cond\tid\tlogprob_nats"
    )
    assert (
        "did you mean 'cond'"
        in rnnlm("score", "-m", models.unigram, "--input", "s.csv", "--keep", "cnd").err
    )


@pytest.mark.parametrize("form", ["s.csv", "s.jsonl", "s.parquet"])
def test_ids_and_regions_that_are_not_utf8(rnnlm, models, here, form):
    (here / "t.csv").write_bytes(b"id,text,given\n\xff,the man,a\nb,the man,\xfe\n")
    given = ("--column", "text", "--given-column", "given")
    shown = rnnlm("score", "-m", models.unigram, "--input", "t.csv", *given, "-o", form)
    assert shown.code == 0 and "note: 1 line has no score" in shown.err
    (here / "text").write_bytes(b"the | bad \xff\n")
    regions = ("--input", "text", "--regions", "|", "--overwrite", "-o", form)
    shown = rnnlm("score", "-m", models.unigram, *regions)
    assert shown.code == 1 and "byte 9 is 0xff" in shown.err  # and no other line


def test_sentence_table_leaves_missing_figures_empty(rnnlm, models, here):
    (here / "text").write_bytes(b"the man\n\nbad \xff\nthe\tzorp\n<s>\n")
    asked = ("score", "-m", models.unigram, "--input", "text")
    shown = rnnlm(*asked, "-o", "s.tsv")
    rows = table((here / "s.tsv").read_text())
    assert [row["id"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert [row["reason"] for row in rows] == [
        "",
        "",
        "not UTF-8 (byte 5 is 0xff)",
        "",
        "the text holds <s>",
    ]
    assert [row["tokens"] for row in rows] == ["3", "1", "", "3", ""] and rows[3][
        "text"
    ] == "the\tzorp"
    assert (rows[2]["logprob_nats"], rows[3]["oov"]) == ("", "zorp")
    assert shown.code == 0 and "note: 2 lines have no score" in shown.err
    assert (
        records(rnnlm("score", "-m", models.unigram, "--input", "text", "--json"))[2]["words"]
        is None
    )
    assert len(rows_of(rnnlm, *asked, "--tokens")) == 3 + 1 + 1 + 3 + 1


def test_sentence_equal_to_a_file_name_is_noted(rnnlm, models, here):
    (here / "my text").write_text("the man\n")
    shown = rnnlm("score", "-m", models.unigram, "the", "my text")
    assert (
        shown.code == 0
        and (
            "note: 'my text' is scored as a sentence; there is a file of that name, too: --input "
            "'my text' scores its lines"
        )
        in shown.err
    )
    assert "file" not in rnnlm("score", "-m", models.unigram, "the", "my  text").err


TEXTS = [
    'the "old" man',
    'the "old man',
    '"the man"',
    '"',
    "the\tman",
    "the man\nwas",
    'the "man\n"was\t',
]


@pytest.mark.parametrize(
    "options", [["-o", "out.tsv"], [], ["-o", "out.tsv", "--tokens"]], ids=" ".join
)
def test_tsv_is_read_back_despite_quotes_and_newlines(rnnlm, models, here, options):
    (here / "t.jsonl").write_text(
        "".join(json.dumps({"id": str(id), "text": text}) + "\n" for id, text in enumerate(TEXTS))
    )
    shown = rnnlm("score", "-m", models.unigram, "--input", "t.jsonl", *options)
    written = (here / "out.tsv").read_text() if "-o" in options else shown.out
    rows = table(written)
    assert not [row for row in rows if None in row or None in row.values()]
    if "--tokens" in options:
        tokens = [
            [row["token"] for row in rows if row["id"] == str(id)] for id in range(len(TEXTS))
        ]
        assert tokens[:5] == [[*text.split(), "</s>"] for text in TEXTS[:5]]
        return
    assert {int(row["id"]): row.get("text", row.get("sentence")) for row in rows} == dict(
        enumerate(TEXTS)
    )


def test_likely_next_words_stand_at_each_place(rnnlm, models):
    (record,) = records(rnnlm("score", "-m", models.lstm, "--json", "--next", 3, "the man"))
    assert [len(w["next"]) for w in record["word_surprisals"]] == [3, 3, 3]
    rows = rows_of(rnnlm, "score", "-m", models.lstm, "--next", 3, "the man")
    assert [row["next_word"] for row in rows[:3]] == [
        each["word"] for each in record["word_surprisals"][0]["next"]
    ]
    assert [row["rank"] for row in rows] == ["1", "2", "3"] * 3
    assert "likeliest here" in rnnlm("score", "-m", models.lstm, "--next", 3, "the man").out


def test_what_is_given_conditions_and_is_not_scored(rnnlm, models, here):
    (here / "t.csv").write_text("id,before,text\nx,the man,was here\ny,,was here\n")
    by_row = records(
        rnnlm("score", "-m", models.lstm, "--input", "t.csv", "--given-column", "before", "--json")
    )
    (by_text,) = records(
        rnnlm("score", "-m", models.lstm, "--given", "the man", "was here", "--json")
    )
    assert [each["id"] for each in by_row] == ["x", "y"] and by_row[0]["tokens"] == 3
    assert by_row[0]["logprob_nats"] == pytest.approx(by_text["logprob_nats"], abs=1e-4)
    assert by_row[1]["logprob_nats"] != pytest.approx(by_text["logprob_nats"], abs=1e-3)


def test_sentences_are_scored_without_end_or_as_stream(rnnlm, models):
    (whole,), (open_end,) = (
        records(rnnlm("score", "-m", models.lstm, "--json", "the man", *end))
        for end in ((), ("--no-eos",))
    )
    assert (whole["tokens"], open_end["tokens"]) == (3, 2) and whole["logprob_nats"] < open_end[
        "logprob_nats"
    ]
    first, second = records(
        rnnlm("score", "-m", models.lstm, "--json", "--context", "carry", "the man", "the man")
    )
    assert first["logprob_nats"] == pytest.approx(whole["logprob_nats"], abs=1e-4)
    assert second["logprob_nats"] != pytest.approx(whole["logprob_nats"], abs=1e-4)


def test_the_signature_on_stderr_is_that_of_eval(rnnlm, models):
    scored = rnnlm("score", "-m", models.lstm, "--input", models.valid, "--json").err.splitlines()[
        -1
    ]
    evaluated = rnnlm(
        f"eval -m {models.lstm} {models.valid} --context reset --blank-lines keep --json"
    ).json
    assert scored == f"signature: {evaluated['signature']}"


@pytest.mark.parametrize("name, options", [
    ("s.csv", ["--words", "--regions", "|"]),
    pytest.param("s.jsonl", ["--tokens", "--context", "carry"], marks=pytest.mark.soak),
])  # fmt: skip
def test_killed_run_resumes_to_the_same_file(
    rnnlm, models, here, start, corpus_lines, monkeypatch, name, options
):
    (here / "text.jsonl").write_text(
        "".join(
            json.dumps({"text": line, "item": number}) + "\n"
            for number, line in enumerate((corpus_lines * 30)[:6_000])  # twelve chunks
        )
    )
    command = ["score", "-m", models.unigram, "--input", "text.jsonl", *options, "--output"]
    monkeypatch.setattr("rnnlm.scoring.scorer.LINES_PER_CHUNK", 500)
    whole = rnnlm(*command, f"whole-{name}")
    assert whole.code == 0 and whole.out == ""
    small_chunks = "from rnnlm.scoring import scorer; scorer.LINES_PER_CHUNK = 500"
    process = start(*command, name, first=small_chunks)
    while not (here / name).exists() or (here / name).stat().st_size < 1000:
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.wait()
    expected = (here / f"whole-{name}").read_bytes()
    broken = (here / name).read_bytes()
    assert (
        len(broken) < len(expected)
        and expected.startswith(broken)
        and (here / f"{name}.run").exists()
    )
    refused = rnnlm(*command, name)
    assert refused.code == 1 and (here / name).read_bytes() == broken
    assert rnnlm(*command, name, "--resume", "--no-eos").code == 2
    resumed = rnnlm(*command, name, "--resume")
    assert (
        resumed.code == 0
        and (here / name).read_bytes() == expected
        and not (here / f"{name}.run").exists()
    )
    assert resumed.err.splitlines()[-1] == whole.err.splitlines()[-1]


@pytest.mark.parametrize("options", [
    ["--json", "-o", "s.tsv"], ["--output", "scores"], ["--resume"], ["--overwrite"],
    ["--input", "text"],
    ["--output", "s.tsv", "--resume", "--overwrite"],
    ["-o", "s.tsv", "--tokens", "--words"],
    ["--with", "entropy"], ["--with", "entropie", "--words"], ["--keep", "item"],
    ["--region-columns", "a,b"], ["--regions", " "],
    ["--output", "s.parquet", "--resume"],
    ["--output", "s.csv", "--tokens", "--regions", "|"],
    ["--given", "a", "--context", "carry"], ["--given-column", "before"],
    ["--column", "text", "--id-column", "id"],
], ids=" ".join)  # fmt: skip
def test_options_that_contradict_each_other_are_wrong_usage(rnnlm, models, here, options):
    ended = rnnlm("score", "-m", models.unigram, *options, "the man")
    assert (ended.code, ended.out) == (2, "") and not list(here.iterdir())


def test_each_line_is_answered_at_once(models, here):
    command = [sys.executable, "-m", "rnnlm", "score", "-m", models.unigram, "--json"]
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **pipe, env=environment()) as process:
        for lines in (["the man"], ["was here", "the dog"], ["a </s>"]):
            process.stdin.write("".join(f"{line}\n" for line in lines).encode())
            process.stdin.flush()
            for line in lines:
                assert json.loads(process.stdout.readline())["text"] == line
        process.stdin.close()
        assert process.wait() == 0
