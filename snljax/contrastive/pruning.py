"""Masks of a contrastive network: its smallest weights, or its smallest neurons, or as many at random."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from snljax import constraints


def encoder_weights(path: str, leaf: Any) -> bool:
    """Whether a leaf is pruned where nothing else is said: weights of the encoder, not of its head.

    Args:
        path: names on the way to the leaf, such as ``"encoder/Dense_0/kernel"``.
        leaf: the array.

    Returns:
        Whether it is pruned.

    Example:
        >>> encoder_weights("encoder/Dense_0/kernel", np.ones((3, 2))), encoder_weights("head/kernel", np.ones((3, 2)))
        (True, False)
    """
    return path.split("/")[0] == "encoder" and constraints.weights(path, leaf)


def of_weights(
    scores: Any, keep_fraction: Any, scope: constraints.Scope, prunable: constraints.Prunable = encoder_weights
) -> Any:
    r"""Masks of the weights of largest magnitude.

    Args:
        scores: tree of arrays, such as a network's weights.
        keep_fraction: share that is kept, :math:`1 - \alpha`, (0, 1]; may be traced.
        scope: what is ranked together: each ``"layer"`` or the ``"network"``.
        prunable: ``(path, leaf) -> bool``.

    Returns:
        Tree of boolean masks; True where a leaf is not pruned.

    Example:
        >>> of_weights({"encoder": {"w": jnp.array([[3.0, -1.0], [0.5, 2.0]])}}, 0.5, "layer")["encoder"]["w"].tolist()
        [[True, False], [False, True]]

    Source: Jiang et al., "Self-Damaging Contrastive Learning" (2021), which paper 004 revisits.
    """
    return constraints.largest(scores, keep_fraction, scope, prunable)


def of_neurons(
    scores: Any, keep_fraction: Any, scope: constraints.Scope, prunable: constraints.Prunable = encoder_weights
) -> Any:
    r"""Masks of the neurons of largest norm: a neuron, or filter, is what the last axis of a leaf counts.

    .. math:: M_i = \mathbb 1[\,\lVert w_i \rVert \text{ is among the } \max(1, \lceil (1 - \alpha) m - \tfrac12 \rceil)
              \text{ largest}\,]

    A bias that stands beside a pruned leaf is masked with it. A norm behind it is not: it hands on its own bias.

    Args:
        scores, keep_fraction, scope, prunable: as for `of_weights`.

    Returns:
        Tree of boolean masks of the leaves' shapes.

    Example:
        >>> layer = {"kernel": jnp.array([[3.0, 0.1], [4.0, 0.2]]), "bias": jnp.ones(2)}
        >>> kept = of_neurons({"encoder": layer}, 0.5, "layer")["encoder"]
        >>> kept["kernel"].tolist(), kept["bias"].tolist()
        ([[True, False], [True, False]], [True, False])

    Source: paper 004 (contrastive learning under imbalance), Algorithm 1.
    """
    leaves, tree = jax.tree.flatten(scores)
    names, chosen = constraints.leaf_names(scores), constraints.pruned_leaves(scores, prunable)
    norms = [jnp.sqrt(jnp.sum(w.reshape(-1, w.shape[-1]) ** 2, axis=0)) for w in leaves]
    by_name = dict(zip(names, chosen, strict=True))
    kept = jax.tree.leaves(
        constraints.largest(jax.tree.unflatten(tree, norms), keep_fraction, scope, lambda path, _: by_name[path])
    )
    of_kernel = {name.rpartition("/")[0]: m for name, m, c in zip(names, kept, chosen, strict=True) if c}
    found = []
    for name, w, own, is_pruned in zip(names, leaves, kept, chosen, strict=True):
        place, _, last = name.rpartition("/")
        beside = of_kernel.get(place)
        if last == "bias" and not is_pruned and beside is not None and beside.shape == w.shape:
            own = beside
        found.append(jnp.broadcast_to(own, np.shape(w)))
    return jax.tree.unflatten(tree, found)


def random_scores(key: jax.Array, params: Any, neurons: bool) -> Any:
    """Uniform numbers in the place of weights; all of a neuron have the same, where whole neurons are masked.

    Args:
        key: a JAX random key.
        params: tree of arrays.
        neurons: whether a neuron has one number.

    Returns:
        Tree of arrays.

    Example:
        >>> random_scores(jax.random.key(0), {"w": jnp.ones((3, 2))}, neurons=True)["w"].shape
        (3, 2)
    """
    leaves, tree = jax.tree.flatten(params)

    def one(i: int, w: Any) -> jax.Array:
        shape = np.shape(w)[-1:] if neurons else np.shape(w)
        return jnp.broadcast_to(jax.random.uniform(jax.random.fold_in(key, i), shape), np.shape(w))

    return jax.tree.unflatten(tree, [one(i, w) for i, w in enumerate(leaves)])
