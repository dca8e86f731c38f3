"""Is an experiment well made? Its Config is looked at before anything is traced."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax

from snljax.experiment import Experiment, FieldInfo, MetricInfo, fields_of, readings_of
from snljax.sweep.field_values import TYPE_NAMES, converted, parsed_range
from snljax.wording import listed, one_line, shown

RESERVED = ("seed", "step", "status", "first_bad_step")  # dimensions and variables of every Dataset
KEYWORDS = ("self", "experiment", "reading")  # of Grid
_REGISTERED = "@jax.tree_util.register_dataclass above @dataclasses.dataclass(frozen=True)"


def checked_fields(experiment: Any) -> dict[str, FieldInfo]:
    """The fields of a well-formed experiment."""
    if not isinstance(experiment, Experiment):
        raise ValueError(
            f"experiment: {shown(experiment)} is of type {type(experiment).__name__}; allowed: a name or an Experiment"
        )
    if not (isinstance(experiment.Config, type) and dataclasses.is_dataclass(experiment.Config)):
        raise ValueError(f"{experiment.name}: Config is not a dataclass; allowed: {_REGISTERED}")
    known = fields_of(experiment.Config)
    if "steps" not in known or known["steps"].static:
        raise ValueError(f"{experiment.name}: Config needs a field 'steps: int' that is not static")
    for info in known.values():
        if info.name in (*RESERVED, *KEYWORDS):
            user = "Grid" if info.name in KEYWORDS else "the engine"
            raise ValueError(
                f"{experiment.name}: Config has a field {info.name!r}, which {user} uses itself; allowed: another name"
            )
        if info.type not in TYPE_NAMES:
            raise ValueError(
                f"{experiment.name}: field {info.name} has type {info.type}; allowed: int, float, bool, str"
            )
        if not info.static and (info.type is str or info.optional):
            raise ValueError(f"{experiment.name}: field {info.name} cannot be traced; allowed: mark it static")
        if info.range is not None:
            _check_range_of(experiment.name, info, known)
    for name, said in experiment.metrics.items():
        if not isinstance(said, MetricInfo):
            raise ValueError(f"metrics: {name} of {experiment.name} is {shown(said)}; allowed: snl.metric(help=…)")
    _check_config(experiment, known)
    return known


def _check_range_of(experiment: str, info: FieldInfo, known: dict[str, FieldInfo]) -> None:
    """A range needs numbers on both sides."""
    _, *ends, _ = parsed_range(info.range or "")
    numeric = (int, float)
    for end in ends:
        if info.type not in numeric or (known[end].type not in numeric if end in known else not _is_number(end)):
            raise ValueError(
                f"{experiment}: field {info.name} of type {info.type.__name__} has the range {info.range!r}; "
                "allowed: a number between numbers, or between fields that are numbers"
            )


def _check_config(experiment: Experiment, known: dict[str, FieldInfo]) -> None:
    """The Configs of an experiment cannot change, hold what their fields say, and are seen by JAX as they say."""
    name, traced = experiment.name, [info.name for info in known.values() if not info.static]
    if not experiment.Config.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise ValueError(f"{name}: Config is not frozen; allowed: {_REGISTERED}")
    try:
        readings = readings_of(experiment)
    except TypeError as error:  # a field without a default
        raise ValueError(
            f"{name}: no reading, and {one_line(error)}; allowed: readings, or a default for every field"
        ) from None
    for reading, config in readings.items():
        if not isinstance(config, experiment.Config):
            raise ValueError(f"{name}: reading {reading!r} is {shown(config)}; allowed: a {experiment.Config.__name__}")
        for info in known.values():
            try:
                converted(info, getattr(config, info.name))
            except ValueError as error:
                raise ValueError(f"{name}: reading {reading!r} has {error}") from None
        leaves, structure = jax.tree_util.tree_flatten_with_path(config)
        if jax.tree_util.treedef_is_leaf(structure):
            raise ValueError(f"{name}: Config is not registered with jax; allowed: {_REGISTERED}")
        seen = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]
        if seen != traced:
            raise ValueError(
                f"{name}: Config is registered with jax with the traced fields {listed(seen)}, and {listed(traced)} "
                f"are not static; allowed: {_REGISTERED}, which reads the marks of the fields"
            )


def _is_number(text: str) -> bool:
    try:
        return not math.isnan(float(text))
    except ValueError:
        return False
