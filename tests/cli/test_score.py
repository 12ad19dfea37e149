"""`rnnlm score`: tables, JSON lines and files of sentences, words, tokens and regions."""

import csv
import io
import json
import math
import re
import shlex
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pyarrow.parquet
import pytest

from rnnlm.cli.lm.score_output import times
from rnnlm.system import quoted
from rnnlm.text.tokenizers.word import split_punctuation
from support.commands import environment, words_of


@pytest.fixture
def score(rnnlm, models):
    """Return a function that scores with the network: options in one text, then sentences."""

    def run(options="", *sentences, model=models.lstm, stdin=b""):
        return rnnlm("score", "-m", model, *words_of(options), *sentences, stdin=stdin)

    return run


@pytest.fixture
def by_counts(score, models):
    """Return that function for the unigram model."""
    return partial(score, model=models.unigram)


def test_likeliest_sentence_is_first_and_unknown_words_named(by_counts):
    columns, *rows = by_counts("", "the zorp of the zarp", "the man", "the").rows
    assert columns == ["logprob_nats", "words", "ppl_word", "sentence", "unknown words"]
    assert [row[3] for row in rows] == ["the", "the man", "the zorp of the zarp"]
    assert [row[1] for row in rows] == ["1", "2", "5"]
    assert rows[2][4] == "zorp, zarp"
    assert [float(row[0]) for row in rows] == sorted((float(row[0]) for row in rows), reverse=True)


@pytest.mark.parametrize("options, texts", [
    ("", ["the man", "the", "the zorp of the"]), ("--sort", ["the", "the man", "the zorp of the"]),
])  # fmt: skip
def test_lines_of_a_file_are_printed_in_their_order_unless_sorted(by_counts, here, options, texts):
    (here / "text").write_text("the man\nthe\nthe zorp of the\n")
    shown = by_counts(f"--input text --tokens {options}")
    table, *surprisals = shown.out.split("\n\n")
    assert [row.split("\t")[4] for row in table.splitlines()[1:]] == texts
    assert [len(part.splitlines()) - 2 for part in surprisals] == [len(t.split()) for t in texts]
    assert by_counts("--input text --sort --json").code == 2


@pytest.mark.parametrize("suffix", ["txt", "tsv", "csv", "jsonl"])
def test_rows_in_another_encoding_are_an_error_before_any_is_scored(by_counts, here, suffix):
    row = {"jsonl": '{"text": "caf\u00e9"}\n'}.get(suffix, "caf\u00e9\n")
    header = "" if suffix == "jsonl" else "text\n"
    (here / f"t.{suffix}").write_bytes((header + row * 4).encode("cp1252"))
    column = "" if suffix == "txt" else "--column text"
    shown = by_counts(f"--input t.{suffix} {column} --json")
    assert shown.code == 1 and shown.out == ""
    place = "line 1, byte 14" if suffix == "jsonl" else "line 2, byte 4"
    assert shown.errors[0] == f"error: t.{suffix}, {place}: not UTF-8, but Windows-1252"
    replaced = by_counts(f"--input t.{suffix} {column} --json --encoding-errors replace")
    assert [record["reason"] for record in replaced.records[-4:]] == [None] * 4


def test_standard_input_in_another_encoding_ends_with_an_error(by_counts, here):
    shown = by_counts("--json", stdin=b"the\n" + b"caf\xe9\n" * 4)
    assert len(shown.records) == 5
    assert shown.code == 1 and "4 lines are not UTF-8" in shown.errors[0]
    assert by_counts("--json", stdin=b"the\n" + b"caf\xe9\n" * 3).code == 0
    # A reason that quotes these words is another one.
    (here / "t.jsonl").write_text('{"not UTF-8": "the"}\n' + '{"not UTF-8": null}\n' * 4)
    assert by_counts("--input t.jsonl --column 'not UTF-8' --json").code == 0


def test_odds_of_two_sentences_are_put_in_words(by_counts):
    last = by_counts("", "the man was in the house and on the hill", "the").out.splitlines()[-1]
    assert last.startswith('"the" is about 10^') and last.count("times l") == 2
    assert "per word" in last
    assert "likelier" not in by_counts("", "the", "the man", "a").out
    assert by_counts("", "the", "the").out.endswith("Both are equally likely.\n")


