"""What the references of the site are made of: public names, commands, docstrings, signatures.

Nothing here needs Sphinx, so that the tests of the suite check it without. conf.py hands the lines
that these functions return to Sphinx.
"""

import ast
import dataclasses
import functools
import importlib
import inspect
import re
import sys
import textwrap
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import click

import rnnlm
from rnnlm.cli.main import GROUPS
from rnnlm.config import Checked
from rnnlm.tabular import Records

DOCS = Path(__file__).parents[1]

# ---- What the references list.


def public_names() -> dict[str, list[str]]:
    """Return the public names by what they are for: the table in docs/python.md."""
    page = (DOCS / "python.md").read_text(encoding="utf-8")
    table = page.split("| to | names |\n|---|---|\n")[1].split("\n\n")[0]
    names = {}
    for row in table.splitlines():
        purpose, listed = row.strip("| ").split(" | ")
        names[purpose] = re.findall(r"`(\w+)`", listed)
    return names


def commands() -> dict[str, list[str]]:
    """Return the commands by the groups of `rnnlm --help`."""
    return {title: list(names) for title, names in GROUPS.items()}


def autodoc_lines(names: Iterable[str]) -> list[str]:
    """Return the directives that document these public names, and then the classes of what they
    return and hold."""
    lines = []
    for name in names:
        value = getattr(rnnlm, name)
        if inspect.isclass(value):
            lines += _class_lines(f"rnnlm.{name}", value)
        elif typing.get_args(value):  # a union of types
            lines += [f".. autodata:: rnnlm.{name}", "   :no-value:", ""]
        else:
            lines += [f".. autofunction:: rnnlm.{name}", ""]

    parts = [cls for cls, owner in parts_of_results().items() if owner in names]
    if parts:
        lines += [".. rubric:: Results and their parts", "", PARTS, ""]
    for cls in parts:
        lines += _class_lines(f"{cls.__module__}.{cls.__qualname__}", cls)
    return lines


def _class_lines(name: str, cls: type) -> list[str]:
    kind = "exception" if issubclass(cls, BaseException) else "class"
    # That a result is a table is what it has from its base.
    is_table = issubclass(cls, Records) and cls is not Records
    options = ["   :show-inheritance:"] if is_table else []
    return [f".. auto{kind}:: {name}", *options, ""]


# What of these is not for users, nor are its parts.
INTERNAL = {"MixtureState", "NgramModel", "Plan", "PrefixScorer", "TrainingState"}
PARTS = "What the above return and hold. The modules of these classes may move."


@functools.cache
def parts_of_results() -> dict[type, str]:
    """Return the classes that are not public, but are returned by what is, or are parts of it, each
    with the public name that it is documented with."""
    public = {name: getattr(rnnlm, name) for names in public_names().values() for name in names}
    functions = [name for name, value in public.items() if inspect.isfunction(value)]
    others = [name for name in public if name not in functions]
    found: dict[type, str] = {}
    for name in [*functions, *others]:
        waiting = [public[name]]
        while waiting:
            for cls in _classes_given_by(waiting.pop()):
                # Of two classes of one name, one can be linked to.
                names = {each.__name__ for each in found} | INTERNAL | public.keys()
                if cls.__name__ not in names:
                    found[cls] = name
                    waiting.append(cls)
    return found


def _classes_given_by(value: object) -> Iterator[type]:
    """Yield the classes of ours that a function returns, or that a class has as fields or
    properties."""
    annotations: list[object] = []
    if inspect.isclass(value):
        if issubclass(value, Records):
            yield Records
        annotations += vars(value).get("__annotations__", {}).values()
        for part in vars(value).values():
            getter = part.fget if isinstance(part, property) else getattr(part, "func", part)
            if not getattr(getter, "__name__", "_").startswith("_"):
                annotations.append(getattr(getter, "__annotations__", {}).get("return"))
    elif inspect.isfunction(value):
        value = inspect.unwrap(value)
        annotations.append(value.__annotations__.get("return"))

    for annotation in annotations:
        for name in re.findall(r"\w+", _written_type(annotation)):
            meant = meant_by(name, str(getattr(value, "__module__", "rnnlm")))
            is_ours = inspect.isclass(meant) and meant.__module__.startswith("rnnlm.")
            if is_ours and not name.startswith("_"):
                yield meant


def _written_type(annotation: object) -> str:
    if _is_plain_class(annotation):
        return typing.cast(type, annotation).__name__
    return re.sub(r"[\w.]+\.", "", str(annotation))


def click_lines(names: Iterable[str]) -> list[str]:
    """Return the directives that document these commands."""
    lines = []
    for name in names:
        module = f"rnnlm.cli.commands.{name}"
        lines += [f".. click:: {module}:command", f"   :prog: rnnlm {name}", "   :nested: full", ""]
    return lines


