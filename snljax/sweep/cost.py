"""What a step of a network costs, estimated from what was traced: where the search for a block shape begins.

Seconds are those of one core, to a factor of two or so: what matters is which part of the work a block shares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.extend.core
import numpy as np

from snljax.sweep import memory

# What a number depends on. Of neither, it is computed once, before the loop.
POINT = 1  # on the point: its state or a swept value
STEP = 2  # on the step

_FLOP_SECONDS = 1 / 50e9
_CONVOLUTION_SECONDS = 1 / 10e9
_ELEMENT_SECONDS = 0.1e-9
_SECONDS_AN_ELEMENT = {
    **dict.fromkeys(("random_bits", "threefry2x32"), 5e-9),
    **dict.fromkeys(("exp", "exp2", "expm1", "log", "log1p", "logistic", "tanh", "pow", "rsqrt", "sqrt", "cbrt"), 1e-9),
    **dict.fromkeys(("sin", "cos", "tan", "erf", "erfc", "erf_inv", "lgamma", "digamma", "atan2"), 5e-9),
    **dict.fromkeys(("gather", "scatter", "scatter-add", "scatter_add", "dynamic_slice", "dynamic_update_slice"), 2e-9),
    **dict.fromkeys(("sort", "top_k", "cumsum", "cumprod", "cumlogsumexp"), 20e-9),
    **dict.fromkeys(("lu", "cholesky", "qr", "eigh", "svd", "eig", "triangular_solve"), 50e-9),
}
_COST_NOTHING = """
    reshape squeeze expand_dims broadcast_in_dim convert_element_type stop_gradient copy iota optimization_barrier
    random_wrap random_unwrap random_seed random_fold_in random_split
"""
_FREE = frozenset(_COST_NOTHING.split())
_LIKE_A_CALL = ("jit", "pjit", "closed_call", "core_call", "remat", "checkpoint", "custom_jvp_call", "custom_vjp_call")
_RARELY = 0.1  # how often a branch is taken that costs more than another: pruning every so many steps
_UNKNOWN_ITERATIONS = 32  # of a while loop: bisection on the bits of a number


class Cost(NamedTuple):
    """Of one step of one network.

    points: seconds of what differs between the points of a seed. seeds: seconds of what they share, such as a fresh
    batch. operations: how many are dispatched. largest: bytes of the largest array that differs between points.
    reduced: numbers in the largest such array that is summed, or whose maximum is taken.
    """

    points: float = 0.0
    seeds: float = 0.0
    operations: int = 0
    largest: int = 0
    reduced: int = 0

    def __add__(self, other: Any) -> Cost:
        """Of one after the other."""
        return Cost(
            self.points + other.points,
            self.seeds + other.seeds,
            self.operations + other.operations,
            max(self.largest, other.largest),
            max(self.reduced, other.reduced),
        )

    def times(self, count: float) -> Cost:
        """Of so many repetitions; fewer than one where it is not always done."""
        operations = math.ceil(self.operations * count)
        return self._replace(points=self.points * count, seeds=self.seeds * count, operations=operations)


def of_step(jaxpr: Any, depends: Sequence[int]) -> Cost:
    """The cost of a traced function of one network in a loop over steps.

    Args:
        jaxpr: closed.
        depends: for each of its inputs 0, POINT, STEP or both.
    """
    return _walk(jaxpr.jaxpr, list(depends))[0]


def _walk(jaxpr: Any, depends: list[int]) -> tuple[Cost, list[int]]:
    """The cost of a jaxpr, and what its results depend on."""
    known = dict(zip(jaxpr.invars, depends, strict=True))

    def of(variable: Any) -> int:
        return 0 if isinstance(variable, jax.extend.core.Literal) else known.get(variable, 0)

    total = Cost()
    for equation in jaxpr.eqns:
        inputs = [of(v) for v in equation.invars]
        cost, outputs = _equation(equation, inputs)
        total += cost
        known.update(zip(equation.outvars, outputs, strict=True))
    return total, [of(v) for v in jaxpr.outvars]


def _equation(equation: Any, inputs: list[int]) -> tuple[Cost, list[int]]:
    name, inner = equation.primitive.name, list(jax.extend.core.jaxprs_in_params(equation.params))
    if name in _LIKE_A_CALL and inner and len(inner[0].invars) == len(inputs):
        return _walk(inner[0], inputs)
    together = int(np.bitwise_or.reduce([0, *inputs]))
    outputs = [together] * len(equation.outvars)
    if not inner:
        return _single(equation, name, together), outputs
    parts = [_walk(j, [together] * len(j.invars))[0] for j in inner]
    if name == "cond":
        if inputs[0] & POINT:  # all branches run
            return sum(parts, Cost()), outputs
        cheapest = min(parts, key=lambda part: part.points + part.seeds)
        return cheapest + sum((p for p in parts if p is not cheapest), Cost()).times(_RARELY), outputs
    count = equation.params["length"] if name == "scan" else _UNKNOWN_ITERATIONS if name == "while" else 1
    return sum(parts, Cost()).times(count), outputs


def _single(equation: Any, name: str, depends: int) -> Cost:
    if not depends & STEP or name in _FREE:
        return Cost(largest=_largest(equation) if depends & POINT and name not in _FREE else 0)
    seconds = _seconds(equation, name)
    if depends & POINT:
        reduced = max(map(_size, equation.invars)) if name.startswith("reduce") else 0
        return Cost(points=seconds, operations=1, largest=_largest(equation), reduced=reduced)
    return Cost(seeds=seconds, operations=1)


def _seconds(equation: Any, name: str) -> float:
    size = max(sum(_size(v) for v in equation.outvars), 1)
    if name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        inner = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
        return 2 * size * inner * _FLOP_SECONDS
    if name == "conv_general_dilated":
        out_features = equation.invars[1].aval.shape[equation.params["dimension_numbers"].rhs_spec[0]]
        return 2 * size * _size(equation.invars[1]) / max(out_features, 1) * _CONVOLUTION_SECONDS
    if name.startswith("reduce") or name in ("sort", "top_k", "lu", "cholesky", "qr", "eigh", "svd"):
        size = max(size, sum(_size(v) for v in equation.invars))
    return size * _SECONDS_AN_ELEMENT.get(name, _ELEMENT_SECONDS)


def _size(variable: Any) -> int:
    return math.prod(getattr(variable.aval, "shape", ()))


def _largest(equation: Any) -> int:
    return max((memory.bytes_of(v.aval) for v in equation.outvars), default=0)
