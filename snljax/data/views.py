"""Random views of images: crops, flips, colours, grey and noise, each sample by its own key."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from snljax.data.signal_noise import sample_keys
from snljax.wording import shown

GREY = (0.299, 0.587, 0.114)  # weights of red, green and blue in a grey value (ITU-R BT.601)
TRIES = 10  # boxes that are drawn until one lies in the image
Number = float | jax.Array


def crop_resize(
    key: jax.Array, images: jax.Array, smallest: Number = 0.2, ratio: tuple[Number, Number] = (3 / 4, 4 / 3)
) -> jax.Array:
    r"""A random box of each image, resized to the size of the image.

    .. math:: \text{area} \sim U[s, 1] \cdot h w, \qquad \log \frac{\text{width}}{\text{height}} \sim
              U[\log r_0, \log r_1], \qquad \text{corner uniform}

    Sides are rounded to whole pixels, as torchvision's RandomResizedCrop does; a box that does not fit is drawn again,
    ten times at most, and then the middle of the image is taken, of a ratio as near to its own as is allowed.

    Args:
        key: a JAX random key; sample i uses ``fold_in(key, i)``.
        images: floats, shape (n, h, w, c).
        smallest: s, least share of the area, above 0, at most 1; may be traced.
        ratio: r, least and largest width over height, above 0; may be traced.

    Returns:
        Shape (n, h, w, c).

    Raises:
        ValueError: images or numbers that are not allowed.

    Example:
        >>> import jax
        >>> images = jax.random.uniform(jax.random.key(0), (2, 8, 8, 3))
        >>> views = jax.jit(crop_resize)(jax.random.key(1), images, smallest=0.5)
        >>> views.shape, bool((views == images).all())
        ((2, 8, 8, 3), False)

    Source: Chen et al. 2020, "A Simple Framework for Contrastive Learning" (SimCLR), Appendix A.
    """
    n, height, width, _ = _checked(images)
    _check(0 < _known(smallest, 1) <= 1, "smallest", smallest, "above 0, at most 1")
    _check(
        0 < _known(ratio[0], 1) <= _known(ratio[1], np.inf), "ratio", ratio, "two numbers above 0, the smaller first"
    )
    uniform = _uniform(key, n, 4 * TRIES)
    return cropped(images, jax.vmap(lambda one: _box(one, height, width, smallest, ratio))(uniform))


def cropped(images: jax.Array, boxes: jax.Array) -> jax.Array:
    """The given boxes of images, bilinearly resized to the images' own size; pixels outside a box have no part.

    Args:
        images: floats, shape (n, h, w, c).
        boxes: top, left, height and width of each box in pixels, shape (n, 4); in the image, sides from 1.

    Returns:
        Shape (n, h, w, c).

    Example:
        >>> import jax.numpy as jnp
        >>> cropped(jnp.arange(4.0).reshape(1, 2, 2, 1), jnp.array([[0, 1, 2, 1]]))[0, :, :, 0].tolist()
        [[1.0, 1.0], [3.0, 3.0]]
    """
    _, height, width, _ = _checked(images)
    top, left, tall, wide = jnp.moveaxis(boxes, 1, 0)
    down, across = _weights(top, tall, height), _weights(left, wide, width)
    # Two products with small matrices: gathered pixels would take longer.
    rows = jnp.einsum("npi,nijc->npjc", down.astype(images.dtype), images, precision="highest")
    return jnp.einsum("nqj,npjc->npqc", across.astype(images.dtype), rows, precision="highest")


def flip(key: jax.Array, images: jax.Array, probability: Number = 0.5) -> jax.Array:
    """Left and right exchanged, with a probability.

    Args:
        key: a JAX random key; sample i uses ``fold_in(key, i)``.
        images: floats, shape (n, h, w, c).
        probability: 0 to 1; may be traced.

    Returns:
        Shape (n, h, w, c).

    Raises:
        ValueError: images or a probability that are not allowed.

    Example:
        >>> import jax
        >>> flip(jax.random.key(0), jnp.arange(3.0).reshape(1, 1, 3, 1), probability=1.0)[0, 0, :, 0].tolist()
        [2.0, 1.0, 0.0]
    """
    return jnp.where(_chosen(key, images, probability), images[:, :, ::-1], images)


def jitter(
    key: jax.Array,
    images: jax.Array,
    brightness: Number,
    contrast: Number,
    saturation: Number,
    hue: Number,
    probability: Number = 0.8,
) -> jax.Array:
    r"""Brightness, contrast, saturation and hue changed at random, with a probability.

    .. math:: x \leftarrow b x, \quad x \leftarrow \bar g + k (x - \bar g), \quad x \leftarrow g + s (x - g), \quad
              \text{hue} \leftarrow \text{hue} + \theta, \qquad b, k, s \sim U[\max(0, 1 - a), 1 + a], \;
              \theta \sim U[-a, a]

    g is the grey value of a pixel and ḡ its mean over the image; values are cut to [0, 1] after each change. The
    changes come in this order, where torchvision's ColorJitter draws their order too.

    Args:
        key: a JAX random key; sample i uses ``fold_in(key, i)``.
        images: floats in [0, 1], shape (n, h, w, c), 1 or 3 channels. With one channel saturation and hue do nothing.
        brightness, contrast, saturation: a of each, from 0; may be traced.
        hue: a of the hue in turns, 0 to 0.5; may be traced.
        probability: that an image is changed at all, 0 to 1; may be traced.

    Returns:
        Shape (n, h, w, c), in [0, 1].

    Raises:
        ValueError: images or numbers that are not allowed.

    Example:
        >>> import jax
        >>> images = jax.random.uniform(jax.random.key(0), (2, 8, 8, 3))
        >>> views = jax.jit(jitter)(jax.random.key(1), images, 0.4, 0.4, 0.4, 0.1)
        >>> views.shape, bool((views >= 0).all() and (views <= 1).all())
        ((2, 8, 8, 3), True)

    Source: Chen et al. 2020, "A Simple Framework for Contrastive Learning" (SimCLR), Appendix A.
    """
    n, *_, channels = _checked(images)
    for name, amount in (("brightness", brightness), ("contrast", contrast), ("saturation", saturation)):
        _check(0 <= _known(amount, 0) < np.inf, name, amount, "from 0")
    _check(0 <= _known(hue, 0) <= 0.5, "hue", hue, "0 to 0.5")
    chosen_key, amount_key = jax.random.split(key)
    chosen = _chosen(chosen_key, images, probability)
    uniform = _uniform(amount_key, n, 4).astype(images.dtype)[..., None, None]  # (n, 4, 1, 1)

    def factor(k: int, amount: Number) -> jax.Array:
        low = jnp.maximum(0.0, 1.0 - amount)
        return low + (1.0 + amount - low) * uniform[:, k]

    # An axis of 3 at the end would not vectorise; without the barrier XLA takes it apart anew for each use.
    planes = lax.optimization_barrier([images[..., c] for c in range(channels)])
    planes = [_cut(factor(0, brightness) * p) for p in planes]
    mean = jnp.mean(_grey(planes), axis=(1, 2), keepdims=True)
    planes = [_cut(mean + factor(1, contrast) * (p - mean)) for p in planes]
    if channels == 3:
        value = _grey(planes)
        planes = [_cut(value + factor(2, saturation) * (p - value)) for p in planes]
        planes = _turned(planes, hue * (2.0 * uniform[:, 3] - 1.0))
    changed = jnp.stack(planes, axis=-1).astype(images.dtype)
    return jnp.where(chosen, changed, images)


def grey(key: jax.Array, images: jax.Array, probability: Number = 0.2) -> jax.Array:
    r"""Colours replaced by their grey value, with a probability.

    .. math:: g = 0.299 \, r + 0.587 \, g + 0.114 \, b

    Args:
        key: a JAX random key; sample i uses ``fold_in(key, i)``.
        images: floats, shape (n, h, w, c), 1 or 3 channels; those of one channel stay as they are.
        probability: 0 to 1; may be traced.

    Returns:
        Shape (n, h, w, c), with equal channels where an image is grey.

    Raises:
        ValueError: images or a probability that are not allowed.

    Example:
        >>> import jax
        >>> red = jnp.array([1.0, 0.0, 0.0]).reshape(1, 1, 1, 3)
        >>> [round(float(v), 3) for v in grey(jax.random.key(0), red, probability=1.0)[0, 0, 0]]
        [0.299, 0.299, 0.299]
    """
    chosen = _chosen(key, images, probability)
    value = _grey([images[..., c] for c in range(images.shape[-1])])
    return jnp.where(chosen, value[..., None], images)


def noise(key: jax.Array, images: jax.Array, std: Number) -> jax.Array:
    r"""Independent normal noise on each value, cut to the range of images.

    .. math:: x \leftarrow \min(\max(x + \sigma \zeta, 0), 1), \qquad \zeta \sim \mathcal N(0, 1)

    Args:
        key: a JAX random key; sample i uses ``fold_in(key, i)``.
        images: floats in [0, 1], shape (n, h, w, c).
        std: σ, from 0; may be traced.

    Returns:
        Shape (n, h, w, c), in [0, 1].

    Raises:
        ValueError: images or a std that are not allowed.

    Example:
        >>> import jax
        >>> noise(jax.random.key(0), jnp.full((2, 8, 8, 3), 0.5), std=0.1).shape
        (2, 8, 8, 3)
    """
    n, *shape = _checked(images)
    _check(0 <= _known(std, 0) < np.inf, "std", std, "from 0")
    normal = jax.vmap(lambda one: jax.random.normal(one, shape, images.dtype))(sample_keys(key, n))
    return _cut(images + std * normal).astype(images.dtype)


def crop_padded(key: jax.Array, images: jax.Array, padding: int = 4) -> jax.Array:
    """Each image moved by up to ``padding`` pixels each way, with zeros where nothing comes in.

    With `flip` after it this is the usual augmentation of CIFAR.

    Args:
        key: a JAX random key; sample i uses ``fold_in(key, i)``.
        images: floats, shape (n, h, w, c).
        padding: pixels of zeros around the image, from 0.

    Returns:
        Shape (n, h, w, c).

    Raises:
        ValueError: images or a padding that are not allowed.

    Example:
        >>> import jax
        >>> crop_padded(jax.random.key(0), jnp.ones((5, 8, 8, 3)), padding=2).shape
        (5, 8, 8, 3)

    Source: He et al. 2016, "Deep Residual Learning for Image Recognition", Section 4.2.
    """
    n, *shape = _checked(images)
    whole = isinstance(padding, (int, np.integer)) and not isinstance(padding, bool)
    _check(whole and padding >= 0, "padding", padding, "a whole number from 0")
    corners = jax.vmap(lambda one: jax.random.randint(one, (2,), 0, 2 * padding + 1))(sample_keys(key, n))
    around = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    return jax.vmap(lambda image, corner: lax.dynamic_slice(image, (*corner, 0), shape))(around, corners)


def simclr(key: jax.Array, images: jax.Array, strength: Number = 0.5, smallest: Number = 0.2) -> jax.Array:
    """A view for contrastive learning: `crop_resize`, `flip`, `jitter` and `grey`, one after the other.

    Two keys give two views of the same images. The changes of colour are 0.8 · strength, that of the hue 0.2 ·
    strength, with probability 0.8; grey has probability 0.2. Blur is left out, as SimCLR does on CIFAR. The code of
    SDCLR, whose protocol paper 004 names, has these colours (its strength 1 is 0.5 here) with ``smallest=0.1`` and
    bicubic crops.

    Args:
        key: a JAX random key; sample i uses keys folded with i.
        images: floats in [0, 1], shape (n, h, w, c), 1 or 3 channels.
        strength: of the changes of colour, 0 to 2.5; 1 on ImageNet and 0.5 on CIFAR; may be traced.
        smallest: least share of the area that is seen, above 0, at most 1; may be traced.

    Returns:
        Shape (n, h, w, c), in [0, 1].

    Raises:
        ValueError: images or numbers that are not allowed.

    Example:
        >>> import jax
        >>> images = jax.random.uniform(jax.random.key(0), (2, 8, 8, 3))
        >>> jax.jit(simclr)(jax.random.key(1), images).shape
        (2, 8, 8, 3)

    Source: Chen et al. 2020, "A Simple Framework for Contrastive Learning" (SimCLR), Appendices A and B.9; the noise of
    paper 004 (contrastive learning under imbalance) is `noise`.
    """
    _checked(images)
    _check(0 <= _known(strength, 0) <= 2.5, "strength", strength, "0 to 2.5")
    keys = jax.random.split(key, 4)
    colour = 0.8 * strength
    images = flip(keys[1], crop_resize(keys[0], images, smallest))
    return grey(keys[3], jitter(keys[2], images, colour, colour, colour, 0.2 * strength))


def _box(uniform: jax.Array, height: int, width: int, smallest: Number, ratio: tuple[Number, Number]) -> jax.Array:
    """Top, left, height and width of a box inside the image, in whole pixels."""
    area, shape, down, across = uniform.reshape(4, TRIES)
    area = height * width * (smallest + (1.0 - smallest) * area)
    low, high = (jnp.log(jnp.asarray(r, area.dtype)) for r in ratio)
    shape = jnp.exp(low + (high - low) * shape)
    tall, wide = jnp.round(jnp.sqrt(area / shape)), jnp.round(jnp.sqrt(area * shape))
    fits = (tall >= 1) & (tall <= height) & (wide >= 1) & (wide <= width)
    first = jnp.argmax(fits)
    nearest = jnp.clip(width / height, *ratio)
    tall = jnp.where(fits[first], tall[first], jnp.clip(jnp.round(width / nearest), 1, height))
    wide = jnp.where(fits[first], wide[first], jnp.clip(jnp.round(height * nearest), 1, width))
    top = jnp.where(fits[first], jnp.floor(down[first] * (height - tall + 1)), (height - tall) // 2)
    left = jnp.where(fits[first], jnp.floor(across[first] * (width - wide + 1)), (width - wide) // 2)
    return jnp.stack([top, left, tall, wide])


def _weights(start: jax.Array, length: jax.Array, size: int) -> jax.Array:
    """How much each pixel of a line gives to each pixel of the resized box, shape (n, size, size), old ones last."""
    start, length = start[:, None], length[:, None]
    pixels = jnp.arange(size, dtype=jnp.float32)
    at = start + (pixels[None, :] + 0.5) * (length / size) - 0.5
    at = jnp.clip(at, start, start + length - 1)
    return jnp.maximum(0.0, 1.0 - jnp.abs(at[:, :, None] - pixels[None, None, :]))


def _grey(planes: list[jax.Array]) -> jax.Array:
    if len(planes) == 1:
        return planes[0]
    return sum((weight * plane for weight, plane in zip(GREY, planes, strict=True)), jnp.zeros_like(planes[0]))


def _turned(planes: list[jax.Array], turns: jax.Array) -> list[jax.Array]:
    """Red, green and blue, their hue turned; value and range of the three stay."""
    red, green, blue = planes
    most = jnp.maximum(jnp.maximum(red, green), blue)
    chroma = most - jnp.minimum(jnp.minimum(red, green), blue)
    over = jnp.where(chroma == 0, 1.0, chroma)
    hue = jnp.where(
        most == red,
        (green - blue) / over,
        jnp.where(most == green, 2.0 + (blue - red) / over, 4.0 + (red - green) / over),
    )
    sixths = hue + 6.0 * turns
    places = [offset + sixths for offset in (5.0, 3.0, 1.0)]
    places = [k - 6.0 * jnp.floor(k / 6.0) for k in places]  # a third of the time of jnp.mod
    return [most - chroma * jnp.clip(jnp.minimum(k, 4.0 - k), 0.0, 1.0) for k in places]


def _cut(values: jax.Array) -> jax.Array:
    return jnp.clip(values, 0.0, 1.0)


def _uniform(key: jax.Array, n: int, numbers: int) -> jax.Array:
    """Shape (n, numbers), in [0, 1)."""
    uniform = jax.vmap(lambda one: jax.random.uniform(one, (numbers,)))(sample_keys(key, n))
    return lax.optimization_barrier(uniform)  # else XLA draws them anew for each use, which doubles its compile time


def _chosen(key: jax.Array, images: jax.Array, probability: Number) -> jax.Array:
    """Which images are changed, shape (n, 1, 1, 1)."""
    n, *_ = _checked(images)
    _check(0 <= _known(probability, 0) <= 1, "probability", probability, "0 to 1")
    return _uniform(key, n, 1)[..., None, None] < probability


def _checked(images: jax.Array) -> tuple[int, ...]:
    """The shape of images."""
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(
            f"images: {images.dtype} of shape {images.shape}; allowed: floats, (n, height, width, 1 or 3 channels)"
        )
    return images.shape


def _known(number: Number, otherwise: float) -> float:
    """A number as Python sees it, NaN if it is none; what stands for it where it is traced."""
    if isinstance(number, jax.core.Tracer):
        return otherwise
    try:
        return float(number)
    except (TypeError, ValueError):
        return float("nan")


def _check(fine: bool, name: str, value: object, allowed: str) -> None:
    if not fine:
        raise ValueError(f"{name}: {shown(value)}; allowed: {allowed}")