# ---- Docstrings: arguments, fields and errors that stand in prose become lists.

_SUBJECT = re.compile(r"(?:^|(?<=[.;:)] ))([a-z]\w*(?:, [a-z]\w*)*): ")
_ERROR = re.compile(r"(?:^|(?<=\. ))(\w+Error(?:, \w+Error)*)(?: \(a TypeError\))?: ")


def in_lists(lines: Sequence[str], documented: object) -> list[str]:
    """Rewrite a docstring so that what it says of each argument, field and error is an item of a
    list, as Sphinx reads it.

    Docstrings say "name: what it is. other: what that is." in a paragraph of its own, or after the
    sentence that opens them.
    """
    known = _subjects(documented)
    text: list[str] = []
    items = dict(_descriptions(documented))
    errors: list[str] = []
    for paragraph in _paragraphs(lines):
        heading = paragraph[0].strip()
        if heading == "Raises:":
            errors = list(_errors(_flowing(paragraph[1:])))
        elif heading == "Args:":
            items |= _arguments(paragraph[1:])
        elif _is_literal(paragraph):
            text += [*paragraph, ""]
        else:
            opening, found = _subjects_in(_flowing(paragraph), known)
            items |= found
            if opening:
                text += [opening, ""]

    listed: list[str] = []
    if items:
        listed = [":Fields:" if inspect.isclass(documented) else ":Parameters:"]
        listed += [f"    * **{name}** -- {said}" for name, said in items.items()]
    return [*text, *listed, *errors, ""]


def _subjects(documented: object) -> set[str] | None:
    """Return the names that a docstring may explain: arguments, and the fields of a class. None:
    any name, as the function takes more keywords than its signature names."""
    names: set[str] = set()
    if inspect.isclass(documented):
        names |= {*getattr(documented, "__annotations__", ()), *vars(documented)}
        names |= {*re.findall(r"\bself\.([a-z]\w*)", inspect.getsource(documented))}
        if dataclasses.is_dataclass(documented):
            names |= {field.name for field in dataclasses.fields(documented)}
    try:
        parameters = inspect.signature(typing.cast(typing.Any, documented)).parameters
    except (TypeError, ValueError):
        return names
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return None
    return names | set(parameters)


def _descriptions(documented: object) -> Iterator[tuple[str, str]]:
    """Yield the fields of settings with what their annotations say of them."""
    is_settings = inspect.isclass(documented) and issubclass(documented, Checked)
    if not is_settings:
        return
    for name, hint in typing.get_type_hints(documented, include_extras=True).items():
        for note in getattr(hint, "__metadata__", ()):
            if getattr(note, "description", None):
                yield name, _in_rst(note.description)


def _paragraphs(lines: Sequence[str]) -> Iterator[list[str]]:
    """Yield the paragraphs of a docstring; a section goes on over lines that are indented."""
    paragraph: list[str] = []
    for line in lines:
        if line.strip():
            paragraph.append(line)
            continue
        if paragraph:
            yield paragraph
        paragraph = []
    if paragraph:
        yield paragraph


def _is_literal(paragraph: Sequence[str]) -> bool:
    """Return whether a paragraph is a list, an example or indented, and stays as it is."""
    return paragraph[0].startswith(("* ", "- ", ">>>", " ", ".. "))


def _flowing(lines: Iterable[str]) -> str:
    return " ".join(line.strip() for line in lines)


def _subjects_in(text: str, known: set[str] | None) -> tuple[str, dict[str, str]]:
    """Split a paragraph into what comes before the first "name: ", and the explanations by name."""
    starts: list[re.Match[str]] = []
    for match in _SUBJECT.finditer(text):
        # Where names are not known, a list is one from its beginning.
        is_first = match.start() == 0 if known is None else known.issuperset(match[1].split(", "))
        if is_first or (starts and known is None):
            starts.append(match)
    if not starts:
        return text, {}
    ends = [*(each.start() for each in starts[1:]), len(text)]
    found = {}
    for start, end in zip(starts, ends, strict=True):
        found[start[1]] = text[start.end() : end].strip("; ")
    return text[: starts[0].start()].strip(), found


def _errors(text: str) -> Iterator[str]:
    """Yield the item of each error with its reason, or one for those of another function."""
    starts = list(_ERROR.finditer(text))
    if not starts:
        yield f":Raises: {text[:1].lower()}{text[1:]}"
        return
    ends = [*(each.start() for each in starts[1:]), len(text)]
    for start, end in zip(starts, ends, strict=True):
        yield f":raises {start[1]}: {text[start.end() : end].strip()}"


