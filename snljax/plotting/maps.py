"""Phase diagrams in colour."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm, Normalize

from snljax.plotting.cells import cells, hatched, oriented
from snljax.plotting.labels import fitted, label_of
from snljax.plotting.levels import casing, level_line
from snljax.plotting.pages import axes_or_new

BELOW, ABOVE = "#2C7FB8", "#FFFFD9"  # blue and light yellow, as the papers draw thresholds


def heatmap(
    values: xr.DataArray,
    *,
    x: str,
    y: str,
    threshold: float | None = None,
    log: bool = False,
    limits: tuple[float, float] | None = None,
    status: xr.DataArray | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A phase diagram in colour, with a colour bar.

    An axis whose numbers are laid out in their logarithm is logarithmic (`boundary.scales.is_geometric`), names stand
    in their order, and the axes end with the cells: what is drawn over them leaves limits and labels as they are.

    Args:
        values: two dimensions, x and y (take the mean over seeds first). Unknown cells, NaN, stay blank.
        x, y: the dimensions along the axes.
        threshold: draw the line where the values cross this level, as `boundary.contours` finds it.
        log: logarithmic colours; values must be positive.
        limits: of the colours; default the data's.
        status: ``ds.status``; cells in which any seed diverged are hatched, "diverged" in a legend.
        ax: draw here; default a new figure.

    Returns:
        The Axes.

    Raises:
        ValueError: if the values have other dimensions than x and y, numbers along one are not all different, or log
            is asked for values, or limits, that are not positive.

    Example:
        >>> import xarray as xr
        >>> loss = xr.DataArray([[1.0, 3.0], [2.0, 4.0]], dims=("sigma_p", "K"),
        ...                     coords={"sigma_p": [0.5, 1.0], "K": [20, 100]}, name="test_loss")
        >>> heatmap(loss, x="sigma_p", y="K", threshold=2.5).get_ylabel()
        'K'
    """
    grid = oriented(values, x, y)
    norm = _colours(grid, log, limits)
    ax = axes_or_new(ax)
    mesh = cells(ax, grid, x, y, norm=norm, cmap="viridis")
    bar = ax.figure.colorbar(mesh, ax=ax, label=fitted(label_of(values), ax, "y"))
    if threshold is not None and level_line(ax, grid, x, y, threshold, written=True):
        bar.ax.axhline(threshold, color="k", lw=1.0, path_effects=casing(1.0))
    _finish(ax, values, x, y, status)
    return ax


def threshold_map(
    values: xr.DataArray,
    *,
    x: str,
    y: str,
    threshold: float,
    status: xr.DataArray | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Cells below a threshold in blue, the others in light yellow, and between them the line of the threshold.

    Args:
        values: two dimensions, x and y.
        x, y: the dimensions along the axes.
        threshold: the level.
        status: as in `heatmap`.
        ax: draw here; default a new figure.

    Returns:
        The Axes.

    Raises:
        ValueError: if the values have other dimensions than x and y, or numbers along one are not all different.

    Example:
        >>> import xarray as xr
        >>> loss = xr.DataArray([[1.0, 3.0], [2.0, 4.0]], dims=("sigma_p", "K"),
        ...                     coords={"sigma_p": [0.5, 1.0], "K": [20, 100]}, name="test_loss")
        >>> threshold_map(loss, x="sigma_p", y="K", threshold=2.5).collections[0].get_array().tolist()
        [[0.0, 0.0], [1.0, 1.0]]
    """
    grid = oriented(values, x, y)
    ax = axes_or_new(ax)
    above = (grid >= threshold).where(grid.notnull())
    cells(ax, above, x, y, cmap=ListedColormap([BELOW, ABOVE]), vmin=0, vmax=1)
    level_line(ax, grid, x, y, threshold, written=False)
    _finish(ax, values, x, y, status)
    return ax


def matrix(
    values: xr.DataArray, *, x: str, y: str, form: str = "{:.2g}", around_zero: bool = False, ax: Axes | None = None
) -> Axes:
    """Numbers of pairs in colour, and written where there are few.

    Args:
        values: two dimensions, x and y, whose coordinates are names; the first row is on top.
        x, y: the dimensions along the axes.
        form: how a number is written, where there are at most twelve rows.
        around_zero: two colours that meet at 0, for numbers of both signs.
        ax: draw here; default a new figure.

    Returns:
        The Axes.

    Example:
        >>> import xarray as xr
        >>> cosine = xr.DataArray([[1.0, 0.2], [0.2, 1.0]], dims=("class", "other"),
        ...                       coords={"class": ["cat", "dog"], "other": ["cat", "dog"]}, name="cosine")
        >>> [text.get_text() for text in matrix(cosine, x="other", y="class").texts]
        ['1', '0.2', '0.2', '1']
    """
    shown, names = values.transpose(y, x).values, [str(name) for name in values[y].values]
    ax = axes_or_new(ax)
    reach = float(np.abs(shown[np.isfinite(shown)]).max(initial=0.0)) if around_zero else None
    low = None if reach is None else -reach
    image = ax.imshow(shown, cmap="PuOr" if around_zero else "cividis", vmin=low, vmax=reach)
    turned: dict[str, Any] = {"rotation": 45, "ha": "right"} if max(map(len, names)) > 2 else {}
    ax.set_xticks(range(shown.shape[1]), [str(name) for name in values[x].values], **turned)
    ax.set_yticks(range(len(names)), names)
    if len(names) <= 12:
        for (i, j), value in np.ndenumerate(shown):
            red, green, blue, _ = image.cmap(image.norm(value))
            dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
            ax.text(j, i, form.format(value), ha="center", va="center", size="small", color="w" if dark else "k")
    ax.figure.colorbar(image, ax=ax, label=label_of(values))
    return ax


def _colours(grid: xr.DataArray, log: bool, limits: tuple[float, float] | None) -> Normalize:
    """From the least to the most of the finite values."""
    known = grid.values[np.isfinite(grid.values)]
    if limits is None and not known.size:
        return Normalize(0, 1)  # of nothing but NaN there is no scale
    low, high = limits or (float(known.min()), float(known.max()))
    if log and low <= 0:
        raise ValueError(f"log: {grid.name or 'values'} from {low:g}; allowed: positive values, or log=False")
    return LogNorm(low, high) if log else Normalize(low, high)


def _finish(ax: Axes, values: xr.DataArray, x: str, y: str, status: xr.DataArray | None) -> None:
    ax.set_xlabel(fitted(label_of(values, x), ax, "x"))
    ax.set_ylabel(fitted(label_of(values, y), ax, "y"))
    if status is not None:
        hatched(ax, status, x, y)
