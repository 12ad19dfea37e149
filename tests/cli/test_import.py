import pytest

from support.arpa_files import GOLDEN, SMALL
from support.failures import checked_error

ARPA = GOLDEN / "g2-order3-prune.arpa.gz"


@pytest.fixture
def imported(rnnlm):
    ended = rnnlm("import", ARPA, "-o", "tri")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.splitlines() == [
        "an n-gram model of order 3, V = 2,527; n-grams by order: 2,528, 12,756, 1,149",
        "saved in tri",
    ]  # fmt: skip
    return "tri"


def test_all_commands_work_on_an_imported_model(rnnlm, imported, here):
    (here / "text.txt").write_text("a cat sat on the table\nthe man said that\n")
    assert rnnlm("eval", "-m", imported, "text.txt", "--json").json["tokens"] == 12
    assert len(rnnlm("score", "-m", imported, "the man said", "--json").json) > 0
    assert len(rnnlm("generate", "-m", imported, "--num", 2, "--seed", 1).out.splitlines()) == 2
    assert rnnlm("info", "-m", imported, "--json").json["vocabulary_size"] == 2527
    exported = rnnlm("export", "-m", imported, "--arpa", "-").out
    assert "\nngram 3=1149\n" in exported


def test_a_file_comes_from_standard_input(rnnlm):
    assert rnnlm("import", "-", "-o", "model", stdin=SMALL.encode()).code == 0
    assert rnnlm("info", "model", "--json").json["training"]["imported_from"] == "-"


def test_positive_log_probabilities_are_read_when_asked(rnnlm, here):
    (here / "m.arpa").write_text(SMALL.replace("-0.1\ta b", "0.1\ta b"))
    refused = rnnlm("import", "m.arpa", "-o", "model")
    assert refused.code == 1 and refused.err.count("\n") == 1
    assert "line 15: a positive log-probability; --allow-positive reads it as 0" in refused.err
    assert rnnlm("import", "m.arpa", "-o", "model", "--allow-positive").code == 0


def test_conflicting_tokenizer_options_are_refused(rnnlm, imported):
    checked_error(
        rnnlm("import", ARPA, "-o", "m", "--tokenizer-from", imported, "--lowercase"),
        2,
        "--tokenizer-from determines the tokenizer",
    )
