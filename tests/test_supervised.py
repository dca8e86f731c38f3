"""Any network on arrays: against a loop written here, many cells against single ones, and input that does not fit."""

from __future__ import annotations

import functools
import pathlib
import subprocess
import sys

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import snljax as snl
from snljax import constraints, field
from snljax.supervised import system

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 6)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.8)
ARRAYS = X[:36], Y[:36], X[36:], Y[36:]
BATCH, STEPS = 10, 20


class Plain(nn.Module):
    width: int = 5

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(nn.relu(nn.Dense(self.width)(x)))


class Normalised(nn.Module):
    """Running means and dropout; no bias before the means, which would have no gradient but rounding."""

    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.BatchNorm(use_running_average=not train)(nn.Dense(5, use_bias=False)(x))
        return nn.Dense(3)(nn.Dropout(0.2, deterministic=not train)(nn.relu(x)))


class Reference(nnx.Module):
    def __init__(self, rngs):
        self.inner, self.norm = nnx.Linear(6, 5, use_bias=False, rngs=rngs), nnx.BatchNorm(5, rngs=rngs)
        self.drop, self.outer = nnx.Dropout(0.2, rngs=rngs), nnx.Linear(5, 3, rngs=rngs)

    def __call__(self, x):
        return self.outer(self.drop(nnx.relu(self.norm(self.inner(x)))))


PAIR = (
    lambda key, x: {"w": jax.random.normal(key, (x.shape[-1], 3)), "b": jnp.zeros(3)},
    lambda params, x: x @ params["w"] + params["b"][None],
)
MODELS = {"plain": Plain(), "normalised": Normalised(), "nnx": Reference, "pair": PAIR}


def adamw(c):
    return optax.adamw(c.learning_rate, weight_decay=c.weight_decay)


def cosine(c):
    """A schedule of a swept peak."""
    return optax.sgd(optax.cosine_decay_schedule(c.learning_rate, STEPS), momentum=c.momentum)


def made(model, optimizer=adamw, **more):
    fields = {
        "learning_rate": 0.05,
        "weight_decay": 0.01,
        "momentum": 0.9,
        "batch_size": BATCH,
        **more.pop("fields", {}),
    }
    more.setdefault("metrics", ["train_loss", "test_loss"])
    return snl.supervised(model, more.pop("arrays", ARRAYS), optimizer=optimizer, fields=fields, **more)


def trained(experiment, count, **settings):
    """Config, draw and the state after so many steps of one network, by the experiment's own functions."""
    config = snl.Grid(experiment, **{"steps": count, **settings}).config
    data = jax.tree.map(jnp.asarray, experiment.data(config))
    draw = jax.jit(lambda: experiment.draw(config, jax.random.key(3), data))()
    state = jax.jit(lambda: experiment.init(config, draw, data))()
    step = jax.jit(lambda state, t: experiment.step(config, draw, state, t, data))
    for t in range(count):
        state = step(state, jnp.int32(t))
    return config, draw, state, data


# --- against a loop that is written here ---------------------------------------------------------------


