"""Removing images by influence: against a loop that leaves them out, ranks by hand, one program."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import snljax as snl
from snljax import Grid
from snljax.data import images
from snljax.experiments import influence_removal
from snljax.experiments.influence_removal import EXPERIMENT, Config, positions
from snljax.models.vision.lenet import LeNet

CLASSES, SIDE = 3, 8


def pictures(n, seed):
    """Uneven classes: a bright column whose place is the class, and noise that is stronger in class 0."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(CLASSES, n, p=[0.5, 0.3, 0.2])
    noise = np.array([60, 30, 20])[labels, None, None, None] * rng.normal(size=(n, SIDE, SIDE, 1))
    x = 60 + noise
    x[np.arange(n), :, 2 * labels + 1] += 120
    return images.Images(np.clip(x, 0, 255).astype(np.uint8), labels, ("a", "b", "c"), "made here")


@pytest.fixture(scope="module")
def small():
    """The experiment on made images, which are loaded under the name "made"."""
    patch = pytest.MonkeyPatch()
    load, made = images.load, {"train": (90, 0), "test": (40, 1)}
    patch.setattr(images, "load", lambda *a, **k: pictures(*made[a[1]]) if a[0] == "made" else load(*a, **k))
    chex.clear_trace_counter()
    once = EXPERIMENT._replace(step=chex.assert_max_traces(lambda *a: EXPERIMENT.step(*a), n=1))
    yield once
    patch.undo()


COLUMNS = {  # of the last network nothing is left
    "remove_high": [0.0, 0.4, 0.0, 0.0, 0.4, 0.0, 0.6],
    "remove_low": [0.0, 0.0, 0.4, 0.0, 0.0, 0.4, 0.6],
    "remove_random": [0.0, 0.0, 0.0, 0.4, 0.0, 0.0, 0.0],
    "within_class": [False, False, False, False, True, True, False],
}
SETTINGS = {"learning_rate": 0.05, "momentum": 0.8, "steps": 8, "batch_size": 16, "dataset": "made"}


@pytest.fixture(scope="module")
def trained(small):
    grid = Grid(small, removal=snl.zip(**COLUMNS), seed=[0, 3], **SETTINGS)
    return snl.sweep(grid, devices=1, block=(1, 3), progress=False)


def test_the_whole_figure_is_one_program(trained):
    """Which end is removed, how much of it, and by which ranking: all are numbers of one program."""
    assert trained.attrs["programs_compiled"] == 1
    assert (trained.status == 1).all()


@pytest.fixture(scope="module")
def data(small):
    return EXPERIMENT.data(Config(dataset="made"))


def test_what_is_kept(trained, data):
    sizes = np.bincount(pictures(90, 0).labels)
    kept = trained.kept.isel(seed=0).values
    np.testing.assert_array_equal(kept[0], sizes)
    np.testing.assert_array_equal(kept[1:4].sum(1), [54, 54, 54])
    scores = snl.influence_scores(data.x, data.y)
    for row, order in ((1, np.argsort(-scores)), (2, np.argsort(scores))):
        np.testing.assert_array_equal(kept[row], np.bincount(data.y[order[36:]], minlength=CLASSES))
    assert np.ptp(kept[1] / sizes) > 0.1  # one ranking takes more from some classes than from others
    np.testing.assert_allclose(kept[4:6] / sizes[None, :], 0.6, atol=1 / sizes.min())


drawn = jax.jit(EXPERIMENT.draw)


@jax.jit
def logits(params, pictures):
    return LeNet(CLASSES).apply({"params": params}, jnp.asarray(pictures) / 255.0)


def cross_entropy(logits, labels):
    logits = logits - logits.max(1, keepdims=True)
    return float(np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels]))


@jax.jit
def slopes(params, pictures, labels):
    """Each image's gradient."""

    def loss(params, picture, label):
        return -jax.nn.log_softmax(logits(params, picture[None])[0])[label]

    return jax.vmap(jax.grad(loss), (None, 0, 0))(params, pictures, labels)


def test_against_a_loop_over_what_is_left(trained, data):
    """Whole batches of what is left, image by image, momentum by hand, one network at a time."""
    root = jax.random.key(0)
    for row, seed in ((4, 3), (3, 0)):
        draw = drawn(Config(dataset="made"), jax.random.fold_in(root, seed), data)
        high, _, random, within = (COLUMNS[name][row] for name in COLUMNS)
        position = np.asarray(draw.ranks) if random else data.more[int(within)]
        left = position >= (random or high)

        params = jax.tree.map(np.asarray, draw.params)
        velocity = jax.tree.map(np.zeros_like, params)
        for t in range(8):
            batches = left.sum() // 16
            order = np.asarray(draw.orders)[t // batches][np.asarray(draw.orders)[0]]
            rows = order[left[order]][t % batches * 16 : (t % batches + 1) * 16]
            each = slopes(params, data.x[rows], data.y[rows])
            gradient = jax.tree.map(lambda g: np.asarray(g).mean(0), each)
            velocity = jax.tree.map(lambda v, g: 0.8 * v + g, velocity, gradient)
            params = jax.tree.map(lambda p, v: np.float32(p - 0.05 * v), params, velocity)
        cell = trained.isel(removal=row).sel(seed=seed)
        y, train, test = data.y_test, *(np.asarray(logits(params, x)) for x in (data.x, data.x_test))
        assert float(cell.test_loss) == pytest.approx(cross_entropy(test, y), rel=1e-4)
        hits = test.argmax(1) == y
        assert float(cell.test_accuracy) == pytest.approx(hits.mean(), abs=1e-6)
        np.testing.assert_allclose(cell.class_accuracy, [hits[y == k].mean() for k in range(CLASSES)], atol=1e-6)
        assert float(cell.train_loss) == pytest.approx(cross_entropy(train[left], data.y[left]), rel=1e-4)


def test_positions_by_hand():
    scores, groups = np.array([1.0, 5.0, 3.0, 2.0]), np.array([0, 0, 1, 1])
    np.testing.assert_allclose(positions(scores, np.zeros(4)), [0.875, 0.125, 0.375, 0.625])
    np.testing.assert_allclose(positions(scores, groups), [0.75, 0.25, 0.25, 0.75])
    chex.assert_type(positions(scores, groups), np.float32)


def test_seeds_differ_and_orders_are_orders(trained, data):
    assert not np.allclose(trained.test_loss.sel(seed=0), trained.test_loss.sel(seed=3))
    draw = drawn(Config(dataset="made"), jax.random.key(0), data)
    assert (np.sort(draw.orders, axis=1) == np.arange(90)[None, :]).all()
    assert len(np.unique(np.asarray(draw.orders), axis=0)) == len(draw.orders)


def test_nothing_left_to_train_on_is_no_result(trained):
    assert (np.isnan(trained.train_loss) == (np.arange(7) == 6)[:, None]).all()


def test_resized_images(small):
    assert influence_removal.data(Config(side=12)).x.shape[1:] == (12, 12, 1)


def test_bad_input(one_line):
    one_line(lambda: Grid("influence_removal", remove_high=1.0), "remove_high", "[0, 1)")
    one_line(lambda: Grid("influence_removal", batch_size=0), "batch_size", "[1, inf)")
    one_line(lambda: snl.sweep(Grid("influence_removal", side=4), progress=False), "4 × 4 pixels", "8 or more")
    one_line(lambda: snl.sweep(Grid("influence_removal", dataset="mnits"), progress=False), "mnits", "mnist")
