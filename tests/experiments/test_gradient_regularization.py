"""Paper 003: the step against Lemma 5.1 (corrected), span against dense."""

from __future__ import annotations

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import snljax as snl
from snljax.experiments import gradient_regularization as pegr
from snljax.experiments.gradient_regularization import EXPERIMENT, Config

SMALL = {"n": 8, "n_test": 50, "d": 30, "m": 3, "steps": 60, "close_at": 40, "sigma_0": 0.1, "learning_rate": 0.05}


def config(**settings) -> Config:
    """A Config as the engine hands it over: traced fields are strong arrays."""
    made = Config(**(SMALL | settings))
    kinds = {int: jnp.int32, float: jnp.zeros(()).dtype}
    return jax.tree.map(lambda v: jnp.asarray(v, kinds[type(v)]), made)


@functools.cache
def _drawn(direction: str, x64: bool) -> pegr.Draw:
    with jax.enable_x64(x64):
        return jax.jit(EXPERIMENT.draw)(config(signal_direction=direction), jax.random.key(0))


def drawn(c: Config) -> pegr.Draw:
    """The draw depends on sizes and direction only."""
    return _drawn(c.signal_direction, jnp.zeros(()).dtype == jnp.float64)


@jax.jit
def train(c: Config, draw: pegr.Draw, steps: int):
    return lax.fori_loop(0, steps, lambda t, s: EXPERIMENT.step(c, draw, s, t), EXPERIMENT.init(c, draw))


measure = jax.jit(EXPERIMENT.measure)


def weights_of(c: Config, draw: pegr.Draw, state) -> np.ndarray:
    return np.asarray(pegr.weights_of(c, draw, state))


# --- Lemma 5.1 --------------------------------------------------------------------------------------


def lemma(c: Config, draw: pegr.Draw, w: np.ndarray, m_power: int) -> np.ndarray:
    """One update by Lemma 5.1 in NumPy, for the printed 1/m and 1/2.

    The lemma prints 4λζℓ''/m; its own proof has 8λ/(nm²)·ζ in the line above, which against the factor
    2/(nm) in front leaves 4λζℓ''/m, but there the gradient of ℓ'² has lost its 1/m. m_power = 2 is right.
    """
    mu, eta, lam, m, n = float(c.mu), float(c.learning_rate), float(c.penalty_weight), c.m, c.n
    signal = mu * np.asarray(draw.direction, float)
    noise, y = float(c.sigma_p) * np.asarray(draw.train.noise, float), np.asarray(draw.train.labels, float)

    def relu(x):
        return np.maximum(x, 0)

    on_signal = relu(np.einsum("jrd,d,i->jri", w, signal, y))  # ReLU(⟨w, y_i μ⟩)
    on_noise = relu(np.einsum("jrd,id->jri", w, noise))
    signs = np.array([1.0, -1.0])
    f = np.einsum("j,jri->i", signs, on_signal**2 + on_noise**2) / m
    first = -1 / (1 + np.exp(y * f))  # ℓ'
    second = np.exp(y * f) / (1 + np.exp(y * f)) ** 2  # ℓ''
    noise_norm = (noise**2).sum(1)
    zeta = np.einsum("jri->i", on_signal**2) * mu**2 + np.einsum("jri->i", on_noise**2) * noise_norm
    grow = first * (1 + 4 * lam * zeta / m**m_power * second)
    moved = np.einsum("i,j,i,jri,i,d->jrd", grow, signs, y, on_signal, y, signal)
    moved += np.einsum("i,j,i,jri,id->jrd", grow, signs, y, on_noise, noise)
    held = np.einsum("i,jri,i,d->jrd", first**2, on_signal * mu**2, y, signal)
    held += np.einsum("i,jri,i,id->jrd", first**2, on_noise, noise_norm, noise)
    return w - 2 * eta / (n * m) * moved - 4 * lam * eta / (n * m**2) * held


