"""Paper 002: a two-layer network that is pruned at random before it is trained.

A Bernoulli mask is drawn once; full-batch gradient descent on cross-entropy moves only what it keeps.
Two networks: the convolutional one of the theory, with m filters for each class and a fixed second
layer, and a fully connected one with m hidden units, both of whose layers are trained and masked.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from snljax import masks
from snljax.data import signal_noise
from snljax.descent import Vectors
from snljax.experiment import Experiment, field, metric
from snljax.measures import evaluation, neuron_sets
from snljax.metrics import LEARNING
from snljax.models import two_layer_cnn


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Config:
    """Random pruning at initialisation (paper 002): how much helps, how much is too much?"""

    sigma_p: float = field(0.5, symbol=r"$\sigma_n$", help="noise standard deviation", range="[0, inf)")
    keep_fraction: float = field(1.0, symbol="kept fraction $p$", help="share of weights kept", range="(0, 1]")
    mu: float = field(1.0, symbol=r"$\mu$", help="signal strength", range="(0, inf)")
    sigma_0: float = field(0.1, symbol=r"$\sigma_0$", help="initial weight standard deviation", range="[0, inf)")
    learning_rate: float = field(0.001, symbol=r"$\eta$", help="step size", range="(0, inf)")
    steps: int = field(1000, symbol="steps", help="gradient steps", range="[0, inf)")
    target_loss: float = field(
        0.0, symbol=r"$\epsilon$", help="no update once the mean training loss is at or below it", range="[0, inf)"
    )
    network: str = field(
        "fully_connected",
        static=True,
        help="both layers trained, or convolutional with a fixed second layer",
        choices=("fully_connected", "cnn"),
    )
    form: str = field(
        "binary", static=True, help="signals +e_1 and -e_1, or e_k for class k", choices=("binary", "multi_class")
    )
    mask: str = field(
        "random", static=True, help="weights kept at random, or the largest ones", choices=("random", "magnitude")
    )
    mask_shared_by: str = field(
        "none",
        static=True,
        help="what has one random mask in common: nothing, all runs, all filters (a mask of the input), or both",
        choices=("none", "runs", "filters", "filters_and_runs"),
    )
    step_rule: str = field(
        "plain", static=True, help="gradient, or gradient over its norm", choices=("plain", "normalized")
    )
    n: int = field(100, static=True, symbol="$n$", help="training samples", range="[1, inf)")
    n_test: int = field(1000, static=True, symbol=r"$n_\mathrm{test}$", help="test samples", range="[1, inf)")
    d: int = field(400, static=True, symbol="$d$", help="patch dimension", range="[2, inf)")
    m: int = field(150, static=True, symbol="$m$", help="hidden units, or filters per class", range="[1, inf)")
    num_classes: int = field(2, static=True, symbol="$K$", help="classes", range="[2, d]")
    q: float = field(1, static=True, symbol="$q$", help="activation ReLU^q", range="[1, inf)")
    filter_reduction: str = field(
        "sum", static=True, help="sum or mean over a class's filters", choices=("sum", "mean")
    )
    sample_reduction: str = field(
        "sum", static=True, help="descend on the sum or the mean over samples", choices=("sum", "mean")
    )
    decomposition: bool = field(False, static=True, help="record gamma, zeta, omega of Definition C.1 (cnn only)")


class Draw(NamedTuple):
    """Everything random, in units of its own standard deviation.

    A row is a filter; of the fully connected network, a hidden unit with all its weights: from the
    signal coordinates, from the noise patch, to the outputs.
    """

    weights: jax.Array  # (num_classes, m, d) or (1, m, signals + d + outputs), unit normals
    uniform: jax.Array  # same shape, in [0, 1)
    train: signal_noise.Samples  # (n, d), (n,)
    test: signal_noise.Samples  # (n_test, d), (n_test,)


class Hidden(NamedTuple):
    """The fully connected network: what its units respond to the samples, and their outgoing weights."""

    responses: jax.Array  # (m, n)
    outgoing: jax.Array  # (m, outputs)


class State(NamedTuple):
    """Masked weights w̃ = w ⊙ m, the mask, and with ``decomposition`` the updates along each data vector.

    Vectors here: responses ⟨w̃, x⟩ or coefficients of x ⊙ m in w̃; signal over μ_k, (num_classes, m, num_classes);
    noise over ξ_i, (num_classes, m, n).
    """

    weights: jax.Array
    mask: jax.Array
    coefficients: Vectors | None


class Metrics(NamedTuple):
    """signal: largest response to a class's signal, of its own filters (of any hidden unit); mean over classes.

    signal_min: the minimum over classes instead. noise: largest response to a training sample's noise.
    noise_others: largest |⟨w̃, ξ_i⟩| of a filter and a sample of another class; of the convolutional network only.
    signal_filters: how many filters 𝒮_signal of each class holds.
    gamma, zeta, omega: Definition C.1, the updates since initialisation; with ``decomposition`` only.
    """

    train_loss: jax.Array
    test_loss: jax.Array
    train_accuracy: jax.Array
    test_accuracy: jax.Array
    signal: jax.Array
    signal_min: jax.Array
    noise: jax.Array
    signal_filters: jax.Array
    noise_others: jax.Array | None = None
    gamma: jax.Array | None = None
    zeta: jax.Array | None = None
    omega: jax.Array | None = None


def draw(config: Config, key: jax.Array) -> Draw:
    weight_key, mask_key, train_key, test_key = jax.random.split(key, 4)
    train, test = signal_noise.train_and_test(
        lambda keys: signal_noise.draw(keys, config.d, config.num_classes, everywhere=True),
        train_key,
        test_key,
        config.n,
        config.n_test,
    )
    shape = (config.num_classes, config.m, config.d)
    if config.network == "fully_connected":
        shape = (1, config.m, config.d + 2 * _signals(config))
    return Draw(jax.random.normal(weight_key, shape), _uniform(config, mask_key, shape), train, test)


def _uniform(config: Config, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """What the random mask is made of. Where all filters share it, they take the first one's numbers.

    Outgoing weights, which belong to no input coordinate, keep numbers of their own.
    """
    if config.mask_shared_by in ("runs", "filters_and_runs"):
        key = jax.random.key(1)  # of no run: theirs are folded from another
    uniform = jax.random.uniform(key, shape)
    if config.mask_shared_by in ("none", "runs"):
        return uniform
    inputs = config.d if config.network == "cnn" else _signals(config) + config.d
    return uniform.at[..., :inputs].set(uniform[0, 0, :inputs])


def init(config: Config, draw: Draw) -> State:
    if config.mask == "random":
        mask = masks.random(draw.uniform, config.keep_fraction)
    else:
        mask = masks.magnitude(draw.weights, config.keep_fraction)
    coefficients = None
    if config.decomposition:
        filters = (config.num_classes, config.m)
        coefficients = Vectors(jnp.zeros((*filters, config.num_classes)), jnp.zeros((*filters, config.n)))
    return State(jnp.where(mask, config.sigma_0 * draw.weights, 0.0), mask, coefficients)


def step(config: Config, draw: Draw, state: State, t: jax.Array) -> State:
    responses, pull_back = jax.vjp(lambda w: _responses(config, w, draw.train), state.weights)
    targets = _targets(config, draw.train)

    def objective(responses: Vectors | Hidden) -> tuple[jax.Array, jax.Array]:
        each = evaluation.cross_entropies(_logits(config, responses, targets), targets)
        return jnp.sum(each) if config.sample_reduction == "sum" else jnp.mean(each), jnp.mean(each)

    slope, mean_loss = jax.grad(objective, has_aux=True)(responses)
    gradient = jnp.where(state.mask, pull_back(slope)[0], 0.0)
    rate = jnp.where(mean_loss > config.target_loss, config.learning_rate, 0.0)
    if config.step_rule == "normalized":
        norm = jnp.sqrt(jnp.sum(gradient**2))
        rate = jnp.where(norm > 0, rate / norm, 0.0)
    # A weight that is pruned stays zero even where a gradient overflows.
    weights = jnp.where(state.mask, state.weights - rate * gradient, 0.0)
    if state.coefficients is None:
        return state._replace(weights=weights)
    moved = jax.tree.map(lambda c, g: c - rate * g, state.coefficients, slope)
    return State(weights, state.mask, moved)


def measure(config: Config, draw: Draw, state: State) -> Metrics:
    targets = _targets(config, draw.train)
    responses = _responses(config, state.weights, draw.train)
    logits = _logits(config, responses, targets)

    def outputs(samples: signal_noise.Samples) -> tuple[jax.Array, jax.Array]:
        targets = _targets(config, samples)
        return _logits(config, _responses(config, state.weights, samples), targets), targets

    test_loss, test_accuracy = evaluation.loss_and_accuracy(outputs, draw.test)
    signal, noise, kept = _alignment(config, draw, state, responses)
    noise_others = None
    if isinstance(responses, Vectors):
        noise_others = jnp.max(jnp.where(targets[:, None, :] > 0, 0.0, jnp.abs(responses.noise)))
    metrics = Metrics(
        train_loss=jnp.mean(evaluation.cross_entropies(logits, targets)),
        test_loss=test_loss,
        train_accuracy=jnp.mean(evaluation.hits(logits, targets)),
        test_accuracy=test_accuracy,
        signal=jnp.mean(signal),
        signal_min=jnp.min(signal),
        noise=noise,
        signal_filters=kept,
        noise_others=noise_others,
    )
    if state.coefficients is None:
        return metrics
    # The coefficients multiply x ⊙ m, the paper's multiply x / ‖x‖² (signal) and ξ̃ / ‖ξ̃‖².
    masked_norms = config.sigma_p**2 * (state.mask.astype(draw.uniform.dtype) @ (draw.train.noise**2).T)
    rho = state.coefficients.noise * masked_norms
    own = targets[:, None, :] > 0
    gamma = jnp.where(_kept_signals(config, state.mask), config.mu**2 * state.coefficients.signal, 0.0)
    return metrics._replace(gamma=gamma, zeta=jnp.where(own, rho, 0.0), omega=jnp.where(own, 0.0, rho))


def _signals(config: Config) -> int:
    """Coordinates that carry a signal; the rest of that patch is zero in every sample and left out.

    As many outputs has the fully connected network: one logit decides between two signs.
    """
    return 1 if config.form == "binary" else config.num_classes


def _signal_patches(config: Config) -> jax.Array:
    """μ_k on the signal coordinates, shape (num_classes, signals)."""
    directions = jnp.array([[1.0], [-1.0]]) if config.form == "binary" else jnp.eye(config.num_classes)
    return config.mu * directions


def _targets(config: Config, samples: signal_noise.Samples) -> jax.Array:
    return jax.nn.one_hot(samples.labels, config.num_classes, axis=0)


def _responses(config: Config, weights: jax.Array, samples: signal_noise.Samples) -> Vectors | Hidden:
    signals, patches = _signals(config), _signal_patches(config)
    if config.network == "cnn":
        return Vectors(weights[..., :signals] @ patches.T, config.sigma_p * (weights @ samples.noise.T))
    from_signal, from_noise, outgoing = jnp.split(weights[0], [signals, signals + config.d], axis=-1)
    signal = (from_signal @ patches.T) @ _targets(config, samples)
    return Hidden(signal + config.sigma_p * (from_noise @ samples.noise.T), outgoing)


def _logits(config: Config, responses: Vectors | Hidden, targets: jax.Array) -> jax.Array:
    """F, shape (num_classes, n)."""
    if isinstance(responses, Vectors):
        return two_layer_cnn.logits_from_responses(
            *responses, targets, q=config.q, grad_at_zero=0.0, reduction=config.filter_reduction
        )
    active = two_layer_cnn.relu_power(responses.responses, config.q, grad_at_zero=0.0)
    outputs = responses.outgoing.T @ active
    if config.filter_reduction == "mean":
        outputs = outputs / config.m
    # Softmax of (f, 0) is the logistic function of f.
    return jnp.concatenate([outputs, jnp.zeros_like(outputs)]) if config.form == "binary" else outputs


def _kept_signals(config: Config, mask: jax.Array) -> jax.Array:
    """Whether row r keeps its weight on the signal of class k, shape (groups, m, num_classes)."""
    kept = mask[..., : _signals(config)]
    return jnp.broadcast_to(kept, (*kept.shape[:-1], config.num_classes))


def _alignment(
    config: Config, draw: Draw, state: State, responses: Vectors | Hidden
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Signal of each class, noise, and size of 𝒮_signal of each class."""
    signals, patches = _signals(config), _signal_patches(config)
    if isinstance(responses, Vectors):
        classes = jnp.arange(config.num_classes)
        own = jnp.max(responses.signal[classes, :, classes], axis=1)
        whole = jnp.pad(patches, ((0, 0), (0, config.d - signals)))
        return own, jnp.max(responses.noise), jnp.sum(neuron_sets.signal_filters(state.mask, whole), axis=1)
    units, from_noise = state.weights[0], state.weights[0, :, signals : signals + config.d]
    return (
        jnp.max(units[:, :signals] @ patches.T, axis=0),
        jnp.max(config.sigma_p * (from_noise @ draw.train.noise.T)),
        jnp.sum(_kept_signals(config, state.mask)[0], axis=0),
    )


