"""Networks that end before their last step, when a metric is where it should be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from snljax.sweep.records import Records
from snljax.sweep.returned import Metrics
from snljax.variables import FIRST_BAD
from snljax.wording import shown, unknown

STOPPED = "stopped_at"
_COMPARISONS = {"<=": np.less_equal, ">=": np.greater_equal, "<": np.less, ">": np.greater}
_FORM = re.compile(rf"\s*(\w+)\s*({'|'.join(_COMPARISONS)})\s*(\S+)\s*")
_ALLOWED = "a metric, one of < <= > >=, and a number, such as 'train_loss < 0.01'"


class Stop(NamedTuple):
    """A network ends at the first of the steps 0, every, 2 every, … at which metric stands so to level.

    A block trains on until all of its networks have ended or diverged; what is kept of each is of the step at which it
    ended, so that it does not depend on those beside it.
    """

    metric: str
    comparison: str
    level: float
    every: int


def stop_of(text: Any, every: Any) -> Stop | None:
    """What ``stop_when`` and ``check_every`` ask for; ValueError for what cannot be.

    Example:
        >>> stop_of("train_loss < 0.01", 50)
        Stop(metric='train_loss', comparison='<', level=0.01, every=50)
    """
    if text is None:
        if every is not None:
            raise ValueError(f"check_every: {shown(every)} without stop_when; allowed: with it")
        return None
    found = _FORM.fullmatch(text) if isinstance(text, str) else None
    level = _number(found[3]) if found else None
    if found is None or level is None:
        raise ValueError(f"stop_when: {shown(text)}; allowed: {_ALLOWED}")
    if not isinstance(every, int) or isinstance(every, bool) or every < 1:
        raise ValueError(f"check_every: {shown(every)}; allowed: a whole number of steps, 1 or more")
    return Stop(found[1], found[2], level, every)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def with_stop(stop: Stop, metrics: Metrics) -> Metrics:
    """The metrics of a sweep that stops, with the step at which each network did; ValueError if it cannot be told."""
    if stop.metric not in metrics:
        raise ValueError(unknown("stop_when", stop.metric, metrics))
    inner = metrics[stop.metric][1]
    if inner:
        raise ValueError(f"stop_when: {stop.metric!r} has shape {list(inner)} of each network; allowed: one number")
    if STOPPED in metrics:
        raise ValueError(f"stop_when: {STOPPED} is a metric of the experiment; allowed: another name for it")
    return metrics | {STOPPED: (np.dtype(np.int32), ())}


def all_ended(stop: Stop, kept: Sequence[Records], first_bad: np.ndarray) -> bool:
    """Whether no network of some blocks that train together is to be trained on.

    Args:
        stop: when they end. kept: measurements of each block. first_bad: (blocks or more, seeds, points).
    """
    return all(
        bool((_held(stop, r.arrays[stop.metric][:, :, : r.count]).any(axis=2) | (bad >= 0)).all())
        for r, bad in zip(kept, first_bad, strict=False)
    )


def at_its_end(stop: Stop, arrays: dict[str, np.ndarray], steps: Sequence[int], count: int) -> dict[str, np.ndarray]:
    """What is kept of a block: of each network the measurements at its end, as one record.

    Args:
        stop: when networks end.
        arrays: metric -> (seeds, points, records, ...), and ``first_bad_step``.
        steps: of the records. count: how many were made.

    Returns:
        The same with one record each, and the step of it. A network that diverged after its end did not.
    """
    bad, at = arrays[FIRST_BAD], np.asarray(steps[:count], np.int32)
    alive = (bad[:, :, None] < 0) | (at < bad[:, :, None])
    held = _held(stop, arrays[stop.metric][:, :, :count]) & alive
    ended = held.any(axis=2)
    record = np.where(ended, held.argmax(axis=2), count - 1)
    kept = {
        name: np.take_along_axis(a[:, :, :count], record.reshape(*record.shape, *[1] * (a.ndim - 2)), axis=2)
        for name, a in arrays.items()
        if name != FIRST_BAD
    }
    stopped = np.where(~ended & (bad >= 0), bad, at[record]).astype(np.int32)
    return kept | {STOPPED: stopped[:, :, None], FIRST_BAD: np.where(ended, -1, bad).astype(np.int32)}


def _held(stop: Stop, values: np.ndarray) -> np.ndarray:
    """Where the metric stands as it should; NaN nowhere."""
    with np.errstate(invalid="ignore"):
        return _COMPARISONS[stop.comparison](values, stop.level)
