"""Paper 004: contrastive learning under imbalance, with and without magnitude pruning of neurons.

InfoNCE with stop-gradient on fresh batches of positive pairs; an encoder of identity self-attention and
m bilateral-ReLU neurons; at each step the neurons of smallest norm are masked in the forward pass while
all of them are updated (Algorithm 1). Everything happens in the dictionary's own basis, where feature j
is the j-th unit vector: Gaussian noise and Gaussian weights look the same in every orthonormal basis.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from snljax import losses, masks
from snljax.data import sparse_coding
from snljax.experiment import Experiment, field, metric
from snljax.measures import specialization
from snljax.models import attention_encoder
from snljax.models.attention_encoder import Attention

LOSS_BATCHES = 8  # that train_loss is the mean over
GAP_ANCHORS = 256  # of each type, that the gap of the positive logit is the mean over


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Config:
    """Contrastive learning under imbalance (paper 004): does a minority feature get neurons of its own?"""

    epsilon_min: float = field(
        0.5, symbol=r"$\epsilon_\mathrm{min}$", help="frequency of the minority features", range="(0, 1]"
    )
    sigma_p: float = field(0.05, symbol=r"$\sigma_\xi$", help="noise standard deviation", range="[0, inf)")
    prune_fraction: float = field(0.0, symbol=r"$\alpha$", help="share of neurons that is masked", range="[0, 1)")
    temperature: float = field(1.0, symbol=r"$\tau$", help="temperature of InfoNCE", range="(0, inf)")
    weight_decay: float = field(0.1, symbol=r"$\lambda$", help="weight decay", range="[0, inf)")
    learning_rate: float = field(0.02, symbol=r"$\eta$", help="step size", range="(0, inf)")
    sigma_0: float = field(0.02, symbol=r"$\sigma_0$", help="initial weight standard deviation", range="(0, inf)")
    steps: int = field(200, symbol="steps", help="gradient steps", range="[0, inf)")
    active: float = field(0.2, symbol="$P(s_j \\neq 0)$", help="frequency of a feature with ε = 1", range="(0, 1]")
    show: float = field(0.5, help="probability that a token shows a feature of its pair", range="[0, 1]")
    bias: float = field(0.1, symbol="bias", help="bias, in the unit that bias_rule gives it", range="[0, inf)")
    bias_start: int = field(60, help="updates before the bias is set; it is 0 until then", range="[0, inf)")
    first_prune: int = field(0, help="step of the first pruning", range="[0, inf)")
    prune_every: int = field(1, help="steps between prunings", range="[1, inf)")
    aligned: float = field(0.3, help="cosine from which a neuron counts as aligned", range="[0, 1]")
    bias_rule: str = field(
        "norm",
        static=True,
        help="bias·√(2 log d / d)·‖w‖ throughout; or that at bias_start, then raised by eq. 285; or the bias itself",
        choices=("norm", "raised", "constant"),
    )
    mask_gradient: str = field(
        "logits",
        static=True,
        help="the mask enters the softmax weights only (eq. 5), or the embedding",
        choices=("logits", "literal"),
    )
    mask: str = field(
        "magnitude",
        static=True,
        help="neurons of smallest norm; as many at random; or none but those that specialise in a minority feature",
        choices=("magnitude", "random", "oracle"),
    )
    initial: str = field(
        "random",
        static=True,
        help="first weights: σ_0 z; or τ ε_j M_j + σ_0 z, one feature a neuron, as Theorem 3.1 leaves them",
        choices=("random", "specialised"),
    )
    decay: str = field(
        "full", static=True, help="weight decay of all weights, or of those unmasked", choices=("full", "masked")
    )
    batch: int = field(64, static=True, symbol="$K$", help="positive pairs a step", range="[2, inf)")
    tokens: int = field(4, static=True, symbol="$L$", help="tokens of a view", range="[1, inf)")
    d: int = field(9, static=True, symbol="$d$", help="features", range="[2, d1]")
    num_minority: int = field(1, static=True, help="minority features, the last ones", range="[1, d)")
    d1: int = field(500, static=True, symbol="$d_1$", help="token dimension", range="[2, inf)")
    m: int = field(24, static=True, symbol="$m$", help="neurons", range="[1, inf)")
    n_test: int = field(5000, static=True, symbol=r"$n_\mathrm{test}$", help="test pairs", range="[1, inf)")
    n_probe: int = field(1000, static=True, help="pairs that the linear probe is fitted to", range="[1, inf)")
    scaled_attention: bool = field(True, static=True, help="attention scores over √d1, as usual")
    train_attention: bool = field(False, static=True, help="train W_Q, W_K, W_V too, from identities")


class Draw(NamedTuple):
    """weights: unit normals, (m, d1). batches: key of the batches. control: of the random masks."""

    weights: jax.Array
    batches: jax.Array
    control: jax.Array


class Params(NamedTuple):
    """What is trained: neurons (m, d1), and the attention where it is."""

    neurons: jax.Array
    attention: Attention | None


class State(NamedTuple):
    """Parameters, the neurons' biases (m,), and which neurons are not masked (m,)."""

    params: Params
    bias: jax.Array
    kept: jax.Array


