"""Residual networks in their forms for small images: ResNet-18, -32, -50 and -20-128."""

from __future__ import annotations

import functools
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from snljax.models.vision.convolution import UNIFORM, relu

SMALLEST = 8  # pixels of a side
TYPES = ("float32", "bfloat16")


class ResNet(nn.Module):
    r"""Stages of residual blocks with batch norm, for images of 8 pixels or more a side.

    .. math:: x \leftarrow \mathrm{ReLU}\bigl(F(x) + S(x)\bigr)

    F is two convolutions of 3 × 3, or in a bottleneck 1 × 1, 3 × 3 and 1 × 1 with four times the filters, each followed
    by a batch norm. S is the identity where shapes allow it. Before the blocks stands a convolution of 3 × 3, behind
    them the mean over pixels and a dense layer. Each stage but the first starts with half the pixels a side. Kernels
    start uniform in ±√(6/fan_in), which has the variance of He's normal ones; scales at 1, biases at 0.

    The running variance in ``batch_stats`` is the mean of squares, as in flax; PyTorch's is larger by n/(n − 1), n the
    values that one channel has in a batch. Both move by a tenth at each step.

    Args:
        num_classes: outputs; 0 leaves out the dense layer, which gives features for an encoder.
        width: factor of the number of filters.
        dtype: of convolutions and of what lies between them; weights, statistics and outputs are float32.
        remat: whether the backward pass computes each block again instead of keeping what lies inside it.
        blocks: of each stage.
        filters: of each stage.
        bottleneck: which F.
        shortcut: S where shapes change: a convolution of 1 × 1 and a batch norm ("projection"), or every second pixel
            with channels of zeros on both sides ("zeros").

    Raises:
        ValueError: for smaller images, another type, or a batch norm that trains on one value.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> network, images = resnet32(width=0.25), jnp.zeros((4, 32, 32, 3))
        >>> variables = jax.eval_shape(network.init, jax.random.key(0), images)
        >>> sorted(variables), jax.eval_shape(network.apply, variables, images).shape
        (['batch_stats', 'params'], (4, 10))

    Source: He et al., 2016; paper 001 (benign overfitting and long tails), Section 5.2, and
    paper 002 (random pruning), Section 5.2 and Appendix B, train such networks.
    """

    num_classes: int = 10
    width: float = 1.0
    dtype: str = "float32"
    remat: bool = False
    blocks: tuple[int, ...] = (2, 2, 2, 2)
    filters: tuple[int, ...] = (64, 128, 256, 512)
    bottleneck: bool = False
    shortcut: Literal["projection", "zeros"] = "projection"

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        """Logits, shape (n, num_classes), of images of shape (n, height, width, channels); or features, (n, filters).

        train: whether batch norms take the mean and variance of the batch, and not the running ones.
        """
        check(images, self.dtype)
        block = nn.remat(Block) if self.remat else Block
        sizes = [scaled(filters, self.width) for filters in self.filters]
        x = convolved(images, sizes[0], 3, 1, self.dtype, "stem")
        x = relu(normed(x, train, self.dtype, "stem_norm"))
        for stage, (count, size) in enumerate(zip(self.blocks, sizes, strict=True), start=1):
            for i in range(1, count + 1):
                stride = 2 if stage > 1 and i == 1 else 1
                name = f"stage{stage}_block{i}"
                x = block(size, stride, self.bottleneck, self.shortcut, train, self.dtype, name=name)(x)
        return outputs(x, self.num_classes)


