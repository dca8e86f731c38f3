"""What an experiment's functions return: is it what the engine can keep?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from snljax.experiment import Experiment
from snljax.variables import FIRST_BAD, STATUS
from snljax.wording import shortened

Metrics = dict[str, tuple[np.dtype, tuple[int, ...]]]  # metric -> dtype and shape of one network's value


def metrics_of(shapes: Any) -> Metrics:
    """Metric -> the dtype in which it is kept, and its shape; entries that are None are left out."""
    present = {n: a for n in shapes._fields if (a := getattr(shapes, n)) is not None}
    return {n: (_kept_dtype(n, a.dtype), tuple(a.shape)) for n, a in present.items()}


def _kept_dtype(name: str, dtype: Any) -> np.dtype:
    """The metric's own; what NumPy does not know, such as bfloat16, in the next wider that it knows, exactly."""
    if not jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key):
        if np.dtype(dtype).kind in "biuf":
            return np.dtype(dtype)
        if jnp.issubdtype(dtype, jnp.floating):
            return np.dtype(np.float32)
        if jnp.issubdtype(dtype, jnp.integer):
            return np.dtype(np.int8 if jnp.issubdtype(dtype, jnp.signedinteger) else np.uint8)
    raise ValueError(
        f"{name}: a metric of {dtype}; allowed: real numbers, whole numbers and truth values (a complex number as two)"
    )


def check_metrics(experiment: Experiment, shapes: Any) -> None:
    """ValueError for what is no NamedTuple of arrays, or has a name that the Dataset uses itself."""
    if not isinstance(shapes, tuple) or not hasattr(shapes, "_fields"):
        raise ValueError(
            f"measure: of {experiment.name} returns a {type(shapes).__name__}; allowed: a NamedTuple of arrays"
        )
    for name in shapes._fields:
        if name in (STATUS, FIRST_BAD, "step", "seed"):
            raise ValueError(
                f"{name}: a metric of {experiment.name}, and a variable of every Dataset; allowed: another name"
            )
        value = getattr(shapes, name)
        if value is not None and not hasattr(value, "dtype"):
            raise ValueError(f"{name}: a metric of {experiment.name} is a {type(value).__name__}; allowed: one array")
    metrics_of(shapes)


def check_state(experiment: Experiment, before: Any, after: Any) -> None:
    """ValueError where a step does not return what it takes."""
    one: Any = jax.tree.structure(before)
    other: Any = jax.tree.structure(after)
    if one != other:
        raise ValueError(
            f"step: of {experiment.name} returns {_structure(other)}; allowed: what init returns, {_structure(one)}"
        )
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            raise ValueError(
                f"step: of {experiment.name} returns {b.dtype}{list(b.shape)} where it takes {a.dtype}{list(a.shape)}; "
                "allowed: the same, at every step"
            )


def _structure(tree: Any) -> str:
    text = str(tree).removeprefix("PyTreeDef(").removesuffix(")")
    return "one array" if text == "*" else shortened(text, 120)