def _arguments(lines: Iterable[str]) -> dict[str, str]:
    """Read a section of arguments, an item of which goes on over lines that are indented more."""
    found: dict[str, str] = {}
    name = ""
    for line in textwrap.dedent("\n".join(lines)).splitlines():
        if line.startswith(" "):
            found[name] += f" {line.strip()}"
        else:
            name, _, said = line.partition(": ")
            found[name] = said
    return found


# ---- Signatures.


def signature_in_code(documented: object) -> tuple[str, str] | None:
    """Return arguments and result of a function, or the fields of a dataclass, as the code has
    them; None for what has no code of that kind."""
    try:
        made = inspect.unwrap(typing.cast(typing.Any, documented))
        source = textwrap.dedent(inspect.getsource(made))
        node = ast.parse(source).body[0]
    except (OSError, TypeError, SyntaxError):
        return None
    if isinstance(node, ast.FunctionDef):
        arguments, returned = _of_function(node, made.__module__)
        # A method that takes the fields of settings in place of them.
        settings = getattr(documented, "settings", None)
        return _of_dataclass(settings) if settings else arguments, returned
    if getattr(documented, "_is_protocol", False):
        return "", ""  # nobody calls it
    if isinstance(node, ast.ClassDef) and dataclasses.is_dataclass(documented):
        return _of_dataclass(typing.cast(type, documented)), ""
    return None


def _of_function(node: ast.FunctionDef, module: str) -> tuple[str, str]:
    arguments = node.args
    if arguments.args and arguments.args[0].arg in ("self", "cls"):
        arguments.args.pop(0)
    plain = _PlainTypes(module)
    for each in ast.walk(arguments):
        if isinstance(each, ast.arg) and each.annotation:
            each.annotation = plain.visit(each.annotation)
    returned = ast.unparse(plain.visit(node.returns)) if node.returns else ""
    return f"({ast.unparse(arguments)})", returned


def _of_dataclass(documented: type) -> str:
    """Return the fields with their types and defaults, those of the classes below first."""
    declared: dict[str, str] = {}
    for cls in reversed(documented.__mro__):
        if dataclasses.is_dataclass(cls):
            declared |= _fields_in_code(cls)

    # Fields that are given by name alone come last.
    fields = [field for field in dataclasses.fields(documented) if field.name in declared]
    by_place = [declared[field.name] for field in fields if field.init and not field.kw_only]
    by_name = [declared[field.name] for field in fields if field.init and field.kw_only]
    if by_name:
        by_name.insert(0, "*")
    return f"({', '.join([*by_place, *by_name])})"


@functools.cache
def _fields_in_code(cls: type) -> dict[str, str]:
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    plain = _PlainTypes(cls.__module__)
    declared = {}
    for each in typing.cast(ast.ClassDef, node).body:
        if not isinstance(each, ast.AnnAssign) or "ClassVar" in ast.unparse(each.annotation):
            continue
        name = ast.unparse(each.target)
        if not name.startswith("_"):
            kind = ast.unparse(plain.visit(each.annotation))
            declared[name] = f"{name}: {kind}{_default(each.value)}"
    return declared


class _PlainTypes(ast.NodeTransformer):
    """Reduces the annotations in a module to types: without quotes and notes, and with choices and
    alternatives themselves in place of a name for them."""

    def __init__(self, module: str) -> None:
        self.module = module

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str):
            return self.visit(ast.parse(node.value, mode="eval").body)
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        meant = meant_by(node.id, self.module)
        if hasattr(meant, "__metadata__"):
            meant = typing.get_args(meant)[0]
        if typing.get_origin(meant) is typing.Literal:
            choices = ", ".join(map(repr, typing.get_args(meant)))
            return ast.parse(f"Literal[{choices}]", mode="eval").body
        # Alternatives stand for their name, too, where they are short.
        parts = typing.get_args(meant)
        if parts and isinstance(meant, types.UnionType) and all(map(_is_plain_class, parts)):
            written = " | ".join(part.__name__ for part in parts)
            return ast.parse(written, mode="eval").body
        is_renamed = meant in (int, float, str)
        return ast.Name(meant.__name__) if is_renamed else node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        kind = ast.unparse(node.value)
        if kind == "Literal":
            return node
        if kind == "Annotated" and isinstance(node.slice, ast.Tuple):
            return self.visit(node.slice.elts[0])
        return self.generic_visit(node)


def _is_plain_class(value: object) -> bool:
    return inspect.isclass(value) and not typing.get_args(value)


