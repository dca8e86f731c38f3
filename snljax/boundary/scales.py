"""Which axes and metrics are read in logarithms, and the checks that all of this folder share."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Literal

import numpy as np
import xarray as xr

from snljax.stats import check_level, real, scale_of

Scale = Literal["linear", "log"]


def transform(scale: Scale) -> Callable[[Any], Any]:
    """What a scale does to numbers: nothing, or their logarithm."""
    return np.log if scale == "log" else np.asarray


def between_cells(values: xr.DataArray, level: float, scale: Scale | None) -> Scale:
    """The scale on which a metric is interpolated.

    By default ``log`` where the intervals of `stats.interval` are so too, by the name, if all values and the level are
    positive; else ``linear``.
    """
    if scale not in (None, "linear", "log"):
        raise ValueError(f"scale: {scale!r}; allowed: linear, log")
    if scale == "linear" or (scale is None and scale_of(values) != "log"):
        return "linear"
    least = min(float(values.min()) if values.size else np.inf, float(level))
    if least > 0 or np.isnan(least):
        return "log"
    if scale == "log":
        raise ValueError(f"scale: 'log' for values and a level from {least:g}; allowed: positive ones, or linear")
    return "linear"


def log_axes_of(values: xr.DataArray, axes: Collection[str], log_axes: Collection[str] | None) -> set[str]:
    """Which of the axes are read in logarithms: those asked for, or by default those that `is_geometric`."""
    if log_axes is None:
        return {axis for axis in axes if is_geometric(values[axis].values)}
    if isinstance(log_axes, str) or not set(log_axes) <= set(axes):
        raise ValueError(f"log_axes: {log_axes!r}; allowed: some of {', '.join(axes)}, in a tuple")
    for axis in log_axes:
        if (least := float(values[axis].min())) <= 0:
            raise ValueError(f"log_axes: {axis!r}, with a cell at {least:g}; allowed: axes of positive numbers")
    return set(log_axes)


def is_geometric(at: np.ndarray) -> bool:
    """Whether numbers in order are laid out in their logarithm rather than in themselves; pictures draw such axes so.

    That is if their logarithms are even and they themselves are not, or if they span a factor of ten or more and the
    largest step over the smallest is four times less in logarithms: 1, 2, 5, 10, 20, and what was rounded.

    Args:
        at: shape (cells,), ascending.

    Returns:
        True or False.

    Example:
        >>> is_geometric(np.array([1.0, 2.0, 4.0])), is_geometric(np.array([1.0, 2.0, 3.0]))
        (True, False)
        >>> is_geometric(np.array([2, 8, 30, 80, 200])), is_geometric(np.array([1, 2, 10]))
        (True, False)
    """
    if len(at) < 3 or at.min() <= 0:
        return False
    steps, in_log = np.diff(at), np.diff(np.log(at))
    uneven, uneven_in_log = (np.ptp(each) / each.mean() for each in (steps, in_log))
    if uneven_in_log < 0.1 < uneven:
        return True
    wide = at[-1] >= 10 * at[0] and steps.min() > 0
    return bool(wide and steps.max() * in_log.min() >= 4 * in_log.max() * steps.min())


def ascending(values: xr.DataArray, name: str, axis: str) -> np.ndarray:
    """The coordinate of an axis, or ValueError if there is none or it does not ascend; name: of the argument."""
    if axis not in values.dims:
        raise ValueError(f"{name}: {axis!r} is no dimension; allowed: {', '.join(map(str, values.dims))}")
    position = real(f"{name}, the coordinate of {axis!r}", values[axis].values).astype(float)
    if not (np.isfinite(position).all() and (np.diff(position) > 0).all()):
        raise ValueError(f"{name}: the coordinate of {axis!r} does not ascend; allowed: sorted cells")
    return position


def check_coverage(coverage: Any) -> None:
    """ValueError if a coverage is not between 0 and 1."""
    check_level(coverage, "coverage")


def fitting(name: str, values: np.ndarray, scale: Scale) -> np.ndarray:
    """Numbers that can be fitted on a scale: finite, and positive in logarithms; else ValueError."""
    if scale not in ("linear", "log"):
        raise ValueError(f"scale: {scale!r}; allowed: linear, log")
    values = real(name, values).astype(float)
    wrong = values[~np.isfinite(values) | ((values <= 0) & (scale == "log"))]
    if wrong.size:
        raise ValueError(f"{name}: {wrong[0]}; allowed: {'positive, ' if scale == 'log' else ''}finite numbers")
    return values