class Block(nn.Module):
    """ReLU(F(x) + S(x)): see `ResNet`.

    Args:
        filters: of the convolutions of 3 × 3.
        stride: of the first of them.
        bottleneck, shortcut, train, dtype: as there.
    """

    filters: int
    stride: int
    bottleneck: bool
    shortcut: str
    train: bool
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Shape (n, ⌈height/stride⌉, ⌈width/stride⌉, channels of F), of shape (n, height, width, channels)."""
        f, s = self.filters, self.stride
        path = [(f, 1, 1), (f, 3, s), (4 * f, 1, 1)] if self.bottleneck else [(f, 3, s), (f, 3, 1)]
        y = x
        for i, (filters, kernel, stride) in enumerate(path, start=1):
            y = relu(y) if i > 1 else y
            y = convolved(y, filters, kernel, stride, self.dtype, f"convolution{i}")
            y = normed(y, self.train, self.dtype, f"norm{i}")
        return relu(y + self._shortcut(x, y.shape[-1]))

    def _shortcut(self, x: jax.Array, channels: int) -> jax.Array:
        s, more = self.stride, channels - x.shape[-1]
        if s == 1 and not more:
            return x.astype(self.dtype)
        if self.shortcut == "zeros":
            around = ((0, 0), (0, 0), (0, 0), (more // 2, more - more // 2))
            return jnp.pad(x[:, ::s, ::s], around).astype(self.dtype)
        x = convolved(x, channels, 1, s, self.dtype, "shortcut")
        return normed(x, self.train, self.dtype, "shortcut_norm")


def convolved(x: jax.Array, filters: int, kernel: int, stride: int, dtype: str, name: str) -> jax.Array:
    """A convolution with zeros around the image and no bias, which a batch norm would take away again.

    Args:
        x: shape (n, height, width, channels).
        kernel: pixels of a side: 3; or 1, which is a dense layer for each pixel and the faster as one.
        stride: every so many pixels.
    """
    if kernel == 1:
        dense = nn.Dense(filters, use_bias=False, dtype=dtype, kernel_init=UNIFORM, name=name)
        return dense(x[:, ::stride, ::stride])
    sides = (kernel, kernel)
    layer = nn.Conv(filters, sides, stride, kernel // 2, use_bias=False, dtype=dtype, kernel_init=UNIFORM, name=name)
    return layer(x)


def normed(x: jax.Array, train: bool, dtype: str, name: str) -> jax.Array:
    """Batch norm over all but the last axis, with momentum 0.9 and ε = 10⁻⁵."""
    if train and x.size == x.shape[-1]:
        raise ValueError("images: 1 in a batch, of 1 pixel at a batch norm that trains; allowed: 2 or more in a batch")
    return nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, dtype=dtype, name=name)(x)


def outputs(x: jax.Array, num_classes: int) -> jax.Array:
    """Means over pixels in float32 or finer, and a dense layer if there are classes."""
    features = jnp.mean(x.astype(jnp.promote_types(x.dtype, jnp.float32)), axis=(1, 2))
    return nn.Dense(num_classes, kernel_init=UNIFORM, name="head")(features) if num_classes else features


def scaled(filters: int, width: float) -> int:
    """At least one filter."""
    return max(1, round(filters * width))


def check(images: jax.Array, dtype: str) -> None:
    """Refuse images that are too small, and other types."""
    if min(images.shape[1:3]) < SMALLEST:
        raise ValueError(f"images: {images.shape[1]} × {images.shape[2]} pixels; allowed: {SMALLEST} or more a side")
    if dtype not in TYPES:
        raise ValueError(f"dtype: {dtype!r}; allowed: {', '.join(map(repr, TYPES))}")


# 11,173,962 weights for ten classes and three colours.
resnet18 = functools.partial(ResNet)
# 464,154: the form of He et al. for CIFAR-10, with shortcuts that have no weights.
resnet32 = functools.partial(ResNet, blocks=(5, 5, 5), filters=(16, 32, 64), shortcut="zeros")
# 23,520,842.
resnet50 = functools.partial(ResNet, blocks=(3, 4, 6, 3), bottleneck=True)
# 17,289,866: 128 filters at first and convolutions as shortcuts, as ResNet-20-128 is in papers on lottery tickets.
resnet20_128 = functools.partial(ResNet, blocks=(3, 3, 3), filters=(128, 256, 512))
