"""The door for pairs: both readings of the gradient by hand, masks, long tails, running means, one program."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import snljax as snl
from snljax import Grid
from snljax.contrastive import pruning
from snljax.data import long_tail, patches
from snljax.models.attention_encoder import embed as attention

D, M, N, CLASSES, BATCH = 6, 5, 60, 3, 8
RNG = np.random.default_rng(0)
Y = np.arange(N) % CLASSES
X = (RNG.normal(size=(N, D)) + 2 * np.eye(CLASSES, D)[Y]).astype("float32")
DATA = (X[:45], Y[:45], X[45:], Y[45:])
PROBED = {"batch_size": BATCH, "steps": 6, "learning_rate": 0.3}


def shaken(key, x):
    return x + 0.3 * jax.random.normal(key, x.shape)


class Linear(nn.Module):
    """f = x W, without a bias: its gradient can be written down."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(M, use_bias=False, kernel_init=nn.initializers.normal(0.5))(x)


class Normed(nn.Module):
    """A hidden layer with a batch norm."""

    @nn.compact
    def __call__(self, x, train=False):
        return nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.5)(nn.Dense(8)(x)))


def made(encoder=None, **options):
    fields = {**PROBED, **options.pop("fields", {})}
    return snl.contrastive(encoder or Linear(), DATA, views=shaken, fields=fields, **options)


def trained(experiment, **fields):
    return snl.sweep(Grid(experiment, **fields), progress=False, devices=1)


def states(experiment, steps, seed=0, **fields):
    """The states of one network after each update, beginning with the first, and its draw."""
    config = Grid(experiment, **{**fields, "seed": seed}).config
    data = jax.tree.map(jnp.asarray, experiment.data(config))
    drawn = jax.jit(experiment.draw)(config, jax.random.fold_in(jax.random.key(0), seed), data)
    found = [jax.jit(experiment.init)(config, drawn, data)]
    step = jax.jit(experiment.step)
    for t in range(steps):
        found.append(step(config, drawn, found[-1], jnp.int32(t), data))
    return config, drawn, found


