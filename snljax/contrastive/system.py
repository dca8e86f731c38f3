"""Contrastive learning of any encoder as the pure functions of one network that the engine trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from snljax import constraints, losses
from snljax.contrastive import pruning
from snljax.data import long_tail
from snljax.measures import alignment, evaluation, probe
from snljax.measures.long_tail import ends
from snljax.supervised import batches
from snljax.supervised.arrays import Data
from snljax.supervised.networks import Network, network
from snljax.supervised.system import chunk, inputs

LOSS_BATCHES = 4  # that the training loss is the mean over
PROBES = {"ridge": probe.ridge, "logistic": probe.logistic}


class Pieces(NamedTuple):
    """What an experiment is made of.

    Args:
        encoder, head: as for `networks.network`; without a head embeddings are the encoder's features.
        optimizer: Config -> optax transformation.
        views: (Config, key, inputs) -> one view of each sample.
        prunable: (path, leaf) -> whether it is pruned.
    """

    encoder: Any
    head: Any
    optimizer: Callable[[Any], optax.GradientTransformation]
    views: Callable[[Any, jax.Array, jax.Array], jax.Array]
    prunable: constraints.Prunable


class Parts(NamedTuple):
    """Something of the encoder, and the same of the head."""

    encoder: Any
    head: Any


class Draw(NamedTuple):
    """What the networks of a seed share.

    params, other: as they start. key: of views, masks and dropout. orders: of the samples, as `batches` has them.
    tail: place of each class from head (0) to tail, (classes,). places: of each sample in its class, (n,).
    """

    params: Parts
    other: Parts
    key: jax.Array
    orders: jax.Array
    tail: jax.Array
    places: jax.Array


class State(NamedTuple):
    """params, other: of the network. descent: of the optimiser. kept: masks; () where nothing is pruned."""

    params: Parts
    other: Parts
    descent: Any
    kept: Any


class Metrics(NamedTuple):
    """The network without its mask.

    train_loss, alignment, uniformity: of views of training samples, the same ones at each record. test_accuracy,
    class_accuracy: of a linear probe of the features. head_accuracy, tail_accuracy: means over the 20 % of the classes
    that are most and least frequent; head_tail_gap: Δ₂₀, the one minus the other. class_size: samples of each class
    that are trained on. density: share that the mask keeps; None where there is none.
    """

    train_loss: jax.Array
    alignment: jax.Array
    uniformity: jax.Array
    test_accuracy: jax.Array
    class_accuracy: jax.Array
    head_accuracy: jax.Array
    tail_accuracy: jax.Array
    head_tail_gap: jax.Array
    class_size: jax.Array
    density: jax.Array | None


def networks(pieces: Pieces, config: Any, classes: int) -> Parts:
    """Encoder and head as `Network`; without a head one that hands on what it gets."""
    nothing = Network(lambda key, x: ((), ()), lambda params, other, x, key, train: (x, other))
    head = nothing if pieces.head is None else network(pieces.head, config, classes)
    return Parts(network(pieces.encoder, config, classes), head)


def draw(pieces: Pieces, config: Any, key: jax.Array, data: Data) -> Draw:
    """All that is random."""
    encoder_key, head_key, order_key, tail_key, other_key = jax.random.split(key, 5)
    nets, x = networks(pieces, config, len(data.tested)), inputs(data.x[:1])
    encoder, encoder_other = nets.encoder.init(encoder_key, x)
    features, _ = nets.encoder.apply(encoder, encoder_other, x, None, False)
    head, head_other = nets.head.init(head_key, features)
    n = len(data.x)
    tail = long_tail.draw(tail_key, n, len(data.tested))
    return Draw(
        Parts(encoder, head),
        Parts(encoder_other, head_other),
        other_key,
        batches.random_orders(order_key, n),
        tail.order,
        long_tail.places(data.y, tail.ranks),
    )


def init(pieces: Pieces, config: Any, draw: Draw, data: Data) -> State:
    """The network before the first update; nothing is masked."""
    kept = () if config.pruning == "none" else jax.tree.map(lambda w: jnp.ones(jnp.shape(w), bool), draw.params)
    return State(draw.params, draw.other, pieces.optimizer(config).init(draw.params), kept)


def class_sizes(config: Any, draw: Draw, data: Data) -> jax.Array:
    """Samples of each class that are trained on, (classes,)."""
    classes = len(data.tested)
    smallest = jnp.min(jnp.zeros(classes, jnp.int32).at[data.y].add(1))
    return long_tail.counts(smallest, classes, config.imbalance_ratio)[draw.tail]


def chosen(config: Any, draw: Draw, data: Data) -> jax.Array:
    """Which samples are trained on, (n,), bool."""
    return draw.places < class_sizes(config, draw, data)[data.y]


def embed(nets: Parts, params: Parts, other: Parts, x: jax.Array, key: Any, train: bool) -> tuple[jax.Array, Parts]:
    """Embeddings of a batch, and what the networks changed beside their parameters."""
    features, encoder_other = nets.encoder.apply(params.encoder, other.encoder, x, key, train)
    found, head_other = nets.head.apply(params.head, other.head, features, key, train)
    return found, Parts(encoder_other, head_other)


def pairs(pieces: Pieces, config: Any, draw: Draw, t: jax.Array, data: Data) -> tuple[jax.Array, jax.Array]:
    """Both views of the samples of step t."""
    rows = batches.of_chosen(draw.orders, chosen(config, draw, data), t, config.batch_size)
    x, key = inputs(data.x[rows]), jax.random.fold_in(draw.key, t)
    first, second = (pieces.views(config, jax.random.fold_in(key, i), x) for i in (0, 1))
    return first, second


def next_masks(pieces: Pieces, config: Any, draw: Draw, state: State, t: jax.Array) -> Any:
    """The masks for update t: new ones where t is a pruning, else those of the state."""
    if config.pruning == "none":
        return ()
    whole = config.pruning == "neurons"
    of = pruning.of_neurons if whole else pruning.of_weights

    def fresh(params: Parts) -> Any:
        scores = params
        if config.prune_by == "random":
            key = jax.random.fold_in(jax.random.fold_in(draw.key, 2**31 - 1), t)
            scores = pruning.random_scores(key, params, whole)
        return of(scores, 1 - config.prune_fraction, config.prune_scope, pieces.prunable)

    since = t - config.first_prune
    due = (since >= 0) & (since % config.prune_every == 0)
    return lax.cond(due, fresh, lambda _: state.kept, state.params)


def step(pieces: Pieces, config: Any, draw: Draw, state: State, t: jax.Array, data: Data) -> State:
    """Masks, and then one update of all weights on the next batch of pairs."""
    kept = next_masks(pieces, config, draw, state, t)
    views = pairs(pieces, config, draw, t, data)
    key = jax.random.fold_in(jax.random.fold_in(draw.key, t), 2)
    nets = networks(pieces, config, len(data.tested))
    gradient, other = jax.grad(objective, argnums=1, has_aux=True)(
        (nets, config), state.params, state.other, kept, views, key
    )
    updates, descent = pieces.optimizer(config).update(gradient, state.descent, state.params)
    return State(optax.apply_updates(state.params, updates), other, descent, kept)


def objective(
    of: tuple[Parts, Any], params: Parts, other: Parts, kept: Any, views: tuple[jax.Array, jax.Array], key: Any
) -> tuple[jax.Array, Parts]:
    r"""A scalar whose gradient is that of the training loss, or eq. 5; no gradient flows through the second view.

    Running means are those of the whole network on the first view and, where it embeds that too, the second: under a
    mask a filter is constant, and means over it would say nothing of the network that is measured.

    Args:
        of: encoder and head, Config. params, other, kept: as in `State`. views: of each sample, (K, ...) each.
        key: of dropout.

    Returns:
        The scalar, and what the networks changed beside their parameters.

    Source: paper 004 (contrastive learning under imbalance), eq. 1, 2 and 5, Algorithm 1.
    """
    nets, config = of
    keys = [jax.random.fold_in(key, i) for i in (0, 1)]

    def see(params: Parts, other: Parts, view: int) -> tuple[jax.Array, Parts]:
        given = lax.stop_gradient(params) if view else params
        return embed(nets, given, other, views[view], keys[view], True)

    masked = constraints.held(params, kept) if config.pruning != "none" else params
    whole_first = config.pruning == "none" or config.prune_views == "second" or config.mask_gradient == "logits"
    whole_second = config.pruning == "none" or config.mask_gradient == "logits"
    first, after = see(params if whole_first else masked, other, 0)
    second, later = see(params if whole_second else masked, after if whole_second else other, 1)
    if whole_second:
        after = later
    elif not whole_first and other != Parts((), ()):
        after = embed(nets, lax.stop_gradient(params), other, views[0], keys[0], True)[1]
    if config.pruning == "none" or config.mask_gradient == "literal":
        loss = jnp.mean(losses.info_nce(first, second, None, config.temperature, config.similarity))
        return loss, after
    seen = first if config.prune_views == "second" else see(masked, other, 0)[0]
    weights = jax.nn.softmax(_similarities(config, seen, see(masked, other, 1)[0]), axis=1)
    full = _similarities(config, first, second)
    return jnp.mean(jnp.sum(lax.stop_gradient(weights) * full, axis=1) - jnp.diagonal(full)), after


def _similarities(config: Any, first: jax.Array, second: jax.Array) -> jax.Array:
    return losses.similarities(first, second, config.similarity) / config.temperature


def measure(pieces: Pieces, config: Any, draw: Draw, state: State, data: Data) -> Metrics:
    """The network without its mask: its loss, and what a linear probe reads in its features."""
    nets = networks(pieces, config, len(data.tested))
    on_pairs = _on_pairs(pieces, config, draw, state, data)

    def features(x: Any) -> jax.Array:
        def of(x: Any) -> jax.Array:
            return nets.encoder.apply(state.params.encoder, state.other.encoder, inputs(x), None, False)[0]

        return evaluation.per_sample(of, x, chunk(x))

    rows = draw.orders[0][: config.probe_samples]
    own = chosen(config, draw, data)[rows] if config.probe_on == "trained" else jnp.ones(len(rows))
    classes, labels = len(data.tested), jnp.asarray(data.y)[rows]
    targets = jax.nn.one_hot(labels, classes)
    known = features(jnp.asarray(data.x)[rows])
    fitted = PROBES[config.probe](known, targets, own.astype(known.dtype), config.probe_decay)
    hits = probe.accuracy(fitted, features(data.x_test), jnp.asarray(data.y_test))
    sizes = class_sizes(config, draw, data)
    hits = jnp.where(jnp.min(sizes) > 0, hits, jnp.nan)  # no long tail, but classes left out
    of_class = jnp.zeros(classes).at[data.y_test].add(hits) / data.tested
    head, tail = ends(of_class, draw.tail)
    chosen_leaves = constraints.pruned_leaves(state.params, pieces.prunable)
    density = None
    if config.pruning != "none":
        masks = [m for m, c in zip(jax.tree.leaves(state.kept), chosen_leaves, strict=True) if c]
        density = jnp.stack([jnp.mean(m.astype(jnp.zeros(()).dtype)) for m in masks])
    return Metrics(
        *on_pairs, jnp.mean(hits), of_class, head, tail, head - tail, sizes.astype(jnp.zeros(()).dtype), density
    )


def _on_pairs(
    pieces: Pieces, config: Any, draw: Draw, state: State, data: Data
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """InfoNCE, mean squared distance of positive pairs and uniformity, means over the first batches' views."""
    nets = networks(pieces, config, len(data.tested))

    def one(t: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        views = pairs(pieces, config, draw, t, data)
        first, second = (embed(nets, state.params, state.other, x, None, False)[0] for x in views)
        loss = jnp.mean(losses.info_nce(first, second, None, config.temperature, config.similarity))
        return loss, alignment.positive_distance(first, second), alignment.uniformity(first)

    found = lax.map(one, jnp.arange(LOSS_BATCHES))
    return jax.tree.map(jnp.mean, found)