def batches(draw, steps, n=36):
    """Rows of each step: epochs in their orders, the last batch short."""
    orders, rows = np.asarray(draw.orders), []
    for epoch in range(steps):
        order = orders[epoch % 16][orders[epoch // 16 % 16]]
        assert sorted(order) == list(range(n))
        rows += [order[at : at + BATCH] for at in range(0, n, BATCH)]
    return rows[:steps]


def linen_loss(module, params, stats, x, y, key):
    variables = {"params": params, **stats}
    if stats:
        logits, stats = module.apply(variables, x, train=True, rngs={"dropout": key}, mutable=["batch_stats"])
    else:
        logits = module.apply(variables, x)
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(), stats


@pytest.mark.parametrize(
    ("name", "pruning", "optimizer"),
    [
        ("plain", "topk", cosine),
        ("normalised", "none", adamw),
        pytest.param("plain", "none", adamw, marks=pytest.mark.slow),
        pytest.param("normalised", "topk", cosine, marks=pytest.mark.slow),
    ],
)
def test_the_weights_of_a_loop_with_optax(name, pruning, optimizer):
    """Noise on inputs, of a sample or of an epoch, wrong labels, short last batches, pruning: weight for weight."""
    fresh = name == "normalised"
    settings = {"noise_std": 0.3, "label_noise": 0.2, "pruning": pruning, "prune_every": 3}
    settings |= {"keep_fraction": 1.0 if pruning == "none" else 0.4, "fresh_noise": fresh}
    config, draw, state, _ = trained(made(MODELS[name], optimizer), STEPS, **settings)
    params, stats = draw.params, dict(draw.other)
    descent = optimizer(config)
    opt = descent.init(params)

    def seen(epoch):
        key = jax.random.fold_in(draw.key, 1)
        key = jax.random.fold_in(key, epoch) if fresh else key
        noise = jax.vmap(lambda i: jax.random.normal(jax.random.fold_in(key, i), (6,)))(jnp.arange(36))
        return ARRAYS[0] + 0.3 * np.asarray(noise)

    flipped = np.asarray(draw.flip) < 0.2
    assert 0 < flipped.sum() < 20
    labels = np.where(flipped, np.asarray(draw.wrong), ARRAYS[1])
    assert (labels[flipped] != ARRAYS[1][flipped]).all()
    loss = jax.jit(jax.value_and_grad(functools.partial(linen_loss, MODELS[name]), has_aux=True))
    for t, rows in enumerate(batches(draw, STEPS)):
        if pruning == "topk" and t % 3 == 0:
            for layer in ("Dense_0", "Dense_1"):
                w = np.array(params[layer]["kernel"])
                least = np.sort(np.abs(w).ravel())[::-1][int(np.ceil(0.4 * w.size - 0.5)) - 1]
                params[layer] = params[layer] | {"kernel": jnp.asarray(np.where(np.abs(w) >= least, w, 0))}
        key = jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(draw.key, 3), t), 1)
        (_, stats), gradient = loss(params, stats, seen(t // 4)[rows], labels[rows], key)
        updates, opt = descent.update(gradient, opt, params)
        params = optax.apply_updates(params, updates)
    chex.assert_trees_all_close(state.params, params, rtol=2e-4, atol=2e-6)
    chex.assert_trees_all_close(dict(state.other), stats, rtol=2e-4, atol=2e-6)


def test_a_module_of_nnx_is_trained_as_it_trains_itself():
    """Running means too; dropout draws from the module's own numbers."""
    _, draw, state, _ = trained(made(Reference, cosine), 8)
    module = Reference(nnx.Rngs(jax.random.split(jax.random.key(3), 4)[0]))
    module.train()
    optimizer = nnx.Optimizer(module, optax.sgd(optax.cosine_decay_schedule(0.05, STEPS), momentum=0.9), wrt=nnx.Param)

    @nnx.jit
    def step(module, optimizer, x, y):
        def loss(module):
            return optax.softmax_cross_entropy_with_integer_labels(module(x), y).mean()

        optimizer.update(module, nnx.grad(loss)(module))

    for rows in batches(draw, 8):
        step(module, optimizer, ARRAYS[0][rows], ARRAYS[1][rows])
    chex.assert_trees_all_close(state.params, nnx.to_pure_dict(nnx.state(module, nnx.Param)), rtol=2e-4, atol=2e-6)
    found = np.asarray(state.other["norm"]["mean"])
    np.testing.assert_allclose(found, module.norm.mean.get_value(), rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("rewind_to", [3, pytest.param(0, marks=pytest.mark.slow)])
def test_imp_goes_back_and_its_optimiser_begins_anew(rewind_to):
    """The first step of the second level, from early weights, masked, with their running means, and no moments."""
    settings = {"pruning": "imp", "prune_every": 7, "prune_fraction": 0.5, "keep_fraction": 0.1}
    experiment = made(Normalised())
    config, draw, state, data = trained(experiment, 0, steps=8, rewind_to=rewind_to, **settings)
    step, states = jax.jit(lambda s, t: experiment.step(config, draw, s, t, data)), [state]
    for t in range(8):
        states.append(step(states[-1], jnp.int32(t)))
    early, before, after = states[rewind_to], *states[7:]
    rows = batches(draw, 8)[7]

    @jax.jit
    def wanted(last, early):
        kept = constraints.largest(last, 0.5)
        start = constraints.held(early.params, kept)
        key = jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(draw.key, 3), 7), 1)
        loss = jax.value_and_grad(functools.partial(linen_loss, Normalised()), has_aux=True)
        (_, means), gradient = loss(start, dict(early.other), X[rows], Y[rows], key)
        updates, _ = adamw(config).update(gradient, adamw(config).init(start), start)
        return optax.apply_updates(start, updates), means, kept

    params, means, kept = wanted(before.params, early)
    chex.assert_trees_all_close(after.params, params, rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_close(dict(after.other), means, rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_equal(after.held.masks, kept)


@pytest.mark.parametrize("penalty", ["pegr", pytest.param("fgr", marks=pytest.mark.slow)])
def test_penalties_as_their_formulas_say_and_closed_when_they_should_be(penalty):
    settings = {"penalty": penalty, "penalty_weight": 0.5, "batch_size": 36}
    experiment = made(PAIR, lambda c: optax.sgd(c.learning_rate))
    _, draw, once, _ = trained(experiment, 1, **settings)
    x, y = jnp.asarray(ARRAYS[0]), jnp.asarray(ARRAYS[1])

    def loss(params, x, y):
        logits = PAIR[1](params, x.reshape(-1, 6)).reshape(*x.shape[:-1], 3)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y)

    def whole(params):
        if penalty == "pegr":
            own = jax.vmap(jax.grad(loss), (None, 0, 0))(params, x, y)
            extra = sum(jnp.sum(g**2) for g in jax.tree.leaves(own)) / 36
        else:
            mean = jax.grad(lambda p: loss(p, x, y).mean())(params)
            extra = sum(jnp.sum(g**2) for g in jax.tree.leaves(mean))
        return loss(params, x, y).mean() + 0.5 * extra

    @jax.jit
    def moved(params, is_open):
        penalised, alone = jax.grad(whole)(params), jax.grad(lambda p: loss(p, x, y).mean())(params)
        return jax.tree.map(lambda w, g, h: w - 0.05 * jnp.where(is_open, g, h), params, penalised, alone)

    wanted = moved(draw.params, True)
    chex.assert_trees_all_close(once.params, wanted, rtol=1e-4, atol=1e-6)
    # One step an epoch: closed at 2 is open for two steps.
    closed = trained(experiment, 4, close_at=2.0, **settings)[2].params
    for is_open in (True, False, False):
        wanted = moved(wanted, is_open)
    chex.assert_trees_all_close(closed, wanted, rtol=1e-4, atol=1e-6)


# --- many cells at once ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "pruning"),
    [("pair", "topk")]
    + [
        pytest.param(*both, marks=pytest.mark.slow)
        for both in (
            ("normalised", "random"),
            ("nnx", "none"),
            ("pair", "imp"),
            ("plain", "topk"),
            ("plain", "erdos_renyi"),
        )
    ],
)
def test_cells_of_one_program_are_the_networks_trained_alone(name, pruning):
    """One program serves all: a network is traced as often for sixteen cells as for one."""
    axes = {"learning_rate": [0.01, 0.05], "noise_std": [0.0, 0.4], "label_noise": [0.0, 0.1]}
    settings = {"steps": STEPS, "pruning": pruning, "prune_every": 6, "seed": [0, 4]}
    if pruning != "none":
        axes |= {"keep_fraction": [0.2, 0.5]}
    metrics, calls = ["train_loss", "test_loss"], []
    if name != "plain":
        metrics += ["noisy_test_loss", "class_accuracy", "density"]
    model = MODELS[name]
    if name == "pair":
        model = model[0], lambda params, x: (calls.append(1), PAIR[1](params, x))[1]
    experiment = made(model, metrics=metrics)
    one = snl.Grid(experiment, **{n: values[1] for n, values in axes.items()}, **settings)
    calls.clear()
    alone = snl.sweep(one, block=(1, 1), progress=False)
    traced = len(calls)
    many = snl.Grid(made(model, metrics=metrics), **axes, **settings)
    calls.clear()
    together = snl.sweep(many, block=(2, 4), progress=False)
    assert len(calls) == traced
    assert (traced > 0) == (name == "pair")
    cell = together.isel({n: 1 for n in axes})
    for metric in metrics:
        np.testing.assert_allclose(cell[metric], alone[metric], rtol=2e-4, atol=1e-5, err_msg=metric)
    if pruning == "topk" and name == "pair":
        assert (together.density.isel(keep_fraction=0) == np.float32(4 / 18)).all()


def test_a_share_of_the_samples_is_that_share_exactly_and_what_is_measured():
    """By weights of 0 and 1; the training loss is of those that are trained on."""
    experiment = made(PAIR, lambda c: optax.sgd(0.0 * c.learning_rate))
    found = snl.sweep(snl.Grid(experiment, train_fraction=[0.25, 1.0], steps=1), progress=False)
    data = jax.tree.map(jnp.asarray, experiment.data(None))
    config = snl.Grid(experiment, steps=1).config
    draw = jax.jit(lambda: experiment.draw(config, jax.random.fold_in(jax.random.key(0), 0), data))()
    own = jax.jit(optax.softmax_cross_entropy_with_integer_labels)(PAIR[1](draw.params, data.x), data.y)
    few = np.asarray(draw.ranks) < 0.25
    assert few.sum() == 9
    np.testing.assert_allclose(found.train_loss, [own[few].mean(), own.mean()], rtol=1e-5)


def test_weights_of_ones_own_that_are_small_together():
    """A thousandth of every weight is the same mean loss."""
    experiment = made(PAIR, weights=lambda c, ranks, more: c.scale * (0.5 + (ranks < 0.5)), fields={"scale": 1.0})
    found = snl.sweep(snl.Grid(experiment, scale=[1.0, 0.001], steps=5), progress=False)
    for name in ("train_loss", "test_loss"):
        np.testing.assert_allclose(found[name][0], found[name][1], rtol=1e-5)


def test_samples_one_by_one_on_request():
    experiment = made(PAIR, metrics=["correct", "test_correct", "train_accuracy", "test_accuracy"])
    found = snl.sweep(snl.Grid(experiment, epochs=5, seed=range(2)), progress=False)
    assert found.correct.sizes == {"seed": 2, "sample": 36}
    np.testing.assert_allclose(found.correct.mean("sample"), found.train_accuracy, rtol=1e-6)
    np.testing.assert_allclose(found.test_correct.mean("test_sample"), found.test_accuracy, rtol=1e-6)
    assert set(found.data_vars) == {
        "correct",
        "test_correct",
        "train_accuracy",
        "test_accuracy",
        "status",
        "first_bad_step",
    }


@pytest.mark.slow
def test_augmentation_is_shared_by_the_cells_of_a_seed_and_only_in_training():
    def flip(key, x):
        return jnp.where(jax.random.bernoulli(key, 0.5, (len(x), 1)), -x, x)

    settings = {"learning_rate": [0.0, 0.05], "steps": 5}
    turned, plain = (
        snl.sweep(snl.Grid(made(PAIR, augment=a), noise_std=[0.0, 1e-30], **settings), progress=False)
        for a in (flip, None)
    )
    np.testing.assert_array_equal(turned.train_loss[0], turned.train_loss[1])
    np.testing.assert_array_equal(turned.test_loss.sel(learning_rate=0), plain.test_loss.sel(learning_rate=0))
    assert (turned.test_loss.sel(learning_rate=0.05) != plain.test_loss.sel(learning_rate=0.05)).all()


def test_numbers_as_targets_and_bytes_as_inputs():
    """Linear regression finds its weights; bytes are divided by 255 on the device."""
    x = RNG.integers(0, 256, (60, 4), np.uint8)
    y = (x / 255.0) @ np.array([1.0, -2.0, 0.5, 3.0])
    model = (lambda key, x: jnp.zeros(x.shape[-1]), lambda w, x: x @ w)
    experiment = snl.supervised(
        model, (x[:50], y[:50], x[50:], y[50:]), fields={"batch_size": 50, "learning_rate": 0.4}
    )
    found = snl.sweep(snl.Grid(experiment, steps=2000), progress=False)
    assert float(found.test_loss) < 1e-6
    assert "test_accuracy" not in found


def test_several_numbers_as_targets_and_metrics_that_come_one_by_one():
    """All metrics that are left where there are no classes."""
    y = X[:, :2] - X[:, 2:4]
    model = (lambda key, x: jnp.zeros((x.shape[-1], 2)), lambda w, x: x @ w)
    arrays = X[:36], y[:36], X[36:], y[36:]
    experiment = made(model, arrays=arrays, metrics=iter(["test_loss", "test_accuracy", "class_accuracy"]))
    found = snl.sweep(snl.Grid(experiment, steps=1, learning_rate=0.0), progress=False)
    assert set(found.data_vars) == {"test_loss", "status", "first_bad_step"}
    assert float(found.test_loss) == pytest.approx((y[36:] ** 2).sum(1).mean(), rel=1e-5)


def test_epochs_are_steps():
    experiment = made(PAIR)
    for size, epochs, steps in ((10, 3, 12), (36, 3, 3), (12, 0.5, 2)):
        grid = snl.Grid(experiment, batch_size=size, epochs=epochs)
        assert grid.config.steps == steps
    assert snl.Grid(experiment, steps=7).config.epochs == 0
    with pytest.raises(ValueError, match="steps: 7, and epochs: 3, which are 12 steps"):
        snl.Grid(experiment, steps=7, epochs=3)
    with pytest.raises(ValueError, match=r"epochs: 3 are .* other networks of the grid train"):
        snl.Grid(experiment, batch_size=[10, 36], epochs=3)
    with pytest.raises(ValueError, match="epochs: 2 are 8 steps"):
        snl.Grid(experiment, epochs=[2, 3])
    assert snl.Grid(experiment, batch_size=[10, 36], steps=3).cells == 2


@pytest.mark.slow
def test_fields_inside_the_model_and_in_the_data():
    experiment = made(
        lambda c: Plain(c.width), arrays=lambda c: (X[: c.n], Y[: c.n], X[36:], Y[36:]),
        fields={"width": field(5, static=True, range="[1, inf)"), "n": field(36, static=True)},
    )  # fmt: skip
    found = snl.sweep(snl.Grid(experiment, snl.together(width=[2, 7], n=[20, 36]), steps=3), progress=False)
    assert found.test_loss.sizes == {"width": 2}
    assert len(np.unique(found.test_loss)) == 2


@pytest.mark.slow
def test_ten_lines_from_arrays_to_a_heatmap():
    class MLP(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(3)(nn.relu(nn.Dense(16)(x)))

    exp = snl.supervised(
        MLP(),
        ARRAYS,
        optimizer=lambda c: optax.adamw(c.learning_rate, weight_decay=c.weight_decay),
        fields={"weight_decay": 0.0, "batch_size": 18},
    )
    grid = snl.Grid(exp, learning_rate=[1e-3, 1e-2], weight_decay=[0.0, 0.1], label_noise=[0.0, 0.3], epochs=2)
    ds = snl.sweep(grid, progress=False)
    assert ds.test_accuracy.sizes == {"learning_rate": 2, "weight_decay": 2, "label_noise": 2}
    assert ds.test_accuracy.attrs["long_name"] == "test accuracy"


# --- what does not fit ---------------------------------------------------------------------------------


def arrays(x=None, y=None, x_test=None, y_test=None):
    given = (x, y, x_test, y_test)
    return tuple(own if new is None else new for new, own in zip(given, ARRAYS, strict=True))


BAD_NAN = np.where(np.arange(36)[:, None] == 3, np.nan, ARRAYS[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: made(PAIR, arrays=arrays(y=ARRAYS[1][:-1])), r"y: shape \(35,\) for 36 samples"),
        (lambda: made(PAIR, arrays=arrays(y_test=ARRAYS[3] + 5)), "y_test: a label is .*; allowed: 0 … 2"),
        (lambda: made(PAIR, arrays=arrays(y=-ARRAYS[1])), "y: a label is -2"),
        (lambda: made(PAIR, arrays=arrays(y=2 * ARRAYS[1])), "y: class 1 of 0 … 4 has no training sample"),
        (lambda: made(PAIR, arrays=arrays(y=0 * ARRAYS[1])), "y: all samples are of one class"),
        (lambda: made(PAIR, arrays=arrays(x=BAD_NAN)), "X: 6 numbers are NaN or infinite"),
        (lambda: made(PAIR, arrays=arrays(x_test=X[:14, :5])), "X_test: float32 of shape"),
        (lambda: made(PAIR, arrays=ARRAYS[:3]), "data: tuple of 3"),
        (lambda: made(PAIR, loss="hinge"), "loss: 'hinge'; allowed: cross_entropy, squared, or a function"),
        (lambda: made(PAIR, metrics=["test_acuracy"]), "metrics: .*did you mean"),
        (lambda: made(PAIR, fields={"width": [1, 2]}), r"fields: width is \[1, 2\]"),
        (lambda: snl.Grid(made(3)), "model: 3 is of type int; allowed: a flax.linen.Module"),
        (lambda: snl.Grid(made(nn.Dense(4))), r"model: outputs of shape \(2, 4\) for 2 samples; allowed: \(2, 3\)"),
        (lambda: snl.Grid(made((PAIR[0], lambda p, x: x @ p["v"]))), "model: 'v'"),
        (
            lambda: snl.Grid(made(PAIR, lambda c: optax.sgd(c.learning_rte))),
            "optimizer: reads the field 'learning_rte'",
        ),
        (lambda: snl.Grid(made(lambda c: Plain(c.depth))), "model: reads the field 'depth'"),
        (lambda: snl.Grid(made(PAIR), batch_size=37), r"batch_size: 37 is out of range; allowed: \[1, 36\]"),
        (lambda: snl.Grid(made(PAIR), keep_fraction=[0.5, 1.0]), "keep_fraction: 0.5 with pruning 'none'"),
        (lambda: snl.Grid(made(PAIR), penalty_weight=[0.0, 0.1]), "penalty_weight: 0.1 with penalty 'none'"),
        (
            lambda: snl.Grid(made(Normalised()), train_fraction=[0.5, 1.0]),
            "train_fraction: 0.5 with a network that keeps",
        ),
        (lambda: snl.Grid(made(Normalised()), penalty="pegr", penalty_weight=0.1), "penalty: 'pegr' with a network"),
        (
            lambda: snl.Grid(made(PAIR), pruning="imp", prune_every=5, rewind_to=5, keep_fraction=0.5),
            "rewind_to: 5 is out",
        ),
        (lambda: snl.Grid(made(PAIR), label_noise=1.5), "label_noise: 1.5 is out of range"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line_before_anything_is_compiled(call, message):
    with pytest.raises(ValueError, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)


def test_noise_is_each_samples_own_and_scaled_by_the_cell():
    config, draw, _, data = trained(made(PAIR), 0, steps=1, noise_std=2.0)
    rows = np.array([3, 30, 3])
    noisy = functools.partial(jax.jit(functools.partial(system.noisy, config), static_argnames="train"), draw)
    noise = (np.asarray(noisy(data.x[rows], rows, train=True)) - ARRAYS[0][rows]) / 2
    np.testing.assert_array_equal(noise[0], noise[2])
    assert abs(float(np.corrcoef(noise[0], noise[1])[0, 1])) < 0.99
    many, test = (np.asarray(noisy(np.zeros((36, 6)), np.arange(36), train=train)) for train in (True, False))
    assert 1.6 < float(many.std()) < 2.4
    assert abs(float(np.corrcoef(many.ravel(), test.ravel())[0, 1])) < 0.3


# --- memory ----------------------------------------------------------------------------------------------

MEMORY = """
import numpy as np, jax, snljax as snl
def peak():
    with open("/proc/self/status") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
def experiment(n, width):
    x, y = rng.integers(0, 256, (n, width), np.uint8), np.arange(n) % 10
    pair = (lambda key, x: 0.01 * jax.random.normal(key, (x.shape[-1], 10)), lambda w, x: x @ w)
    return snl.supervised(pair, (x, y, x[:100], y[:100]), fields={"measured": 1000}), x.nbytes
rng = np.random.default_rng(0)
axes = {"learning_rate": np.geomspace(1e-3, 1e-1, 8), "noise_std": [0.0, 0.1], "seed": range(2), "steps": 20}
common = {"devices": [jax.devices("cpu")[0]], "progress": False}
snl.sweep(snl.Grid(experiment(100, 50)[0], **axes), **common)  # JAX and its compiler
own, size = experiment(120_000, 784)
before = peak()
ds = snl.sweep(snl.Grid(own, **axes), memory="400 MB", **common)
print(size, peak() - before, int((ds.status == 1).all()))
"""


@pytest.mark.slow
@pytest.mark.skipif(not pathlib.Path("/proc/self/status").exists(), reason="peaks are read from /proc")
def test_images_lie_on_the_device_once_and_as_bytes():
    """94 MB of bytes, held on the host too, under a budget of 400 MB: floats, or a copy a network, would not fit."""
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, timeout=300)
    size, used, finished = map(int, done.stdout.split())
    assert size < used <= 400e6 + size
    assert finished


# --- samples that are selected -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "normalised"])
def test_samples_that_are_not_selected_are_never_seen(name):
    """Their numbers change nothing: neither weights, nor running means, nor what is measured of training."""
    x, y, x_test, y_test = ARRAYS
    rng = np.random.default_rng(1)
    left_out = rng.random(len(x)) < 0.4
    other = x.copy()
    other[left_out] = rng.normal(size=other[left_out].shape)

    def select(config, ranks, more):
        return jnp.asarray(more) > config.threshold

    found = []
    for inputs in (x, other):
        experiment = made(
            MODELS[name],
            arrays=(inputs, y, x_test, y_test, np.where(left_out, 0.0, 1.0).astype("float32")),
            select=select,
            fields={"threshold": 0.5},
        )
        config, draw, state, data = trained(experiment, 5)
        measured = jax.jit(lambda s, e=experiment, c=config, d=draw, a=data: e.measure(c, d, s, a))(state)
        found.append((state.params, state.other, measured.train_loss, measured.test_loss))
    for a, b in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_array_equal(a, b)
