"""Pages that the build writes: figures, API, papers and notebooks, each in a file beside this one.

Each of these returns path -> text, relative to this folder; `write` puts them there (git ignores them).
"""

from __future__ import annotations

import shutil
from typing import Any

from api_pages import api_pages
from figure_pages import figure_pages, write_thumbnails
from links import DOCS
from notebook_pages import notebook_pages
from paper_pages import paper_pages

FOLDERS = ("figures", "api", "notebooks", "papers")  # of what is written here


def all_pages() -> dict[str, str]:
    return figure_pages() | api_pages() | paper_pages() | notebook_pages()


def write() -> None:
    """All of them, and nothing else in their folders. What is as it was is not touched: Sphinx then builds less."""
    pages = all_pages()
    for folder in FOLDERS:
        for file in (DOCS / folder).rglob("*"):
            if file.suffix in (".md", ".ipynb") and file.relative_to(DOCS).as_posix() not in pages:
                file.unlink()
    for path, text in pages.items():
        file = DOCS / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
    write_thumbnails()


def with_runs(gallery: dict[str, Any], file: str, when: str) -> None:
    """Called by the gallery before and after each example: it begins with an empty folder, and leaves none."""
    shutil.rmtree(DOCS / "gallery" / "runs", ignore_errors=True)
    if when == "before":
        (DOCS / "gallery" / "runs").mkdir()
