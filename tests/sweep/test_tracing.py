"""Which sweeps trace anew all that they call, and which only the functions themselves."""

from __future__ import annotations

import functools

import jax
import pytest

import snljax as snl
from snljax import experiments
from snljax.models import two_layer_cnn
from snljax.sweep import network, tracing


def moment(experiment, **changed):
    functions = {name: getattr(experiment, name) for name in ("draw", "init", "step", "measure", "data")}
    return tracing.moment_of((functions | changed).values())


def test_the_packages_own_systems_keep_their_moment():
    moments = {name: moment(experiments.get(name)) for name in experiments.NAMES}
    assert moments == {name: moment(experiments.get(name)) for name in experiments.NAMES}
    assert len({*moments.values()}) == len(moments)


def own_measure(config, draw, state):
    return experiments.get("topk_pruning").measure(config, draw, state)


@pytest.mark.parametrize(
    "measure",
    [own_measure, lambda *a: own_measure(*a), functools.partial(experiments.get("topk_pruning").measure)],
)
def test_a_function_of_the_users_is_another_moment_each_time(measure, powers):
    topk = experiments.get("topk_pruning")
    assert moment(topk, measure=measure) != moment(topk, measure=measure)
    assert moment(powers) != moment(powers)


def test_a_function_that_poses_as_the_packages_is_none_of_it():
    def step(config, draw, state, t):
        return state

    step.__module__, step.__qualname__ = "snljax.experiments.topk_pruning", "step"
    topk = experiments.get("topk_pruning")
    assert moment(topk, step=step) != moment(topk, step=step)


def test_a_helper_of_the_package_that_was_changed_is_seen(monkeypatch):
    grid = snl.Grid("topk_pruning", n=8, n_test=10, d=16, m=2, num_classes=2, K=4)

    def text():
        return network.Systems(grid, tuple(jax.devices()[:1]), "highest").system(grid.config).text

    was = two_layer_cnn.logits_from_responses
    first = text()
    monkeypatch.setattr(two_layer_cnn, "logits_from_responses", lambda *a, **k: 2 * was(*a, **k))
    changed = text()
    monkeypatch.undo()
    assert first == text() != changed
