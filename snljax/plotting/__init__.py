"""The marks that figures are made of, on matplotlib Axes, and the style of a printed page."""

from snljax.plotting.labels import COLORS, caption, label_of, shades
from snljax.plotting.lines import curves, points, reference
from snljax.plotting.maps import heatmap, matrix, threshold_map
from snljax.plotting.pages import WIDTHS, legend, note, panels, style, ticks
from snljax.plotting.panel import Curve
from snljax.plotting.phase import phase_map
from snljax.variables import DIVERGED

__all__ = [
    "COLORS",
    "DIVERGED",
    "WIDTHS",
    "Curve",
    "caption",
    "curves",
    "heatmap",
    "label_of",
    "legend",
    "matrix",
    "note",
    "panels",
    "phase_map",
    "points",
    "reference",
    "shades",
    "style",
    "threshold_map",
    "ticks",
]
