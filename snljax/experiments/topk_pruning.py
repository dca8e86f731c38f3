"""Paper 000: dynamic TopK pruning of a two-layer ReLU network on signal-noise data.

Each of the 𝒯 classes has m filters; gradient descent on cross-entropy, on all samples or on batches of them;
every ``prune_every`` steps each filter keeps its K weights of largest magnitude and training goes on from
the pruned weights, which may grow again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from snljax import descent, masks
from snljax.data import signal_noise
from snljax.descent import Vectors
from snljax.experiment import Experiment, field, metric
from snljax.measures import decomposition, evaluation
from snljax.metrics import LEARNING
from snljax.models import two_layer_cnn


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Config:
    """Dynamic TopK pruning (paper 000): does pruning suppress noise or lose the signal?"""

    sigma_p: float = field(1.0, symbol=r"$\sigma_p$", help="noise standard deviation", range="[0, inf)")
    K: int = field(100, symbol="$K$", help="weights kept per filter", range="[1, d]")
    mu: float = field(1.0, symbol=r"$\mu$", help="signal strength", range="(0, inf)")
    sigma_0: float = field(0.01, symbol=r"$\sigma_0$", help="initial weight standard deviation", range="[0, inf)")
    learning_rate: float = field(0.05, symbol=r"$\eta$", help="step size", range="(0, inf)")
    steps: int = field(5000, symbol="steps", help="gradient steps", range="[0, inf)")
    relu_grad_at_zero: float = field(1.0, symbol=r"$\sigma'(0)$", help="ReLU derivative at 0", range="[0, 1]")
    n: int = field(200, static=True, symbol="$n$", help="training samples", range="[1, inf)")
    n_test: int = field(10_000, static=True, symbol=r"$n_\mathrm{test}$", help="test samples", range="[1, inf)")
    d: int = field(200, static=True, symbol="$d$", help="patch dimension", range="[3, inf)")
    m: int = field(20, static=True, symbol="$m$", help="filters per class", range="[1, inf)")
    num_classes: int = field(10, static=True, symbol=r"$\mathcal{T}$", help="classes", range="[2, d)")
    q: float = field(1, static=True, symbol="$q$", help="activation ReLU^q", range="[1, inf)")
    prune_every: int = field(10, static=True, help="steps between prunings", range="[1, inf)")
    first_prune: int | None = field(0, static=True, help="step of the first pruning, or none", range="[0, inf)")
    regrow: bool = field(True, static=True, help="may pruned weights grow again (false freezes the first mask)")
    monotone: bool = field(False, static=True, help="does each pruning keep only weights that all before it kept")
    prune_scope: str = field(
        "filter",
        static=True,
        help="ranked together: the weights of a filter, or K m of all filters of a class",
        choices=("filter", "class"),
    )
    batch_size: int | None = field(None, static=True, symbol="$B$", help="samples a step, or all", range="[1, inf)")
    measure_pruned: bool = field(True, static=True, help="is a pruned copy measured, or the network as it is trained")
    filter_reduction: str = field(
        "sum", static=True, help="sum or mean over a class's filters", choices=("sum", "mean")
    )
    descent: str = field(
        "span", static=True, help="descent in the span of the data, or on the weights", choices=("span", "dense")
    )
    decomposition: bool = field(False, static=True, help="record gamma and rho of Definition 5.1 (span only)")


class Draw(NamedTuple):
    """Everything random, in units of its own standard deviation, and what follows from it alone."""

    weights: jax.Array  # (num_classes, m, d)
    noise: jax.Array  # (n, d), zero on the signal coordinates
    targets: jax.Array  # (num_classes, n), one-hot
    test: signal_noise.Samples  # (n_test, d), (n_test,)
    gram: jax.Array  # (n, n), noise @ noise.T
    batches: jax.Array | None = None  # key of the mini-batches, where there are any


class SpanState(NamedTuple):
    """Weights at the last pruning, what they respond, and the coefficients gathered since.

    Vectors here: signal over μ_τ, (num_classes, m, num_classes); noise over ξ_i, (num_classes, m, n).
    """

    weights: jax.Array
    base: Vectors
    coefficients: Vectors
    earlier: Vectors | None = None  # gathered before the last pruning; with ``decomposition`` only


class DenseState(NamedTuple):
    """Weights, and the mask of what was never pruned (all true where weights may regrow for good)."""

    weights: jax.Array
    mask: jax.Array


class Metrics(NamedTuple):
    """Measured on a pruned copy of the network, or with ``measure_pruned=False`` on the network itself.

    signal: max_r ⟨w_jr, μ_j⟩, mean over classes; signal_min: its minimum over classes.
    noise: max over j, r, i of ⟨w_jr, ξ_i⟩.
    rho_max: max ρ, the updates along ξ_i gathered since the last pruning; span only.
    kept_signal: share of filters w_jr whose own signal coordinate j survives a pruning now.
    gamma, rho_bar, rho_underbar, coefficient_ratio*: with ``decomposition`` only; of all updates, those before
    prunings too. A pruning cuts weights and no coefficient: only without one is w = w0 + Σ γ … + Σ ρ … .
    """

    train_loss: jax.Array
    test_loss: jax.Array
    train_accuracy: jax.Array
    test_accuracy: jax.Array
    signal: jax.Array
    signal_min: jax.Array
    noise: jax.Array
    kept_signal: jax.Array
    rho_max: jax.Array | None = None
    gamma: jax.Array | None = None
    rho_bar: jax.Array | None = None
    rho_underbar: jax.Array | None = None
    coefficient_ratio: jax.Array | None = None
    coefficient_ratio_low: jax.Array | None = None
    coefficient_ratio_high: jax.Array | None = None


def draw(config: Config, key: jax.Array) -> Draw:
    weight_key, train_key, test_key = jax.random.split(key, 3)
    train, test = signal_noise.train_and_test(
        lambda keys: signal_noise.draw(keys, config.d, config.num_classes), train_key, test_key, config.n, config.n_test
    )
    return Draw(
        weights=jax.random.normal(weight_key, (config.num_classes, config.m, config.d)),
        noise=train.noise,
        targets=jax.nn.one_hot(train.labels, config.num_classes, axis=0),
        test=test,
        gram=train.noise @ train.noise.T,
        batches=None if config.batch_size is None else jax.random.fold_in(key, 3),  # split has taken 0 to 2
    )


def init(config: Config, draw: Draw) -> SpanState | DenseState:
    weights = config.sigma_0 * draw.weights
    if config.descent == "dense":
        return DenseState(weights, jnp.ones(weights.shape, bool))
    state = _rebased(config, draw, weights)
    return state._replace(earlier=state.coefficients) if config.decomposition else state


def step(config: Config, draw: Draw, state: SpanState | DenseState, t: jax.Array) -> SpanState | DenseState:
    state = _prune_when_due(config, draw, state, t)
    rows = batch_of(config, draw, t)
    targets = draw.targets[:, rows]

    def loss(responses: Vectors) -> jax.Array:
        return jnp.mean(evaluation.cross_entropies(_logits(config, responses, targets), targets))

    if isinstance(state, SpanState):
        return state._replace(coefficients=_span_step(config, draw, state, rows, loss))
    noise = draw.noise[rows]
    weights = descent.dense(lambda w: loss(_responses(config, w, noise)), state.weights, config.learning_rate)
    return state._replace(weights=weights if config.regrow else weights * state.mask)


def measure(config: Config, draw: Draw, state: SpanState | DenseState) -> Metrics:
    weights = _weights(config, draw, state)
    mask = jnp.ones(weights.shape, bool) if config.first_prune is None else _kept(config, weights)
    if isinstance(state, DenseState) and config.monotone:
        mask = mask & state.mask
    if config.measure_pruned:
        weights = weights * mask
    responses = _responses(config, weights, draw.noise)
    train_logits = _logits(config, responses, draw.targets)

    def outputs(samples: signal_noise.Samples) -> tuple[jax.Array, jax.Array]:
        targets = jax.nn.one_hot(samples.labels, config.num_classes, axis=0)
        return _logits(config, _responses(config, weights, samples.noise), targets), targets

    test_loss, test_accuracy = evaluation.loss_and_accuracy(outputs, draw.test)
    classes = jnp.arange(config.num_classes)
    own_signal = jnp.max(responses.signal[classes, :, classes], axis=1)
    metrics = Metrics(
        train_loss=jnp.mean(evaluation.cross_entropies(train_logits, draw.targets)),
        test_loss=test_loss,
        train_accuracy=jnp.mean(evaluation.hits(train_logits, draw.targets)),
        test_accuracy=test_accuracy,
        signal=jnp.mean(own_signal),
        signal_min=jnp.min(own_signal),
        noise=jnp.max(responses.noise),
        kept_signal=jnp.mean(mask[classes, :, classes]),
    )
    if not isinstance(state, SpanState):
        return metrics
    # c_x multiplies x itself, the paper's coefficients multiply x / ‖x‖².
    rho = state.coefficients.noise * config.sigma_p**2 * jnp.diagonal(draw.gram)[None, None, :]
    metrics = metrics._replace(rho_max=jnp.max(rho))
    if not config.decomposition:
        return metrics
    initial = _responses(config, config.sigma_0 * draw.weights, draw.noise)
    gathered = _gathered(state)
    rho = gathered.noise * config.sigma_p**2 * jnp.diagonal(draw.gram)[None, None, :]
    coefficients = decomposition.Decomposition(gathered.signal * config.mu**2, rho)
    ratio = decomposition.coefficient_ratio(
        coefficients, initial.signal, initial.noise, jnp.argmax(draw.targets, axis=0)
    )
    return metrics._replace(
        gamma=coefficients.gamma,
        rho_bar=jnp.maximum(rho, 0.0),
        rho_underbar=jnp.minimum(rho, 0.0),
        coefficient_ratio=ratio.typical,
        coefficient_ratio_low=ratio.low,
        coefficient_ratio_high=ratio.high,
    )


def batch_of(config: Config, draw: Draw, t: jax.Array) -> slice | jax.Array:
    """Which samples update t is made from: all of them, or a batch.

    Batches go through a new permutation in each epoch. They are all full: what the last would lack samples for
    sits out that epoch.
    """
    size, key = config.batch_size, draw.batches
    if size is None or key is None:
        return slice(None)
    batches = config.n // size
    order = jnp.argsort(jax.random.uniform(jax.random.fold_in(key, t // batches), (config.n,)))
    return lax.dynamic_slice_in_dim(order, (t % batches) * size, size)


def _span_step(
    config: Config, draw: Draw, state: SpanState, rows: slice | jax.Array, loss: Callable[[Vectors], jax.Array]
) -> Vectors:
    if config.batch_size is None:

        def gram(c: Vectors) -> Vectors:
            return descent.gram_step(c, draw.gram, config.mu, config.sigma_p)

        return descent.span(loss, gram, state.base, state.coefficients, config.learning_rate)
    added = descent.gram_step(state.coefficients, draw.gram[:, rows], config.mu, config.sigma_p)
    responses = Vectors(state.base.signal + added.signal, state.base.noise[..., rows] + added.noise)
    return descent.span_rows(loss, responses, state.coefficients, rows, config.learning_rate)


def _kept(config: Config, weights: jax.Array) -> jax.Array:
    """Mask of the K largest weights of each filter, or of the K m largest of all filters of a class."""
    if config.prune_scope == "filter":
        return masks.topk(weights, config.K)
    of_class = weights.reshape(config.num_classes, config.m * config.d)
    return masks.topk(of_class, config.K * config.m).reshape(weights.shape)


def _logits(config: Config, responses: Vectors, targets: jax.Array) -> jax.Array:
    return two_layer_cnn.logits_from_responses(
        *responses,
        targets,
        q=config.q,
        grad_at_zero=config.relu_grad_at_zero,
        reduction=config.filter_reduction,
    )


def _responses(config: Config, weights: jax.Array, noise: jax.Array) -> Vectors:
    return Vectors(config.mu * weights[..., : config.num_classes], config.sigma_p * (weights @ noise.T))


def _weights(config: Config, draw: Draw, state: SpanState | DenseState) -> jax.Array:
    if isinstance(state, DenseState):
        return state.weights
    along_noise = config.sigma_p * (state.coefficients.noise @ draw.noise)
    along_signal = jnp.pad(config.mu * state.coefficients.signal, ((0, 0), (0, 0), (0, config.d - config.num_classes)))
    return state.weights + along_noise + along_signal


def _gathered(state: SpanState) -> Vectors:
    """The coefficients of all updates, before and after the last pruning."""
    return jax.tree.map(jnp.add, state.earlier, state.coefficients)


def _rebased(config: Config, draw: Draw, weights: jax.Array) -> SpanState:
    base = _responses(config, weights, draw.noise)
    return SpanState(weights, base, jax.tree.map(jnp.zeros_like, base))


def _prune_when_due(config: Config, draw: Draw, state: SpanState | DenseState, t: jax.Array):
    """Pruning comes before the update t; the times are static, so that one branch runs, not both."""
    if config.first_prune is None:
        return state

    def prune(state):
        weights = _weights(config, draw, state)
        mask = _kept(config, weights)
        if isinstance(state, SpanState):
            rebased = _rebased(config, draw, weights * mask)
            return rebased if state.earlier is None else rebased._replace(earlier=_gathered(state))
        if config.monotone:
            mask = mask & state.mask
        held = config.monotone or not config.regrow
        return DenseState(weights * mask, mask if held else state.mask)

    since = t - config.first_prune
    due = (since >= 0) & (since % config.prune_every == 0) if config.regrow else since == 0
    return lax.cond(due, prune, lambda state: state, state)


def check(config: Config) -> None:
    if config.descent == "span" and not config.regrow:
        raise ValueError("regrow is False with descent='span'; allowed: descent='dense' (a mask per filter is fixed)")
    if config.monotone and (config.descent == "span" or not config.regrow):
        raise ValueError(
            f"monotone is True with descent={config.descent!r}, regrow={config.regrow}; allowed: descent='dense', "
            "regrow=True (between two prunings all weights move)"
        )
    if config.batch_size is not None and config.batch_size > config.n:
        raise ValueError(
            f"batch_size is {config.batch_size} with n={config.n}; allowed: 1 to n, or none for all samples"
        )
    if config.decomposition and config.descent != "span":
        raise ValueError(f"decomposition is True with descent={config.descent!r}; allowed: descent='span'")


EXPERIMENT = Experiment(
    name="topk_pruning",
    Config=Config,
    draw=draw,
    init=init,
    step=step,
    measure=measure,
    readings={"fitted": Config(), "printed": Config(filter_reduction="mean")},
    check=check,
    metrics={
        **LEARNING,
        "signal": metric(symbol=r"$\max_r \langle w_{j,r}, \mu_j\rangle$", help="signal, mean over classes"),
        "signal_min": metric(
            symbol=r"$\min_j \max_r \langle w_{j,r}, \mu_j\rangle$", help="signal of the weakest class"
        ),
        "noise": metric(symbol=r"$\max_{j,r,i} \langle w_{j,r}, \xi_i\rangle$", help="noise"),
        "kept_signal": metric(help="share of filters that keep their own signal coordinate"),
        "rho_max": metric(symbol=r"$\max \rho_{j,r,i}$", help="largest noise coefficient since the last pruning"),
        "gamma": metric(
            symbol=r"$\gamma_{j,r,k}$", help="signal coefficient", dims=("class", "filter", "signal_of_class")
        ),
        "rho_bar": metric(
            symbol=r"$\overline{\rho}_{j,r,i}$", help="positive noise coefficient", dims=("class", "filter", "sample")
        ),
        "rho_underbar": metric(
            symbol=r"$\underline{\rho}_{j,r,i}$", help="negative noise coefficient", dims=("class", "filter", "sample")
        ),
        "coefficient_ratio": metric(help="signal over noise coefficients, typical filter and sample"),
        "coefficient_ratio_low": metric(help="signal over noise coefficients, smallest"),
        "coefficient_ratio_high": metric(help="signal over noise coefficients, largest"),
    },
)
