"""What every figure reads from a Dataset."""

from __future__ import annotations

import json
from typing import Any

import xarray as xr

from snljax.variables import DIVERGED

Datasets = dict[str, xr.Dataset]  # of a figure, by the names that its preset gives them


def setting(ds: xr.Dataset, name: str) -> Any:
    """A setting that no axis moves."""
    return json.loads(ds.attrs["settings"])[name]


def alive(ds: xr.Dataset) -> xr.Dataset:
    """Networks that stay finite to the end; the others count as diverged, not as part of a mean."""
    return ds.where(ds.status != DIVERGED)
