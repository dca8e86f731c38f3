"""What every figure reads from a Dataset."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import xarray as xr

from snljax.variables import DIVERGED

T = TypeVar("T")
Datasets = dict[str, xr.Dataset]  # of a figure, by the names that its preset gives them


def setting(ds: xr.Dataset, name: str) -> Any:
    """A setting that no axis moves."""
    return json.loads(ds.attrs["settings"])[name]


def alive(ds: xr.Dataset) -> xr.Dataset:
    """Networks that stay finite to the end; the others count as diverged, not as part of a mean."""
    return ds.where(ds.status != DIVERGED)


def error_rate(ds: xr.Dataset, name: str = "test") -> xr.DataArray:
    """1 − accuracy, on the ``"test"`` or the ``"train"`` samples."""
    return (1 - ds[f"{name}_accuracy"]).assign_attrs(long_name="error")


def of_each(one: Callable[[xr.Dataset, str], list[T]]) -> Callable[[Datasets], list[T]]:
    """The claims of a figure whose Datasets have the same ones: what a function finds in each, by its name."""
    return lambda datasets: [found for name, ds in datasets.items() for found in one(ds, name)]
