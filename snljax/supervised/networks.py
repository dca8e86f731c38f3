"""Any network as two pure functions: flax linen, flax nnx, or a pair of functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
from flax import nnx

from snljax.wording import shown

ALLOWED = (
    "a flax.linen.Module, a function of rngs that makes a flax.nnx.Module, a pair (init, apply), or a function of the "
    "Config, or of it and the number of classes, that returns one of these"
)
# How modules are told whether they train, and what they are told when they do.
_TRAINING = {"train": True, "training": True, "is_training": True, "deterministic": False, "use_running_average": False}


class Network(NamedTuple):
    """A network as pure functions.

    params: what descends. other: what training changes beside it, such as running means; ``()`` where there is none.

    Args:
        init: ``(key, x) -> params, other``, x a batch of samples.
        apply: ``(params, other, x, key, train) -> outputs, other``.

    Source: none (an interface).
    """

    init: Callable[[jax.Array, jax.Array], tuple[Any, Any]]
    apply: Callable[[Any, Any, jax.Array, Any, bool], tuple[jax.Array, Any]]


def network(model: Any, config: Any, classes: int) -> Network:
    """The functions of a network, however it was given.

    Args:
        model: see `ALLOWED`.
        config: handed to a model that is a function of it; static fields only.
        classes: how many there are; handed to a function of two arguments.

    Returns:
        The Network.

    Raises:
        ValueError: if it is none of these.

    Example:
        >>> import flax.linen as nn, jax, jax.numpy as jnp
        >>> dense = network(nn.Dense(2), None, 2)
        >>> params, other = dense.init(jax.random.key(0), jnp.ones((5, 3)))
        >>> dense.apply(params, other, jnp.ones((5, 3)), None, False)[0].shape, other
        ((5, 2), ())
    """
    if isinstance(model, nn.Module):
        return _linen(model)
    if isinstance(model, tuple) and len(model) == 2 and all(map(callable, model)):
        return _pair(*model)
    if callable(model) and not isinstance(model, nnx.Module):
        takes = parameters(model)
        if "rngs" in takes or (isinstance(model, type) and issubclass(model, nnx.Module)):
            return _nnx(model)
        if len(takes) in (1, 2) and not isinstance(model, type):
            return network(model(*(config, classes)[: len(takes)]), None, classes)
    raise ValueError(f"model: {shown(model)} is of type {type(model).__name__}; allowed: {ALLOWED}")


def parameters(function: Any) -> dict[str, Any]:
    """The parameters of a function by name; none where they cannot be told."""
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return {}


def _pair(init: Callable[..., Any], apply: Callable[..., Any]) -> Network:
    return Network(
        lambda key, x: (init(key, x), ()),
        lambda params, other, x, key, train: (apply(params, x), other),
    )


def _linen(module: nn.Module) -> Network:
    takes = parameters(type(module).__call__)
    flags = [name for name in _TRAINING if name in takes]

    def told(train: bool) -> Any:
        return {name: _TRAINING[name] == train for name in flags}

    def init(key: jax.Array, x: jax.Array) -> tuple[Any, Any]:
        params_key, dropout = jax.random.split(key)
        variables = dict(module.init({"params": params_key, "dropout": dropout}, x, **told(False)))
        return variables.pop("params", {}), variables or ()

    def apply(params: Any, other: Any, x: jax.Array, key: Any, train: bool) -> tuple[jax.Array, Any]:
        variables = {"params": params, **(other or {})}
        rngs = {"dropout": key} if train else None
        if not (train and other):
            return module.apply(variables, x, rngs=rngs, **told(train)), other  # type: ignore[return-value]
        outputs, changed = module.apply(variables, x, rngs=rngs, mutable=list(other), **told(train))
        return outputs, {**other, **changed}

    return Network(init, apply)


def _nnx(factory: Callable[..., Any]) -> Network:
    def parts(train: bool, seed: Any) -> Any:
        module = factory(rngs=nnx.Rngs(seed))
        module.train() if train else module.eval()
        return nnx.split(module, nnx.Param, ...)

    def init(key: jax.Array, x: jax.Array) -> tuple[Any, Any]:
        _, params, other = parts(False, key)
        return nnx.to_pure_dict(params), nnx.to_pure_dict(other) or ()

    def apply(params: Any, other: Any, x: jax.Array, key: Any, train: bool) -> tuple[jax.Array, Any]:
        # What a module is, without its numbers: nothing of it is computed.
        graph, old_params, old_other = nnx.eval_shape(lambda: parts(train, jax.random.key(0)))
        nnx.replace_by_pure_dict(old_params, params)
        nnx.replace_by_pure_dict(old_other, other or {})
        module = nnx.merge(graph, old_params, old_other)
        outputs = module(x)
        after: Any = nnx.split(module, nnx.Param, ...)
        return outputs, (nnx.to_pure_dict(after[2]) or ()) if train else other

    return Network(init, apply)
