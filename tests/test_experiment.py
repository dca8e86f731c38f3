"""What an experiment says of its fields and metrics."""

from __future__ import annotations

import importlib
import pickle
import types

import pytest
from harness import POWERS

from snljax import experiments
from snljax.experiment import Experiment, dims_of, metric, metrics_of
from snljax.supervised import system


@pytest.mark.parametrize("name", experiments.NAMES)
def test_every_metric_is_described(name):
    described = metrics_of(experiments.get(name))
    own = importlib.import_module(f"snljax.experiments.{name}").Metrics
    on_request = {"correct", "test_correct"} if own is system.Metrics else set()
    assert {*described} == {*own._fields} - on_request
    assert all(info.help and len(info.label) < 90 for info in described.values())
    assert len({info.label for info in described.values()}) == len(described)


def test_common_metrics_mean_the_same_everywhere():
    systems = [metrics_of(experiments.get(name)) for name in experiments.NAMES]
    for shared in ("test_loss", "train_accuracy", "test_accuracy"):
        assert len({m[shared] for m in systems if shared in m}) == 1


def test_dims_given_apart_go_before_those_of_the_metric():
    both = POWERS._replace(
        dims={"a": ("x",), "b": ("y",)}, metrics={"c": metric(help="c"), "a": metric(help="A", dims=("z",))}
    )
    assert dims_of(both) == {"a": ("x",), "b": ("y",)}
    assert dims_of(both._replace(dims={})) == {"a": ("z",)}
    assert metrics_of(both) == {
        "a": metric(help="A", dims=("x",)),
        "b": metric(help="b", dims=("y",)),
        "c": metric(help="c"),
    }


def test_a_label_is_what_is_there_of_meaning_symbol_and_unit():
    assert metric(help="test loss", symbol="$L$", unit="nats").label == "test loss $L$ (nats)"
    assert metric(help="test accuracy").label == "test accuracy"


def test_an_experiment_travels_by_pickle():
    proxied = experiments.get("topk_pruning")._replace(readings=types.MappingProxyType({}))
    back = pickle.loads(pickle.dumps(proxied))
    assert isinstance(back, Experiment)
    assert metrics_of(back) == metrics_of(proxied)
    assert back.readings == {}
    assert back.step is proxied.step
