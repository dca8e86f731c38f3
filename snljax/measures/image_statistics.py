"""What the noise of image classes looks like: extremes of influence, overlaps of classes, shapes in the plane.

Labelled arrays for figures and notebooks, of a data set by its name or of a folder of one's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from snljax.data import images
from snljax.data.downloads import optional
from snljax.data.images import Images

NEIGHBOURS = 5
Size = tuple[int, int] | None


def influence_extremes(
    dataset: str = "digits", each: int = 10, tail: float = 0.1, split: str = "train", size: Size = None
) -> xr.Dataset:
    """The images of highest and lowest influence in each class, and how hard each end is to classify.

    Args:
        dataset: a name known to `images.load`, or a folder.
        each: images kept from either end of each class, at least 1.
        tail: share of a class that counts as an end, in (0, 0.5].
        split, size: as for `images.load`.

    Returns:
        ``image`` (class, end, rank, height, width, channel), ``score`` and ``index`` (class, end, rank);
        ``neighbour_error`` (class, end): share of the end's images of which their 5 nearest neighbours in the
        whole split, themselves left out, are most often of another class; ``scores``: all of them, (sample,).

    Raises:
        ValueError: if the data cannot be read, or a class has fewer than 2 × each images.

    Example:
        >>> ds = influence_extremes("digits", each=3)
        >>> ds.image.shape, bool((ds.score.sel(end="highest") > ds.score.sel(end="lowest")).all())
        ((10, 2, 3, 8, 8, 1), True)

    Source: paper 001 (benign overfitting and long tails), eq. 10 and Figure 5.
    """
    from snljax.measures import memorization  # brings JAX, which presets that name this function do not need

    found = images.load(dataset, split, size=size)
    if not 0 < tail <= 0.5:
        raise ValueError(f"tail: {tail}; allowed: (0, 0.5]")
    sizes = np.bincount(found.labels)
    _check("each", each, 1, int(sizes.min()) // 2, "half of the smallest class")
    scores = memorization.influence_scores(found.images, found.labels)
    orders = [memorization.highest_first(scores, found.labels, k) for k in range(len(found.classes))]
    index = np.stack([[order[:each], order[::-1][:each]] for order in orders])
    shares = [max(1, round(tail * len(order))) for order in orders]
    ends = [[order[:n], order[-n:]] for order, n in zip(orders, shares, strict=True)]
    wrong = _misplaced(found, np.unique(np.concatenate([e for pair in ends for e in pair])))
    error = [[wrong[rows].mean() for rows in pair] for pair in ends]
    return xr.Dataset(
        {
            "image": (("class", "end", "rank", "height", "width", "channel"), found.images[index]),
            "score": (("class", "end", "rank"), scores[index]),
            "index": (("class", "end", "rank"), index),
            "neighbour_error": (("class", "end"), np.array(error)),
            "scores": ("sample", scores),
        },
        {"class": list(found.classes), "end": ["highest", "lowest"], "label": ("sample", found.labels)},
        _about(found) | {"tail": tail},
    )


def class_correlations(dataset: str = "digits", parts: int = 5, split: str = "train", size: Size = None) -> xr.Dataset:
    r"""How strongly the noise of each pair of classes overlaps, and the noise correlation ratios.

    .. math:: \lVert \hat A_i^\top \hat A_j \rVert_F^2, \qquad
        \cos_{ij} = \operatorname{tr}(\Sigma_i \Sigma_j) \big/ \lVert \Sigma_i \rVert_F \lVert \Sigma_j \rVert_F

    The squared norm of an estimated covariance is too large by about tr(Σ)²/n, the product of two independent
    estimates is not. So each class is cut into 2 × parts pieces, and every part compares one piece of each
    class with another one of each class, itself included: estimates without that bias, from different images
    in each part.

    Args:
        dataset: a name known to `images.load`, or a folder.
        parts: independent estimates, at least 2; each class needs 4 images for each.
        split, size: as for `images.load`.

    Returns:
        ``overlap`` (class, other), the squared norm, from all images; ``noise_correlation``, Γ, ``ratio``, Γ of
        classes of one size, and ``cosine`` (part, class, other).

    Raises:
        ValueError: if the data cannot be read, have one class, or a class has too few images.

    Example:
        >>> ds = class_correlations("digits", parts=2)
        >>> ds.overlap.shape, ds.ratio.shape
        ((10, 10), (2, 10, 10))

    Source: paper 001 (benign overfitting and long tails), Section 5.2, Figure 6 and Theorem 1, statement 2 (b).
    """
    from snljax.measures import memorization  # brings JAX, which presets that name this function do not need

    found = images.load(dataset, split, size=size)
    classes, sizes = len(found.classes), np.bincount(found.labels)
    if classes < 2:
        raise ValueError(f"dataset: {dataset} has one class, {found.classes[0]}; allowed: 2 or more")
    _check("parts", parts, 2, int(sizes.min()) // 4, "a quarter of the smallest class")
    piece = _pieces(found.labels, 2 * parts)
    squares = []
    for part in range(parts):
        own = piece // 2 == part
        # Class k becomes 2k and 2k + 1, so that one call gives all overlaps of pieces.
        overlaps = memorization.class_overlaps(found.images[own], 2 * found.labels[own] + piece[own] % 2)
        squares.append((overlaps[::2, 1::2] + overlaps[1::2, ::2]) / 2)
    square = np.array(squares)
    diagonal = np.diagonal(square, axis1=1, axis2=2)
    overlap = memorization.class_overlaps(found.images, found.labels)
    along = ("part", "class", "other")
    return xr.Dataset(
        {
            "overlap": (("class", "other"), overlap),
            "noise_correlation": (along, np.array([memorization.correlation_ratios(s, sizes) for s in squares])),
            "ratio": (along, np.array([memorization.correlation_ratios(s, np.ones(classes)) for s in squares])),
            "cosine": (along, square / np.sqrt(diagonal[:, :, None] * diagonal[:, None, :])),
        },
        {"class": list(found.classes), "other": list(found.classes)},
        _about(found),
    )


def class_shapes(
    dataset: str = "digits", n: int = 1000, seeds: int = 3, split: str = "train", size: Size = None
) -> xr.Dataset:
    """t-SNE of a data set, and of Gaussian ones with the same class means and its covariances.

    Args:
        dataset: a name known to `images.load`, or a folder.
        n: images that are embedded, drawn anew for each seed, 100 or more.
        seeds: how many embeddings, at least 1.
        split, size: as for `images.load`.

    Returns:
        ``place`` (seed, kind, sample, axis) and ``label`` (seed, sample); ``elongation`` (seed, kind, class): ratio
        of the two standard deviations of a class in the plane. kind: ``data``; ``own noise``, Gaussian with each
        class's covariance; ``equal noise``, Gaussian with the covariance of all images about their class means.

    Raises:
        ValueError: if the data cannot be read, or have fewer than n images or too few of a class.

    Example:
        >>> class_shapes("digits", n=100, seeds=1).elongation.shape
        (1, 3, 10)

    Source: paper 001 (benign overfitting and long tails), Figure 1 (the comparison is ours).
    """
    manifold = optional("sklearn.manifold")
    found = images.load(dataset, split, size=size)
    _check("n", n, 100, len(found.labels), "the images there are")
    _check("seeds", seeds, 1, 1000, "seeds")
    classes = range(len(found.classes))
    flat = found.images.reshape(len(found.labels), -1).astype(np.float32) / 255
    means = np.stack([flat[found.labels == k].mean(0) for k in classes])
    centred = flat - means[found.labels]
    own, equal = [covariance_root(centred[found.labels == k]) for k in classes], covariance_root(centred)
    places, labels, stretches = [], [], []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        rows = rng.choice(len(flat), n, replace=False)
        label = found.labels[rows]
        if np.bincount(label, minlength=len(means)).min() < 3:
            raise ValueError(f"n: {n} leaves a class with fewer than 3 images; allowed: more")
        normal = rng.normal(size=(n, flat.shape[1])).astype(np.float32)
        noise = _own_noise(normal, label, own)
        kinds = [
            manifold.TSNE(random_state=seed, init="pca").fit_transform(x)
            for x in (flat[rows], means[label] + noise, means[label] + normal @ equal)
        ]
        places.append(kinds)
        labels.append(label)
        stretches.append([[_elongation(at[label == k]) for k in classes] for at in kinds])
    return xr.Dataset(
        {
            "place": (("seed", "kind", "sample", "axis"), np.array(places)),
            "label": (("seed", "sample"), np.array(labels)),
            "elongation": (("seed", "kind", "class"), np.array(stretches)),
        },
        {"seed": range(seeds), "kind": ["data", "own noise", "equal noise"], "class": list(found.classes)},
        _about(found),
    )


def _own_noise(normal: NDArray, label: NDArray, roots: list[NDArray]) -> NDArray:
    """Rows of standard normals with the covariance of each row's class."""
    out = np.zeros_like(normal)
    for k, root in enumerate(roots):
        out[label == k] = normal[label == k] @ root
    return out


