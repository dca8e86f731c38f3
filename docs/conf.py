"""Sphinx's configuration.  python -m sphinx -W --keep-going docs docs/_build/html  builds all pages; no network."""

from __future__ import annotations

import pathlib
import re
import sys
from typing import Any

DOCS = pathlib.Path(__file__).parent
sys.path.insert(0, str(DOCS))

import pages  # noqa: E402
from api_pages import api  # noqa: E402
from links import REPOSITORY  # noqa: E402

import snljax  # noqa: E402

project = "snljax"
author = "The snljax developers"
copyright = author
version = release = snljax.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "mathml",
]
exclude_patterns = ["_build", "jupyter_execute", "gallery", "tasks/*.ipynb", "**.ipynb_checkpoints"]
suppress_warnings = ["ref.python"]  # `Draw` of an annotation is a class of five systems

# Pages of text
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # notebooks are published with their outputs; a page asks for more in its front matter
nb_execution_timeout = 120
nb_execution_raise_on_error = True
nb_output_stderr = "remove"  # of programs that look for a screen

# Docstrings
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_type_aliases = {name: name for name in ("ArrayLike", "NDArray")}  # or each would be spelt out in three lines
napoleon_numpy_docstring = False
napoleon_use_rtype = False
python_maximum_signature_line_length = 100
default_role = "py:obj"
html_math_renderer = "mathml"

# Examples of user tasks, run by the build
sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "tasks",
    "filename_pattern": r"\.py$",
    "reset_modules": ("matplotlib", "pages.with_runs"),
    "reset_modules_order": "both",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_signature": False,
    "within_subsection_order": "FileNameSortKey",
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "snljax"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_show_search_summary = False  # summaries are fetched, which a browser refuses for files opened from disk
html_context = {"default_mode": "auto"}
html_theme_options = {
    "github_url": REPOSITORY,
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}

linkcheck_ignore = [r"https://github\.com/snljax/.*", r"https://colab\.research\.google\.com/github/snljax/.*"]


def _links_out_of_docs(app: Any, name: str, source: list[str]) -> None:
    """Pages are read on GitHub, too, where they lead to files outside this folder by relative links."""
    if pathlib.Path(app.env.doc2path(name)).suffix == ".md":
        text = re.sub(r"\]\(\.\./notebooks/([\w-]+\.ipynb)\)", r"](notebooks/\1)", source[0])
        if "/" not in name:
            text = re.sub(r"\]\(\.\./([^)]+)\)", rf"]({REPOSITORY}/blob/main/\1)", text)
        source[0] = text


# Docstrings are plain text with equations, examples and names in backticks: outside these a bar is one of a magnitude.
_KEPT = r"^( *)\.\. math::.*(?:\n(?:\1 +\S.*|[ \t]*(?=\n)))*|^ *>>>.*(?:\n *\S.*)*|``[\s\S]+?``|`[^`]+`"
_ESCAPED = re.compile(rf"({_KEPT})|(\||(?<=[ (])\*(?=\w+[,)]))".replace(r"\1", r"\2"), re.MULTILINE)


def _plain_text(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    text = _ESCAPED.sub(lambda found: found[1] or f"\\{found[3]}", "\n".join(lines))
    lines[:] = text.split("\n")


_PAGES = {page.title for page in api()}


def _with_source(app: Any, module: str, name: str) -> str | None:
    """Of two entries of one function, that of its module has the source, which could lead back to one kind alone."""
    home = getattr(getattr(snljax, name, None), "__module__", None) if module == "snljax" else None
    return module if home in _PAGES else None


def setup(app: Any) -> None:
    pages.write()
    app.connect("viewcode-follow-imported", _with_source)
    app.connect("source-read", _links_out_of_docs)
    app.connect("autodoc-process-docstring", _plain_text, priority=900)  # after napoleon
