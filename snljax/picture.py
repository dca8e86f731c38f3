"""A picture of a Dataset in a file or a store: what is chosen of it, read, and drawn as a heatmap or a phase map."""

from __future__ import annotations

import contextlib
import gc
import pathlib
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import xarray as xr

from snljax import plotting
from snljax.variables import DONE, FIRST_BAD, STATUS
from snljax.wording import one_line

OURS = "a netCDF file written by snljax, or a store"


class Choice(NamedTuple):
    """What of a Dataset is drawn, and how.

    metric: None for test_loss, or else the first. x, y: dimensions, None for the first two. threshold: a line at
    this value. log: logarithmic colours.
    """

    metric: str | None = None
    x: str | None = None
    y: str | None = None
    threshold: float | None = None
    log: bool = False


def read(file: pathlib.Path) -> xr.Dataset:
    """A netCDF file of ours, in memory.

    Args:
        file: where it is.

    Returns:
        The Dataset, with its variable ``status``.

    Raises:
        ValueError: there is none, it cannot be read, or it has no ``status``.
    """
    if not file.exists():
        raise ValueError(f"file: {file} does not exist; allowed: {OURS}")
    ds, reason = None, ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns when it lets go of a file that it could not read to its end
        try:
            ds = xr.load_dataset(file)
        except Exception as error:  # readers raise whatever a file that is not theirs leads them to
            reason = getattr(error, "strerror", None) or "it is no netCDF file, or a damaged one"
        if ds is None:
            gc.collect()
            raise ValueError(f"file: {file} cannot be read ({reason}); allowed: {OURS}")
    if STATUS not in ds.data_vars or ds.status.dtype.kind not in "iuf":
        raise ValueError(f"file: {file} has no variable status; allowed: {OURS}")
    return ds


def draw(ds: xr.Dataset, choice: Choice, source: str, out: pathlib.Path) -> None:
    """Write a heatmap of two dimensions: mean over seeds, last record, first of anything else.

    Args:
        ds: with ``status``, as `read` or a store gives it.
        choice: metric, dimensions and look.
        source: the name of what ds came from, for messages.
        out: the picture; its ending says which kind.

    Raises:
        ValueError: what was chosen is not there, has no finite cell, or the picture cannot be written.

    Example:
        >>> import tempfile
        >>> cells = {"test_loss": (("K", "mu"), [[1.0, 2.0], [3.0, 4.0]]), "status": (("K", "mu"), [[1, 1], [1, 1]])}
        >>> ds = xr.Dataset(cells, {"K": [1, 2], "mu": [3, 4]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     draw(ds, Choice(log=True), "these numbers", pathlib.Path(folder, "a.png"))
    """
    metric = _metric(ds, choice.metric, source)
    x, y = _dimensions(ds[metric], choice, source)
    with _drawable(metric, source):
        values, status, title = _plane(ds[metric], ds.status, x, y)
    if not bool(values.notnull().any()):
        raise ValueError(f"{metric}: no cell in {source} is finished and finite; allowed: one or more")
    if choice.log and float(values.min()) <= 0:
        raise ValueError(f"log: {metric} has values of 0 and less in {source}; allowed: without --log")
    with plotting.style():
        with _drawable(metric, source):
            ax = plotting.heatmap(values, x=x, y=y, threshold=choice.threshold, log=choice.log, status=status)
            ax.set_title(title)
        try:
            plt.savefig(out)
        except (OSError, ValueError) as error:
            raise ValueError(f"out: {out} cannot be written ({error})") from None
        finally:
            plt.close()


def draw_phases(ds: xr.Dataset, out: pathlib.Path) -> None:
    """Write the phase map of a traced diagram.

    Args:
        ds: from `trace`.
        out: the picture; its ending says which kind.

    Raises:
        ValueError: the picture cannot be written.
    """
    about = ds.side.attrs
    with plotting.style():
        fig = plotting.phase_map(ds, x=about["x"], y=about["y"], width="page")
        try:
            fig.figure.savefig(out)
        except (OSError, ValueError) as error:
            raise ValueError(f"png: {out} cannot be written ({error})") from None
        finally:
            plt.close(fig.figure)


def _metric(ds: xr.Dataset, wanted: str | None, source: str) -> str:
    names = [str(n) for n in ds.data_vars if n not in (STATUS, FIRST_BAD) and ds[n].dtype.kind in "biuf"]
    if not names:
        raise ValueError(f"file: {source} has no metrics; allowed: a Dataset with numbers to draw")
    metric = wanted or ("test_loss" if "test_loss" in names else names[0])
    if metric not in names:
        raise ValueError(f"metric: {metric!r} is not in {source}; allowed: {', '.join(names)}")
    return metric


def _dimensions(values: xr.DataArray, choice: Choice, source: str) -> tuple[str, str]:
    dims = [str(d) for d in values.dims if d not in ("seed", "step")]
    x = choice.x or next((d for d in dims if d != choice.y), "")
    y = choice.y or next((d for d in dims if d != x), "")
    for name, value in (("x", x), ("y", y)):
        if value not in dims or len(dims) < 2 or x == y:
            listed = ", ".join(dims) or "none"
            raise ValueError(
                f"{name}: {value!r} is no dimension of {values.name} in {source}; allowed: two of {listed}"
            )
    return x, y


def _plane(values: xr.DataArray, status: xr.DataArray, x: str, y: str) -> tuple[xr.DataArray, Any, str]:
    """Values over x and y, the status over them if it is the same for all that is left out, and a title."""
    if values.dtype.kind != "f":  # there is no NaN for what is pending or diverged
        values = values.where(status == DONE)
    values = values.isel(step=-1) if "step" in values.dims else values
    values = values.mean("seed", keep_attrs=True) if "seed" in values.dims else values
    values = values.where(abs(values) < float("inf"))
    rest = [d for d in values.dims if d not in (x, y)]
    title = ", ".join(f"{d} = {values[d].values[0]}" for d in rest)
    values = values.isel(dict.fromkeys(rest, 0))
    status = status.isel({d: 0 for d in rest if d in status.dims})
    return values, status if {x, y} <= {*status.dims} else None, title


@contextlib.contextmanager
def _drawable(metric: str, source: str) -> Iterator[None]:
    """One line for what xarray and matplotlib make of a file that merely resembles ours."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"{metric}: cannot be drawn from {source} ({one_line(error)}); allowed: numbers over two dimensions"
        ) from None
