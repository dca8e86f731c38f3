"""``reproduce(name)``: a figure from nothing to picture, Dataset and claims report."""

from __future__ import annotations

import datetime
import functools
import logging
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import xarray as xr

from snljax import figures
from snljax.figures.claims import Claim, to_json, to_markdown
from snljax.figures.image_sets import NAMES as IMAGE_SETS
from snljax.figures.presets import Computed, Preset, Sweep, Trace
from snljax.output import make_folder, write
from snljax.report import timing
from snljax.sweep.axes import together
from snljax.sweep.engine import SweepError, sweep
from snljax.sweep.files import StoreError, replace
from snljax.sweep.grid import Grid
from snljax.sweep.status import status
from snljax.trace import trace
from snljax.variables import DIVERGED


class Report(NamedTuple):
    """What ``reproduce`` made.

    datasets: by sweep name. claims: as checked. files: everything written to be read. seconds: compile, train (or
    compute, where nothing is trained) and draw, in wall-clock seconds of this call.
    """

    datasets: dict[str, xr.Dataset]
    claims: list[Claim]
    files: list[pathlib.Path]
    seconds: dict[str, float]


def reproduce(
    name: str, preset: str = "quick", out: str | pathlib.Path = "runs", progress: bool = True, **options: Any
) -> Report:
    """Train what a figure needs, draw it, check its claims, and write everything.

    What is trained is kept in a store beside the picture: the same call again resumes, or only draws. What is
    computed without training is computed again.

    Args:
        name: a figure, see ``snljax list``.
        preset: ``"quick"`` for two CPU cores at reduced size, ``"paper"`` for the published setting.
        out: a folder; the files go into ``out/name-preset``.
        progress: show progress bars.
        options: passed on to `sweep` (executor, devices, memory, block, precision, ...), where there is one.

    Returns:
        Report. On disk: PNG and PDF, one netCDF file and one store per sweep (none where nothing is
        trained), ``claims.md`` and ``claims.json``. ``timing.json`` counts the seconds of all calls that trained
        something, interrupted ones too.

    Raises:
        ValueError: unknown figure or preset, a bad option, or images that cannot be found or read.

    Example:
        >>> report = reproduce("topk-heatmap")  # doctest: +SKIP
    """
    figure = figures.get(name)
    if preset not in figure.presets:
        raise ValueError(f"preset: {preset!r} is not known to {name}; allowed: {', '.join(figure.presets)}")
    folder = pathlib.Path(out) / f"{name}-{preset}"
    plan = figure.presets[preset]
    grids = _grids(plan)
    make_folder(folder)

    started = time.perf_counter()
    datasets: dict[str, xr.Dataset] = {}
    files: list[pathlib.Path] = []
    for label, part in plan.items():
        store = folder / f"{label}.store" if label in grids else None
        make = (
            part.dataset
            if isinstance(part, Computed)
            else functools.partial(_trained, part, grids[label], store=store, progress=progress, **options)
        )
        datasets[label] = _timed(folder, label, store, make)
        files.append(folder / f"{label}.nc")
        write(datasets[label], files[-1], store)
    compiling = sum(datasets[n].attrs["compile_seconds"] + datasets[n].attrs["probe_seconds"] for n in grids)
    trained = time.perf_counter()

    files += _drawn(figure, datasets, folder)
    claims = figure.claims(datasets)
    parts = timing.read(folder).parts
    whole = timing.Timing({label: parts[label] for label in plan}, round(time.perf_counter() - trained, 3))
    replace(folder / timing.FILE, timing.to_json(whole))
    title, remarks = f"{name}, preset {preset}", [_remark(n, grids.get(n), ds, parts[n]) for n, ds in datasets.items()]
    remarks += _other_images(figure, preset)
    for file, text in (
        ("claims.md", to_markdown(title, claims, remarks)),
        ("claims.json", to_json(title, claims, remarks)),
    ):
        (folder / file).write_text(text, encoding="utf-8")
        files.append(folder / file)
    seconds = {
        "compile": compiling,
        "train": trained - started - compiling,
        "draw": time.perf_counter() - trained,
    }
    return Report(datasets, claims, files, seconds)


def _trained(part: Sweep | Trace, grid: Grid, **where: Any) -> xr.Dataset:
    if isinstance(part, Trace):
        return trace(grid, part.metric, part.level, **part.options, **where)
    return sweep(grid, record_every=part.record_every, **where)


