"""The search for a boundary on surfaces whose sides are known everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy import stats as scipy_stats

from snljax.refinement import Search

SURFACES = {
    "diagonal": lambda x, y: x - y,
    "two boundaries": lambda x, y: 0.15 - np.abs(x - 0.5 * y - 0.2),
    "island": lambda x, y: 0.04 - (x - 0.6) ** 2 - (y - 0.4) ** 2,
    "cusp": lambda x, y: y - 0.2 - np.sqrt(np.abs(x - 0.5)),
    "steep corner": lambda x, y: np.log(np.maximum(200 * y, 1) * np.maximum(x, 0.01) ** 2 / 95),
    "jump": lambda x, y: np.sign(x - y**2 - 0.1) + 0.1 * (x - y),
}


def surface(name, n, seeds, spread, number=0):
    """Values (n, n, seeds): a surface, and to each seed a smooth one of its own."""
    x, y = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, n), indexing="ij")
    rng = np.random.default_rng(number)
    own = [ndimage.gaussian_filter(rng.standard_normal((2 * n, 2 * n)), n / 4)[:n, :n] for _ in range(seeds)]
    return SURFACES[name](x, y)[..., None] + spread * n / 2 * np.stack(own, axis=-1)


def margins(values):
    """Ends of the t interval and the mean."""
    count = values.shape[-1]
    mean = values.mean(-1)
    if count == 1:
        return np.repeat(mean[..., None], 3, axis=-1)
    half = scipy_stats.t.ppf(0.975, count - 1) * values.std(-1, ddof=1) / np.sqrt(count)
    return np.stack([mean - half, mean, mean + half], axis=-1)


def run(truth, net=9, seeds=(3, 3), most=100):
    """A search that is told the truth about what it asks for; no cell is asked for twice."""
    search = Search(truth.shape[:2], net, seeds)
    request, requests = search.first(), []
    before = np.zeros(truth.shape[:2], int)
    while request is not None:
        assert (before[request.x, request.y] == request.seeds.start).all()
        before[request.x, request.y] = request.seeds.stop
        requests.append(request)
        assert len(requests) < most
        request = search.next(np.where(search.asked[..., None] > 0, truth, np.nan))
    np.testing.assert_array_equal(before, search.asked)
    return search, requests


def sides(truth):
    return (truth[..., 0] >= 0).astype(int) - (truth[..., 2] < 0)


@pytest.mark.parametrize("name", SURFACES)
@pytest.mark.parametrize("n", [40, 64])
def test_few_cells_tell_the_side_of_all(name, n):
    truth = margins(surface(name, n, 3, 0.02))
    search, _ = run(truth)
    assert (search.sides == sides(truth)).mean() >= 0.995
    assert ((search.asked > 0).mean()) < 0.4
    above = truth[..., 1] >= 0
    corners = above[:-1, :-1].astype(int) + above[1:, :-1] + above[:-1, 1:] + above[1:, 1:]
    for i, j in np.argwhere((corners > 0) & (corners < 4)):
        assert (search.asked[i : i + 2, j : j + 2] > 0).all(), "a square on the boundary has a corner that is not known"


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6), st.tuples(st.integers(2, 30), st.integers(2, 30)), st.integers(2, 9), st.floats(0.05, 0.5)
)
def test_the_net_aside_the_search_follows_what_it_has_found(number, shape, net, smoothness):
    """On any surface: what is asked for is exact, each passed square that is asked for at all is asked for whole."""
    rng = np.random.default_rng(number)
    field = ndimage.gaussian_filter(rng.standard_normal(shape), smoothness * max(shape))
    truth = np.repeat(field[..., None], 3, axis=-1)
    search, requests = run(truth, net, (1, 1))
    asked = search.asked > 0
    np.testing.assert_array_equal(search.sides[asked], sides(truth)[asked])
    lines = [len(np.unique(r)) for r in (requests[0].x, requests[0].y)]
    assert lines == [min(n, net) for n in shape]
    guessed = search.above[..., 0]
    for i, j in np.ndindex(shape[0] - 1, shape[1] - 1):
        square = np.s_[i : i + 2, j : j + 2]
        if guessed[square].min() < guessed[square].max():
            assert asked[square].all()


def test_where_nothing_crosses_the_net_is_all():
    truth = np.ones((50, 30, 3))
    search, requests = run(truth, net=5)
    assert len(requests) == 1
    assert (search.asked > 0).sum() == 25
    assert (search.sides == 1).all()


def test_boundaries_of_single_seeds_are_followed_too():
    values = surface("two boundaries", 48, 3, 0.1)
    truth = np.concatenate([margins(values), values], axis=-1)
    search, _ = run(truth)
    for layer in (1, 3, 4, 5):
        above = truth[..., layer] >= 0
        passed = above[:-1, :-1].astype(int) + above[1:, :-1] + above[:-1, 1:] + above[1:, 1:]
        whole = [(search.asked[i : i + 2, j : j + 2] > 0).all() for i, j in np.argwhere((passed > 0) & (passed < 4))]
        assert np.mean(whole) > 0.98
    alone, _ = run(margins(values))
    assert (alone.asked > 0).sum() < (search.asked > 0).sum()


def test_more_seeds_go_where_the_interval_holds_the_level():
    values = surface("diagonal", 40, 12, 0.3)
    search = Search((40, 40), 9, (3, 12))
    request, requests = search.first(), []
    while request is not None:
        requests.append(request)
        known = np.full((40, 40, 3), np.nan)
        for count in np.unique(search.asked[search.asked > 0]):
            cells = search.asked == count
            known[cells] = margins(values[..., :count])[cells]
        request = search.next(known)
    assert {r.seeds for r in requests} == {range(3), range(3, 6), range(6, 12)}
    few = (search.asked > 0) & (search.asked < 12)
    assert (sides(known)[few] != 0).all(), "a cell that the seeds cannot decide has not got all"
    truth = margins(values)
    full = search.asked == 12
    assert full.any()
    np.testing.assert_array_equal(search.sides[full], sides(truth)[full])


def test_numbers_far_off_do_not_bend_the_guess():
    truth = margins(surface("diagonal", 64, 3, 0.02))
    far = np.where(truth[..., 1:2] > 0.6, np.inf, truth)
    search, _ = run(far)
    assert (search.sides == sides(truth)).mean() >= 0.995
    assert (search.asked > 0).sum() <= 1.1 * (run(truth)[0].asked > 0).sum()


def test_cells_without_a_number_are_undecided_and_not_asked_for_again():
    truth = margins(surface("diagonal", 40, 3, 0.02))
    truth[::3, ::2] = np.nan
    search, _ = run(truth)
    missing = np.isnan(truth[..., 1]) & (search.asked > 0)
    assert missing.any()
    assert (search.sides[missing] == 0).all()
    known = (search.asked > 0) & ~missing
    np.testing.assert_array_equal(search.sides[known], sides(truth)[known])
    blank, requests = run(np.full((20, 20, 3), np.nan))
    assert len(requests) == 1
    assert (blank.sides == 0).all()