def covariance_root(centred: NDArray) -> NDArray:
    r"""A root of the covariance of samples: rows of standard normals times it have that covariance.

    .. math:: R^\top R = \frac1n \sum_i c_i c_i^\top

    Args:
        centred: samples c less their mean, shape (n, d).

    Returns:
        R, shape (d, d).

    Example:
        >>> root = covariance_root(np.array([[2.0, 0.0], [-2.0, 0.0]]))
        >>> abs(root.T @ root).tolist()
        [[4.0, 0.0], [0.0, 0.0]]
    """
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    return np.sqrt(np.clip(values, 0, None))[:, None] * vectors.T


def _misplaced(found: Images, rows: NDArray) -> NDArray:
    """1 where most of an image's nearest neighbours are of another class, 0 elsewhere and for rows not asked for."""
    neighbors = optional("sklearn.neighbors")
    flat = found.images.reshape(len(found.labels), -1).astype(np.float32)
    near = neighbors.NearestNeighbors(n_neighbors=NEIGHBOURS + 1, algorithm="brute").fit(flat)
    neighbours = near.kneighbors(flat[rows], return_distance=False)
    out = np.zeros(len(flat))
    for row, places in zip(rows, neighbours, strict=True):
        others = places[places != row][:NEIGHBOURS]
        out[row] = np.bincount(found.labels[others]).argmax() != found.labels[row]
    return out


def _pieces(labels: NDArray, pieces: int) -> NDArray:
    """The number of a piece for each sample, 0 to pieces - 1, each class cut at random into equal ones."""
    rng, out = np.random.default_rng(0), np.zeros_like(labels)
    for k in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == k))
        out[own] = np.arange(len(own)) % pieces
    return out


def _elongation(points: NDArray) -> float:
    values = np.linalg.eigvalsh(np.cov(points.T))
    return float(np.sqrt(values[1] / values[0]))


def _check(name: str, value: Any, low: int, high: int, why: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise ValueError(f"{name}: {value!r}; allowed: a whole number, {low} to {high} ({why})")


def _about(found: Images) -> dict[str, Any]:
    return {"source": found.source, "images": len(found.labels)}
