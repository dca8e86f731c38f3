"""``reproduce(name)``: a figure from nothing to picture, Dataset and claims report."""

from __future__ import annotations

import pathlib
import time
from typing import Any, NamedTuple

import xarray as xr

from snljax import figures
from snljax.figures.claims import Claim, to_json, to_markdown
from snljax.figures.presets import Sweep
from snljax.output import make_folder, write
from snljax.sweep.axes import together
from snljax.sweep.engine import sweep
from snljax.sweep.grid import Grid
from snljax.variables import DIVERGED


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
    grids = {label: grid_of(part) for label, part in plan.items() if isinstance(part, Sweep)}
    make_folder(folder)

    started = time.perf_counter()
    datasets: dict[str, xr.Dataset] = {}
    files: list[pathlib.Path] = []
    for label, part in plan.items():
        if isinstance(part, Sweep):
            store, every = folder / f"{label}.store", part.record_every
            datasets[label] = sweep(grids[label], store=store, record_every=every, progress=progress, **options)
        else:
            since = time.perf_counter()
            ds = part.dataset()
            datasets[label] = ds.assign_attrs(wall_seconds=round(time.perf_counter() - since, 1))
        files.append(folder / f"{label}.nc")
        write(datasets[label], files[-1], folder / f"{label}.store" if label in grids else None)
    compiling = sum(datasets[n].attrs["compile_seconds"] + datasets[n].attrs["probe_seconds"] for n in grids)
    trained = time.perf_counter()

    files += _drawn(figure, datasets, folder)
    claims = figure.claims(datasets)
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
    with plotting.style():
        for picture, drawn in figure.draw(datasets).items():
            for suffix in ("png", "pdf"):
                files.append(folder / f"{picture}.{suffix}")
                drawn.savefig(files[-1])
            plt.close(drawn)
    return files


def _remark(label: str, grid: Grid | None, ds: xr.Dataset) -> str:
    if grid is None:
        return f"{label}: {ds.attrs['images']} images, {ds.attrs['wall_seconds']:.0f} s"
    shape = " × ".join(f"{n} {name}" for name, n in grid.shape.items())
    return (
        f"{label}: {shape}, {grid.config.steps} steps, reading {grid.reading}, "
        f"{int((ds.status == DIVERGED).sum())} diverged; {ds.attrs['device']}, "
        f"{ds.attrs['wall_seconds']:.0f} s this time"
    )
