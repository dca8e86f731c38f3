"""The pure functions of one network that learns from labelled samples, from the pieces that a user gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from snljax import constraints, losses
from snljax.measures import evaluation
from snljax.supervised import batches
from snljax.supervised.arrays import Data
from snljax.supervised.networks import network

# Metrics that targets which are numbers have not.
OF_CLASSES = {"train_accuracy", "test_accuracy", "noisy_test_accuracy", "class_accuracy", "correct", "test_correct"}


class Pieces(NamedTuple):
    """What an experiment is made of.

    Args:
        model: as for `networks.network`.
        optimizer: Config -> optax transformation.
        loss: "cross_entropy", "squared", (output, target) -> scalar of one sample, or None for one of the first two.
        constraint: Config -> Constraint; None for what the field ``pruning`` says.
        augment: (Config, key, inputs) -> inputs, or None.
        weigh: (Config, ranks, more) -> weight of each training sample.
        select: (Config, ranks, more) -> which training samples batches are made of, or None for all.
        prunable: (path, leaf) -> whether it is pruned.
        metrics: those that are measured.
    """

    model: Any
    optimizer: Callable[[Any], optax.GradientTransformation]
    loss: str | Callable[[Any, Any], Any] | None
    constraint: Callable[[Any], constraints.Constraint] | None
    augment: Callable[[Any, jax.Array, jax.Array], jax.Array] | None
    weigh: Callable[[Any, jax.Array, Any], jax.Array]
    select: Callable[[Any, jax.Array, Any], jax.Array] | None
    prunable: constraints.Prunable
    metrics: frozenset[str]


class Draw(NamedTuple):
    """What the networks of a seed share.

    params, other: as they start. key: of noise, masks, dropout and augmentation. orders: of the samples, as `batches`
    has them. ranks: of each sample in a random order, in (0, 1), (n,). flip: (n,), a label is wrong where it is below
    ``label_noise``. wrong: (n,), what it then is. The last two are None for targets that are numbers.
    """

    params: Any
    other: Any
    key: jax.Array
    orders: jax.Array
    ranks: jax.Array
    flip: jax.Array | None
    wrong: jax.Array | None


class State(NamedTuple):
    """params, other: of the network. descent: of the optimiser. held: of the constraint.

    early: ``other`` as it was after ``rewind_to`` steps; () where nothing goes back to it.
    """

    params: Any
    other: Any
    descent: Any
    held: Any
    early: Any


class Metrics(NamedTuple):
    """What is measured; None where it was not asked for, or has no meaning.

    Training losses are of the samples that are trained on, with their noise and their labels as given.
    """

    train_loss: jax.Array | None
    test_loss: jax.Array | None
    train_accuracy: jax.Array | None
    test_accuracy: jax.Array | None
    noisy_test_loss: jax.Array | None
    noisy_test_accuracy: jax.Array | None
    class_accuracy: jax.Array | None
    density: jax.Array | None
    correct: jax.Array | None
    test_correct: jax.Array | None


def inputs(x: Any) -> jax.Array:
    """Samples as networks see them: bytes divided by 255."""
    x = jnp.asarray(x)
    return x.astype(jnp.zeros(()).dtype) / 255.0 if x.dtype == jnp.uint8 else x.astype(jnp.zeros(()).dtype)


def constraint(pieces: Pieces, config: Any) -> constraints.Constraint:
    """The user's, or what the field ``pruning`` says."""
    if pieces.constraint is not None:
        return pieces.constraint(config)
    share, scope, prunable = config.keep_fraction, config.prune_scope, pieces.prunable
    if config.pruning == "none":
        return constraints.none()
    if config.pruning == "topk":
        return constraints.topk(share, every=config.prune_every, scope=scope, prunable=prunable)
    if config.pruning == "imp":
        return constraints.imp(
            share,
            every=config.prune_every,
            prune_fraction=config.prune_fraction,
            rewind_to=config.rewind_to,
            scope=scope,
            prunable=prunable,
        )
    return constraints.at_init(share, by=config.pruning, scope=scope, prunable=prunable)