def views_of(config, drawn, t):
    """Both views of step t by NumPy: the next of the chosen in the order of the epoch."""
    sizes = np.asarray(long_tail.counts(15, CLASSES, config.imbalance_ratio))[np.asarray(drawn.tail)]
    chosen = np.asarray(drawn.places) < sizes[Y[:45]]
    batches = chosen.sum() // BATCH
    orders = np.asarray(drawn.orders)
    order = orders[t // batches][orders[0]]
    rows = order[chosen[order]][t % batches * BATCH : (t % batches + 1) * BATCH]
    key = jax.random.fold_in(drawn.key, t)
    return [np.asarray(shaken(jax.random.fold_in(key, i), X[rows]), np.float64) for i in (0, 1)]


def softmax(s):
    e = np.exp(s - s.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def by_hand(w, kept, views, tau, reading, second_only):
    """Gradient of InfoNCE of inner products for f = x W, in NumPy: eq. 5 with full or masked weights in its places."""
    masked = w * kept
    first = w if second_only or reading == "logits" else masked
    second = w if reading == "logits" else masked
    seen = (w if second_only else masked), masked
    p = softmax((views[0] @ seen[0]) @ (views[1] @ seen[1]).T / tau)
    if reading == "literal":
        p = softmax((views[0] @ first) @ (views[1] @ second).T / tau)
    gradient = views[0].T @ ((p - np.eye(BATCH)) @ (views[1] @ second)) / tau / BATCH
    return gradient if first is w else gradient * kept


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("pruned", "reading", "second_only"),
    [
        ("neurons", "literal", False),
        ("neurons", "logits", False),
        ("weights", "literal", True),
        pytest.param("neurons", "literal", True, marks=SLOW),
        pytest.param("neurons", "logits", True, marks=SLOW),
        pytest.param("weights", "literal", False, marks=SLOW),
        pytest.param("weights", "logits", False, marks=SLOW),
        pytest.param("weights", "logits", True, marks=SLOW),
    ],
)
def test_every_step_is_the_gradient_written_down(pruned, reading, second_only):
    """Long-tailed batches, momentum and weight decay; masks of the smallest, made anew at steps 1, 3 and 5."""
    experiment = made(fields={"similarity": "dot"})
    settings = {
        "imbalance_ratio": 3.0, "temperature": 0.7, "momentum": 0.8, "weight_decay": 0.01, "pruning": pruned,
        "prune_fraction": 0.4, "prune_every": 2, "first_prune": 1, "mask_gradient": reading,
        "prune_views": "second" if second_only else "both",
    }  # fmt: skip
    config, drawn, found = states(experiment, 6, **settings)
    w = np.asarray(found[0].params.encoder["Dense_0"]["kernel"], np.float64)
    velocity, kept = np.zeros_like(w), np.ones_like(w)
    for t in range(6):
        if t >= 1 and (t - 1) % 2 == 0:
            size = np.abs(w) if pruned == "weights" else np.broadcast_to(np.linalg.norm(w, axis=0), w.shape)
            kept = (size >= np.sort(np.unique(size))[-(18 if pruned == "weights" else 3)]).astype(float)
        gradient = by_hand(w, kept, views_of(config, drawn, t), 0.7, reading, second_only) + 0.01 * w
        velocity = 0.8 * velocity + gradient
        w = w - 0.3 * velocity
        np.testing.assert_allclose(found[t + 1].params.encoder["Dense_0"]["kernel"], w, rtol=2e-4, atol=2e-6)
        np.testing.assert_array_equal(found[t + 1].kept.encoder["Dense_0"]["kernel"], kept.astype(bool))
    assert 0 < kept.sum() < kept.size


def test_nothing_masked_is_the_network_without_pruning():
    """α = 0, whatever the reading; and cosines are not inner products."""
    plain = states(made(), 2)[2][-1].params.encoder["Dense_0"]["kernel"]
    for reading in ("literal", "logits"):
        _, _, found = states(made(), 2, pruning="neurons", mask_gradient=reading, prune_fraction=0.0)
        np.testing.assert_allclose(found[-1].params.encoder["Dense_0"]["kernel"], plain, rtol=1e-5)
    _, _, dots = states(made(fields={"similarity": "dot"}), 2)
    assert not np.allclose(dots[-1].params.encoder["Dense_0"]["kernel"], plain, rtol=1e-3)


def test_a_random_mask_is_as_large_and_another_each_time():
    _, _, found = states(made(), 4, pruning="neurons", prune_by="random", prune_fraction=0.4, prune_every=2)
    masks = [np.asarray(s.kept.encoder["Dense_0"]["kernel"]) for s in found[1:]]
    assert [m.sum() for m in masks] == [3 * D] * 4
    assert all((m == m[:1]).all() for m in masks)  # whole neurons
    np.testing.assert_array_equal(masks[0], masks[1])
    assert (masks[0] != masks[2]).any()


def test_biases_go_with_their_neurons_and_heads_stay():
    params = {
        "encoder": {"Dense_0": {"kernel": jnp.array([[1.0, 5.0, 2.0]]), "bias": jnp.ones(3)}, "scale": jnp.ones(3)},
        "head": {"kernel": jnp.ones((3, 2))},
    }
    kept = pruning.of_neurons(params, 2 / 3, "layer")
    assert kept["encoder"]["Dense_0"]["bias"].tolist() == [False, True, True]
    assert kept["encoder"]["scale"].all()
    assert kept["head"]["kernel"].all()
    together = pruning.of_neurons(
        {"encoder": {"a": jnp.array([[9.0, 8.0]]), "b": jnp.array([[1.0, 2.0]])}}, 0.5, "network"
    )
    assert [m.tolist() for m in jax.tree.leaves(together)] == [[[True, True]], [[False, False]]]


@pytest.mark.parametrize("reading", ["literal", "logits"])
def test_running_means_are_those_of_the_whole_network(reading):
    """Under a mask a neuron is constant, and its norm's means would blow it up where nothing is masked."""
    experiment = made(Normed(), head=nn.Dense(4))
    settings = {"pruning": "neurons", "prune_fraction": 0.5, "mask_gradient": reading, "learning_rate": 0.0}
    config, drawn, found = states(experiment, 1, **settings)
    dense = found[0].params.encoder["Dense_0"]
    first, second = (v @ np.asarray(dense["kernel"]) + np.asarray(dense["bias"]) for v in views_of(config, drawn, 0))
    mean, var = np.zeros(8), np.ones(8)
    for seen in (first, second)[: 1 if reading == "literal" else 2]:
        mean, var = 0.5 * mean + 0.5 * seen.mean(0), 0.5 * var + 0.5 * seen.var(0)
    after = found[1].other.encoder["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(after["mean"], mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(after["var"], var, rtol=1e-4, atol=1e-6)


def test_cells_of_one_program_are_networks_trained_alone():
    """ρ, α, τ and the learning rate are numbers of one program; one seed has one tail."""
    experiment = made(Normed(), head=nn.Dense(4), fields={"pruning": "weights", "prune_views": "second"})
    axes = {"imbalance_ratio": [1.0, 5.0], "prune_fraction": [0.0, 0.5], "temperature": [0.2, 1.0], "steps": 3}
    whole = trained(experiment, **axes, seed=range(2))
    assert whole.attrs["programs_compiled"] == 1
    alone = trained(experiment, imbalance_ratio=5.0, prune_fraction=0.5, temperature=1.0, steps=3, seed=[1])
    cell = whole.sel(imbalance_ratio=5.0, prune_fraction=0.5, temperature=1.0, seed=[1])
    for name in ("train_loss", "alignment", "uniformity", "test_accuracy", "head_tail_gap", "density"):
        np.testing.assert_allclose(cell[name], alone[name], rtol=1e-4, atol=1e-5)
    sizes = whole.class_size.sel(imbalance_ratio=5.0)
    assert np.sort(sizes.values, axis=-1).reshape(-1, CLASSES).tolist() == [[3.0, 6.0, 15.0]] * 8
    assert (whole.class_size.sel(imbalance_ratio=1.0) == 15).all()


def test_the_probe_reads_features_and_ends_are_means_of_classes():
    """Also where it learns from no more than what was trained on."""
    tail = trained(made(), seed=range(3), imbalance_ratio=[1.0, 10.0], steps=20, probe="logistic", probe_on="trained")
    assert (tail.test_accuracy.sel(imbalance_ratio=1.0) > 0.5).all()
    tail = tail.sel(imbalance_ratio=10.0)
    order = np.argsort(-tail.class_size.values, axis=-1)  # head first; one class at each end
    for i in range(3):
        of_class = tail.class_accuracy.values[i]
        assert float(tail.head_accuracy[i]) == pytest.approx(of_class[order[i, 0]])
        assert float(tail.tail_accuracy[i]) == pytest.approx(of_class[order[i, -1]])
        assert float(tail.head_tail_gap[i]) == pytest.approx(of_class[order[i, 0]] - of_class[order[i, -1]])
        assert float(tail.test_accuracy[i]) == pytest.approx(of_class.mean())


@pytest.mark.slow
def test_the_papers_encoder_on_patches_of_images():
    """Tokens of patches through attention and bilateral ReLUs, as a pair of functions."""
    images = np.random.default_rng(1).random((40, 8, 8, 1), dtype="float32")

    def init(key, x):
        return 0.1 * jax.random.normal(key, (M, 16))

    def apply(neurons, x):
        return jax.vmap(lambda tokens: attention(neurons, jnp.zeros(M), tokens, 0.25, None))(patches.tokens(x, 4))

    labels = np.arange(40) % 2
    experiment = snl.contrastive(
        (init, apply), (images[:30], labels[:30], images[30:], labels[30:]),
        optimizer=lambda c: optax.sgd(c.learning_rate), fields={"batch_size": 10, "steps": 3, "similarity": "dot"},
    )  # fmt: skip
    found = trained(experiment, learning_rate=[0.01, 0.1], seed=0)
    assert np.isfinite(found.train_loss).all()
    assert (found.status == 1).all()


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"imbalance_ratio": 20.0}, ("imbalance_ratio: 20", "[1, 15]")),
        ({"imbalance_ratio": 15.0, "batch_size": 40}, ("batch_size: 40", "[2, 19]", "15 leaves")),
        ({"prune_fraction": 0.5}, ("prune_fraction: 0.5", "pruning 'none'")),
        ({"mask_gradient": "logits"}, ("mask_gradient: logits", "pruning 'none'")),
        ({"pruning": "neuron"}, ("pruning: 'neuron'", "neurons")),
        ({"temperature": 0.0}, ("temperature", "(0, inf)")),
    ],
)
def test_bad_fields_are_one_line(one_line, change, parts):
    one_line(lambda: trained(made(), **change), *parts)


