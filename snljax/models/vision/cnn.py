"""A small convolutional network: two convolutions with average pooling, one dense layer."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from snljax.models.vision.convolution import UNIFORM, PooledConvolution


class CNN(nn.Module):
    r"""Two convolutions of 5 × 5 and a dense layer: 28,938 weights for 28 × 28 grey images of ten classes.

    16 and 32 filters, zeros around the image, ReLU and averages of 2 × 2 after each. Weights start uniform in
    ±√(6/fan_in), biases at 0.

    Args:
        num_classes: outputs, at least 2.
        width: factor of the number of filters.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> images = jnp.zeros((3, 28, 28, 1))
        >>> logits, params = jax.jit(CNN().init_with_output)(jax.random.key(0), images)
        >>> logits.shape, sum(p.size for p in jax.tree.leaves(params))
        ((3, 10), 28938)

    Source: paper 000 (dynamic TopK pruning), Appendix A.2 (its CNN; the sizes are ours).
    """

    num_classes: int = 10
    width: float = 1.0

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Logits, shape (n, num_classes), of images of shape (n, height, width, channels)."""
        x = jnp.transpose(images, (3, 1, 2, 0))
        for filters in (16, 32):
            x = PooledConvolution(round(filters * self.width), padding=2)(x)
        return nn.Dense(self.num_classes, kernel_init=UNIFORM)(x.reshape(-1, len(images)).T)