class Metrics(NamedTuple):
    """The network without its mask.

    train_loss: InfoNCE on fresh batches of the training distribution; on test pairs all features have
    ε = 1. aligned_neurons, max_alignment: of |cos| with the minority features, mean over these;
    majority_alignment: the maximum with each majority feature, mean over these. weight_ratio: largest
    |⟨w, M_j⟩| of minority over majority features, means of each. pair_cosine: of test pairs; dead:
    share of zero embeddings. regression_mse(_minority): of the linear probe, mean over all (minority)
    latents. lucky_neurons, mixed_neurons: neurons with one, and with several features of |cos| ≥ aligned.
    participation: how many features a neuron mixes, mean. feature_share: ‖M Mᵀ w‖² / ‖w‖², mean;
    norms: ‖w_i‖. cosines: of each neuron with each feature. initially_*: sizes of the
    sets of Definition B.1 for the first minority feature, at initialisation.
    gap_minority, gap_others: 1 − ℓ'_p under the mask of the last update, of training pairs that contain the
    first minority feature (D₁), and of those that contain none (D₂). masked_minority: neurons under that
    mask whose strongest feature is a minority one.
    """

    train_loss: jax.Array
    aligned_neurons: jax.Array
    max_alignment: jax.Array
    majority_alignment: jax.Array
    weight_ratio: jax.Array
    pair_cosine: jax.Array
    dead: jax.Array
    regression_mse: jax.Array
    regression_mse_minority: jax.Array
    lucky_neurons: jax.Array
    mixed_neurons: jax.Array
    participation: jax.Array
    feature_share: jax.Array
    norms: jax.Array
    cosines: jax.Array
    initially_lucky: jax.Array
    initially_ordinary: jax.Array
    gap_minority: jax.Array
    gap_others: jax.Array
    masked_minority: jax.Array


def draw(config: Config, key: jax.Array) -> Draw:
    weight_key, batch_key, control_key = jax.random.split(key, 3)
    return Draw(jax.random.normal(weight_key, (config.m, config.d1)), batch_key, control_key)


def init(config: Config, draw: Draw) -> State:
    neurons = config.sigma_0 * draw.weights
    if config.initial == "specialised":  # neuron i in feature i mod d
        own = jax.nn.one_hot(jnp.arange(config.m) % config.d, config.d1)
        strength = sparse_coding.frequencies(config.epsilon_min, config.d, config.num_minority)
        neurons = neurons + config.temperature * own * jnp.pad(strength, (0, config.d1 - config.d))[None, :]
    identity = jnp.eye(config.d1)
    params = Params(neurons, Attention(identity, identity, identity) if config.train_attention else None)
    bias = next_bias(config, 0, jnp.zeros(config.m), neurons, neurons)
    return State(params, bias, jnp.ones(config.m, bool))


def step(config: Config, draw: Draw, state: State, t: jax.Array) -> State:
    kept = next_mask(config, draw, state, t)
    pairs = _pairs(config, jax.random.fold_in(draw.batches, t), config.batch)
    frequency = feature_frequency(config, config.epsilon_min)

    def objective(params: Params) -> jax.Array:
        anchors, positives = embeddings(config, params, state.bias, pairs, frequency)
        if config.mask_gradient == "literal":
            visible = kept[None, :].astype(anchors.dtype)
            return jnp.mean(losses.info_nce(anchors * visible, positives * visible, temperature=config.temperature))
        return _masked_logits_objective(config, anchors, positives, kept)

    gradient = jax.grad(objective)(state.params)
    shrink = config.learning_rate * config.weight_decay
    decayed = kept[:, None] if config.decay == "masked" else jnp.ones((config.m, 1))
    neurons = (1 - shrink * decayed) * state.params.neurons - config.learning_rate * gradient.neurons
    attention = jax.tree.map(
        lambda w, g: (1 - shrink) * w - config.learning_rate * g, state.params.attention, gradient.attention
    )
    return State(Params(neurons, attention), next_bias(config, t + 1, state.bias, state.params.neurons, neurons), kept)


