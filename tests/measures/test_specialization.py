"""How neurons specialise: the sets of Definition B.1, cosines, mixtures, and the linear probe."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snljax import theory
from snljax.measures import specialization


def test_sets_of_definition_b1_by_hand():
    """Against the inequalities in a loop; lucky neurons are ordinary ones; sizes below Lemma B.2's bound."""
    d, m, epsilon = 50, 4000, 0.9
    a = np.asarray(jax.random.normal(jax.random.key(0), (m, d)), float)
    ordinary = np.asarray(specialization.ordinary_neurons(jnp.asarray(a), epsilon))
    lucky = np.asarray(specialization.lucky_neurons(jnp.asarray(a), epsilon))
    level = np.log(d) / d * (a**2).sum(1)
    c1, c2 = 2 * 1.01 / epsilon**2, 2 * 0.99 * epsilon**2
    for i in range(0, m, 17):
        for j in range(d):
            assert ordinary[i, j] == (a[i, j] ** 2 >= c2 * level[i])
            others = np.delete(a[i], j)
            assert lucky[i, j] == (a[i, j] ** 2 >= c1 * level[i] and (others**2 <= c2 * level[i]).all())
    assert lucky.sum() > 100
    assert not (lucky & ~ordinary).any()
    assert lucky.sum(1).max() == 1
    assert ordinary.sum(0).mean() < theory.ordinary_neurons_bound(m, d, epsilon)
    assert lucky.sum(0).mean() < ordinary.sum(0).mean()


def test_cosines_and_participation():
    w = jnp.array([[1.0, 1.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]])
    cos = specialization.cosines(w, 3 * jnp.eye(3)[:2])
    np.testing.assert_allclose(cos, [[0.5**0.5, 0.5**0.5], [0, 0], [0, 0]], rtol=1e-6)
    np.testing.assert_allclose(specialization.participation(w), [2, 1, 0], rtol=1e-6)
    np.testing.assert_allclose(specialization.participation(jnp.ones(7)), 7, rtol=1e-6)


@pytest.mark.usefixtures("x64")
def test_probe_against_least_squares():
    """With next to no ridge: NumPy's least squares with a column of ones, also with a dead coordinate."""
    rng = np.random.default_rng(0)
    f, g = rng.normal(size=(40, 3)) + 2, rng.normal(size=(30, 3)) + 2
    s, r = f @ rng.normal(size=(3, 2)) + rng.normal(size=(40, 2)), rng.normal(size=(30, 2))
    solved = np.linalg.lstsq(np.c_[f, np.ones(40)], s, rcond=None)[0]
    expected = ((np.c_[g, np.ones(30)] @ solved - r) ** 2).mean(0)
    np.testing.assert_allclose(specialization.probe_errors(*map(jnp.asarray, (f, s, g, r)), ridge=1e-12), expected)
    dead = [np.c_[v, np.zeros(len(v))] for v in (f, g)]
    found = specialization.probe_errors(
        jnp.asarray(dead[0]), jnp.asarray(s), jnp.asarray(dead[1]), jnp.asarray(r), 1e-12
    )
    np.testing.assert_allclose(found, expected)
    nothing = specialization.probe_errors(jnp.zeros((40, 3)), jnp.asarray(s), jnp.zeros((30, 3)), jnp.asarray(r))
    np.testing.assert_allclose(nothing, ((s.mean(0) - r) ** 2).mean(0))
