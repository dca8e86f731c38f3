"""LeNet-5: two convolutions with average pooling, three dense layers."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

KERNEL = 5
UNIFORM = nn.initializers.he_uniform()  # compiles in half the time of a normal one


class LeNet(nn.Module):
    r"""LeNet-5 with ReLU, for images of 8 pixels or more a side.

    Convolutions of 6 and 16 filters of 5 × 5, each followed by averages of 2 × 2; dense layers of 120,
    84 and num_classes units. The second convolution is not padded where the image is large enough
    (28 × 28 gives the 400 features of the original), and padded like the first where it is not. Weights
    start uniform in ±√(6/fan_in), biases at 0.

    Args:
        num_classes: outputs, at least 2.

    Raises:
        ValueError: for smaller images.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> images = jnp.zeros((3, 28, 28, 1))
        >>> params = LeNet().init(jax.random.key(0), images)
        >>> LeNet().apply(params, images).shape, sum(p.size for p in jax.tree.leaves(params))
        ((3, 10), 61706)

    Source: paper 001 (benign overfitting and long tails), Section 5.2 (LeCun et al., 1998).
    """

    num_classes: int = 10

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Logits, shape (n, num_classes), of images of shape (n, height, width, channels)."""
        if min(images.shape[1:3]) < 8:
            raise ValueError(f"images: {images.shape[1]} × {images.shape[2]} pixels; allowed: 8 or more a side")
        x = _average(_relu(_Convolution(6, padding=2)(images)))
        x = _average(_relu(_Convolution(16, padding=0 if min(x.shape[1:3]) > 2 * KERNEL else 2)(x)))
        x = x.reshape(len(x), -1)
        for width in (120, 84):
            x = _relu(nn.Dense(width, kernel_init=UNIFORM)(x))
        return nn.Dense(self.num_classes, kernel_init=UNIFORM)(x)


class _Convolution(nn.Module):
    """A convolution as one matrix product with the image's patches.

    Under vmap over networks a convolution becomes a grouped one, which took four times as long on CPU.
    """

    features: int
    padding: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        p = self.padding
        x = jnp.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
        height, width = x.shape[1] - KERNEL + 1, x.shape[2] - KERNEL + 1
        shifted = [x[:, i : i + height, j : j + width] for i in range(KERNEL) for j in range(KERNEL)]
        return nn.Dense(self.features, kernel_init=UNIFORM)(jnp.concatenate(shifted, axis=-1))


def _relu(x: jax.Array) -> jax.Array:
    return jnp.where(x > 0, x, 0.0)


def _average(x: jax.Array) -> jax.Array:
    """Means over 2 × 2 pixels; an odd last row or column is left out."""
    n, height, width, channels = x.shape
    even = x[:, : height // 2 * 2, : width // 2 * 2]
    return jnp.mean(even.reshape(n, height // 2, 2, width // 2, 2, channels), axis=(2, 4))
