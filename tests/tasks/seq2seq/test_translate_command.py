"""`rnnlm translate`: a line for each line, tables, JSON-lines, plots of attention."""

import csv
import gzip
import json
from dataclasses import asdict
from xml.etree import ElementTree

import pytest

import rnnlm as library
from rnnlm.scoring.generation.settings import SamplingSettings
from rnnlm.storage import model_folder
from rnnlm.tasks.seq2seq import decoding
from rnnlm.tasks.seq2seq.options import DecodingSettings
from support import workbooks
from support.tiny_seq2seq import tiny_model, varied_model

LINES = ["the cat sat", "dog", "a dog sat on the mat", "the the cat on mat a dog"]
TEXT = "".join(f"{line}\n" for line in LINES)


def saved(folder, model):
    model_folder.save(folder, model, "lstm", asdict(model.network.settings), 1, {})
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("translator") / "fra", varied_model())


@pytest.fixture(scope="module")
def expected(model):
    return [line.text for line in decoding.translate(model, LINES)]


def test_each_input_line_gives_one_output_line(rnnlm, model, expected, here):
    assert rnnlm("translate", "-m", model, *LINES).out.splitlines() == expected
    text = f"{LINES[0]}\r\n \n{LINES[1]}\n{LINES[2]}\n{LINES[3]}"
    (here / "in.txt.gz").write_bytes(gzip.compress(text.encode()))
    shown = rnnlm("translate", "-m", model, "--input", "in.txt.gz", "-o", "out.txt")
    assert (shown.code, shown.out) == (0, "")
    assert "note: 1 line has no translation: no words" in shown.err
    assert "lines were cut off at the length limit (--max-length)" in shown.err
    assert (here / "out.txt").read_text().split("\n") == [expected[0], "", *expected[1:], ""]


