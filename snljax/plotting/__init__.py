"""The marks that figures are made of, on matplotlib Axes, and the style of a printed page."""

from snljax.plotting.labels import COLORS, caption, label_of, shades
from snljax.plotting.lines import curves, points, reference
from snljax.plotting.maps import heatmap, matrix, threshold_map
from snljax.plotting.pages import WIDTHS, legend, note, panels, style, ticks
from snljax.variables import DIVERGED

__all__ = [
    "COLORS",
    "DIVERGED",
    "WIDTHS",
    "caption",
    "curves",
    "heatmap",
    "label_of",
    "legend",
    "matrix",
    "note",
    "panels",
    "points",
    "reference",
    "shades",
    "style",
    "threshold_map",
    "ticks",
]
