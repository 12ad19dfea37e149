"""README.md and docs/ show what their commands print: support/shown.py has the marks."""

import pytest

from support.shown import (
    FILES,
    PAGES,
    ROOT,
    Allowed,
    Block,
    blocks_of,
    differing_line,
    printed_by,
    renewed,
    says_the_same,
    written_files,
)

TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}
BLOCKS = {page: blocks_of(text) for page, text in TEXTS.items()}
QUICK = [
    pytest.param(block, id=f"{page}-{block.code.splitlines()[0]}")
    for page in PAGES
    for block in BLOCKS[page]
    if block.is_compared and not block.is_soak
]
SOAK = [page for page in PAGES if any(block.is_soak for block in BLOCKS[page])]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Work in a folder with the bundled corpora and the files that pages give, in which `demo` is
    the shipped model."""
    (tmp_path / "corpora").symlink_to(ROOT / "corpora")
    (tmp_path / "docs" / "pictures").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for text in TEXTS.values():
        written_files(text)
    monkeypatch.delenv("RNNLM_MODEL", raising=False)


def problem_of(block):
    """Run a block. Return what the page shows that was not printed."""
    printed = printed_by(block)
    for shown in block.shown:
        line = differing_line(shown, printed, Allowed.by(block.before))
        if line is not None:
            return f"the page shows\n{line}\n\nprinted was\n{printed}"
    return None


@pytest.mark.parametrize("block", QUICK)
def test_quick_commands_print_what_pages_show(checkout, block):
    assert block.shown
    assert problem_of(block) is None


@pytest.mark.soak
@pytest.mark.parametrize("page", SOAK)
def test_pages_show_what_their_commands_print(checkout, page):
    """All blocks of a page run in their order: later ones use models that earlier ones made."""
    problems = [problem_of(block) for block in BLOCKS[page] if block.is_run]
    assert [problem for problem in problems if problem] == []


def test_pages_give_different_files():
    """All pages share one folder in the tests."""
    names = [name for text in TEXTS.values() for name, _ in FILES.findall(text)]
    assert len(names) == len(set(names))


# ---- What the comparison finds.


def test_lines_differ_by_number_or_word():
    assert says_the_same("a  1,000.2 [-3.10%] model:12ab", "a\t1000.21 [-3.11%] model:34cd")
    assert not says_the_same("a 1.20", "a 1.30")
    assert not says_the_same("a 1.20", "b 1.20")
    assert not says_the_same("a 12", "a 13")
    assert says_the_same("a 5e-05", "a 5.4e-05") and not says_the_same("a 5e-05", "a 6e-05")


def test_marks_say_what_difference_is_allowed():
    wide = Allowed.by("<!-- compared, soak, within 0.5 -->")
    assert says_the_same("a 1.20", "a 1.60", wide) and not says_the_same("a 1.20", "a 1.80", wide)
    share = Allowed.by("<!-- compared, soak, within 3% -->")
    assert says_the_same("a 102.0", "a 100.0", share)
    assert not says_the_same("a 104.0", "a 100.0", share)


def test_failing_commands_are_marked():
    failing = "rnnlm info no-such-model"
    assert "no-such-model" in printed_by(Block("<!-- compared, fails -->", "sh", failing))
    with pytest.raises(AssertionError, match="no-such-model"):
        printed_by(Block("<!-- compared -->", "sh", failing))


PRINTED = "model\tseconds\tppl\nrnn\t3.1\t80.25\ngru\t9.7\t70.50\n\nrnn is worse by 9.75"


def test_pages_show_some_columns_and_rows():
    assert differing_line("model   ppl\ngru   70.50", PRINTED, Allowed()) is None
    assert differing_line("model   ppl\ngru   80.25", PRINTED, Allowed()) == "gru   80.25"
    assert differing_line("model   ppl\ngru   9.70", PRINTED, Allowed()) == "gru   9.70"
    assert differing_line("model   loss\ngru   70.50", PRINTED, Allowed()) == "model   loss"
    assert differing_line("rnn is worse by 9.75\nmodel  ppl", PRINTED, Allowed()) == "model  ppl"


def test_shown_numbers_are_renewed():
    shown = "model  ppl\ngru   1.00\n\nrnn is worse by 1.00"
    assert renewed(shown, PRINTED) == "model    ppl\ngru    70.50\n\nrnn is worse by 9.75"
    assert renewed("model  ppl", PRINTED) == "model    ppl\nrnn    80.25\ngru    70.50"
