"""LeNet-5: two convolutions with average pooling, three dense layers."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from snljax.models.vision.convolution import UNIFORM, PooledConvolution, relu

KERNEL = 5


class LeNet(nn.Module):
    r"""LeNet-5 with ReLU, for images of 8 pixels or more a side: 61,706 weights for 28 × 28 grey ones of ten classes.

    Convolutions of 6 and 16 filters of 5 × 5, each followed by averages of 2 × 2; dense layers of 120,
    84 and num_classes units. The second convolution is not padded where the image is large enough
    (28 × 28 gives the 400 features of the original), and padded like the first where it is not. Weights
    start uniform in ±√(6/fan_in), biases at 0.

    Args:
        num_classes: outputs, at least 2.
        width: factor of the number of filters and hidden units.

    Raises:
        ValueError: for smaller images.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> images = jnp.zeros((3, 28, 28, 1))
        >>> logits, params = jax.jit(LeNet().init_with_output)(jax.random.key(0), images)
        >>> logits.shape, sum(p.size for p in jax.tree.leaves(params))
        ((3, 10), 61706)

    Source: paper 001 (benign overfitting and long tails), Section 5.2 (LeCun et al., 1998).
    """

    num_classes: int = 10
    width: float = 1.0

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Logits, shape (n, num_classes), of images of shape (n, height, width, channels)."""
        if min(images.shape[1:3]) < 8:
            raise ValueError(f"images: {images.shape[1]} × {images.shape[2]} pixels; allowed: 8 or more a side")
        x = PooledConvolution(round(6 * self.width), KERNEL, padding=2)(jnp.transpose(images, (3, 1, 2, 0)))
        padding = 0 if min(x.shape[1:3]) > 2 * KERNEL else 2
        x = PooledConvolution(round(16 * self.width), KERNEL, padding=padding)(x)
        x = x.reshape(-1, len(images)).T
        for units in (120, 84):
            x = relu(nn.Dense(round(units * self.width), kernel_init=UNIFORM)(x))
        return nn.Dense(self.num_classes, kernel_init=UNIFORM)(x)
