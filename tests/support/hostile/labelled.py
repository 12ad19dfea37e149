"""Sentences to be tagged and texts to be classified, and the models that are to do it."""

from support.hostile.cases import Bad, copy, edited, fine, model, usage

ESC = "\x1b]0;owned\x07\x1b[31m"
CONLLU = b"# text = Go\n1\tGo\t_\t_\t_\t_\t_\t_\t_\t_\n\n"
COLUMNS = b"go O\nto O\noslo O\n\n"
EVIL = f"go {ESC} \x9b2J \u202e\n".encode()

FILES = {
    "bad UTF-8": ("text", b"go\nto \xff\n", "text, line 2, byte 4: not UTF-8"),
    "UTF-16": ("text", "go".encode("utf-16"), "f is in UTF-16, not in UTF-8"),
    "nothing": ("text", b"", "no sentences in f"),
    "blank lines": ("text", b"\n \n\t\n", "no sentences in f"),
    "nine columns": ("conllu", CONLLU.replace(b"\t_\n", b"\n"), "f, line 2: 9 columns, not 10"),
    "comments alone": ("conllu", b"# text = go\n\n", "no sentences in f"),
    "a column too many": ("columns", COLUMNS.replace(b"to O", b"to O O"), "f, line 2: 3 columns"),
    "no JSON": ("jsonl", b"go\n", "f, line 1: not JSON"),
    "no words": ("jsonl", b'{"words": []}\n', "f, line 1: no words"),
    "words that are numbers": ("jsonl", b'{"words": [1.5]}\n', "f, line 1: column 'words' holds"),
    "a cell too many": (
        "tsv",
        b"text\tid\ngo\t1\t2\n",
        "f, line 2: the row has more cells than columns",
    ),
}

ROWS = [
    Bad(
        f"tag: {name}",
        f"tag -m {{tagger}} --input f --input-format {form}",
        what.replace("text, line", "f, line"),
        {"f": content},
    )
    for name, (form, content, what) in FILES.items()
]
ROWS += [
    Bad("tag: a missing file", "tag -m {tagger} --input none", "no such file: none"),
    Bad("tag: a directory", "tag -m {tagger} --input .", ". is a directory"),
    Bad("tag: nothing on stdin", "tag -m {tagger}", "no sentences in standard input"),
    Bad("tag: an empty sentence", "tag -m {tagger} 'go' ' '", "sentence 2 has no words"),
    Bad("tag: a file that is there", "tag -m {tagger} go -o f", "f already exists", {"f": b"mine"}),
    Bad("tag: bad in the middle, to a file", "tag -m {tagger} --input f --input-format columns -o out",
        "f, line 5: 1 column",
        {"f": COLUMNS + b"go\n"}),
    Bad("tag: damaged labels", "tag -m m go", "the model at m is damaged",
        {"m": model("tagger", edited("labels.json", lambda data: b"{}"))}),
    usage("tag: a language model", "tag -m m go", "m is a language model", {"m": copy("lstm")}),
    usage("tag: n-grams", "tag -m m go", "m is a language model", {"m": copy("ngram")}),
    usage("tag: a classifier", "tag -m m go", "m is a classifier of texts",
          {"m": copy("classifier")}),
    usage("tag: no model", "tag go", "no model is named"),
    usage("tag: a sentence and a file", "tag -m {tagger} go --input f",
          "give either sentences or --input"),
    usage("tag: over its input", "tag -m {tagger} --input f -o f --overwrite", "f is also an input",
          {"f": b"go"}),
    usage("tag: a small beam", "tag -m {tagger} go --nbest 3 --beam 2",
          "a beam of 2 holds fewer than 3 label sequences"),
    usage("classify: a tagger", "classify -m m go", "m is a tagger of words",
          {"m": copy("tagger")}),
    usage("classify: a mixture", "classify -m m go", "m is a language model",
          {"m": copy("mixture")}),
    Bad("classify: bad UTF-8", "classify -m {classifier} --input f", "f, line 1, byte 1: not UTF-8",
        {"f": b"\xff\n"}),
    Bad("classify: nothing", "classify -m {classifier} --input f", "no texts in f", {"f": b""}),
    Bad("classify: no such column", "classify -m {classifier} --input f.csv --column c",
        "f.csv, line 2: no column 'c'",
        {"f.csv": b"a,b\n1,2\n"}),
    Bad("classify: a column of lines", "classify -m {classifier} --input f --column c",
        "f does not have a table suffix", {"f": b"go\n"}),
    Bad("classify: no Parquet", "classify -m {classifier} --input f.parquet",
        "cannot read f.parquet", {"f.parquet": b"go"}),
    Bad("classify: an empty text", "classify -m {classifier} ''", "text 1 has no words"),
    fine("tag: escapes", f"tag -m {{tagger}} '{ESC}' --nbest 2"),
    fine("tag: escapes, JSON", f"tag -m {{tagger}} '{ESC}' --json --probabilities"),
    fine("tag: escapes, to a file", "tag -m {tagger} --input f -o out", {"f": EVIL}),
    fine("tag: a very long word", "tag -m {tagger} --input f -o out",
         {"f": b"a" * 100_000 + b" b\n"}),
    fine("tag: a very long sentence", "tag -m {tagger} --input f -o out", {"f": b"a " * 1_000}),
    fine("tag: reserved symbols", "tag -m {tagger} '<s> </s> <unk> <pad>'"),
    fine("tag: bad UTF-8, replaced", "tag -m {tagger} --input f --encoding-errors replace",
         {"f": b"go \xff\n"}),
    fine("classify: escapes", f"classify -m {{classifier}} '{ESC}' --top 2"),
    fine("classify: a very long word", "classify -m {classifier} --input f -o out",
         {"f": b"a" * 100_000 + b"\n\n"}),
    fine("a tagger's own story: labels", "tag -m m 'go to oslo'",
        {"m": model("tagger",
                    edited("labels.json",
                           lambda data: data.replace(b"place", b"\\u001b[31m\\u202e")))}),
]  # fmt: skip
