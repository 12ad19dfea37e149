import csv
import io
import json

import pytest

from rnnlm.cli import terminal
from rnnlm.cli.main import context_of
from rnnlm.errors import joined_message, keyword


def test_piped_tables_are_tabbed_lines_that_csv_reads_back(capsys):
    terminal.print_table(
        terminal.Table(["a", "b"], [["1", "x y"], ["[bold]2[/bold]", "w" * 500]], right=["a"])
    )
    assert capsys.readouterr().out == "a\tb\n1\tx y\n[bold]2[/bold]\t" + "w" * 500 + "\n"
    rows = [['an "odd one', "x\ty\nz"], ['"whole"', 'a "b" c']]
    terminal.print_table(terminal.Table(["a", 'the "b"'], [*rows, ["\x1b[31m\r", "\u202e"]]))
    read = list(csv.reader(io.StringIO(capsys.readouterr().out, newline=""), delimiter="\t"))
    assert read == [["a", 'the "b"'], *rows, ["\\x1b[31m\\r", "\\u202e"]]


def test_terminal_tables_fold_to_width_and_lose_nothing(capsys, terminal_of):
    terminal_of(60)
    terminal.print_table(terminal.Table(["a", "long"], [["1", "w" * 500], ["[bold]2[/bold]", "x"]]))
    shown = capsys.readouterr().out
    assert shown.count("w") == 500
    assert "[bold]2[/bold]" in shown


def test_columns_without_room_move_to_a_table_below(capsys, terminal_of):
    columns = ["model", *(f"a long figure {n}" for n in range(12))]
    rows = [["lstm", *(f"{n}.12345" for n in range(12))]]
    terminal_of(60)
    terminal.print_table(terminal.Table(columns, rows, right=columns[1:]))
    shown = capsys.readouterr().out
    assert all(f" {n}.12345" in shown for n in range(12)) and shown.count("lstm") > 1
    assert max(map(len, shown.splitlines())) <= 60
    terminal_of(400)
    terminal.print_table(terminal.Table(columns, rows, right=columns[1:]))
    assert capsys.readouterr().out.count("lstm") == 1


def test_narrow_terminal_gives_each_cell_its_line(capsys, terminal_of):
    terminal_of(20)
    terminal.print_table(terminal.Table(["a", "b"], [["1", "2"], ["3", "4"]]))
    assert capsys.readouterr().out == "a: 1\nb: 2\n\na: 3\nb: 4\n\n"


def test_errors_give_what_why_and_fix_on_stderr(capsys):
    terminal.show_error("what\nhappened", "why", "way out")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: what\\nhappened\n  why: why\n  try: way out\n"


@pytest.mark.needs("tools/inspection", "tools/mixtures")
@pytest.mark.parametrize(("command", "message", "expected"), [
    ("train", "name another folder with " + keyword("output"), "name another folder with -o"),
    ("train", keyword("overwrite", True), "--overwrite"),
    ("train", keyword("order", 5) + " or " + keyword("holdout", "5%"), "--order 5 or --holdout 5%"),
    ("mix", joined_message(", ", [keyword("weights", "0.7,0.3"), keyword("on", "TEXT")]),
     "--weights 0.7,0.3, --on TEXT"),
    ("train", keyword("tokenizer_from", "a model") + ".", "--tokenizer-from 'a model'."),
    ("train", keyword("lowercase", False), "--keep-case"),
    ("train", keyword("format") + " of the text", "--input-format of the text"),
    ("train", keyword("bidirectional", True), "--set bidirectional=true"),
    ("train", keyword("tied") + " is a setting", "`tied` is a setting"),
    ("score", keyword("id_column") + " needs " + keyword("words"), "--id-column needs --words"),
    ("score", keyword("model") + " and " + keyword("region_mark", "|"), "-m and --regions '|'"),
    ("score", keyword("bidirectional", True), "`bidirectional=True`"),
    ("inspect memory", "name " + keyword("text", "FILE"), "name --on FILE"),
    ("inspect gates", "`order=5` in a file", "`order=5` in a file"),
])  # fmt: skip
def test_messages_name_the_options_of_the_command(command, message, expected):
    assert terminal.spelled(message) == str(message)  # outside of commands
    with context_of([*command.split(), "--an-option"]):
        assert terminal.spelled(message) == expected


def test_json_never_holds_nan(capsys):
    terminal.print_json({"é": [1, None]})
    assert json.loads(capsys.readouterr().out) == {"é": [1, None]}
    terminal.print_json(float("nan"))
    assert json.loads(capsys.readouterr().out) is None


@pytest.mark.parametrize(
    "seconds, text", [(-1, "0s"), (0.4, "0s"), (59.6, "1m 00s"), (185, "3m 05s"), (7800, "2h 10m")]
)
def test_durations(seconds, text):
    assert terminal.duration(seconds) == text


@pytest.mark.parametrize("value, given, text", [
    (1234.567, (), "1,234.57"), (0.0, (), "0.00"), (12345, (), "12,345"), (12345, ("g", "plain", "d"), "12345"), (1.23456, (), "1.23"),
    (1.23456, (4,), "1.2346"), (0.5, (".6g",), "0.5"),
    (-0.00001, (), "0.00"), (-0.00001, ("+.1%",), "+0.0%"), (-0.00001, (4,), "0.0000"),
    (None, (), "-"), (True, (), "yes"), ([1, 2], (), "1, 2"), ("carry", (), "carry"),
])  # fmt: skip
def test_table_cells_hold_values_of_any_type(value, given, text):
    assert terminal.amount(value, *given) == text


def test_json_escapes_control_characters_without_changing_content(capsys):
    terminal.print_json({"text": "a\x9b31m\u202eb\x7f"})
    shown = capsys.readouterr().out
    assert "\x9b" not in shown and "\u202e" not in shown and "\x7f" not in shown
    assert json.loads(shown) == {"text": "a\x9b31m\u202eb\x7f"}


def test_wide_letters_take_two_places_and_accents_none():
    rows = [["\u65e5\u672c\u8a9e", "1"], ["e\u0301te\u0301", "2"], ["\u65e5" * 40, "3"]]
    lines = terminal.Table(["text", "n"], rows, right=["n"]).text(60).splitlines()
    assert lines[2] == "\u65e5\u672c\u8a9e" + " " * 50 + "   1"
    assert lines[3] == "e\u0301te\u0301" + " " * 53 + "   2"
    assert [line.count("\u65e5") for line in lines[4:]] == [28, 12]
