"""Which devices of this host train, and how much memory they may take."""

from __future__ import annotations

import math
import numbers
import os
import re
from collections.abc import Sequence
from typing import Any

import jax

_MOST = 2**63 - 1
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def cores_as_devices() -> None:
    """On CPU, make every core a device, unless JAX already runs or the number of devices was chosen.

    A block on each core trains 15 to 30 % faster than one block on all cores (``benchmarks/heatmap.py``):
    the cores need not wait for each other after every operation.
    """
    if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    if getattr(jax.config, "jax_num_cpu_devices", -1) > 0:
        return
    try:
        jax.config.update("jax_num_cpu_devices", _cores())
    except RuntimeError:
        return  # JAX already runs; its devices stand


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resolve(devices: int | Sequence[Any] | None, useful: int) -> tuple[Any, ...]:
    """The devices to train on.

    Args:
        devices: how many, or which; None is all that are useful.
        useful: how many blocks there are to train.

    Returns:
        One device or more, all of this host.

    Raises:
        ValueError: none, more than there are, one twice, or something else than devices.

    Example:
        >>> len(resolve(1, useful=10))
        1
    """
    cores_as_devices()
    available = jax.local_devices()
    if devices is None:
        return tuple(available[: max(useful, 1)])
    if isinstance(devices, numbers.Integral) and not isinstance(devices, bool):
        count = int(devices)
        if not 1 <= count <= len(available):
            shown = count if abs(count) < _MOST else "a number of many digits"
            raise ValueError(f"devices: {shown}; allowed: 1 to {len(available)} on this host")
        return tuple(available[:count])
    if not isinstance(devices, (list, tuple)) or not all(isinstance(d, jax.Device) for d in devices):
        raise ValueError(f"devices: {devices!r}; allowed: a number, 1 to {len(available)}, or a list of JAX devices")
    if not devices:
        raise ValueError("devices: none given; allowed: one or more")
    twice = [d for d in dict.fromkeys(devices) if devices.count(d) > 1]
    if twice:
        raise ValueError(f"devices: {twice[0]} is given twice; allowed: different devices")
    return tuple(devices)


def parse_memory(memory: str | int | None, devices: tuple[Any, ...]) -> int:
    """Bytes that one device's block may take.

    Args:
        memory: bytes, or text such as ``"2GB"``, for all devices together; None is half of the
            machine's memory (on an accelerator, 80 % of each device's).
        devices: on CPU they share the machine's memory.

    Returns:
        Bytes per device.

    Raises:
        ValueError: if the text is not a size, or the size is not positive or beyond any machine's.

    Example:
        >>> import jax
        >>> parse_memory("2GB", tuple(jax.devices()[:1]))
        2000000000
    """
    if memory is None:
        limit = (devices[0].memory_stats() or {}).get("bytes_limit") if devices[0].platform != "cpu" else None
        if limit:
            return int(0.8 * limit)
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2 // len(devices)
    total = _bytes(memory)
    if total > _MOST:
        raise ValueError("memory: more than 2^63 bytes; allowed: less, such as '2GB'")
    if not total >= 1:  # NaN is not
        raise ValueError(f"memory: {memory!r} is not a size; allowed: bytes, or text such as '500MB' or '2GB'")
    return int(total) // len(devices)


def _bytes(memory: Any) -> float:
    """A size in bytes; NaN for what is none, infinity for what has too many digits."""
    if isinstance(memory, bool):
        return math.nan
    if isinstance(memory, numbers.Real):
        try:
            return float(memory)
        except OverflowError:
            return math.inf
    match = re.fullmatch(r"\s*([0-9.]+)\s*([kKMGT]?B?)\s*", str(memory))
    if match is None:
        return math.nan
    unit = match[2].upper()
    unit += "B" if unit and not unit.endswith("B") else ""
    try:
        return float(match[1]) * _UNITS[unit]
    except ValueError:
        return math.nan


def human_bytes(size: int) -> str:
    """Bytes for people."""
    for unit in ("TB", "GB", "MB", "KB"):
        if size >= _UNITS[unit]:
            return f"{size / _UNITS[unit]:.3g} {unit}"
    return f"{size} B"
