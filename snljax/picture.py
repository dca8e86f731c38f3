"""A picture of a Dataset in a file or a store: what is chosen of it, read, and drawn over one, two or three axes."""

from __future__ import annotations

import contextlib
import gc
import pathlib
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from snljax import plotting
from snljax.variables import DIVERGED, DONE, FIRST_BAD, PENDING, STATUS
from snljax.wording import one_line

OURS = "a netCDF file written by snljax, or a store"
_PANELS = 12  # at most, of a third dimension
_LETTERS = 18  # of a title, for each inch of a picture's width


class Choice(NamedTuple):
    """What of a Dataset is drawn, and how.

    metric: None for test_loss, or else the first. x, y, facet: dimensions, or coordinates along one; None for the
    swept ones in their order, numbers before names. threshold: a line at this value. log: logarithmic colours. at:
    dimension -> the one of its values that is drawn, a number or its text.
    """

    metric: str | None = None
    x: str | None = None
    y: str | None = None
    threshold: float | None = None
    log: bool = False
    facet: str | None = None
    at: Mapping[str, Any] = MappingProxyType({})


class _Shown(NamedTuple):
    """A metric over what is drawn, and over seeds if there are any; the status over them, or None; what else to say."""

    values: xr.DataArray
    status: xr.DataArray | None
    dims: list[str]
    title: str


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
    """Write a picture of a metric over what was swept.

    One axis: a curve with its band over seeds. Two: a heatmap of the mean. Three: the same in panels over the third,
    twelve of them if it has more. Of further dimensions, and of a metric's own, the first is drawn, of steps the last;
    the title says so. Nothing swept but steps recorded: the curve over steps.

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
    ds = _with_names(_along(_at(ds[[metric, STATUS]], choice.at, source), choice))
    dims = _dimensions(ds, metric, choice, source)
    with _drawable(metric, source):
        shown = _shown(ds, metric, dims)
    if not bool(shown.values.notnull().any()):
        raise ValueError(f"{metric}: no cell in {source} is finished and finite; allowed: one or more")
    if choice.log and float(shown.values.min()) <= 0:
        raise ValueError(f"log: {metric} has values of 0 and less in {source}; allowed: without --log")
    with plotting.style():
        with _drawable(metric, source):
            fig = (_curve, _heatmap, _facets)[len(dims) - 1](shown, choice)
        try:
            fig.savefig(out)
        except (OSError, ValueError) as error:
            raise ValueError(f"out: {out} cannot be written ({error})") from None
        finally:
            plt.close(fig)


def _curve(shown: _Shown, choice: Choice) -> Figure:
    (x,) = shown.dims
    apart = shown.values[x].dtype.kind not in "iuf" or shown.values.sizes[x] == 1  # between names there is nothing
    ax = plotting.points(shown.values, x=x) if apart else plotting.curves(shown.values, x=x, marker="o")
    if choice.log:
        ax.set_yscale("log")
    if choice.threshold is not None:
        plotting.reference(ax, y=choice.threshold, ls=":")
    return _titled(ax.figure, f"{plotting.caption(shown.values)}, {shown.title}" if _seeds(shown) > 1 else shown.title)


def _heatmap(shown: _Shown, choice: Choice) -> Figure:
    x, y = shown.dims
    values = _mean(shown.values)
    ax = plotting.heatmap(values, x=x, y=y, threshold=choice.threshold, log=choice.log, status=shown.status)
    return _titled(ax.figure, _of_mean(shown))


def _facets(shown: _Shown, choice: Choice) -> Figure:
    """Panels with the same colours; of many values of the third dimension every second, third and so on."""
    x, y, facet = shown.dims
    number = shown.values.sizes[facet]
    some = np.unique(np.linspace(0, number - 1, min(number, _PANELS)).round().astype(int))
    ds = xr.Dataset({shown.values.name: shown.values})
    if shown.status is not None:
        ds[STATUS] = shown.status
    fig = plotting.phase_map(
        ds.isel({facet: some}),
        str(shown.values.name),
        choice.threshold,
        x=x,
        y=y,
        facet=facet,
        names=(),
        log=choice.log or None,
        width="page",
    )
    left_out = f"{len(some)} of {number} values of {plotting.label_of(shown.values, facet)}, " * (len(some) < number)
    return _titled(fig, left_out + _of_mean(shown))


def _titled(fig: Any, title: str) -> Figure:
    title = title.removesuffix(", ")
    if title:
        fig.suptitle("\n".join(textwrap.wrap(title, int(fig.get_figwidth() * _LETTERS))))
    return fig


def _seeds(shown: _Shown) -> int:
    return int(shown.values.sizes.get("seed", 1))


def _of_mean(shown: _Shown) -> str:
    return f"mean of {_seeds(shown)} seeds, {shown.title}" if _seeds(shown) > 1 else shown.title


def _mean(values: xr.DataArray) -> xr.DataArray:
    return values.mean("seed", keep_attrs=True) if "seed" in values.dims else values


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


def _at(ds: xr.Dataset, at: Mapping[str, Any], source: str) -> xr.Dataset:
    """At one value of some dimensions."""
    for name, wanted in at.items():
        if name not in ds.dims:
            listed = ", ".join(map(str, ds.dims)) or "none"
            raise ValueError(f"at: {name!r} is no dimension of {source}; allowed: {listed}")
        labels = ds[name].values.tolist()
        place = place_of(wanted, labels)
        if place is None:
            raise ValueError(f"at: {name} = {wanted} is not in {source}; allowed: {', '.join(map(str, labels))}")
        ds = ds.isel({name: place})
    return ds


def place_of(wanted: Any, labels: Sequence[Any]) -> int | None:
    """Where a value stands among the labels of a dimension: itself, its text, or nearly its number; None if nowhere.

    Example:
        >>> place_of("0.3", [0.1, 0.1 + 0.2]), place_of("none", ["none", "pegr"]), place_of(2, [0.1, 0.3])
        (1, 0, None)
    """
    found = [i for i, label in enumerate(labels) if label == wanted or str(label) == str(wanted)]
    found = found or [i for i, label in enumerate(labels) if _same_number(label, wanted)]
    return found[0] if len(found) == 1 else None


def _same_number(label: Any, wanted: Any) -> bool:
    try:
        return bool(np.isclose(float(label), float(wanted), rtol=1e-6, atol=0.0))
    except (TypeError, ValueError):
        return False


def _along(ds: xr.Dataset, choice: Choice) -> xr.Dataset:
    """Coordinates that were chosen in place of the dimension that they lie along."""
    for name in (choice.x, choice.y, choice.facet):
        if name in ds.coords and name not in ds.dims and ds[name].ndim == 1:
            ds = ds.swap_dims({ds[name].dims[0]: name})
    return ds


def _with_names(ds: xr.Dataset) -> xr.Dataset:
    """What a numbered dimension moves in place of its numbers, if that is one or two fields."""
    for dim in map(str, ds.dims):
        at, beside = ds[dim].values, [c for c in ds.coords if c != dim and ds[c].dims == (dim,)]
        moved = [c for c in beside if len({*map(str, ds[c].values)}) > 1]
        if len(moved) in (1, 2) and at.dtype.kind in "iu" and (at == np.arange(len(at))).all():
            names = [", ".join(f"{c} = {_text(ds[c].values[i])}" for c in moved) for i in range(len(at))]
            if len({*names}) == len(at):
                ds = ds.assign_coords({dim: (dim, names, ds[dim].attrs)})
    return ds


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, (float, np.floating)) else str(value)


def _dimensions(ds: xr.Dataset, metric: str, choice: Choice, source: str) -> list[str]:
    """One, two or three dimensions: along x, along y, and of panels."""
    values = ds[metric]
    dims = [str(d) for d in values.dims if d != "seed"]
    swept = sorted((d for d in dims if d in ds[STATUS].dims), key=lambda d: values[d].dtype.kind not in "iuf")
    if not swept and values.sizes.get("step", 1) > 1:
        swept = ["step"]
    asked = {"x": choice.x, "y": choice.y, "facet": choice.facet}
    listed = ", ".join(dims) or "none"
    for name, dim in asked.items():
        if dim is not None and dim not in dims:
            raise ValueError(f"{name}: {dim!r} is no dimension of {metric} in {source}; allowed: {listed}")
        if dim is not None and list(asked.values()).count(dim) > 1:
            raise ValueError(f"{name}: {dim!r} is no dimension of its own in {source}; allowed: each of {listed} once")
    free = iter([d for d in swept if d not in asked.values()])
    chosen = [dim or next(free, None) for dim in asked.values()]
    found = [dim for dim in chosen if dim is not None]
    if not found:
        raise ValueError(f"x: {metric} in {source} has no dimension, it is of one cell; allowed: something swept")
    if len(found) == 3:
        for name, dim in zip(asked, found[:2], strict=False):
            if values[dim].dtype.kind not in "iuf":
                raise ValueError(
                    f"{name}: {dim!r} in {source} holds names, and {found[2]!r} is a third dimension; "
                    f"allowed: numbers along x and y, or one value of a dimension by --at"
                )
    return found


def _shown(ds: xr.Dataset, metric: str, dims: list[str]) -> _Shown:
    """The metric over the dimensions and seeds; the last step, and the first of anything else."""
    values, status = ds[metric], ds[STATUS]
    if values.dtype.kind != "f":  # there is no NaN for what is pending or diverged
        values = values.where(status == DONE)
    rest = [str(d) for d in values.dims if d not in (*dims, "seed")]
    fixed = {d: -1 if d == "step" else 0 for d in rest}
    said = [f"{d} = {_text(values[d].values[fixed[d]])}" for d in rest if values.sizes[d] > 1]
    values = values.isel(fixed)
    values = values.where(abs(values) < float("inf"))
    status = status.isel({d: i for d, i in fixed.items() if d in status.dims})
    for code, what in ((DIVERGED, "diverged (hatched)" if len(dims) > 1 else "diverged"), (PENDING, "are pending")):
        number = int((status == code).sum())
        said += [f"{number} of {status.size} networks {what}"] if number else []
    return _Shown(values, status if set(dims) <= {*status.dims} else None, dims, ", ".join(said))


@contextlib.contextmanager
def _drawable(metric: str, source: str) -> Iterator[None]:
    """One line for what xarray and matplotlib make of a file that merely resembles ours."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"{metric}: cannot be drawn from {source} ({one_line(error)}); allowed: numbers over one or more dimensions"
        ) from None
