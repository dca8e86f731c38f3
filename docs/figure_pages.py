"""A page for each figure, from what is stored of it, and the page that shows them all."""

from __future__ import annotations

import re

from links import DOCS, file_link, toctree
from PIL import Image

from snljax import figures
from snljax.papers import PAPERS, cite

PICTURES = "REPRODUCTION-pictures"
THUMBNAIL = (480, 320)  # pixels at most


def stored_results() -> dict[str, str]:
    """Figure -> what `snljax reproduce all` wrote of it: summary, pictures, claims, settings, command."""
    page = (DOCS / "REPRODUCTION.md").read_text(encoding="utf-8")
    parts = re.split(r"^### (\S+)$", page, flags=re.MULTILINE)[1:]
    bodies = (re.split(r"^## ", body, flags=re.MULTILINE)[0].strip() for body in parts[1::2])
    return dict(zip(parts[::2], bodies, strict=True))


def pictures_of(result: str) -> list[str]:
    """File names of the pictures in a stored result."""
    return re.findall(rf"\({PICTURES}/([^)]+)\)", result)


def figure_pages() -> dict[str, str]:
    """A page for each figure, from what is stored, and the page that shows them all."""
    results = stored_results()
    pages = {f"figures/{name}.md": _figure_page(name, results[name]) for name in figures.NAMES}
    return pages | {"figures/index.md": _figure_index(results)}


def _figure_page(name: str, result: str) -> str:
    entry = figures.NAMES[name]
    drawn = f"snljax/figures/{entry.module}.py"
    of = f"[{cite(entry.paper)}](../papers/{entry.paper}.md)"
    return f"""# {name}

{of}, experiment [`{entry.experiment}`](../api/experiments.{entry.experiment}.md).
Presets, drawing and claims are in {file_link(drawn)}.

{result.replace(f"({PICTURES}/", f"(../{PICTURES}/")}

In Python, `--preset paper` being the published size:

```python
import snljax as snl

report = snl.reproduce("{name}", preset="quick")  # .datasets, .claims, .files
```
"""


def _figure_index(results: dict[str, str]) -> str:
    parts = ["# Figures of the papers", _COUNTED.format(count=len(results))]
    for number, paper in PAPERS.items():
        names = [name for name, entry in figures.NAMES.items() if entry.paper == number]
        cards = "\n".join(_card(name, results[name]) for name in names)
        parts += [f"## Paper {number} ({paper.name})", paper.summary]
        parts.append(f":::::{{grid}} 1 2 2 3\n:gutter: 3\n\n{cards}\n:::::")
    return "\n\n".join(parts) + "\n\n" + toctree(figures.NAMES)


_COUNTED = """{count} figures, each with its claims held against what its paper says. They show the preset *quick*,
which trains on two CPU cores: pictures and verdicts are those that [`snljax reproduce all`](../REPRODUCTION.md) stored,
and nothing is trained to build these pages. What they mean together is in [Findings](../findings.md)."""


def _card(name: str, result: str) -> str:
    (picture, *_) = pictures_of(result)
    return f"""::::{{grid-item-card}} {name}
:link: {name}
:link-type: doc
:img-top: thumbnails/{picture}
:img-alt: {name}

{figures.NAMES[name].summary}
::::
"""


def write_thumbnails() -> None:
    folder = DOCS / "figures" / "thumbnails"
    folder.mkdir(parents=True, exist_ok=True)
    for name, result in stored_results().items():
        if not (pictures := pictures_of(result)):
            raise ValueError(f"{name}: no picture in REPRODUCTION.md")
        with Image.open(DOCS / PICTURES / pictures[0]) as whole:
            small = whole.convert("RGB")
        small.thumbnail(THUMBNAIL)
        page = Image.new("RGB", THUMBNAIL, "white")  # all of one shape, so that cards stand in rows
        page.paste(small, ((THUMBNAIL[0] - small.width) // 2, (THUMBNAIL[1] - small.height) // 2))
        page.save(folder / pictures[0])
