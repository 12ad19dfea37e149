"""ARPA files: cut off, contradicting themselves, claiming too much."""

import gzip

from support.hostile.cases import Bad, copy

SMALL = b"""\\data\\
ngram 1=4
ngram 2=2

\\1-grams:
-1\t<unk>
-99\t<s>\t-0.5
-0.6\ta\t-0.3
-0.7\t</s>

\\2-grams:
-0.2\t<s> a
-0.4\ta </s>

\\end\\
"""


def but(old: bytes, new: bytes) -> bytes:
    """Return the whole file with one thing changed."""
    assert SMALL.count(old) == 1, old
    return SMALL.replace(old, new)


FILES = {
    "empty": (b"", "a.arpa is not an ARPA file"),
    "a text": (b"the man\n", "a.arpa is not an ARPA file"),
    "a binary of KenLM": (b"mmap lm http://kheafield.com/code format version 5\n\0",
                          "a.arpa is a binary of KenLM, not an ARPA file"),
    "UTF-16": (SMALL.decode().encode("utf-16"), "a.arpa is in UTF-16, not in UTF-8"),
    "cut off in the header": (SMALL[:12], "a.arpa, line 2"),
    "cut off in the unigrams": (SMALL[:60], "a.arpa, line"),
    "cut off in the bigrams": (SMALL[:-25], "a.arpa, line"),
    "without end": (but(b"\\end\\\n", b""), "a.arpa, line"),
    "text after the end": (SMALL + b"more\n", "a.arpa, line 16: text after \\end\\"),
    "a count of 20 digits": (but(b"ngram 2=2", b"ngram 2=99999999999999999999"), "a.arpa, line"),
    "a count of 300 digits": (but(b"ngram 2=2", b"ngram 2=" + b"9" * 300),
                              "a.arpa, line 3: not understood"),
    "10^18 unigrams": (but(b"ngram 1=4", b"ngram 1=1000000000000000000"), "a.arpa, line"),
    "fewer than promised": (but(b"ngram 2=2", b"ngram 2=3"), "a.arpa, line"),
    "more than promised": (but(b"ngram 2=2", b"ngram 2=1"), "a.arpa, line 13: more 2-grams"),
    "a negative count": (but(b"ngram 2=2", b"ngram 2=-2"), "a.arpa, line 3: not understood"),
    "an order left out": (but(b"ngram 2=2", b"ngram 3=2"),
                          "a.arpa, line 3: the count of 2-grams is missing"),
    "order 999": (but(b"ngram 1=4\n",
                      b"".join(b"ngram %d=1\n" % n for n in range(1,
                          1000)))[:20000], "a.arpa, line"),
    "no unigrams": (but(b"ngram 1=4", b"ngram 1=0"), "a.arpa, line"),
    "NaN": (but(b"-0.6\ta", b"nan\ta"), "a.arpa, line 8: not a log-probability"),
    "a positive log-probability": (but(b"-0.6\ta", b"0.6\ta"),
                                   "a.arpa, line 8: a positive log-probability"),
    "1e400": (but(b"-0.6\ta", b"1e400\ta"), "a.arpa, line 8: a positive log-probability"),
    "no number": (but(b"-0.6\ta", b"x\ta"), "a.arpa, line 8: not a log-probability"),
    "an infinite backoff": (but(b"a\t-0.3", b"a\tinf"),
                            "a.arpa, line 8: an infinite backoff weight"),
    "a backoff of 1e39": (but(b"a\t-0.3", b"a\t1e39"),
                          "a.arpa, line 8: an infinite backoff weight"),
    "a word twice": (but(b"-0.7\t</s>", b"-0.6\ta"), "a.arpa, line 9: a duplicate word"),
    "<unk> twice": (but(b"-0.6\ta", b"-0.6\t<unk>"), "a.arpa, line 8: a duplicate word"),
    "a bigram twice": (but(b"-0.4\ta </s>", b"-0.4\t<s> a"), "a.arpa, line 13: a duplicate 2-gram"),
    "an unknown word": (but(b"-0.4\ta </s>", b"-0.4\tb </s>"), "a.arpa, line 13: an unknown word"),
    "terminal escapes in an unknown word": (but(b"-0.4\ta </s>", b"-0.4\t\x1b[31mb </s>"),
                                            "a.arpa, line 13: an unknown word"),
    "terminal escapes in a marker": (but(b"\\2-grams:", b"\\\x1b[2J"),
                                     "a.arpa, line 11: no \\2-grams: here"),
    "too many words": (but(b"-0.2\t<s> a", b"-0.2\t<s> a a a a"), "a.arpa, line 12: not a 2-gram"),
    "one word": (but(b"-0.2\t<s> a", b"-0.2\ta"), "a.arpa, line 12: not a 2-gram"),
    "a backoff after the highest order": (but(b"-0.2\t<s> a", b"-0.2\t<s> a\t-1"),
                                          "a.arpa, line 12: a backoff weight after a 2-gram"),
    "invalid UTF-8": (but(b"-0.6\ta", b"-0.6\t\xff"), "a.arpa, line 8: not UTF-8"),
    "sections in another order": (but(b"\\1-grams:", b"\\2-grams:").replace(b"\n\\2-grams:\n-0.2",
        b"\n\\1-grams:\n-0.2"),
        "a.arpa, line 5: no \\1-grams: here"),
    "intermediate ARPA of IRSTLM": (b"iARPA\n\n" + SMALL, "a.arpa is not an ARPA file"),
    "quantized ARPA of IRSTLM": (b"\nqARPA 2\n" + SMALL, "a.arpa is not an ARPA file"),
    "a table of IRSTLM": (b"blmtI 2 4 2\n\x01\x02\n", "a.arpa is a binary of IRSTLM"),
}  # fmt: skip

ROWS = [
    Bad(f"ARPA: {name}", "import a.arpa -o out", what, {"a.arpa": content})
    for name, (content, what) in FILES.items()
]
ROWS += [
    Bad("ARPA: missing", "import a.arpa -o out", "cannot read a.arpa"),
    Bad("ARPA: a directory", "import . -o out", ". is a directory"),
    Bad("ARPA: truncated gzip", "import a.arpa.gz -o out", "cannot read a.arpa.gz",
        {"a.arpa.gz": gzip.compress(SMALL)[:-9]}),
    Bad("ARPA: a bomb", "import a.arpa.gz -o out", "a.arpa.gz, line 1: longer than",
        {"a.arpa.gz": gzip.compress(b"a" * (1 << 20)) * 200}),
    Bad("ARPA: a bomb of unigrams", "import a.arpa.gz -o out", "a.arpa.gz, line",
        {"a.arpa.gz": gzip.compress(SMALL[:40]) + gzip.compress(b"-1\ta\n" * 200_000) * 3}),
    Bad("ARPA: over a model", "import a.arpa -o m --overwrite", "a.arpa is not an ARPA file",
        {"a.arpa": b"", "m": copy("ngram")}),
    Bad("ARPA: nothing on stdin", "import - -o out", "standard input is not an ARPA file"),
]  # fmt: skip