def test_bad_pieces_are_one_line(one_line):
    one_line(lambda: trained(snl.contrastive(Linear(), DATA, fields=PROBED)), "views: none", "(6,)", "one or three")
    one_line(lambda: trained(made(lambda c: c.depth)), "encoder", "'depth'")
    one_line(lambda: trained(made(nn.Sequential([lambda x: x.sum(1)]))), "encoder: outputs of shape (2,)")
    one_line(lambda: trained(made(head=nn.Sequential([lambda x: x[:1]]))), "head: outputs of shape (1, 5)")
    one_line(lambda: snl.sweep(Grid(snl.contrastive(Linear(), (*DATA[:1], X[:45], X[45:], X[45:])))), "y: numbers")


def test_steps_against_a_loop_in_torch():
    """Cosines, a batch norm, a head, momentum and decay: weights and running means of six steps on the same views."""
    torch = pytest.importorskip("torch")
    experiment = made(Normed(), head=nn.Dense(4))
    settings = {"imbalance_ratio": 3.0, "temperature": 0.5, "weight_decay": 0.01, "learning_rate": 0.1}
    config, drawn, found = states(experiment, 6, **settings)
    dense, norm, head = torch.nn.Linear(D, 8), torch.nn.BatchNorm1d(8, momentum=0.5), torch.nn.Linear(8, 4)
    start = found[0].params
    with torch.no_grad():
        for layer, given in ((dense, start.encoder["Dense_0"]), (head, start.head)):
            layer.weight.copy_(torch.tensor(np.array(given["kernel"]).T))
            layer.bias.copy_(torch.tensor(np.array(given["bias"])))
    network = torch.nn.Sequential(dense, norm, torch.nn.ReLU(), head).train()
    descent = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    for t in range(6):
        first, second = (network(torch.tensor(v, dtype=torch.float32)) for v in views_of(config, drawn, t))
        unit = [torch.nn.functional.normalize(e, dim=1) for e in (first, second.detach())]
        loss = torch.nn.functional.cross_entropy(unit[0] @ unit[1].T / 0.5, torch.arange(BATCH))
        descent.zero_grad()
        loss.backward()
        descent.step()
    params, other = found[-1].params, found[-1].other.encoder["batch_stats"]["BatchNorm_0"]
    for layer, ours in ((dense, params.encoder["Dense_0"]), (head, params.head)):
        np.testing.assert_allclose(ours["kernel"], layer.weight.detach().numpy().T, atol=1e-4)
        np.testing.assert_allclose(ours["bias"], layer.bias.detach().numpy(), atol=1e-4)
    np.testing.assert_allclose(other["mean"], norm.running_mean.numpy(), rtol=1e-4, atol=1e-5)
    # Both begin at 1 and keep a half at each of 12 passes; PyTorch adds the unbiased variance, flax that of the batch.
    rest = 0.5**12
    np.testing.assert_allclose((other["var"] - rest) * BATCH / (BATCH - 1), norm.running_var.numpy() - rest, rtol=1e-4)
