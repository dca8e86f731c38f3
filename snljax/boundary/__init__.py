"""Phase boundaries of a Dataset: where they lie, how sure that is, which law they follow, what moves them."""

from snljax.boundary.bands import band
from snljax.boundary.crossings import FLAGS, edge, extract
from snljax.boundary.exponents import scaling
from snljax.boundary.fits import Fit, compare_forms, fit
from snljax.boundary.lines import Line, contours
from snljax.boundary.moves import sensitivity

__all__ = [
    "FLAGS",
    "Fit",
    "Line",
    "band",
    "compare_forms",
    "contours",
    "edge",
    "extract",
    "fit",
    "scaling",
    "sensitivity",
]
