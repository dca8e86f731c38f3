"""What the noise of image classes looks like: extremes of influence, overlaps of classes, shapes in the plane.

Labelled arrays for figures and notebooks, of a data set by its name or of a folder of one's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from snljax.data import images
from snljax.data.images import Images
from snljax.measures import memorization

NEIGHBOURS = 5


def influence_extremes(dataset: str = "digits", each: int = 10, tail: float = 0.1, split: str = "train") -> xr.Dataset:
    """The images of highest and lowest influence in each class, and how hard each end is to classify.

    Args:
        dataset: a name known to `images.load`, or a folder.
        each: images kept from either end of each class, at least 1.
        tail: share of a class that counts as an end, in (0, 0.5].
        split: of the data set.

    Returns:
        ``image`` (class, end, rank, height, width, channel), ``score`` and ``index`` (class, end, rank);
        ``neighbour_error`` (class, end): share of the end's images that their 5 nearest neighbours in the whole
        split, themselves left out, put into another class; ``scores``: all of them, (sample,).

    Raises:
        ValueError: if the data cannot be read, or a class has fewer than 2 × each images.

    Example:
        >>> ds = influence_extremes("digits", each=3)
        >>> ds.image.shape, bool((ds.score.sel(end="highest") > ds.score.sel(end="lowest")).all())
        ((10, 2, 3, 8, 8, 1), True)

    Source: 001_bf8ff98528848446.txt, eq. 10 and Figure 5.
    """
    found = images.load(dataset, split)
    if not 0 < tail <= 0.5:
        raise ValueError(f"tail: {tail}; allowed: (0, 0.5]")
    sizes = np.bincount(found.labels)
    if each < 1 or sizes.min() < 2 * each:
        raise ValueError(f"each: {each}, and the smallest class has {sizes.min()} images; allowed: 1 to half of that")
    scores = memorization.influence_scores(found.images, found.labels)
    orders = [_highest_first(scores, found.labels, k) for k in range(len(found.classes))]
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


def class_correlations(dataset: str = "digits", halves: int = 5, split: str = "train") -> xr.Dataset:
    r"""How strongly the noise of each pair of classes overlaps, and the noise correlation ratios.

    .. math:: \lVert \hat A_i^\top \hat A_j \rVert_F, \qquad
        \cos_{ij} = \operatorname{tr}(\hat\Sigma_i \hat\Sigma_j)
        \big/ \lVert \hat\Sigma_i \rVert_F \lVert \hat\Sigma_j \rVert_F

    Args:
        dataset: a name known to `images.load`, or a folder.
        halves: how often each class is split at random, to see what sampling alone does to the cosine.
        split: of the data set.

    Returns:
        ``norm`` and ``noise_correlation`` (class, other); ``cosine_between`` and ``cosine_within`` (halving, class):
        of a random half of a class's images with a half of each other class (mean over the others), and with
        the other half of its own.

    Raises:
        ValueError: if the data cannot be read, or a class has fewer than 4 images.

    Example:
        >>> ds = class_correlations("digits", halves=2)
        >>> ds.norm.shape, bool((ds.cosine_within > ds.cosine_between).all())
        ((10, 10), True)

    Source: 001_bf8ff98528848446.txt, Section 5.2 and Figure 6.
    """
    found = images.load(dataset, split)
    classes = len(found.classes)
    overlaps = memorization.class_overlaps(found.images, found.labels)
    rng = np.random.default_rng(0)
    between, within = np.zeros((halves, classes)), np.zeros((halves, classes))
    for h in range(halves):
        # Class k becomes 2k and 2k + 1, so that one call gives all overlaps of halves.
        half = 2 * found.labels + _halves(found.labels, rng)
        parts = memorization.class_overlaps(found.images, half)
        norms = np.sqrt(np.diagonal(parts))
        cosine = (parts / norms[:, None] / norms[None, :])[::2, 1::2]  # first halves with second halves
        within[h] = np.diagonal(cosine)
        between[h] = (cosine.sum(1) - within[h]) / (classes - 1)
    ratios = memorization.correlation_ratios(overlaps, np.bincount(found.labels))
    return xr.Dataset(
        {
            "norm": (("class", "other"), np.sqrt(overlaps)),
            "noise_correlation": (("class", "other"), ratios),
            "cosine_between": (("halving", "class"), between),
            "cosine_within": (("halving", "class"), within),
        },
        {"class": list(found.classes), "other": list(found.classes)},
        _about(found),
    )


def class_shapes(dataset: str = "digits", n: int = 1000, seeds: int = 3, split: str = "train") -> xr.Dataset:
    """t-SNE of a data set, and of one with the same class means in which all classes have the same noise.

    Args:
        dataset: a name known to `images.load`, or a folder.
        n: images that are embedded, drawn anew for each seed.
        seeds: how many embeddings.
        split: of the data set.

    Returns:
        ``place`` (seed, kind, sample, axis) and ``label`` (seed, sample); ``elongation`` (seed, kind, class): ratio
        of the two standard deviations of a class in the plane. kind: ``data``; ``equal noise``, Gaussian
        with the covariance of all images about their own class's mean.

    Raises:
        ValueError: if the data cannot be read, or have fewer than n images.

    Example:
        >>> class_shapes("digits", n=100, seeds=1).elongation.shape
        (1, 2, 10)

    Source: 001_bf8ff98528848446.txt, Figure 1 (the comparison is ours).
    """
    from sklearn.manifold import TSNE

    found = images.load(dataset, split)
    if not 100 <= n <= len(found.labels):
        raise ValueError(f"n: {n}; allowed: 100 to the {len(found.labels)} images there are")
    flat = found.images.reshape(len(found.labels), -1).astype(np.float32) / 255
    means = np.stack([flat[found.labels == k].mean(0) for k in range(len(found.classes))])
    places, labels, stretches = [], [], []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        rows = rng.choice(len(flat), n, replace=False)
        label = found.labels[rows]
        # Random sums of all centred images have exactly their covariance.
        centred = flat - means[found.labels]
        noise = rng.normal(size=(n, len(flat))).astype(np.float32) @ centred / np.float32(np.sqrt(len(flat)))
        kinds = [TSNE(random_state=seed, init="pca").fit_transform(x) for x in (flat[rows], means[label] + noise)]
        places.append(kinds)
        labels.append(label)
        stretches.append([[_elongation(at[label == k]) for k in range(len(means))] for at in kinds])
    return xr.Dataset(
        {
            "place": (("seed", "kind", "sample", "axis"), np.array(places)),
            "label": (("seed", "sample"), np.array(labels)),
            "elongation": (("seed", "kind", "class"), np.array(stretches)),
        },
        {"seed": range(seeds), "kind": ["data", "equal noise"], "class": list(found.classes)},
        _about(found),
    )


def _highest_first(scores: NDArray, labels: NDArray, k: int) -> NDArray:
    own = np.flatnonzero(labels == k)
    return own[np.argsort(-scores[own], kind="stable")]


def _misplaced(found: Images, rows: NDArray) -> NDArray:
    """1 where most of an image's nearest neighbours are of another class, 0 elsewhere and for rows not asked for."""
    from sklearn.neighbors import NearestNeighbors

    flat = found.images.reshape(len(found.labels), -1).astype(np.float32)
    near = NearestNeighbors(n_neighbors=NEIGHBOURS + 1, algorithm="brute").fit(flat)
    neighbours = near.kneighbors(flat[rows], return_distance=False)
    out = np.zeros(len(flat))
    for row, places in zip(rows, neighbours, strict=True):
        others = places[places != row][:NEIGHBOURS]
        out[row] = np.bincount(found.labels[others]).argmax() != found.labels[row]
    return out


def _halves(labels: NDArray, rng: np.random.Generator) -> NDArray:
    """0 or 1 for each sample, so that each class falls into two halves."""
    out = np.zeros_like(labels)
    for k in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == k))
        out[own[: len(own) // 2]] = 1
    return out


def _elongation(points: NDArray) -> float:
    values = np.linalg.eigvalsh(np.cov(points.T))
    return float(np.sqrt(values[1] / values[0]))


def _about(found: Images) -> dict[str, Any]:
    return {"source": found.source, "images": len(found.labels)}