def test_a_table_keeps_its_columns(rnnlm, model, expected, here):
    texts = ["", *LINES]
    rows = [["id", "source", "translation"]]
    rows += [[str(number), text, f'{number}, "x"'] for number, text in enumerate(texts)]
    with open(here / "in.csv", "w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    assert rnnlm("translate", "-m", model, "--input", "in.csv", "-o", "out.csv").code == 0
    header, *written = csv.reader((here / "out.csv").read_text().splitlines())
    assert header == ["id", "source", "input_translation", "translation"]
    outputs = ["", *expected]
    assert written == [[*row, line] for row, line in zip(rows[1:], outputs, strict=True)]

    # Several outputs of a source are rows with its cells; typed and plain lines have the cell text.
    rnnlm("translate", "-m", model, "--input", "in.csv", "--nbest", 2, "-o", "best.csv")
    header, empty, *written = csv.reader((here / "best.csv").read_text().splitlines())
    assert header[3:] == ["rank", "logprob_nats", "score", "translation"] and empty[3:] == [""] * 4
    assert [row[0] + row[3] for row in written[:4]] == ["11", "12", "21", "22"]
    rnnlm("translate", "-m", model, "--input", "in.csv", "--nbest", 2, "-o", "best.xlsx")
    [empty, *rows] = [[*row.values()] for row in workbooks.rows_of("best.xlsx")]
    assert [row[:4] for row in rows] == [[*row[:3], int(row[3])] for row in written]
    assert [f"{row[4]:z.4f}" for row in rows] == [row[4] for row in written]
    rnnlm("translate", "-m", model, *LINES, "-o", "typed.tsv")
    lines = [["text", "translation"], *map(list, zip(LINES, expected, strict=True))]
    assert [line.split("\t") for line in (here / "typed.tsv").read_text().splitlines()] == lines


def test_sources_stand_in_the_columns_of_tables(rnnlm, model, expected, here):
    pairs = [{"translation": {"en": line, "fr": line[::-1]}} for line in LINES]
    files = {
        "in.tsv": "n\tsource\ttarget\n" + "".join(f"1\t{line}\t?\n" for line in LINES),
        "in.csv": "en\n" + TEXT,
        "in.jsonl --column en": "".join(json.dumps(pair) + "\n" for pair in pairs),
        "plain.tsv --column 2": "".join(f"?\t{line}\n" for line in LINES),
    }
    for named, text in files.items():
        (here / named.split()[0]).write_text(text)
        shown = rnnlm(f"translate -m {model} --input {named}")
        assert shown.out.splitlines() == expected, named
    piped = rnnlm("translate", "-m", model, stdin=files["in.jsonl --column en"].encode())
    assert piped.errors == [
        "error: standard input, line 1: which column holds the sources?", "  why: it has en, fr",
        "  try: name it: --column en, or --column fr",
    ]  # fmt: skip
    shown = rnnlm(f"translate -m {model} --input in.tsv --column fr")
    assert shown.errors[0] == "error: in.tsv, line 2: no column 'fr'"


def test_json_matches_python_and_is_read_by_rescore(rnnlm, model, here):
    asked = ("--json", "--nbest", "2", "--beam", "3", "--length-power", "2")
    shown = rnnlm("translate", "-m", model, *LINES, *asked)
    settings = DecodingSettings(nbest=2, beam=3, length_power=2)
    expected = decoding.translate(model, LINES, settings=settings)
    assert shown.records == [json.loads(json.dumps(each.to_dict())) for each in expected]
    first = shown.records[0]
    assert {*first} == {"utt", "source", "text", "hypotheses"}
    assert first["text"] == first["hypotheses"][0]["text"]
    (here / "nbest.jsonl").write_text(shown.out)
    read = [(each.utt, len(each.hypotheses)) for each in library.read_nbest("nbest.jsonl")]
    assert read == [("1", 2), ("2", 2), ("3", 2), ("4", 2)]


@pytest.mark.parametrize("candidates", ["--nbest 3", "--num 5 --seed 2"])
def test_the_line_of_least_risk_is_written_alone(rnnlm, model, candidates):
    settings = DecodingSettings(mbr=True, nbest=3 if "nbest" in candidates else 1)
    drawn = {"sampling": SamplingSettings(seed=2), "num": 5} if "num" in candidates else {}
    expected = decoding.translate(model, LINES, settings=settings, **drawn)
    asked = ("translate", "-m", model, *LINES, *candidates.split(), "--mbr")
    assert rnnlm(*asked).out.split("\n") == [*(line.text for line in expected), ""]
    [first, *_] = rnnlm(*asked, "--json").records
    assert [each["text"] for each in first["hypotheses"]] == [expected[0].text]
    alone = rnnlm("translate", "-m", model, LINES[0], "--mbr")
    assert alone.code == 2 and "--nbest 10" in alone.err


def test_several_lines_of_a_source_are_rows(rnnlm, model):
    found = decoding.translate(model, LINES[:2], settings=DecodingSettings(nbest=2))
    table = [["line", "rank", "logprob_nats", "score", "text"]]
    for line in found:
        for rank, each in enumerate(line.hypotheses, start=1):
            numbers = [f"{each.logprob_nats:.4f}", f"{each.score:.4f}"]
            table.append([str(line.number), str(rank), *numbers, each.text])
    for options in (LINES[:2], ["-o", "-", *LINES[:2]]):
        assert rnnlm("translate", "-m", model, "--nbest", "2", *options).rows == table
    single = rnnlm("translate", "-m", model, "--nbest", "2", LINES[0]).rows
    assert single == [row[1:] for row in table[:3]]


def test_samples_depend_on_seed_line_and_number(rnnlm, model):
    def drawn(seed, num, **settings):
        sampling = SamplingSettings(seed=seed, **settings)
        lines = decoding.translate(model, LINES, sampling=sampling, num=num)
        return [each.text for line in lines for each in line.hypotheses]

    head, *rows = rnnlm("translate", "-m", model, "--num=3", "--seed=5", stdin=TEXT.encode()).rows
    assert head == ["line", "sample", "logprob_nats", "text"]
    assert [row[3] for row in rows] == drawn(5, 3)
    for options, settings in (("--sample", {}), ("--temperature=0", {"temperature": 0})):
        shown = rnnlm("translate", "-m", model, *LINES, options)
        assert shown.out.splitlines() == drawn(1, 1, **settings)
    refused = rnnlm(f"translate -m {model} x --beam 2 --seed 1")
    error = "error: --beam and --seed: give options for search or for sampling, not both."
    assert (refused.code, refused.errors[0]) == (2, error)


def test_attention_is_drawn_for_first_line_with_words(rnnlm, model, here):
    asked = f"translate -m {model} --attention-plot"
    shown = rnnlm(f"{asked} a.svg", stdin=b"\n" + TEXT.encode())
    assert shown.code == 0 and "note: a.svg shows line 2, the first one with words" in shown.err
    text = "".join(ElementTree.parse(here / "a.svg").getroot().itertext())
    for token in ("the", "cat", "sat", "</s>", "source", "target", "weight"):
        assert token in text
    assert "dog" not in text
    assert rnnlm(f"{asked} a.svg cat").errors[0] == "error: a.svg already exists"
    assert rnnlm(f"{asked} a.svg cat --overwrite").code == 0
    assert rnnlm(f"{asked} a.txt cat").errors[0] == "error: a.txt does not have a plot suffix"


def test_attention_is_refused_where_there_is_none(rnnlm, here):
    folder = saved(here / "blind", tiny_model(attention=None))
    shown = rnnlm(f"translate -m {folder} cat --attention-plot a.svg")
    assert (shown.code, shown.errors[0]) == (2, f"error: {folder} has no attention")
    assert "attention=none" in shown.errors[1]
    assert not (here / "a.svg").exists()


def test_other_task_model_is_named_with_its_command(rnnlm, model):
    shown = rnnlm("translate -m demo x")
    assert shown.code == 2
    assert shown.errors == [
        "error: demo is a language model",
        "  why: rnnlm translate needs an encoder-decoder",
        '  try: rnnlm score -m demo "a sentence"',
    ]
    assert rnnlm("tag", "-m", model, "x").errors[2] == f'  try: rnnlm translate -m {model} "a line"'


@pytest.mark.parametrize(("options", "why"), [
    ("--max-length inf", "'inf' is not a number"), ("--max-length 0", "it must be"),
    ("--beam 2 --length-power 1e4", "it must be"),
])  # fmt: skip
def test_unusable_ranking_and_limit_numbers_are_refused(rnnlm, model, options, why):
    shown = rnnlm(f"translate -m {model} cat {options}")
    assert shown.code == 2
    assert f"Invalid value for '{options.split()[-2]}'" in shown.errors[0]
    assert why in shown.errors[0]


def test_a_file_name_among_the_lines_is_noticed(rnnlm, model, here):
    (here / "text.txt").write_text("the cat\n")
    shown = rnnlm("translate", "-m", model, "text.txt")
    assert "to translate its lines: --input text.txt" in shown.err
    assert rnnlm("translate", "-m", model, "x", " ").errors[0] == "error: line 2 has no words"
