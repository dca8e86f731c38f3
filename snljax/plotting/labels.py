"""What marks are called and how they are coloured."""

from __future__ import annotations

import re
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

# Okabe and Ito's palette, told apart with every common colour blindness.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")

_LETTER = 0.55  # width of a letter over the size of its font, on average

Spread = Literal["interval", "error", "quartiles"]
SPREADS = {
    "interval": "mean and 95 % t interval",
    "error": "mean and standard error",
    "quartiles": "median and quartiles",
}


def label_of(values: xr.DataArray, name: str | None = None) -> str:
    """The label of a coordinate, or of the values themselves.

    Args:
        values: labelled, if at all, by its attributes: ``long_name``, else ``symbol``, else the name it has; with
            ``units`` in brackets behind it, unless they stand there.
        name: one of its coordinates; default the values.

    Returns:
        One line, for an axis, a colour bar or a legend.

    Example:
        >>> loss = xr.DataArray([0.5], name="test_loss", attrs={"symbol": r"$L_D$", "units": "nats"})
        >>> label_of(loss)
        '$L_D$ (nats)'
        >>> label_of(xr.DataArray([0.5], name="test_loss"))
        'test loss'
    """
    target = values if name is None else values[name]
    plain = str(target.name or "value").replace("_", " ")
    label = str(target.attrs.get("long_name") or target.attrs.get("symbol") or plain)
    units = target.attrs.get("units")
    return f"{label} ({units})" if units and f"({units})" not in label else label


def short_label_of(values: xr.DataArray, name: str | None = None) -> str:
    """The label where there is little room: ``symbol``; else a coordinate's own, and of the values their name.

    Args:
        values, name: as for `label_of`.

    Returns:
        A few letters.

    Example:
        >>> loss = xr.DataArray([0.5], name="test_loss", attrs={"symbol": r"$L_D$", "long_name": "loss on tests"})
        >>> short_label_of(loss), short_label_of(xr.DataArray([0.5], name="test_loss"))
        ('$L_D$', 'test loss')
    """
    symbol = (values if name is None else values[name]).attrs.get("symbol")
    if symbol or name is None:
        return str(symbol or str(values.name or "value").replace("_", " "))
    return label_of(values, name)


def fitted(label: str, ax: Axes, way: Literal["x", "y"]) -> str:
    """A label on as many lines as the axis is long for, broken at blanks that are not inside a formula.

    Args:
        label: one line.
        ax: the panel, as large as it was made.
        way: along which of its axes the label stands.

    Returns:
        One line or more.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> ax = plt.subplots(figsize=(3, 1))[1]
        >>> fitted("the norm $|u + v|$ of all of them", ax, "y").splitlines()
        ['the norm', '$|u + v|$ of', 'all of', 'them']
    """
    box = ax.get_window_extent()
    size = float((ax.xaxis if way == "x" else ax.yaxis).label.get_fontsize())
    points = (box.width if way == "x" else box.height) / ax.figure.dpi * 72
    lines = [""]
    for word in re.split(r" (?=(?:[^$]*\$[^$]*\$)*[^$]*$)", label):
        longer = f"{lines[-1]} {word}".lstrip()
        lines[-1:] = [longer] if not lines[-1] or width_of(longer, size) <= points else [lines[-1], word]
    return "\n".join(lines)


def width_of(label: str, size: float) -> float:
    """About how wide a label of one line is, in points, for letters of a size in points; of a formula what it shows.

    Example:
        >>> width_of(r"$\\sigma_p$", 10.0)
        11.0
    """
    return _LETTER * size * len(re.sub(r"[${}^_]", "", re.sub(r"\\[A-Za-z]+ ?", "x", label)))


def caption(values: xr.Dataset | xr.DataArray, spread: Spread = "interval") -> str:
    """What a curve and its band, or a point and its bar, are.

    Args:
        values: with a dimension ``seed``.
        spread: as for `curves`.

    Returns:
        One phrase.

    Example:
        >>> caption(xr.DataArray([1.0, 2.0], dims="seed"))
        'mean and 95 % t interval of 2 seeds'
    """
    seeds = values.sizes["seed"]
    return f"{SPREADS[spread]} of {seeds} seeds" if seeds > 1 else "a single seed"


def shades(number: int) -> list[Any]:
    """Colours of an ordered quantity, dark to light, as `curves` takes them; black to yellow is cut short of pale.

    Args:
        number: how many.

    Returns:
        RGBA tuples.
    """
    return [tuple(color) for color in mpl.colormaps["viridis"](np.linspace(0, 0.9, number))]


def entry_of(values: xr.DataArray, name: str) -> str:
    """The legend entry of values at one value of a coordinate: a kind speaks for itself, a number needs its name."""
    value = values[name].item()
    return value if isinstance(value, str) else f"{label_of(values, name)} = {number(value)}"


def number(value: Any) -> str:
    """A number as short as it can be told, or a name or truth value as it is.

    Example:
        >>> number(0.5), number(20.0), number(True), number("random")
        ('0.5', '20', 'True', 'random')
    """
    return str(value) if isinstance(value, (str, bool, np.bool_)) else f"{value:g}"
