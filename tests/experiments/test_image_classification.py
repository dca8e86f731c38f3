"""Image classification: which images are taken, how weights start, what descends, and every network in its place."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

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
