"""Result files hold the values that Datasets have, of every dtype."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from snljax import output

WHOLE = ("uint8", "uint16", "uint32", "int64", "uint64", "int8", "int16", "int32")


@pytest.mark.parametrize("dtype", WHOLE)
def test_whole_numbers_come_back(dtype, tmp_path):
    """netCDF 3 has no unsigned numbers and none of 64 bits; what stands for a missing int64 is its smallest."""
    limits = np.iinfo(dtype)
    values = np.array([0, 1, limits.min, min(limits.max, 2**40)], dtype)
    ds = xr.Dataset({"image": ("x", values)}, {"x": values[::-1]})
    output.write(ds, tmp_path / "a.nc", None)
    with xr.load_dataset(tmp_path / "a.nc") as back:
        assert [int(v) for v in back.image.values] == values.tolist()
        assert [int(v) for v in back.x.values] == values[::-1].tolist()
    assert ds.image.dtype == dtype


def test_numbers_that_no_type_holds_are_refused_in_one_line(tmp_path, one_line):
    ds = xr.Dataset({"count": ("x", np.array([2**62 + 1, 0]))})
    one_line(lambda: output.write(ds, tmp_path / "a.nc", None), "out: ", "cannot be written")
    assert [*tmp_path.iterdir()] == []
