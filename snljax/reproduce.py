"""``reproduce(name)``: a figure from nothing to picture, Dataset and claims report."""

from __future__ import annotations

import pathlib
import time
from typing import Any, NamedTuple

import xarray as xr

from snljax import figures
from snljax.figures.claims import Claim, to_json, to_markdown
from snljax.measures import image_statistics
from snljax.sweep.engine import sweep
from snljax.sweep.grid import Grid, zip


class Report(NamedTuple):
    """What ``reproduce`` made.

    datasets: by sweep name. claims: as checked. files: everything written. seconds: compile, train (or
    compute, where nothing is trained) and draw, in wall-clock seconds.
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
        trained), ``claims.md`` and ``claims.json``.

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
    grids = {label: _grid(settings) for label, settings in plan.items() if "compute" not in settings}
    make_folder(folder)

    started = time.perf_counter()
    datasets: dict[str, xr.Dataset] = {}
    files: list[pathlib.Path] = []
    for label, settings in plan.items():
        if label in grids:
            grid, record_every = grids[label]
            store = folder / f"{label}.store"
            datasets[label] = sweep(grid, store=store, record_every=record_every, progress=progress, **options)
        else:
            datasets[label] = _computed(**settings)
        files.append(folder / f"{label}.nc")
        datasets[label].to_netcdf(files[-1])
    compiling = sum(datasets[n].attrs["compile_seconds"] + datasets[n].attrs["probe_seconds"] for n in grids)
    trained = time.perf_counter()

    pictures = figure.draw(datasets, preset)
    for picture, drawn in pictures.items():
        for suffix in ("png", "pdf"):
            files.append(folder / f"{picture}.{suffix}")
            drawn.savefig(files[-1], dpi=200)
        _close(drawn)
    claims = figure.claims(datasets, preset)
    title, remarks = f"{name}, preset {preset}", [_remark(n, grids.get(n), ds) for n, ds in datasets.items()]
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


def make_folder(folder: pathlib.Path) -> None:
    """Make a folder for results, before anything is trained; ValueError if that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"out: {folder} cannot be made ({error.strerror}); allowed: a folder to write into") from None


def _grid(settings: dict[str, Any]) -> tuple[Grid, int | None]:
    """A preset's sweep: a table of columns is one axis that moves several fields."""
    plain: dict[str, Any] = {n: zip(**v) if isinstance(v, dict) else v for n, v in settings.items()}
    record_every = plain.pop("record_every", None)
    return Grid(plain.pop("experiment", "topk_pruning"), **plain), record_every


def _computed(compute: str, **settings: Any) -> xr.Dataset:
    """What a function of image_statistics returns, and how long it took."""
    since = time.perf_counter()
    ds = getattr(image_statistics, compute)(**settings)
    return ds.assign_attrs(wall_seconds=round(time.perf_counter() - since, 1))


def _remark(label: str, planned: tuple[Grid, int | None] | None, ds: xr.Dataset) -> str:
    if planned is None:
        return f"{label}: {ds.attrs['images']} images, {ds.attrs['wall_seconds']:.0f} s"
    grid = planned[0]
    shape = " × ".join(f"{n} {name}" for name, n in grid.shape.items())
    return (
        f"{label}: {shape}, {grid.config.steps} steps, reading {grid.reading}, "
        f"{int((ds.status == 2).sum())} diverged; {ds.attrs['device']}, {ds.attrs['wall_seconds']:.0f} s this time"
    )


def _close(drawn: Any) -> None:
    import matplotlib.pyplot as plt  # heavy, and not needed to train

    plt.close(drawn)
