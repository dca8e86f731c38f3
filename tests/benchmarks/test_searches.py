"""benchmarks/trace.py: what it measures of a boundary is what is there, and its draws are what they say."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
import xarray as xr
from harness import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))  # for what the script imports
spec = importlib.util.spec_from_file_location("trace_benchmark", ROOT / "benchmarks" / "trace.py")
trace = importlib.util.module_from_spec(spec)  # by its path: Python has a module trace of its own
sys.modules[spec.name] = trace
spec.loader.exec_module(trace)
from peers import boundaries  # noqa: E402


def diagonal(places):
    """Low, mean and high of x + y − 62.5, ± 3."""
    return (places.sum(1) - 62.5)[:, None] + [-3, 0, 3]


def plane(shift=0.0):
    return (diagonal(boundaries.places(64)) - shift).reshape(64, 64, 3)


def test_what_is_off_is_told_in_cells_and_percent():
    dense = trace.filled(plane(), 4096)
    true = trace.lines(xr.DataArray(dense.mean, dims=("x", "y")), 0.0)
    same = trace.measured(true, dense, dense)
    assert (same["wrong"], same["mean_wrong"], same["missed"], same["false"]) == (0, 0, False, False)
    assert same["far"] < 0.1
    moved = trace.measured(true, dense, trace.filled(plane(5), 4096))
    inner = np.hypot(5, 5) / 2
    assert inner - 0.1 < moved["far"] < 5.1
    above = [(plane(s)[..., 1] >= 0).mean() for s in (0, 5)]
    assert moved["mean_wrong"] == pytest.approx(100 * (above[0] - above[1]))
    assert moved["missed"]
    assert moved["false"]
    nothing = trace.measured(true, dense, trace.filled(plane(1000), 81))
    assert (nothing["far"], nothing["missed"], nothing["false"]) == (np.inf, True, False)


def test_noise_has_the_deviation_that_is_said_and_lies_at_the_same_place_on_a_finer_grid():
    draws = [trace.draw(lambda x, y: 0 * x, number) for number in range(40)]
    places = np.array([[3.0, 50.0], [31.5, 12.0]])
    means = np.stack([d.ends(places)[:, 1] for d in draws])
    assert np.sqrt((means**2).mean()) == pytest.approx(trace.NOISE / np.sqrt(trace.SEEDS), rel=0.25)
    np.testing.assert_allclose(draws[0].on_grid(2)[::2, ::2], draws[0].on_grid())


@pytest.mark.parametrize("rows", [False, True])
def test_bisection_finds_the_side_of_all_cells_where_each_column_crosses_once(rows):
    found, cells = boundaries.bisection(diagonal, 64, rows, ends=True)
    np.testing.assert_array_equal(found >= 0, plane() >= 0)
    assert cells < 64 * (2 + 3 * 6)


def test_a_uniform_grid_keeps_to_its_budget_and_interpolates_what_is_linear_exactly():
    for method in trace.METHODS:
        found, cells = boundaries.uniform(diagonal, 64, 50, method)
        assert cells == 49
        np.testing.assert_allclose(found, plane(), atol=1e-9)


def test_the_other_learner_is_read_at_each_budget():
    pytest.importorskip("adaptive")
    for loss in boundaries.losses().values():
        found = list(boundaries.learner(diagonal, 64, [30, 60], loss, "linear"))
        assert [cells for _, cells in found] == [30, 60]
        np.testing.assert_allclose(found[-1][0], plane(), atol=1e-6)


def test_a_traced_grid_is_compared_with_the_dense_one():
    at = np.arange(20.0)
    loss = 2 * np.exp((at[:, None] + at - 18.5) / 10)[..., None] * [0.999, 1.0, 1.001]
    dims, labels = ("sigma_p", "K", "seed"), {"sigma_p": at / 20, "K": at, "seed": range(3)}
    dense = xr.Dataset({"test_loss": (dims, loss), "status": (dims, np.ones(loss.shape, np.int8))}, labels)
    close = np.abs(at[:, None] + at - 18.5) < 3
    traced = dense.assign(status=dense.status.where(xr.DataArray(close, dims=dims[:2]), 0))
    side = np.sign(at[:, None] + at - 18.5).astype(int)
    same = trace.compared(dense, traced.assign(side=(dims[:2], side)))
    assert (same["sides_equal"], same["boundary_off_most"], same["lines"]) == (1, 0, {"dense": 1, "traced": 1})
    side[0, :4] = 1
    half = traced.assign(side=(dims[:2], side), status=traced.status.where(traced.K > 9, 0))
    found = trace.compared(dense, half)
    assert found["cells_of_another_side"] == 4
    assert found["boundary_off_most"] == pytest.approx(np.hypot(10, 10)), "from (18.5, 0) to (8.5, 10)"