def draw(pieces: Pieces, config: Any, key: jax.Array, data: Data) -> Draw:
    """All that is random."""
    weight_key, order_key, label_key, other_key = jax.random.split(key, 4)
    n = len(data.x)
    params, other = network(pieces.model, config, len(data.tested)).init(weight_key, inputs(data.x[:1]))
    orders = batches.random_orders(order_key, n, batches.ORDERS + 1)
    flip = wrong = None
    if classes := len(data.tested):
        flip_key, wrong_key = jax.random.split(label_key)
        flip = jax.random.uniform(flip_key, (n,))
        # Another class, each as likely.
        wrong = (jnp.asarray(data.y) + jax.random.randint(wrong_key, (n,), 1, classes)) % classes
    return Draw(params, other, other_key, orders[:-1], (orders[-1] + 0.5) / n, flip, wrong)


def init(pieces: Pieces, config: Any, draw: Draw, data: Data) -> State:
    """The network before the first update."""
    held = constraint(pieces, config).init(jax.random.fold_in(draw.key, 0), draw.params)
    early = draw.other if _rewinds(pieces, config) else ()
    return State(draw.params, draw.other, pieces.optimizer(config).init(draw.params), held, early)


def _rewinds(pieces: Pieces, config: Any) -> bool:
    """Whether levels go back to weights after some steps; else they go back to the first ones, if at all."""
    return pieces.constraint is None and config.pruning == "imp" and config.rewind_to > 0


def step(pieces: Pieces, config: Any, draw: Draw, state: State, t: jax.Array, data: Data) -> State:
    """Pruning, and then one update on the next batch."""
    params, held, restart = constraint(pieces, config).apply(state.params, state.held, t)
    descent, other, early, rewinds = state.descent, state.other, state.early, _rewinds(pieces, config)
    if rewinds:
        early = jax.lax.cond(t == config.rewind_to, lambda now, then: now, lambda now, then: then, other, early)
    if restart is not False:
        begun = pieces.optimizer(config).init(params), early if rewinds else draw.other
        descent, other = jax.lax.cond(restart, lambda old, new: new, lambda old, new: old, (descent, other), begun)
    size, in_epoch, last = batches.sizes(config.batch_size, len(data.x))

    def on(count: int) -> Callable[..., Any]:
        return lambda params, other: _gradient(pieces, config, draw, params, other, t, count, data)

    if last == size or pieces.select is not None:
        gradient, other = on(size)(params, other)
    else:  # a shorter batch costs what it holds
        short = t % in_epoch == in_epoch - 1
        gradient, other = jax.lax.cond(short, on(last), on(size), params, other)
    updates, descent = pieces.optimizer(config).update(gradient, descent, params)
    return State(optax.apply_updates(params, updates), other, descent, held, early)


def rows_of(pieces: Pieces, config: Any, draw: Draw, t: jax.Array, count: int, data: Data) -> jax.Array:
    """Which samples step t takes, the same for all networks of a seed unless they are chosen by a swept number."""
    size, in_epoch, _ = batches.sizes(config.batch_size, len(data.x))
    if pieces.select is None:
        return batches.of_all(draw.orders, t, size, in_epoch, count)
    return batches.of_chosen(draw.orders, pieces.select(config, draw.ranks, data.more), t, size)


def weights(pieces: Pieces, config: Any, draw: Draw, data: Data) -> jax.Array:
    """Of the training samples; 0 of those that are not selected."""
    given = pieces.weigh(config, draw.ranks, data.more)
    if pieces.select is None:
        return given
    return jnp.where(pieces.select(config, draw.ranks, data.more), given, 0.0)


