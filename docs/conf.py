"""The documentation site: `sphinx-build -W docs build/site` builds it from the pages here.

The two pages in reference/ consist of directives, which read docstrings and `--help`.
"""

import inspect
import re
import typing

from sphinx.util.inspect import stringify_signature

import rnnlm
from rnnlm.config import ValidatedSettings, describe

project = "rnnlm"
copyright = "the rnnlm project. Code: Apache-2.0; corpora and the shipped model: CC0 1.0"
release = version = rnnlm.__version__
exclude_patterns = ["**/.ipynb_checkpoints"]
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]

html_theme = "furo"
html_title = f"rnnlm {rnnlm.__version__}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False

myst_heading_anchors = 4  # the anchors that GitHub gives headings
highlight_language = "none"  # of examples that name no language
smartquotes = False  # "--" begins an option
nb_execution_mode = "off"  # notebooks are shown as they were saved
linkcheck_ignore = [r"https?://(localhost|example\.org)"]

add_module_names = False
default_role = "code"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
maximum_signature_line_length = 90
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"


def is_settings(documented: object) -> bool:
    return inspect.isclass(documented) and issubclass(documented, ValidatedSettings)


def list_settings(app, what, name, documented, options, lines):
    """List the fields of a settings class with their descriptions."""
    if is_settings(documented):
        fields = [f"    {field}: {about}" for field, about in describe(documented).items()]
        lines += ["Args:", *fields, ""]


def show_plain_types(app, what, name, documented, options, signature, returned):
    """Show the type of a setting without its range and description."""
    if not is_settings(documented):
        return None
    types = typing.get_type_hints(documented)
    parameters = [
        parameter.replace(annotation=types[parameter.name])
        for parameter in inspect.signature(documented).parameters.values()
    ]
    return stringify_signature(inspect.Signature(parameters), unqualified_typehints=True), ""


def escape_markup(app, context, lines):
    """Keep the * and | of a help text from being read as markup."""
    lines[:] = [re.sub(r"(?<!^)(?<!\*)([*|])(?!\*)", r"\\\1", line) for line in lines]


def unlink_files(app, page, text):
    """Name files outside this folder, which are not on the site, without a link."""
    if "/" not in page:
        text[0] = re.sub(r"\[([^]]+)\]\(\.\./[^)]*\)", r"\1", text[0])


def setup(app):
    app.connect("source-read", unlink_files)
    app.connect("autodoc-process-docstring", list_settings, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", show_plain_types)
    app.connect("sphinx-click-process-description", escape_markup)
    app.connect("sphinx-click-process-options", escape_markup)
