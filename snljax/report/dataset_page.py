"""``report(sources)``: one HTML file to look around in Datasets, with their claims and where they come from."""

from __future__ import annotations

import json
import math
import os
import pathlib
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from snljax import stats
from snljax.report import borders
from snljax.report.blocks import Block, Code, Heading, Items, Line, Paragraph, Table, Verdict
from snljax.report.cube import Cubes, cubes
from snljax.report.explorer import Border, Explorer, explorer
from snljax.report.section import claims_of
from snljax.report.web import body, style
from snljax.sources import Source, opened
from snljax.variables import STATUS
from snljax.wording import one_line, shown

_MOST_LINES = 400  # indices of other dimensions for which a page has boundaries
_LOOKS = {"mean": ("solid", "black"), "low": ("dotted", "black"), "high": ("dotted", "black")}
_THEORY = ("#D55E00", "#CC79A7", "#E69F00")  # what viridis has none of
_KEY = ("experiment", "reading", "command", "commit", "versions", "device", "precision", "dtype", "seeds")

_CSS = """
main { max-width: 84rem; }
.views { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); gap: 1.5rem; }
.views > div { min-width: 0; }
.sheet { background: #fff; color: #1c2024; color-scheme: light; padding: .6rem; border-radius: 4px; margin: 1rem 0; }
"""

_TEMPLATE = """{% block preamble %}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="snljax report">
{% endblock %}
{% block postamble %}<style>{{ style }}</style>{% endblock %}
{% block contents %}
{% from macros import embed %}
<main>
{% for section in sections %}
{{ section.before }}
<div class="sheet">
{{ embed(roots[section.roots[0]]) }}
<div class="views">
{% for name in section.roots[1:] %}
<div id="{{ name }}">{{ embed(roots[name]) }}</div>
{% endfor %}
</div>
</div>
{{ section.after }}
{% endfor %}
</main>
{% endblock %}
"""


def report(
    sources: Any,
    out: str | os.PathLike[str] = "report.html",
    *,
    metric: str | None = None,
    level: float | None = None,
    x: str | None = None,
    y: str | None = None,
    metrics: Sequence[str] | None = None,
    title: str | None = None,
) -> pathlib.Path:
    """Write one HTML page to look around in results: it needs no network and no server.

    Of each Dataset a heatmap of the mean over seeds, which says value, interval, seeds and settings of the cell below
    the mouse; a click shows its curves with bands, along recorded steps and along each axis; sliders for all other
    dimensions. Over the heatmap the boundary with its band, and where theory puts it, if the experiment is the
    package's and `snljax.theory` has a border over these axes. Below it the claims of a ``claims.json`` that lies
    beside the file, and settings, versions and command.

    Args:
        sources: a Dataset, the path of a netCDF file or a store, or several in a list.
        out: the file.
        metric: what is shown first, and has the boundary; by default that of a trace, else test_loss or the first.
        level: of the boundary; by default that of a trace, else there is none.
        x, y: dimensions of the heatmap; default the first two that were swept.
        metrics: those that the page has; default all with few numbers for each network.
        title: of the page; default the names of the sources.

    Returns:
        The file that was written.

    Raises:
        ValueError: bokeh is not installed, a source cannot be read, a metric or dimension is not there, or the page
            cannot be written, or is a file that is no such page.

    Example:
        >>> import tempfile
        >>> loss = (("sigma_p", "K", "seed"), np.arange(12.0).reshape(2, 3, 2))
        >>> ds = xr.Dataset({"test_loss": loss}, {"sigma_p": [0.5, 1.0], "K": [10, 20, 40]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report(ds, pathlib.Path(folder, "report.html"), level=5.0).name
        'report.html'
    """
    try:
        import bokeh  # noqa: F401
    except ImportError:
        raise ValueError("report: bokeh is not installed; allowed: pip install 'snljax[report]'") from None
    out = pathlib.Path(out)
    if out.suffix != ".html":
        raise ValueError(f"out: {out} is no HTML file; allowed: a name that ends in .html")
    several = sources if isinstance(sources, (list, tuple)) else [sources]
    if not several:
        raise ValueError(f"sources: {shown(sources)}; allowed: one Dataset, file or store, or more")
    if level is not None:
        stats.check_finite("level", level)
    if out.exists() and not _is_ours(out):
        raise ValueError(f"out: {out} is there and no report of snljax; allowed: another name, or that file moved away")
    read = [opened(one) for one in several]
    sections = [_section(one, metric, level, x, y, metrics, f"part{i}") for i, one in enumerate(read)]
    page = _page(title or ", ".join(dict.fromkeys(one.name for one in read)), sections, read)
    _write(out, page)
    return out


