"""What holds weights of a network at zero while it trains: dynamic TopK, fixed masks, iterative magnitude pruning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from snljax import masks

Scope = Literal["filter", "layer", "network"]
Prunable = Callable[[str, Any], bool]


class Constraint(NamedTuple):
    r"""Weights that are held at zero, :math:`W \leftarrow W \odot M`, as pure functions of one network.

    A tree of masks has the structure of the parameters; where a leaf is not pruned it has True.

    Args:
        init: ``(key, params) -> state``, before the first update.
        apply: ``(params, state, t) -> params, state, restart``, before update t (0-based). Where ``restart`` is true
            the weights were set back, and the optimiser and what a network keeps beside its weights begin anew.
        masks: ``(params, state) -> masks``, which weights are kept if one looks now.

    Source: none (an interface).
    """

    init: Callable[[jax.Array, Any], Any]
    apply: Callable[[Any, Any, jax.Array], tuple[Any, Any, Any]]
    masks: Callable[[Any, Any], Any]


def weights(path: str, leaf: Any) -> bool:
    """Whether a leaf is pruned where nothing else is said: arrays of two or more axes, other than embeddings.

    Biases, scales of norms and embeddings of positions or tokens are not.

    Args:
        path: names on the way to the leaf, such as ``"Dense_0/kernel"``.
        leaf: the array.

    Returns:
        Whether it is pruned.

    Example:
        >>> import numpy as np
        >>> weights("Dense_0/kernel", np.ones((3, 2))), weights("Dense_0/bias", np.ones(2))
        (True, False)
    """
    return np.ndim(leaf) >= 2 and "embed" not in path.lower()


def none() -> Constraint:
    """All weights are free.

    Returns:
        The Constraint.

    Example:
        >>> none().apply({"w": 1.0}, (), 0)
        ({'w': 1.0}, (), False)
    """
    return Constraint(
        lambda key, params: (),
        lambda params, state, t: (params, state, False),
        lambda params, state: _everything(params),
    )


def topk(
    keep_fraction: float | jax.Array, *, every: int = 1, scope: Scope = "layer", prunable: Prunable = weights
) -> Constraint:
    r"""Dynamic TopK: every so many updates the smallest weights are set to zero; until the next time they may grow.

    .. math:: W \leftarrow W \odot \mathbb 1[\,|W_i| \text{ is among the } \max(1, \lceil p N - \tfrac12 \rceil)
              \text{ largest of its scope}\,] \quad \text{before update } t = 0, e, 2e, \dots

    Args:
        keep_fraction: p, the share that is kept, (0, 1]; may be traced.
        every: e, updates from one pruning to the next, 1 or more.
        scope: what is ranked together: each ``"filter"`` (last axis of a leaf), each ``"layer"`` (leaf), or the
            ``"network"``.
        prunable: ``(path, leaf) -> bool``, which leaves are pruned.

    Returns:
        The Constraint.

    Raises:
        ValueError: if ``every`` is below 1 or the scope is not known.

    Example:
        >>> import jax.numpy as jnp
        >>> rule = topk(0.5)
        >>> params = {"w": jnp.array([[3.0, -1.0], [0.5, 2.0]])}
        >>> rule.apply(params, rule.init(None, params), 0)[0]["w"].tolist()
        [[3.0, -0.0], [0.0, 2.0]]

    Source: paper 000 (dynamic TopK pruning), "TopK Weight Pruning Strategy".
    """
    _check_scope(scope)
    _check_every(every)

    def now(params: Any, state: Any) -> Any:
        return largest(params, keep_fraction, scope, prunable)

    def apply(params: Any, state: Any, t: jax.Array) -> tuple[Any, Any, Any]:
        if every == 1:
            return held(params, now(params, state)), state, False
        pruned = jax.lax.cond(t % every == 0, lambda p: held(p, now(p, state)), lambda p: p, params)
        return pruned, state, False

    return Constraint(lambda key, params: (), apply, now)


def at_init(
    keep_fraction: float | jax.Array,
    *,
    by: Literal["random", "magnitude", "erdos_renyi"] = "random",
    scope: Scope = "layer",
    prunable: Prunable = weights,
) -> Constraint:
    r"""Masks that are drawn before the first update and stay.

    .. math:: M_i = \mathbb 1[\,s_i \text{ is among the } \max(1, \lceil p N - \tfrac12 \rceil)
              \text{ largest of its scope}\,], \qquad s_i \sim \mathrm{Uniform}[0, 1) \text{ or } s_i = |W_i|

    Exactly so many are kept; masks of one key are nested in p. ``"erdos_renyi"`` is random with layers of unlike
    density, :math:`p_l = \min(1, \epsilon\,(n_{\mathrm{in}} + n_{\mathrm{out}} + h + w) / (n_{\mathrm{in}}
    n_{\mathrm{out}} h w))`, and ε such that the network keeps p.

    Args:
        keep_fraction: p, the share that is kept, (0, 1]; may be traced.
        by: what is kept.
        scope: as for `topk`; layers of unlike density are ranked by themselves.
        prunable: ``(path, leaf) -> bool``, which leaves are pruned.

    Returns:
        The Constraint; its state is the masks.

    Raises:
        ValueError: if ``by`` or the scope is not known, or ``"erdos_renyi"`` has another scope than a layer.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = {"w": jnp.ones((4, 8)), "b": jnp.ones(8)}
        >>> kept = at_init(0.25).init(jax.random.key(0), params)
        >>> int(kept["w"].sum()), int(kept["b"].sum())
        (8, 8)

    Source: paper 002 (random pruning), Sections 3 and 5.2; densities: Evci et al., "Rigging the Lottery" (2020).
    """
    _check_scope(scope)
    if by not in ("random", "magnitude", "erdos_renyi"):
        raise ValueError(f"by: {by!r}; allowed: 'random', 'magnitude', 'erdos_renyi'")
    if by == "erdos_renyi" and scope != "layer":
        raise ValueError(f"scope: {scope!r} with densities by layer; allowed: 'layer'")

    def init(key: jax.Array, params: Any) -> Any:
        share: Any = erdos_renyi(params, keep_fraction, prunable) if by == "erdos_renyi" else keep_fraction
        return largest(params if by == "magnitude" else _uniform(key, params), share, scope, prunable)

    return Constraint(init, lambda params, state, t: (held(params, state), state, False), lambda params, state: state)


class Levels(NamedTuple):
    """State of `imp`. masks: as they are. start: the weights to which each level goes back."""

    masks: Any
    start: Any


def imp(
    keep_fraction: float | jax.Array,
    *,
    every: int,
    prune_fraction: float | jax.Array = 0.2,
    rewind_to: int = 0,
    scope: Scope = "layer",
    prunable: Prunable = weights,
) -> Constraint:
    r"""Iterative magnitude pruning: train, prune the smallest of what is left, go back to early weights, train again.

    .. math:: N_\ell = \max\bigl(\lceil (1 - \alpha)^\ell N - \tfrac12 \rceil, \lceil p N - \tfrac12 \rceil, 1\bigr)
              \quad \text{weights are kept from update } t = \ell e \text{ on}

    Args:
        keep_fraction: p, the share below which nothing is pruned any more, (0, 1]; may be traced.
        every: e, updates of each level, 1 or more.
        prune_fraction: α, the share of what is left that each level removes, [0, 1); may be traced.
        rewind_to: after how many updates the weights are those that each level goes back to, 0 to e − 1.
        scope: as for `topk`.
        prunable: ``(path, leaf) -> bool``, which leaves are pruned.

    Returns:
        The Constraint; its state is a `Levels`.

    Raises:
        ValueError: if ``every``, ``rewind_to`` or the scope is not allowed.

    Example:
        >>> import jax.numpy as jnp
        >>> rule = imp(0.1, every=10, prune_fraction=0.5)
        >>> start = {"w": jnp.array([[1.0, -2.0]])}
        >>> trained = {"w": jnp.array([[5.0, 3.0]])}
        >>> after, _, restart = rule.apply(trained, rule.init(None, start), jnp.int32(10))
        >>> after["w"].tolist(), bool(restart)
        ([[1.0, 0.0]], True)

    Source: paper 002 (random pruning), Section 5.2 (Frankle and Carbin, "The Lottery Ticket Hypothesis", 2019).
    """
    _check_scope(scope)
    _check_every(every)
    if not 0 <= rewind_to < every:
        raise ValueError(f"rewind_to: {rewind_to} is out of range; allowed: [0, {every}), the updates of a level")

    def init(key: jax.Array, params: Any) -> Levels:
        return Levels(_everything(params), params)

    def prune(params: Any, state: Levels, t: jax.Array) -> tuple[Any, Levels]:
        share = (1 - jnp.asarray(prune_fraction, jnp.float32)) ** (t // every)
        kept = largest(held(params, state.masks), jnp.maximum(share, keep_fraction), scope, prunable)
        return held(state.start, kept), Levels(kept, state.start)

    def apply(params: Any, state: Levels, t: jax.Array) -> tuple[Any, Levels, Any]:
        t = jnp.asarray(t)
        if rewind_to:
            state = jax.lax.cond(t == rewind_to, lambda p, s: s._replace(start=p), lambda p, s: s, params, state)
        restart = (t > 0) & (t % every == 0)
        pruned, state = jax.lax.cond(restart, prune, lambda p, s, _: (held(p, s.masks), s), params, state, t)
        return pruned, state, restart

    return Constraint(init, apply, lambda params, state: state.masks)


def largest(scores: Any, keep_fraction: Any, scope: Scope = "layer", prunable: Prunable = weights) -> Any:
    r"""Masks of the entries of largest magnitude, :math:`\max(1, \lceil p N - \tfrac12 \rceil)` of each scope.

    Args:
        scores: tree of arrays, such as a network's weights.
        keep_fraction: p, (0, 1], or a tree of one for each leaf; may be traced.
        scope: as for `topk`.
        prunable: ``(path, leaf) -> bool``, which leaves are ranked; of all others everything is kept.

    Returns:
        Tree of boolean masks.

    Example:
        >>> import jax.numpy as jnp
        >>> largest({"w": jnp.array([[1.0, 4.0], [3.0, 2.0]])}, 0.5, scope="filter")["w"].tolist()
        [[False, True], [True, False]]
    """
    leaves, tree = jax.tree.flatten(scores)
    ranked = [i for i, chosen in enumerate(pruned_leaves(scores, prunable)) if chosen]
    found = jax.tree.leaves(_everything(scores))
    if scope == "network" and ranked:
        ends = np.cumsum([leaves[i].size for i in ranked])
        together = masks.magnitude(jnp.concatenate([leaves[i].reshape(-1) for i in ranked]), keep_fraction)
        rows = dict(zip(ranked, jnp.split(together, ends[:-1]), strict=True))
    else:
        given = jax.tree.leaves(keep_fraction)
        shares = given if len(given) == len(leaves) else given * len(leaves)
        rows = _by_layer({i: leaves[i] for i in ranked}, shares, scope)
    for i, row in rows.items():
        found[i] = row.reshape(leaves[i].shape)
    return jax.tree.unflatten(tree, found)


def _by_layer(layers: dict[int, jax.Array], shares: list[Any], scope: Scope) -> dict[int, jax.Array]:
    """Masks of each layer, or of its filters; layers of one size together, which compiles faster."""
    groups: dict[tuple[int, int], list[int]] = {}
    for i, w in layers.items():
        filters = 1 if scope == "layer" else w.shape[-1]
        groups.setdefault((w.size // filters, filters), []).append(i)
    found: dict[int, jax.Array] = {}
    for shape, group in groups.items():
        rows = jnp.stack([layers[i].reshape(shape) for i in group])
        share = jnp.stack([jnp.asarray(shares[i]) for i in group])
        kept = jax.vmap(jax.vmap(masks.magnitude, (-1, None), -1))(rows, share)
        found |= dict(zip(group, kept, strict=True))
    return found


def held(params: Any, kept: Any) -> Any:
    """The weights with those at zero that are not kept.

    Args:
        params: tree of arrays.
        kept: tree of masks.

    Returns:
        Tree of arrays.

    Example:
        >>> import jax.numpy as jnp
        >>> held({"w": jnp.array([1.0, 2.0])}, {"w": jnp.array([True, False])})["w"].tolist()
        [1.0, 0.0]
    """
    return jax.tree.map(lambda w, m: w * m.astype(w.dtype), params, kept)


def erdos_renyi(params: Any, keep_fraction: float | jax.Array, prunable: Prunable = weights) -> Any:
    r"""Densities of layers with which the network keeps a share of its weights.

    .. math:: p_l = \min\Bigl(1, \epsilon\, \frac{\sum_a n_{l,a}}{\prod_a n_{l,a}}\Bigr), \qquad
              \sum_l p_l N_l = p \sum_l N_l

    Args:
        params: tree of arrays; :math:`n_{l,a}` are the lengths of a leaf's axes.
        keep_fraction: p, (0, 1]; may be traced.
        prunable: ``(path, leaf) -> bool``, which leaves count.

    Returns:
        Tree of densities, scalars; 1 where a leaf is not pruned.

    Example:
        >>> import jax.numpy as jnp
        >>> [round(float(p), 3) for p in erdos_renyi([jnp.ones((4, 4)), jnp.ones((40, 40))], 0.1)]
        [0.918, 0.092]

    Source: Evci et al., "Rigging the Lottery" (2020), Section 3 (the Erdős–Rényi kernel).
    """
    leaves, tree = jax.tree.flatten(params)
    chosen = pruned_leaves(params, prunable)
    sizes = np.array([np.size(w) for w, c in zip(leaves, chosen, strict=True) if c], float)
    rates = np.array([sum(np.shape(w)) / np.size(w) for w, c in zip(leaves, chosen, strict=True) if c])
    # What is kept grows along straight lines between the ε at which another layer becomes dense.
    bends = np.concatenate([[0.0], np.sort(1 / rates)])
    kept = np.array([(np.minimum(1, bend * rates) * sizes).sum() for bend in bends])
    epsilon = jnp.interp(jnp.asarray(keep_fraction, jnp.float32) * sizes.sum(), jnp.asarray(kept), jnp.asarray(bends))
    found = iter(rates)
    return jax.tree.unflatten(tree, [jnp.minimum(1.0, epsilon * next(found)) if c else jnp.ones(()) for c in chosen])


def pruned_leaves(params: Any, prunable: Prunable = weights) -> list[bool]:
    """For each leaf of a tree, whether it is pruned.

    Args:
        params: tree of arrays.
        prunable: ``(path, leaf) -> bool``.

    Returns:
        In the order of ``jax.tree.leaves``.

    Example:
        >>> import numpy as np
        >>> pruned_leaves({"bias": np.ones(2), "kernel": np.ones((3, 2))})
        [False, True]
    """
    return [bool(prunable(path, leaf)) for path, leaf in zip(leaf_names(params), jax.tree.leaves(params), strict=True)]


def leaf_names(params: Any) -> list[str]:
    """The names on the way to each leaf of a tree, joined by "/".

    Args:
        params: tree of arrays.

    Returns:
        In the order of ``jax.tree.leaves``.

    Example:
        >>> leaf_names({"Dense_0": {"bias": 0, "kernel": 0}})
        ['Dense_0/bias', 'Dense_0/kernel']
    """
    paths = jax.tree_util.tree_flatten_with_path(params)[0]
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in paths]


def _uniform(key: jax.Array, params: Any) -> Any:
    """Numbers in [0, 1), a leaf's own, whatever other leaves there are."""
    leaves, tree = jax.tree.flatten(params)
    keys = [jax.random.fold_in(key, i) for i in range(len(leaves))]
    return jax.tree.unflatten(tree, [jax.random.uniform(k, jnp.shape(w)) for k, w in zip(keys, leaves, strict=True)])


def _everything(params: Any) -> Any:
    return jax.tree.map(lambda w: jnp.ones(jnp.shape(w), bool), params)


def _check_every(every: int) -> None:
    if every < 1:
        raise ValueError(f"every: {every} is out of range; allowed: [1, inf)")


def _check_scope(scope: str) -> None:
    if scope not in ("filter", "layer", "network"):
        raise ValueError(f"scope: {scope!r}; allowed: 'filter', 'layer', 'network'")
