"""A Dataset to look around in, drawn by bokeh: a heatmap, curves through its cells, and sliders for all else."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from snljax.plotting import COLORS
from snljax.report.borders import Lines
from snljax.report.cube import Axis, Cubes

_HEIGHT = 360  # pixels, of the panel without its axes
_PENDING = "#dcdcdc"
_MARK = "#d62728"
_TINTS = {-1: "#C9C5DA", 0: "#BBBBBB", 1: "#F7F5CF"}  # of cells that a trace did not train, as phase maps have them
# Narrow enough for either side of the mouse on a narrow screen.
_TIP = "<div style='max-width: 11rem; white-space: normal'><b>@value</b><br>@interval<br>@seeds<br>@place{0}</div>"
_TOOLS = "pan,box_zoom,wheel_zoom,reset,save"


class Border(NamedTuple):
    """Lines over the heatmap. metric: over which alone they are drawn, or None. dims: those that they change with.

    at: lines for each index along dims, in order. look: of bokeh's multi_line.
    """

    label: str
    metric: str | None
    dims: tuple[str, ...]
    at: list[Lines]
    look: dict[str, Any]


class Explorer(NamedTuple):
    """bokeh's models, from top to bottom, and what is to be run when they are there."""

    parts: list[Any]
    ready: Any


