"""Lines to be translated, and the models that are to do it."""

from support.hostile.cases import Bad, copy, edited, fine, model, usage

ESC = "\x1b]0;owned\x07\x1b[31m"
EVIL = f"the {ESC} \x9b2J \u202e\n".encode()
WITH = "translate -m {translator}"

ROWS = [
    Bad("translate: a missing file", f"{WITH} --input none", "cannot read none"),
    Bad("translate: a directory", f"{WITH} --input .", ". is a directory"),
    Bad("translate: nothing on stdin", WITH, "no lines in standard input"),
    Bad("translate: bad UTF-8", f"{WITH} --input f", "f, line 1, byte 5: not UTF-8", {"f": b"the \xff\n"}),
    Bad("translate: bad UTF-8 in a conversation", f"{WITH} --interactive", "-, line 1, byte 1: not UTF-8", stdin=b"\xff\n"),
    Bad("translate: an empty line", f"{WITH} the ''", "line 2 has no words"),
    Bad("translate: a file that is there", f"{WITH} the -o f", "f already exists", {"f": b"mine"}),
    Bad("translate: a plot that is there", f"{WITH} the --attention-plot f.svg", "f.svg already exists", {"f.svg": b"mine"}),
    Bad("translate: bad in the middle, to a file", f"{WITH} --input f -o out", "f, line 2, byte 1: not UTF-8", {"f": b"the\n\xff\n"}),
    Bad("translate: no such column", f"{WITH} --input f.csv --column c", "f.csv, line 2: no column 'c'", {"f.csv": b"a,b\n1,2\n"}),
    Bad("translate: a column of lines", f"{WITH} --input f --column c", "f does not have a table suffix", {"f": b"the\n"}),
    Bad("translate: no text", f"{WITH} --input f.jsonl", "f.jsonl, line 1: column 'source' holds", {"f.jsonl": b'{"source": [1]}\n'}),
    Bad("translate: a cell too many", f"{WITH} --input f.tsv", "f.tsv, line 2: the row has more", {"f.tsv": b"source\na\tb\n"}),
    Bad("translate: damaged tokenizers", "translate -m m the", "the model at m is damaged",
        {"m": model("translator", edited("pairs.json", lambda data: b"{}"))}),
    Bad("translate: no tokenizers", "translate -m m the", "the model at m is damaged",
        {"m": model("translator", lambda folder: (folder / "pairs.json").unlink())}),
    usage("translate: a language model", "translate -m m the", "m is a language model", {"m": copy("lstm")}),
    usage("translate: n-grams", "translate -m m the", "m is a language model", {"m": copy("ngram")}),
    usage("translate: a tagger", "translate -m m the", "m is a tagger of words", {"m": copy("tagger")}),
    usage("tag: an encoder-decoder", "tag -m m the", "m is an encoder-decoder", {"m": copy("translator")}),
    usage("generate: an encoder-decoder", "generate -m m", "m is not a language model", {"m": copy("translator")}),
    usage("translate: no model", "translate the", "which model?"),
    usage("translate: a line and a file", f"{WITH} the --input f", "give lines or --input"),
    usage("translate: over its input", f"{WITH} --input f -o f --overwrite", "f is also an input", {"f": b"the"}),
    usage("translate: a small beam", f"{WITH} the --nbest 3 --beam 2", "a beam of 2 holds fewer than 3 lines"),
    usage("translate: no seed", f"{WITH} the --seed 99999999999999999999", "seed = 99999999999999999999 is not valid"),
    usage("translate: no picture", f"{WITH} the --attention-plot f.gif", "f.gif does not have a plot suffix"),
    fine("translate: escapes, JSON", f"{WITH} '{ESC}' --json --attention --nbest 2"),
    fine("translate: escapes, a table", f"{WITH} '{ESC}' --nbest 2 --unknown"),
    fine("translate: no words to draw", f"{WITH} --input f --attention-plot a.svg", {"f": b" \n"}),
    fine("translate: escapes, to a file", f"{WITH} --input f -o out --copy-unknown", {"f": EVIL}),
    fine("translate: a very long word", f"{WITH} --input f -o out", {"f": b"a" * 100_000 + b" b\n"}),
    fine("translate: a very long line", f"{WITH} --input f -o out --max-length 0.1", {"f": b"the " * 1_000}),
    fine("translate: reserved symbols", f"{WITH} '<s> </s> <unk> <pad>'"),
    fine("translate: bad UTF-8, replaced", f"{WITH} --input f --encoding-errors replace", {"f": b"the \xff\n"}),
    fine("translate: a beam wider than the vocabulary", f"{WITH} the --beam 500 --max-length 0.1"),
]  # fmt: skip
