"""Image classification: which images are taken, how weights start, what descends, and every network in its place."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

from snljax import Grid
from snljax.data import images
from snljax.experiments import image_classification
from snljax.experiments.image_classification import EXPERIMENT, Config
from snljax.experiments.image_networks import SHALLOW
from snljax.experiments.image_sets import samples


def config(**settings):
    return Grid(EXPERIMENT, steps=1, **settings).config


def test_part_of_the_images_is_a_random_part_and_the_rest_is_left():
    x, y, x_test, _ = samples(Config(n_train=300, n_test=50))
    whole = images.load("digits", "train")
    assert x.shape == (300, 8, 8, 1)
    assert x_test.shape == (50, 8, 8, 1)
    assert np.bincount(y, minlength=10).min() > 15  # of 30
    known = {image.tobytes(): label for image, label in zip(whole.images, whole.labels, strict=True)}
    assert all(known[image.tobytes()] == label for image, label in zip(x, y, strict=True))
    assert len(samples(Config())[1]) == len(whole.labels)
    more, labels, *_ = samples(Config(n_train=400))
    assert {image.tobytes() for image in x} <= {image.tobytes() for image in more}
    assert len(labels) == 400
    assert samples(Config(side=16, n_train=5, n_test=5))[0].shape == (5, 16, 16, 1)


def test_images_are_decoded_once_until_a_file_changes(tmp_path, monkeypatch):
    def write(shade):
        for split, place in itertools.product(("train", "test"), ("a", "b")):
            (tmp_path / split / place).mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4), shade).save(tmp_path / split / place / "0.png")

    write(0)
    load, asked = images.load, []
    monkeypatch.setattr(images, "load", lambda *given, **named: asked.append(given) or load(*given, **named))
    dark, again = (samples(Config(dataset=str(tmp_path))) for _ in range(2))
    assert dark[0] is again[0]
    assert len(asked) == 2  # both splits, once
    with pytest.raises(ValueError, match="read-only"):
        dark[0][:] = 1
    write(200)
    assert samples(Config(dataset=str(tmp_path)))[0].min() == 200
    assert len(asked) == 4


def test_more_images_than_there_are(one_line):
    one_line(lambda: samples(Config(n_train=2000)), "n_train: 2000", "[0, 1442]")
    one_line(lambda: samples(Config(n_test=400)), "n_test: 400", "[0, 355]")


@pytest.mark.parametrize("name", SHALLOW)
def test_every_network_takes_the_digits(name):
    """Shapes alone: nothing is compiled."""
    made = config(network=name, width=0.5)
    data = jax.tree.map(jnp.asarray, EXPERIMENT.data(made))
    draw = jax.eval_shape(lambda: EXPERIMENT.draw(made, jax.random.key(0), data))
    state = jax.eval_shape(lambda d: EXPERIMENT.init(made, d, data), draw)
    after = jax.eval_shape(lambda d, s: EXPERIMENT.step(made, d, s, jnp.int32(0), data), draw, state)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    found = jax.eval_shape(lambda d, s: EXPERIMENT.measure(made, d, s, data), draw, state)
    assert found.test_accuracy.shape == ()
    assert found.class_accuracy.shape == (10,)


def test_weights_start_with_the_spread_that_is_asked_for():
    """Biases at zero; 0 is the network's own start; and the data's draw is the same in both."""
    settings = {"network": "mlp", "width": 0.1, "n_train": 64}
    data = jax.tree.map(jnp.asarray, EXPERIMENT.data(config(**settings)))
    draw = jax.jit(EXPERIMENT.draw)(config(**settings), jax.random.key(0), data)
    init = jax.jit(EXPERIMENT.init)
    own, given = (init(config(**settings, sigma_0=spread), draw, data) for spread in (0.0, 0.25))
    leaves = (jax.tree.leaves(jax.tree.map(np.asarray, p)) for p in (draw.params, own.params, given.params))
    for before, mine, wanted in zip(*leaves, strict=True):
        np.testing.assert_array_equal(before, mine)
        if wanted.ndim == 1:
            assert not wanted.any()
        else:
            assert float(wanted.std()) == pytest.approx(0.25, rel=0.05)
            assert abs(float(np.corrcoef(wanted.ravel(), mine.ravel())[0, 1])) < 0.1


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("sgd", optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.2))),
        ("momentum", optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.2, momentum=0.7))),
        ("adam", optax.adamw(0.2, weight_decay=0.1)),
    ],
)
def test_what_descends(name, wanted):
    """Two updates, since momentum shows at the second."""
    made = config(optimizer=name, learning_rate=0.2, weight_decay=0.1, momentum=0.7)
    weights = jnp.array([1.0, -2.0])
    found = []
    for rule in (image_classification.optimizer(made), wanted):
        w, state = weights, rule.init(weights)
        for gradient in (jnp.array([0.5, 1.0]), jnp.array([-0.2, 0.3])):
            update, state = rule.update(gradient, state, w)
            w = optax.apply_updates(w, update)
        found.append(w)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


@pytest.mark.parametrize(("field", "value"), [("network", "resnet"), ("optimizer", "adagrad"), ("momentum", 1.0)])
def test_settings_that_are_not_there(field, value, one_line):
    one_line(lambda: Grid("image_classification", **{field: value}), field, str(value))


def test_scales_of_norms_start_as_they_do():
    """A transformer whose norms began at 0 would hand nothing on."""
    settings = {"network": "vit", "width": 0.25, "side": 8, "n_train": 64}
    data = jax.tree.map(jnp.asarray, EXPERIMENT.data(config(**settings)))
    draw = jax.jit(EXPERIMENT.draw)(config(**settings), jax.random.key(0), data)
    state = jax.jit(EXPERIMENT.init)(config(**settings, sigma_0=0.25), draw, data)
    for path, leaf in jax.tree_util.tree_leaves_with_path(state.params):
        name = jax.tree_util.keystr(path)
        assert (np.asarray(leaf) == (1.0 if "scale" in name else 0.0)).all() == (leaf.ndim == 1), name


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_a_schedule_falls_as_optax_has_it(optimizer):
    made = config(optimizer=optimizer, learning_rate=0.2, schedule="steps", schedule_steps=8)
    rate = optax.piecewise_constant_schedule(0.2, {4: 0.1, 6: 0.1})
    wanted = optax.sgd(rate, momentum=0.9) if optimizer == "momentum" else optax.adamw(rate, weight_decay=0.0)
    found = []
    for rule in (image_classification.optimizer(made), wanted):
        w, state = jnp.array([1.0, -2.0]), None
        state = rule.init(w)
        for t in range(9):
            update, state = rule.update(jnp.array([0.5, 1.0]) / (t + 1), state, w)
            w = optax.apply_updates(w, update)
        found.append(w)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
    cosine = image_classification.schedules.learning_rate(config(schedule="cosine", schedule_steps=10))
    theirs = optax.cosine_decay_schedule(0.1, 10)
    np.testing.assert_allclose([cosine(t) for t in (0, 3, 10, 15)], [theirs(t) for t in (0, 3, 10, 15)], atol=1e-8)


def test_images_are_shifted_and_mirrored_where_that_is_asked_for():
    x = jnp.asarray(np.random.default_rng(0).random((6, 8, 8, 1), dtype="float32"))
    same = image_classification.augmented(config(), jax.random.key(0), x)
    np.testing.assert_array_equal(same, x)
    moved = np.asarray(image_classification.augmented(config(augment="crop_flip"), jax.random.key(0), x))
    padded = np.pad(x, ((0, 0), (4, 4), (4, 4), (0, 0)))
    for i in range(6):
        crops = [padded[i, a : a + 8, b : b + 8] for a in range(9) for b in range(9)]
        assert any((crop == moved[i]).all() or (crop[:, ::-1] == moved[i]).all() for crop in crops)
    assert (moved != x).any()


def test_fields_that_do_not_fit_each_other(one_line):
    def check(**settings):
        EXPERIMENT.check(config(n_train=64, n_test=10, **settings))

    one_line(lambda: check(schedule="steps"), "schedule_steps: 0", "'steps'", "[1, inf)")
    one_line(lambda: check(schedule_steps=5), "schedule_steps: 5", "'constant'")
    one_line(lambda: check(network="lenet", compute_dtype="bfloat16"), "compute_dtype: bfloat16", "'lenet'", "resnet18")
    one_line(lambda: check(network="resnet18", width=0.1, train_fraction=0.5), "train_fraction: 0.5", "running means")