def measure(config: Config, draw: Draw, state: State) -> Metrics:
    neurons = state.params.neurons
    components = neurons[:, : config.d]
    cosines = specialization.cosines(neurons, jnp.eye(config.d, config.d1))
    size, minority = jnp.abs(cosines), jnp.arange(config.d) >= config.d - config.num_minority
    train_loss, embedded, latents = _on_fixed_pairs(config, state)
    probe, test = jnp.split(embedded, [config.n_probe])
    errors = specialization.probe_errors(probe[:, 0], latents[: config.n_probe], test[:, 0], latents[config.n_probe :])
    strong = jnp.sum(size >= config.aligned, axis=1)
    largest = jnp.max(jnp.abs(components), axis=0)
    norms = jnp.sum(neurons**2, axis=1)
    start = config.sigma_0 * draw.weights[:, : config.d]
    first = config.d - config.num_minority
    gap_minority, gap_others = positive_gaps(config, state)

    def mean_over(values: jax.Array, chosen: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(chosen, values, 0.0)) / jnp.sum(chosen)

    return Metrics(
        train_loss=train_loss,
        aligned_neurons=mean_over(jnp.sum(size >= config.aligned, axis=0), minority),
        max_alignment=mean_over(jnp.max(size, axis=0), minority),
        majority_alignment=mean_over(jnp.max(size, axis=0), ~minority),
        weight_ratio=mean_over(largest, minority) / mean_over(largest, ~minority),
        pair_cosine=specialization.pair_cosine(test[:, 0], test[:, 1]),
        dead=jnp.mean(jnp.all(test == 0, axis=-1)),
        regression_mse=jnp.mean(errors),
        regression_mse_minority=mean_over(errors, minority),
        lucky_neurons=jnp.sum(strong == 1),
        mixed_neurons=jnp.sum(strong > 1),
        participation=jnp.mean(specialization.participation(components)),
        feature_share=jnp.mean(jnp.sum(components**2, axis=1) / norms),
        norms=jnp.sqrt(norms),
        cosines=cosines,
        initially_lucky=jnp.sum(specialization.lucky_neurons(start, config.epsilon_min)[:, first]),
        initially_ordinary=jnp.sum(specialization.ordinary_neurons(start, config.epsilon_min)[:, first]),
        gap_minority=gap_minority,
        gap_others=gap_others,
        masked_minority=jnp.sum(~state.kept & (jnp.argmax(size, axis=1) >= first)),
    )


def _masked_logits_objective(config: Config, anchors: jax.Array, positives: jax.Array, kept: jax.Array) -> jax.Array:
    """A scalar whose gradient is eq. 5 over τ: softmax weights of the masked network, embeddings of the full one."""
    visible = kept[None, :].astype(anchors.dtype)
    weights = jax.nn.softmax(losses.similarities(anchors * visible, positives * visible) / config.temperature, axis=1)
    full = losses.similarities(anchors, positives) / config.temperature
    return jnp.mean(jnp.sum(lax.stop_gradient(weights) * full, axis=1) - jnp.diagonal(full))


def next_mask(config: Config, draw: Draw, state: State, t: jax.Array) -> jax.Array:
    """The mask for update t: ⌊α m⌋ neurons are left out, anew where t is a pruning, else those of the state.

    Returns:
        Which neurons are kept, boolean, shape (m,).
    """
    count = config.m - jnp.floor(config.prune_fraction * config.m + 1e-4).astype(jnp.int32)
    spared = jnp.zeros(config.m, bool)
    if config.mask == "random":
        score = jax.random.uniform(jax.random.fold_in(draw.control, t), (config.m,))
    elif config.mask == "oracle":
        cosines = jnp.abs(specialization.cosines(state.params.neurons, jnp.eye(config.d, config.d1)))
        aligned = jnp.max(cosines[:, config.d - config.num_minority :], axis=1)
        score = 2.0 - aligned  # above 0, for topk goes by magnitude
        spared = (jnp.argmax(cosines, axis=1) < config.d - config.num_minority) | (aligned < config.aligned)
    else:
        score = jnp.linalg.norm(state.params.neurons, axis=1)
    since = t - config.first_prune
    due = (since >= 0) & (since % config.prune_every == 0)
    return jnp.where(due, masks.topk(score, count) | spared, state.kept)