class _Section:
    """One Dataset of a page. roots: names of bokeh's models. before, after: blocks around them."""

    def __init__(self, before: list[Block], explored: Explorer, after: list[Block]) -> None:
        self.before, self.after, self.ready = before, after, explored.ready
        self.models = explored.parts
        self.roots = [part.name for part in explored.parts]


def _section(
    source: Source,
    metric: str | None,
    level: float | None,
    x: str | None,
    y: str | None,
    metrics: Sequence[str] | None,
    name: str,
) -> _Section:
    ds = source.ds
    traced = dict(ds["side"].attrs) if "side" in ds else {}
    metric, x, y = metric or traced.get("metric"), x or traced.get("x"), y or traced.get("y")
    if level is None and metric == traced.get("metric"):
        level = traced.get("level")
    found = cubes(ds, metric, metrics, x, y)
    side = None
    if traced and metric == traced["metric"] and {found.x, found.y} == {*ds["side"].dims}:
        side = ds["side"].transpose(found.y, found.x).values
    lines, unsaid = _borders(ds, found, level)
    explored = explorer(name, found, lines, level, side)
    about = _about(ds, found, side is not None)
    left_out = [*found.left_out, *unsaid]
    about += [Paragraph([f"Not on this page: {'; '.join(left_out)}."])] * bool(left_out)
    return _Section(about, explored, _provenance(ds))


def _about(ds: xr.Dataset, found: Cubes, traced: bool) -> list[Block]:
    status = ds[STATUS].values
    words = ("pending", "done", "diverged")
    counted = [f"{int((status == code).sum()):,} {word}" for code, word in enumerate(words) if (status == code).any()]
    seeds = f"mean over {ds.sizes['seed']} seeds" if ds.sizes.get("seed", 1) > 1 else "a single seed"
    text = f"{status.size:,} networks ({', '.join(counted)}); shown is the {seeds}."
    if found.y is not None:
        text += " A cell's curves are shown when it is clicked."
    if traced:
        text += " Cells that the trace did not train have the pale colour of their side of the level: violet below,"
        text += " yellow at or above it, grey where the seeds cannot tell."
    return [Paragraph([text])]


# --- boundaries and theory ---------------------------------------------------------------------------


def _borders(ds: xr.Dataset, found: Cubes, level: float | None) -> tuple[list[Border], list[str]]:
    """Lines over the heatmap, and which are missing."""
    if found.x is None or found.y is None:
        return [], []
    x, y, first = found.axes[found.x], found.axes[found.y], found.cubes[0]
    made: list[Border] = []
    unsaid: list[str] = []
    others = tuple(d for d in first.dims if d not in (x.name, y.name))
    many = math.prod(len(found.axes[d].texts) for d in others) > _MOST_LINES
    wide = not (x.named or y.named) and min(len(x.texts), len(y.texts)) > 1
    if level is not None and (many or not wide):
        why = "at so many places" if many else "which needs numbers along x and y"
        unsaid.append(f"the boundary at {level:g}, {why}")
    elif level is not None:
        for end, (dash, colour) in _LOOKS.items():
            at = [*borders.crossings(first, end, x.name, y.name, level).values()]
            label = f"{first.name} = {level:g}" if end == "mean" else f"its 95 % band, {end} end"
            if any(at):
                look = {"line_color": colour, "line_dash": dash}
                made.append(Border(label, first.name, others, at, look))
    return made + _of_theory(ds, found), unsaid


