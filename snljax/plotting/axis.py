"""One axis of a panel: where a coordinate lies on it, where its cells begin and end, and its ticks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axis import XAxis
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from snljax.boundary.scales import is_geometric
from snljax.plotting.labels import width_of

_FEW = 6  # cells that can each have a tick
_ROOM = 0.65  # what a panel keeps of its size when labels are laid out, about


def is_named(at: Any) -> bool:
    """Whether a coordinate holds names or truth values, which have an order but no distances.

    Example:
        >>> is_named(np.array(["random", "magnitude"])), is_named(np.array([1, 2]))
        (True, False)
    """
    return np.asarray(at).dtype.kind not in "iuf"


def places(at: Any) -> np.ndarray:
    """Where the values of a coordinate lie: numbers where they are, names at 0, 1, 2 and so on.

    Example:
        >>> places(np.array(["random", "magnitude"])).tolist(), places(np.array([1, 5])).tolist()
        ([0.0, 1.0], [1.0, 5.0])
    """
    at = np.asarray(at)
    return np.arange(len(at), dtype=float) if is_named(at) else at.astype(float)


def edges(at: Any) -> np.ndarray:
    """Half way between ascending neighbours on the axis that is drawn, and as far beyond the first and the last.

    Positive numbers have no cell that reaches down to 0: it ends at half of the first.

    Args:
        at: shape (cells,): ascending numbers, or names.

    Returns:
        Shape (cells + 1,).

    Example:
        >>> edges([1, 2, 3]).tolist(), edges([2, 20]).tolist()
        ([0.5, 1.5, 2.5, 3.5], [1.0, 11.0, 29.0])
        >>> edges([1, 100, 10000]).round(9).tolist(), edges(["a", "b"]).tolist()
        ([0.1, 10.0, 1000.0, 100000.0], [-0.5, 0.5, 1.5])
    """
    named, at = is_named(at), places(at)
    if is_geometric(at):
        return np.exp(_half_way(np.log(at)))
    found = _half_way(at)
    if not named and at[0] > 0 >= found[0]:
        found[0] = at[0] / 2
    if not named and at[-1] < 0 <= found[-1]:
        found[-1] = at[-1] / 2
    return found


def _half_way(at: np.ndarray) -> np.ndarray:
    if len(at) == 1:
        half = abs(at[0]) / 2 or 0.5
        return np.array([at[0] - half, at[0] + half])
    middle = (at[1:] + at[:-1]) / 2
    return np.concatenate([[2 * at[0] - middle[0]], middle, [2 * at[-1] - middle[-1]]])


def fit_ticks(axis: Any, coordinate: xr.DataArray, every: bool = True) -> None:
    """Names below what they name; numbers at their cells where these are few, else whole or plain where they are so.

    Args:
        axis: ``ax.xaxis`` or ``ax.yaxis``, with its scale and limits.
        coordinate: along it, as it is drawn.
        every: a tick for each of a few cells, where nothing else is drawn on the axis.
    """
    at, named = places(coordinate), is_named(coordinate)
    labels = [_label(value) for value in coordinate.values]
    if named:
        _name(axis, at, labels)
    elif every and len(at) <= _FEW and _tell(coordinate, labels) and _fit(axis, at, labels):
        axis.set_ticks(at, labels)
        axis.set_ticks([], minor=True)
    elif axis.get_scale() == "linear":
        if coordinate.dtype.kind in "iu":
            axis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
    elif at.min() >= 1e-3 and at.max() < 1e5 and at.max() < 1e3 * at.min():
        axis.set_major_locator(_Digits())
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())


def _tell(coordinate: xr.DataArray, labels: list[str]) -> bool:
    """Whether labels say all of their numbers in three digits, or are whole ones, or that of a single cell."""
    at = coordinate.values
    whole = at.dtype.kind in "iu" or len(at) == 1
    told = whole or np.allclose([float(f"{value:.3g}") for value in at], at, rtol=1e-6, atol=0.0)
    return bool(told) and not any("e" in label for label in labels)


def _label(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, (float, np.floating)) else str(value)


def _size(axis: Any) -> float:
    """Of the letters at its ticks, in points."""
    return float(axis.get_major_ticks(1)[0].label1.get_fontsize())


def _length(axis: Any, share: float = _ROOM) -> float:
    """Of an axis in points, or what is left of it when its panel has been laid out."""
    box = axis.axes.get_window_extent()
    return float(share * (box.width if isinstance(axis, XAxis) else box.height) / axis.axes.figure.dpi * 72)


def _needs(axis: Any, labels: list[str]) -> np.ndarray:
    """Points along the axis that each label takes."""
    size = _size(axis)
    return np.array([width_of(label, size) + 0.6 * size if isinstance(axis, XAxis) else 1.4 * size for label in labels])


def _fit(axis: Any, at: np.ndarray, labels: list[str]) -> bool:
    """Whether labels at these places keep clear of each other."""
    ends = np.asarray(axis.get_view_interval(), float)
    if axis.get_scale() == "log":
        at, ends = np.log(at), np.log(ends)
    needs = _needs(axis, labels)
    return bool((np.diff(at) / abs(ends[1] - ends[0]) * _length(axis) >= (needs[1:] + needs[:-1]) / 2).all())


class _Digits(LogLocator):
    """At 1, 2 and 5 times each power of ten, or at fewer, as there is room when they are drawn."""

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        low, high = sorted((vmin, vmax))
        if low > 0:
            decade = _length(self.axis, 1.0) / max(float(np.log10(high / low)), 1.0)
            need = float(_needs(self.axis, [f"{low:.1g}", f"{high:.1g}"]).max())
            self.set_params(subs=next((digits for digits in ((1, 2, 5), (1, 3)) if decade / len(digits) >= need), (1,)))
        return super().tick_values(vmin, vmax)


def _name(axis: Any, at: np.ndarray, labels: list[str]) -> None:
    """Names at their cells: turned where they are long, and every second or third where they are many."""
    turned = isinstance(axis, XAxis) and not _fit(axis, at, labels)
    room = _length(axis) / max(len(at), 1)
    step = max(1, int(np.ceil(1.4 * _size(axis) / room))) if turned or not isinstance(axis, XAxis) else 1
    look: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if turned else {}
    axis.set_ticks(at[::step], labels[::step], **look)
    axis.set_ticks([], minor=True)
