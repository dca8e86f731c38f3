"""From a network, an optimiser and arrays to an Experiment that `sweep` can train."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from snljax import constraints
from snljax.experiment import Experiment, metric
from snljax.metrics import CLASS_ACCURACY, LEARNING
from snljax.supervised import arrays, batches, fit, system
from snljax.supervised.fields import config_class
from snljax.supervised.networks import network, parameters
from snljax.wording import nearest, shown

METRICS = {
    **LEARNING,
    "noisy_test_loss": metric(help="test loss, inputs as noisy as in training", unit="nats"),
    "noisy_test_accuracy": metric(help="test accuracy, inputs as noisy as in training"),
    "class_accuracy": CLASS_ACCURACY,
    "density": metric(help="share of the layer's weights that is kept", dims=("layer",)),
    "correct": metric(help="whether the training sample is classified as labelled", dims=("sample",)),
    "test_correct": metric(help="whether the test sample is classified correctly", dims=("test_sample",)),
}
_ON_REQUEST = ("correct", "test_correct")
_LOSSES = ("cross_entropy", "squared")


def supervised(
    model: Any,
    data: Any,
    *,
    optimizer: Callable[[Any], optax.GradientTransformation] | None = None,
    loss: str | Callable[[Any, Any], Any] | None = None,
    fields: Mapping[str, Any] | None = None,
    constraint: Callable[[Any], constraints.Constraint] | None = None,
    prunable: constraints.Prunable = constraints.weights,
    augment: Callable[..., Any] | None = None,
    select: Callable[[Any, Any, Any], Any] | None = None,
    weights: Callable[[Any, Any, Any], Any] | None = None,
    metrics: Iterable[str] | None = None,
    name: str = "supervised",
) -> Experiment:
    r"""An Experiment that trains any network on labelled samples.

    .. math:: \min_W \frac{\sum_i v_i\, \ell(f_W(x_i + \sigma_p \xi_i), y_i)}{\sum_i v_i} + \lambda\, R(W),
              \qquad W \leftarrow W \odot M

    With it come the fields ``learning_rate``, ``epochs`` or ``steps``, ``batch_size``, ``noise_std`` (:math:`\sigma_p`:
    each sample has one Gaussian noise per seed; bytes are divided by 255 first), ``fresh_noise``, ``label_noise``,
    ``train_fraction``, ``pruning`` ("none", "topk", "random", "magnitude", "erdos_renyi", "imp"), ``keep_fraction``,
    ``prune_every``, ``prune_scope``, ``prune_fraction``, ``rewind_to``, ``penalty`` ("none", "pegr", "fgr"),
    ``penalty_weight`` (:math:`\lambda`), ``close_at`` and ``measured``; ``snl.describe(experiment)`` says what each
    means. All networks of a seed start from the same weights and see the same batches, noise and augmentation.

    Args:
        model: a ``flax.linen`` module; a function of ``rngs`` that makes a ``flax.nnx`` module; a pair
            ``(init, apply)`` with ``init(key, x) -> params`` and ``apply(params, x) -> outputs``; or a function of the
            Config, or of it and the number of classes, that returns one of these (it reads static fields). x is a
            batch, outputs have shape (batch, classes), or (batch,) or (batch, outputs) for targets that are numbers.
            Running means and dropout of modules are taken care of.
        data: arrays ``(X, y, X_test, y_test)``, or a function of the Config that returns them. X of bytes or floats,
            samples first; y whole numbers 0, 1, … for classes, floats for targets that are numbers. A fifth entry is
            handed to ``weights``.
        optimizer: Config -> optax transformation, whose numbers may be fields; default ``optax.sgd(c.learning_rate)``.
        loss: ``"cross_entropy"``, ``"squared"``, or ``(output, target) -> scalar`` of one sample; the default is the
            first for classes and the second for numbers.
        fields: name -> default, or ``snl.field(...)``: fields of your own, and other defaults of those that come with
            it. Numbers and bools are traced; text is static.
        constraint: Config -> `constraints.Constraint`; default is what ``pruning`` says.
        prunable: ``(path, leaf) -> bool``: which leaves are pruned; default all of two axes or more but embeddings.
        augment: ``(key, inputs) -> inputs`` of a training batch, or ``(config, key, inputs) -> inputs``, in JAX.
        select: ``(config, ranks, more) -> (n,)`` bools, which training samples batches are made of: networks never see
            the others. All batches are whole ones, and ``epochs`` count as if nothing were left out. ranks and more as
            for ``weights``.
        weights: ``(config, ranks, more) -> (n,)``, weight of each training sample; ranks: its place in a random order,
            in (0, 1); more: the fifth entry of data. Default: 1 where its rank is below ``train_fraction``.
        metrics: names of what is measured; default all but ``correct`` and ``test_correct``, which are of each sample.
        name: for files and progress bars.

    Returns:
        The Experiment.

    Raises:
        ValueError: arrays, labels or outputs that do not fit each other, or unknown names, before anything is compiled.

    Example:
        >>> import flax.linen as nn, numpy as np, snljax as snl
        >>> X = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
        >>> y = (X[:, 0] > 0).astype(int)
        >>> own = supervised(nn.Dense(2), (X[:40], y[:40], X[40:], y[40:]), fields={"batch_size": 20})
        >>> ds = snl.sweep(snl.Grid(own, learning_rate=[0.1, 1.0], epochs=30), progress=False)
        >>> ds.test_accuracy.dims, bool((ds.test_accuracy > 0.8).all())
        (('learning_rate',), True)

    Source: none (an interface); noise on inputs and pruning as in paper 000, Appendix A.2, penalties as in paper 003.
    """
    given = dict(fields or {})
    measured = tuple(n for n in METRICS if n not in _ON_REQUEST) if metrics is None else tuple(metrics)
    if unknown := [n for n in measured if n not in METRICS]:
        raise ValueError(f"metrics: {shown(unknown[0])}; {nearest(unknown[0], METRICS)}allowed: {', '.join(METRICS)}")
    if isinstance(loss, str) and loss not in _LOSSES:
        raise ValueError(f"loss: {loss!r}; {nearest(loss, _LOSSES)}allowed: {', '.join(_LOSSES)}, or a function")
    pieces = system.Pieces(
        model=model,
        optimizer=optimizer or _descent,
        loss=loss,
        constraint=constraint,
        augment=None if augment is None else with_config(augment),
        select=select,
        weigh=weights or (_first_ranks if select is None else _alike),
        prunable=prunable,
        metrics=frozenset(measured),
    )
    if callable(data):
        read = functools.partial(_read, pieces, data)
    else:
        whole = arrays.checked(data)
        given.setdefault("batch_size", min(64, len(whole.x)))
        read = functools.partial(arrays.same, whole)
    seen = arrays.Seen(read, arrays.shapes)
    return Experiment(
        name=name,
        Config=config_class(name, given, without=() if weights is select is None else ("train_fraction",)),
        draw=functools.partial(system.draw, pieces),
        init=functools.partial(system.init, pieces),
        step=functools.partial(system.step, pieces),
        measure=functools.partial(system.measure, pieces),
        check=functools.partial(_check, pieces, seen, not callable(data)),
        data=read,
        metrics={n: METRICS[n] for n in METRICS if n in pieces.metrics},
        settle=functools.partial(_settled, seen),
    )


def _read(pieces: system.Pieces, data: Callable[[Any], Any], config: Any) -> arrays.Data:
    found = arrays.checked(data(config))
    _check_fit(pieces, config, found)
    return found


def _descent(config: Any) -> optax.GradientTransformation:
    return optax.sgd(config.learning_rate)


def with_config(augment: Callable[..., Any]) -> Callable[[Any, Any, Any], Any]:
    """A function of Config, key and inputs from one that may do without the Config."""
    needed = [p for p in parameters(augment).values() if p.default is p.empty]
    if len(needed) > 2:
        return augment
    return lambda config, key, x: augment(key, x)


def _first_ranks(config: Any, ranks: jax.Array, more: Any) -> jax.Array:
    return (ranks < config.train_fraction).astype(ranks.dtype)


def _alike(config: Any, ranks: jax.Array, more: Any) -> jax.Array:
    return jnp.ones_like(ranks)


def _settled(seen: arrays.Seen, config: Any) -> Any:
    """Steps from epochs; with steps given, epochs say nothing and are 0."""
    default = type(config)()
    if config.steps and config.epochs in (0, default.epochs):
        return dataclasses.replace(config, epochs=0.0)
    steps = _steps(config, seen(config))
    if config.steps in (0, default.steps, steps):
        return dataclasses.replace(config, steps=steps)
    raise ValueError(
        f"steps: {config.steps}, and epochs: {config.epochs:g}, which are {steps} steps; allowed: one of the two"
    )


def _steps(config: Any, data: arrays.Data) -> int:
    return round(config.epochs * batches.sizes(config.batch_size, len(data.x))[1])


def _check(pieces: system.Pieces, seen: arrays.Seen, at_once: bool, config: Any) -> None:
    """Whether fields fit each other, and where the samples are known, whether they fit network and optimiser."""
    needs = [("penalty_weight", "penalty", 0.0)]
    if pieces.constraint is None:
        needs.append(("keep_fraction", "pruning", 1.0))
    for name, other, off in needs:
        if (value := getattr(config, name)) != off and getattr(config, other) == "none":
            raise ValueError(f"{name}: {value:g} with {other} 'none'; allowed: another {other}, or {off:g}")
    fit.using("optimizer", config, lambda: pieces.optimizer(config))
    fit.using("constraint", config, lambda: system.constraint(pieces, config))
    if config.epochs and _steps(config, seen(config)) != config.steps:
        raise ValueError(
            f"epochs: {config.epochs:g} are {_steps(config, seen(config))} steps with batch_size {config.batch_size}, "
            f"and other networks of the grid train {config.steps}; allowed: steps, the same for all networks"
        )
    part = getattr(config, "train_fraction", 1) != 1
    if at_once or part:
        other = _check_fit(pieces, config, seen(config))
        if other != () and part:
            raise ValueError(
                f"train_fraction: {config.train_fraction:g} with a network that keeps running means, which "
                "samples left out would enter; allowed: 1"
            )


def _check_fit(pieces: system.Pieces, config: Any, data: arrays.Data) -> Any:
    """Whether samples and network fit each other, by their shapes; what the network keeps beside its parameters."""
    n, batch = len(data.x), config.batch_size
    if batch > n:
        raise ValueError(f"batch_size: {batch} is out of range; allowed: [1, {n}], the training samples")
    net = fit.using("model", config, lambda: network(pieces.model, config, len(data.tested)))
    samples = fit.two_of(data.x)
    outputs, other = fit.shapes_of("model", net, samples)
    _check_outputs(outputs, samples.shape[0], data)
    if other != () and config.penalty == "pegr":
        raise ValueError(
            "penalty: 'pegr' with a network that keeps running means, where a sample has no gradient of its own; "
            "allowed: 'none', 'fgr'"
        )
    return other


def _check_outputs(outputs: Any, count: int, data: arrays.Data) -> None:
    shape = getattr(outputs, "shape", None)
    classes = len(data.tested)
    allowed = [(count, classes)] if classes else [(count, *data.y.shape[1:]), (count, *data.y.shape[1:], 1)]
    if shape not in allowed:
        said = f"{classes} classes" if classes else f"targets of shape {data.y.shape[1:]}"
        raise ValueError(f"model: outputs of shape {shape} for {count} samples; allowed: {allowed[0]}, as y has {said}")
