"""Two CPU devices, strict rank promotion, and the small configurations that the tests share."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

os.environ["XLA_FLAGS"] = (os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2").strip()
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two test processes; scikit-learn's threads would wait for each other

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snljax import Experiment, field

jax.config.update("jax_numpy_rank_promotion", "raise")

# Paper 000, small: sizes, and a run that learns something in a few steps.
SMALL = {"n": 16, "n_test": 40, "d": 24, "m": 4, "num_classes": 3, "K": 8}
PAPER = SMALL | {"sigma_p": 0.8, "learning_rate": 0.1, "steps": 40}


@pytest.fixture(autouse=True)
def _figures_are_closed():
    """matplotlib warns from the twentieth on, and which tests share a process is chance."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture
def x64():
    """Double precision inside one test."""
    with jax.enable_x64(True):
        yield


def need_devices(count: int) -> list[Any]:
    """The first devices; a test is skipped only on an accelerator that has fewer, never on CPU."""
    devices = jax.local_devices()[:count]
    if len(devices) < count:
        assert jax.default_backend() != "cpu", "XLA_FLAGS above should have made two CPU devices"
        pytest.skip(f"needs {count} devices")
    return devices


@pytest.fixture
def two_devices():
    return need_devices(2)


@pytest.fixture
def one_line() -> Callable[..., str]:
    """Asserts that a call is refused with a one-line ValueError that contains all the given texts."""

    def check(call: Callable[[], Any], *texts: str) -> str:
        with pytest.raises(ValueError, match="allowed: ") as refused:
            call()
        message = str(refused.value)
        assert "\n" not in message
        missing = [t for t in texts if t not in message]
        assert not missing, f"{missing} not in {message!r}"
        return message

    return check


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


@pytest.fixture
def powers() -> Experiment:
    """x <- rate · x, from start² · (1 + spread · standard normals): every number is known."""
    return POWERS


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