@pytest.mark.usefixtures("x64")
def test_lemma_5_1_holds_with_m_squared_and_not_as_printed():
    """An erratum of the paper: its factor 4λζℓ''/m should be 4λζℓ''/m²."""
    c = config(
        descent="dense", filter_reduction="mean", penalty_half=True, sigma_0=0.5, penalty_weight=0.3, learning_rate=0.5
    )
    draw = drawn(c)
    w = np.asarray(EXPERIMENT.init(c, draw))
    ours = np.asarray(jax.jit(EXPERIMENT.step)(c, draw, jnp.asarray(w), 0))
    np.testing.assert_allclose(ours, lemma(c, draw, w, m_power=2), rtol=1e-5, atol=1e-12)
    printed = np.abs(ours - lemma(c, draw, w, m_power=1)).max()
    assert printed > 0.1 * np.abs(ours - w).max()


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("descent", ["span", "dense"])
def test_a_whole_run_follows_the_corrected_lemma(descent):
    """λ on for 40 updates and off for 20, an independent loop in NumPy."""
    c = config(descent=descent, filter_reduction="mean", penalty_half=True, penalty_weight=0.2, learning_rate=1.0)
    draw = drawn(c)
    off = config(filter_reduction="mean", penalty_half=True, penalty_weight=0.0, learning_rate=1.0)
    w = 0.1 * np.asarray(draw.weights, float)
    for t in range(60):
        w = lemma(c if t < 40 else off, draw, w, m_power=2)
    moved = np.abs(w - 0.1 * np.asarray(draw.weights, float)).max()
    assert moved > 0.1
    np.testing.assert_allclose(weights_of(c, draw, train(c, draw, 60)), w, atol=1e-9 * moved)


# --- span and dense ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("penalty", "q", "direction"),
    [(p, q, "axis") for p in ("pegr", "fgr") for q in (1, 2, 3)] + [("none", 2, "axis"), ("pegr", 2, "random")],
)
def test_span_equals_dense(penalty, q, direction):
    """The dense step differentiates the generic penalties; the span step knows the Gram matrix."""
    settings = {"penalty": penalty, "q": q, "signal_direction": direction, "penalty_weight": 0.05}
    span, dense = config(**settings), config(**settings, descent="dense")
    draw = drawn(span)
    assert draw.direction[0] == 1.0 or direction == "random"
    states = train(span, draw, 60), train(dense, draw, 60)
    a, b = weights_of(span, draw, states[0]), weights_of(dense, draw, states[1])
    moved = np.abs(a - 0.1 * np.asarray(draw.weights)).max()
    assert moved > 1e-2
    np.testing.assert_allclose(a, b, atol=1e-9 * moved)
    measured = [measure(c, draw, s) for c, s in zip((span, dense), states, strict=True)]
    for name in ("train_loss", "test_loss", "test_accuracy", "signal", "noise", "gradient_norm"):
        np.testing.assert_allclose(*(getattr(m, name) for m in measured), rtol=1e-7, err_msg=name)


def test_span_equals_dense_in_single_precision():
    for penalty in ("pegr", "fgr"):
        span, dense = config(penalty=penalty), config(penalty=penalty, descent="dense")
        draw = drawn(span)
        a, b = (weights_of(c, draw, train(c, draw, 60)) for c in (span, dense))
        chex.assert_type(a, jnp.float32)
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.usefixtures("x64")
def test_turning_everything_turns_the_weights():
    """A reflection of signal, noise and weights is a reflection of what is learned; no direction is special."""
    c = config(descent="dense")
    draw = drawn(c)
    normal = np.random.default_rng(1).normal(size=c.d)
    turn = np.eye(c.d) - 2 * np.outer(normal, normal) / (normal @ normal)
    turned = draw._replace(
        weights=draw.weights @ turn,
        direction=turn @ draw.direction,
        train=draw.train._replace(noise=draw.train.noise @ turn),
        test=draw.test._replace(noise=draw.test.noise @ turn),
    )
    a, b = train(c, draw, 60), train(c, turned, 60)
    np.testing.assert_allclose(np.asarray(a) @ turn, b, atol=1e-10)
    ma, mb = measure(c, draw, a), measure(c, turned, b)
    chex.assert_trees_all_close(ma, mb, rtol=1e-8)


def test_the_decomposition_is_that_of_the_paper():
    """γ and ρ of Definition 5.2, recovered from the weights by least squares."""
    c = config()
    draw = drawn(c)
    state = train(c, draw, 60)
    w = weights_of(c, draw, state).astype(float) - 0.1 * np.asarray(draw.weights, float)
    signal, noise = np.asarray(draw.direction, float), np.asarray(draw.train.noise, float)  # sigma_p = mu = 1
    basis = np.concatenate([signal[None], noise / (noise**2).sum(1, keepdims=True)])
    solved = np.linalg.lstsq(basis.T, w.reshape(-1, c.d).T, rcond=None)[0].T.reshape(2, c.m, -1)
    measured = measure(c, draw, state)
    assert float(measured.gamma) == pytest.approx((np.array([[1], [-1]]) * solved[..., 0]).max(), abs=1e-4)
    assert float(measured.rho) == pytest.approx(solved[..., 1:].max(), abs=1e-4)


