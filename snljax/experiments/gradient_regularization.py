"""Paper 003: per-example gradient regularisation (PEGR) of a two-layer ReLU^q network on binary data.

m filters for each sign of the fixed second layer; full-batch gradient descent on the logistic loss
plus a penalty on gradient norms, which is closed after ``close_at`` updates.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from snljax import descent, losses
from snljax.data import signal_noise
from snljax.descent import Vectors
from snljax.experiment import Experiment, field, metric
from snljax.measures import evaluation
from snljax.metrics import LEARNING
from snljax.models import two_layer_cnn


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Config:
    """Gradient regularisation (paper 003): does penalising per-example gradients suppress noise?"""

    sigma_p: float = field(1.0, symbol=r"$\sigma_p$", help="noise standard deviation", range="[0, inf)")
    penalty_weight: float = field(0.01, symbol=r"$\lambda$", help="weight of the penalty", range="[0, inf)")
    mu: float = field(1.0, symbol=r"$\|\mu\|$", help="signal norm", range="(0, inf)")
    sigma_0: float = field(0.01, symbol=r"$\sigma_0$", help="initial weight standard deviation", range="[0, inf)")
    learning_rate: float = field(0.02, symbol=r"$\eta$", help="step size", range="(0, inf)")
    steps: int = field(1500, symbol="steps", help="gradient steps", range="[0, inf)")
    close_at: int = field(800, symbol="$T_1$", help="updates that the penalty is part of", range="[0, steps]")
    penalty: str = field(
        "pegr",
        static=True,
        help="norms of the examples' gradients, norm of their mean, or none",
        choices=("pegr", "fgr", "none"),
    )
    penalty_half: bool = field(False, static=True, help="the printed factor 1/2 of PEGR")
    n: int = field(20, static=True, symbol="$n$", help="training samples", range="[1, inf)")
    n_test: int = field(1000, static=True, symbol=r"$n_\mathrm{test}$", help="test samples", range="[1, inf)")
    d: int = field(400, static=True, symbol="$d$", help="patch dimension", range="[2, inf)")
    m: int = field(10, static=True, symbol="$m$", help="filters per sign", range="[1, inf)")
    q: float = field(2, static=True, symbol="$q$", help="activation ReLU^q", range="[1, inf)")
    filter_reduction: str = field("sum", static=True, help="sum or mean over a sign's filters", choices=("sum", "mean"))
    signal_direction: str = field(
        "axis", static=True, help="the signal lies along the first axis, or anywhere", choices=("axis", "random")
    )
    descent: str = field(
        "span", static=True, help="descent in the span of the data, or on the weights", choices=("span", "dense")
    )


class Draw(NamedTuple):
    """Everything random, in units of its own standard deviation, and what follows from it alone.

    Vectors here: signal over μ, (2, m); noise over ξ_i, (2, m, n).
    """

    weights: jax.Array  # (2, m, d), signs +1 and -1
    direction: jax.Array  # (d,), μ / ‖μ‖
    train: signal_noise.Samples  # (n, d), (n,)
    test: signal_noise.Samples  # (n_test, d), (n_test,)
    gram: jax.Array  # (n, n), noise @ noise.T
    overlaps: Vectors  # of the initial weights with direction and noise


class Metrics(NamedTuple):
    """signal: max_jr |⟨w_jr, μ⟩|. noise: max_jri ⟨w_jr, ξ_i⟩. gradient_norm: ‖∇L_S‖.

    gamma, rho: the largest coefficients j·γ and ρ of Definition 5.2; span only.
    """

    train_loss: jax.Array
    test_loss: jax.Array
    train_accuracy: jax.Array
    test_accuracy: jax.Array
    signal: jax.Array
    noise: jax.Array
    gradient_norm: jax.Array
    gamma: jax.Array | None = None
    rho: jax.Array | None = None


SIGNS = jnp.array([1.0, -1.0])


def draw(config: Config, key: jax.Array) -> Draw:
    weight_key, train_key, test_key, direction_key = jax.random.split(key, 4)
    direction = jnp.zeros(config.d).at[0].set(1.0)
    if config.signal_direction == "random":
        direction = jax.random.normal(direction_key, (config.d,))
        direction = direction / jnp.linalg.norm(direction)
    train, test = signal_noise.train_and_test(
        lambda keys: signal_noise.draw_binary(keys, direction), train_key, test_key, config.n, config.n_test
    )
    weights = jax.random.normal(weight_key, (2, config.m, config.d))
    return Draw(
        weights,
        direction,
        train,
        test,
        gram=train.noise @ train.noise.T,
        overlaps=Vectors(weights @ direction, weights @ train.noise.T),
    )


def init(config: Config, draw: Draw) -> jax.Array | Vectors:
    """The weights (dense), or the coefficients of the data in them, none yet (span)."""
    if config.descent == "dense":
        return config.sigma_0 * draw.weights
    return Vectors(jnp.zeros((2, config.m)), jnp.zeros((2, config.m, config.n)))


def step(config: Config, draw: Draw, state: jax.Array | Vectors, t: jax.Array) -> jax.Array | Vectors:
    def move(state: jax.Array | Vectors, penalty: str) -> jax.Array | Vectors:
        if isinstance(state, Vectors):
            return _span_step(config, draw, state, penalty)
        return _dense_step(config, draw, state, penalty)

    if config.penalty == "none":
        return move(state, "none")
    # Branches, not a weight of 0: a penalty that has overflowed would leave NaN behind.
    return lax.cond(t < config.close_at, lambda s: move(s, config.penalty), lambda s: move(s, "none"), state)


def measure(config: Config, draw: Draw, state: jax.Array | Vectors) -> Metrics:
    weights = weights_of(config, draw, state)
    responses = _responses(config, draw, weights)
    margins = _margins(config, responses, draw.train.labels)

    def on_test(samples: signal_noise.Samples):
        noise = config.sigma_p * (weights @ samples.noise.T)
        margin = _margins(config, responses._replace(noise=noise), samples.labels)
        return losses.logistic(margin), _correct(margin)

    test_loss, test_accuracy = evaluation.chunked_mean(on_test, draw.test)
    gradient = jax.grad(lambda r: _training_loss(config, draw, r))(responses)
    metrics = Metrics(
        train_loss=jnp.mean(losses.logistic(margins)),
        test_loss=test_loss,
        train_accuracy=jnp.mean(_correct(margins)),
        test_accuracy=test_accuracy,
        signal=jnp.max(jnp.abs(responses.signal)),
        noise=jnp.max(responses.noise),
        gradient_norm=jnp.sqrt(_full_norm(config, draw, gradient)),
    )
    if not isinstance(state, Vectors):
        return metrics
    # c_x multiplies x itself, the paper's coefficients multiply x / ‖x‖².
    gamma = SIGNS[:, None] * state.signal * config.mu**2
    rho = state.noise * config.sigma_p**2 * jnp.diagonal(draw.gram)[None, None, :]
    return metrics._replace(gamma=jnp.max(gamma), rho=jnp.max(rho))


def _span_step(config: Config, draw: Draw, coefficients: Vectors, penalty: str) -> Vectors:
    def loss(responses: Vectors) -> jax.Array:
        plain = _training_loss(config, draw, responses)
        if penalty == "none":
            return plain
        if penalty == "fgr":
            gradient = jax.grad(lambda r: _training_loss(config, draw, r))(responses)
            return plain + config.penalty_weight * _full_norm(config, draw, gradient)
        return plain + _pegr_weight(config) * jnp.mean(_own_norms(config, draw, responses))

    scale = config.sigma_0 * config.mu, config.sigma_0 * config.sigma_p
    base = Vectors(scale[0] * draw.overlaps.signal, scale[1] * draw.overlaps.noise)
    return descent.span(loss, lambda c: _gram(config, draw, c), base, coefficients, config.learning_rate)


def _dense_step(config: Config, draw: Draw, weights: jax.Array, penalty: str) -> jax.Array:
    signal = draw.train.labels[:, None] * config.mu * draw.direction[None, :]
    examples = jnp.stack([signal, config.sigma_p * draw.train.noise], axis=1), draw.train.labels

    def one(weights: jax.Array, x: jax.Array, label: jax.Array) -> jax.Array:
        plus, minus = two_layer_cnn.apply(weights, x, q=config.q, grad_at_zero=0.0, reduction=config.filter_reduction)
        return losses.logistic(label * (plus - minus))

    def loss(weights: jax.Array) -> jax.Array:
        plain = jnp.mean(jax.vmap(lambda x, y: one(weights, x, y))(*examples))
        if penalty == "none":
            return plain
        if penalty == "fgr":
            return plain + config.penalty_weight * losses.full_gradient_penalty(one, weights, *examples)
        return plain + _pegr_weight(config) * losses.per_example_gradient_penalty(one, weights, *examples)

    return descent.dense(loss, weights, config.learning_rate)


def _pegr_weight(config: Config) -> float:
    return config.penalty_weight * (0.5 if config.penalty_half else 1.0)


def _training_loss(config: Config, draw: Draw, responses: Vectors) -> jax.Array:
    return jnp.mean(losses.logistic(_margins(config, responses, draw.train.labels)))


def _margins(config: Config, responses: Vectors, labels: jax.Array) -> jax.Array:
    """y_i f(x_i), shape of the labels. Both signs of the signal patch are activated once, then chosen from."""

    def activated(x: jax.Array) -> jax.Array:
        return two_layer_cnn.sum_filters(
            two_layer_cnn.relu_power(x, config.q, grad_at_zero=0.0), 1, config.filter_reduction
        )

    signal = jnp.where(labels > 0, SIGNS @ activated(responses.signal), SIGNS @ activated(-responses.signal))
    return labels * (signal + SIGNS @ activated(responses.noise))


def _own_norms(config: Config, draw: Draw, responses: Vectors) -> jax.Array:
    """‖∇_W ℓ_i‖² of each example, shape (n,): its two patches are orthogonal, so their shares add up."""

    def own(noise: jax.Array, label: jax.Array) -> Vectors:
        def one(r: Vectors) -> jax.Array:
            return losses.logistic(_margins(config, r, label[None])[0])

        return jax.grad(one)(Vectors(responses.signal, noise[..., None]))

    gradient = jax.vmap(own, in_axes=(2, 0))(responses.noise, draw.train.labels)
    along_signal = config.mu**2 * jnp.sum(gradient.signal**2, axis=(1, 2))
    along_noise = config.sigma_p**2 * jnp.diagonal(draw.gram) * jnp.sum(gradient.noise**2, axis=(1, 2, 3))
    return along_signal + along_noise


def _full_norm(config: Config, draw: Draw, gradient: Vectors) -> jax.Array:
    """‖∇_W L‖² from ∂L/∂r: the gradient is Σ_x (∂L/∂r_x) x."""
    moved = _gram(config, draw, gradient)
    return jnp.vdot(gradient.signal, moved.signal) + jnp.vdot(gradient.noise, moved.noise)


def _gram(config: Config, draw: Draw, coefficients: Vectors) -> Vectors:
    return descent.gram_step(coefficients, draw.gram, config.mu, config.sigma_p)


def _responses(config: Config, draw: Draw, weights: jax.Array) -> Vectors:
    return Vectors(config.mu * (weights @ draw.direction), config.sigma_p * (weights @ draw.train.noise.T))


def weights_of(config: Config, draw: Draw, state: jax.Array | Vectors) -> jax.Array:
    """The weights of a state, shape (2, m, d): the state itself, or rebuilt from its coefficients."""
    if not isinstance(state, Vectors):
        return state
    along_signal = config.mu * state.signal[..., None] * draw.direction[None, None, :]
    return config.sigma_0 * draw.weights + along_signal + config.sigma_p * (state.noise @ draw.train.noise)


def _correct(margins: jax.Array) -> jax.Array:
    return (margins > 0).astype(margins.dtype)


# The printed network with √m times the weights, √m σ_0, m η, 2m λ (PEGR) and m λ (FGR) has outputs and losses of the
# fitted one at every step, exactly, and √m times its signal and noise (`theory.pegr_as_printed`).
# "rescaled" is the printed network at m η and 2m λ with σ_0 as it is: exactly the fitted one from σ_0/√m. From the same
# weights both take the same step to first order in them: terms of the size of the outputs, in ℓ' + ½ and ζ, are m times
# smaller in this one. So they part where the fitted one's outputs reach 1, and this one goes on growing, by √m.
# The paper has one λ for PEGR and FGR, and no ½ in FGR: there the penalty is twice the fitted one's.
FITTED = Config()
PRINTED = Config(filter_reduction="mean", penalty_half=True)
RESCALED = dataclasses.replace(
    PRINTED, penalty_weight=2 * PRINTED.m * FITTED.penalty_weight, learning_rate=PRINTED.m * FITTED.learning_rate
)

EXPERIMENT = Experiment(
    name="gradient_regularization",
    Config=Config,
    draw=draw,
    init=init,
    step=step,
    measure=measure,
    readings={"fitted": FITTED, "printed": PRINTED, "rescaled": RESCALED},
    metrics={
        **LEARNING,
        "signal": metric(symbol=r"$\max_{j,r}\,|\langle w_{j,r},\mu\rangle|$", help="signal"),
        "noise": metric(symbol=r"$\max_{j,r,i}\,\langle w_{j,r},\xi_i\rangle$", help="noise"),
        "gradient_norm": metric(symbol=r"$\|\nabla L_\mathcal{S}\|$", help="norm of the training loss's gradient"),
        "gamma": metric(symbol=r"$\max j\gamma_{j,r}$", help="largest signal coefficient"),
        "rho": metric(symbol=r"$\max \rho_{j,r,i}$", help="largest noise coefficient"),
    },
)
