"""A heatmap in a notebook that fills while its cells finish."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from snljax import plotting, sources, stats
from snljax.variables import PENDING, STATUS
from snljax.wording import listed, shown, unknown

_SIZE, _DPI = (4.6, 3.6), 220  # inches; dots an inch, two for each pixel of a screen


class Live:
    """Called with the Dataset as it is so far; draws it into one output, which it then replaces.

    every: seconds between two pictures, at least; the one of the last pending cell comes in any case. display: shows a
    figure for the first time, and returns what has ``update``. pictures: how many there were.
    """

    def __init__(self, draw: Callable[[xr.Dataset], Figure], every: float, display: Callable[[Figure], Any]) -> None:
        self._draw, self._every, self._display = draw, every, display
        self._handle: Any = None
        self._last = -np.inf
        self.pictures = 0

    def __call__(self, ds: xr.Dataset) -> None:
        """Draw, unless the last picture is younger than ``every`` and there are pending cells."""
        is_last = not bool((ds[STATUS] == PENDING).any())
        if is_last or time.monotonic() - self._last >= self._every:
            self.draw(ds)

    def draw(self, ds: xr.Dataset) -> None:
        """Draw now: after a sweep of a shard, or one that was stopped, whose other cells stay pending."""
        figure = self._draw(ds)
        if self._handle is None:
            self._handle = self._display(figure)
        else:
            self._handle.update(figure)
        self._last = time.monotonic()  # drawing itself takes a part of a second
        self.pictures += 1


def live(
    metric: str,
    *,
    x: str,
    y: str,
    threshold: float | None = None,
    log: bool = False,
    at: dict[str, Any] | None = None,
    every: float = 1.0,
    display: Callable[[Figure], Any] | None = None,
) -> Live:
    """A heatmap of the mean over seeds that is drawn again while a sweep finishes its blocks.

    Args:
        metric: a variable of the Dataset.
        x, y: the dimensions along the axes.
        threshold: draw the line where the mean crosses this level.
        log: logarithmic colours; values must be positive.
        at: dimension -> the one of its values that is drawn, where there are others than x, y and seed; of steps the
            last by default.
        every: seconds between two pictures, at least. The picture in which nothing is pending is always drawn.
        display: shows a figure and returns a handle with ``update(figure)``; by default IPython's display, which puts
            it below the cell of a notebook.

    Returns:
        A function of a Dataset, for ``sweep(grid, on_block=…)``; its ``draw`` draws at once.

    Raises:
        ValueError: not in IPython and no display given, or every is negative; when it is called, a metric or dimension
            that the Dataset does not have, which ends the sweep.

    Example:
        >>> class Handle:
        ...     def update(self, figure):
        ...         print("again")
        >>> cells = {"test_loss": (("K", "mu"), [[1.0, 2.0], [3.0, 4.0]]), "status": (("K", "mu"), [[1, 1], [1, 0]])}
        >>> ds = xr.Dataset(cells, {"K": [1, 2], "mu": [3, 4]})
        >>> listener = live("test_loss", x="K", y="mu", every=0, display=lambda figure: Handle())
        >>> listener(ds)
        >>> listener(ds)
        again
    """
    if not every >= 0:
        raise ValueError(f"every: {shown(every)}; allowed: 0 or more, seconds")
    if display is None:
        display = _of_ipython()
    return Live(lambda ds: _figure(ds, metric, x, y, threshold, log, at or {}), every, display)


def _of_ipython() -> Callable[[Figure], Any]:
    try:
        from IPython import get_ipython
    except ImportError:
        running = None
    else:
        running = get_ipython()
    if running is None:
        raise ValueError(
            "live: there is no notebook here; allowed: inside Jupyter or IPython (pip install 'snljax[notebook]'), or "
            "display=…, a function that shows a figure and returns what can update it"
        )
    return _Output


class _Output:
    """One output below a cell. The pictures are made here: by itself IPython draws figures of pyplot, no others."""

    def __init__(self, figure: Figure) -> None:
        from IPython.display import display

        self._handle = display(_picture(figure), display_id=True)

    def update(self, figure: Figure) -> None:
        """Replace the picture."""
        self._handle.update(_picture(figure))


def _picture(figure: Figure) -> Any:
    from IPython.display import Image

    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=_DPI)
    return Image(data=written.getvalue(), format="png", retina=True)


def _figure(
    ds: xr.Dataset, metric: str, x: str, y: str, threshold: float | None, log: bool, at: dict[str, Any]
) -> Figure:
    if metric not in ds.data_vars:
        raise ValueError(unknown("metric", metric, [str(name) for name in ds.data_vars if name != STATUS]))
    part = sources.at(ds[[metric, STATUS]], at)
    last = {str(d): -1 for d in part.dims if d in ("step", "steps") and d not in (x, y)}
    part = part.isel(last)
    values = stats.finished(part[metric], part[STATUS])
    rest = [str(d) for d in values.dims if d not in (x, y, "seed")]
    if rest or not {x, y} <= {*values.dims}:
        raise ValueError(
            f"x, y: {x}, {y} of {metric} over {listed(map(str, values.dims))}; allowed: two of them, and the others "
            "but seed at one value (at)"
        )
    mean = values.mean("seed", keep_attrs=True) if "seed" in values.dims else values
    mean = mean.assign_attrs(ds[metric].attrs).rename(metric)
    done = int((part[STATUS] != PENDING).sum())
    with plotting.style():
        figure = Figure(figsize=_SIZE, layout="constrained")  # no pyplot: nothing is left open, and no window is made
        ax = figure.subplots()
        if bool(mean.notnull().any()):
            # A line needs two cells along both sides, and is a guess where cells between are missing.
            plotting.heatmap(mean, x=x, y=y, threshold=threshold, log=log, status=part[STATUS], ax=ax)
        ax.set_title(f"{done:,} of {part[STATUS].size:,} networks")
    return figure
