"""`rnnlm doctor`: the checks of scores beside those of files."""

import pytest

from rnnlm.tools.scorers.scorer_checks import CHECKS
from support.failures import checked_error


@pytest.fixture
def bigram(rnnlm, here, corpus_lines):
    (here / "train.txt").write_text("\n".join(corpus_lines[:100]) + "\n", encoding="utf-8")
    assert rnnlm("train", "train.txt", "--model", "ngram", "--order", "2", "-o", "bigram").code == 0
    return here / "bigram"


def test_a_healthy_model_passes_every_check(rnnlm, bigram):
    rows = [line.split("\t") for line in rnnlm("doctor", bigram).out.splitlines()[1:]]
    of_files = ["config", "files", "arrays", "numbers", "tables", "sums"]
    assert [row[0] for row in rows] == [*of_files, *CHECKS]
    assert {row[1] for row in rows[:-1]} == {"ok"}
    assert rows[-1][1] == "not checked"  # its words are in lower case: their bytes are not known
    refused = rnnlm("doctor", bigram, "--path", ".")
    checked_error(refused, 2, "--path: this is not for models")


def test_a_model_that_adapts_is_checked_beside_the_one_that_it_adapts(rnnlm, bigram):
    checks = rnnlm("doctor", f"{bigram}+unigram", "--json").json["checks"]
    names = [check["name"] for check in checks]
    assert names[-2 * len(CHECKS) :] == [*CHECKS, *(f"+unigram {name}" for name in CHECKS)]
    unknown = {check["name"] for check in checks if check["result"] != "ok"}
    assert unknown == {"bits per byte", "+unigram bits per byte"}
