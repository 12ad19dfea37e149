"""`rnnlm translate`: a line out for each line in, tables, JSON-lines, conversations, plots of
attention."""

import gzip
import json
from dataclasses import asdict
from xml.etree import ElementTree

import pytest

import rnnlm as library
from rnnlm.generation.settings import SamplingSettings
from rnnlm.models import model_folder
from rnnlm.tasks.seq2seq import decoding
from rnnlm.tasks.seq2seq.options import DecodingSettings
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
    (here / "in.txt.gz").write_bytes(
        gzip.compress(f"{LINES[0]}\r\n \n{LINES[1]}\n{LINES[2]}\n{LINES[3]}".encode())
    )
    shown = rnnlm("translate", "-m", model, "--input", "in.txt.gz", "-o", "out.txt")
    assert (shown.code, shown.out) == (
        0,
        "",
    ) and "note: 1 line has no translation: no words" in shown.err
    assert (here / "out.txt").read_text().split("\n") == [expected[0], "", *expected[1:], ""]
    assert (
        rnnlm("translate", "-m", model, "--input", "in.txt.gz", "-o", "out.txt").errors[0]
        == "error: out.txt already exists"
    )
    assert "lines were cut off: they reached their greatest length (--max-length)" in shown.err


def test_sources_stand_in_the_columns_of_tables(rnnlm, model, expected, here):
    rows = [
        {"id": number, "translation": {"en": line, "fr": line[::-1]}}
        for number, line in enumerate(LINES)
    ]
    files = {
        "in.tsv": "n\tsource\ttarget\n"
        + "".join(f"{number}\t{line}\t?\n" for number, line in enumerate(LINES)),
        "in.csv": "en\n" + TEXT,
        "in.jsonl": "".join(json.dumps(row) + "\n" for row in rows),
        "plain.tsv": "".join(f"?\t{line}\n" for line in LINES),
    }
    for name, text in files.items():
        (here / name).write_text(text)
        column = {"in.jsonl": ["--column", "en"], "plain.tsv": ["--column", "2"]}.get(name, [])
        assert (
            rnnlm("translate", "-m", model, "--input", name, *column).out.splitlines() == expected
        ), name
    assert rnnlm("translate", "-m", model, stdin=files["in.jsonl"].encode()).errors == [
        "error: -, line 1: which column holds the sources?", "  why: it has en, fr",
        "  try: name it: --column en, or --column fr",
    ]  # fmt: skip
    assert (
        rnnlm("translate", "-m", model, "--input", "in.tsv", "--column", "fr").errors[0]
        == "error: in.tsv, line 2: no column 'fr'"
    )


def test_json_matches_python_and_is_read_by_rescore(rnnlm, model, here):
    shown = rnnlm(
        "translate",
        "-m",
        model,
        *LINES,
        "--json",
        "--nbest",
        "2",
        "--beam",
        "3",
        "--length-power",
        "2",
    ).out
    settings = DecodingSettings(nbest=2, beam=3, length_power=2)
    found = [json.loads(line) for line in shown.splitlines()]
    assert found == [
        json.loads(json.dumps(each.to_dict()))
        for each in decoding.translate(model, LINES, settings=settings)
    ]
    assert {*found[0]} == {"utt", "source", "text", "hypotheses"} and found[0]["text"] == found[0][
        "hypotheses"
    ][0]["text"]
    (here / "nbest.jsonl").write_text(shown)
    assert [(each.utt, len(each.hypotheses)) for each in library.read_nbest("nbest.jsonl")] == [
        ("1", 2),
        ("2", 2),
        ("3", 2),
        ("4", 2),
    ]


def test_several_lines_of_a_source_are_rows(rnnlm, model):
    found = decoding.translate(model, LINES[:2], settings=DecodingSettings(nbest=2))
    rows = [
        [str(line.number), str(rank), f"{each.logprob_nats:.4f}", f"{each.score:.4f}", each.text]
        for line in found
        for rank, each in enumerate(line.hypotheses, start=1)
    ]
    table = [["line", "rank", "logprob_nats", "score", "text"], *rows]
    for options in (LINES[:2], ["-o", "-", *LINES[:2]]):
        shown = rnnlm("translate", "-m", model, "--nbest", "2", *options).out
        assert [line.split("\t") for line in shown.splitlines()] == table
    single = rnnlm("translate", "-m", model, "--nbest", "2", LINES[0]).out
    assert [line.split("\t") for line in single.splitlines()] == [row[1:] for row in table[:3]]


