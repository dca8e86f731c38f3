"""How a planted Dataset is put together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr


def spread(seeds: int, wide: float = 0.01) -> np.ndarray:
    """Factors around 1, one for each seed, mean 1; a wide spread leaves everything open.

    Example:
        >>> spread(3, 0.5).tolist()
        [0.5, 1.0, 1.5]
    """
    return 1 + wide * np.linspace(-1, 1, seeds)


def dataset(
    variables: Mapping[str, np.ndarray],
    dims: tuple[str, ...],
    coords: Mapping[str, Any],
    settings: Mapping[str, Any],
    **attrs: Any,
) -> xr.Dataset:
    """A Dataset as a sweep makes it, every network done.

    variables: all of the dimensions. settings: fields that no axis moves.

    Example:
        >>> ds = dataset({"test_loss": np.ones((2, 3))}, ("K", "seed"), {"K": [1, 2], "seed": range(3)}, {"steps": 5})
        >>> int(ds.status.min()), ds.K.attrs["long_name"], ds.settings
        (1, 'K', '{"steps": 5}')
    """
    shape = next(iter(variables.values())).shape
    data: dict[str, Any] = {name: (dims, values) for name, values in variables.items()}
    data["status"] = (dims, np.ones(shape, np.int8))
    ds = xr.Dataset(data, {n: c if isinstance(c, tuple) else (n, c) for n, c in coords.items()})
    for name in ds.coords:
        ds[name].attrs["long_name"] = str(name)
    return ds.assign_attrs(settings=json.dumps(settings), **attrs)


def sided(
    ds: xr.Dataset, side: np.ndarray, metric: str, level: float, x: str, y: str, diverged: str = "above"
) -> xr.Dataset:
    """The same as a trace makes it."""
    about = {"metric": metric, "level": level, "x": x, "y": y, "diverged": diverged}
    sides = xr.Variable((x, y), side.astype(np.int8), about)
    return ds.assign(side=sides).assign_attrs(networks=int(ds.status.size))
