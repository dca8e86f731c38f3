"""The page: panels at their size in print, its style, and what panels share."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Width = Literal["column", "page"]
WIDTHS = {"column": 3.3, "page": 6.9}  # inches, of a two-column article
_CORNERS = {"upper left": (0, 1), "upper right": (1, 1), "lower left": (0, 0), "lower right": (1, 0)}


def style() -> AbstractContextManager[None]:
    """The style of a printed page, for what is drawn and saved inside; one's own settings come back after it.

    Returns:
        A context manager.

    Example:
        >>> before = plt.rcParams["pdf.fonttype"]
        >>> with style():
        ...     plt.rcParams["pdf.fonttype"]
        42
        >>> plt.rcParams["pdf.fonttype"] == before
        True
    """
    return plt.style.context("snljax.plotting.paper")


def panels(
    rows: int = 1, columns: int = 1, *, width: Width = "page", ratio: float = 0.8, **options: Any
) -> tuple[Figure, np.ndarray]:
    """A figure as wide as a column or a page, and its panels.

    Args:
        rows, columns: how many panels.
        width: ``"column"`` or ``"page"``, see ``WIDTHS``.
        ratio: height over width of the room of one panel, labels included.
        options: passed on to ``plt.subplots``, such as ``sharey=True``.

    Returns:
        The Figure, and its Axes (rows, columns), an array also where there is one.

    Raises:
        ValueError: if width has another name.

    Example:
        >>> fig, axes = panels(1, 2)
        >>> axes.shape, fig.get_size_inches().round(2).tolist()
        ((1, 2), [6.9, 2.76])
    """
    if width not in WIDTHS:
        raise ValueError(f"width: {width!r} is not known; allowed: {', '.join(WIDTHS)}")
    size = (WIDTHS[width], WIDTHS[width] / columns * ratio * rows)
    return plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False, **options)


def legend(fig: Figure, columns: int = 4) -> None:
    """One legend below all panels: each label once, in the order in which it was drawn.

    Args:
        fig: its Axes are looked through; their own legends go.
        columns: entries beside each other.
    """
    entries: dict[str, Any] = {}
    for ax in fig.axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
        own = ax.get_legend()
        if own is not None:
            own.remove()
    fig.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=min(columns, len(entries)))


def note(ax: Axes, text: str, corner: str = "upper left") -> None:
    """A line or two in a corner of a panel: what it shows, or what a claim says of it.

    Args:
        ax: the panel.
        text: what to write.
        corner: ``"upper left"``, ``"upper right"``, ``"lower left"`` or ``"lower right"``.

    Raises:
        ValueError: if the corner has another name.
    """
    if corner not in _CORNERS:
        raise ValueError(f"corner: {corner!r} is not known; allowed: {', '.join(_CORNERS)}")
    at = _CORNERS[corner]
    ax.annotate(
        text,
        at,
        xycoords="axes fraction",
        xytext=(4 - 8 * at[0], 4 - 8 * at[1]),
        textcoords="offset points",
        ha="right" if at[0] else "left",
        va="top" if at[1] else "bottom",
        fontsize=plt.rcParams["legend.fontsize"],
        bbox={"boxstyle": "square,pad=0.2", "fc": "white", "ec": "none", "alpha": 0.8},
    )


def ticks(ax: Axes, *, x: Sequence[float] | None = None, y: Sequence[float] | None = None) -> None:
    """Ticks at these places alone, as plain numbers: for logarithmic axes, which write powers of ten.

    Args:
        ax: its scales must have been set.
        x, y: where; None leaves an axis as it is.
    """
    for axis, places in ((ax.xaxis, x), (ax.yaxis, y)):
        if places is not None:
            axis.set_ticks(list(places), [f"{place:g}" for place in places])
            axis.set_ticks([], minor=True)


def axes_or_new(ax: Axes | None) -> Axes:
    """The Axes that a mark was given, or those of a new figure of one panel."""
    return ax if ax is not None else plt.subplots(figsize=(4.4, 3.4), layout="constrained")[1]
