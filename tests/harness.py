"""What all tests share: two CPU devices, small configurations, a system with a closed form, bits.

Imported before JAX starts: by conftest.py, and by what tests run in processes of their own.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import tempfile
from typing import Any, NamedTuple

if "xla_force_host_platform_device_count=2" not in os.environ.get("XLA_FLAGS", ""):  # as processes of tests have it
    os.environ["XLA_FLAGS"] = (os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2").strip()
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two test processes; scikit-learn's threads would wait for each other

if not os.environ.get("SNLJAX_CACHE"):  # not the user's; what one test process has compiled, the others need not
    _cache = tempfile.TemporaryDirectory(prefix="snljax-tests-", ignore_cleanup_errors=True)
    os.environ["SNLJAX_CACHE"] = _cache.name

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snljax import Experiment, cli, field

TESTS = pathlib.Path(__file__).parent
ROOT = TESTS.parent
PYTHONPATH = os.pathsep.join(map(str, (TESTS, TESTS / "sweep")))  # of processes that tests start

# Paper 000, small: sizes, and a run that learns something in a few steps.
SMALL = {"n": 16, "n_test": 40, "d": 24, "m": 4, "num_classes": 3, "K": 8}
PAPER = SMALL | {"sigma_p": 0.8, "learning_rate": 0.1, "steps": 40}


def need_devices(count: int) -> list[Any]:
    """The first devices; a test is skipped only on an accelerator that has fewer, never on CPU."""
    devices = jax.local_devices()[:count]
    if len(devices) < count:
        assert jax.default_backend() != "cpu", "XLA_FLAGS above should have made two CPU devices"
        pytest.skip(f"needs {count} devices")
    return devices


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PowersConfig:
    """A system with a closed form: x after t updates is rate^t · start · (1 + spread · draw)."""

    rate: float = field(0.5, range="[0, inf)")
    start: float = field(1.0)
    spread: float = field(0.0)
    steps: int = field(4, range="[0, inf)")
    width: int = field(3, static=True, range="[1, inf)")
    label: str | None = field(None, static=True)


class PowersDraw(NamedTuple):
    normals: jax.Array


class PowersMetrics(NamedTuple):
    mean: jax.Array
    values: jax.Array
    above_one: jax.Array
    unused: jax.Array | None = None


POWERS = Experiment(
    name="powers",
    Config=PowersConfig,
    draw=lambda config, key: PowersDraw(jax.random.normal(key, (config.width,))),
    init=lambda config, draw: config.start * config.start * (1 + config.spread * draw.normals),
    step=lambda config, draw, x, t: config.rate * x,
    measure=lambda config, draw, x: PowersMetrics(jnp.mean(x), x, jnp.sum(x > 1)),
    dims={"values": ("coordinate",)},
)


def bits(array: Any) -> np.ndarray:
    """The bits of floating-point numbers, so that NaN equals NaN and -0 differs from 0."""
    array = np.asarray(array)
    return array.view(f"i{array.dtype.itemsize}") if np.issubdtype(array.dtype, np.floating) else array


def assert_same_bits(a: Any, b: Any) -> None:
    """Two Datasets, bit for bit: dimensions, coordinates and values."""
    assert list(a.data_vars) == list(b.data_vars)
    assert dict(a.sizes) == dict(b.sizes)
    for name in [*a.coords, *a.data_vars]:
        assert a[name].dims == b[name].dims
        np.testing.assert_array_equal(bits(a[name].values), bits(b[name].values), err_msg=name)


def finished(block: int, arrays: dict[str, np.ndarray], program: tuple[str, str]) -> Any:
    """A block as a trainer hands it to a store, with whatever numbers."""
    from snljax.sweep.work import Finished, Work

    return Finished(Work(block, None, (), np.arange(1)), arrays, program, 0.0, lambda: None)


def fails(capsys: Any, *argv: str) -> str:
    """The one line that a command which refuses its arguments prints."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(argv)
    error = capsys.readouterr().err
    assert (stopped.value.code, error.count("\n")) == (2, 1), error
    return error