@pytest.mark.parametrize("log10, words", [
    (0.0, "hardly (less than 1.05 times)"), (0.30103, "about 2 times"), (1.5, "about 32 times"),
    (2.0, "about 100 times"), (3.25, "about 1,780 times"), (6.02, "about 10^6 times"),
])  # fmt: skip
def test_ratios_in_words(log10, words):
    assert times(log10) == words


def test_arguments_file_and_standard_input_give_records_in_their_order(score, here):
    lines = ["the man was in the house", "", "zorp", "", "the"]
    (here / "sentences.txt").write_text("\n".join(lines) + "\n")
    shown = score("--json", *lines)
    assert shown.out == score("--json --input sentences.txt").out
    piped = (here / "sentences.txt").read_bytes()
    for options in ("--json", "--json --input -"):
        assert score(options, stdin=piped).out == shown.out
    assert [record["text"] for record in shown.records] == lines
    assert [record["words"] for record in shown.records] == [6, 0, 1, 0, 1]
    assert [record["oov"] for record in shown.records] == [[], [], ["zorp"], [], []]
    assert shown.records[1]["tokens"] == 1 and shown.records[1]["logprob_nats"] < 0


def test_tokens_show_surprisals_that_add_up(score):
    record = score("--json --tokens", "the zorp").json
    assert [each["token"] for each in record["surprisals"]] == ["the", "zorp", "</s>"]
    assert [each["oov"] for each in record["surprisals"]] == [False, True, False]
    bits = sum(each["surprisal_bits"] for each in record["surprisals"])
    assert bits * 0.6931471805599453 == pytest.approx(-record["logprob_nats"])
    shown = score("--tokens", "the zorp").out
    heading, *rows = shown.splitlines()[3:]
    assert heading == "token\tsurprisal_bits\tunknown"
    assert [row.split("\t")[::2] for row in rows] == [["the", ""], ["zorp", "yes"], ["</s>", ""]]
    assert score("--tokens", "the").out.splitlines()[3] == "token\tsurprisal_bits"


def test_special_symbols_are_refused_or_treated_as_asked(by_counts):
    refused, _ = by_counts("--json", "the </s> man", "a").records
    assert refused["logprob_nats"] is None and refused["reason"] == "the text holds </s>"
    dropped = by_counts("--json --special-symbols drop", "the </s> man").json
    assert dropped["logprob_nats"] == by_counts("--json", "the man").json["logprob_nats"]


def test_terminal_shows_data_literally_without_markup(by_counts, terminal_of):
    terminal_of(160)
    shown = by_counts("", "[red]the[/red] \x1b[31mman", ":smile: [bold]").plain
    assert "[red]the[/red] \\x1b[31mman" in shown and ":smile: [bold]" in shown
    assert "\x1b" not in shown


def rows_of(shown) -> list[dict[str, str]]:
    """Return the rows that a command has written into rows.tsv."""
    assert shown.code == 0, shown.err
    return table(Path("rows.tsv").read_text())


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter="\t", strict=True))


def test_words_have_their_surprisals_in_every_format(score):
    words = score("--json --words --tokens", "the zorp").json["word_surprisals"]
    assert [word["word"] for word in words] == ["the", "zorp", "</s>"]
    rows = rows_of(score("--words -o rows.tsv", "the zorp", ""))
    assert [(row["id"], row["position"], row["word"], row["oov"]) for row in rows] == [
        ("1", "1", "the", "0"), ("1", "2", "zorp", "1"), ("1", "3", "</s>", "0"),
        ("2", "1", "</s>", "0")
    ]  # fmt: skip
    bits = [word["surprisal_bits"] for word in words]
    assert [float(row["surprisal_bits"]) for row in rows[:3]] == pytest.approx(bits, abs=1e-4)
    assert "word\tsurprisal_bits" in score("--words", "the zorp").out


STIMULI = """item,cond,sentence
1,sg,"The man | ""was"", here."
2,pl,The men | were zorp
"""
PLACES = "id item cond position word_index word start end surprisal_bits oov tokens".split()


