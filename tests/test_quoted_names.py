"""Commands that messages and pages show can be pasted into a shell."""

import ast
import itertools
import re
import shlex
from pathlib import Path

import rnnlm
import rnnlm.cli
from rnnlm.storage.manifest import CONFIG
from rnnlm.storage.model_folder import read_manifest
from rnnlm.training import card
from support.saved_models import save_unigram

HOSTILE = "x;touch PWNED"
# What may stand in a shown command as it is: words of our own, and numbers
OURS = {
    "command", "corpus", "task", "file", "self.name", "kind", "called", "text", "HUB", "FORMAT_VERSION",
    "' or '.join(corpus.tasks)", "expected.recipe", "self.options_of_figure()", "readable",
}  # fmt: skip


def commands_shown(path: Path, nodes: list[ast.AST]):
    """Yield the values that an f-string of a module puts into a command."""
    for node in nodes:
        if not isinstance(node, ast.JoinedStr):
            continue
        text = ""
        for part in node.values:
            if isinstance(part, ast.Constant):
                text += str(part.value)
            elif re.search(r"\brnnlm [a-z]+ |--[a-z-]+-from $", text):
                value = ast.unparse(part.value)
                if value not in OURS and not re.match(r"(shlex\.|quoted\()", value):
                    yield f"{path.name}:{node.lineno}: {value}"
                text += value


def named_in_text(path: Path, nodes: list[ast.AST]):
    """Yield the texts of errors and notices that name a setting by themselves, and those that
    format a keyword, which the command line then cannot write as its option."""
    for node in nodes:
        called = getattr(node, "func", None)
        name = getattr(called, "id", getattr(called, "attr", ""))
        if name == "notice" or name.endswith("Error"):
            texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
            named = [text for text in texts if re.search(r"`\w+(=[^`]*)?`", str(text))]
            yield from (f"{path.name}:{node.lineno}: {text}" for text in named)
        if isinstance(node, ast.FormattedValue) and "keyword(" in ast.unparse(node.value):
            yield f"{path.name}:{node.lineno}: {ast.unparse(node)}"


def test_names_in_shown_commands_are_quoted_and_messages_hold_the_settings_that_they_name():
    roots = [Path(rnnlm.__file__).parent, Path(rnnlm.cli.__file__).parent]
    faults = []
    for path in itertools.chain.from_iterable(root.rglob("*.py") for root in roots):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        faults += [*commands_shown(path, nodes), *named_in_text(path, nodes)]
    assert faults == []


def test_a_card_and_messages_quote_the_name_of_a_folder(here, rnnlm):
    save_unigram(here / HOSTILE)
    manifest = read_manifest(here / HOSTILE)
    from rnnlm.lm.base.loading import load_tokenizer

    text = card.text(HOSTILE, manifest, load_tokenizer(here / HOSTILE))
    used = [line for line in text.splitlines() if line.startswith("rnnlm ")]
    assert used and all(shlex.split(line)[3] == HOSTILE for line in used), used

    said = rnnlm("info", HOSTILE).out
    assert shlex.quote(HOSTILE) in said
    path = here / HOSTILE / CONFIG
    assert path.exists()
    refused = rnnlm("train", HOSTILE, "-o", "new")
    for line in [*said.splitlines(), *refused.err.splitlines()]:
        for command in re.findall(r"rnnlm [a-z]+ .*", line):
            assert HOSTILE not in command.replace(shlex.quote(HOSTILE), "")
