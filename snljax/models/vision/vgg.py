"""VGG-16 with batch norm, in its form for small images."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from snljax.models.vision.convolution import relu
from snljax.models.vision.resnet import check, convolved, normed, outputs, scaled

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # filters, convolutions


class VGG16(nn.Module):
    r"""Thirteen convolutions of 3 × 3 and a dense layer: 14,724,042 weights for ten classes and three colours.

    Each convolution is followed by a batch norm and ReLU, each of the five stages by the largest of 2 × 2 pixels where
    there are as many, and the last one by the mean over what pixels are left: one of 32 × 32. Other counts, 14,728,266,
    have biases in the convolutions; a batch norm takes the mean away, so that they change nothing. Initial weights and
    running statistics are as in `resnet.ResNet`.

    Args:
        num_classes, width, dtype: as for `resnet.ResNet`.
        remat: whether the backward pass computes each stage again instead of keeping what lies inside it.

    Raises:
        ValueError: as `resnet.ResNet`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> network, images = VGG16(), jnp.zeros((4, 32, 32, 3))
        >>> variables = jax.eval_shape(network.init, jax.random.key(0), images)
        >>> sum(p.size for p in jax.tree.leaves(variables["params"]))
        14724042

    Source: paper 002 (random pruning), Section 5.2 (Simonyan and Zisserman, 2015).
    """

    num_classes: int = 10
    width: float = 1.0
    dtype: str = "float32"
    remat: bool = False

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        """As `resnet.ResNet`."""
        check(images, self.dtype)
        stage, x = nn.remat(Stage) if self.remat else Stage, images
        for number, (filters, count) in enumerate(STAGES, start=1):
            x = stage(scaled(filters, self.width), count, train, self.dtype, name=f"stage{number}")(x)
        return outputs(x, self.num_classes)


class Stage(nn.Module):
    """Convolutions with batch norm and ReLU, and the largest of 2 × 2 pixels."""

    filters: int
    count: int
    train: bool
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Shape (n, ⌊height/2⌋, ⌊width/2⌋, filters), of shape (n, height, width, channels)."""
        for i in range(1, self.count + 1):
            x = convolved(x, self.filters, 3, 1, self.dtype, f"convolution{i}")
            x = relu(normed(x, self.train, self.dtype, f"norm{i}"))
        return largest(x) if min(x.shape[1:3]) > 1 else x


def largest(x: jax.Array) -> jax.Array:
    """Of each 2 × 2 pixels; an odd last row or column is left out, and the gradient goes to the first of equals.

    Not by ``jnp.max``, whose gradient looks for pixels that equal the largest: with XLA's optimisations off half of the
    gradient of VGG-16 was wrong then (both sides are computed again for it, it seems, and round otherwise).

    Args:
        x: shape (n, height, width, channels).

    Example:
        >>> largest(jnp.arange(9.0).reshape(1, 3, 3, 1)).tolist()
        [[[[4.0]]]]
    """
    n, height, width, channels = x.shape
    even = x[:, : height // 2 * 2, : width // 2 * 2].reshape(n, height // 2, 2, width // 2, 2, channels)

    def larger(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.where((b > a) | jnp.isnan(b), b, a)

    upper, lower = (larger(even[:, :, row, :, 0], even[:, :, row, :, 1]) for row in (0, 1))
    return larger(upper, lower)
