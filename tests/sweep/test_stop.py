"""Networks that end when a metric is where it should be: each by itself, whatever trains beside it."""

from __future__ import annotations

import numpy as np
import pytest
from harness import POWERS, assert_same_bits, bits

import snljax as snl
from snljax.sweep import train
from snljax.sweep.stop import Stop, stop_of

RATES = [0.5, 0.7, 0.9, 0.99]


def grid(**more):
    return snl.Grid(POWERS, **{"rate": RATES, "spread": 0.1, "seed": [0, 4], "steps": 60} | more)


def stopped(asked, every=3, **more):
    return snl.sweep(asked, stop_when="mean < 0.1", check_every=every, progress=False, **more)


@pytest.mark.parametrize("block", [(1, 1), (2, 3), (1, 4)])
def test_what_is_kept_is_the_first_record_at_which_it_holds(block):
    """Equal to the bit to a sweep that records all of them."""
    ds = stopped(grid(), block=block)
    on_the_way = snl.sweep(grid(), record_every=3, block=block, progress=False)
    holds = on_the_way["mean"] < 0.1
    first = xr_first(holds)
    assert ds.stopped_at.dtype == np.int32
    np.testing.assert_array_equal(ds.stopped_at, first)
    for rate in RATES:
        for seed in (0, 4):
            at = {"rate": rate, "seed": seed}
            record = on_the_way.sel(at).sel(step=int(ds.stopped_at.sel(at)))
            np.testing.assert_array_equal(bits(ds["values"].sel(at)), bits(record["values"]))
    assert (ds.stopped_at.sel(rate=0.99) == 60).all()  # never below: the end
    assert (ds.status == 1).all()
    assert ds.sizes == {"rate": 4, "seed": 2, "coordinate": 3}


def xr_first(holds):
    return holds.step.where(holds, 60).min("step").astype(np.int32)


def test_a_closed_form():
    """rate^t · 1 < 0.1 for the first time: t = ⌈log 0.1 / log rate⌉, up to the next look."""
    ds = stopped(grid(spread=0.0, seed=0), every=1)
    expected = np.floor(np.log(0.1) / np.log(RATES[:3])) + 1
    np.testing.assert_array_equal(ds.stopped_at[:3], expected)
    np.testing.assert_allclose(ds["mean"][:3], np.array(RATES[:3]) ** expected, rtol=1e-5)


def test_a_block_ends_when_all_of_it_has(monkeypatch):
    made, honest = [], train.at_its_end

    def spy(stop, arrays, steps, count):
        made.append((count, len(steps)))
        return honest(stop, arrays, steps, count)

    monkeypatch.setattr(train, "at_its_end", spy)
    stopped(grid(rate=[0.5, 0.6], steps=5000), every=1, block=(2, 2))
    [(count, whole)] = made
    assert count < whole / 10


def test_who_diverges_is_marked_and_holds_nobody_up():
    """After its end a network may diverge while the others train; one that never gets there and diverges has no end."""
    ds = snl.sweep(
        grid(rate=[1.05, 30.0], spread=0.0, seed=0, steps=200),
        stop_when="mean > 10",
        check_every=1,
        block=(1, 2),
        progress=False,
    )
    assert ds.status.values.tolist() == [1, 1]
    assert ds.stopped_at.values.tolist() == [48, 1]
    assert ds.first_bad_step.values.tolist() == [-1, -1]
    np.testing.assert_allclose(ds["mean"], [1.05**48, 30.0], rtol=1e-5)
    ds = stopped(grid(rate=[0.5, 1e30], spread=0.0, seed=0), every=1, block=(1, 2))
    assert ds.status.values.tolist() == [1, 2]
    assert ds.stopped_at.values.tolist() == [4, 2]
    assert np.isnan(ds["mean"][1])


def test_in_a_store(tmp_path, one_line):
    path, block = tmp_path / "a", (1, 3)
    ds = stopped(grid(), store=path, block=block).load()
    assert_same_bits(ds, stopped(grid(), block=block))
    assert_same_bits(ds, snl.open_store(path))
    assert not snl.recompute(path, cells=20, experiment=POWERS).wrong
    more = stopped(grid(rate=[*RATES, 0.3]), store=path)
    np.testing.assert_array_equal(bits(more["mean"][:4]), bits(ds["mean"]))
    cell = {"rate": 0.7, "seed": 4}
    at = int(ds.stopped_at.sel(cell))
    [network] = snl.replay(path, experiment=POWERS, step=at, **cell)
    np.testing.assert_array_equal(bits(network.state), bits(ds["values"].sel(cell)))
    one_line(lambda: snl.replay(path, experiment=POWERS, **cell), "step: not given", f"stopped_at is {at}")
    one_line(lambda: snl.sweep(grid(), store=path), "stop_when, check_every = mean < 0.1 3", "none")
    one_line(lambda: stopped(grid(), store=path, every=4), "mean < 0.1 3", "mean < 0.1 4")


@pytest.mark.parametrize(
    ("more", "texts"),
    [
        ({"stop_when": "mean < 0.1"}, ["check_every: None"]),
        ({"check_every": 3}, ["check_every: 3 without stop_when"]),
        ({"stop_when": "mean < 0.1", "check_every": 0}, ["check_every: 0"]),
        ({"stop_when": "mean = 0.1", "check_every": 3}, ["stop_when: 'mean = 0.1'", "train_loss < 0.01"]),
        ({"stop_when": "mean < nan", "check_every": 3}, ["stop_when: 'mean < nan'"]),
        ({"stop_when": 0.1, "check_every": 3}, ["stop_when: 0.1"]),
        ({"stop_when": "mea < 0.1", "check_every": 3}, ["stop_when: 'mea'", "'mean'"]),
        ({"stop_when": "values < 0.1", "check_every": 3}, ["'values' has shape [3]"]),
        ({"stop_when": "mean < 0.1", "check_every": 3, "record_every": 5}, ["stop_when: beside record_every"]),
    ],
)
def test_what_cannot_stop_is_refused(one_line, more, texts):
    one_line(lambda: snl.sweep(grid(), **more), *texts)


def test_what_is_understood():
    assert stop_of("  train_accuracy>=1e0 ", 7) == Stop("train_accuracy", ">=", 1.0, 7)
    assert stop_of("a<-2", 1) == Stop("a", "<", -2.0, 1)
    assert stop_of(None, None) is None
