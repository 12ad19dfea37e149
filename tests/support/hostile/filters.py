"""Shards for `rnnlm filter`, and what it goes on with: damaged, contradicting, leading elsewhere."""

import json

from support.hostile.cases import Bad, Maker, copy, fine, folder, repeated, usage

ESC = "\x1b]0;owned\x07\x1b[31m"
KEEP = "-o out -m {unigram} --max-perplexity 900 --workers 1"
BEGUN = {
    "what": "filter",
    "identity": {},
    "layout": {"groups": ["kept"], "kept": ["kept"], "has_folders": False},
}


def journal(*entries: object) -> Maker:
    """Make a folder with such a journal."""
    lines = [json.dumps(entry) for entry in entries]
    return folder(**{"filter.jsonl": ("\n".join(lines) + "\n").encode()})


SHARDS = {
    "no JSON": (b"the man\n", "f.jsonl, line 1: not JSON"),
    "an array": (b'[{"text": "a"}]\n', "f.jsonl, line 1: not a JSON object"),
    "a nest of arrays": (b'{"text": "a", "x": ' + b"[" * 100_000 + b"\n",
                         "f.jsonl, line 1: not JSON"),
    "no column": (b'{"a": "b", "c": "d"}\n', "f.jsonl, line 1: which column holds the text?"),
    "a column that goes": (b'{"text": "a"}\n{"texts": "b"}\n', "f.jsonl, line 2: no column 'text'"),
    "a number": (b'{"text": 3}\n', "f.jsonl, line 1: column 'text' holds an int, not text"),
    "half a surrogate pair": (b'{"text": "\\udc00"}\n', "f.jsonl, line 1: not JSON"),
    "bad UTF-8": (b'{"text": "\xff"}\n', "f.jsonl, line 1, byte 11: not UTF-8"),
    "UTF-16": ('{"text": "a"}\n'.encode("utf-16"), "f.jsonl is in UTF-16, not in UTF-8"),
    "a perplexity already": (b'{"text": "a", "perplexity": 1}\n',
                             "f.jsonl, line 1: there is a column 'perplexity' already"),
    "the perplexity as text": (b'{"perplexity": "a"}\n',
                               "f.jsonl, line 1: there is a column 'perplexity' already"),
}  # fmt: skip

