"""What only a whole command refuses, or shows: beside these, readers have tests of their own."""

import json
from pathlib import Path

from support.hostile.cases import TINY, Bad, config, edited, fine, folder, model, usage
from support.hostile.tables import DEEP_ROW

GOOD = b"u1\tREF\t\tthe man\nu1\t1\t-3.0\tthe man\nu1\t2\t-4.0\tthe men\n"  # an n-best list
KEEP = "-o out -m {unigram} --max-perplexity 900 --workers 1"
RESCORE = "rescore -m {unigram} --tune n.tsv"
BEGUN = {"what": "filter", "identity": {},
         "layout": {"groups": ["kept"], "kept": ["kept"], "has_folders": False}}  # fmt: skip
JOURNAL = folder(**{"filter.jsonl": json.dumps(BEGUN).encode() + b"\n"})

REFUSED = [
    usage("filter: standard input", f"filter - {KEEP}", "standard input cannot be filtered"),
    usage("filter: a data set of the hub", f"filter hf:a/b {KEEP}", "hf:a/b: texts of data sets"),
    usage("filter: what was begun otherwise", f"filter f.txt {KEEP} --resume",
          "out was begun with other models or options", {"f.txt": b"the man\n", "out": JOURNAL}),
    Bad("tag: comments alone", "tag -m {tagger} --input f --input-format conllu",
        "no sentences in f", {"f": b"# text = go\n\n"}),
    Bad("tag: nothing on stdin", "tag -m {tagger}", "no sentences in standard input"),
    Bad("tag: bad in the middle, to a file", "tag -m {tagger} --input f --input-format columns -o out",
        "f, line 5: 1 column", {"f": b"go O\nto O\noslo O\n\ngo\n"}),
    Bad("tag: a directory", "tag -m {tagger} --input .", ". is a directory"),
    Bad("tag: an empty sentence", "tag -m {tagger} 'go' ' '", "sentence 2 has no words"),
    usage("tag: no model", "tag go", "no model is named"),
    usage("tag: a sentence and a file", "tag -m {tagger} go --input f", "give either sentences or"),
    Bad("classify: nothing", "classify -m {classifier} --input f", "no texts in f", {"f": b""}),
    Bad("classify: an empty text", "classify -m {classifier} ''", "text 1 has no words"),
    Bad("classify: a column of lines", "classify -m {classifier} --input f --column c",
        "f does not have a table suffix", {"f": b"go\n"}),
    Bad("translate: nothing on stdin", "translate -m {translator}", "no lines in standard input"),
    Bad("translate: bad in the middle, to a file", "translate -m {translator} --input f -o out",
        "f, line 2, byte 1: not UTF-8", {"f": b"the\n\xff\n"}),
    usage("translate: a line and a file", "translate -m {translator} the --input f",
          "give lines or --input"),
    Bad("translate: no tokenizers", "translate -m m the", "the model at m is damaged",
        {"m": model("translator", edited("pairs.json", lambda data: b"{}"))}),
    Bad("n-best: a nest of arrays", RESCORE, "n.tsv, line 1: not JSON", {"n.tsv": DEEP_ROW}),
    Bad("n-best: references that are missing", f"{RESCORE} --ref r", "cannot read r",
        {"n.tsv": GOOD}),
    Bad("n-best: a score times a factor without end",
        "rescore -m {unigram} --tune n --scores '1e308*s'", "n/s, line 1: the score is inf",
        {"n": folder(text=b"u1-1 a\n", s=b"u1-1 100\n", ref=b"u1 a\n")}),
    Bad("weights: missing", "rescore -m {unigram} --apply {nbest} --weights w.json",
        "cannot read w.json"),
    Bad("weights: without end", "rescore -m {unigram} --apply {nbest} --weights /dev/zero",
        "/dev/zero holds no weights"),
    Bad("vectors: a width of 9 digits", f"train {{text}} --model lstm {TINY} --embeddings v -o out",
        "v, line 1: vectors of width 999999999", {"v": b"1 999999999\nthe 1\n"}, code=2),
    Bad("vectors: 10^18", f"train {{text}} --model lstm {TINY} --embeddings v -o out",
        "v is cut off", {"v": b"999999999999999999 8\nthe 1 2 3 4 5 6 7 8\n"}),
    Bad("vectors: no word is frequent enough", "vectors t --method svd --min-count 99 -o v.txt",
        "too little text in t", {"t": b"the man\n"}),
    Bad("embed: not UTF-8", "embed -m {lstm} --input bad.txt --output v.npy",
        "bad.txt, line 1: not UTF-8 (byte 1 is 0xff)", {"bad.txt": b"\xff\n"}),
    Bad("vocabulary: missing", "prune -m {ngram} -o out --vocab words", "cannot read words"),
    Bad("vocabulary: empty", "prune -m {ngram} -o out --vocab words",
        "words has no word that is in the model", {"words": b""}),
    Bad("vocabulary: other words", "prune -m {ngram} -o out --vocab words",
        "words has no word that is in the model", {"words": b"word,count\nzorp,3\n"}),
    Bad("vocabulary: invalid UTF-8", "prune -m {ngram} -o out --vocab words",
        "words, line 1, byte 1: not UTF-8", {"words": b"\xff\n"}),
    Bad("a prompt with a newline", "generate -m {unigram} 'a\nb'", "a line holds a newline"),
    Bad("a prompt that is not UTF-8", "generate -m {unigram} 'a\udcff'",
        "a beginning is not UTF-8"),
    usage("inspect: no such look", "inspect gadgets",
          "there is nothing to inspect called 'gadgets'"),
    Bad("inspect: gates of a boundary", "inspect gates -m {lstm} 'a </s> b'",
        "the sentence: the text holds </s>"),
    Bad("inspect: a cloze test that is empty", "inspect cloze c.tsv -m {lstm}", "c.tsv",
        {"c.tsv": b""}),
    Bad("inspect: a lesson that is not there", "inspect step s.toml", "no such file: s.toml"),
    *(Bad(f"inspect: a lesson that is {what}", f"inspect step {name}", said, {name: content})
      for what, name, said, content in (
          ("empty", "s.toml", "s.toml has no words", b""),
          ("no TOML", "s.toml", "s.toml is not TOML", b"U = [[1\n"),
          ("nested tables", "s.toml", "s.toml is not TOML", b"a = " + b"[" * 100_000),
          ("NaN", "s.json", "s.json is not JSON", b'{"U": NaN}'),
          ("a list", "s.json", "s.json is not JSON", b"[1, 2]"),
          ("nested lists", "s.json", "s.json is not JSON", b"[" * 100_000),
          ("a folder", "s.toml", "cannot read s.toml", folder(a=b"")),
          ("large", "s.toml", "cannot read s.toml", b"#" * (1 << 21)))),
]  # fmt: skip
ODD = [
    fine("filter: rows without words", f"filter f.jsonl {KEEP} --json",
         {"f.jsonl": b'{"text": null}\n\n{"text": " \\n"}\n'}),
    fine("tag: reserved symbols", "tag -m {tagger} '<s> </s> <unk> <pad>'"),
    fine("translate: reserved symbols", "translate -m {translator} '<s> </s> <unk> <pad>'"),
    fine("translate: a beam wider than the vocabulary",
         "translate -m {translator} the --beam 500 --max-length 0.1"),
]  # fmt: skip

