"""Result files: one is written whole or not at all, and what was trained for it is kept until it is."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from snljax import experiments, finding
from snljax.variables import PENDING
from snljax.wording import one_line

if TYPE_CHECKING:
    import xarray as xr

    from snljax.sweep.grid import Grid

_DIGEST = "grid_digest"  # attribute of a file's Dataset


def make_folder(folder: pathlib.Path) -> None:
    """Make a folder for results, before anything is trained; ValueError if that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"out: {folder} cannot be made ({error.strerror}); allowed: a folder to write into") from None


def named(grid: Grid) -> str:
    """What files of a grid's results are called after: its experiment, one of your own by the name of its variable.

    Example:
        >>> from snljax.sweep.grid import Grid
        >>> named(Grid("topk_pruning"))
        'topk_pruning'
    """
    place = _place(grid)
    name = grid.experiment.name if place is None else place.rpartition(":")[2]
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "grid"


def _place(grid: Grid) -> str | None:
    """Where an experiment that is not the package's stands, without the folder: that may be moved."""
    place = finding.place_of(grid.experiment) if experiments.is_own(grid.experiment) else None
    return None if place is None else place.rpartition("/")[2]


def digest(
    grid: Grid,
    record_every: int | None,
    precision: str,
    stop: Sequence[Any] | None = None,
    traced: Mapping[str, Any] | None = None,
) -> str:
    """Eight digits that differ between runs whose Datasets differ.

    Args:
        grid: what is trained.
        record_every, precision: as for `sweep`.
        stop: what `stop_of` makes of ``stop_when`` and ``check_every``.
        traced: what else a trace is asked for.

    Returns:
        Hexadecimal digits, which name a run's file and its hidden store, and stand in the file.

    Example:
        >>> from snljax.sweep.grid import Grid
        >>> grid = Grid("topk_pruning", K=[10, 20])
        >>> len(digest(grid, None, "highest")), digest(grid, None, "highest") == digest(grid, 5, "highest")
        (8, False)
    """
    content: dict[str, Any] = {
        "experiment": grid.experiment.name,
        "reading": grid.reading,
        "settings": grid.settings(),
        "axes": [[axis.name, axis.fields] for axis in grid.axes],
        "seeds": grid.seeds,
        "record_every": record_every,
        "precision": precision,
        "dtype": grid.checked_dtype,
    }
    rest = {"place": _place(grid), "steps": grid.record_steps, "stop": stop, "traced": traced}
    content |= {name: value for name, value in rest.items() if value is not None}
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:8]


def signed(ds: xr.Dataset, digest: str) -> xr.Dataset:
    """The Dataset with the digest of what it was asked for, by which `writable` knows its file again."""
    return ds.assign_attrs({_DIGEST: digest})


def writable(out: pathlib.Path, store: str | None, digest: str) -> pathlib.Path:
    """Where a netCDF file goes, looked at before anything is trained.

    Args:
        out: as it was asked for; its folder is made.
        store: folder of the store that is filled, if one was asked for.
        digest: of what is to be written.

    Returns:
        out, or the file that it is a link to: that is replaced, not the link.

    Raises:
        ValueError: if it cannot be written there, or another result is there.
    """
    if out.suffix != ".nc":
        raise ValueError(f"out: {out} is not a netCDF file; allowed: a name that ends in .nc")
    out = out.resolve() if out.is_symlink() else out
    if out.is_dir() or (store is not None and out.resolve() == pathlib.Path(store).resolve()):
        raise ValueError(f"out: {out} is a folder; allowed: a free name, or a file to write over")
    _refuse_another(out, digest)
    make_folder(out.parent)
    with _part(out) as part:
        try:
            part.write_bytes(b"snljax")
        except OSError as error:
            raise _refused(out, error) from None
    return out


def _refuse_another(out: pathlib.Path, digest: str, rest: str = "") -> None:
    """ValueError if a file is there that holds anything but a result of that digest."""
    if not out.exists():
        return
    import xarray

    held = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns when it lets go of a file that is not netCDF
        with contextlib.suppress(Exception), xarray.open_dataset(out) as ds:
            held = ds.attrs.get(_DIGEST, held)
    if held != digest:
        what = (
            "something else than a result of `snljax run`"
            if held is None
            else "the result of another grid, or of one trained otherwise"
        )
        raise ValueError(f"out: {out} holds {what}{rest}; allowed: another name, or that file moved away")


