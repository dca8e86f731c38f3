"""A convolution, ReLU and averages of 2 × 2 pixels in one, as fast as many networks at a time need it."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

UNIFORM = nn.initializers.he_uniform()  # compiles in half the time of a normal one


class PooledConvolution(nn.Module):
    r"""Convolution, ReLU, and the mean of each 2 × 2 of its pixels.

    .. math:: y_{f,p,q} = \frac14 \sum_{a,b \in \{0,1\}} \mathrm{ReLU}\Bigl(b_f + \sum_{i,j,c} w_{ijcf}\,
              x_{c,\,2p+a+i,\,2q+b+j}\Bigr)

    The samples lie along the last axis, which is what vectorises, whatever the number of channels.

    Args:
        features: filters.
        kernel: pixels of a side, odd.
        padding: zeros around the image.

    Example:
        >>> layer = PooledConvolution(6, padding=2)
        >>> x = jnp.zeros((1, 28, 28, 3))  # channels, height, width, samples
        >>> layer.apply(layer.init(jax.random.key(0), x), x).shape
        (6, 14, 14, 3)
    """

    features: int
    kernel: int = 5
    padding: int = 0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Shape (features, height/2, width/2, n), of images of shape (channels, height, width, n)."""
        k, p = self.kernel, self.padding
        if k % 2 == 0:
            raise ValueError(f"kernel: {k}; allowed: an odd number of pixels")
        weights = self.param("kernel", UNIFORM, (k, k, x.shape[0], self.features))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        x = jnp.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
        return lax.platform_dependent(x, weights, bias, cpu=by_product, default=by_convolution)


def by_convolution(x: jax.Array, weights: jax.Array, bias: jax.Array) -> jax.Array:
    """As the formula says it, with XLA's own convolution, which on CPU is four times slower under vmap.

    Args:
        x: padded images, shape (channels, height, width, n). weights: (k, k, channels, features). bias: (features,).

    Returns:
        Shape (features, h, w, n); an odd last row or column is left out.
    """
    whole = lax.conv_general_dilated(x, weights, (1, 1), "VALID", dimension_numbers=("CHWN", "HWIO", "CHWN"))
    f, height, width, n = whole.shape
    even = relu(whole + bias[:, None, None, None])[:, : height // 2 * 2, : width // 2 * 2]
    return jnp.mean(even.reshape(f, height // 2, 2, width // 2, 2, n), axis=(2, 4))


def by_product(x: jax.Array, weights: jax.Array, bias: jax.Array) -> jax.Array:
    """The same as one matrix product with patches of k + 1 pixels a side, two pixels apart.

    Each patch holds all that the four pixels of a mean see, so that they follow from one product with the weights in
    four places: 1.4 times the multiplications, but a third of the copies that patches of every pixel take, and means
    and their gradients along whole rows of memory.

    Args:
        x, weights, bias: as for `by_convolution`.

    Returns:
        As `by_convolution`.
    """
    k, _, channels, features = weights.shape
    n = x.shape[-1]
    h, w = (x.shape[1] - k + 1) // 2, (x.shape[2] - k + 1) // 2
    height, width = 2 * h + k - 1, 2 * w + k - 1
    # Even and odd pixels apart: all that follows are pieces without gaps.
    parted = x[:, :height, :width].reshape(channels, height // 2, 2, width // 2, 2, n).transpose(2, 4, 0, 1, 3, 5)
    along = jnp.stack([parted[:, j % 2, :, :, j // 2 : j // 2 + w] for j in range(k + 1)], axis=1)
    patches = jnp.stack([along[i % 2, :, :, i // 2 : i // 2 + h] for i in range(k + 1)])
    places = [((a, 1 - a), (b, 1 - b), (0, 0), (0, 0)) for a in (0, 1) for b in (0, 1)]
    placed = jnp.stack([jnp.moveaxis(jnp.pad(weights, place), -1, 0) for place in places])
    found = placed.reshape(4 * features, -1) @ patches.reshape(-1, h * w * n)
    a, b, c, d = (relu(part + bias[:, None]) for part in found.reshape(4, features, -1))
    return ((a + b) + (c + d)).reshape(features, h, w, n) / 4


def relu(x: jax.Array) -> jax.Array:
    """max(x, 0), with derivative 0 at 0."""
    return jnp.where(x > 0, x, 0.0)