def meant_by(name: str, module: str) -> typing.Any:
    """Return what a name is in a module, also one that is imported there for type checkers alone;
    None where it is nothing of ours."""
    known = vars(sys.modules[module])
    if name in known:
        return known[name]
    return getattr(sys.modules.get(_imports_of(module).get(name, "")), name, None)


@functools.cache
def _imports_of(module: str) -> dict[str, str]:
    """Return the modules of ours from which a module imports names, by these names."""
    found: dict[str, str] = {}
    for node in ast.walk(ast.parse(inspect.getsource(sys.modules[module]))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rnnlm."):
            for each in node.names:
                importlib.import_module(str(node.module))
                found[each.name] = str(node.module)
    return found


def _default(value: ast.expr | None) -> str:
    """Write a default; `...` for one that is made when it is needed."""
    if isinstance(value, ast.Call) and ast.unparse(value.func).endswith("field"):
        given = {keyword.arg: keyword.value for keyword in value.keywords}
        if "default_factory" in given:
            return " = ..."
        value = given.get("default")
    return f" = {ast.unparse(value)}" if value else ""


# ---- The command line.

_MARKUP = re.compile(r"(`[^`]+`)|(?<![\w-])(--?[a-z][\w-]*)")
_SPECIAL = re.compile(r"([\\`*_|])")


def _in_rst(text: str) -> str:
    """Write a plain text as reStructuredText: code in backticks, and options, are literal."""
    parts = []
    end = 0
    for match in _MARKUP.finditer(text):
        parts.append(_SPECIAL.sub(r"\\\1", text[end : match.start()]))
        parts.append(f"``{match[0].strip('`')}``\\ ")
        end = match.end()
    return "".join([*parts, _SPECIAL.sub(r"\\\1", text[end:])])


def options_by_title(command: click.Command) -> list[str]:
    """Return directives for the options of a command, below the titles of its `--help`."""
    context = click.Context(command, info_name=command.name)
    titles: Mapping[str | None, str] = getattr(command, "titles", {})
    sections: dict[str, list[str]] = {title: [] for title in titles.values()}
    rest: list[str] = []
    for option in command.params:
        record = option.get_help_record(context)
        if record is None or not isinstance(option, click.Option):
            continue
        title = titles.get(option.name)
        lines = rest if title is None else sections[title]
        lines += [f".. option:: {_declared(option)}", "", f"   {_in_rst(record[1])}", ""]

    # Without titles there is the one heading that is there already.
    written: list[str] = []
    for title, lines in sections.items():
        written += [f".. rubric:: {title}", "   :class: options", "", *lines]
    if sections and rest:
        written += [".. rubric:: Other options", "   :class: options", ""]
    return written + rest


def _declared(option: click.Option) -> str:
    """Return the names of an option with what it takes: `-o, --output FILE`."""
    context = click.Context(click.Command("x"))
    taken = "" if option.is_flag or option.count else f" {option.make_metavar(context)}"
    names = sorted(option.opts, key=len)
    return ", ".join(f"{name}{taken}" for name in [*names, *option.secondary_opts])


def examples_in_code(lines: Sequence[str]) -> list[str]:
    """Turn the lines of examples in a command's help, which sphinx-click marks by a bar, into a
    block of code; mark code and options in the others."""
    written: list[str] = []
    before = ""
    for line in lines:
        # A line of an example, or of text.
        if line.startswith("| "):
            if not before.startswith("| "):
                written += [".. code-block:: none", ""]
            written.append(f"   {line[2:]}")
        else:
            if before.startswith("| ") and line:
                written.append("")
            written.append(_in_rst(line))
        before = line
    return written


# ---- Files at the root of the project, which are pages of the site, too.

AT_THE_ROOT = {
    "site/readme": "README.md",
    "site/contributing": "CONTRIBUTING.md",
    "site/changelog": "CHANGELOG.md",
}
_TO_NO_PAGE = re.compile(r"(?<!!)\[([^]]+)\]\((?!\.\./|#|https?:)[^)]*\)")
_TO_DATA = re.compile(r"\[([^]]+)\]\(\.\./(?:corpora|checkpoints)/[^)]*\)")


def page_text(page: str, text: str) -> str:
    """Return the text of a page, its links leading to pages of the site; that of a file at the root
    for a page that stands for one."""
    if page in AT_THE_ROOT:
        text = (DOCS.parent / AT_THE_ROOT[page]).read_text(encoding="utf-8")
        text = text.replace("](docs/", "](../")
        for other, path in AT_THE_ROOT.items():
            text = text.replace(f"]({path}", f"](../{other}.md")
        text = _TO_NO_PAGE.sub(r"\1", text)
    for other, path in AT_THE_ROOT.items():
        text = text.replace(f"](../{path}", f"]({other}.md")
    return _TO_DATA.sub(r"\1", text)