def test_stimuli_become_word_rows_in_every_format(score, here):
    (here / "s.csv").write_text(STIMULI)
    asked = "--input s.csv --words --regions '|' --with entropy,frequency"
    for suffix in ("csv", "tsv", "jsonl", "parquet"):
        assert score(f"{asked} -o w.{suffix}").code == 0
    rows = list(csv.DictReader(io.StringIO((here / "w.csv").read_text(), newline=""), strict=True))
    assert [*rows[0]] == [*PLACES, "entropy_bits", "log10_frequency", "region_index", "reason"]
    assert [[row[name] for name in PLACES[:8]] for row in rows[:4]] == [
        ["1", "1", "sg", "1", "1", "The", "0", "3"], ["1", "1", "sg", "2", "2", "man", "4", "7"],
        ["1", "1", "sg", "3", "3", '"was",', "8", "14"],
        ["1", "1", "sg", "4", "4", "here.", "15", "20"],
    ]  # fmt: skip
    assert [row["region_index"] for row in rows if row["id"] == "2"] == ["1", "1", "2", "2", ""]
    assert "zorp" in [row["word"] for row in rows if row["oov"] == "1" and row["id"] == "2"]

    # The other formats say the same.
    assert table((here / "w.tsv").read_text()) == rows
    written = pyarrow.parquet.read_table(here / "w.parquet").to_pylist()
    for name in ("word", "surprisal_bits", "entropy_bits", "region_index"):
        cells = ["" if row[name] is None else str(row[name]) for row in written]
        assert cells == [row[name] for row in rows]
    records = [json.loads(line) for line in (here / "w.jsonl").read_text().splitlines()]
    nested = [word for record in records for word in record["word_surprisals"]]
    for name in ("surprisal_bits", "entropy_bits"):
        assert [word[name] for word in nested] == [row[name] for row in written]
    assert [(record["item"], record["cond"], record["text"]) for record in records] == [
        ("1", "sg", 'The man "was", here.'), ("2", "pl", "The men were zorp")
    ]  # fmt: skip
    assert [region["text"] for region in records[1]["regions"]] == ["The men", "were zorp"]


def test_regions_from_marks_or_columns_have_own_rows(score, here):
    (here / "s.csv").write_text("cond,r1,r2,r3\na,The man,was,here\nb,The man,,here\n")
    columns = "--input s.csv --region-columns 'r1, r2,r3'"
    rows = rows_of(score(f"{columns} -o rows.tsv"))
    names = ("id", "cond", "region_index", "region", "text", "words")
    assert [tuple(row[name] for name in names) for row in rows] == [
        ("1", "a", "1", "r1", "The man", "2"), ("1", "a", "2", "r2", "was", "1"),
        ("1", "a", "3", "r3", "here", "1"),
        ("2", "b", "1", "r1", "The man", "2"), ("2", "b", "3", "r3", "here", "1"),
    ]  # fmt: skip
    bits = [row["surprisal_bits"] for row in rows]
    assert [row["next_surprisal_bits"] for row in rows] == [bits[1], bits[2], "", bits[4], ""]
    marked = rows_of(score("--regions / -o rows.tsv --overwrite", "The man / was / here"))
    assert [row["surprisal_bits"] for row in marked] == bits[:3] and "region" not in marked[0]
    assert "region\ttext\twords\tsurprisal_bits\tnext_surprisal_bits" in score(columns).out
    refused = score("--regions '|'", stdin=b"the | man\nwas| here|now\n")
    assert refused.code == 1
    assert "standard input, line 2: region mark 2 is inside a word: here|now" in refused.err


def test_columns_to_keep_are_chosen_by_name(by_counts, here):
    (here / "s.csv").write_text(STIMULI.replace(" |", ""))
    figures = "logprob_nats tokens words oov ppl_word text reason".split()
    for keep, kept in (
        ("", ["item", "cond"]), ("--keep cond", ["cond"]), ("--keep none", []),
        ("--keep all", ["item", "cond"]),
    ):  # fmt: skip
        row, _ = rows_of(by_counts(f"--input s.csv {keep} -o rows.tsv --overwrite"))
        assert [*row] == ["id", *kept, *figures]
    assert by_counts("--input s.csv").rows[0][:2] == ["id", "logprob_nats"]
    shown = by_counts("--input s.csv --keep cond")
    assert shown.rows[0][:3] == ["cond", "id", "logprob_nats"]
    assert "did you mean 'cond'" in by_counts("--input s.csv --keep cnd").err


