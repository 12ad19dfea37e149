"""What only a whole command refuses, and terminal escapes in all that a command may show: beside
these, readers have tests of their own."""

import json
import shutil

import pytest

from rnnlm.cli.main import run
from rnnlm.storage.files.outputs import Journal
from support.damages import config, edited
from support.failures import checked_error

TINY = "--set hidden_size=8 --set embedding_size=8 --precision fp32 --budget 2steps"
FILTER = "-o out -m {unigram} --max-perplexity 900 --workers 1"
RESCORE = "rescore -m {unigram} --tune n.tsv"
EMBED = f"train {{text}} --model lstm {TINY} --embeddings f -o out"
PRUNE = "prune -m {ngram} -o out --vocab f"
DEEP = b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
REFUSED = {  # what the file f holds, the command, and what is said
    "tag: comments alone": (b"# text = go\n\n",
        "tag -m {tagger} --input f --input-format conllu", "no sentences in f"),
    "tag: bad in the middle, to a file": (b"go O\nto O\noslo O\n\ngo\n",
        "tag -m {tagger} --input f --input-format columns -o out", "f, line 5: 1 column"),
    "tag: nothing on stdin": (b"", "tag -m {tagger}", "no sentences in standard input"),
    "tag: a directory": (b"", "tag -m {tagger} --input .", ". is a directory"),
    "tag: an empty sentence": (b"", "tag -m {tagger} 'go' ' '", "sentence 2 has no words"),
    "classify: nothing": (b"", "classify -m {classifier} --input f", "no texts in f"),
    "classify: an empty text": (b"", "classify -m {classifier} ''", "text 1 has no words"),
    "classify: a column of lines": (b"go\n", "classify -m {classifier} --input f --column c",
        "f does not have a table suffix"),
    "translate: nothing": (b"", "translate -m {translator}", "no lines in standard input"),
    "translate: bad in the middle, to a file": (b"the\n\xff\n",
        "translate -m {translator} --input f -o out", "f, line 2, byte 1: not UTF-8"),
    "n-best: a nest of arrays": (DEEP, "rescore -m {unigram} --tune f", "f, line 1: not JSON"),
    "n-best: references missing": (b"", "rescore -m {unigram} --tune {nbest} --ref r", "cannot read r"),
    "weights: missing": (b"", "rescore -m {unigram} --apply {nbest} --weights w", "cannot read w"),
    "weights: without end": (b"", "rescore -m {unigram} --apply {nbest} --weights /dev/zero",
        "/dev/zero holds no weights"),
    "vectors: 10^18": (b"999999999999999999 8\nthe 1 2 3 4 5 6 7 8\n", EMBED, "f is cut off"),
    "vectors: too few words": (b"the man\n", "vectors f --method svd --min-count 99 -o v.txt",
        "too little text in f"),
    "embed: not UTF-8": (b"\xff\n", "embed -m {lstm} --input f --output v.npy",
        "f, line 1: not UTF-8 (byte 1 is 0xff)"),
    "vocabulary: missing": (b"", f"{PRUNE}rom", "cannot read from"),
    "vocabulary: empty": (b"", PRUNE, "f has no words"),
    "vocabulary: other words": (b"zorp\nzurp\n", PRUNE, "f has no word that is in the"),
    "vocabulary: invalid UTF-8": (b"\xff\n", PRUNE, "f, line 1, byte 1: not UTF-8"),
    "a prompt with a newline": (b"", "generate -m {unigram} 'a\nb'",
        "the prompt: a line holds a newline"),
    "a prompt not in UTF-8": (b"", "generate -m {unigram} 'a\udcff'", "a beginning is not UTF-8"),
    "inspect: a boundary": (b"", "inspect gates -m {lstm} 'a </s> b'",
        "the sentence: the text holds </s>"),
    "inspect: an empty cloze test": (b"", "inspect cloze f -m {lstm}", "f"),
    "a model as a text": (b"", "eval -m {unigram} m", "m is a "),
    "a damaged translator": (b"", "translate -m m the", "the model at m is damaged"),
}  # fmt: skip
LESSONS = {
    "s.toml": (b"", "s.toml has no words"),
    "no.toml": (b"U = [[1\n", "no.toml is not TOML"),
    "nested.toml": (b"a = " + b"[" * 100_000, "nested.toml is not TOML"),
    "nan.json": (b'{"U": NaN}', "nan.json is not JSON"),
    "list.json": (b"[1, 2]", "list.json is not JSON"),
    "nested.json": (b"[" * 100_000, "nested.json is not JSON"),
    "large.toml": (b"#" * (1 << 21), "cannot read large.toml"),
}


@pytest.mark.parametrize(("content", "line", "what"), REFUSED.values(), ids=REFUSED)
def test_a_command_refuses_what_it_is_given(refused, there, here, content, line, what):
    shutil.copytree(there["translator"], "m")
    edited("pairs.json", lambda data: b"{}")(here / "m")
    (here / "f").write_bytes(content)
    refused(line, what)


@pytest.mark.parametrize(
    ("name", "content", "what"), [(name, *each) for name, each in LESSONS.items()]
)
def test_a_lesson_that_is_none_is_refused(refused, here, name, content, what):
    (here / name).write_bytes(content)
    refused(f"inspect step {name}", what)
    refused("inspect step nothere.toml", "no such file: nothere.toml")


def test_a_file_may_make_a_request_wrong_usage(refused, here):
    (here / "v").write_bytes(b"1 999999999\nthe 1\n")
    refused(EMBED.replace(" f ", " v "), "v, line 1: vectors of width 999999999", code=2)


