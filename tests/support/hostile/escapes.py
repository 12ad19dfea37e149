"""Terminal escapes in texts, words, names of files and models: what is shown holds none, in errors
and where all goes well."""

import json
from pathlib import Path

from support.hostile.cases import TINY, Bad, config, fine, model

ESC = "\x1b]0;owned\x07\x1b[31m"
EVIL = f"the {ESC} man \x9b2J \u202eevil \x08\x7f\n".encode() * 30
NAME = "t\x1b]31m\u202e\x9b2J.txt"
PAIRS = (
    json.dumps({"good": f"the {ESC} man", "bad": "the men", "UID": f"k{ESC}", "id": ESC}).encode()
    + b"\n"
)
NBEST = (
    f"u{ESC}\tREF\t\tthe man\nu{ESC}\t1\t-3.0\tthe man {ESC}\nu{ESC}\t2\t-4.0\tthe men\n".encode()
)


def evil_training(content) -> None:
    """Put terminal escapes wherever a model describes its training."""
    content["training"].update(
        text=[ESC], recipe=ESC, validation=ESC, command=ESC, train_data=ESC, data=ESC
    )
    for result in content["results"].values():
        result["signature"] = ESC
    content["results"][ESC] = dict(next(iter(content["results"].values()), {"signature": ESC}))


SCRIPT = b"the <script>alert(1)</script> man\n" * 9
EVIL_MODEL = model("lstm", config(evil_training))


def evil_words(path: Path, models) -> None:
    """Train an n-gram model whose words are terminal escapes."""
    from rnnlm.cli.main import run

    (path.parent / "evil.txt").write_bytes(EVIL)
    assert (
        run(
            [
                "train",
                str(path.parent / "evil.txt"),
                "--model",
                "ngram",
                "--order",
                "2",
                "-o",
                str(path),
            ]
        )
        == 0
    )


ROWS = [
    fine("text: train", f"train '{NAME}' --model unigram -o out", {NAME: EVIL}),
    fine(
        "text: train a network",
        f"train '{NAME}' --valid '{NAME}' --test '{NAME}' --model lstm {TINY} -o out",
        {NAME: EVIL},
    ),
    fine("text: dry run", f"train '{NAME}' --model lstm --dry-run -o 'm\x1b[31m'", {NAME: EVIL}),
    fine("text: eval", f"eval -m {{unigram}} '{NAME}'", {NAME: EVIL}),
    fine("text: eval, JSON", f"eval -m {{unigram}} '{NAME}' --json", {NAME: EVIL}),
    fine("text: score", f"score -m {{unigram}} '{ESC}' 'the \x9b2J'"),
    fine("text: score, tokens", f"score -m {{unigram}} '{ESC}' --tokens --words --next 3"),
    fine("text: score, TSV", f"score -m {{unigram}} 'the {ESC}' -o s.tsv --words"),
    fine("text: score, JSON-lines", f"score -m {{unigram}} '{ESC}' --json --tokens"),
    fine("text: score, given", f"score -m {{unigram}} 'the man' --given '{ESC}'"),
    fine("text: count", "count text --order 2", {"text": EVIL.replace("\u202e".encode(), b"")}),
    fine(
        "text: compare",
        "compare {unigram} {ngram} --on text --train text --resamples 20 --report out.html",
        {"text": EVIL},
    ),
    fine(
        "text: compare, JSON",
        "compare {unigram} {ngram} --on text --resamples 20 --json",
        {"text": EVIL},
    ),
    fine(
        "text: tune",
        f"tune -m m+unigram --on '{NAME}' --tokens 40",
        {NAME: EVIL, "m": model("unigram")},
    ),
    fine("text: mix", f"mix {{lstm}} {{ngram}} --on '{NAME}' -o out", {NAME: EVIL}),
    fine("words: generate", "generate -m m --num 3", {"m": evil_words}),
    fine(
        "words: generate, running",
        "generate -m m --num 2 --running --max-tokens 20",
        {"m": evil_words},
    ),
    fine("words: generate, beam", "generate -m m --beam 3 --num 2", {"m": evil_words}),
    fine("words: generate, JSON", "generate -m m --json", {"m": evil_words}),
    fine("words: generate, prompt", f"generate -m {{unigram}} '{ESC}'"),
    fine("words: info", "info m", {"m": evil_words}),
    fine("words: doctor", "doctor m", {"m": evil_words}),
    fine("words: score", "score -m m the --next 5 --words", {"m": evil_words}),
    fine("words: prune", "prune -m m --max-order 1 -o out", {"m": evil_words}),
    fine("words: ARPA", "export -m m --arpa out.arpa", {"m": evil_words}),
    fine("pairs", "score -m {unigram} --pairs p.jsonl -o out.jsonl", {"p.jsonl": PAIRS}),
    fine(
        "n-best",
        "rescore -m {unigram} --tune n.tsv --nbest-output out.tsv --output out.txt",
        {"n.tsv": NBEST},
    ),
    fine("n-best, JSON", "rescore -m {unigram} --tune n.tsv --json", {"n.tsv": NBEST}),
    fine("a model's own story: info", "info m", {"m": EVIL_MODEL}),
    fine("a model's own story: info, JSON", "info m --json", {"m": EVIL_MODEL}),
    fine("a model's own story: doctor", "doctor m", {"m": EVIL_MODEL}),
    fine("a model's own story: report", "report m", {"m": EVIL_MODEL}),
    fine("a model's own story: export", "export -m m --vectors out", {"m": EVIL_MODEL}),
    fine(
        "a script in a text: compare",
        "compare {unigram} {ngram} --on text --resamples 20 --report out.html",
        {"text": SCRIPT},
    ),
    fine("recipes", "list recipes"),
    fine("corpora", "list corpora"),
    Bad("file name", f"eval -m {{unigram}} '{NAME}'", "no such file: t\\x1b]31m"),
    Bad(
        "file name, with a line end",
        "eval -m {unigram} 'a\nerror: b'",
        "no such file: a\\nerror: b",
    ),
    Bad(
        "file name in a note of its content",
        f"eval -m {{unigram}} '{NAME}'",
        "t\\x1b]31m",
        {NAME: b"\xff"},
    ),
    Bad("output", f"count {{text}} -o 'no/{NAME}'", "cannot write no/t\\x1b]31m"),
    Bad(
        "column",
        f"eval -m {{unigram}} t.csv --column '{ESC}'",
        "t.csv, line 2: no column '\\x1b]0;",
        {"t.csv": b"a\nb\n"},
    ),
    Bad(
        "columns of a table",
        "eval -m {unigram} t.jsonl",
        "t.jsonl, line 1: which column",
        {"t.jsonl": json.dumps({ESC: 1, "b": 2}).encode()},
    ),
    Bad(
        "utterance",
        "rescore -m {unigram} --tune n.tsv",
        "n.tsv, line 2: utterance",
        {"n.tsv": f"{ESC}\t1\t1\ta\n{ESC}\t1\t1\ta\n".encode()},
    ),
    Bad("banned word", f"generate -m {{unigram}} --ban '{ESC} a'", "'\\x1b]0;", code=2),
]
