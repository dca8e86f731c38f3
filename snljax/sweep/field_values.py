"""The values of fields: converted, compared as the engine sees them, held against their ranges."""

from __future__ import annotations

import itertools
import math
import numbers
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from snljax.experiment import FieldInfo
from snljax.wording import nearest, plain, shown

MAX_SEED = 2**31 - 1
TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a name"}


def is_sequence(value: Any) -> bool:
    return isinstance(value, (list, tuple, range, dict, set, frozenset)) or getattr(value, "ndim", 0) > 0


def as_tuple(name: str, value: Any) -> tuple[Any, ...]:
    if not is_sequence(value) or isinstance(value, (dict, set, frozenset)):
        raise ValueError(f"{name}: a {type(value).__name__}; allowed: a list, tuple, range or array")
    if getattr(value, "ndim", 1) != 1:
        raise ValueError(f"{name}: an array of {value.ndim} dimensions; allowed: 1")
    return tuple(np.asarray(value).tolist()) if hasattr(value, "ndim") else tuple(value)


def check_length(name: str, values: tuple[Any, ...]) -> None:
    if not values:
        raise ValueError(f"{name}: an empty axis; allowed: one value or more")


def check_unique(name: str, values: Sequence[Any], seen: Sequence[Any], dtype: np.dtype) -> None:
    """Values are compared as the engine sees them."""
    first: dict[Any, Any] = {}
    for value, number in zip(values, seen, strict=True):
        if number in first:
            rounded = "" if first[number] == value else f" in {dtype.name}, where it is {plain(first[number])}"
            raise ValueError(f"{name}: {plain(value)} is repeated{rounded}; allowed: different values")
        first[number] = value


def float_dtype() -> np.dtype:
    """What the engine makes of a Python float; asked without starting JAX, whose devices are chosen later."""
    return np.dtype(jax.dtypes.canonicalize_dtype(float))


def is_traced_float(info: FieldInfo) -> bool:
    return info.type is float and not info.static


def rounded(value: Any, dtype: np.dtype) -> float:
    """A number as the engine computes with it: rounded, and 0 where it is subnormal, as XLA on CPU has it."""
    with np.errstate(over="ignore"):
        number = float(dtype.type(value))
    return 0.0 if abs(number) < np.finfo(dtype).tiny else number


def as_seen(info: FieldInfo, values: Sequence[Any], dtype: np.dtype) -> Sequence[Any]:
    """The values of a field as the engine sees them; static ones stay what they are."""
    if not is_traced_float(info):
        return values
    numbers = [rounded(value, dtype) for value in values]
    for value, number in zip(values, numbers, strict=True):
        if not math.isfinite(number):
            most = f"{np.finfo(dtype).max:.3g} in magnitude ({dtype.name})"
            raise ValueError(f"{info.name}: {value} is too large; allowed: at most {most}")
    return numbers


def _item(value: Any) -> Any:
    """The number in a NumPy scalar or an array of no dimension."""
    return value.item() if isinstance(value, np.generic) or getattr(value, "ndim", None) == 0 else value


def seed(value: Any) -> int:
    value = _item(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SEED:
        raise ValueError(f"seed: {shown(value)} is not a seed; allowed: a whole number, 0 to {MAX_SEED}")
    return int(value)


def converted(info: FieldInfo, value: Any) -> Any:
    """A value of the field's type, or ValueError. Numbers are never made from text here."""
    value = _item(value)
    if info.optional and (value is None or value == "none"):
        return None
    good = {
        bool: isinstance(value, bool),
        int: isinstance(value, numbers.Integral) and not isinstance(value, bool),
        float: isinstance(value, numbers.Real) and not isinstance(value, bool),
        str: isinstance(value, str),
    }[info.type]
    if not good or (info.choices is not None and value not in info.choices):
        allowed = ", ".join(map(repr, info.choices or ())) or TYPE_NAMES[info.type]
        none = " or none" if info.optional else ""
        raise ValueError(
            f"{info.name}: {shown(value)} does not fit; {nearest(value, info.choices or ())}allowed: {allowed}{none}"
        )
    if info.type is int and abs(value) > MAX_SEED:
        raise ValueError(f"{info.name}: {shown(value)} is too large; allowed: at most {MAX_SEED} in magnitude")
    try:
        converted = info.type(value)
    except OverflowError:  # a whole number of hundreds of digits
        raise ValueError(f"{info.name}: {shown(value)} is too large; allowed: a number that fits float64") from None
    if info.type is float and not math.isfinite(converted):
        raise ValueError(f"{info.name}: {converted} is not finite; allowed: a finite number")
    return converted


def parsed_range(text: str) -> tuple[bool, str, str, bool]:
    """("(0, d]") -> (True, "0", "d", False)."""
    match = re.fullmatch(r"([\[(])\s*([^,\s]+)\s*,\s*([^,\s]+)\s*([\])])", text)
    if match is None:
        raise ValueError(f"range: {text!r} is not an interval; allowed: for example '[0, inf)' or '(0, d]'")
    return match[1] == "(", match[2], match[3], match[4] == ")"


def check_ranges(
    fields: Mapping[str, FieldInfo],
    together: Mapping[str, Sequence[str]],
    given: Mapping[str, Sequence[Any]],
    seen: Mapping[str, Sequence[Any]],
    dtype: np.dtype,
) -> None:
    """Every value against the range of its field, whose ends may be other fields.

    Args:
        fields: of the Config.
        together: field -> the fields that move along its axis; a field without an axis is not in it.
        given: field -> its values. seen: the same as the engine sees them, in ``dtype``.

    Raises:
        ValueError: naming a field, its value and its range.
    """
    for info in fields.values():
        if info.range is None:
            continue
        low_open, *ends, high_open = parsed_range(info.range)
        for end, sign, is_open in ((ends[0], 1, low_open), (ends[1], -1, high_open)):

            def inside(value: Any, limit: Any, sign: int = sign, is_open: bool = is_open) -> bool:
                return sign * value > sign * limit or (value == limit and not is_open)

            limits = given[end] if end in given else (float(end),)
            limits_seen = seen.get(end, limits)
            if is_traced_float(info):
                limits_seen = [None if limit is None else rounded(limit, dtype) for limit in limits_seen]
            values = zip(given[info.name], seen[info.name], strict=True)
            ends_both = zip(limits, limits_seen, strict=True)
            row_by_row = end in given and end in together.get(info.name, ())
            pairs: Iterable[tuple[tuple[Any, Any], tuple[Any, Any]]]
            pairs = zip(values, ends_both, strict=True) if row_by_row else itertools.product(values, ends_both)
            for (value, number), (limit, limit_number) in pairs:
                if value is None or limit is None or inside(number, limit_number):
                    continue
                told = f" in {dtype.name}, where it is {number}," if inside(value, limit) else ""
                where = f" ({end} = {limit})" if end in given else ""
                none = " or none" if info.optional else ""
                raise ValueError(f"{info.name}: {value} is out of range{told}; allowed: {info.range}{where}{none}")