@pytest.mark.usefixtures("x64")
def test_early_training_has_the_rates_of_section_5_1():
    """From tiny weights every margin is 0 and ℓ' = -1/2: by hand, noise grows at the rate of Section 5.1, the signal
    at the share of its sign's samples, and the penalty holds both back at twice the printed rate (times that share).
    """
    settings = {"sigma_0": 1e-9, "penalty_weight": 0.05, "mu": 1.5, "sigma_p": 0.7, "learning_rate": 0.01}
    draw = drawn(config())
    step = jax.jit(EXPERIMENT.step)
    moved = {}
    for penalty in ("none", "pegr"):
        c = config(**settings, penalty=penalty)
        moved[penalty] = step(c, draw, EXPERIMENT.init(c, draw), 0)
    noise_norm = 0.7 * np.linalg.norm(np.asarray(draw.train.noise), axis=1)
    grown = snl.theory.growth_rates(1.5, noise_norm, c.n, 0.01)
    held = snl.theory.suppression_rates(1.5, noise_norm, c.n, 0.01, 0.05)
    signs, labels = np.asarray(pegr.SIGNS), np.asarray(draw.train.labels)

    # ReLU² passes on what is positive: a filter of sign j grows on samples of its own label and shrinks on others.
    response = 1e-9 * 0.7 * np.asarray(draw.overlaps.noise)
    active = response > 0
    plain, penalised = (np.asarray(moved[p].noise) * noise_norm**2 / response for p in ("none", "pegr"))
    rate = np.broadcast_to(signs[:, None, None] * labels * grown[1], response.shape)
    np.testing.assert_allclose(plain[active], rate[active], rtol=1e-6)
    rate = np.broadcast_to(2 * held[1], response.shape)
    np.testing.assert_allclose((plain - penalised)[active], rate[active], rtol=1e-6)

    response = 1e-9 * 1.5 * np.asarray(draw.overlaps.signal)
    share = np.where(response > 0, np.mean(labels > 0), np.mean(labels < 0))  # of samples that a filter responds to
    plain, penalised = (np.asarray(moved[p].signal) * 1.5**2 / response for p in ("none", "pegr"))
    np.testing.assert_allclose(plain, signs[:, None] * np.sign(response) * share * grown[0], rtol=1e-6)
    np.testing.assert_allclose(plain - penalised, 2 * share * held[0], rtol=1e-6)


# --- the printed network and the sum ------------------------------------------------------------------

PRINTED = {"filter_reduction": "mean", "penalty_half": True}


def test_readings():
    fitted, printed, rescaled = (EXPERIMENT.readings[name] for name in ("fitted", "printed", "rescaled"))
    assert (fitted.filter_reduction, fitted.penalty_half) == ("sum", False)
    assert (printed.filter_reduction, printed.penalty_half) == ("mean", True)
    assert (printed.penalty_weight, printed.learning_rate) == (0.01, 0.02)
    assert (rescaled.penalty_weight, rescaled.learning_rate) == pytest.approx((0.2, 0.2))  # 2m and m times
    assert rescaled == dataclasses.replace(printed, penalty_weight=0.2, learning_rate=0.2)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("penalty", "factor"), [("pegr", 2), ("fgr", 1)])
def test_the_printed_network_is_the_sum_in_other_units(penalty, factor):
    """Exactly, at the end of a run that left its early phase: √m the weights for √m σ_0, m η, and 2m λ, of FGR m λ."""
    m = SMALL["m"]
    base = {"penalty": penalty, "penalty_weight": 0.05, "sigma_0": 0.1, "learning_rate": 0.05}
    other = {"penalty_weight": factor * m * 0.05, "sigma_0": m**0.5 * 0.1, "learning_rate": m * 0.05}
    summed, printed = config(**base), config(**base | other | PRINTED)
    draw = drawn(summed)
    start, a, b = measure(summed, draw, EXPERIMENT.init(summed, draw)), *(train(c, draw, 60) for c in (summed, printed))
    ours, theirs = measure(summed, draw, a), measure(printed, draw, b)
    assert abs(float(ours.train_loss - start.train_loss)) > 0.01
    np.testing.assert_allclose(weights_of(printed, draw, b), m**0.5 * weights_of(summed, draw, a), rtol=1e-9)
    for name in ("train_loss", "test_loss", "train_accuracy", "test_accuracy"):
        np.testing.assert_allclose(getattr(theirs, name), getattr(ours, name), rtol=1e-9, err_msg=name)
    for name in ("signal", "noise"):
        np.testing.assert_allclose(getattr(theirs, name), m**0.5 * getattr(ours, name), rtol=1e-9, err_msg=name)


