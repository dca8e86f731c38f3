"""From an encoder, a head and arrays to an Experiment of contrastive learning that `sweep` can train."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from snljax import constraints
from snljax.contrastive import pruning, system
from snljax.contrastive.fields import OWN
from snljax.data import long_tail, views
from snljax.experiment import Experiment, metric
from snljax.metrics import CLASS_ACCURACY, LEARNING
from snljax.supervised import arrays, fit
from snljax.supervised.door import with_config
from snljax.supervised.fields import config_class

METRICS = {
    "train_loss": metric(help="InfoNCE on training pairs", unit="nats"),
    "alignment": metric(help="mean squared distance of positive pairs"),
    "uniformity": metric(help="logarithm of the mean Gaussian potential of pairs"),
    "test_accuracy": LEARNING["test_accuracy"],
    "class_accuracy": CLASS_ACCURACY,
    "head_accuracy": metric(help="test accuracy of the 20 % most frequent classes"),
    "tail_accuracy": metric(help="test accuracy of the 20 % rarest classes"),
    "head_tail_gap": metric(symbol=r"$\Delta_{20}$", help="head accuracy minus tail accuracy"),
    "class_size": metric(help="samples of the class that are trained on", dims=("class",)),
    "density": metric(help="share of the layer's weights that the mask keeps", dims=("layer",)),
}


def contrastive(
    encoder: Any,
    data: Any,
    *,
    head: Any = None,
    views: Callable[..., Any] | None = None,
    optimizer: Callable[[Any], optax.GradientTransformation] | None = None,
    fields: Mapping[str, Any] | None = None,
    prunable: constraints.Prunable = pruning.encoder_weights,
    name: str = "contrastive_images",
) -> Experiment:
    r"""An Experiment that trains any encoder on pairs of views, and reads its features with a linear probe.

    .. math:: \min_\theta -\frac1K \sum_k \log \frac{e^{S(f_k, g_k)/\tau}}{\sum_s e^{S(f_k, g_s)/\tau}},
              \qquad f_k = f_{\theta \odot M}(v_1(x_k)), \quad g_k = \mathrm{StopGrad}\, f_{\theta \odot M}(v_2(x_k))

    With it come the fields ``learning_rate``, ``momentum``, ``weight_decay``, ``steps``, ``batch_size``,
    ``temperature`` (:math:`\tau`), ``similarity``, ``imbalance_ratio`` (:math:`\rho`: a class keeps :math:`n_{\max}
    \rho^{-j/(C-1)}` samples, where its place j is drawn by the seed; labels serve nothing else while it trains), views
    (``augment_strength``, ``crop_smallest``, ``noise_std``), masks (``pruning``, ``prune_fraction``, ``prune_by``,
    ``prune_views``, ``prune_scope``, ``first_prune``, ``prune_every``, ``mask_gradient``) and the probe (``probe``,
    ``probe_decay``, ``probe_on``, ``probe_samples``); ``snl.describe(experiment)`` says what each means. All networks
    of a seed start from the same weights; those of one ρ see the same views.

    Pruning of single weights on the second view only, with a mask for each epoch, is that of SDCLR; pruning of neurons
    on both views is Algorithm 1 of paper 004. All weights are updated, whatever is masked, and what is measured is the
    network without its mask.

    Args:
        encoder: as ``model`` of `supervised`; its outputs have shape (batch, features).
        data: arrays ``(X, y, X_test, y_test)``, y classes 0, 1, …, or a function of the Config that returns them.
        head: likewise, from features to embeddings (batch, m); default none: embeddings are the features.
        views: ``(key, inputs) -> inputs`` or ``(config, key, inputs) -> inputs``, one view of each sample, in JAX,
            called twice. Default for images of one or three channels: crop, flip, colour jitter and grey as in SimCLR,
            and noise (`data.views`).
        optimizer: Config -> optax transformation; default ``weight_decay`` and descent with ``momentum``.
        fields: name -> default, or ``snl.field(...)``: fields of your own, and other defaults of those that come with
            it.
        prunable: ``(path, leaf) -> bool``: which leaves are pruned; paths begin with ``encoder/`` or ``head/``. Default
            all weights of the encoder.
        name: for files and progress bars.

    Returns:
        The Experiment.

    Raises:
        ValueError: arrays or outputs that do not fit each other, or a subset smaller than a batch, before anything is
            compiled.

    Example:
        >>> import flax.linen as nn, numpy as np, snljax as snl
        >>> X = np.random.default_rng(0).random((60, 8, 8, 1), dtype="float32")
        >>> encoder = nn.Sequential([lambda x: x.reshape(len(x), -1), nn.Dense(16), nn.relu])
        >>> y = np.arange(60) % 2
        >>> own = contrastive(encoder, (X[:40], y[:40], X[40:], y[40:]), fields={"batch_size": 10})
        >>> ds = snl.sweep(snl.Grid(own, imbalance_ratio=[1, 4], steps=2), progress=False)
        >>> ds.class_size.values.sum(axis=-1).tolist()
        [40.0, 25.0]

    Source: paper 004 (contrastive learning under imbalance), eq. 1, 2 and 5, Algorithm 1, Table 2; Jiang et al.,
    "Self-Damaging Contrastive Learning" (2021).
    """
    pieces = system.Pieces(
        encoder=encoder,
        head=head,
        optimizer=optimizer or descent,
        views=simclr if views is None else with_config(views),
        prunable=prunable,
    )
    given = dict(fields or {})
    if callable(data):
        read = functools.partial(_read, data)
    else:
        whole = arrays.checked(data)
        given.setdefault("batch_size", min(128, len(whole.x)))
        read = functools.partial(arrays.same, whole)
    seen = arrays.Seen(read, _known)
    return Experiment(
        name=name,
        Config=config_class(name, given, own=OWN),
        draw=functools.partial(system.draw, pieces),
        init=functools.partial(system.init, pieces),
        step=functools.partial(system.step, pieces),
        measure=functools.partial(system.measure, pieces),
        check=functools.partial(check, pieces, seen, views is None),
        data=read,
        metrics=METRICS,
    )


def descent(config: Any) -> optax.GradientTransformation:
    """Stochastic gradient descent with momentum, after weight decay."""
    decay = optax.add_decayed_weights(config.weight_decay)
    return optax.chain(decay, optax.sgd(config.learning_rate, momentum=config.momentum))


def simclr(config: Any, key: jax.Array, x: jax.Array) -> jax.Array:
    """One view of images as SimCLR makes it, with noise."""
    seen = views.simclr(key, x, strength=config.augment_strength, smallest=config.crop_smallest)
    return views.noise(jax.random.fold_in(key, 2**31 - 1), seen, config.noise_std)


class Known(NamedTuple):
    """What is known of an experiment's data. shapes: of its arrays. smallest: samples of its smallest class."""

    shapes: arrays.Data
    smallest: int


