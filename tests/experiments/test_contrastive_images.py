"""Contrastive learning of a ResNet on images: shapes of every encoder; a killed run goes on to the same numbers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import snljax as snl
from snljax import Grid
from snljax.experiments import contrastive_images, image_networks

SMALL = {"width": 0.0625, "side": 8, "n_train": 200, "n_test": 50, "batch_size": 16, "probe_samples": 100}


def config(**settings):
    return Grid("contrastive_images", steps=1, **SMALL, **settings).config


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n == "resnet18" else pytest.mark.slow) for n in image_networks.DEEP]
)
def test_every_encoder_takes_the_digits(name):
    """Shapes alone: nothing is compiled. A bf16 encoder keeps float32 weights."""
    experiment = contrastive_images.EXPERIMENT
    made = config(network=name, compute_dtype="bfloat16", remat=True, pruning="weights", prune_views="second")
    data = jax.tree.map(jnp.asarray, experiment.data(made))
    draw = jax.eval_shape(lambda: experiment.draw(made, jax.random.key(0), data))
    state = jax.eval_shape(lambda d: experiment.init(made, d, data), draw)
    after = jax.eval_shape(lambda d, s: experiment.step(made, d, s, jnp.int32(0), data), draw, state)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), after) == jax.tree.map(lambda a: (a.shape, a.dtype), state)
    assert {w.dtype for w in jax.tree.leaves(state.params)} == {jnp.dtype("float32")}
    found = jax.eval_shape(lambda d, s: experiment.measure(made, d, s, data), draw, state)
    assert found.test_accuracy.shape == ()
    assert found.class_size.shape == (10,)


def test_fields_that_do_not_fit_each_other(one_line):
    check = contrastive_images.EXPERIMENT.check
    one_line(lambda: check(config(schedule="cosine")), "schedule_steps: 0", "'cosine'")
    one_line(lambda: check(config(imbalance_ratio=300.0)), "imbalance_ratio: 300")
    one_line(lambda: Grid("contrastive_images", network="lenet"), "network", "resnet18")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("contrastive_images", {"imbalance_ratio": [1.0, 5.0], "pruning": "neurons", "prune_fraction": 0.2, **SMALL}),
        (
            "image_classification",
            {
                "network": "resnet18", "width": 0.0625, "side": 8, "n_train": 200, "n_test": 50, "batch_size": 16,
                "learning_rate": [0.05, 0.1], "augment": "crop_flip",
            },
        ),
    ],
)  # fmt: skip
def test_a_killed_run_goes_on_to_the_same_numbers(name, fields, tmp_path):
    """SIGKILL behind the first finished block, in the middle of the next."""
    fields = fields | {"steps": 60, "seed": [0, 1]}
    options = {"block": (1, 1), "devices": 1, "progress": False}
    store = tmp_path / "store"
    text = f"import snljax as snl; snl.sweep(snl.Grid({name!r}, **{fields!r}), store={str(store)!r}, **{options!r})"
    running = subprocess.Popen([sys.executable, "-c", text], env=os.environ)
    for _ in range(3000):
        if list(store.glob("done/*.json")):
            break
        assert running.poll() is None, "it ended before a block was done"
        time.sleep(0.1)
    time.sleep(0.5)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    before = {path.name: path.read_bytes() for path in store.glob("done/*.json")}
    assert 0 < len(before) < 4
    resumed = snl.sweep(Grid(name, **fields), store=store, **options)
    whole = snl.sweep(Grid(name, **fields), **options)
    assert {path.name: path.read_bytes() for path in store.glob("done/*.json") if path.name in before} == before
    for metric in whole.data_vars:
        np.testing.assert_array_equal(resumed[metric], whole[metric])
    xr.testing.assert_equal(resumed.drop_attrs(deep=False).drop_vars(whole.data_vars), whole.drop_vars(whole.data_vars))
