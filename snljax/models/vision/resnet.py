"""Residual networks in their forms for small images: ResNet-18, -32, -50 and -20-128."""

from __future__ import annotations

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from snljax.models.vision.convolution import UNIFORM, relu


class ResNet(nn.Module):
    num_classes: int = 10
    width: float = 1.0
    dtype: str = "float32"
    remat: bool = False
    blocks: tuple[int, ...] = (2, 2, 2, 2)
    filters: tuple[int, ...] = (64, 128, 256, 512)
    bottleneck: bool = False
    shortcut: str = "projection"

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        """Logits, shape (n, num_classes), or features where that is 0, of images of shape (n, height, width, channels)."""
        check(images, self.dtype)
        block = Bottleneck if self.bottleneck else Basic
        if self.remat:
            block = nn.remat(block)
        sizes = [max(1, round(f * self.width)) for f in self.filters]
        x = relu(norm(train, self.dtype, "stem_norm")(convolution(sizes[0], 3, 1, self.dtype, "stem")(images)))
        for stage, (count, size) in enumerate(zip(self.blocks, sizes, strict=True)):
            for i in range(count):
                stride = 2 if stage > 0 and i == 0 else 1
                x = block(size, stride, self.shortcut, train, self.dtype, name=f"stage{stage + 1}_block{i + 1}")(x)
        features = jnp.mean(x.astype(jnp.float32), axis=(1, 2))
        if not self.num_classes:
            return features
        return nn.Dense(self.num_classes, kernel_init=UNIFORM, name="head")(features)


class Basic(nn.Module):
    """Two convolutions of 3 × 3, added to what came in."""

    filters: int
    stride: int
    shortcut: str
    train: bool
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = convolution(self.filters, 3, self.stride, self.dtype, "convolution1")(x)
        y = relu(norm(self.train, self.dtype, "norm1")(y))
        y = convolution(self.filters, 3, 1, self.dtype, "convolution2")(y)
        y = norm(self.train, self.dtype, "norm2")(y)
        return relu(y + Shortcut(self.filters, self.stride, self.shortcut, self.train, self.dtype, name="shortcut")(x))


class Bottleneck(nn.Module):
    """Convolutions of 1 × 1, 3 × 3 and 1 × 1, the last with four times the filters, added to what came in."""

    filters: int
    stride: int
    shortcut: str
    train: bool
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        out = 4 * self.filters
        y = convolution(self.filters, 1, 1, self.dtype, "convolution1")(x)
        y = relu(norm(self.train, self.dtype, "norm1")(y))
        y = convolution(self.filters, 3, self.stride, self.dtype, "convolution2")(y)
        y = relu(norm(self.train, self.dtype, "norm2")(y))
        y = convolution(out, 1, 1, self.dtype, "convolution3")(y)
        y = norm(self.train, self.dtype, "norm3")(y)
        return relu(y + Shortcut(out, self.stride, self.shortcut, self.train, self.dtype, name="shortcut")(x))


class Shortcut(nn.Module):
    """What came in, at as many pixels and with as many channels as the block gives."""

    filters: int
    stride: int
    kind: str
    train: bool
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if self.stride == 1 and x.shape[-1] == self.filters:
            return x
        if self.kind == "zeros":
            more = self.filters - x.shape[-1]
            x = x[:, :: self.stride, :: self.stride]
            return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (more // 2, more - more // 2)))
        x = convolution(self.filters, 1, self.stride, self.dtype, "convolution")(x)
        return norm(self.train, self.dtype, "norm")(x)


def convolution(filters: int, kernel: int, stride: int, dtype: str, name: str) -> nn.Conv:
    return nn.Conv(filters, (kernel, kernel), stride, kernel // 2, use_bias=False, dtype=dtype, kernel_init=UNIFORM, name=name)


def norm(train: bool, dtype: str, name: str) -> nn.BatchNorm:
    return nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, dtype=dtype, name=name)


def check(images: jax.Array, dtype: str) -> None:
    """Refuses small images and other types."""
    if min(images.shape[1:3]) < 8:
        raise ValueError(f"images: {images.shape[1]} × {images.shape[2]} pixels; allowed: 8 or more a side")
    if dtype not in ("float32", "bfloat16"):
        raise ValueError(f"dtype: {dtype!r}; allowed: 'float32', 'bfloat16'")


resnet18 = functools.partial(ResNet)
resnet50 = functools.partial(ResNet, blocks=(3, 4, 6, 3), bottleneck=True)
resnet32 = functools.partial(ResNet, blocks=(5, 5, 5), filters=(16, 32, 64), shortcut="zeros")
resnet20_128 = functools.partial(ResNet, blocks=(3, 3, 3), filters=(128, 256, 512))
