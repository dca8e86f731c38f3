"""The contract between a system and the engine: a Config and four pure functions of one network."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import jax

_METADATA = ("symbol", "help", "range", "choices")


class Draw(Protocol):
    """``draw(config, key) -> Draw``, or ``draw(config, key, data) -> Draw`` where the experiment has data."""

    def __call__(self, config: Any, key: jax.Array, /, *data: Any, **none: Any) -> Any: ...


class Init(Protocol):
    """``init(config, draw) -> State``, or ``init(config, draw, data) -> State`` where the experiment has data."""

    def __call__(self, config: Any, draw: Any, /, *data: Any, **none: Any) -> Any: ...


class Step(Protocol):
    """``step(config, draw, state, t) -> State``, or ``step(config, draw, state, t, data) -> State`` with data.

    The state that comes back has the shapes and dtypes of the one that went in; t is a traced int32 scalar.
    """

    def __call__(self, config: Any, draw: Any, state: Any, t: jax.Array, /, *data: Any, **none: Any) -> Any: ...


class Measure(Protocol):
    """``measure(config, draw, state) -> Metrics``, or ``measure(config, draw, state, data) -> Metrics`` with data."""

    def __call__(self, config: Any, draw: Any, state: Any, /, *data: Any, **none: Any) -> Any: ...


class Data(Protocol):
    """``data(config) -> arrays``: any pytree of arrays of numbers, read on the host."""

    def __call__(self, config: Any, /) -> Any: ...


class Check(Protocol):
    """``check(config) -> None``; raises a ValueError of one line."""

    def __call__(self, config: Any, /) -> None: ...


class Settle(Protocol):
    """``settle(config) -> config``, with fields that follow from others."""

    def __call__(self, config: Any, /) -> Any: ...


class Experiment(NamedTuple):
    """A system that ``sweep`` can train: a Config and pure functions of one network.

    Each function is called by position, so that its arguments may have any names.

    Args:
        name: name for files, progress bars and the command line.
        Config: frozen dataclass registered with ``jax.tree_util.register_dataclass``. Fields marked
            static (see `field`) fix shapes and control flow, one compile per value; all others are
            traced numbers and sweep inside one program. It needs a traced field ``steps``.
        draw: ``(config, key[, data]) -> Draw``. All randomness, standardised (unit normals, labels). It may
            read static fields only, so that all points of a seed share one draw.
        init: ``(config, draw[, data]) -> State``, the network before the first update.
        step: ``(config, draw, state, t[, data]) -> State``, update number t (0-based).
        measure: ``(config, draw, state[, data]) -> Metrics``, a NamedTuple of arrays; entries that are None
            are left out.
        readings: name -> Config, the ways to read what a paper leaves open; the first is the default.
            Empty means one reading, ``Config()``.
        check: ``(config) -> None``; raises ValueError where fields do not fit together. It is called with each value
            of the static axes, and with the first and the last of all others.
        dims: metric name -> names of its own dimensions, for metrics that are not scalars; what is given here
            goes before what ``metrics`` says (see `dims_of`).
        data: ``(config) -> arrays``, read on the host once for all seeds and points, images for example;
            static fields only. Where it is given, the four functions above take what it returns as one
            more, last argument: ``[, data]``. Numbers only; nothing of it is compiled in, and each device has one
            copy.
        metrics: metric name -> `metric`, what it means and how it is labelled; metrics may be left out.
        settle: ``(config) -> Config``, called once with what a grid fixes: fields that follow from others, such as
            steps from epochs.

    Source: none (an interface).
    """

    name: str
    Config: type
    draw: Draw
    init: Init
    step: Step
    measure: Measure
    readings: Mapping[str, Any] = types.MappingProxyType({})
    check: Check | None = None
    dims: Mapping[str, tuple[str, ...]] = types.MappingProxyType({})
    data: Data | None = None
    metrics: Mapping[str, MetricInfo] = types.MappingProxyType({})
    settle: Settle | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapping proxy cannot be pickled.
        return type(self), tuple(dict(part) if isinstance(part, Mapping) else part for part in self)


class MetricInfo(NamedTuple):
    """What an experiment says of one of its metrics."""

    symbol: str
    help: str
    unit: str
    dims: tuple[str, ...]

    @property
    def label(self) -> str:
        """Meaning, symbol and unit on one line, as on an axis.

        Example:
            >>> metric(symbol="$L$", help="test loss", unit="nats").label
            'test loss $L$ (nats)'
        """
        return " ".join(part for part in (self.help, self.symbol, f"({self.unit})" if self.unit else "") if part)


def metric(*, help: str, symbol: str = "", unit: str = "", dims: tuple[str, ...] = ()) -> MetricInfo:
    """A metric's meaning, symbol, unit and dimensions, for ``Experiment.metrics``.

    Args:
        help: short phrase, fit for the axis of a figure.
        symbol: e.g. ``r"$L_\\mathcal{D}$"``; empty where it has none.
        unit: e.g. ``"nats"``; empty for counts, shares and numbers without one.
        dims: names of its own dimensions; empty for a scalar.

    Returns:
        The MetricInfo.

    Example:
        >>> metric(help="test accuracy of a class", dims=("class",)).dims
        ('class',)
    """
    return MetricInfo(symbol, help, unit, dims)


def metrics_of(experiment: Experiment) -> dict[str, MetricInfo]:
    """Metric name -> what the experiment says of it, for those of which it says something.

    A metric of which only the dimensions are given is called by its name.

    Args:
        experiment: an Experiment.

    Returns:
        Metric name -> MetricInfo, in the order given.
    """
    unsaid = {name: metric(help=name.replace("_", " ")) for name in experiment.dims}
    own = dims_of(experiment)
    return {n: m._replace(dims=own.get(n, ())) for n, m in (unsaid | dict(experiment.metrics)).items()}


def attributes_of(experiment: Experiment) -> dict[str, dict[str, str]]:
    """Metric name -> what its variable in a Dataset carries: ``long_name``, ``symbol`` and ``units``, as far as said.

    Args:
        experiment: an Experiment.

    Returns:
        Metric name -> attribute -> text.
    """
    said = {n: {"long_name": m.help, "symbol": m.symbol, "units": m.unit} for n, m in metrics_of(experiment).items()}
    return {n: {key: text for key, text in about.items() if text} for n, about in said.items()}


def dims_of(experiment: Experiment) -> dict[str, tuple[str, ...]]:
    """Metric name -> names of its own dimensions, for the metrics that have some.

    Args:
        experiment: an Experiment.

    Returns:
        What ``metrics`` says, and over it what ``dims`` says.
    """
    return {n: m.dims for n, m in experiment.metrics.items() if m.dims} | dict(experiment.dims)


def field(
    default: Any,
    *,
    static: bool = False,
    symbol: str | None = None,
    help: str = "",
    range: str | None = None,
    choices: tuple[Any, ...] | None = None,
) -> Any:
    """A Config field with its symbol, meaning and admissible values.

    Args:
        default: value where none is given.
        static: True for what fixes shapes or control flow (one compile per value).
        symbol: axis label, e.g. ``r"$\\sigma_p$"``.
        help: one phrase for the command line and the documentation.
        range: admissible interval in the usual notation, e.g. ``"(0, inf)"``; an end may name
            another field: ``"[1, d]"``.
        choices: admissible values, for names.

    Returns:
        A ``dataclasses.field`` with that metadata.

    Example:
        >>> import dataclasses, jax
        >>> @jax.tree_util.register_dataclass
        ... @dataclasses.dataclass(frozen=True)
        ... class Config:
        ...     sigma_p: float = field(1.0, symbol=r"$\\sigma_p$", range="[0, inf)")
        ...     n: int = field(20, static=True, range="[1, inf)")
        >>> jax.tree.leaves(Config())
        [1.0]
    """
    metadata = {"static": static, "symbol": symbol, "help": help, "range": range, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


class FieldInfo(NamedTuple):
    """What a Config says of one of its fields."""

    name: str
    type: type
    optional: bool
    static: bool
    default: Any
    symbol: str
    help: str
    range: str | None
    choices: tuple[Any, ...] | None


def fields_of(config_type: type) -> dict[str, FieldInfo]:
    """The fields of a Config, in order, with types resolved (``int | None`` gives int, optional).

    Args:
        config_type: a dataclass.

    Returns:
        Field name -> FieldInfo.
    """
    return dict(_resolved(config_type))


@functools.lru_cache(maxsize=256)  # resolving annotations takes longer than training a block of tiny networks
def _resolved(config_type: Hashable) -> Mapping[str, FieldInfo]:
    assert isinstance(config_type, type)
    hints = typing.get_type_hints(config_type)
    out = {}
    for f in dataclasses.fields(config_type):
        members = [a for a in typing.get_args(hints[f.name]) if a is not type(None)]
        optional = len(members) == 1
        meta = {k: f.metadata.get(k) for k in _METADATA}
        out[f.name] = FieldInfo(
            f.name,
            members[0] if optional else hints[f.name],
            optional,
            bool(f.metadata.get("static", False)),
            f.default,
            meta["symbol"] or f.name.replace("_", " "),
            meta["help"] or "",
            meta["range"],
            meta["choices"],
        )
    return types.MappingProxyType(out)


def traced_fields(config: Any) -> dict[str, Any]:
    """Traced field name -> value."""
    return {f.name: getattr(config, f.name) for f in fields_of(type(config)).values() if not f.static}


def readings_of(experiment: Experiment) -> dict[str, Any]:
    """The readings of an experiment, or one called ``default`` if it names none."""
    return dict(experiment.readings) or {"default": experiment.Config()}