def next_bias(config: Config, t: jax.Array | int, bias: jax.Array, before: jax.Array, after: jax.Array) -> jax.Array:
    """The biases after t updates, of which the last went from the neurons before to those after, shape (m,)."""
    if config.bias_rule == "constant":
        return jnp.where(t >= config.bias_start, jnp.full(config.m, config.bias), 0.0)
    norm, old = jnp.linalg.norm(after, axis=1), jnp.linalg.norm(before, axis=1)
    scaled = config.bias * jnp.sqrt(2 * jnp.log(config.d) / config.d) * norm
    if config.bias_rule == "norm":
        return jnp.where(t >= config.bias_start, scaled, 0.0)
    growth = jnp.where(old > 0, norm / jnp.where(old > 0, old, 1.0), 1.0)
    raised = bias * jnp.maximum(1 + config.learning_rate / config.d, growth)
    return jnp.where(t > config.bias_start, raised, jnp.where(t == config.bias_start, scaled, 0.0))


def _pairs(config: Config, key: jax.Array, n: int) -> sparse_coding.Pairs:
    return sparse_coding.draw(key, n, config.tokens, config.d, config.d1)


def feature_frequency(config: Config, epsilon_min: float | jax.Array) -> jax.Array:
    """How often a pair has each feature, shape (d,): ``active``, times epsilon_min for the minority features."""
    return config.active * sparse_coding.frequencies(epsilon_min, config.d, config.num_minority)