# ---- Terminal escapes, in texts, words, names of files and models: one command a kind of output.

ESC = "\x1b]0;owned\x07\x1b[31m"
EVIL = f"the {ESC} man \x9b2J \u202eevil \x08\x7f\n".encode() * 30
NAME = "t\x1b]31m\u202e\x9b2J.txt"
NBEST = GOOD.replace(b"u1", f"u{ESC}".encode()).replace(b"men", f"men {ESC}".encode())


def evil_training(content) -> None:
    """Put terminal escapes wherever a model describes its training."""
    content["training"].update(
        text=[ESC], recipe=ESC, validation=ESC, command=ESC, train_data=ESC, data=ESC
    )
    for result in content["results"].values():
        result["signature"] = ESC
    content["results"][ESC] = dict(next(iter(content["results"].values()), {"signature": ESC}))


def evil_words(path: Path, models) -> None:
    """Train an n-gram model whose words are terminal escapes."""
    from rnnlm.cli.main import run

    text = path.parent / "evil.txt"
    text.write_bytes(EVIL)
    given = ["train", str(text), "--model", "ngram", "--order", "2", "-o", str(path)]
    assert run(given) == 0


STORY, WORDS = {"m": model("lstm", config(evil_training))}, {"m": evil_words}
ESCAPES = [
    fine("text: train", f"train '{NAME}' --valid '{NAME}' --model lstm {TINY} -o 'm\x1b[31m'",
         {NAME: EVIL}),
    fine("text: eval, JSON", f"eval -m {{unigram}} '{NAME}' --json", {NAME: EVIL}),
    fine("text: score", f"score -m {{unigram}} '{ESC}' 'the \x9b2J' --tokens --words --next 3"),
    fine("text: score, TSV", f"score -m {{unigram}} 'the {ESC}' -o s.tsv --words"),
    fine("text: count", "count text --order 2", {"text": EVIL.replace("\u202e".encode(), b"")}),
    fine("text: compare", "compare {unigram} {ngram} --on t --resamples 20",
         {"t": EVIL + b"the <script>alert(1)</script> man\n" * 9}),
    fine("text: mix", f"mix {{lstm}} {{ngram}} --on '{NAME}' -o out", {NAME: EVIL}),
    fine("words: generate", "generate -m m --beam 3 --num 2", WORDS),
    fine("words: info", "info m", WORDS),
    fine("words: ARPA", "export -m m --arpa out.arpa", WORDS),
    fine("n-best", f"{RESCORE} --nbest-output out.tsv --output out.txt", {"n.tsv": NBEST}),
    fine("a model's own story: info", "info m", STORY),
    fine("a model's own story: doctor", "doctor m", STORY),
    fine("a model's own story: report", "report m", STORY),
    fine("labels", "tag -m m 'go to oslo'",
         {"m": model("tagger", edited("labels.json", lambda data: data.replace(
             b"place", b"\\u001b[31m\\u202e")))}),
    fine("a translation", f"translate -m {{translator}} '{ESC}' --nbest 2"),
    fine("a lesson", "inspect step s.toml",
         {"s.toml": b'words = "\\u001b]0;x\\u0007 b"\nU = [[1], [2]]\nW = [[1]]\nV = [[1, 2]]\n'}),
    fine("recipes", "list recipes"),
    Bad("file name", f"eval -m {{unigram}} '{NAME}'", "no such file: t\\x1b]31m"),
    Bad("file name, with a line end", "eval -m {unigram} 'a\nerror: b'",
        "no such file: a\\nerror: b"),
    Bad("output", f"count {{text}} -o 'no/{NAME}'", "cannot write no/t\\x1b]31m"),
    Bad("columns of a table", "eval -m {unigram} t.jsonl", "t.jsonl, line 1: which column",
        {"t.jsonl": json.dumps({ESC: 1, "b": 2}).encode()}),
]  # fmt: skip
ROWS = [*REFUSED, *ODD, *ESCAPES]
