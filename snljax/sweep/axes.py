"""The axes of a grid, and fields that move together along one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from snljax.sweep.field_values import as_tuple


class Together(NamedTuple):
    """Fields that move together along one axis: name -> values, all of one length."""

    fields: dict[str, tuple[Any, ...]]


def together(**fields: Iterable[Any]) -> Together:
    """One axis that moves several fields together; ``snl.zip`` is another name for it.

    Args:
        fields: field name -> values, all of the same length.

    Returns:
        A Together, for `Grid`: by position its dimension is called after its first field; by keyword,
        ``Grid(..., protocol=snl.together(...))``, after the keyword, numbered from 0.

    Raises:
        ValueError: if the lengths differ.

    Example:
        >>> from snljax.sweep.grid import Grid
        >>> grid = Grid("topk_pruning", together(sigma_p=[0.5, 1.5], sigma_0=[0.01, 0.001]), steps=10)
        >>> grid.shape
        {'sigma_p': 2}
    """
    values = {name: as_tuple(name, v) for name, v in fields.items()}
    lengths = {name: len(v) for name, v in values.items()}
    if not values or len(set(lengths.values())) > 1:
        raise ValueError(f"together (zip): lengths {lengths}; allowed: one or more fields of equal length")
    return Together(values)


class Axis(NamedTuple):
    """One dimension of the Dataset: its coordinate, and the values of the fields that it moves."""

    name: str
    coordinate: tuple[Any, ...]
    fields: dict[str, tuple[Any, ...]]


zip = together  # its first name
