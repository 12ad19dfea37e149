"""The documentation site: `sphinx-build -W docs build/site` makes it of the pages in this folder.

What it adds to the pages is in site/: where each kind of reader begins, the references, which are
made of docstrings and of `--help`, and the gallery. site/sources.py reads what the references are
made of, without Sphinx.
"""

import sys
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.util.nodes import make_refnode

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "site"))

import sources  # noqa: E402

import rnnlm  # noqa: E402

# ---- The site as a whole.

project = "rnnlm"
author = "the rnnlm project"
release = version = rnnlm.__version__
copyright = "the rnnlm project. Code: Apache-2.0; corpora and the shipped model: CC0 1.0"
root_doc = "index"
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx_click"]

html_theme = "furo"
html_title = f"rnnlm {rnnlm.__version__}"
html_static_path = ["site/static"]
html_css_files = ["site.css"]
html_show_sphinx = False

# ---- Pages: a heading has the anchor that a code host gives it, and examples have no language
# unless they name one. Notebooks are shown as they were saved.

myst_heading_anchors = 4
highlight_language = "none"
smartquotes = False  # "--" is the beginning of an option
nb_execution_mode = "off"

# ---- `sphinx-build -b linkcheck`: names that stand for some server lead nowhere.

linkcheck_ignore = [r"https?://(localhost|example\.org)"]

# ---- The reference of Python: names as users write them, signatures one argument a line.

add_module_names = False
default_role = "code"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True}
maximum_signature_line_length = 90
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"


class PublicNames(Directive):
    """Documents the public names of one row of the table in python.md."""

    required_arguments, final_argument_whitespace = 1, True

    def run(self):
        names = sources.public_names()[self.arguments[0]]
        return _written(self, sources.autodoc_lines(names))


class Commands(Directive):
    """Documents the commands of one group of `rnnlm --help`."""

    required_arguments, final_argument_whitespace = 1, True

    def run(self):
        names = sources.commands()[self.arguments[0]]
        return _written(self, sources.click_lines(names))


def _written(directive, lines):
    """Return the nodes of reStructuredText on a page of Markdown."""
    fenced = StringList(["`````{eval-rst}", *lines, "`````"], source="site")
    container = nodes.Element()
    container.document = directive.state.document
    directive.state.nested_parse(fenced, 0, container)
    return container.children


def process_docstring(app, what, name, documented, options, lines):
    """List the arguments, fields and errors that a docstring speaks of in prose."""
    lines[:] = sources.in_lists(lines, documented)


def process_signature(app, what, name, documented, options, signature, returned):
    """Show a signature as it is in the code: short names of types, no values of settings."""
    return sources.signature_in_code(documented) or (signature, returned)


def process_options(app, context, lines):
    """Show the options of a command below the titles of its `--help`."""
    lines[:] = sources.options_by_title(context.command)


def without_lines(app, context, lines):
    """Leave out the arguments of a command, which its usage and its description name."""
    lines.clear()


def process_description(app, context, lines):
    """Show the examples in the help of a command as code."""
    lines[:] = sources.examples_in_code(lines)


def lead_to_parts(app, env, node, content):
    """Let the name of a class in a signature lead to where it is documented, though its module is
    not shown."""
    name = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not name.isidentifier():
        return None
    objects = env.domains["py"].objects
    found = [each for each in objects if each.startswith("rnnlm.") and each.endswith(f".{name}")]
    found = [each for each in found if objects[each].objtype == "class"]
    if len(found) != 1:
        return None
    place = objects[found[0]]
    return make_refnode(app.builder, node["refdoc"], place.docname, place.node_id, content)


def draw_dashes(app, tree):
    """Put a dash between a name and what it is, where Sphinx has two hyphens."""
    for text in list(tree.findall(nodes.Text)):
        if text.startswith(" -- "):
            text.parent.replace(text, nodes.Text(f" \N{EN DASH} {text[4:]}"))


def lead_to_pages(app, page, text):
    """Show the files at the root of the project, and let links to them lead to their pages."""
    text[0] = sources.page_text(page, text[0])


def setup(app):
    app.add_directive("public-names", PublicNames)
    app.add_directive("commands", Commands)
    app.connect("autodoc-process-docstring", process_docstring)
    app.connect("autodoc-process-signature", process_signature)
    app.connect("sphinx-click-process-options", process_options)
    app.connect("sphinx-click-process-arguments", without_lines)
    app.connect("doctree-read", draw_dashes)
    app.connect("missing-reference", lead_to_parts)
    app.connect("sphinx-click-process-description", process_description)
    app.connect("source-read", lead_to_pages)
    return {"parallel_read_safe": True}
