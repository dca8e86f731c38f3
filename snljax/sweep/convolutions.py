"""Convolutions in a batched program on a CPU: one network after the other, in the one form that XLA is fast at.

XLA on CPU has fast code for images of shape (n, height, width, channels) and filters of shape (height, width, channels,
features), and for little else: the gradients of such a convolution, and the grouped one that vmap makes of the
convolutions of many networks, take 4 to 50 times as long.
"""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp
from jax import lax

from snljax.sweep.rewriting import rewritten

_FEW = 2  # pixels of a side: XLA's fast code leaves out results as small as that


def in_one_form(jaxpr: Any) -> Any:
    """A closed jaxpr of one network whose convolutions of images are fast, also when batched; itself if it has none.

    It has been differentiated: gradients are convolutions like others. Grouped convolutions stay as they are.

    Args:
        jaxpr: closed.
    """
    return rewritten(jaxpr, lambda e: _replaced(e) if _is_of_images(e) else e)


def _is_of_images(equation: Any) -> bool:
    if equation.primitive.name != "conv_general_dilated":
        return False
    groups = equation.params["feature_group_count"], equation.params["batch_group_count"]
    return groups == (1, 1) and len(equation.params["window_strides"]) == 2


def _replaced(equation: Any) -> Any:
    """The same operation with a rule for batching of its own: a loop over the networks."""

    @jax.custom_batching.custom_vmap
    def one(images: jax.Array, filters: jax.Array) -> jax.Array:
        return _convolution(images, filters, **equation.params)

    @one.def_vmap
    def many(size: int, batched: list[bool], images: jax.Array, filters: jax.Array) -> tuple[jax.Array, bool]:
        if all(batched):
            return lax.map(lambda both: one(*both), (images, filters)), True
        # The filters of all networks on the same images are one convolution, and so are all images by the same filters.
        axes = [0 if b else None for b in batched]
        return jax.vmap(lambda x, w: _convolution(x, w, **equation.params), axes)(images, filters), True

    shapes = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in equation.invars]
    [call] = jax.make_jaxpr(one)(*shapes).jaxpr.eqns
    return call.replace(invars=equation.invars, outvars=equation.outvars)


def _convolution(images: jax.Array, filters: jax.Array, *, dimension_numbers: Any, **params: Any) -> jax.Array:
    """`lax.conv_general_dilated`, with whatever axes, in the one form."""
    images_at, filters_at, found_at = dimension_numbers
    images = images.transpose(images_at[0], *images_at[2:], images_at[1])
    filters = filters.transpose(*filters_at[2:], filters_at[1], filters_at[0])
    # Where they are not fused with what they copy, transposes go through memory block by block.
    images, filters = lax.optimization_barrier((images, filters))
    whole = jax.eval_shape(lambda x, w: _in_one_form(x, w, **params), images, filters)
    by = _by_product if max(whole.shape[1:3]) <= _FEW else _in_one_form
    return jnp.moveaxis(by(images, filters, **params), (0, 3, 1, 2), found_at)


def _in_one_form(images: jax.Array, filters: jax.Array, **params: Any) -> jax.Array:
    return lax.conv_general_dilated(images, filters, dimension_numbers=("NHWC", "HWIO", "NHWC"), **params)


def _by_product(
    images: jax.Array,
    filters: jax.Array,
    *,
    window_strides: tuple[int, int],
    padding: tuple[tuple[int, int], ...],
    lhs_dilation: tuple[int, int],
    rhs_dilation: tuple[int, int],
    precision: Any,
    preferred_element_type: Any,
    **_: Any,
) -> jax.Array:
    """The same as one product with what each of a few pixels sees."""
    n = images.shape[0]
    around = [(before, after, gap - 1) for (before, after), gap in zip(padding, lhs_dilation, strict=True)]
    images = lax.pad(images, jnp.zeros((), images.dtype), [(0, 0, 0), *around, (0, 0, 0)])
    reach = [(k - 1) * gap + 1 for k, gap in zip(filters.shape[:2], rhs_dilation, strict=True)]
    rows, columns = (
        range(0, side - far + 1, stride)
        for side, far, stride in zip(images.shape[1:3], reach, window_strides, strict=True)
    )
    seen = [
        images[:, i : i + reach[0] : rhs_dilation[0], j : j + reach[1] : rhs_dilation[1]].reshape(n, -1)
        for i, j in itertools.product(rows, columns)
    ]
    product = lax.dot_general(
        jnp.concatenate(seen),
        filters.reshape(-1, filters.shape[3]),
        (((1,), (0,)), ((), ())),
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
    return jnp.moveaxis(product.reshape(len(rows), len(columns), n, -1), 2, 0)