@pytest.mark.parametrize("form", ["s.csv", "s.jsonl", "s.parquet"])
def test_ids_and_regions_that_are_not_utf8(by_counts, here, form):
    (here / "t.csv").write_bytes(b"id,text,given\n\xff,the man,a\nb,the man,\xfe\n")
    shown = by_counts(f"--input t.csv --column text --given-column given -o {form}")
    assert shown.code == 0 and "note: 1 line has no score" in shown.err
    (here / "text").write_bytes(b"the | bad \xff\n")
    shown = by_counts(f"--input text --regions '|' --overwrite -o {form}")
    assert shown.code == 1 and "byte 9 is 0xff" in shown.err  # and no other line


def test_sentence_table_leaves_missing_metrics_empty(by_counts, here):
    (here / "text").write_bytes(b"the man\n\nbad \xff\nthe\tzorp\n<s>\n")
    shown = by_counts("--input text -o rows.tsv")
    rows = rows_of(shown)
    assert [row["id"] for row in rows] == ["1", "2", "3", "4", "5"]
    reasons = ["", "", "not UTF-8 (byte 5 is 0xff)", "", "the text holds <s>"]
    assert [row["reason"] for row in rows] == reasons
    assert [row["tokens"] for row in rows] == ["3", "1", "", "3", ""]
    assert (rows[3]["text"], rows[3]["oov"], rows[2]["logprob_nats"]) == ("the\tzorp", "zorp", "")
    assert "note: 2 lines have no score" in shown.err
    assert by_counts("--input text --json").records[2]["words"] is None
    tokens = rows_of(by_counts("--input text --tokens -o rows.tsv --overwrite"))
    assert len(tokens) == 3 + 1 + 1 + 3 + 1


def test_sentence_equal_to_a_file_name_is_noted(by_counts, here):
    (here / "my text").write_text("the man\n")
    shown = by_counts("", "the", "my text")
    note = "'my text' is scored as a sentence, although a file has that name; to score its lines: --input "
    assert shown.code == 0 and f"note: {note}{quoted('my text')}" in shown.err
    assert "'a.txt' is scored as a sentence, as no file has" in by_counts("", "the", "a.txt").err
    assert "file" not in by_counts("", "the", "my  text").err


TEXTS = [
    'the "old" man', 'the "old man', '"the man"', '"', "the\tman", "the man\nwas",
    'the "man\n"was\t',
]  # fmt: skip