def _known(data: arrays.Data) -> Known:
    if not len(data.tested):
        raise ValueError(f"y: numbers of shape {data.y.shape[1:]}; allowed: classes 0, 1, …")
    return Known(arrays.shapes(data), int(np.bincount(data.y, minlength=len(data.tested)).min()))


def _read(data: Callable[[Any], Any], config: Any) -> arrays.Data:
    return arrays.checked(data(config))


def check(pieces: system.Pieces, seen: Callable[[Any], Known], own_views: bool, config: Any) -> None:
    """Whether fields fit each other, the samples, and the networks."""
    for name in ("prune_fraction", "prune_by", "prune_views", "mask_gradient"):
        value, off = getattr(config, name), OWN[name][1].default
        if value != off and config.pruning == "none":
            raise ValueError(f"{name}: {value} with pruning 'none'; allowed: another pruning, or {off}")
    fit.using("optimizer", config, lambda: pieces.optimizer(config))
    data, smallest = seen(config)
    classes = len(data.tested)
    if config.imbalance_ratio > smallest:
        raise ValueError(
            f"imbalance_ratio: {config.imbalance_ratio:g} is out of range; allowed: [1, {smallest}], the samples of "
            "the smallest class"
        )
    left = int(long_tail.counts(smallest, classes, config.imbalance_ratio).sum())
    if config.batch_size > left:
        raise ValueError(
            f"batch_size: {config.batch_size} is out of range; allowed: [2, {left}], the samples that an "
            f"imbalance_ratio of {config.imbalance_ratio:g} leaves"
        )
    shape: tuple[int, ...] = data.x.shape[1:]
    if own_views and (len(shape) != 3 or shape[2] not in (1, 3)):
        raise ValueError(
            f"views: none for samples of shape {shape}; allowed: a function, or images "
            "(height, width, channels) of one or three channels"
        )
    nets = fit.using("encoder", config, lambda: system.networks(pieces, config, classes))
    features, _ = fit.shapes_of("encoder", nets.encoder, fit.two_of(data.x))
    embeddings, _ = fit.shapes_of("head", nets.head, features)
    for name, outputs in (("encoder", features), ("head", embeddings)):
        found: tuple[int, ...] = getattr(outputs, "shape", ())
        if len(found) != 2 or found[0] != fit.two_of(data.x).shape[0]:
            raise ValueError(f"{name}: outputs of shape {found} for a batch; allowed: (batch, features)")
