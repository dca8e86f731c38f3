"""Whether what a user gives fits together, found without computing anything, and said in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from snljax.experiment import fields_of
from snljax.supervised.networks import Network
from snljax.wording import nearest, one_line


def using(name: str, config: Any, call: Callable[[], Any]) -> Any:
    """What a user's function makes of a Config; a field that is not there is called by its name.

    Args:
        name: of the argument that the function was.
        config: the Config that it reads.
        call: calls it.

    Returns:
        What ``call`` returns.

    Raises:
        ValueError: it reads a field that the Config has not.
    """
    try:
        return call()
    except AttributeError as error:
        known = fields_of(type(config))
        if error.obj is not config or error.name in known:
            raise
        raise ValueError(
            f"{name}: reads the field {error.name!r}; {nearest(error.name or '', known)}allowed: "
            f"{', '.join(known)}, or one of your own in fields"
        ) from None


def shapes_of(name: str, net: Network, samples: Any) -> tuple[Any, Any]:
    """Shapes of a network's outputs on samples, and of what it keeps beside its parameters.

    Args:
        name: of the argument that the network was.
        net: the Network.
        samples: shape and dtype of a batch.

    Returns:
        Outputs and the network's ``other``, as shapes.

    Raises:
        ValueError: the network refuses such samples.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    try:
        params, other = jax.eval_shape(net.init, key, samples)
        outputs, _ = jax.eval_shape(lambda p, o, x, k: net.apply(p, o, x, k, False), params, other, samples, key)
    except Exception as error:  # whatever a user's module raises
        raise ValueError(f"{name}: {one_line(error)} (of samples of {samples.shape[1:]})") from error
    return outputs, other


def two_of(x: Any) -> Any:
    """Shape and dtype of a batch of at most two samples, as networks see them."""
    return jax.ShapeDtypeStruct((min(2, x.shape[0]), *x.shape[1:]), jnp.zeros(()).dtype)
