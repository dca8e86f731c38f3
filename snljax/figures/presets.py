"""What a figure is made from: sweeps and boundaries that are trained, and what is computed without training."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any


class Sweep:
    """Networks that a figure needs, said before anything of the engine is imported.

    Args:
        experiment: name of an experiment.
        reading: name of one of its readings; default its first.
        record_every: measure every so many steps; default only at the end.
        fields: as for `Grid`, and in the order of its dimensions: a scalar fixes a field, a sequence is an axis, and a
            table (dict of columns) is one axis that moves several fields together. ``seed`` likewise.

    Example:
        >>> Sweep("topk_pruning", sigma_p=[0.5, 1.0], seed=range(3)).but(sigma_p=0.5)
        Sweep('topk_pruning', sigma_p=0.5, seed=range(0, 3))
    """

    def __init__(
        self, experiment: str, *, reading: str | None = None, record_every: int | None = None, **fields: Any
    ) -> None:
        self.experiment, self.reading, self.record_every = experiment, reading, record_every
        self.fields: Mapping[str, Any] = MappingProxyType(fields)

    def but(self, **changes: Any) -> Sweep:
        """The same networks with other settings, or more of them.

        Args:
            changes: any of the arguments of Sweep but the experiment.

        Returns:
            A Sweep.
        """
        about = {"reading": self.reading, "record_every": self.record_every}
        return Sweep(self.experiment, **{**about, **self.fields, **changes})

    def __repr__(self) -> str:
        about = {"reading": self.reading, "record_every": self.record_every}
        given = {n: v for n, v in about.items() if v is not None} | dict(self.fields)
        return f"Sweep({self.experiment!r}, {', '.join(f'{n}={v!r}' for n, v in given.items())})"


def table(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Settings, one row for each, as columns: one axis of a `Sweep` that moves their fields together.

    Args:
        rows: one or more, all with the fields of the first.

    Returns:
        Field -> its value in each row.

    Example:
        >>> table([{"n": 6, "regrow": True}, {"n": 50, "regrow": False}])
        {'n': [6, 50], 'regrow': [True, False]}
    """
    return {name: [row[name] for row in rows] for name in rows[0]}


class Trace:
    """The boundary of a metric that a figure needs: of a Sweep's grid only the cells that decide it are trained.

    Args:
        sweep: the dense grid, two dimensions besides ``seed``, without records on the way.
        metric, level, options: as for `trace`.

    Raises:
        ValueError: if the sweep has records on the way.

    Example:
        >>> Trace(Sweep("topk_pruning", sigma_p=[0.5, 1.0], K=range(1, 9)), "test_loss", 2.0, net=3)
        Trace(Sweep('topk_pruning', sigma_p=[0.5, 1.0], K=range(1, 9)), 'test_loss', 2.0, net=3)
    """

    def __init__(self, sweep: Sweep, metric: str, level: float, **options: Any) -> None:
        if sweep.record_every is not None:
            raise ValueError(f"record_every: {sweep.record_every}; allowed: none, a boundary is that of the end")
        self.sweep, self.metric, self.level = sweep, metric, level
        self.options: Mapping[str, Any] = MappingProxyType(options)

    def __repr__(self) -> str:
        options = "".join(f", {n}={v!r}" for n, v in self.options.items())
        return f"Trace({self.sweep!r}, {self.metric!r}, {self.level!r}{options})"


class Computed:
    """A Dataset that a figure needs and that no network is trained for.

    Args:
        function: returns the Dataset, with an attribute ``images``: how many it is about.
        settings: keywords of the function.

    Raises:
        TypeError: if the function does not take such keywords.

    Example:
        >>> import xarray as xr
        >>> Computed(lambda n: xr.Dataset(attrs={"images": n}), n=3).dataset().attrs["images"]
        3
    """

    def __init__(self, function: Callable[..., Any], **settings: Any) -> None:
        inspect.signature(function).bind(**settings)
        self.function, self.settings = function, MappingProxyType(settings)

    def dataset(self) -> Any:
        """What the function returns."""
        return self.function(**self.settings)


Preset = Mapping[str, Sweep | Trace | Computed]