def _of_theory(ds: xr.Dataset, found: Cubes) -> list[Border]:
    x, y = found.axes[str(found.x)], found.axes[str(found.y)]
    free = tuple(d for d in found.dims if d not in (x.name, y.name))
    sizes = [len(found.axes[d].texts) for d in free]
    if math.prod(sizes) > _MOST_LINES or "settings" not in ds.attrs:
        return []
    settings = json.loads(ds.attrs["settings"])
    at: dict[str, list[borders.Lines]] = {}
    for i, index in enumerate(np.ndindex(*sizes)):
        here = borders.numbers(ds, settings, dict(zip(free, index, strict=True)))
        for label, lines in borders.of_theory(str(ds.attrs.get("experiment")), here, x, y).items():
            at.setdefault(label, [[] for _ in range(math.prod(sizes))])[i] = lines
    looks = ({"line_color": _THEORY[i % len(_THEORY)], "line_dash": "dashed"} for i in range(len(at)))
    return [Border(label, None, free, lines, look) for (label, lines), look in zip(at.items(), looks, strict=True)]


# --- what stands around them -------------------------------------------------------------------------


def _provenance(ds: xr.Dataset) -> list[Block]:
    """Settings and all else that the Dataset says of itself."""
    attrs = {str(name): _readable(value) for name, value in ds.attrs.items()}
    settings = attrs.pop("settings", {})
    blocks: list[Block] = []
    if isinstance(settings, dict) and settings:
        text = ", ".join(f"{name} = {_text(value)}" for name, value in settings.items())
        blocks += [Heading(3, "Settings"), Paragraph([Code(text)])]
    if attrs:
        order = [*(name for name in _KEY if name in attrs), *(name for name in attrs if name not in _KEY)]
        rows: list[list[Line]] = [[[name], [Code(_text(attrs[name]))]] for name in order]
        blocks += [Heading(3, "Provenance"), Table(["what", "value"], rows)]
    return blocks


def _readable(value: Any) -> Any:
    """An attribute; those that hold JSON, as what it holds."""
    if isinstance(value, str) and value[:1] in "[{":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(one)}" for name, one in value.items())
    return f"{value:.6g}" if isinstance(value, float) else "none" if value is None else str(value)


def _claims(folder: pathlib.Path) -> list[Block]:
    """The claims of a figure's folder, as `reproduce` wrote them; nothing where there are none."""
    try:
        claims, remarks = claims_of(folder)
    except (OSError, ValueError, TypeError, KeyError):
        return []
    rows: list[list[Any]] = [[[c.text], [c.source], [Verdict(c.verdict)], [c.measured], [c.threshold]] for c in claims]
    head = ["claim", "source", "verdict", "measured", "threshold"]
    return [Heading(2, f"Claims of {folder.name}"), Table(head, rows), Items([[one] for one in remarks])]


def _page(title: str, sections: list[_Section], read: list[Source]) -> str:
    from bokeh.document import Document
    from bokeh.embed import file_html
    from bokeh.resources import INLINE

    document = Document()
    parts = []
    for i, section in enumerate(sections):
        for model in section.models:
            document.add_root(model)
        document.js_on_event("document_ready", section.ready)
        name = [Heading(2, read[i].name)] * (len(read) > 1 or title != read[i].name)
        before = [*([Heading(1, title)] * (i == 0)), *name, *section.before]
        folder = read[i].folder
        last = folder is not None and folder not in [one.folder for one in read[i + 1 :]]
        after = [*(_claims(folder) if folder is not None and last else []), *section.after]
        parts.append({"before": body(before), "after": body(after), "roots": section.roots})
    variables = {"sections": parts, "style": style() + _CSS}
    return file_html(document, INLINE, title, template=_TEMPLATE, template_variables=variables)


def _is_ours(out: pathlib.Path) -> bool:
    """Whether a file is a page of this kind, which another may replace."""
    try:
        with open(out, "rb") as file:
            return b'<meta name="generator" content="snljax report">' in file.read(1000)
    except OSError:
        return False


def _write(out: pathlib.Path, page: str) -> None:
    part = out.with_name(f".{out.stem}-{uuid.uuid4().hex[:8]}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(page, encoding="utf-8")
        os.replace(part, out)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ValueError(f"out: {out} cannot be written ({error.strerror or one_line(error)})") from None