def test_a_filter_with_another_identity_is_refused(refused, here):
    layout = {"groups": ["kept"], "kept": ["kept"], "has_folders": False}
    (here / "out").mkdir()
    Journal(here / "out/.filter.run").write([{"what": "filter", "identity": {}, "layout": layout}])
    (here / "f.txt").write_text("the man\n")
    refused(f"filter f.txt {FILTER}", "out already holds another result")


ODD = {
    "rows without words": f"filter f.jsonl {FILTER} --json",
    "reserved symbols to tag": "tag -m {tagger} '<s> </s> <unk> <pad>'",
    "reserved symbols to translate": "translate -m {translator} '<s> </s> <unk> <pad>'",
    "a beam too wide": "translate -m {translator} the --beam 500 --max-length 0.1",
    "an empty name": "score -m '' x --no-eos",
}


@pytest.mark.parametrize("line", ODD.values(), ids=ODD)
def test_an_odd_request_is_answered(harmless, here, line):
    (here / "f.jsonl").write_bytes(b'{"text": null}\n\n{"text": " \\n"}\n')
    harmless(line)


# ---- Terminal escapes, in texts, words, names of files and models: one command a kind of output.

ESCAPE = "\x1b]0;owned\x07\x1b[31m"
EVIL = f"the {ESCAPE} man \x9b2J \u202eevil \x08\x7f\n".encode() * 30
NAME = "t\x1b]31m\u202e\x9b2J.txt"
SHOWN = {
    "train": f"train '{NAME}' --valid '{NAME}' --model lstm {TINY} -o 'm\x1b[31m'",
    "eval, JSON": f"eval -m {{unigram}} '{NAME}' --json",
    "score": f"score -m {{unigram}} '{ESCAPE}' 'the \x9b2J' --tokens --words --probabilities",
    "next": f"next -m {{unigram}} '{ESCAPE}' 'the \x9b2J' --num 3",
    "score, TSV": f"score -m {{unigram}} 'the {ESCAPE}' -o s.tsv --words",
    "count": "count text --order 2",
    "compare": "compare {unigram} {ngram} --on page --resamples 20",
    "mix": f"mix {{lstm}} {{ngram}} --on '{NAME}' -o out",
    "n-best": f"{RESCORE} --nbest-output out.tsv --output out.txt",
    "words: generate": "generate -m words --beam 3 --num 2",
    "words: info": "info words",
    "words: ARPA": "export -m words --arpa out.arpa",
    "a model's own story: info": "info story",
    "a model's own story: doctor": "doctor story",
    "a model's own story: report": "report story",
    "labels": "tag -m labels 'go to oslo'",
    "a translation": f"translate -m {{translator}} '{ESCAPE}' --nbest 2",
    "a lesson": "inspect step s.toml",
    "recipes": "list recipes",
}
ERRORS = {
    f"eval -m {{unigram}} 'no{NAME}'": "no such file: not\\x1b]31m",
    "eval -m {unigram} 'a\nerror: b'": "no such file: a\\nerror: b",
    "eval -m {unigram} t.jsonl": "t.jsonl, line 1: which column",
}


def story(content):
    """Put terminal escapes wherever a model describes its training."""
    told = ("recipe", "validation", "command", "train_data", "data")
    content["training"].update(dict.fromkeys(told, ESCAPE), text=[ESCAPE])
    for result in content["results"].values():
        result["signature"] = ESCAPE
    content["results"][ESCAPE] = {**result}


@pytest.fixture
def evil(there, here, capsys, line):
    """Make texts, models and lists that are full of terminal escapes."""
    (here / NAME).write_bytes(EVIL)
    (here / "text").write_bytes(EVIL.replace("\u202e".encode(), b""))
    (here / "page").write_bytes(EVIL + b"the <script>alert(1)</script> man\n" * 9)
    (here / "t.jsonl").write_text(json.dumps({ESCAPE: 1, "b": 2}))
    nbest = there["nbest"].read_text().replace("u1", f"u{ESCAPE}").replace("men", f"men {ESCAPE}")
    (here / "n.tsv").write_text(nbest)
    lesson = b'words = "\\u001b]0;x\\u0007 b"\nU = [[1], [2]]\nW = [[1]]\nV = [[1, 2]]\n'
    (here / "s.toml").write_bytes(lesson)
    shutil.copytree(there["lstm"], "story")
    config(story)(here / "story")
    shutil.copytree(there["tagger"], "labels")
    escaped = b"\\u001b[31m\\u202e"
    edited("labels.json", lambda data: data.replace(b"place", escaped))(here / "labels")
    if " words" in line:
        assert run(["train", NAME, "--model", "ngram", "--order", "2", "-o", "words"]) == 0


@pytest.mark.system("posix")  # names with control characters
@pytest.mark.parametrize("line", SHOWN.values(), ids=SHOWN)
def test_no_terminal_escape_is_shown(harmless, typed, evil, terminal_of, line):
    harmless(line)
    terminal_of(80)
    writes = any(option in line for option in (" -o ", "--arpa", "--output"))
    again = typed(f"{line} --overwrite" if writes else line)
    shown = again.out + again.err
    evils = ("\x1b]", "\x1b[31m", "\x07", "\x9b", "\x7f", "\u202e")
    assert again.code == 0 and not any(each in shown for each in evils), shown


@pytest.mark.system("posix")
@pytest.mark.parametrize(("line", "what"), ERRORS.items(), ids=map(ascii, ERRORS))
def test_no_error_shows_a_terminal_escape(refused, typed, evil, terminal_of, line, what):
    refused(line, what)
    terminal_of(80)
    checked_error(typed(line), 1, what)
