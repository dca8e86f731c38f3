"""The variables that every Dataset has, and what stands where a metric has no value."""

from __future__ import annotations

from typing import Any

import numpy as np

STATUS, FIRST_BAD = "status", "first_bad_step"
PENDING, DONE, DIVERGED = 0, 1, 2


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
