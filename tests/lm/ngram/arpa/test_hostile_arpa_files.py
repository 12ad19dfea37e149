"""ARPA files: cut off, contradicting themselves, claiming too much."""

import gzip
import shutil

import pytest

from support.arpa_files import SMALL

pytestmark = pytest.mark.needs("tasks/labelling", "tasks/seq2seq", "tools/mixtures")

WHOLE = SMALL.encode()
FILES = {
    "empty": (b"", "a.arpa is not an ARPA file"),
    "a text": (b"the man\n", "a.arpa is not an ARPA file"),
    "UTF-16": (SMALL.encode("utf-16"), "a.arpa is in UTF-16, not in UTF-8"),
    "a binary of SRILM": (b"SRILM_BINARY_NGRAM_002\n\0", "a.arpa is an SRILM binary"),
    "intermediate ARPA of IRSTLM": (b"iARPA\n\n" + WHOLE, "a.arpa is not an ARPA file"),
    "quantized ARPA of IRSTLM": (b"\nqARPA 2\n" + WHOLE, "a.arpa is not an ARPA file"),
    "a table of IRSTLM": (b"blmtI 2 4 2\n\x01\x02\n", "a.arpa is an IRSTLM binary"),
    "cut off in the header": (WHOLE[:12], "a.arpa, line 2"),
    "cut off in the trigrams": (WHOLE[:-16], "a.arpa, line 19: not a 3-gram"),
    "cut off before a section": (WHOLE[: WHOLE.index(b"\\3-grams")],
                                 "a.arpa, line 17: the file is truncated within the 2-grams"),
    "without end": (WHOLE[:-6], "a.arpa, line"),
    "text after the end": (WHOLE + b"more\n", "a.arpa, line 22: text after \\end\\"),
    "a backoff after the highest order": (WHOLE.replace(b"<s> a b", b"<s> a b\t-1"),
                                          "a.arpa, line 19: a backoff weight after a 3-gram"),
}  # fmt: skip
ORDERS = b"".join(b"ngram %d=1\n" % order for order in range(1, 1000))
CHANGES = {  # what is replaced, by what, and what is said of which line
    "a count of 20 digits": (b"2=3", b"2=99999999999999999999", ""),
    "a count of 300 digits": (b"2=3", b"2=" + b"9" * 300, "3: not understood"),
    "a count in words": (b"2=3", b"2=three", "3: not understood"),
    "10^18 unigrams": (b"1=5", b"1=1000000000000000000", ""),
    "no unigrams": (b"1=5", b"1=0", ""),
    "fewer than promised": (b"2=3", b"2=4", ""),
    "more than promised": (b"2=3", b"2=2", "16: more 2-grams"),
    "an order left out": (b"ngram 2=3\n", b"", "3: the count of 2-grams is missing"),
    "order 999": (b"ngram 1=5\n", ORDERS, ""),
    "a section left out": (b"\\2-grams:\n", b"", "13: more 1-grams than the 5 that"),
    "sections in another order": (b"\\1-grams:", b"\\2-grams:", "6: no \\1-grams: here"),
    "escapes in a marker": (b"\\2-grams:", b"\\\x1b[2J", "13: no \\2-grams: here"),
    "NaN": (b"-0.6\ta", b"nan\ta", "10: not a log-probability"),
    "a positive log-probability": (b"-0.6\ta", b"0.6\ta", "10: a positive log-probability"),
    "an infinite probability": (b"-0.1\ta b", b"inf\ta b", "15: a positive log-probability"),
    "an infinite backoff": (b"a\t-0.3", b"a\tinf", "10: an infinite backoff weight"),
    "a backoff of 1e39": (b"a\t-0.3", b"a\t1e39", "10: an infinite backoff weight"),
    "a backoff of NaN": (b"\t0.05", b"\tNaN", "14: not a backoff weight"),
    "no number for a backoff": (b"a\t-0.3", b"a\tx", "10: not a backoff weight"),
    "a word twice": (b"-0.7\t</s>", b"-0.6\ta", "11: a duplicate word"),
    "<unk> twice": (b"-0.6\ta", b"-0.6\t<unk>", "10: a duplicate word"),
    "a bigram twice": (b"-0.1\ta b", b"-0.1\t<s> a", "15: a duplicate 2-gram"),
    "an unknown word": (b"-0.4\ta </s>", b"-0.4\tc </s>", "16: an unknown word"),
    "escapes in a word": (b"-0.4\ta </s>", b"-0.4\t\x1b[31mb </s>", "16: an unknown word"),
    "too many words": (b"-0.1\ta b", b"-0.1\ta b b b", "15: not a 2-gram"),
    "too few words": (b"-0.1\ta b", b"-0.1\ta", "15: not a 2-gram"),
    "invalid UTF-8": (b"-0.6\ta", b"-0.6\t\xff", "10, byte 6: not UTF-8"),
}
for name, (old, new, what) in CHANGES.items():
    assert WHOLE.count(old) == 1, name
    FILES[name] = (WHOLE.replace(old, new), f"a.arpa, line {what}")
FILES["cut-off gzip"] = (gzip.compress(WHOLE)[:-9], "cannot read a.arpa.gz")
ENDLESS = gzip.compress(b"a" * (1 << 20)) * 200
FILES["a line without end"] = (ENDLESS, "a.arpa.gz, line 1: longer than")
ENDLESS = gzip.compress(WHOLE[:60]) + gzip.compress(b"-1\ta\n" * 200_000) * 3
FILES["unigrams without end"] = (ENDLESS, "a.arpa.gz, line")


@pytest.mark.parametrize("content, what", FILES.values(), ids=FILES)
def test_a_damaged_file_is_refused_with_its_line(refused, here, content, what):
    name = "a.arpa.gz" if "a.arpa.gz" in what else "a.arpa"  # read only as far as it is one
    (here / name).write_bytes(content)
    refused(f"import {name} -o out", what)


def test_no_file_is_refused_and_a_wrong_one_replaces_no_model(refused, here, there):
    refused("import a.arpa -o out", "cannot read a.arpa")
    refused("import . -o out", ". is a directory")
    refused("import - -o out", "standard input is not an ARPA file")
    shutil.copytree(there["ngram"], here / "m")
    (here / "a.arpa").write_bytes(b"")
    refused("import a.arpa -o m --overwrite", "a.arpa is not an ARPA file")
