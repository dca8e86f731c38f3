"""One panel of a phase map: its marks, from the cells up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.font_manager import FontProperties
from matplotlib.patches import PathPatch
from numpy.typing import ArrayLike

from snljax.boundary.scales import Scale, is_geometric
from snljax.plotting.axis import edges
from snljax.plotting.bands import between
from snljax.plotting.cells import cells, hatched
from snljax.plotting.labels import COLORS, short_label_of, width_of
from snljax.plotting.levels import casing, lines_of
from snljax.plotting.plane import Plane
from snljax.plotting.regions import roomy_places

LEVEL_STYLES: tuple[Any, ...] = ("-", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))  # of the levels in turn; dashed is theory
_TINTS = ListedColormap(["#C9C5DA", "#DDDDDD", "#F7F5CF"])  # below, open, above: viridis' ends and grey, near white
_THEORY_COLORS = (COLORS[1], COLORS[3], COLORS[4])  # what viridis has none of
_DOT = 2.2  # points, at most


class Curve(NamedTuple):
    """A boundary that theory gives. label: in the legend. y: values, or a function of an array of x. x: their places.

    fitted: constants of it were fitted to these cells; it is drawn solid, and dashed otherwise.
    """

    label: str
    y: ArrayLike | Callable[[np.ndarray], ArrayLike]
    x: ArrayLike | None = None
    fitted: bool = False


class Looks(NamedTuple):
    """What all panels share. theory: curves with places. names: of the regions, or none."""

    norm: Normalize
    theory: Sequence[Curve]
    names: Sequence[str]
    band: bool


def draw_panel(ax: Axes, whole: Plane, here: xr.Dataset, looks: Looks) -> Any:
    """Cells, boundaries with their bands, theory and names.

    Args:
        ax: the panel.
        whole: all panels' cells.
        here: this panel's.
        looks: what the panels share.

    Returns:
        What a colour bar is made of.
    """
    x, y = whole.x, whole.y
    if "traced" in here:
        cells(ax, here["traced"].where(~here["trained"]), x, y, cmap=_TINTS, vmin=-1.5, vmax=1.5, zorder=1)
    mesh = cells(ax, _shown(here["mean"], looks.norm), x, y, cmap="viridis", norm=looks.norm, zorder=1)
    # In the order of the legend.
    if whole.levels:
        _boundaries(ax, whole, here)
        if looks.band and whole.seeds[1] > 1:
            _bands(ax, whole, here)
        _stipple(ax, whole, here)
    hatched(ax, here["status"], x, y, zorder=2)
    if not whole.cells["trained"].all():
        _outline(ax, whole, here)
    for color, curve in zip(cycle(_THEORY_COLORS), looks.theory, strict=False):
        look: dict[str, Any] = {"color": color, "ls": "-" if curve.fitted else "--", "label": curve.label}
        places: tuple[Any, Any] = (curve.x, curve.y)
        ax.plot(*places, lw=1.2, path_effects=casing(1.2), zorder=5, **look)
    if looks.names:
        _name_regions(ax, whole, here, looks.names)
    return mesh


def _shown(mean: xr.DataArray, norm: Normalize) -> xr.DataArray:
    """The means, with numbers beyond the colours for infinite ones, which would be left blank."""
    low, high = float(norm.vmin or 0), float(norm.vmax or 0)
    reach = high - low + 1
    return mean.where(~np.isposinf(mean), high + reach).where(~np.isneginf(mean), low - reach)


def _boundaries(ax: Axes, whole: Plane, here: xr.Dataset) -> None:
    mean = here["mean"].rename(whole.metric)
    who = "mean " if whole.seeds[1] > 1 else ""
    for look, level in zip(cycle(LEVEL_STYLES), whole.levels, strict=False):
        scale = _scale(whole, here, level)
        line = lines_of(_within_reach(mean, level, scale), whole.x, whole.y, level, scale)
        if len(line):
            label = f"{who}{short_label_of(mean)} = {level:g}"
            ax.plot(*line.T, color="k", ls=look, lw=1.4, label=label, path_effects=casing(1.4), zorder=6)


def _within_reach(mean: xr.DataArray, level: float, scale: Scale) -> xr.DataArray:
    """Means with infinite ones as far beyond the level as the farthest finite one: a line passes half way to them."""
    finite = mean.values[np.isfinite(mean.values)]
    if scale == "log":
        far = float(np.abs(np.log(finite / level)).max(initial=0.0)) or 1.0
        above, below = level * np.exp(far), level * np.exp(-far)
    else:
        far = float(np.abs(finite - level).max(initial=0.0)) or 1.0
        above, below = level + far, level - far
    return mean.where(~np.isposinf(mean), above).where(~np.isneginf(mean), below)


def _scale(whole: Plane, here: xr.Dataset, level: float) -> Scale:
    """How the metric goes from cell to cell: as its intervals do, if that is in logarithms and all have one."""
    return "log" if whole.scale == "log" and min(_least(here["mean"]), level) > 0 else "linear"


def _least(mean: xr.DataArray) -> float:
    return float(mean.where(np.isfinite(mean)).min())


def _bands(ax: Axes, whole: Plane, here: xr.Dataset) -> None:
    """The area between the lines of the two ends of the interval, and these lines."""
    fewest, most = whole.seeds
    seeds = f"{most}" if fewest == most else f"{fewest} to {most}"
    known = np.isfinite(here["low"]) & np.isfinite(here["high"])
    for level in whole.levels:
        scale = _scale(whole, here, level)
        low, high = here["low"].where(known), here["high"].where(known)
        if scale == "log":  # the lower end of a noisy loss may be 0
            low = low.clip(min=min(level, float(low.where(low > 0, level).min())))
        area = between(low, high, whole.x, whole.y, level, scale)
        if area is not None:
            ax.fill([], [], fc="#DDDDDD", ec="k", lw=0.5, label=f"95 % t interval over {seeds} seeds")  # for the legend
            ax.add_patch(PathPatch(area, fc="white", alpha=0.45, lw=0, zorder=3))
            for end in (low, high):
                ax.plot(*lines_of(end, whole.x, whole.y, level, scale).T, color="k", lw=0.5, zorder=3)


def _stipple(ax: Axes, whole: Plane, here: xr.Dataset) -> None:
    """A dot in each cell that lies on neither side of some level."""
    unsure = (here["side"] == 0).any("level").values
    rows, columns = np.nonzero(unsure)
    if len(rows):
        box, (height, width) = ax.get_window_extent(), unsure.shape
        room = min(box.width / width, box.height / height) / ax.figure.dpi * 72
        size = min(0.35 * room, _DOT)
        dots: dict[str, Any] = {"c": "k", "edgecolors": "w", "zorder": 4}
        ax.scatter([], [], s=_DOT**2, label="seeds cannot tell", **dots)  # in the legend, whatever the cells' size
        places = here[whole.x].values[columns], here[whole.y].values[rows]
        ax.scatter(*places, s=size**2, linewidths=0.15 * size, **dots)


def _outline(ax: Axes, whole: Plane, here: xr.Dataset) -> None:
    """Lines between cells that were trained and cells that were not."""
    trained, total = here["trained"].values, whole.cells["trained"]
    at_x, at_y = edges(here[whole.x]), edges(here[whole.y])
    upright = [[(at_x[j + 1], at_y[i]), (at_x[j + 1], at_y[i + 1])] for i, j in np.argwhere(np.diff(trained, axis=1))]
    level = [[(at_x[j], at_y[i + 1]), (at_x[j + 1], at_y[i + 1])] for i, j in np.argwhere(np.diff(trained, axis=0))]
    label = f"trained: {int(total.sum())} of {total.size} cells"
    lines = LineCollection([*upright, *level], colors="0.25", linewidths=0.35, label=label, zorder=2)
    ax.add_collection(lines, autolim=False)


def _name_regions(ax: Axes, whole: Plane, here: xr.Dataset, names: Sequence[str]) -> None:
    """Each region's name where it has most room: above the level before it, and below the one after it."""
    side, box = here["side"].values, ax.get_window_extent()
    size = FontProperties(size=mpl.rcParams["legend.fontsize"]).get_size_in_points()
    x, y = (np.log(edges(at)) if is_geometric(at.values) else edges(at) for at in (here[whole.x], here[whole.y]))
    for i, name in enumerate(names):
        inside = np.ones(side.shape[1:], bool)
        if i > 0:
            inside &= side[i - 1] > 0
        if i < len(side):
            inside &= side[i] < 0
        points = width_of(name, size) + 6, 1.2 * size + 6
        share = points[0] / 72 * ax.figure.dpi / box.width, points[1] / 72 * ax.figure.dpi / box.height
        for across, up in roomy_places(inside, x, y, share):
            halo = {"boxstyle": "round,pad=0.2", "fc": "white", "ec": "none", "alpha": 0.75}
            look: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": size, "bbox": halo, "zorder": 8}
            ax.text(across, up, name, transform=ax.transAxes, **look)
