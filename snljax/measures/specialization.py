"""How neurons specialise in features: alignment, lucky neurons, purity, and what a linear probe reads off."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def cosines(neurons: jax.Array, features: jax.Array) -> jax.Array:
    r"""Cosine of each neuron with each feature.

    .. math:: \cos_{ij} = \frac{\langle w_i, M_j \rangle}{\lVert w_i \rVert \lVert M_j \rVert}

    Args:
        neurons: w, shape (m, d1).
        features: M_j as rows, shape (d, d1).

    Returns:
        Shape (m, d), -1 to 1; 0 for a zero vector. Figures 2 and 3 of the paper use the magnitude,
        Figure 6 the square.

    Example:
        >>> import jax.numpy as jnp
        >>> [round(float(c), 2) for c in cosines(jnp.array([[3.0, 4.0]]), jnp.eye(2))[0]]
        [0.6, 0.8]

    Source: paper 004 (contrastive learning under imbalance), Figures 2, 3 and 6.
    """
    lengths = jnp.linalg.norm(neurons, axis=1)[:, None] * jnp.linalg.norm(features, axis=1)[None, :]
    return jnp.where(lengths == 0, 0.0, neurons @ features.T / jnp.where(lengths == 0, 1.0, lengths))


def participation(components: jax.Array) -> jax.Array:
    r"""How many features a neuron mixes: the participation ratio of its components.

    .. math:: \frac{(\sum_j a_j^2)^2}{\sum_j a_j^4}

    Args:
        components: a, shape (..., d), e.g. ⟨w_i, M_j⟩ or cosines.

    Returns:
        Shape (...): 1 for a pure neuron, d for an even mixture; 0 for zeros.

    Example:
        >>> import jax.numpy as jnp
        >>> participation(jnp.array([[1.0, 0.0, 0.0], [1.0, -1.0, 0.0]])).tolist()
        [1.0, 2.0]

    Source: ours, for the purity of paper 004 (contrastive learning under imbalance), Theorem 3.1 (the size of 𝒩_i).
    """
    squares = components**2
    fourth = jnp.sum(squares**2, axis=-1)
    return jnp.where(fourth == 0, 0.0, jnp.sum(squares, axis=-1) ** 2 / jnp.where(fourth == 0, 1.0, fourth))


def ordinary_neurons(
    components: jax.Array, epsilon_min: float | jax.Array, epsilon_max: float | jax.Array = 1.0, gamma: float = 0.01
) -> jax.Array:
    r"""The sets 𝓜_j of ordinary neurons.

    .. math:: \langle w_i, M_j \rangle^2 \ge \frac{c_2 \log d}{d} \lVert M M^\top w_i \rVert^2, \qquad
              c_2 = 2 (1 - \gamma) \Bigl(\frac{\epsilon_\mathrm{min}}{\epsilon_\mathrm{max}}\Bigr)^2

    Args:
        components: ⟨w_i, M_j⟩, shape (m, d), of the initial weights.
        epsilon_min, epsilon_max: lowest and highest frequency.
        gamma: γ, a small constant.

    Returns:
        Boolean, shape (m, d): neuron i is in 𝓜_j.

    Example:
        >>> import jax.numpy as jnp
        >>> ordinary_neurons(jnp.array([[1.0, 0.1, 0.1, 0.1]]), 1.0).tolist()
        [[True, False, False, False]]

    Source: paper 004 (contrastive learning under imbalance), Definition B.1, eq. 26 and 28.
    """
    c2 = 2 * (1 - gamma) * (epsilon_min / epsilon_max) ** 2
    return components**2 >= c2 * _level(components)


def lucky_neurons(
    components: jax.Array, epsilon_min: float | jax.Array, epsilon_max: float | jax.Array = 1.0, gamma: float = 0.01
) -> jax.Array:
    r"""The sets 𝓜*_j of lucky neurons: strong in one feature, weak in all others.

    .. math:: \langle w_i, M_j \rangle^2 \ge \frac{c_1 \log d}{d} \lVert M M^\top w_i \rVert^2, \quad
              \langle w_i, M_{j'} \rangle^2 \le \frac{c_2 \log d}{d} \lVert M M^\top w_i \rVert^2
              \;\forall j' \ne j, \quad
              c_1 = 2 (1 + \gamma) \Bigl(\frac{\epsilon_\mathrm{max}}{\epsilon_\mathrm{min}}\Bigr)^2

    Args:
        components, epsilon_min, epsilon_max, gamma: as for `ordinary_neurons`.

    Returns:
        Boolean, shape (m, d): neuron i is in 𝓜*_j. Empty where c₁ log d > d.

    Example:
        >>> import jax.numpy as jnp
        >>> lucky_neurons(jnp.array([[1.0, 0.1, 0.1, 0.1], [1.0, 1.0, 0.1, 0.1]]), 1.0).tolist()
        [[True, False, False, False], [False, False, False, False]]

    Source: paper 004 (contrastive learning under imbalance), Definition B.1, eq. 27 and 28.
    """
    c1 = 2 * (1 + gamma) * (epsilon_max / epsilon_min) ** 2
    c2 = 2 * (1 - gamma) * (epsilon_min / epsilon_max) ** 2
    level = _level(components)
    weak = components**2 <= c2 * level
    others_weak = jnp.sum(~weak, axis=1, keepdims=True) - ~weak == 0
    return (components**2 >= c1 * level) & others_weak


def pair_cosine(first: jax.Array, second: jax.Array) -> jax.Array:
    r"""Mean cosine of the embeddings of positive pairs; a pair with a zero embedding counts 0.

    .. math:: \frac1n \sum_i \frac{\langle f_i, g_i \rangle}{\lVert f_i \rVert \lVert g_i \rVert}

    Args:
        first, second: embeddings, shape (n, m).

    Returns:
        The mean, scalar.

    Example:
        >>> import jax.numpy as jnp
        >>> float(pair_cosine(jnp.array([[1.0, 0.0], [0.0, 0.0]]), jnp.array([[2.0, 0.0], [1.0, 0.0]])))
        0.5

    Source: paper 004 (contrastive learning under imbalance), Figure 4.
    """
    lengths = jnp.linalg.norm(first, axis=1) * jnp.linalg.norm(second, axis=1)
    inner = jnp.sum(first * second, axis=1)
    return jnp.mean(jnp.where(lengths == 0, 0.0, inner / jnp.where(lengths == 0, 1.0, lengths)))


def probe_errors(
    train: jax.Array, train_targets: jax.Array, test: jax.Array, test_targets: jax.Array, ridge: float = 1e-6
) -> jax.Array:
    r"""Test error of a linear probe: ridge regression with an intercept, in closed form.

    .. math:: \min_{B, c} \frac1n \sum_i \lVert B^\top f_i + c - s_i \rVert^2 + \alpha\, \bar v \lVert B \rVert^2

    Args:
        train, test: embeddings f, shapes (n, m) and (n_test, m).
        train_targets, test_targets: s, shapes (n, k) and (n_test, k).
        ridge: α, relative to the mean variance v̄ of an embedding's coordinates, so that the scale of
            the embeddings does not matter and dead coordinates do no harm.

    Returns:
        Mean squared error of each target on the test set, shape (k,).

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.array([[0.0], [1.0], [2.0]])
        >>> probe_errors(x, 3 * x + 1, x, 3 * x + 2).round(3).tolist()
        [1.0]

    Source: paper 004 (contrastive learning under imbalance), Appendix A.2, Experiment 4.
    """
    mean, target_mean = jnp.mean(train, axis=0), jnp.mean(train_targets, axis=0)
    centred = train - mean[None, :]
    covariance = centred.T @ centred / len(train)
    level = jnp.trace(covariance) / len(mean)
    penalty = jnp.where(level > 0, ridge * level, 1.0)
    moment = centred.T @ (train_targets - target_mean[None, :]) / len(train)
    slope = jnp.linalg.solve(covariance + penalty * jnp.eye(len(mean)), moment)
    predicted = (test - mean[None, :]) @ slope + target_mean[None, :]
    return jnp.mean((predicted - test_targets) ** 2, axis=0)


def _level(components: jax.Array) -> jax.Array:
    """log d / d · ‖M Mᵀ w‖², shape (m, 1)."""
    d = components.shape[1]
    return jnp.log(d) / d * jnp.sum(components**2, axis=1, keepdims=True)