def embeddings(
    config: Config, params: Params, bias: jax.Array, pairs: sparse_coding.Pairs, frequency: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Of both views of each pair, shape (n, m) each; gradients flow through the first one only."""
    if params.attention is not None:
        x = sparse_coding.tokens(pairs, frequency, config.sigma_p, config.show)

        def embed(params: Params, view: int) -> jax.Array:
            one = functools.partial(_generic, config, params, bias)
            return jax.vmap(one)(x[:, view])
    else:
        z = sparse_coding.token_latents(pairs, frequency, config.show)

        def embed(params: Params, view: int) -> jax.Array:
            return _from_inner_products(config, params.neurons, bias, z[:, view], pairs.noise[:, view])

    return embed(params, 0), embed(lax.stop_gradient(params), 1)


def _generic(config: Config, params: Params, bias: jax.Array, x: jax.Array) -> jax.Array:
    return attention_encoder.embed(params.neurons, bias, x, _scale(config), params.attention)


def _from_inner_products(
    config: Config, neurons: jax.Array, bias: jax.Array, z: jax.Array, noise: jax.Array
) -> jax.Array:
    """With identities, tokens never need to be added up: signal and noise enter by their inner products.

    All points of a sweep share the noise, so that its products fold into one large one.
    """
    sigma = config.sigma_p
    mixed = jnp.einsum("nrj,nlj->nrl", z, noise[..., : config.d])
    scores = jnp.einsum("nrj,nlj->nrl", z, z) + sigma * (mixed + jnp.swapaxes(mixed, -1, -2))
    scores = scores + sigma**2 * jnp.einsum("nri,nli->nrl", noise, noise)
    responses = z @ neurons[:, : config.d].T + sigma * (noise @ neurons.T)
    attention = jax.nn.softmax(_scale(config) * scores, axis=-1)
    return jax.vmap(lambda p, r: attention_encoder.embed_responses(p, r, bias))(attention, responses)


def _scale(config: Config) -> float:
    return config.d1**-0.5 if config.scaled_attention else 1.0


def _on_fixed_pairs(config: Config, state: State) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Training loss, and embeddings (n, 2, m) and latents (n, d) of the probe's and the test pairs.

    The paper fixes the test seed: all networks meet the same pairs. The first batches are drawn with the
    training frequencies, for the loss; one loop for all of them, since random numbers take long to compile.
    """
    size, wanted = config.batch, config.n_probe + config.n_test

    def one(i: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        pairs = _pairs(config, jax.random.fold_in(jax.random.key(1), i), size)
        frequency = feature_frequency(config, jnp.where(i < LOSS_BATCHES, config.epsilon_min, 1.0))
        anchors, positives = embeddings(config, state.params, state.bias, pairs, frequency)
        loss = jnp.mean(losses.info_nce(anchors, positives, temperature=config.temperature))
        return loss, jnp.stack([anchors, positives], axis=1), sparse_coding.latents(pairs, frequency)

    loss, embedded, latents = lax.map(one, jnp.arange(LOSS_BATCHES - (-wanted // size)))
    embedded, latents = embedded[LOSS_BATCHES:], latents[LOSS_BATCHES:]
    return (
        jnp.mean(loss[:LOSS_BATCHES]),
        embedded.reshape(-1, 2, config.m)[:wanted],
        latents.reshape(-1, config.d)[:wanted],
    )


def positive_gaps(config: Config, state: State) -> tuple[jax.Array, jax.Array]:
    """Means of 1 − ℓ'_p of anchors with the first minority feature, and with none, both under the mask (eq. 181).

    Negatives are drawn as in training; the pairs are the same for all networks. Few anchors of a small batch have the
    feature by themselves, so that it is given to them.
    """
    plain = feature_frequency(config, config.epsilon_min)
    first = config.d - config.num_minority
    having, without = plain.at[first].set(1.0), jnp.where(jnp.arange(config.d) < first, plain, 0.0)

    visible = state.kept[None, :].astype(state.bias.dtype)

    def one(i: jax.Array) -> jax.Array:
        key, other = jax.random.split(jax.random.fold_in(jax.random.key(2), i))
        own, others = _pairs(config, key, config.batch), _pairs(config, other, config.batch - 1)
        negatives = embeddings(config, state.params, state.bias, others, plain)[1] * visible

        def gap(frequency: jax.Array) -> jax.Array:
            anchors, positives = (e * visible for e in embeddings(config, state.params, state.bias, own, frequency))
            positive = jnp.sum(anchors * positives, axis=1, keepdims=True)
            logits = jnp.concatenate([positive, losses.similarities(anchors, negatives)], axis=1)
            return jnp.mean(1 - jax.nn.softmax(logits / config.temperature, axis=1)[:, 0])

        return jnp.stack([gap(having), gap(without)])

    means = jnp.mean(lax.map(one, jnp.arange(-(-GAP_ANCHORS // config.batch))), axis=0)
    return means[0], means[1]


EXPERIMENT = Experiment(
    name="contrastive",
    Config=Config,
    draw=draw,
    init=init,
    step=step,
    measure=measure,
    readings={
        "fitted": Config(),
        # log log d / d of Assumption 3.2 and the bias of Theorem C.1 and eq. 285; the rest is unpublished.
        "printed": Config(active=0.0875, bias=1.0, bias_rule="raised", scaled_attention=False, mask_gradient="literal"),
    },
    metrics={
        "train_loss": metric(help="InfoNCE on training pairs", unit="nats"),
        "aligned_neurons": metric(help="neurons aligned with a minority feature"),
        "max_alignment": metric(help="largest |cos|, minority"),
        "majority_alignment": metric(help="largest |cos|, majority"),
        "weight_ratio": metric(help="weight, minority / majority"),
        "pair_cosine": metric(help="mean cosine of positive test pairs"),
        "dead": metric(help="share of embeddings that are zero"),
        "regression_mse": metric(help="test MSE of the linear probe"),
        "regression_mse_minority": metric(help="test MSE of the linear probe, minority"),
        "lucky_neurons": metric(help="neurons aligned with one feature"),
        "mixed_neurons": metric(help="neurons aligned with several features"),
        "participation": metric(help="features that a neuron mixes, mean"),
        "feature_share": metric(symbol=r"$\|MM^\top w\|^2/\|w\|^2$", help="share of weight on the features"),
        "norms": metric(symbol=r"$\|w_i\|$", help="norm of a neuron", dims=("neuron",)),
        "cosines": metric(symbol=r"$\cos(w_i, M_j)$", help="alignment", dims=("neuron", "feature")),
        "initially_lucky": metric(help="lucky neurons of the first minority feature at the start"),
        "initially_ordinary": metric(help="ordinary neurons of the first minority feature at the start"),
        "gap_minority": metric(symbol=r"$1 - \ell'_p$", help="of pairs with the minority feature"),
        "gap_others": metric(symbol=r"$1 - \ell'_p$", help="of pairs without a minority feature"),
        "masked_minority": metric(help="masked neurons that specialise in a minority feature"),
    },
)