def check(config: Config) -> None:
    if config.form == "binary" and config.num_classes != 2:
        raise ValueError(f"num_classes is {config.num_classes} with form='binary'; allowed: 2, or form='multi_class'")
    if config.decomposition and config.network != "cnn":
        raise ValueError(f"decomposition is True with network={config.network!r}; allowed: network='cnn'")
    if config.mask_shared_by != "none" and config.mask != "random":
        raise ValueError(
            f"mask_shared_by is {config.mask_shared_by!r} with mask={config.mask!r}; allowed: mask='random'"
        )


EXPERIMENT = Experiment(
    name="random_pruning",
    Config=Config,
    draw=draw,
    init=init,
    step=step,
    measure=measure,
    readings={
        "fitted": Config(),
        "printed": Config(network="cnn", sample_reduction="mean", n_test=100),
        "theory": Config(
            network="cnn",
            form="multi_class",
            q=3,
            n=20,
            d=1000,
            m=50,
            sigma_p=2.5 / 1000**0.5,
            sigma_0=0.05,
            step_rule="normalized",
            learning_rate=0.2,
            steps=1500,
            target_loss=0.01,
            sample_reduction="mean",
        ),
    },
    check=check,
    metrics={
        **LEARNING,
        "signal": metric(help="largest response to a class's signal, mean over classes"),
        "signal_min": metric(help="largest response to a class's signal, weakest class"),
        "noise": metric(help="largest response to a training sample's noise"),
        "noise_others": metric(
            symbol=r"$\max_{j \neq y_i} |\langle w_j, \xi_i \rangle|$", help="response to another class's noise"
        ),
        "signal_filters": metric(
            symbol=r"$|\mathcal{S}_\mathrm{signal}^k|$", help="filters that keep the signal", dims=("class",)
        ),
        "gamma": metric(
            symbol=r"$\gamma_{j,r,k}$", help="signal coefficient", dims=("class", "filter", "signal_of_class")
        ),
        "zeta": metric(
            symbol=r"$\zeta_{j,r,i}$", help="noise coefficient of own samples", dims=("class", "filter", "sample")
        ),
        "omega": metric(
            symbol=r"$\omega_{j,r,i}$", help="noise coefficient of others' samples", dims=("class", "filter", "sample")
        ),
    },
)