def write_new(out: pathlib.Path, text: str) -> None:
    """Write a text file that is not there yet; ValueError if it is."""
    try:
        with open(out, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ValueError(f"out: {out} is there already; allowed: another name, or that file moved away") from None
    except OSError as error:
        raise _refused(out, error) from None


def write(ds: xr.Dataset, out: pathlib.Path, kept: object) -> None:
    """Write a netCDF file whole: what was there before stays until then.

    Args:
        ds: the Dataset, in memory.
        out: the file, as `writable` returned it.
        kept: the store that keeps what was trained, if there is one; the message says so.

    Raises:
        ValueError: if it cannot be written.
    """
    rest = f"; all that was trained is kept in {kept}, and the same command goes on from there" if kept else ""
    if _DIGEST in ds.attrs:  # another command may have written there meanwhile
        _refuse_another(out, ds.attrs[_DIGEST], rest)
    with _part(out) as part:
        try:
            ds.to_netcdf(part, encoding=_wider_types(ds))
            with open(part, "rb") as file:
                os.fsync(file.fileno())
            os.replace(part, out)
        except (OSError, ValueError, TypeError) as error:
            raise _refused(out, error, rest) from None


def _wider_types(ds: xr.Dataset) -> dict[Any, dict[str, str]]:
    """Types with the same values for what netCDF 3 has not: unsigned whole numbers, and those of 64 bits."""
    found = {}
    for name, variable in ds.variables.items():
        kind, size = variable.dtype.kind, variable.dtype.itemsize
        if kind == "u" and size < 4:
            found[name] = {"dtype": f"int{16 * size}"}
        elif kind in "iu" and size >= 4 and _as_float(variable.values):
            found[name] = {"dtype": "float64"}
    return found


def _as_float(values: np.ndarray) -> bool:
    """Whether whole numbers are too large for int32, and float64 holds them all; else the writer takes or refuses."""
    limits = np.iinfo(np.int32)
    large = bool(((values < limits.min) | (values > limits.max)).any())
    with np.errstate(invalid="ignore"):  # 2⁶³ as a float is no int64
        return large and bool((values.astype(np.float64).astype(values.dtype) == values).all())


@contextlib.contextmanager
def _part(out: pathlib.Path) -> Iterator[pathlib.Path]:
    """A hidden name beside a file, as long as any that is used there; nothing of it is left."""
    part = out.with_name(f".{out.stem}.{uuid.uuid4().hex[:8]}.store.nc")
    try:
        yield part
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _refused(out: pathlib.Path, error: Exception, rest: str = "") -> ValueError:
    reason = getattr(error, "strerror", None) or one_line(error)
    return ValueError(
        f"out: {out} cannot be written ({reason}){rest}; allowed: a folder that can be written and has room"
    )


# --- the store of a run that was asked for a file only ------------------------------------------------


def hidden_store(out: pathlib.Path, run: str) -> pathlib.Path:
    """The store beside a file in which it is trained. run: the `digest` of what is trained.

    Example:
        >>> hidden_store(pathlib.Path("runs", "a.nc"), "0123abcd").name
        '.a.0123abcd.store'
    """
    return out.with_name(f".{out.stem}.{run}.store")


@contextlib.contextmanager
def alone(hidden: pathlib.Path) -> Iterator[None]:
    """Refuse the same command a second time at once: the first to end removes the hidden store of both."""
    lock = hidden.with_suffix(".lock")
    with open(lock, "w") as file:
        try:
            import fcntl  # not on every system

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"out: the same command trains into {hidden} now; allowed: to wait for it, or --store, which several "
                "processes may share"
            ) from None
        except (ImportError, OSError):
            pass  # a system, or a file system, without locks
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def whole(ds: xr.Dataset, out: pathlib.Path, hidden: pathlib.Path) -> xr.Dataset:
    """The Dataset in memory, without a word of the hidden store; ValueError if not all of it could be read."""
    ds = ds.load()
    ds.attrs.pop("store", None)
    pending = int((ds.status == PENDING).sum())
    if pending:
        raise ValueError(
            f"out: {out} is not written, {pending} cells cannot be read from {hidden}; allowed: the same command again"
        )
    return ds


def remove(hidden: pathlib.Path) -> None:
    """Remove the hidden store; under another name first, or one that is removed in part would be in the way."""
    gone = hidden.with_suffix(".gone")
    shutil.rmtree(gone, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.replace(hidden, gone)
    shutil.rmtree(gone, ignore_errors=True)
