"""Read labelled trees in brackets, one a line, as the Stanford Sentiment Treebank and the Penn
Treebank have them: `(3 (2 It) (4 (2 's) (4 good)))`.

All loops are iterative: a tree may be as deep, or as wide, as memory allows.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import accumulate
from sys import intern

from rnnlm.amounts import plural
from rnnlm.errors import TextError, notice, shown
from rnnlm.tasks.labelling.formats.example import Example, LabelledSettings, LabelledText, Tree
from rnnlm.tasks.labelling.formats.line_formats import label_column
from rnnlm.text.lines import is_blank, lines_with_ends, without_end

FORMAT = "trees"
_TOKEN = re.compile(r"[()]|[^()\s]+")
_BRACKET = re.compile(r"[()]")
_LABELLED = re.compile(r"\(([^\s()]+)(\s+[^\s()]+\s*\)$|\s*\()")  # a word, or another bracket


@dataclass
class _OpenNode:
    """A node whose bracket is not yet closed. place: the column of its bracket, from 1. children:
    numbers of words, and of inner nodes as -1, -2, ... ."""

    place: int
    label: str = ""
    children: list[int] = field(default_factory=list)


def is_tree(text: str, labels: Collection[str] | None = None) -> bool:
    """Return whether a text is written as a tree: its first bracket closes with its last character,
    and there is another one inside. "(Really) it was" and "(a good film)" are not.

    labels: the labels of a model; None: any. A tree of one word, "(LABEL word)", and a damaged one,
    "(LABEL (" whose bracket is never closed, must have one of them.
    """
    text = text.strip()
    if not text.startswith("("):
        return False
    depths = list(accumulate(1 if bracket == "(" else -1 for bracket in _BRACKET.findall(text)))
    is_open = 0 not in depths
    if len(depths) > 2 and not is_open and text.endswith(")") and 0 not in depths[:-1]:
        return True
    labelled = _LABELLED.match(text) if is_open or len(depths) == 2 else None
    return labelled is not None and (labels is None or labelled[1] in labels)


def parse(line: str, where: str) -> Tree:
    """Return the tree that a line holds. where: its file and line, for messages.

    A node's label follows its bracket without a space; with a space, the bracket has none, as in
    `( ( It 's ) good )`. A node with one child and that child become one node with the label of the
    upper one, if it has one; the children of a node with more than two are joined from the left, by
    nodes without labels.
    """
    words: list[str] = []
    children: list[tuple[int, int]] = []
    labels_and_places: dict[int, tuple[str, int]] = {}
    collapsed = folded = 0
    open_nodes = [_OpenNode(0)]  # the line itself, whose child is the root
    for match in _TOKEN.finditer(line):
        token, place, node = match[0], match.start() + 1, open_nodes[-1]
        if node.place == 0 and (node.children or token != "("):
            raise _fault(where, place, f"{shown(token)} is outside of the brackets of the tree")
        if token == "(":
            open_nodes.append(_OpenNode(place))
        elif token != ")" and place == node.place + 1:
            node.label = intern(token)
        elif token != ")":
            labels_and_places[len(words)] = ("", place)
            node.children.append(len(words))
            words.append(intern(token))
        else:
            # A node that is closed becomes its child, or a node over its children.
            if not node.children:
                raise _fault(where, node.place, "a node without words")
            number, *others = node.children
            collapsed += not others and labels_and_places[number][0] != ""
            folded += len(others) > 1
            for other in others:
                children.append((number, other))
                number = -len(children)
                labels_and_places[number] = ("", node.place)
            labels_and_places[number] = (node.label or labels_and_places[number][0], node.place)
            open_nodes.pop()
            open_nodes[-1].children.append(number)
    if len(open_nodes) > 1:
        raise _fault(where, open_nodes[-1].place, "this bracket is not closed")

    if not words:
        raise _fault(where, 1, "a tree without words")

    # Number the inner nodes after the words.
    order = [*range(len(words)), *range(-1, -1 - len(children), -1)]
    final = {number: place for place, number in enumerate(order)}
    labels, places = zip(*map(labels_and_places.__getitem__, order), strict=True)
    pairs = tuple((final[left], final[right]) for left, right in children)
    return Tree(words, pairs, labels, places, collapsed, folded)


def _fault(where: str, place: int, what: str) -> TextError:
    return TextError(
        f"{where}, column {place}: {what}", "a line is one tree, (LABEL (LABEL word) (LABEL word))"
    )


def read(source: str, settings: LabelledSettings) -> LabelledText:
    """Return the examples of a file of trees; the label of a text is that of its root. A notice
    counts the nodes that became others."""
    examples, collapsed, folded = [], 0, 0
    for number, line in lines_with_ends(source, settings.encoding_errors):
        if is_blank(without_end(line)):
            continue
        where = f"{source}, line {number}"
        tree = parse(line, where)
        if not tree.labels[-1]:
            raise _fault(where, tree.places[-1], "the root of the tree has no label")
        examples.append(Example(tree, (), (tree.labels[-1],), number, source))
        collapsed, folded = collapsed + tree.collapsed, folded + tree.folded
    if collapsed or folded:
        notice(
            f"{source}: {plural(collapsed, 'node')} with one child joined with it; the children of "
            f"{plural(folded, 'node')} with more than two joined from the left"
        )
    return LabelledText(tuple(examples), (), label_column(settings), FORMAT)