ROWS = [
    Bad(f"filter: {name}", f"filter f.jsonl {KEEP}", what, {"f.jsonl": content}, keeps=False)
    for name, (content, what) in SHARDS.items()
]
ROWS += [
    Bad("filter: a missing file", f"filter gone.jsonl {KEEP}", "no such file: gone.jsonl"),
    Bad("filter: no match", f"filter 'gone*.jsonl' {KEEP}", "no file matches gone*.jsonl"),
    Bad("filter: a folder", f"filter . {KEEP}", ". is a directory"),
    Bad("filter: no Parquet", f"filter f.parquet {KEEP}", "cannot read", {"f.parquet": b"PAR1x"},
        keeps=False),
    Bad("filter: truncated gzip", f"filter f.txt.gz {KEEP}", "cannot read",
        {"f.txt.gz": repeated(b"the man\n" * 99, 1, ".gz")[:-9]}, keeps=False),
    Bad("filter: a line without end", f"filter f.jsonl.gz {KEEP}", "f.jsonl.gz, line 1: longer",
        {"f.jsonl.gz": repeated(b"a" * (1 << 20), 200, ".gz")}, keeps=False),
    Bad("filter: reserved words, not allowed", f"filter f.txt {KEEP} --special-symbols error",
        "f.txt, from line 1: the text holds <s>", {"f.txt": b"the <s> man\n"}, keeps=False),
    Bad("filter: a folder that is full", f"filter f.txt {KEEP}", "out is not empty",
        {"f.txt": b"the man\n", "out": folder(mine=b"mine")}),
    Bad("filter: into a file", f"filter f.txt {KEEP}", "cannot write to out",
        {"f.txt": b"the man\n", "out": b"mine"}),
    Bad("filter: an empty reference", f"filter f.txt {KEEP} --reference e.txt", "no text in e.txt",
        {"f.txt": b"the man\n", "e.txt": b"\n"}, keeps=False),
    Bad("filter: no model", "filter f.txt -o out -m gone --max-perplexity 9", "no model at gone",
        {"f.txt": b"the man\n"}),
    Bad("filter: a journal without end", f"filter f.txt {KEEP} --resume", "out cannot be gone on",
        {"f.txt": b"the man\n", "out": folder(**{"filter.jsonl": b"{" * 100_000 + b"\n"})}),
    Bad("filter: a journal that leads elsewhere", f"filter f.txt {KEEP} --overwrite",
        "out cannot be gone on with",
        {"f.txt": b"the man\n", "mine": b"mine",
         "out": journal(BEGUN, {"what": "started", "shard": "../mine"})}),
    Bad("filter: a group that leads elsewhere", f"filter f.txt {KEEP} --overwrite",
        "out cannot be gone on with",
        {"f.txt": b"the man\n", "mine": b"mine",
         "out": journal({**BEGUN, "layout": {"groups": [".."], "kept": [".."],
                                             "has_folders": True}},
                        {"what": "started", "shard": "mine"})}),
    Bad("filter: counts of other groups", f"filter f.txt {KEEP} --resume",
        "out cannot be gone on with",
        {"f.txt": b"the man\n",
         "out": journal(BEGUN, {"what": "shard", "shard": "f.txt", "documents": [1], "words": [2],
                                "source_bytes": 8, "text_bytes": 8})}),
    usage("filter: what was begun otherwise", f"filter f.txt {KEEP} --resume",
          "out was begun with other models or options",
          {"f.txt": b"the man\n", "out": journal(BEGUN)}),
    usage("filter: standard input", f"filter - {KEEP}", "standard input cannot be filtered"),
    usage("filter: a data set of the hub", f"filter hf:a/b {KEEP}", "hf:a/b: texts of data sets"),
    usage("filter: CSV", f"filter f.csv {KEEP}", "f.csv: tables with a delimiter",
          {"f.csv": b"text\na\n"}),
    usage("filter: a tagger", "filter f.txt -o out -m m --max-perplexity 9",
          "m is not a language model", {"f.txt": b"the man\n", "m": copy("tagger")}),
    usage("filter: an encoder-decoder", "filter f.txt -o out -m {translator} --max-perplexity 9",
          "", {"f.txt": b"the man\n"}),
    usage("filter: languages by words", "filter f.txt -o out -m a={unigram} -m b={ngram}",
          "the model of a reads words", {"f.txt": b"the man\n"}),
    usage("filter: escapes in a language", f"filter f.txt -o out -m 'a/{ESC}={{unigram}}' -m b=c",
          "a language cannot be called", {"f.txt": b"the man\n"}),
    fine("filter: nothing", f"filter f.txt {KEEP}", {"f.txt": b""}),
    fine("filter: rows without words", f"filter f.jsonl {KEEP} --json",
         {"f.jsonl": b'{"text": null}\n\n{"text": " \\n"}\n'}),
    fine("filter: escapes", f"filter f.jsonl {KEEP} --column '{ESC}'",
         {"f.jsonl": json.dumps({ESC: f"the {ESC} man"}).encode()}),
    fine("filter: reserved words", f"filter f.txt {KEEP}", {"f.txt": b"<s> </s> <unk> <pad>\n"}),
    fine("filter: a very long word", f"filter f.txt {KEEP}", {"f.txt": b"a" * 1_000_000}),
    fine("filter: bad UTF-8, replaced", f"filter f.jsonl {KEEP} --encoding-errors replace",
         {"f.jsonl": b'{"text": "\xff"}\n'}),
]  # fmt: skip
