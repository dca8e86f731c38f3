"""Signal-noise data: one patch holds the signal of the class, the other holds noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Samples(NamedTuple):
    """Standardised samples: what is random, before any strength is applied.

    noise: unit normals, shape (n, d), orthogonal to the signals.
    labels: class of each sample, shape (n,): int32 in 0..num_classes-1, or ±1.
    """

    noise: jax.Array
    labels: jax.Array


def sample_keys(key: jax.Array, n: int) -> jax.Array:
    """One key per sample, ``fold_in(key, i)``: sample i stays the same when n grows.

    Args:
        key: a JAX random key.
        n: number of samples, at least 1.

    Returns:
        Keys, shape (n,).

    Example:
        >>> import jax
        >>> a, b = sample_keys(jax.random.key(0), 3), sample_keys(jax.random.key(0), 5)
        >>> bool((a == b[:3]).all())
        True
    """
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(n))


def draw(keys: jax.Array, d: int, num_classes: int, everywhere: bool = False) -> Samples:
    r"""Labels and unit noise, one sample for each key.

    .. math:: y \sim \mathrm{Uniform}[\mathcal T], \qquad
              \zeta \sim \mathcal N(0, I_{d-\mathcal T}) \text{ on the coordinates after the first } \mathcal T

    The noise patch is ξ = σ_p ζ, the signal patch μ e_y. The paper also draws the order of the two
    patches; the network adds up its patches with shared weights, so the order changes nothing and
    is not drawn.

    Args:
        keys: from `sample_keys`, shape (n,).
        d: patch dimension, larger than num_classes.
        num_classes: 𝒯, at least 2.
        everywhere: noise on all d coordinates, those of the signals too (paper 002).

    Returns:
        Samples.

    Example:
        >>> import jax
        >>> s = draw(sample_keys(jax.random.key(0), 5), d=8, num_classes=2)
        >>> s.noise.shape, s.labels.shape, float(abs(s.noise[:, :2]).max())
        ((5, 8), (5,), 0.0)

    Source: paper 000 (dynamic TopK pruning), Definition 3.1; paper 002 (random pruning), Definition 2.1.
    """

    def one(key: jax.Array) -> Samples:
        label = jax.random.randint(jax.random.fold_in(key, 0), (), 0, num_classes, dtype=jnp.int32)
        if everywhere:
            return Samples(jax.random.normal(key, (d,)), label)
        tail = jax.random.normal(key, (d - num_classes,))
        return Samples(jnp.concatenate([jnp.zeros(num_classes), tail]), label)

    return jax.vmap(one)(keys)


def train_and_test(
    draw_samples: Callable[[jax.Array], Samples], train_key: jax.Array, test_key: jax.Array, n: int, n_test: int
) -> tuple[Samples, Samples]:
    """Two sets in one call of ``draw_samples``: random numbers take long to compile.

    Args:
        draw_samples: keys -> Samples, one for each key.
        train_key, test_key: JAX random keys.
        n, n_test: sizes of the sets, at least 1.

    Returns:
        The training set and the test set.

    Example:
        >>> import jax
        >>> a, b = jax.random.split(jax.random.key(0))
        >>> train, test = train_and_test(lambda keys: draw(keys, d=8, num_classes=2), a, b, 5, 3)
        >>> train.noise.shape, test.labels.shape
        ((5, 8), (3,))
    """
    both = draw_samples(jnp.concatenate([sample_keys(train_key, n), sample_keys(test_key, n_test)]))
    train, test = (Samples(*part) for part in zip(*(jnp.split(a, [n]) for a in both), strict=True))
    return train, test


def patches(samples: Samples, mu: float | jax.Array, sigma_p: float | jax.Array, num_classes: int) -> jax.Array:
    r"""The inputs themselves, x = [μ e_y, σ_p ζ].

    Args:
        samples: standardised samples.
        mu: signal strength μ > 0.
        sigma_p: noise standard deviation σ_p >= 0.
        num_classes: 𝒯.

    Returns:
        Inputs, shape (n, 2, d).

    Example:
        >>> import jax
        >>> s = draw(sample_keys(jax.random.key(0), 5), d=8, num_classes=2)
        >>> patches(s, mu=1.0, sigma_p=0.5, num_classes=2).shape
        (5, 2, 8)

    Source: paper 000 (dynamic TopK pruning), Definition 3.1.
    """
    d = samples.noise.shape[-1]
    return jnp.stack([mu * jax.nn.one_hot(samples.labels, d), sigma_p * samples.noise], axis=1)


def draw_binary(keys: jax.Array, direction: jax.Array) -> Samples:
    r"""Labels ±1 and unit noise orthogonal to the signal, one sample for each key.

    .. math:: y \sim \mathrm{Rademacher}, \qquad
              \zeta \sim \mathcal N\bigl(0, I - u u^\top\bigr), \qquad u = \mu / \lVert\mu\rVert

    The signal patch is y μ, the noise patch ξ = σ_p ζ; their order changes nothing and is not drawn.

    Args:
        keys: from `sample_keys`, shape (n,).
        direction: u, a unit vector, shape (d,).

    Returns:
        Samples; the labels are floats, +1 or -1.

    Example:
        >>> import jax
        >>> u = jnp.array([0.6, 0.8, 0.0])
        >>> s = draw_binary(sample_keys(jax.random.key(0), 4), u)
        >>> s.noise.shape, sorted(set(abs(s.labels).tolist())), bool(abs(s.noise @ u).max() < 1e-6)
        ((4, 3), [1.0], True)

    Source: paper 003 (per-example gradient regularisation), Definition 2.1.
    """

    def one(key: jax.Array) -> Samples:
        label = jax.random.rademacher(jax.random.fold_in(key, 0), (), jnp.zeros(()).dtype)
        noise = jax.random.normal(key, direction.shape)
        return Samples(noise - direction * jnp.vdot(direction, noise), label)

    return jax.vmap(one)(keys)
