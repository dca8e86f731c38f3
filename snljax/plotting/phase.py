"""Phase maps: cells in colour, the regions they fall into, the boundaries between these, and what seeds leave open."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from itertools import cycle, pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure, SubFigure

from snljax.boundary.scales import is_geometric
from snljax.plotting.axis import edges
from snljax.plotting.labels import fitted, label_of, number, short_label_of
from snljax.plotting.levels import casing
from snljax.plotting.pages import Width, legend, panels, style
from snljax.plotting.panel import LEVEL_STYLES, Curve, Looks, draw_panel
from snljax.plotting.plane import Plane, plane


def phase_map(
    ds: xr.Dataset,
    metric: str | None = None,
    level: float | Sequence[float] | None = None,
    *,
    x: str | None = None,
    y: str | None = None,
    facet: str | None = None,
    names: Sequence[str] | None = None,
    theory: Sequence[Curve] = (),
    band: bool = True,
    robust: bool = True,
    log: bool | None = None,
    width: Width = "column",
    ax: Axes | None = None,
) -> Figure | SubFigure:
    r"""A phase diagram: cells in colour, named regions, the boundary with its band over seeds, and theory.

    The boundary is where the mean over seeds has the level, its band where the 95 % interval over seeds holds it:

    .. math:: \bar v(z) = \theta, \qquad \text{low}(z) \le \theta \le \text{high}(z)

    Cells whose interval holds the level are stippled: the seeds cannot tell on which side they lie. Cells in which a
    seed diverged are hatched. Where not all cells are trained, those that are have an outline, and the others of a
    traced diagram are tinted by the side on which they lie.

    Args:
        ds: from `sweep` or `trace`: a metric over x, y, and seeds where there are any; ``status``; and of a traced
            diagram ``side``, whose attrs say metric and level.
        metric: default the traced one, else ``test_loss``, else the only one.
        level: θ, one number or several; default the traced one, else none.
        x, y: the dimensions along the axes; default the first two that are neither seed nor facet.
        facet: a third dimension: a panel for each of its values, with the same colours.
        names: of the regions, from the lowest: one more than levels; default ``"below 2"`` and so on; ``()`` for none.
        theory: curves on all panels.
        band: draw the band.
        robust: colours from the 2nd to the 98th percentile of the cells, with arrows on the colour bar for those
            beyond; else from the least to the most.
        log: logarithmic colours; default for a positive loss whose colours span a factor of ten.
        width: of the figure in print, ``"column"`` or ``"page"``. It is drawn in `style`; saved there too, it has
            sharp cells and letters as TrueType.
        ax: draw here instead, in the style in force; `legend` then says what the marks are.

    Returns:
        The Figure, that of ``ax`` if it is given. The first Axes of a new one are the panels.

    Raises:
        ValueError: if the metric, a dimension or a level is not there or not a number, two axes are the same, a
            further dimension is left over, names do not fit the levels, colours have no logarithm, a theory's curve
            has no places, ``ax`` is given with facets, or width has another name.

    Example:
        >>> import xarray as xr
        >>> loss = np.add.outer(np.arange(4.0), np.arange(4.0))[..., None] + [0.8, 1.0, 1.2]
        >>> ds = xr.Dataset({"test_loss": (("sigma_p", "K", "seed"), loss)}, {"sigma_p": [1, 2, 3, 4]})
        >>> fig = phase_map(ds, level=4.0, theory=[Curve("theory", lambda s: 4 - s)])
        >>> sorted(text.get_text() for text in fig.axes[0].texts)
        ['above 4', 'below 4']
    """
    if ax is not None and facet is not None:
        raise ValueError(f"facet: {facet!r} with an ax; allowed: without, for each panel is an Axes of its own")
    whole = plane(ds, metric, level, x, y, facet)
    norm, extend = _colours(whole, robust, log)
    looks = Looks(norm, [_placed(curve, whole) for curve in theory], _names(names, whole.levels), band)
    with contextlib.nullcontext() if ax is not None else style():
        fig, axes, columns = _page(whole, width) if ax is None else (ax.figure, [ax], 1)
        for i, panel in enumerate(axes):
            here = whole.cells if facet is None else whole.cells.isel({facet: i})
            mesh = draw_panel(panel, whole, here, looks)
            if facet is not None:
                entry = f"{short_label_of(here['mean'], facet)} = {number(here[facet].item())}"
                panel.set_title(fitted(entry, panel, "x"))
        _labelled(axes, columns, whole)
        _colour_bar(mesh, axes, columns, whole, extend)
        if isinstance(fig, Figure) and ax is None:
            if any(panel.get_legend_handles_labels()[0] for panel in axes):
                legend(fig, columns=2 if width == "column" else 4)
            fig.draw_without_rendering()  # the layout is found, and ticks take their looks, when first drawn
    return fig


def _names(names: Sequence[str] | None, levels: tuple[float, ...]) -> Sequence[str]:
    """A name for each region, or none."""
    regions = len(levels) + 1 if levels else 0
    if names is None:
        inner = [f"{a:g} to {b:g}" for a, b in pairwise(levels)]
        return [f"below {levels[0]:g}", *inner, f"above {levels[-1]:g}"] if levels else ()
    if isinstance(names, str) or len(names) not in (0, regions):
        raise ValueError(f"names: {names!r}; allowed: {regions} names, from the lowest region, or none")
    return names


def _placed(curve: Curve, whole: Plane) -> Curve:
    """A curve with values at places."""
    if not isinstance(curve, Curve):
        raise ValueError(f"theory: {curve!r}; allowed: Curve(label, y), in a list")
    if not callable(curve.y):
        shapes = np.shape(np.asarray(curve.x)), np.shape(np.asarray(curve.y))
        if curve.x is None or shapes[0] != shapes[1]:
            raise ValueError(
                f"theory, {curve.label!r}: x {shapes[0]}, y {shapes[1]}; allowed: an x for each y, or y a function of x"
            )
        return curve
    at = edges(whole.cells[whole.x]) if curve.x is None else np.asarray(curve.x, float)
    if curve.x is None:
        space = np.geomspace if is_geometric(whole.cells[whole.x].values) else np.linspace
        at = space(at[0], at[-1], 400)
    with np.errstate(all="ignore"):  # a theory may end within the panel
        return curve._replace(x=at, y=np.broadcast_to(np.asarray(curve.y(at), float), at.shape))


def _colours(whole: Plane, robust: bool, log: bool | None) -> tuple[Normalize, str]:
    """The scale of the colours, and at which of its ends there are cells beyond."""
    values = whole.cells["mean"].values
    values = values[np.isfinite(values)]
    if not values.size:
        return Normalize(0, 1), "neither"
    low, high = np.percentile(values, [2, 98]) if robust else (values.min(), values.max())
    positive = values.min() > 0
    if log and not positive:
        raise ValueError(f"log: {log} for {whole.metric} from {values.min():g}; allowed: positive values, or log=False")
    loss = whole.metric.endswith(("loss", "mse"))
    norm = (LogNorm if log or (log is None and loss and positive and high >= 10 * low) else Normalize)(low, high)
    shown = whole.cells["mean"].values
    beyond = bool((shown < low).any()), bool((shown > high).any())
    return norm, {(True, True): "both", (True, False): "min", (False, True): "max"}.get(beyond, "neither")


# --- the page ----------------------------------------------------------------------------------------


def _page(whole: Plane, width: Width) -> tuple[Figure, list[Axes], int]:
    """A panel for each value of the facet, in rows that are as even as can be, and how many are beside each other."""
    count = 1 if whole.facet is None else whole.cells.sizes[whole.facet]
    rows = -(-count // (2 if width == "column" else 4))
    columns = -(-count // rows)
    ratio = 0.6 if columns == 1 and width == "page" else 0.9 if columns == 1 or width == "page" else 1.3
    fig, axes = panels(rows, columns, width=width, ratio=ratio, sharex=True, sharey=True)
    for spare in axes.flat[count:]:
        spare.remove()
    return fig, list(axes.flat[:count]), columns


def _labelled(axes: list[Axes], columns: int, whole: Plane) -> None:
    """What the axes are: below the lowest panel of each column, and once at the left."""
    x_label, y_label = (label_of(whole.cells["mean"], name) for name in (whole.x, whole.y))
    for i, lowest in list(enumerate(axes))[-columns:]:
        lowest.tick_params(labelbottom=True)
        lowest.set_xlabel(fitted(x_label, lowest, "x"))
        # Beside the last row there is the room of a spare panel.
        lowest.xaxis.set_in_layout(i // columns == (len(axes) - 1) // columns)
    if whole.facet is None:
        axes[0].set_ylabel(fitted(y_label, axes[0], "y"))
    else:
        axes[0].figure.supylabel(y_label, fontsize=mpl.rcParams["axes.labelsize"])


def _colour_bar(mesh: Any, axes: list[Axes], columns: int, whole: Plane, extend: str) -> None:
    bar = axes[0].figure.colorbar(mesh, ax=axes, extend=extend, aspect=25 * -(-len(axes) // columns))
    bar.set_label(fitted(label_of(whole.cells["mean"].rename(whole.metric)), bar.ax, "y"))
    for look, level in zip(cycle(LEVEL_STYLES), whole.levels, strict=False):
        if mesh.norm.vmin <= level <= mesh.norm.vmax:
            bar.ax.axhline(level, color="k", ls=look, lw=1.0, path_effects=casing(1.0))
