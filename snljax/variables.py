"""The variables that every Dataset has, and what stands where a metric has no value."""

from __future__ import annotations

from typing import Any

import numpy as np

STATUS, FIRST_BAD = "status", "first_bad_step"
PENDING, DONE, DIVERGED = 0, 1, 2


def as_floats(values: Any) -> Any:
    """Numbers as float64, with NaN where a whole one is what `missing` has for its dtype.

    Truth values have nothing of the kind: False stays 0.

    Args:
        values: an array or a DataArray of real numbers.

    Returns:
        The same, floating; what was floating is as it was, but float64.

    Example:
        >>> as_floats(np.array([3, -2147483648], np.int32)).tolist()
        [3.0, nan]
    """
    floats = values.astype(float)
    if values.dtype.kind not in "iu":
        return floats
    there = values != missing(values.dtype)
    return floats.where(there) if hasattr(floats, "where") else np.where(there, floats, np.nan)


def missing(dtype: Any) -> Any:
    """What an array of a dtype holds where nothing was trained, or a network had diverged.

    Floating-point numbers have NaN. Whole numbers and truth values keep their dtype and have nothing of the kind:
    they hold the number farthest from any count, or False, and ``status`` says where.

    Args:
        dtype: boolean, integer or floating.

    Returns:
        A value of that dtype.

    Example:
        >>> missing("float32"), missing("int32"), missing("uint8"), missing("bool")
        (nan, -2147483648, 255, False)
    """
    kind = np.dtype(dtype).kind
    if kind == "f":
        return float("nan")
    if kind == "b":
        return False
    limits = np.iinfo(dtype)
    return int(limits.min if kind == "i" else limits.max)
