"""Where a quantity crosses a level along one axis: every place, of every seed or of their mean."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr

from snljax.boundary.bands import band
from snljax.boundary.scales import Scale, ascending, between_cells, check_coverage, log_axes_of, transform
from snljax.stats import check_finite, real
from snljax.variables import DIVERGED, PENDING, as_floats

FLAGS = {"none": 0, "found": 1, "pending": 2, "diverged": 3, "unknown": 4}
NEW = ("crossing", "rising", "low", "high", "flag")  # names in what `extract` returns


class _Scales(NamedTuple):
    """place: of the cells, and theta: the level, on the scales of interpolation. back: from there to the axis."""

    place: np.ndarray
    theta: float
    metric: Callable[[Any], Any]
    back: Callable[[Any], Any]


class _Row(NamedTuple):
    """The crossings of one row of cells; a place is NaN where it is unknown. hiding: cells in which one can be."""

    places: list[float]
    rising: list[int]
    cells: list[int]  # the known one before each
    hiding: np.ndarray
    ends: tuple[bool, bool]  # whether the first and the last known cell are at or above the level


def extract(
    values: xr.DataArray,
    along: str,
    level: float,
    *,
    over: str | None = None,
    coverage: float = 0.95,
    status: xr.DataArray | None = None,
    sides: xr.DataArray | None = None,
    scale: Scale | None = None,
    log_axes: Collection[str] | None = None,
) -> xr.Dataset:
    r"""All places where a quantity crosses a level along one axis, by interpolation between cells.

    .. math:: x = x_i + \frac{\theta - v_i}{v_j - v_i}\, (x_j - x_i)

    with logarithms of v and θ, or of x, where scale and log_axes say so. NaN cells are unknown; i and j are known
    cells that follow each other on two sides of the level. The place of a crossing is unknown, and NaN, if there
    are unknown cells between i and j, or one of the two is infinite, which otherwise counts as above or below.
    Unknown cells between known ones on the same side are taken to hold no crossing; those before the first and
    after the last known cell can hide one, which the column's flag says.

    With ``over`` it is the mean over seeds that crosses, and each crossing has an interval: the stretch around it on
    which the t interval of the mean holds the level. Whatever way the line takes, a true crossing lies outside the
    band only where the interval of the mean misses; see `band`, which has the band where the mean does not cross.

    Args:
        values: real numbers; any dimensions, one of them ``along`` with an ascending coordinate.
        along: the axis to walk, e.g. ``"K"``; without a coordinate its cells are at 0, 1, 2 and so on.
        level: θ, a finite number. A cell that has it counts as above.
        over: the dimension to take the mean over, e.g. ``"seed"``; by default each seed has its own crossings.
        coverage: of the interval, between 0 and 1.
        status: ``ds.status``: why a cell is unknown. In dimensions that values have not (a mean's seeds), a cell is
            diverged if any network is, else pending if any is.
        sides: −1, 0 or 1, ``ds.side`` of a traced diagram: on which side of the level a cell lies that was not
            trained; 0 where that is not known.
        scale: of the values between cells (with ``over`` of the interval, too), ``"linear"`` or ``"log"``; by default
            log for positive values whose name ends in loss or mse.
        log_axes: ``(along,)`` if its cells are interpolated in logarithms, ``()`` if not; by default if they are
            laid out so, as pictures draw them (1, 2, 4, 8; 1, 2, 5, 10, 20).

    Returns:
        Dataset on all other dimensions and ``crossing``, in ascending order, as many as the column with most has:
        the place, named as ``along``; ``rising``, 1 up to the level, −1 down from it, 0 where a column has no more;
        with ``over``, ``low`` and ``high``, infinite where the grid ends inside the band and NaN where unknown cells
        or a single seed end it. And ``flag`` on the other dimensions: none, found (all of them), or pending,
        diverged or unknown if a cell of that kind hides the place of one or can hide another one.

    Raises:
        ValueError: if a dimension or coordinate is not as said, the level is no finite number, the values are no
            real numbers, or there is no logarithm of what should have one.

    Example:
        >>> import xarray as xr
        >>> v = xr.DataArray([[3.0, 1.0, 1.0, 3.0], [1.0, 1.0, 1.0, 1.0]], dims=("mu", "K"), coords={"K": range(4)})
        >>> found = extract(v, "K", 2.0)
        >>> found.K.values.tolist(), found.rising.values.tolist(), found.flag.values.tolist()
        ([[0.5, 2.5], [nan, nan]], [[-1, 1], [0, 0]], [1, 0])
        >>> seeds = xr.concat([v[0] - 0.5, v[0] + 0.5], "seed")
        >>> found = extract(seeds, "K", 2.0, over="seed", coverage=0.5)
        >>> found.K.values.tolist(), found.low.values.tolist(), found.high.values.tolist()
        ([0.5, 2.5], [0.25, 2.25], [0.75, 2.75])
    """
    if along in NEW or "crossing" in values.dims:
        raise ValueError(f"along: {along!r} of {', '.join(map(str, values.dims))}; allowed: names but {', '.join(NEW)}")
    if over == along:
        raise ValueError(f"over: {over!r} is what along is; allowed: another dimension, e.g. 'seed'")
    check_coverage(coverage)
    values, on = _on_scales(values, along, level, scale, log_axes)
    fields = [values]
    if over is not None:
        of_mean = band(values, level, over=over, coverage=coverage, scale=scale)
        fields = [of_mean[name] for name in ("mean", "low", "high")]
    with np.errstate(divide="ignore"):  # the low end of a loss can be 0
        fields = [xr.apply_ufunc(on.metric, field) for field in fields]
    why = _why(fields[0], status)
    if sides is not None:
        there = fields[0].notnull() | (why == FLAGS["diverged"])
        told = _like(sides, fields[0])
        fields[0] = fields[0].where(there | (told == 0), np.copysign(np.inf, told))
    names = [along, *(("low", "high") if over is not None else ()), "rising", "flag"]
    results = xr.apply_ufunc(
        lambda rows, why, *ends: _columns(rows, why, ends, on),
        fields[0],
        why,
        *fields[1:],
        input_core_dims=[[along]] * (len(fields) + 1),
        output_core_dims=[["crossing"]] * (len(names) - 1) + [[]],
    )
    found = xr.Dataset(dict(zip(names, (r.drop_attrs(deep=False) for r in results), strict=True)))
    for name in names[:-2]:
        found[name].attrs = dict(values[along].attrs)
    found["rising"].attrs = {"flag_values": [-1, 0, 1], "flag_meanings": "falling none rising"}
    found["flag"].attrs = {"flag_values": [*FLAGS.values()], "flag_meanings": " ".join(FLAGS)}
    found.attrs = {"level": float(level), "along": along}
    return found if over is None else found.assign_attrs(over=over, coverage=coverage)


def edge(
    values: xr.DataArray,
    along: str,
    level: float,
    side: Literal["upper", "lower"],
    *,
    inside: Literal["below", "above"] | None = None,
    beyond: bool = False,
    scale: Scale | None = None,
    log_axes: Collection[str] | None = None,
) -> xr.DataArray:
    """One crossing of each column: the last place where it leaves its good side of a level, or the first it enters at.

    As `extract` finds them. It is NaN if there is none, its place is unknown, or unknown cells can hide a later one:
    those at the end, after a last known cell on the good side (``"upper"``); an earlier one: those at the start,
    before a first known cell on it (``"lower"``).

    Args:
        values, along, level, scale, log_axes: as for `extract`.
        side: ``"upper"`` is the last place where the quantity leaves the good side of the level; ``"lower"`` the first
            place where it comes there.
        inside: the good side. ``"below"``, of a loss, is the default: upper is where it rises to the level, lower
            where it falls below. ``"above"``: upper is where it falls below, lower where it rises.
        beyond: what a column has that is known throughout and has no such crossing: its edge is censored. By default
            NaN, which means leave out: what is left is too low or too high. True: ∞ where the edge is beyond the last
            cell, −∞ where it is before the first one, so that a mean, which nobody knows, is no number either; medians
            and `plotting.points` can do with them.

    Returns:
        The place for every other index, with the name of the coordinate. Where inside is left to the default, a
        warning tells if all columns of an accuracy cross the level the other way only.

    Raises:
        ValueError: as `extract`, or if side or inside is another.

    Example:
        >>> import xarray as xr
        >>> loss = xr.DataArray([3.0, 1.0, 1.0, 3.0], dims="K", coords={"K": [10, 20, 30, 40]})
        >>> float(edge(loss, "K", 2.0, "lower")), float(edge(loss, "K", 2.0, "upper"))
        (15.0, 35.0)
        >>> float(edge(loss.where(loss.K != 30), "K", 2.0, "upper"))
        nan
        >>> accuracy = xr.DataArray([1.0, 1.0, 0.8, 0.6], dims="K", coords={"K": [10, 20, 30, 40]})
        >>> float(edge(accuracy, "K", 0.9, "upper", inside="above"))
        25.0
        >>> float(edge(accuracy, "K", 0.5, "upper", inside="above", beyond=True))
        inf
    """
    if side not in ("upper", "lower"):
        raise ValueError(f"side: {side!r}; allowed: upper, lower")
    if inside not in (None, "below", "above"):
        raise ValueError(f"inside: {inside!r}; allowed: below, above")
    values, on = _on_scales(values, along, level, scale, log_axes)
    end, good = (-1 if side == "upper" else 0), inside == "above"
    wanted = 1 if (side == "upper") != good else -1
    ways: set[int] = set()

    def one(row: np.ndarray) -> float:
        found = _walk(row, on)
        ways.update(found.rising)
        if found.hiding[end] and found.ends[end] == good:
            return np.nan
        if wanted in found.rising:
            places = [p for p, rising in zip(found.places, found.rising, strict=True) if rising == wanted]
            return float(on.back(places[end]))
        if not beyond or found.hiding.any():
            return np.nan
        return np.inf if (found.ends[end] == good) == (side == "upper") else -np.inf

    found = xr.apply_ufunc(on.metric, values)
    found = xr.apply_ufunc(one, found, input_core_dims=[[along]], vectorize=True, output_dtypes=[float])
    if inside is None and ways == {-wanted} and str(values.name).endswith("accuracy"):
        way = "rises to" if wanted == 1 else "falls below"
        text = (
            f"edge: {values.name} nowhere {way} {level:g} along {along}; for where it does the reverse, inside='above'"
        )
        warnings.warn(text, stacklevel=2)
    return found.rename(along).drop_attrs(deep=False).assign_attrs(values[along].attrs)


def _on_scales(
    values: xr.DataArray, along: str, level: float, scale: Scale | None, log_axes: Collection[str] | None
) -> tuple[xr.DataArray, _Scales]:
    """The values as numbers, and what they and the axis are interpolated in."""
    position = ascending(values, "along", along)
    check_finite("level", level)
    if real("values", values).dtype.kind in "biu":
        values = as_floats(values)  # differences of unsigned numbers would wrap around
    log = along in log_axes_of(values, [along], log_axes)
    metric = transform(between_cells(values, level, scale))
    place = transform("log" if log else "linear")(position)
    return values, _Scales(place, float(metric(float(level))), metric, np.exp if log else np.asarray)


def _columns(rows: np.ndarray, why: np.ndarray, ends: tuple[np.ndarray, ...], on: _Scales) -> tuple[np.ndarray, ...]:
    """Places (with the two ends of their intervals, if there are), rising and flag of all columns.

    rows, why and each of the ends: shape (..., cells).
    """
    shape, cells = rows.shape[:-1], rows.shape[-1]
    found = [_walk(row, on) for row in rows.reshape(-1, cells)]
    most = max((len(row.places) for row in found), default=0)
    places = np.full((1 + len(ends), len(found), most), np.nan)
    rising = np.zeros((len(found), most), np.int8)
    for i, row in enumerate(found):
        rising[i, : len(row.places)] = row.rising
        for n, (place, cell) in enumerate(zip(row.places, row.cells, strict=True)):
            places[0, i, n] = place
            if ends and not np.isnan(place):
                low, high = (field.reshape(-1, cells)[i] for field in ends)
                places[1:, i, n] = _stretch(cell, low, high, on)
    flags = np.array([_flag(*both) for both in zip(found, why.reshape(-1, cells), strict=True)], np.int8)
    finite = np.isfinite(places)
    places[finite] = on.back(places[finite])
    return *(p.reshape(*shape, most) for p in places), rising.reshape(*shape, most), flags.reshape(shape)


def _walk(row: np.ndarray, on: _Scales) -> _Row:
    unknown = np.isnan(row)
    known = np.flatnonzero(~unknown)
    if known.size == 0:
        return _Row([], [], [], unknown, (False, False))
    above = row[known] >= on.theta
    hiding = unknown.copy()
    hiding[known[0] : known[-1]] = False
    places, rising, cells = [], [], []
    for n in np.flatnonzero(above[:-1] != above[1:]):
        i, j = known[n], known[n + 1]
        hiding[i + 1 : j] = True
        placed = j == i + 1 and np.isfinite(row[i]) and np.isfinite(row[j])
        share = (on.theta - row[i]) / (row[j] - row[i]) if placed else np.nan
        places.append(on.place[i] + share * (on.place[j] - on.place[i]))
        rising.append(1 if above[n + 1] else -1)
        cells.append(int(i))
    return _Row(places, rising, cells, hiding, (bool(above[0]), bool(above[-1])))


def _flag(row: _Row, why: np.ndarray) -> int:
    reasons = {*why[row.hiding].tolist()}
    for name in ("pending", "diverged", "unknown"):
        if FLAGS[name] in reasons:
            return FLAGS[name]
    if np.isnan(row.places).any():
        return FLAGS["unknown"]  # beside an infinite cell
    return FLAGS["found"] if row.places else FLAGS["none"]


def _why(values: xr.DataArray, status: xr.DataArray | None) -> xr.DataArray:
    """For every cell the flag that it gives its column if it is unknown."""
    reason = xr.full_like(values, FLAGS["unknown"], dtype=np.int8)
    if status is None:
        return reason
    other = [d for d in status.dims if d not in values.dims]
    for name, code in (("pending", PENDING), ("diverged", DIVERGED)):
        reason = reason.where(~_like((status == code).any(other), values), np.int8(FLAGS[name]))
    return reason


def _like(other: xr.DataArray, values: xr.DataArray) -> xr.DataArray:
    """In the dimensions of the values, cell by cell."""
    return xr.broadcast(other.reset_coords(drop=True), values)[0].transpose(*values.dims)


def _stretch(cell: int, low: np.ndarray, high: np.ndarray, on: _Scales) -> tuple[float, float]:
    """The ends of the stretch around a crossing, behind the cell, on which low and high hold the level."""
    return _end(range(cell, -1, -1), 1, low, high, on), _end(range(cell + 1, len(low)), -1, low, high, on)


def _end(cells: range, back: int, low: np.ndarray, high: np.ndarray, on: _Scales) -> float:
    """Where low or high leaves the level on its own side, cell after cell; back: towards the crossing."""
    for k in cells:
        if np.isnan(low[k]) or np.isnan(high[k]):
            return np.nan
        if low[k] > on.theta or high[k] < on.theta:
            field, before = (low if low[k] > on.theta else high), k + back
            if np.isinf(field[before]):
                return on.place[k]
            share = (on.theta - field[k]) / (field[before] - field[k])
            return on.place[k] + share * (on.place[before] - on.place[k])
    return -back * np.inf
