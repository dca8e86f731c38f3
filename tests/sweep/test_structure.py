"""What a function lowers to, told from its trace: the same as lowering it, and without lowering it twice."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import snljax as snl
from snljax import experiments
from snljax.sweep import network, structure, tracing
from snljax.sweep.host_code import snapshot


class Named(NamedTuple):
    one: jax.Array
    other: jax.Array


class Renamed(NamedTuple):
    another: jax.Array
    other: jax.Array


@jax.custom_jvp
def smooth(x):
    return x * jnp.tanh(x)


@jax.custom_jvp
def rough(x):
    return x * jnp.sin(x)


for function in (smooth, rough):
    function.defjvps(lambda tangent, value, x: tangent)


@jax.jit
def piece(x):
    return jnp.cos(x) + 1


@jax.jit
def twin(x):
    return jnp.cos(x) + 1


twin.__wrapped__.__name__ = "piece"
COUNTS = np.arange(5)
# Neighbours differ in one thing alone.
FUNCTIONS = {
    "a number": lambda x, y: x + 2.5,
    "another number": lambda x, y: x + 2.25,
    "the sign of zero": lambda x, y: x * -0.0,
    "zero": lambda x, y: x * 0.0,
    "the other argument": lambda x, y: y + 2.5,
    "arguments": lambda x, y: x - y,
    "turned": lambda x, y: y - x,
    "an array": lambda x, y: x * np.arange(5.0, dtype=np.float32),
    "another array": lambda x, y: x * np.arange(1.0, 6.0, dtype=np.float32),
    "an index": lambda x, y: x[COUNTS[::2]],
    "another index": lambda x, y: x[COUNTS[1::2]],
    "a sum": lambda x, y: jnp.sum(x),
    "a maximum": lambda x, y: jnp.max(x),
    "a loop": lambda x, y: lax.fori_loop(0, 3, lambda t, s: s + y, x),
    "a longer loop": lambda x, y: lax.fori_loop(0, 4, lambda t, s: s + y, x),
    "a loop of another body": lambda x, y: lax.fori_loop(0, 3, lambda t, s: s * y, x),
    "a scan": lambda x, y: lax.scan(lambda s, a: (s + a, s), x[0], y),
    "a scan backwards": lambda x, y: lax.scan(lambda s, a: (s + a, s), x[0], y, reverse=True),
    "a branch": lambda x, y: lax.cond(x[0] > 0, lambda: x, lambda: y),
    "the other branch": lambda x, y: lax.cond(x[0] > 0, lambda: y, lambda: x),
    "names": lambda x, y: Named(x, y),
    "other names": lambda x, y: Renamed(x, y),
    "one piece twice": lambda x, y: piece(x) + piece(y),
    "two pieces": lambda x, y: piece(x) + twin(y),
    "own derivative": lambda x, y: smooth(x),
    "of another function": lambda x, y: rough(x),
    "a product": lambda x, y: jnp.dot(x, y),
    "of another precision": lambda x, y: jnp.dot(x, y, precision="highest"),
    "of another dtype": lambda x, y: jnp.dot(x, y, preferred_element_type=jnp.bfloat16),
    "draws": lambda x, y: jax.random.normal(jax.random.key(0), (5,)),
    "other draws": lambda x, y: jax.random.uniform(jax.random.key(0), (5,)),
    "of another generator": lambda x, y: jax.random.normal(jax.random.key(0, impl="rbg"), (5,)),
    "a host function": lambda x, y: jax.pure_callback(lambda v: v, x, x),
    "by platform": lambda x, y: lax.platform_dependent(x, cpu=jnp.sin, default=jnp.cos),
}


class NotToLower:
    def __init__(self, stage):
        self.out_info = stage.out_info

    def lower(self):
        raise AssertionError("lowered")


def traced(function, *arguments):
    stage = jax.jit(function, keep_unused=True).trace(*(arguments or (jax.ShapeDtypeStruct((5,), np.float32),) * 2))
    return stage, snapshot(stage.jaxpr)


def lowered(stage):
    return hashlib.sha256(stage.lower().as_text().encode()).digest()


@pytest.mark.filterwarnings("ignore:.*preferred_element_type")
def test_the_text_is_what_lowering_says():
    texts = {}
    for _ in range(2):  # what the first round remembers may not be taken for another's in the second
        for name, function in FUNCTIONS.items():
            stage, jaxpr = traced(lambda x, y, function=function: function(x, y))
            texts[name] = structure.text_of(stage, jaxpr)
            if name != "a host function":  # its text holds an address
                assert texts[name] == lowered(stage), name
    assert len({*texts.values()}) == len(texts)


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n != "a host function"])
def test_a_function_that_is_alike_is_not_lowered_again(name):
    function = FUNCTIONS[name]
    stage, jaxpr = traced(lambda x, y: function(x, y))
    text = structure.text_of(stage, jaxpr)
    again, jaxpr = traced(lambda x, y: function(x, y))
    assert structure.text_of(NotToLower(again), jaxpr) == text


def test_shapes_dtypes_and_weak_types_are_told_apart():
    shapes = [(5,), (4,), (5, 1)]
    arguments = [(jax.ShapeDtypeStruct(s, d),) for s in shapes for d in (np.float32, np.int32)]
    arguments += [(2.0,), (np.float32(2),)]
    for _ in range(2):
        for given in arguments:
            stage, jaxpr = traced(lambda x: x * 2, *given)
            assert structure.text_of(stage, jaxpr) == lowered(stage), given


def test_arrays_of_a_closure_are_those_of_the_trace():
    held = np.ones(40, np.float32)
    x = jax.ShapeDtypeStruct((40,), np.float32)
    first = structure.text_of(*traced(lambda x: x + held, x))
    held[7] = 3
    stage, jaxpr = traced(lambda x: x + held, x)
    assert structure.text_of(stage, jaxpr) == lowered(stage) != first


def test_what_is_set_of_jax_is_part_of_it():
    first = structure.text_of(*traced(FUNCTIONS["draws"]))
    with jax.threefry_partitionable(not jax.config.jax_threefry_partitionable):
        stage, jaxpr = traced(FUNCTIONS["draws"])
        assert structure.text_of(stage, jaxpr) == lowered(stage) != first


def test_primitives_of_a_user_are_always_lowered():
    own = jax.extend.core.Primitive("own")
    own.def_abstract_eval(lambda x: x)
    jax.interpreters.mlir.register_lowering(own, jax.interpreters.mlir.lower_fun(lambda x: x + 1, False))
    first = structure.text_of(*traced(lambda x, y: own.bind(x)))
    jax.interpreters.mlir.register_lowering(own, jax.interpreters.mlir.lower_fun(lambda x: x + 2, False))
    assert structure.text_of(*traced(lambda x, y: own.bind(x))) != first


@pytest.mark.parametrize("name", ["topk_pruning", "gradient_regularization"])
def test_the_built_in_systems_are_lowered_once(monkeypatch, name):
    grid = snl.Grid(experiments.get(name))

    def system():
        return network.Systems(grid, tuple(jax.devices()[:1]), "highest").system(grid.config)

    first = system()

    def refused(stage, jaxpr):
        return structure.text_of(NotToLower(stage), jaxpr)

    monkeypatch.setattr(network, "text_of", refused)
    assert tracing.new_moment()
    assert system().text == first.text