def _timed(folder: pathlib.Path, label: str, store: pathlib.Path | None, make: Callable[[], xr.Dataset]) -> xr.Dataset:
    """A Dataset of a figure; what it took is kept, unless all of it was in the store."""
    known, before, since = timing.read(folder).parts.get(label), _finished(store), time.perf_counter()
    fresh = store is None or not store.exists() or (known is None and not before)

    def keep(device: str = "") -> None:
        seconds, today = round(time.perf_counter() - since, 3), datetime.date.today().isoformat()
        _keep(folder, label, timing.counted(known, fresh, seconds, today, device))

    try:
        ds = make()
    except (KeyboardInterrupt, SweepError):
        if store is not None:  # what is finished there stays, and so does its time
            keep()
        raise
    if store is None or _finished(store) > before:
        keep(ds.attrs.get("device", ""))
    elif known is None:
        _keep(folder, label, timing.UNKNOWN)
    return ds


def _finished(store: pathlib.Path | None) -> int:
    """Blocks of a store that are finished."""
    try:
        return 0 if store is None else status(store, seconds=0.0).blocks_done
    except StoreError:  # there is none yet
        return 0


def _keep(folder: pathlib.Path, label: str, part: timing.Part) -> None:
    known = timing.read(folder)
    replace(folder / timing.FILE, timing.to_json(known._replace(parts=known.parts | {label: part})))


def _grids(plan: Preset) -> dict[str, Grid]:
    """The grids of what is trained."""
    trained = {label: part for label, part in plan.items() if not isinstance(part, Computed)}
    return {label: grid_of(_sweep_of(part)) for label, part in trained.items()}


def _sweep_of(part: Sweep | Trace) -> Sweep:
    return part.sweep if isinstance(part, Trace) else part


def grid_of(part: Sweep) -> Grid:
    """What a figure's sweep trains.

    Args:
        part: as its preset says.

    Returns:
        The Grid; a table of columns is one axis that moves several fields together.

    Raises:
        ValueError: as `Grid`.

    Example:
        >>> grid_of(Sweep("topk_pruning", level={"sigma_p": [0.5, 1.0], "sigma_0": [0.01, 0.1]})).shape
        {'level': 2}
    """
    fields = {n: together(**v) if isinstance(v, dict) else v for n, v in part.fields.items()}
    return Grid(part.experiment, reading=part.reading, **fields)


def _drawn(figure: figures.Figure, datasets: dict[str, xr.Dataset], folder: pathlib.Path) -> list[pathlib.Path]:
    """The pictures of a figure, written."""
    import matplotlib.pyplot as plt  # heavy, and not needed to train

    from snljax import plotting

    files = []
    logging.getLogger("fontTools").setLevel(logging.ERROR)  # it warns of the dates in matplotlib's own fonts
    with plotting.style():
        for picture, drawn in figure.draw(datasets).items():
            for suffix in ("png", "pdf"):
                files.append(folder / f"{picture}.{suffix}")
                drawn.savefig(files[-1])
            plt.close(drawn)
    return files


def _remark(label: str, grid: Grid | None, ds: xr.Dataset, took: timing.Part) -> str:
    if grid is None:
        return f"{label}: {ds.attrs['images']} images, {took}"
    shape = " × ".join(f"{n} {name}" for name, n in grid.shape.items())
    traced = f", {ds.attrs['networks']} networks of {grid.cells} trained" if "networks" in ds.attrs else ""
    return (
        f"{label}: {shape}{traced}, {grid.config.steps} steps, reading {grid.reading}, "
        f"{int((ds.status == DIVERGED).sum())} diverged; {took}"
    )


def _other_images(figure: figures.Figure, preset: str) -> list[str]:
    """A remark, if a preset takes other images than the paper does."""
    used, wanted = (_image_sets(figure.presets.get(name, {})) for name in (preset, "paper"))
    other, instead = (
        ", ".join(IMAGE_SETS.get(name, name) for name in some if name not in others)
        for some, others in ((used, wanted), (wanted, used))
    )
    return [f"images: {other} in place of {instead}"] if other and instead else []


def _image_sets(plan: Preset) -> list[str]:
    """The sets of images that a preset names, each once."""
    given = [part.settings if isinstance(part, Computed) else _sweep_of(part).fields for part in plan.values()]
    return [*dict.fromkeys(str(settings["dataset"]) for settings in given if "dataset" in settings)]
