"""What a report or a table is made of: a Dataset, or the file or store that holds one."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from snljax import picture
from snljax.variables import DONE, STATUS
from snljax.wording import listed, shown


class Source(NamedTuple):
    """A Dataset, what it is called, and the folder that it lies in, if that is known."""

    ds: xr.Dataset
    name: str
    folder: pathlib.Path | None = None


def opened(source: xr.Dataset | str | os.PathLike[str]) -> Source:
    """A Dataset in memory, or that of a netCDF file or a store.

    Args:
        source: from `sweep` or `trace`, or the path of what they wrote. A Dataset without ``status`` counts as done.

    Returns:
        Source; a store's values are read when they are used.

    Raises:
        ValueError: there is nothing, or nothing of ours, or the Dataset has no variables.

    Example:
        >>> ds = xr.Dataset({"test_loss": ("K", [1.0, 2.0])})
        >>> opened(ds).ds.status.values.tolist(), opened(ds).name
        ([1, 1], 'dataset')
    """
    if isinstance(source, xr.Dataset):
        return Source(_with_status(source), str(source.attrs.get("experiment", "dataset")))
    if not isinstance(source, (str, os.PathLike)):
        raise ValueError(f"source: {shown(source)}; allowed: a Dataset, or the path of {picture.OURS}")
    path = pathlib.Path(source)
    path = path if path.name not in ("", "..") else path.resolve()
    if path.is_dir():
        from snljax.sweep.dataset import open_store

        return Source(open_store(path), path.name, path.parent)
    return Source(picture.read(path), path.stem, path.parent)


def _with_status(ds: xr.Dataset) -> xr.Dataset:
    if not ds.data_vars:
        raise ValueError("source: a Dataset without variables; allowed: one with numbers")
    if STATUS in ds:
        return ds
    shared = set.intersection(*(set(map(str, variable.dims)) for variable in ds.data_vars.values()))
    dims = [str(d) for d in ds.dims if d in shared]
    return ds.assign({STATUS: (dims, np.full([ds.sizes[d] for d in dims], DONE, np.int8))})


def at(ds: xr.Dataset, chosen: Mapping[str, Any]) -> xr.Dataset:
    """At one value of some dimensions.

    Args:
        ds: any Dataset.
        chosen: dimension -> one of its values, or the text or nearly the number of one.

    Returns:
        The same without these dimensions.

    Raises:
        ValueError: no such dimension or value.

    Example:
        >>> ds = xr.Dataset({"test_loss": ("K", [1.0, 2.0])}, {"K": [10, 20]})
        >>> float(at(ds, {"K": "20"}).test_loss)
        2.0
    """
    for name, wanted in chosen.items():
        if name not in ds.dims:
            raise ValueError(f"at: {name!r} is no dimension; allowed: {listed(map(str, ds.dims))}")
        labels = ds[name].values.tolist()
        place = picture.place_of(wanted, labels)
        if place is None:
            raise ValueError(f"at: {name} = {shown(wanted)} is not there; allowed: {listed(map(str, labels))}")
        ds = ds.isel({name: place})
    return ds
