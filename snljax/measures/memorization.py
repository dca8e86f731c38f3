"""What memorised noise is worth: influence of single samples, noise correlation of classes, long tails."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import ArrayLike, NDArray

CHUNK = 1024  # rows of a Gram matrix at a time


def influence_scores(features: ArrayLike, labels: ArrayLike, ddof: int = 0, dtype: Any = np.float32) -> NDArray:
    r"""What each sample adds to the squared norm of its class's covariance.

    .. math:: \mathrm{Inf}(x) = \lVert \hat\Sigma(S_y) \rVert_F^2 - \lVert \hat\Sigma(S_y \setminus \{x\}) \rVert_F^2

    Leaving out x_i takes n/(n-1) c_i c_iᵀ from the scatter matrix of the centred samples c, so that all
    scores of a class follow from the rows of its Gram matrix: q_i = Σ_j ⟨c_i, c_j⟩².

    Args:
        features: X, shape (n, ...); what follows the first axis is flattened.
        labels: y, shape (n,), any integers; each class needs 2 + ddof samples.
        ddof: covariances are divided by the number of samples less this.
        dtype: of the computation, ``np.float32`` or ``np.float64``.

    Returns:
        Scores, shape (n,), float64.

    Raises:
        ValueError: if shapes do not fit, a class is too small, or a feature is not finite.

    Example:
        >>> import numpy as np
        >>> x = np.array([[0.0], [0.0], [3.0]])
        >>> influence_scores(x, [7, 7, 7]).round(2).tolist()  # variance 2 with, 0 without the last one
        [-1.06, -1.06, 4.0]

    Source: paper 001 (benign overfitting and long tails), eq. 10.
    """
    flat, classes, index = _checked(features, labels, 2 + ddof)
    scores = np.zeros(len(flat))
    for k in range(len(classes)):
        own = index == k
        scores[own] = _class_scores(flat[own], ddof, dtype)
    return scores


def highest_first(scores: ArrayLike, labels: ArrayLike, label: Any) -> NDArray:
    """Positions of a class's samples in the order of their scores, the highest first.

    Args:
        scores: shape (n,).
        labels: shape (n,).
        label: the class.

    Returns:
        Positions, shape (samples of the class,); equal scores keep their order.

    Example:
        >>> highest_first([1.0, 5.0, 3.0, 9.0], [0, 0, 0, 1], 0).tolist()
        [1, 2, 0]
    """
    own = np.flatnonzero(np.asarray(labels) == label)
    return own[np.argsort(-np.asarray(scores)[own], kind="stable")]


def class_overlaps(features: ArrayLike, labels: ArrayLike, ddof: int = 0, dtype: Any = np.float32) -> NDArray:
    r"""Squared norms of the products of the classes' noise factors, from samples.

    .. math:: \lVert \hat A_i^\top \hat A_j \rVert_F^2 = \operatorname{tr}(\hat\Sigma_i \hat\Sigma_j)

    Args:
        features, labels, ddof, dtype: as for `influence_scores`.

    Returns:
        Shape (classes, classes), float64, classes in ascending order of their labels. The diagonal is
        biased upwards, as every squared norm of an estimate is, by about tr(Σ)²/n.

    Raises:
        ValueError: as for `influence_scores`.

    Example:
        >>> import numpy as np
        >>> x = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]])
        >>> class_overlaps(x, [0, 0, 1, 1]).tolist()
        [[1.0, 0.0], [0.0, 16.0]]

    Source: paper 001 (benign overfitting and long tails), Section 5.2 and Figure 6.
    """
    flat, classes, index = _checked(features, labels, 2 + ddof)
    centred = [_centred(flat[index == k], dtype) for k in range(len(classes))]
    out = np.zeros((len(classes), len(classes)))
    for i, a in enumerate(centred):
        for j, b in enumerate(centred[: i + 1]):
            squares = _sum_of_squares(a, b, dtype).sum(dtype=np.float64)
            out[i, j] = out[j, i] = squares / ((len(a) - ddof) * (len(b) - ddof))
    return out


def noise_correlation(features: ArrayLike, labels: ArrayLike, ddof: int = 0, dtype: Any = np.float32) -> NDArray:
    r"""Noise correlation ratios of the classes of a data set.

    .. math:: \Gamma_{kj} = \frac{|S_k| \, \lVert A_k^\top A_k \rVert_F^2}{|S_j| \, \lVert A_k^\top A_j \rVert_F^2}

    Args:
        features, labels, ddof, dtype: as for `influence_scores`.

    Returns:
        Γ, shape (classes, classes), classes in ascending order of their labels; 1 on the diagonal, inf
        where two classes have nothing in common.

    Raises:
        ValueError: as for `influence_scores`.

    Example:
        >>> import numpy as np
        >>> x = np.array([[1.0], [-1.0], [2.0], [-2.0], [2.0], [-2.0]])
        >>> noise_correlation(x, [0, 0, 1, 1, 1, 1]).tolist()
        [[1.0, 0.125], [8.0, 1.0]]

    Source: paper 001 (benign overfitting and long tails), Theorem 1, statement 2 (b).
    """
    overlaps = class_overlaps(features, labels, ddof, dtype)
    return correlation_ratios(overlaps, np.unique(np.asarray(labels), return_counts=True)[1])


def correlation_ratios(overlaps: ArrayLike, sizes: ArrayLike) -> NDArray:
    r"""Noise correlation ratios of classes whose overlaps and sizes are known.

    .. math:: \Gamma_{kj} = \frac{|S_k| \, \lVert A_k^\top A_k \rVert_F^2}{|S_j| \, \lVert A_k^\top A_j \rVert_F^2}

    Args:
        overlaps: squared norms ‖A_kᵀA_j‖_F², shape (classes, classes), see `class_overlaps`.
        sizes: samples of each class, shape (classes,).

    Returns:
        Γ, shape (classes, classes).

    Example:
        >>> correlation_ratios([[4.0, 1.0], [1.0, 2.0]], [10, 20]).tolist()
        [[1.0, 2.0], [4.0, 1.0]]

    Source: paper 001 (benign overfitting and long tails), Theorem 1, statement 2 (b).
    """
    overlaps, sizes = np.asarray(overlaps, float), np.asarray(sizes, float)
    with np.errstate(divide="ignore"):
        return sizes[:, None] * np.diagonal(overlaps)[:, None] / (sizes[None, :] * overlaps)


def long_tail_level(filters: jax.Array, noise: jax.Array, scales: jax.Array) -> jax.Array:
    r"""How far in the tail a noise vector lies for a class's trained filters: the L of Definition 1.

    .. math:: L = \frac{\langle w_R, \xi \rangle}{\lVert A^\top w_R \rVert}, \qquad
              w_R = \sum_{r : \langle w_r, \xi \rangle > 0} w_r

    Args:
        filters: w_r of the sample's class, shape (m, d).
        noise: ξ, shape (d,).
        scales: the diagonal of A in the basis of filters and noise, shape (d,).

    Returns:
        L, scalar: ⟨w_R, ξ⟩ in standard deviations of a fresh ⟨w_R, Aζ⟩; 0 if no filter responds.

    Example:
        >>> import jax.numpy as jnp
        >>> float(long_tail_level(jnp.eye(2), jnp.array([3.0, -1.0]), jnp.array([0.5, 1.0])))  # 3 / 0.5
        6.0

    Source: paper 001 (benign overfitting and long tails), Definition 1.
    """
    responses = filters @ noise
    total = (responses > 0).astype(filters.dtype) @ filters
    deviation = jnp.linalg.norm(scales * total)
    return jnp.where(deviation > 0, jnp.vdot(total, noise) / jnp.where(deviation > 0, deviation, 1.0), 0.0)


def equivalent_noise(filters: jax.Array, noise: jax.Array) -> jax.Array:
    r"""How far in the tail noise vectors lie for a class's trained filters, in units of its own standard deviation.

    .. math:: \zeta'_i = \frac{z_i}{\operatorname{std}_i(z_i)}, \qquad
              z_i = \langle w_{R(\xi_i)}, \xi_i \rangle = \sum_r \sigma(\langle w_r, \xi_i \rangle)

    What Definition 1 calls an equivalent noise of variance 1. Its L has another unit, ‖Aᵀw_R‖: the standard deviation
    of ⟨w_R, Aζ⟩ over ζ while R stays. But R goes with ξ: where m filters respond each by chance, those that do are
    chosen, and L is about √(m/π) however weak they are; where they respond together along a direction, L is |ζ| there.

    Args:
        filters: w_r of the samples' class, shape (m, d).
        noise: ξ_i, samples of the class, shape (n, d).

    Returns:
        ζ′, shape (n,), 0 or more, variance 1; 0 where all samples are alike.

    Example:
        >>> import jax.numpy as jnp
        >>> equivalent_noise(jnp.eye(2), jnp.array([[3.0, -1.0], [1.0, -2.0]])).tolist()  # 3 and 1, deviation 1
        [3.0, 1.0]

    Source: paper 001 (benign overfitting and long tails), Definition 1 and the remark below it.
    """
    response = jnp.sum(jax.nn.relu(noise @ filters.T), axis=1)
    deviation = jnp.std(response)
    return jnp.where(deviation > 0, response / jnp.where(deviation > 0, deviation, 1.0), 0.0)


def _checked(features: ArrayLike, labels: ArrayLike, fewest: int) -> tuple[NDArray, NDArray, NDArray]:
    """Flattened features, the classes, and the class of each sample as a position among them."""
    flat, y = np.asarray(features), np.asarray(labels)
    if flat.ndim < 2 or y.ndim != 1 or len(flat) != len(y):
        raise ValueError(f"labels: shape {y.shape} with features {flat.shape}; allowed: (n,) with (n, ...)")
    flat = flat.reshape(len(flat), -1)
    if not np.issubdtype(flat.dtype, np.number) or not np.isfinite(flat).all():
        raise ValueError("features: not all are finite numbers; allowed: finite numbers")
    classes, index, counts = np.unique(y, return_inverse=True, return_counts=True)
    if counts.min() < fewest:
        small = classes[counts.argmin()]
        raise ValueError(f"labels: class {small} has {counts.min()} samples; allowed: {fewest} or more")
    return flat, classes, index


def _centred(rows: NDArray, dtype: Any) -> NDArray:
    """Centred in float64: a mean of many pixels loses digits otherwise."""
    return (rows - rows.mean(0, dtype=np.float64)[None, :]).astype(dtype)


def _class_scores(rows: NDArray, ddof: int, dtype: Any) -> NDArray:
    centred, n = _centred(rows, dtype), len(rows)
    q = _sum_of_squares(centred, centred, dtype).astype(np.float64)
    length = (centred.astype(np.float64) ** 2).sum(1)
    whole, without, a = n - ddof, n - 1 - ddof, n / (n - 1)
    # The two norms differ by a share of 1/n: subtracted term by term, not from each other.
    scatter = q.sum() * (without**2 - whole**2) / (whole**2 * without**2)
    return scatter + (2 * a * q - a**2 * length**2) / without**2


def _sum_of_squares(a: NDArray, b: NDArray, dtype: Any) -> NDArray:
    """Σ_j ⟨a_i, b_j⟩² for each row i of a, summed up in float64 over blocks of the Gram matrix.

    Rows are filled up with zeros, which add nothing, so that one program serves all sizes of classes.
    """
    size = min(CHUNK, 1 << (max(len(a), len(b)) - 1).bit_length())
    out = np.zeros(-(-len(a) // size) * size)
    with jax.enable_x64(np.dtype(dtype) == np.float64):
        parts = [jnp.asarray(_padded(b[start : start + size], size)) for start in range(0, len(b), size)]
        for start in range(0, len(a), size):
            rows = jnp.asarray(_padded(a[start : start + size], size))
            out[start : start + size] = sum(np.asarray(_block(rows, part), np.float64) for part in parts)
    return out[: len(a)]


def _padded(rows: NDArray, size: int) -> NDArray:
    return np.pad(rows, ((0, size - len(rows)), (0, 0)))


@jax.jit
def _block(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.sum(jnp.matmul(a, b.T, precision=lax.Precision.HIGHEST) ** 2, axis=1)