@pytest.mark.parametrize("options", ["-o out.tsv", "", "-o out.tsv --tokens"])
def test_tsv_is_read_back_despite_quotes_and_newlines(by_counts, here, options):
    rows = [{"id": str(number), "text": text} for number, text in enumerate(TEXTS)]
    (here / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shown = by_counts(f"--input t.jsonl {options}")
    found = table((here / "out.tsv").read_text() if options else shown.out)
    assert not [row for row in found if None in row or None in row.values()]
    if "--tokens" in options:
        tokens = [[row["token"] for row in found if row["id"] == str(id)] for id in range(5)]
        assert tokens == [[*split_punctuation(text).decode().split(), "</s>"] for text in TEXTS[:5]]
    else:
        texts = {int(row["id"]): row.get("text", row.get("sentence")) for row in found}
        assert texts == dict(enumerate(TEXTS))


def test_probabilities_are_reported_beside_their_logarithms(score, models, here):
    record, other = score("--json --words --tokens --probabilities", "the man", "a").records
    assert record["probability"] == pytest.approx(math.exp(record["logprob_nats"]))
    for parts in (record["word_surprisals"], record["surprisals"]):
        product = math.prod(part["probability"] for part in parts)
        assert product == pytest.approx(record["probability"])
    printed = rows_of(score("--probabilities -o rows.tsv", "the man", "a"))
    assert [float(row["probability"]) for row in printed] == [
        record["probability"], other["probability"],
    ]  # fmt: skip
    for option in ("--words", "--tokens"):
        # The same sentences: beside others, sums are rounded differently on some processors.
        rows = rows_of(score(f"--probabilities {option} --overwrite -o rows.tsv", "the man", "a"))
        key = "word_surprisals" if option == "--words" else "surprisals"
        assert [float(row["probability"]) for row in rows] == [
            part["probability"] for part in (*record[key], *other[key])
        ]
    columns, first, *_ = score("--probabilities", "the man", "a").rows
    assert columns == ["logprob_nats", "probability", "words", "ppl_word", "sentence"]
    assert float(first[1]) == pytest.approx(other["probability"], rel=1e-3)
    assert "probability" not in score("--words", "the man").out


def test_impossible_sentences_have_probability_zero(rnnlm, here):
    (here / "t.txt").write_text("a b\n")
    command = "train t.txt --model ngram --smoothing mle --order 2 --holdout 0 -o mle"
    assert rnnlm(*command.split()).code == 0
    ended = rnnlm(*shlex.split("score -m mle 'a b' 'b a' '</s>' --json --words --probabilities"))
    seen, unseen, unread = ended.records
    assert (seen["probability"], unseen["probability"], unread["probability"]) == (1, 0, None)
    assert [word["probability"] for word in unseen["word_surprisals"]] == [0, 0, 0]


def test_a_difference_of_rounding_is_none(monkeypatch, by_counts):
    monkeypatch.setattr("rnnlm.scoring.sentence_scores.ROUNDING_NATS", 1e9)
    assert by_counts("", "the", "the man").out.endswith("Both are equally likely.\n")


def test_what_is_given_conditions_and_is_not_scored(score, here):
    (here / "t.csv").write_text("id,before,text\nx,the man,was here\ny,,was here\n")
    given, alone = score("--input t.csv --given-column before --json").records
    by_text = score("--given 'the man' --json", "was here").json
    assert (given["id"], given["tokens"], alone["id"]) == ("x", 3, "y")
    assert given["logprob_nats"] == pytest.approx(by_text["logprob_nats"], abs=1e-4)
    assert alone["logprob_nats"] != pytest.approx(by_text["logprob_nats"], abs=1e-3)


def test_sentences_are_scored_without_end_or_as_stream(score):
    whole, open_end = score("--json", "the man").json, score("--json --no-eos", "the man").json
    assert (whole["tokens"], open_end["tokens"]) == (3, 2)
    assert whole["logprob_nats"] < open_end["logprob_nats"]
    first, second = score("--json --context carry", "the man", "the man").records
    assert first["logprob_nats"] == pytest.approx(whole["logprob_nats"], abs=1e-4)
    assert second["logprob_nats"] != pytest.approx(whole["logprob_nats"], abs=1e-4)


def test_the_signature_on_stderr_is_that_of_eval(rnnlm, score, models):
    asked = f"-m {models.lstm} {models.valid} --context reset --blank-lines keep --json"
    scored = score(f"--input {models.valid} --json").err.splitlines()[-1]
    assert scored == f"signature: {rnnlm(f'eval {asked}').json['signature']}"


@pytest.mark.soak
@pytest.mark.parametrize("name, options", [
    ("s.csv", ["--words", "--regions", "|"]), ("s.jsonl", ["--tokens", "--context", "carry"]),
])  # fmt: skip
def test_killed_run_resumes_to_the_same_file(
    rnnlm, models, here, start, corpus_lines, monkeypatch, name, options
):
    rows = enumerate((corpus_lines * 30)[:3_000])  # three chunks
    lines = (json.dumps({"text": line, "item": number}) + "\n" for number, line in rows)
    (here / "text.jsonl").write_text("".join(lines))
    command = ["score", "-m", models.unigram, *"--input text.jsonl --column text".split()]
    command += [*options, "--output"]
    monkeypatch.setattr("rnnlm.scoring.scorer.LINES_PER_CHUNK", 250)
    whole = rnnlm(*command, f"whole-{name}")
    assert whole.code == 0 and whole.out == ""
    small_chunks = "from rnnlm.scoring import scorer; scorer.LINES_PER_CHUNK = 250"
    process = start(*command, name, first=small_chunks)
    while not (here / name).exists() or (here / name).stat().st_size < 1000:
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.wait()
    expected = (here / f"whole-{name}").read_bytes()
    broken = (here / name).read_bytes()
    assert len(broken) < len(expected)
    assert expected.startswith(broken)
    refused = rnnlm(*command, name, "--no-eos")
    assert refused.code == 1 and (here / name).read_bytes() == broken
    assert "--no-eos differs" in refused.err
    assert "choose another -o, or replace it with --overwrite" in refused.err
    resumed = rnnlm(*command, name)
    assert resumed.code == 0
    assert (here / name).read_bytes() == expected
    finished = rnnlm(*command, name)
    assert finished.code == 0 and finished.err.count("\n") == 1
    assert f"{name} is finished: 3,000 sentences; --overwrite makes it again" in finished.err
    assert resumed.err.splitlines()[-1] == whole.err.splitlines()[-1]


@pytest.mark.processes
@pytest.mark.parametrize("name", [
    "s.jsonl",
    pytest.param("s.csv", marks=pytest.mark.soak),
    pytest.param("s.parquet", marks=pytest.mark.soak),
])  # fmt: skip
def test_workers_write_the_same_scores_and_notices(rnnlm, models, here, corpus_lines, name):
    rows = [*corpus_lines[:60], "", "“curly” words", "<s> reserved", "two  spaces"]
    lines = [json.dumps({"text": line, "item": number}) for number, line in enumerate(rows)]
    (here / "t.jsonl").write_text("\n".join([*lines, "no JSON"]) + "\n")
    asked = ("score", "-m", models.unigram, "-m", models.lstm, "--given", "Zorp", "-o")
    alone = rnnlm(*asked, name, "--input", "t.jsonl")
    shared = rnnlm(*asked, f"shared-{name}", "--input", "t.jsonl", "--workers", "2")
    assert alone.code == shared.code == 0
    of_both = [re.sub("shared-|.*(written|scored)\n", "", run.err) for run in (alone, shared)]
    assert of_both[0] == of_both[1] and "Zorp" in alone.err
    assert (here / f"shared-{name}").read_bytes() == (here / name).read_bytes()
    says = "already exists" if name == "s.parquet" else "is finished"
    assert says in rnnlm(*asked, name, "--input", "t.jsonl", "--workers", "2").err


def test_sentences_as_columns_are_their_records(rnnlm, models, here):
    lines = ["the man", "", "Zorp's 5 % “x”", "<s>", "a\tb \x07"]
    (here / "t.txt").write_text("\n".join(lines) + "\n")
    asked = ("score", "-m", models.unigram, "--input", "t.txt", "--probabilities", "-o")
    assert rnnlm(*asked, "t.jsonl").code == rnnlm(*asked, "w.jsonl", "--words").code == 0
    columns, records = (Path(f"{name}.jsonl").read_text().split("\n")[:-1] for name in "tw")
    for line, other in zip(columns, records, strict=True):
        as_record = json.loads(other)
        del as_record["word_surprisals"]
        assert line == json.dumps(as_record, ensure_ascii=False)


def test_one_stream_has_one_worker(by_counts, here):
    (here / "t.txt").write_text("a b\n")
    stream = by_counts("--input t.txt -o o.csv --workers 2 --context carry")
    assert stream.code == 2 and "leave out --workers" in stream.err
    assert by_counts("--input t.txt --workers 2").code == 2


@pytest.mark.parametrize("options", [
    "--json -o s.tsv", "--output scores", "--overwrite", "--input text",
    "-o s.tsv --tokens --words", "--with entropy",
    "--with entropie --words", "--keep item", "--region-columns a,b", "--regions ' '",
    "--output s.csv --tokens --regions '|'",
    "--given a --context carry", "--given-column before", "--column text --id-column id",
])  # fmt: skip
def test_options_that_contradict_each_other_are_wrong_usage(by_counts, here, options):
    ended = by_counts(options, "the man")
    assert (ended.code, ended.out) == (2, "") and not list(here.iterdir())


@pytest.mark.processes
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


def test_a_note_names_the_encoding_of_lines_without_a_score(by_counts, here):
    (here / "s.csv").write_bytes(
        "text,n\ndas Mädchen,1\nthe man,2\nder Schüler,3\n".encode("cp1252")
    )
    shown = by_counts("--input s.csv -o s.jsonl")
    assert shown.code == 0 and "2 lines have no score; the reason is given for each" in shown.err
    assert "2 lines are not UTF-8, but probably Windows-1252: convert the input" in shown.err
    assert "--encoding-errors replace" in shown.err
    assert "column 'text', one of 2 columns; --column names another one" in shown.err
    (here / "s.csv").write_bytes(b"text\nthe man\nthe \xff\xfe\x81\n")
    assert "note: 1 line is not UTF-8: convert" in by_counts("--input s.csv -o b.jsonl").err
