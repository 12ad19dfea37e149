"""Trees in brackets: what becomes of each kind of node, and each fault with its line and place."""

import pytest

from rnnlm.errors import RnnlmWarning, TextError
from rnnlm.tasks.labelling.formats.example import LabelledSettings
from rnnlm.tasks.labelling.formats.known_formats import detect_format, read_labelled
from rnnlm.tasks.labelling.formats.trees import parse


def nodes(line):
    """Return the words of a tree, and its nodes as nested (label, ...)."""
    tree = parse(line, "here")
    built = [(label, word) for label, word in zip(tree.labels, tree, strict=False)]
    for (left, right), label in zip(tree.children, tree.labels[len(tree) :], strict=True):
        built.append((label, built[left], built[right]))
    return built[-1]


@pytest.mark.parametrize("line, expected", [
    # the Stanford Sentiment Treebank
    ("(3 (2 It) (4 (2 's) (4 good)))", ("3", ("2", "It"), ("4", ("2", "'s"), ("4", "good")))),
    ("(2 word)", ("2", "word")),
    # the Penn Treebank: a bracket without a label, and nodes with one child
    ("( (S (NP (PRP It)) (VP (VBZ is)) ))", ("S", ("NP", "It"), ("VP", "is"))),
    ("(A (B (C (D a))))", ("A", "a")),
    ("( ( (2 a) ) )", ("2", "a")),
    # three children, joined from the left; brackets around words without labels
    ("(x (a b) (c d) (e f))", ("x", ("", ("a", "b"), ("c", "d")), ("e", "f"))),
    ("(NP the old (NN man))", ("NP", ("", ("", "the"), ("", "old")), ("NN", "man"))),
    ("( ( It 's ) good )", ("", ("", ("", "It"), ("", "'s")), ("", "good"))),
    ("(1\t(0 -LRB-)  (1 ü))", ("1", ("0", "-LRB-"), ("1", "ü"))),
])  # fmt: skip
def test_trees_are_read_as_binary_ones(line, expected):
    assert nodes(line) == expected


@pytest.mark.parametrize("line, column, what", [
    ("(1 (2 a) (2 b)", 1, "this bracket is not closed"),
    ("(1 (2 a) (2 b", 10, "this bracket is not closed"),
    ("(1 (2 a)) (2 b)", 11, "'(' is outside of the brackets of the tree"),
    ("(1 (2 a)))", 10, "')' is outside of the brackets of the tree"),
    ("(1 (2 a) ())", 10, "a node without words"), ("(1 (2 a) (3))", 10, "a node without words"),
    ("(1 (2 a) b) c", 13, "'c' is outside of the brackets of the tree"),
    ("a (2 b)", 1, "'a' is outside of the brackets of the tree"),
    (")", 1, "')' is outside of the brackets of the tree"),
    ("( (2 a) (2 b))", 1, "the root of the tree has no label"),
])  # fmt: skip
def test_each_fault_has_its_line_and_column(tmp_path, line, column, what):
    file = tmp_path / "trees.txt"
    file.write_text(f"(1 (2 a) (2 b))\n\n{line}\n(1 a)\n")
    with pytest.raises(TextError) as raised:
        read_labelled([file], LabelledSettings(), "text")
    assert raised.value.what == f"{file}, line 3, column {column}: {what}"


def test_files_are_recognised_and_a_note_counts_changed_nodes(tmp_path):
    file = tmp_path / "trees.txt"
    file.write_text("(1 (2 a) (2 b) (1 c))\n(1 (1 (1 a)))\n(2 (1 (2 a) (2 b)))\n")
    assert detect_format(str(file), LabelledSettings(), "text") == "trees"
    with pytest.warns(RnnlmWarning, match="3 nodes with one child.*of 1 node with more than two"):
        text = read_labelled([file], LabelledSettings(), "text")
    assert [example.text_labels for example in text.examples] == [("1",), ("1",), ("2",)]
    assert text.text_columns == ("label",)

    # Labels of inner nodes are content, too.
    other = tmp_path / "other.txt"
    other.write_text(file.read_text().replace("(1 c)", "(2 c)"))
    with pytest.warns(RnnlmWarning):
        changed = read_labelled([other], LabelledSettings(), "text")
    assert changed.content_hash != text.content_hash
    # Sentences that begin with a bracket are not trees.
    for lines in ("( perhaps )\tgood\n( well ) then\tbad\n", "(I think) so\ta\n(I do) not\tb\n"):
        other.write_text(lines)
        assert detect_format(str(other), LabelledSettings(), "text") == "tsv"


def test_wide_and_deep_trees_need_no_recursion():
    wide = parse("(x " + "(y a) " * 100_000 + ")", "here")
    assert len(wide) == 100_000 and wide.children[-1] == (199_997, 99_999) and wide.folded == 1
    deep = parse("(x (y a) " * 5000 + "(z b)" + ")" * 5000, "here")
    assert len(deep) == 5001 and deep.labels[-1] == "x"
    assert parse("(x " * 5000 + "a" + ")" * 5000, "here").collapsed == 4999
