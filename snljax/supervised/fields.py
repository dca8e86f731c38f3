"""The Config of an experiment that is made from a network and arrays: fields that come with it, and the user's own."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Collection, Mapping
from typing import Any

import jax

from snljax.experiment import field
from snljax.wording import shown

PRUNING = ("none", "topk", "random", "magnitude", "erdos_renyi", "imp")
SCOPES = ("filter", "layer", "network")
PENALTIES = ("none", "pegr", "fgr")
NEVER = 1e6

OWN: Mapping[str, tuple[type, Any]] = types.MappingProxyType(
    {
        "learning_rate": (float, field(0.1, symbol=r"$\eta$", help="step size", range="[0, inf)")),
        "epochs": (
            float,
            field(10.0, help="passes over the training samples, unless steps are given", range="[0, inf)"),
        ),
        "steps": (int, field(0, help="gradient steps; 0: as many as the epochs have", range="[0, inf)")),
        "batch_size": (int, field(64, static=True, help="samples a step", range="[1, inf)")),
        "noise_std": (
            float,
            field(0.0, symbol=r"$\sigma_p$", help="standard deviation of noise on training inputs", range="[0, inf)"),
        ),
        "fresh_noise": (bool, field(False, static=True, help="new noise in each epoch, not one for each sample")),
        "label_noise": (float, field(0.0, help="share of training labels that are wrong", range="[0, 1]")),
        "train_fraction": (float, field(1.0, help="share of the training samples that is used", range="(0, 1]")),
        "pruning": (str, field("none", static=True, help="what holds weights at zero", choices=PRUNING)),
        "keep_fraction": (float, field(1.0, symbol="$p$", help="share of the weights that is kept", range="(0, 1]")),
        "prune_every": (
            int,
            field(
                10, static=True, help="steps from one pruning to the next; of imp, steps of a level", range="[1, inf)"
            ),
        ),
        "prune_scope": (str, field("layer", static=True, help="weights that are ranked together", choices=SCOPES)),
        "prune_fraction": (
            float,
            field(0.2, symbol=r"$\alpha$", help="of imp: share that a level removes", range="[0, 1)"),
        ),
        "rewind_to": (
            int,
            field(0, static=True, help="of imp: steps before the weights gone back to", range="[0, inf)"),
        ),
        "penalty": (str, field("none", static=True, help="what is added to the training loss", choices=PENALTIES)),
        "penalty_weight": (float, field(0.0, symbol=r"$\lambda$", help="weight of the penalty", range="[0, inf)")),
        "close_at": (float, field(NEVER, help="epochs after which the penalty is left out", range="[0, inf)")),
        "measured": (
            int,
            field(10_000, static=True, help="training samples that records measure on, at most", range="[1, inf)"),
        ),
    }
)


def config_class(
    name: str,
    given: Mapping[str, Any],
    without: Collection[str] = (),
    own: Mapping[str, tuple[type, Any]] = OWN,
) -> type:
    """A frozen dataclass with the fields that come with it, and others, known to JAX.

    Args:
        name: of the experiment.
        given: field -> its default, or ``snl.field(...)``; a field that comes with it keeps all but its default.
        without: fields that do not come with it.
        own: those that come with it.

    Returns:
        The class.

    Raises:
        ValueError: if a field has no plain number, bool or text as its default.

    Example:
        >>> made = config_class("own", {"learning_rate": 0.5, "width": field(8, static=True)})
        >>> made().learning_rate, made().width, made().noise_std
        (0.5, 8, 0.0)
    """
    specified: dict[str, tuple[type, Any]] = {n: f for n, f in own.items() if n not in without}
    for key, value in given.items():
        if key in specified and not isinstance(value, dataclasses.Field):
            kind, before = specified[key]
            specified[key] = kind, field(kind(value), **before.metadata)
            continue
        made = value if isinstance(value, dataclasses.Field) else field(value, static=isinstance(value, str))
        kind = type(made.default)
        if kind not in (bool, int, float, str) or not key.isidentifier():
            raise ValueError(
                f"fields: {key} is {shown(made.default)}; allowed: a number, bool or text, or snl.field(…)"
            )
        specified[key] = kind, made
    fields = [(key, kind, _copied(made)) for key, (kind, made) in specified.items()]
    made_class = dataclasses.make_dataclass(f"{name}_config", fields, frozen=True)
    return jax.tree_util.register_dataclass(made_class)


def module_level(config: type, module: str, doc: str) -> type:
    """The same class, said to stand in a module as ``Config``, so that other processes find it by that name.

    Args:
        config: from `config_class`.
        module: the module's ``__name__``.
        doc: its first line says what the experiment asks.

    Returns:
        The class.

    Example:
        >>> module_level(config_class("own", {}), "mine", "What is it?").__qualname__
        'Config'
    """
    config.__doc__, config.__module__ = doc, module
    config.__name__ = config.__qualname__ = "Config"
    return config


def _copied(made: Any) -> Any:
    """A field belongs to the class that was made with it."""
    return dataclasses.field(default=made.default, metadata=dict(made.metadata))