def test_samples_depend_on_seed_line_and_number(rnnlm, model):
    def drawn(seed, num, **settings):
        lines = decoding.translate(
            model, LINES, sampling=SamplingSettings(seed=seed, **settings), num=num
        )
        return [each.text for line in lines for each in line.hypotheses]

    shown = rnnlm(f"translate -m {model} --num 3 --seed 5", stdin=TEXT.encode()).out.splitlines()
    assert shown[0] == "line\tsample\tlogprob_nats\ttext" and [
        row.split("\t")[3] for row in shown[1:]
    ] == drawn(5, 3)
    for options, settings in ((["--sample"], {}), (["--temperature", "0"], {"temperature": 0})):
        assert rnnlm("translate", "-m", model, *LINES, *options).out.splitlines() == drawn(
            1, 1, **settings
        )
    refused = rnnlm("translate", "-m", model, "x", "--beam", "2", "--seed", "1")
    assert (refused.code, refused.errors[0]) == (
        2,
        "error: --beam and --seed: lines are searched for or drawn, not both.",
    )


def test_attention_is_drawn_for_first_line_with_words(rnnlm, model, here):
    shown = rnnlm(
        "translate", "-m", model, "--attention-plot", "a.svg", stdin=b"\n" + TEXT.encode()
    )
    assert shown.code == 0 and "note: a.svg shows line 2, the first one with words" in shown.err
    text = "".join(ElementTree.parse(here / "a.svg").getroot().itertext())
    assert (
        all(token in text for token in ("the", "cat", "sat", "</s>", "source", "target", "weight"))
        and "dog" not in text
    )
    asked = ("translate", "-m", model, "the cat", "--attention-plot")
    assert rnnlm(*asked, "a.svg").errors[0] == "error: a.svg already exists"
    assert rnnlm(*asked, "a.svg", "--overwrite").code == 0
    assert rnnlm(*asked, "a.txt").errors[0] == "error: a.txt does not have a plot suffix"


def test_attention_is_refused_where_there_is_none(rnnlm, here):
    folder = saved(here / "blind", tiny_model(attention=None))
    shown = rnnlm("translate", "-m", folder, "the cat", "--attention-plot", "a.svg")
    assert shown.code == 2
    assert shown.errors[0] == f"error: {folder} has no attention"
    assert "attention=none" in shown.errors[1]
    assert not (here / "a.svg").exists()


def test_other_task_model_is_named_with_its_command(rnnlm, model):
    shown = rnnlm("translate", "-m", "demo", "x")
    why = "  why: it has not learned to write a line for another"
    assert (shown.code, shown.errors) == (
        2,
        ["error: demo is a language model", why, "  try: rnnlm score -m demo"],
    )
    assert rnnlm("tag", "-m", model, "x").errors[2] == f"  try: rnnlm translate -m {model}"


@pytest.mark.parametrize(
    "options", [("--max-length", "inf"), ("--beam", "2", "--length-power", "1e4")], ids=str
)
def test_unusable_ranking_and_limit_numbers_are_refused(rnnlm, model, options):
    shown = rnnlm("translate", "-m", model, *options, "the cat")
    assert shown.code == 2
    assert f"Invalid value for '{options[-2]}'" in shown.errors[0]
    assert "is not in the range" in shown.errors[0]


def test_a_file_name_among_the_lines_is_noticed(rnnlm, model, here):
    (here / "text.txt").write_text("the cat\n")
    assert (
        "--input text.txt translates its lines" in rnnlm("translate", "-m", model, "text.txt").err
    )
    assert rnnlm("translate", "-m", model, "x", " ").errors[0] == "error: line 2 has no words"
