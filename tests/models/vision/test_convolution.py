"""A pooled convolution by one product against XLA's own convolution: values, gradients, odd shapes, many networks."""

from __future__ import annotations

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snljax.models.vision.cnn import CNN
from snljax.models.vision.convolution import PooledConvolution, by_convolution, by_product
from snljax.models.vision.mlp import MLP


def inputs(channels, height, width, features, kernel, n=5, networks=1):
    keys = jax.random.split(jax.random.key(channels + kernel), 4)
    x = jax.random.normal(keys[0], (channels, height, width, n))
    weights = jax.random.normal(keys[1], (networks, kernel, kernel, channels, features))
    return x, weights, jax.random.normal(keys[2], (networks, features))


@pytest.mark.parametrize(
    ("channels", "height", "width", "features", "kernel"),
    [(1, 12, 12, 6, 5), (3, 11, 8, 2, 3), (2, 9, 14, 3, 5), (4, 6, 6, 1, 1), (2, 6, 7, 2, 5)],
)
def test_the_product_is_the_convolution(channels, height, width, features, kernel):
    """And so are the gradients, of images too; an odd last row or column is left out of both."""
    x, weights, bias = inputs(channels, height, width, features, kernel)

    def loss(function, x, w, b):
        y = function(x, w, b)
        chex.assert_shape(y, (features, (height - kernel + 1) // 2, (width - kernel + 1) // 2, x.shape[-1]))
        return jnp.sum(jnp.sin(y)), y

    found, wanted = (
        jax.jit(jax.value_and_grad(functools.partial(loss, f), (0, 1, 2), has_aux=True))(x, weights[0], bias[0])
        for f in (by_product, by_convolution)
    )
    chex.assert_trees_all_close(found, wanted, rtol=2e-4, atol=2e-5)


def test_many_networks_at_once_are_each_by_itself():
    x, weights, bias = inputs(2, 10, 10, 3, 5, networks=4)
    together = jax.jit(jax.vmap(by_product, (None, 0, 0)))(x, weights, bias)
    for one, w, b in zip(together, weights, bias, strict=True):
        np.testing.assert_allclose(one, by_product(x, w, b), rtol=1e-5, atol=1e-5)


def test_no_convolution_is_compiled_on_a_cpu():
    layer = PooledConvolution(4)
    x = jnp.zeros((1, 12, 12, 3))
    params = jax.eval_shape(layer.init, jax.random.key(0), x)
    text = jax.jit(layer.apply).lower(params, x).compile().as_text()
    assert " convolution(" not in text
    assert " dot(" in text


def test_an_even_kernel_is_refused(one_line):
    one_line(
        lambda: PooledConvolution(4, kernel=4).init(jax.random.key(0), jnp.zeros((1, 12, 12, 3))), "kernel: 4", "odd"
    )


@pytest.mark.parametrize(("model", "size"), [(CNN, 28_938), (MLP, 1_863_690)])
def test_sizes_and_the_factor_of_the_width(model, size):
    """As the docstrings say; half the width has half the filters or units in each hidden layer."""
    images, key = jnp.zeros((2, 28, 28, 1)), jax.random.key(0)
    params = jax.eval_shape(model().init, key, images)
    assert sum(p.size for p in jax.tree.leaves(params)) == size
    half = model(num_classes=3, width=0.5)
    narrow = jax.eval_shape(half.init, key, images)
    logits = jax.eval_shape(half.apply, narrow, images)
    chex.assert_shape(logits, (2, 3))
    chex.assert_type(logits, jnp.float32)
    biases = [p.shape[0] for p in jax.tree.leaves(params) if p.ndim == 1]
    assert [p.shape[0] for p in jax.tree.leaves(narrow) if p.ndim == 1] == [b // 2 if b != 10 else 3 for b in biases]