def _gradient(
    pieces: Pieces, config: Any, draw: Draw, params: Any, other: Any, t: jax.Array, count: int, data: Data
) -> tuple[Any, Any]:
    """Of the training loss on a batch; and what the network changed beside its parameters."""
    net, rows = network(pieces.model, config, len(data.tested)), rows_of(pieces, config, draw, t, count, data)
    _, in_epoch, _ = batches.sizes(config.batch_size, len(data.x))
    x = noisy(config, draw, data.x[rows], rows, train=True, epoch=t // in_epoch)
    key = jax.random.fold_in(jax.random.fold_in(draw.key, 3), t)
    if pieces.augment is not None:
        x = pieces.augment(config, jax.random.fold_in(key, 0), x)
    targets = labels(config, draw, data, rows)
    weight = weights(pieces, config, draw, data)[rows]
    total = jnp.where(jnp.sum(weight) > 0, jnp.sum(weight), 1.0)  # a batch of which nothing is left teaches nothing

    def loss(params: Any) -> tuple[jax.Array, Any]:
        outputs, changed = net.apply(params, other, x, jax.random.fold_in(key, 1), True)
        return jnp.sum(weight * _losses(pieces, outputs, targets, len(data.tested))) / total, changed

    def of_one(params: Any, x: jax.Array, target: jax.Array, own: jax.Array) -> jax.Array:
        outputs, _ = net.apply(params, other, x[None], jax.random.fold_in(key, 1), True)
        return jnp.sqrt(own) * _losses(pieces, outputs, target[None], len(data.tested))[0]

    def penalised(params: Any) -> tuple[jax.Array, Any]:
        value, changed = loss(params)
        if config.penalty == "pegr":
            own = losses.per_example_gradient_penalty(of_one, params, x, targets, weight) * count / total
        else:
            own = losses.squared_norm(jax.grad(lambda p: loss(p)[0])(params))
        return value + config.penalty_weight * own, changed

    if config.penalty == "none":
        return jax.grad(loss, has_aux=True)(params)
    is_open = t < config.close_at * in_epoch
    return jax.lax.cond(is_open, jax.grad(penalised, has_aux=True), jax.grad(loss, has_aux=True), params)


def noisy(config: Any, draw: Draw, x: Any, rows: jax.Array, train: bool, epoch: int | jax.Array = 0) -> jax.Array:
    """Samples as networks see them, each with its own noise, for all networks of a seed the same.

    Where noise is fresh it is another in each epoch of training; what is measured has that of the first.
    """
    clean = inputs(x)
    key = jax.random.fold_in(draw.key, 1 if train else 2)
    if train and config.fresh_noise:
        key = jax.random.fold_in(key, epoch)

    def add(x: jax.Array) -> jax.Array:
        normal = jax.vmap(lambda row: jax.random.normal(jax.random.fold_in(key, row), clean.shape[1:]))(rows)
        return x + config.noise_std * normal

    return jax.lax.cond(jnp.asarray(config.noise_std) > 0, add, lambda x: x, clean)


def labels(config: Any, draw: Draw, data: Data, rows: jax.Array) -> jax.Array:
    """What some training samples are said to be."""
    given = jnp.asarray(data.y)[rows]
    if draw.flip is None or draw.wrong is None:
        return given.astype(jnp.zeros(()).dtype)
    return jnp.where(draw.flip[rows] < config.label_noise, draw.wrong[rows], given)


def measure(pieces: Pieces, config: Any, draw: Draw, state: State, data: Data) -> Metrics:
    """The network as it would be pruned now, on as many training samples as are asked for and on the whole test set."""
    net, rule = network(pieces.model, config, len(data.tested)), constraint(pieces, config)
    kept = rule.masks(state.params, state.held)
    params = constraints.held(state.params, kept)
    wanted, classes = pieces.metrics, len(data.tested)

    def outputs(noise: str | None, x: Any, rows: jax.Array) -> jax.Array:
        seen = inputs(x) if noise is None else noisy(config, draw, x, rows, train=noise == "train")
        return net.apply(params, state.other, seen, None, False)[0]

    def means(noise: str | None, x: Any, targets: Any, weights: jax.Array) -> tuple[jax.Array, ...]:
        """Loss, hits and hits of each class, weighted."""

        def each(samples: Any) -> tuple[jax.Array, ...]:
            x, rows, target, weight = samples
            found = outputs(noise, x, rows)
            hit = weight * _hits(found, target) if classes else jnp.zeros(len(found))
            of_class = hit[:, None] * jax.nn.one_hot(target, classes) if classes else hit
            return weight * _losses(pieces, found, target, classes), hit, of_class

        return evaluation.chunked_mean(each, (x, jnp.arange(len(x)), targets, weights), chunk(x))

    def correct(noise: str | None, x: Any, targets: Any) -> jax.Array:
        samples = x, jnp.arange(len(x)), jnp.asarray(targets)
        return evaluation.per_sample(lambda s: _hits(outputs(noise, s[0], s[1]), s[2]), samples, chunk(x))

    def given(n: int) -> jax.Array:
        return labels(config, draw, data, jnp.arange(n))

    found: dict[str, Any] = {}
    if wanted & {"train_loss", "train_accuracy"}:
        n = min(config.measured, len(data.x))
        weight = weights(pieces, config, draw, data)[:n]
        loss, hit, _ = means("train", data.x[:n], given(n), weight)
        share = jnp.where(jnp.sum(weight) > 0, jnp.sum(weight), jnp.nan) / n  # nothing was trained on
        found |= {"train_loss": loss / share, "train_accuracy": hit / share}
    tests = len(data.x_test)
    if wanted & {"test_loss", "test_accuracy", "class_accuracy"}:
        loss, hit, of_class = means(None, data.x_test, data.y_test, jnp.ones(tests))
        found |= {"test_loss": loss, "test_accuracy": hit, "class_accuracy": of_class * tests / data.tested}
    if wanted & {"noisy_test_loss", "noisy_test_accuracy"}:
        loss, hit, _ = means("test", data.x_test, data.y_test, jnp.ones(tests))
        found |= {"noisy_test_loss": loss, "noisy_test_accuracy": hit}
    if "correct" in wanted:
        found["correct"] = correct("train", data.x, given(len(data.x)))
    if "test_correct" in wanted:
        found["test_correct"] = correct(None, data.x_test, data.y_test)
    chosen = constraints.pruned_leaves(params, pieces.prunable)
    if any(chosen):
        masks = [m for m, c in zip(jax.tree.leaves(kept), chosen, strict=True) if c]
        found["density"] = jnp.stack([jnp.mean(m.astype(jnp.zeros(()).dtype)) for m in masks])
    said = wanted if classes else wanted - OF_CLASSES
    return Metrics(**{name: found.get(name) if name in said else None for name in Metrics._fields})


def chunk(x: Any) -> int:
    """Samples at a time when a network is measured: few enough for what lies between its layers to stay in caches."""
    return max(1, min(1000, 50_000 // max(1, x[0].size)))


def _hits(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    return (jnp.argmax(outputs, axis=-1) == targets).astype(outputs.dtype)


def _losses(pieces: Pieces, outputs: jax.Array, targets: jax.Array, classes: int) -> jax.Array:
    """Of each sample."""
    if not classes and outputs.ndim == targets.ndim + 1:
        outputs = outputs[..., 0]
    if callable(pieces.loss):
        return jax.vmap(pieces.loss)(outputs, targets)
    if classes:
        targets = jax.nn.one_hot(targets, classes, dtype=outputs.dtype)
    if pieces.loss == "squared" or not classes:
        return jnp.sum((outputs - targets).reshape(len(outputs), -1) ** 2, axis=1)
    return losses.cross_entropy(outputs, targets)
