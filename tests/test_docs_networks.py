"""docs/networks.md: its code runs as it stands, from the top, and what it says is so."""

import pathlib
import re

import jax
import numpy as np
from harness import bits

import snljax as snl

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "networks.md"


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(code, names)
    network, again, ds = names["network"], names["again"], names["ds"]
    there = ds.sel(sigma_p=1.0, K=8, seed=2)
    for one in (network, again, *snl.replay("runs/topk", sigma_p=1.0, K=8, seed=2)):
        assert bits(one.metrics["test_loss"]) == bits(there.test_loss.values)
        np.testing.assert_array_equal(bits(one.state.weights), bits(network.state.weights))
    assert names["with_weights"].state_weights.dims[:3] == ("sigma_p", "K", "seed")
    assert names["when"].test_loss.dims == ("sigma_p", "K", "seed", "steps")
    assert capsys.readouterr().out.endswith("18 cells of 18\n")


def test_the_key_of_a_seed():
    """`draw` of a network against the rule on the page."""
    grid = snl.Grid("topk_pruning", n=8, n_test=10, d=16, m=2, num_classes=2, K=4, steps=0, seed=[7])
    network = snl.train_one(grid, block=(1, 1))
    drawn = jax.jit(lambda key: network.experiment.draw(network.config, key))(jax.random.fold_in(jax.random.key(0), 7))
    np.testing.assert_allclose(network.draw.weights, drawn.weights, rtol=1e-6)
    np.testing.assert_array_equal(network.draw.targets, drawn.targets)
