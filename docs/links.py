"""How the pages name files of the repository and each other."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable

DOCS = pathlib.Path(__file__).parent
ROOT = DOCS.parent
REPOSITORY = "https://github.com/snljax/snljax"


def file_link(path: pathlib.Path | str) -> str:
    """A file of the repository as a link to where it is published."""
    return f"[`{path}`]({REPOSITORY}/blob/main/{path})"


def toctree(names: Iterable[str]) -> str:
    """Pages below this one."""
    return "```{toctree}\n:hidden:\n\n" + "\n".join(names) + "\n```\n"