def explorer(
    name: str, cubes: Cubes, borders: Sequence[Border], level: float | None, side: np.ndarray | None
) -> Explorer:
    """What a reader looks around in.

    Args:
        name: of its models, which are called name_0, name_1 and so on, as are the elements of the page around them.
        cubes: of the Dataset.
        borders: lines over its heatmap.
        level: a line at this value over the curves of the first metric.
        side: −1, 0 or 1 of each cell, shape (y, x), shown where it has no number; from `trace`.

    Returns:
        Explorer.
    """
    from bokeh.models import (
        Column,
        ColumnDataSource,
        CustomJS,
        CustomJSTickFormatter,
        Div,
        RadioButtonGroup,
        Row,
        Select,
        Slider,
    )

    along = [d for d, axis in cubes.axes.items() if len(axis.texts) > 1]
    along.sort(key=lambda d: d not in ("step", "steps"))
    names = [cube.name for cube in cubes.cubes]
    free = [d for d in cubes.free if len(cubes.axes[d].texts) > 1]
    middle = [len(cubes.axes[d].texts) // 2 if d else 0 for d in (cubes.x, cubes.y)]
    meta, numbers, counts = _packed(cubes, borders, along, free, None if level is None else names[0])
    controls: dict[str, Any] = {
        "metric": Select(title="metric", options=names, value=names[0], width=260),
        "scale": RadioButtonGroup(labels=["linear", "logarithmic"], active=int(_is_wide(cubes)), width=200),
        "along": RadioButtonGroup(labels=along, active=0 if along else None),
        "sliders": [_slider(cubes.axes[d], Slider, CustomJSTickFormatter) for d in free],
        "mark": ColumnDataSource({"left": [], "right": [], "bottom": [], "top": []}, tags=middle),
    }
    heatmap, drawn = _heatmap(cubes, borders, side, controls["mark"])
    known = _curves(cubes, along, level)
    arguments = {**controls, **drawn, **known, "meta": json.dumps(meta), "numbers": numbers, "counts": counts}
    code = pathlib.Path(__file__).with_name("explorer.js").read_text(encoding="utf-8")
    update = CustomJS(args=arguments, code=code)
    controls["metric"].js_on_change("value", update)
    for control in ("scale", "along"):
        controls[control].js_on_change("active", update)
    for slider in controls["sliders"]:
        slider.js_on_change("value", update)
    if heatmap is not None:
        across = len(cubes.axes[str(cubes.x)].texts)
        chosen = {
            "heat": drawn["heat"],
            "mark": controls["mark"],
            "update": update,
            "across": across,
            "below": f"{name}_2",
        }
        drawn["heat"].selected.js_on_change("indices", CustomJS(args=chosen, code=_CHOSEN))
    line = {"sizing_mode": "stretch_width", "styles": {"flex-wrap": "wrap", "align-items": "end"}}
    scale = Column(Div(text="scale of the metric"), controls["scale"])
    parts: list[Any] = [Row(controls["metric"], scale, *controls["sliders"], **line)]
    if heatmap is not None:
        parts.append(heatmap)
    if along:
        shown = [figure for figures in known["curves"] for figure in figures]
        choice = [Row(Div(text="curve along"), controls["along"], **line)] * (len(along) > 1)
        parts.append(Column(*choice, *shown, sizing_mode="stretch_width"))
    for i, part in enumerate(parts):
        part.name = f"{name}_{i}"
    return Explorer(parts, update)


_CHOSEN = """
const k = heat.selected.indices[0]
if (k === undefined) return
mark.tags = [k % across, Math.floor(k / across)]
heat.selected.indices = []
update.execute(cb_obj)
document.getElementById(below)?.scrollIntoView({block: "nearest", behavior: "smooth"})
"""


def math(label: str) -> str:
    r"""A label with its formulas as bokeh writes them.

    Example:
        >>> math("noise $\\sigma_p$")
        'noise $$\\sigma_p$$'
    """
    return re.sub(r"\$([^$]+)\$", r"$$\1$$", label)


def _label(axis: Axis) -> str:
    """The name that settings and commands have, and the symbol of the paper."""
    plain = axis.name.replace("_", " ")
    symbol = re.fullmatch(r"\$([^$]+)\$", axis.label)
    if symbol and symbol[1] != axis.name:
        escaped = axis.name.replace("_", r"\_")
        return rf"$${symbol[1]} \quad (\mathtt{{{escaped}}})$$"
    return axis.name if symbol or axis.label in (axis.name, plain) else f"{math(axis.label)} ({axis.name})"


def _is_wide(cubes: Cubes) -> bool:
    """Whether the first metric spans so much that it is read in logarithms."""
    known = cubes.cubes[0].mean[np.isfinite(cubes.cubes[0].mean)]
    return bool(known.size and known.min() > 0 and known.max() > 100 * known.min())


def _slider(axis: Axis, kind: Any, formatter: Any) -> Any:
    last = len(axis.texts) - 1
    value = last if axis.name in ("step", "steps") else 0
    shown = formatter(args={"texts": axis.short}, code="return texts[tick]")
    return kind(start=0, end=last, step=1, value=value, title=axis.name, format=shown, width=260)


def _packed(
    cubes: Cubes, borders: Sequence[Border], along: list[str], free: list[str], level_of: str | None
) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """What the script of the page reads: a description, and all numbers in two arrays."""
    numbers: list[np.ndarray] = []
    counts: list[np.ndarray] = []
    described = []
    for cube in cubes.cubes:
        known = cube.mean[np.isfinite(cube.mean)]
        least, most = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        room = abs(least) / 100 or 0.01 if least == most else 0.0  # one colour needs a scale, too
        described.append(
            {
                "name": cube.name,
                "label": math(cube.label),
                "dims": cube.dims,
                "size": cube.mean.size,
                "numbers": sum(map(len, numbers)),
                "counts": sum(map(len, counts)),
                "least": least,
                "low": least - room,
                "high": most + room,
            }
        )
        numbers += [cube.mean.ravel(), cube.low.ravel(), cube.high.ravel()]
        counts.append(cube.seeds.ravel())
    axes = {
        name: {
            "texts": axis.texts,
            "short": axis.short,
            "places": axis.places.tolist(),
            "edges": axis.edges.tolist(),
            "order": np.argsort(axis.places, kind="stable").tolist(),
        }
        for name, axis in cubes.axes.items()
    }
    about = {
        "x": cubes.x,
        "y": cubes.y,
        "free": free,
        "along": along,
        "axes": axes,
        "cubes": described,
        "dims": cubes.dims,
        "cells": cubes.diverged.size,
        "state": sum(map(len, counts)),
        "lines": [{"metric": one.metric, "dims": one.dims, "at": one.at} for one in borders],
        "level_of": level_of,
    }
    return about, np.concatenate(numbers), np.concatenate([*counts, cubes.diverged.ravel(), cubes.pending.ravel()])


def _heatmap(
    cubes: Cubes, borders: Sequence[Border], side: np.ndarray | None, mark: Any
) -> tuple[Any | None, dict[str, Any]]:
    """The figure, and those of its models that the script of the page changes."""
    from bokeh.models import (
        ColorBar,
        ColumnDataSource,
        HoverTool,
        Legend,
        LegendItem,
        LinearColorMapper,
        LogColorMapper,
        TapTool,
    )
    from bokeh.palettes import Viridis256

    clear = "rgba(0, 0, 0, 0)"
    mappers = [kind(low=1, high=2, palette=Viridis256, nan_color=clear) for kind in (LinearColorMapper, LogColorMapper)]
    known: dict[str, Any] = {"linear_colours": mappers[0], "log_colours": mappers[1]}
    if cubes.x is None or cubes.y is None:
        return None, known | dict.fromkeys(("heat", "map", "cells", "hatched")) | {"bars": [], "lines": []}
    x, y = cubes.axes[cubes.x], cubes.axes[cubes.y]
    figure = _figure(x, y.log, y)
    figure.background_fill_color = _PENDING
    i, j = np.tile(np.arange(len(x.texts)), len(y.texts)), np.repeat(np.arange(len(y.texts)), len(x.texts))
    edges = {"left": x.edges[i, 0], "right": x.edges[i, 1], "bottom": y.edges[j, 0], "top": y.edges[j, 1]}
    sides = {"left": "left", "right": "right", "bottom": "bottom", "top": "top"}
    items = []
    if side is not None:
        colours = [_TINTS[int(one)] for one in side.ravel()]
        tints = ColumnDataSource({**edges, "colour": colours})
        figure.quad(**sides, fill_color="colour", line_color=None, source=tints)
    blank = dict.fromkeys(("value", "interval", "seeds", "place"), [""] * i.size)
    heat = ColumnDataSource({**edges, "mean": np.full(i.size, np.nan).tolist(), **blank})
    colour = {"field": "mean", "transform": mappers[0]}
    cells = figure.quad(**sides, fill_color=colour, line_color=colour, source=heat)  # no seams between them
    cells.selection_glyph = cells.nonselection_glyph = None
    hatched = ColumnDataSource({name: [] for name in sides})
    bad = []
    for ink, weight in (("black", 4.0), ("white", 1.5)):  # seen on dark and on light
        look = {"fill_alpha": 0.0, "line_color": None, "hatch_pattern": "/", "hatch_color": ink}
        bad.append(figure.quad(**sides, source=hatched, hatch_weight=weight, **look))
    if bool(cubes.diverged.any()):
        items.append(LegendItem(label="a seed diverged", renderers=bad))
    lines = []
    for border in borders:
        lines.append(ColumnDataSource({"xs": [], "ys": []}))
        casing = figure.multi_line("xs", "ys", source=lines[-1], line_color="white", line_width=3.5, line_alpha=0.8)
        line = figure.multi_line("xs", "ys", source=lines[-1], line_width=2, **border.look)
        items.append(LegendItem(label=border.label, renderers=[casing, line]))
    around = {"fill_color": None, "source": mark}
    figure.quad(**sides, line_color="white", line_width=5, **around)
    figure.quad(**sides, line_color=_MARK, line_width=2, **around)
    figure.add_tools(HoverTool(renderers=[cells], tooltips=_TIP.replace("{0}", "<br><i>click: its curves</i>")))
    figure.add_tools(TapTool(renderers=[cells]))
    bars = [ColorBar(color_mapper=mapper, width=14, padding=6) for mapper in mappers]
    for bar in bars:
        figure.add_layout(bar, "right")
    if items:
        figure.add_layout(
            Legend(items=items, click_policy="hide", location="left", label_text_font_size="12px"), "below"
        )
    known |= {"heat": heat, "map": figure, "cells": cells.glyph, "hatched": hatched, "bars": bars, "lines": lines}
    return figure, known


def _curves(cubes: Cubes, along: list[str], level: float | None) -> dict[str, list[Any]]:
    """For each dimension a curve on a linear and on a logarithmic scale; the script shows one of all of them."""
    from bokeh.models import ColumnDataSource, HoverTool, Span, Whisker

    known: dict[str, list[Any]] = {"points": [], "bands": [], "curves": [], "levels": []}
    for name in along:
        axis = cubes.axes[name]
        empty = ("x", "mean", "low", "high", "value", "interval", "seeds", "place")
        points, bands = (ColumnDataSource({n: [] for n in names}) for names in (empty, ("x", "low", "high")))
        figures = [_figure(axis, log) for log in (False, True)]
        for figure in figures:
            if axis.named:  # between names there is nothing
                ends = {"base": "x", "lower": "low", "upper": "high", "source": bands}
                figure.add_layout(Whisker(**ends, line_color=COLORS[0], line_width=2))
            else:
                figure.varea("x", "low", "high", source=bands, fill_color=COLORS[0], fill_alpha=0.25)
                figure.line("x", "mean", source=points, line_color=COLORS[0], line_width=2)
            dots = figure.scatter("x", "mean", source=points, size=7, fill_color=COLORS[0], line_color="white")
            figure.add_tools(HoverTool(renderers=[dots], tooltips=_TIP.replace("{0}", "")))
            if level is not None:
                known["levels"].append(Span(location=level, dimension="width", line_dash="dotted", line_color="black"))
                figure.add_layout(known["levels"][-1])
        known["points"].append(points)
        known["bands"].append(bands)
        known["curves"].append(figures)
    return known


def _figure(x: Axis, log: bool, y: Axis | None = None) -> Any:
    """A figure with an axis for a dimension; along the other, another one, or a metric."""
    from bokeh.models import FixedTicker, Range1d
    from bokeh.plotting import figure

    kinds = {"x_axis_type": "log" if x.log else "linear", "y_axis_type": "log" if log else "linear"}
    look = {"frame_height": _HEIGHT, "sizing_mode": "stretch_width", "tools": _TOOLS, "toolbar_location": "above"}
    made = figure(y_range=Range1d(1, 2), visible=y is not None, **look, **kinds)
    for axis, side, name in ((x, made.xaxis[0], "x_range"), (y, made.yaxis[0], "y_range")):
        if axis is None:
            continue
        setattr(made, name, Range1d(float(axis.edges.min()), float(axis.edges.max()), bounds=None))
        side.axis_label = _label(axis)
        if axis.named:
            side.ticker = FixedTicker(ticks=axis.places.tolist())
            side.major_label_overrides = dict(zip(axis.places.tolist(), axis.short, strict=True))
            if name == "x_range" and sum(map(len, axis.short)) > 40:
                side.major_label_orientation = 0.6
    made.grid.visible = y is None
    made.title.text_font_size = "14px"
    made.title.text = " "
    for side in made.axis:
        side.axis_label_text_font_style, side.axis_label_text_font_size = "normal", "14px"
        side.major_label_text_font_size = "12px"
    return made
