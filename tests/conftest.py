"""Strict rank promotion, and the fixtures that all tests share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import jax
import pytest
from harness import POWERS, need_devices

from snljax import Experiment

jax.config.update("jax_numpy_rank_promotion", "raise")


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


@pytest.fixture
def powers() -> Experiment:
    """x <- rate · x, from start² · (1 + spread · standard normals): every number is known."""
    return POWERS
