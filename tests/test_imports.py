"""Imports follow the arrows of the design and never run back."""

from __future__ import annotations

import ast
import importlib
import pathlib
import subprocess
import sys

import pytest

import snljax

ROOT = pathlib.Path(snljax.__file__).parent
OUTER = ("sweep", "figures", "plotting", "boundary", "cli")
ALLOWED_NOT = {
    **dict.fromkeys(("data", "models", "losses", "masks", "descent", "measures", "theory"), ("experiments", *OUTER)),
    "experiments": OUTER,
    "figures": ("sweep", "cli"),
    "plotting": ("sweep", "figures", "cli"),
    "sweep": ("figures", "plotting", "cli"),
}


def imported(path: pathlib.Path, everywhere: bool) -> set[str]:
    """Dotted names that a file imports, anywhere or at module level; relative imports are not used here."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = set()
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def files_of(part: str) -> list[pathlib.Path]:
    return sorted((ROOT / part).rglob("*.py")) if (ROOT / part).is_dir() else [ROOT / f"{part}.py"]


@pytest.mark.parametrize("part", [p for p in ALLOWED_NOT if files_of(p) and files_of(p)[0].exists()])
def test_imports_run_one_way(part):
    for path in files_of(part):
        for name in imported(path, everywhere=True):
            assert not name.startswith(tuple(f"snljax.{outer}" for outer in ALLOWED_NOT[part])), f"{path}: {name}"
            assert name != "snljax" or part in ("figures", "plotting"), f"{path}: imports the whole package"


def test_figures_and_plotting_need_no_jax_at_module_level():
    for path in [*files_of("figures"), *(p for p in files_of("plotting") if p.exists())]:
        for name in imported(path, everywhere=False):
            assert name.split(".")[0] not in ("jax", "jaxlib"), f"{path}: {name}"


def test_importing_the_package_is_light():
    heavy = ("matplotlib", "zarr", "torch", "sklearn", "tyro", "flax", "netCDF4", "h5netcdf", "dask")
    code = f"import sys, snljax; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"


def test_dir_shows_the_public_names():
    assert dir(snljax) == sorted(snljax.__all__) == list(snljax.__all__)


@pytest.mark.parametrize("name", snljax.__all__)
def test_public_names_exist(name):
    """A module of that name, or what a module calls so."""
    found = getattr(snljax, name)
    assert (found.__name__ if hasattr(found, "__name__") else name).split(".")[-1] in (
        name,
        {"zip": "together"}.get(name),
    )


@pytest.mark.parametrize(
    ("name", "home"),
    [
        ("compare", "stats"),
        ("metric", "experiment"),
        ("papers", "papers"),
        ("stats", "stats"),
        ("together", "sweep.axes"),
        ("zip", "sweep.axes"),
    ],
)
def test_public_names_are_those_of_their_modules(name, home):
    module = importlib.import_module(f"snljax.{home}")
    assert getattr(snljax, name) is (module if name == home else getattr(module, name))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'sweeep'"):
        snljax.sweeep  # noqa: B018