@pytest.mark.usefixtures("x64")
def test_from_the_same_weights_the_two_part_by_the_size_of_their_outputs():
    """From σ_0 and from σ_0/10: their first moves differ by a share that falls as σ_0², as outputs do."""
    shares = []
    for sigma_0 in (0.01, 0.001):
        base = {"penalty_weight": 0.05, "sigma_0": sigma_0, "learning_rate": 0.05}
        m = SMALL["m"]
        summed = config(**base)
        printed = config(**base | {"penalty_weight": 2 * m * 0.05, "learning_rate": m * 0.05} | PRINTED)
        draw = drawn(summed)
        moved = [weights_of(c, draw, train(c, draw, 1)) - sigma_0 * np.asarray(draw.weights) for c in (summed, printed)]
        shares.append(np.linalg.norm(moved[0] - moved[1]) / np.linalg.norm(moved[0]))
    assert 1e-3 < shares[0] < 1
    assert shares[1] == pytest.approx(shares[0] / 100, rel=0.1)


# --- limits -----------------------------------------------------------------------------------------


def sweep(**settings):
    grid = snl.Grid("gradient_regularization", **(SMALL | {"sigma_p": [0.1, 1.0], "seed": [0, 1]} | settings))
    return snl.sweep(grid, progress=False, devices=1, block=(1, 2), record_every=10)


# No weight, no time, a penalty that is on for 40 of 60 steps, for 20 and for 50.
WEIGHTS, CLOSED = [0.0, 0.01, 0.1, 0.1, 0.1], [40, 0, 40, 20, 50]


@pytest.fixture(scope="module")
def penalised():
    """Training losses under each penalty, of the settings above."""
    base = {name: value for name, value in SMALL.items() if name != "close_at"} | {"sigma_p": [0.1, 1.0]}
    setting = snl.zip(penalty_weight=WEIGHTS, close_at=CLOSED)
    grid = snl.Grid("gradient_regularization", **base, seed=[0, 1], setting=setting, penalty=["pegr", "fgr"])
    return snl.sweep(grid, progress=False, devices=1, block=(1, 2), record_every=10).train_loss


@pytest.fixture(scope="module")
def plain():
    return sweep(penalty="none").train_loss


@pytest.mark.parametrize("penalty", ["pegr", "fgr"])
def test_no_weight_or_no_time_is_no_penalty(plain, penalised, penalty):
    loss = penalised.sel(penalty=penalty)
    for nothing in (0, 1):
        np.testing.assert_allclose(loss.isel(setting=nothing), plain, rtol=1e-5)
    assert np.abs(loss.isel(setting=2) - plain).isel(step=-1).max() > 1e-4


@pytest.mark.parametrize("penalty", ["pegr", "fgr"])
def test_closing_later_changes_nothing_before(penalised, penalty):
    """Trajectories with T₁ = 20 and 50 part at step 20."""
    early, late = (penalised.sel(penalty=penalty).isel(setting=i) for i in (3, 4))
    np.testing.assert_array_equal(early.sel(step=slice(0, 20)), late.sel(step=slice(0, 20)))
    assert (early.sel(step=slice(30, None)) != late.sel(step=slice(30, None))).all()


def test_a_penalty_that_overflows_and_is_closed_leaves_nothing_behind():
    """From step 0 on it is off: infinite λ‖∇‖² may not turn into NaN, not even where close_at is an axis."""
    ds = sweep(close_at=[0, 1], penalty_weight=1e38, sigma_p=1e2, sigma_0=1.0, learning_rate=1e-9)
    assert ds.status.sel(close_at=0).values.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("settings", "texts"),
    [
        ({"penalty_weight": -0.1}, ["penalty_weight", "-0.1", "[0, inf)"]),
        ({"close_at": 61}, ["close_at", "61", "steps = 60"]),
        ({"steps": 30}, ["close_at", "40", "steps = 30"]),
        ({"q": 0.5}, ["q", "0.5", "[1, inf)"]),
        ({"penalty": "perg"}, ["penalty", "did you mean 'pegr'"]),
    ],
)
def test_bad_input(one_line, settings, texts):
    one_line(lambda: snl.Grid("gradient_regularization", **(SMALL | settings)), *texts)
