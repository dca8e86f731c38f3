"""Convolutions in a block's program: what they compute, their gradients, and the form in which they are compiled."""

from __future__ import annotations

import itertools
import re

import chex
import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
import pytest

from snljax.sweep.convolutions import in_one_form

AXES = {
    "channels last": ("NHWC", "HWIO", "NHWC"),
    "channels first": ("NCHW", "OIHW", "NCHW"),
    "last": ("CHWN", "HWIO", "CHWN"),
}
SHAPES = {
    "3 x 3": {"size": 6, "kernel": 3, "strides": (1, 1), "padding": ((1, 1), (1, 1))},
    "strided": {"size": 7, "kernel": 3, "strides": (2, 2), "padding": ((1, 1), (1, 1))},
    "strided, even": {"size": 8, "kernel": 3, "strides": (2, 2), "padding": ((1, 1), (1, 1))},
    "1 x 1, strided": {"size": 6, "kernel": 1, "strides": (2, 2), "padding": ((0, 0), (0, 0))},
    "large padding": {"size": 5, "kernel": 2, "strides": (1, 2), "padding": ((3, 0), (1, 2))},
    "few pixels": {"size": 2, "kernel": 3, "strides": (1, 1), "padding": ((1, 1), (1, 1))},
    "one pixel": {"size": 1, "kernel": 3, "strides": (1, 1), "padding": ((1, 1), (1, 1))},
    "dilated": {"size": 9, "kernel": 3, "strides": (1, 1), "padding": ((1, 1), (1, 1)), "rhs_dilation": (2, 2)},
}  # fmt: skip


def arrays(axes, size, kernel, networks=3):
    """Images and filters of some networks, with axes in the order of ``axes``."""
    rng = np.random.default_rng(0)
    lengths = {"N": 4, "H": size, "W": size, "C": 2, "I": 2, "O": 5}
    x = rng.standard_normal((networks, *(lengths[a] for a in axes[0])))
    window = lengths | {"H": kernel, "W": kernel}
    w = rng.standard_normal((networks, *(window[a] for a in axes[1])))
    return jnp.asarray(x, jnp.float32), jnp.asarray(w, jnp.float32)


def with_gradients(axes, strides, padding, **more):
    """A convolution of one network, and the gradients of a function of it."""

    def both(x, w):
        def loss(x, w):
            y = jax.lax.conv_general_dilated(x, w, strides, padding, dimension_numbers=axes, **more)
            return jnp.sum(jnp.sin(y)), y

        (_, y), gradients = jax.value_and_grad(loss, (0, 1), has_aux=True)(x, w)
        return y, *gradients

    return both


def as_in_a_block(function, *arguments):
    """The function as the sweep plays it."""
    jaxpr = in_one_form(jax.make_jaxpr(function)(*arguments))
    return jax.extend.core.jaxpr_as_fun(jaxpr)


@pytest.mark.parametrize(("shape", "axes"), list(zip(SHAPES, itertools.cycle(AXES), strict=False)))
def test_values_and_gradients_stay(shape, axes):
    """Also of many networks, of networks on the same images, and of one network's filters on many images."""
    shape = dict(SHAPES[shape])
    x, w = arrays(AXES[axes], shape.pop("size"), shape.pop("kernel"))
    plain = with_gradients(AXES[axes], **shape)
    fast = as_in_a_block(plain, x[0], w[0])

    @jax.jit
    def both(x, w):
        found = [jax.vmap(fast)(x, w), jax.vmap(fast, (None, 0))(x[0], w), jax.vmap(fast, (0, None))(x, w[0])]
        alone = [[plain(x[i * a], w[i * b]) for i in range(3)] for a, b in ((1, 1), (0, 1), (1, 0))]
        return found, [tuple(map(jnp.stack, zip(*each, strict=True))) for each in alone]

    found, wanted = both(x, w)
    chex.assert_trees_all_close([tuple(f) for f in found], wanted, rtol=1e-4, atol=1e-5)


def test_batches_of_batches_are_each_by_itself():
    """Seeds outside, points inside, as in a block; and the network alone."""
    axes = AXES["channels last"]
    x, w = arrays(axes, 6, 3, networks=4)
    plain = with_gradients(axes, (1, 1), "SAME")
    fast = as_in_a_block(plain, x[0], w[0])
    found = jax.jit(jax.vmap(jax.vmap(fast)))(x.reshape(2, 2, *x.shape[1:]), w.reshape(2, 2, *w.shape[1:]))
    alone, own = jax.jit(plain), jax.jit(fast)
    for i in range(4):
        one = [part[i // 2, i % 2] for part in found]
        chex.assert_trees_all_close(one, list(alone(x[i], w[i])), rtol=1e-4, atol=1e-5)
        chex.assert_trees_all_close(one, list(own(x[i], w[i])), rtol=1e-5, atol=1e-5)


def test_the_form_that_is_compiled():
    """No grouped convolution, and none with other axes, is left of many networks."""
    axes = AXES["channels last"]
    x, w = arrays(axes, 8, 3)
    plain = with_gradients(axes, (1, 1), "SAME")
    before, after = (jax.jit(jax.vmap(f)).lower(x, w).as_text() for f in (plain, as_in_a_block(plain, x[0], w[0])))
    assert "group_count = 3" in before
    assert "group_count = 3" not in after
    assert {*re.findall(r"dim_numbers = (.*?)->", after)} == {"[b, 0, 1, f]x[0, 1, i, o]"}


def test_others_stay_as_they_are():
    """Grouped convolutions, and those of sequences."""
    x, w = jnp.ones((2, 6, 6, 4)), jnp.ones((3, 3, 1, 4))
    grouped = jax.make_jaxpr(
        lambda x, w: jax.lax.conv_general_dilated(
            x, w, (1, 1), "SAME", dimension_numbers=AXES["channels last"], feature_group_count=4
        )
    )(x, w)
    assert in_one_form(grouped) is grouped
    sequences = jax.make_jaxpr(
        lambda x, w: jax.lax.conv_general_dilated(x, w, (1,), "SAME", dimension_numbers=("NHC", "HIO", "NHC"))
    )(x[0], jnp.ones((3, 4, 5)))
    assert in_one_form(sequences) is sequences
