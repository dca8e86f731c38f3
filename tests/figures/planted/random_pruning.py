"""Paper 002: Figure 2, the theory's regime, and the network on MNIST."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import xarray as xr

from planted.building import dataset
from snljax import theory
from snljax.experiments.random_pruning import EXPERIMENT

# --- Figure 2 ----------------------------------------------------------------------------------------

PRUNED = np.array([0, 0.3, 0.5, 0.8, 0.9, 0.97])
KEPT_BY_PRUNED = (1 - PRUNED).round(6)
SHARED = ["runs", "filters", "filters_and_runs"]


def as_the_paper_says(pruned):
    return 0.1 - 0.06 * (pruned > 0) + 0.46 * (pruned > 0.5)


def none(pruned):
    return 0.0 * pruned


def by_mean(pruned, mean):
    """Half the range over runs: the larger, the larger the error."""
    return 0.002 + 0.05 * mean + 0 * pruned


def over_runs(mean, half, seeds):
    """Runs spread evenly around a mean: one more dimension, the last."""
    return mean[..., None] + half[..., None] * np.linspace(-1, 1, seeds)


def figure_2(quiet=as_the_paper_says, train=none, noisy=(0.4, 0.35), end=0.3, half=by_mean, lost=0.5, seeds=8):
    """Test error at σ_n = 0.5 over the pruned fraction, however the mask is drawn; training error, at both levels.

    noisy: test error at σ_n = 1 without pruning and with. end: of training at half pruned, 0.5 at its start.
    lost: beyond it a mask has no signal. half: of the range over runs, by pruned fraction and mean; that of the
    training error is as large as it, up to 0.01.
    """
    strong = np.where(PRUNED > 0, noisy[1], noisy[0])
    test = np.stack([quiet(PRUNED), strong])
    trained = over_runs(train(PRUNED), np.minimum(train(PRUNED), 0.01), seeds)
    runs = over_runs(test, half(PRUNED, test), seeds)
    both = np.broadcast_to(runs, (2, *runs.shape))
    variables = {"test_accuracy": 1 - both, "train_accuracy": np.broadcast_to(1 - trained, both.shape)}
    coords = {"sigma_0": [0.1, 0.01], "sigma_p": [0.5, 1.0], "keep_fraction": KEPT_BY_PRUNED, "seed": range(seeds)}
    settings = {"network": "fully_connected", "num_classes": 2}
    fitted = dataset(variables, ("sigma_0", "sigma_p", "keep_fraction", "seed"), coords, settings)
    filters = (150 * KEPT_BY_PRUNED).round()
    fitted = fitted.assign(signal_filters=_filters(fitted.test_accuracy, filters))

    pruned = fitted.isel(sigma_0=0, sigma_p=0, keep_fraction=slice(1, None), drop=True)
    masks = pruned.expand_dims(mask_shared_by=SHARED)
    without = np.where(PRUNED[1:] > lost, 0, 150)
    masks = masks.assign(signal_filters=_filters(masks.test_accuracy, without))

    ends = np.full((2, 2), end)
    last = over_runs(ends, half(np.array([0, 0.5]), ends), seeds)
    course = np.stack([0 * last + 0.5, last], axis=-1)
    at = {"sigma_0": [0.1, 0.01], "keep_fraction": [1.0, 0.5], "seed": range(seeds), "step": [0, 1000]}
    about = {"sigma_p": 1.0, "num_classes": 2}
    training = dataset({"test_accuracy": 1 - course}, ("sigma_0", "keep_fraction", "seed", "step"), at, about)
    return {"fitted": fitted, "fitted-training": training, "fitted-masks": masks}


def _filters(like, by_kept):
    kept = xr.DataArray(by_kept, dims="keep_fraction", coords={"keep_fraction": like.keep_fraction})
    return (0 * like + kept).expand_dims({"class": 2}, axis=-1)


def wrong_curve(pruned):
    """Worse where the paper is better, as good as without pruning where it rises, and bad at the very end only."""
    return 0.1 + 0.2 * ((pruned > 0) & (pruned <= 0.5)) + 0.3 * (pruned > 0.9)


ERROR_CASES = {
    "as the paper says": figure_2,
    "all wrong": lambda: figure_2(
        wrong_curve,
        train=lambda p: 0.05 + 0 * p,
        noisy=(0.1, 0.2),
        end=0.6,
        half=lambda pruned, mean: 0.03 - 0.02 * mean + 0 * pruned,
        lost=0.9,
    ),
    "runs that decide nothing": lambda: figure_2(
        lambda p: 0.3 + 0.03 * (p > 0) + 0.07 * (p == 0.8) + 0.6 * (p > 0.9),
        train=lambda p: 0.01 + 0 * p,
        noisy=(0.25, 0.26),
        end=0.5,
        half=lambda pruned, mean: 0.02 + 0.3 * (pruned > 0) + 0.02 * np.sin(9 * pruned) + 0 * mean,
        lost=0.6,
    ),
}

# --- the theory's regime -----------------------------------------------------------------------------

KEPT = np.array([1.0, 0.5, 0.2, 0.14, 0.05, 0.02, 0.01, 0.005, 0.002, 0.00145])
SIZES = {
    "random": {"m": 50},
    "coefficients": {"m": 50},
    "regime": {"m": 50},
    "classes": {"m": 50, "num_classes": 3, "n": 200},
    "condition": {"m": 8, "d": 100},
    "plain": {"m": 50},
}
OURS = 0.01382  # kept fraction at which one of two classes' 100 filters can learn a signal with probability ½


def settings_of(name, met):
    """All fields of the reading, with as many steps as any theorem may want; met: by Condition 2.2, or far from it."""
    c = dataclasses.asdict(EXPERIMENT.readings["theory"]) | {"n": 80, "steps": 10**20} | SIZES[name]
    noise = 1 / (c["d"] ** 0.5 * np.log(c["d"]))
    if not met:
        return c | {"sigma_p": 20 * noise}
    return c | {"sigma_p": noise, "sigma_0": 1 / (c["m"] ** 4 * c["n"]), "step_rule": "plain", "learning_rate": 1.0}


def lost_classes(kept, m, classes):
    """Test error if every class that no filter can learn is guessed."""
    lost = (1 - kept / 2) ** m
    return lost - (1 - (1 - lost) ** classes) / classes


def regime(
    name="random",
    kept=KEPT,
    error=lost_classes,
    loss=(0.03, 0.01, 20.0),
    train_loss=0.005,
    exponent=0.5,
    varies=0.1,
    met=True,
    seeds=8,
    m=None,
):
    """Each network has learned all classes or none, so often that its mean error is the wanted one.

    loss: of the test, without pruning, with mild pruning and with too much. exponent: of p in noise, ζ and ω; varies:
    how much from seed to seed, and losses by as large a part of themselves.
    """
    about = settings_of(name, met)
    ms = [about["m"]] if m is None else m
    sizes, share, z = (len(ms), len(kept), seeds), (np.arange(seeds) + 0.5) / seeds, np.linspace(-1, 1, seeds)
    guessing = 1 - 1 / about["num_classes"]
    means = np.stack([error(kept, one, about["num_classes"]) for one in ms])
    wrong = np.where(share < means[..., None] / guessing, guessing, 0.0)
    least = min(float(theory.mild_pruning_keep(about["d"], one)) for one in ms)
    mean_loss = np.where(kept == 1, loss[0], np.where(kept >= least, loss[1], loss[2]))
    noise = about["sigma_0"] * about["sigma_p"] * about["d"] ** 0.5 * kept[:, None] ** (exponent + varies * z)
    variables = {
        "test_accuracy": 1 - wrong,
        "test_loss": np.broadcast_to(
            mean_loss[:, None] * (1 + varies * np.where(kept == 1, -1, 1)[:, None] * z), sizes
        ),
        "train_loss": np.full(sizes, train_loss),
        "noise_others": np.broadcast_to(noise, sizes),
        "noise": np.broadcast_to(2 * noise, sizes),
        "signal": np.where(wrong == 0, 1.7, 0.1),
    }
    coords = {"m": ms, "keep_fraction": kept, "seed": range(seeds)}
    del about["m"]
    return dataset(variables, ("m", "keep_fraction", "seed"), coords, about)


def with_coefficients(ds, own=2.0, others=0.5, noise=0.5):
    """γ of the own signal and of others', ζ and ω: so many times their scales in Theorem D.1, √p as in the noise."""
    about = json.loads(ds.attrs["settings"])
    classes, m, n = np.arange(2), int(ds.m[0]), 3
    eye = xr.DataArray(classes[:, None] == classes, dims=("class", "signal_of_class"))
    gamma = xr.where(eye, own * m ** (-1 / 3), -others * about["sigma_0"] * about["mu"])
    one = xr.ones_like(ds.noise_others).expand_dims({"filter": 2})
    sample = xr.DataArray(np.linspace(0.5, 1, n), dims="sample")
    zeta = (noise * ds.noise_others * one * sample).expand_dims({"class": 2})
    return ds.assign(gamma=gamma * one, zeta=zeta, omega=-zeta)


def theory_datasets(coefficients=None, **changes):
    """All Datasets of the figure, with the same answer in each."""
    plain = np.array([1.0, 0.2, 0.02, 0.00145])
    made = {"random": regime(**changes), "classes": regime("classes", np.append(KEPT, [0.00096, 0.0005]), **changes)}
    made["coefficients"] = with_coefficients(regime("coefficients", KEPT[:4], **changes), **(coefficients or {}))
    made["regime"] = with_coefficients(regime("regime", KEPT[[0, 1, 2, 3, -1]], **changes), **(coefficients or {}))
    for name, kept in (("condition", np.array([1.0])), ("plain", plain)):
        made[name] = alone(regime(name, kept, **changes))
    return {name: made[name] for name in SIZES}


def alone(ds):
    """With m as a setting and not as an axis."""
    about = json.loads(ds.attrs["settings"]) | {"m": int(ds.m[0])}
    return ds.isel(m=0, drop=True).assign_attrs(settings=json.dumps(about))


def at_theorem(kept, m, classes, steep=1.0):
    """The mean error falls below half of guessing at 1/(K m log d), d = 1000."""
    return (1 - 1 / classes) * 0.5 ** ((kept * classes * m * np.log(1000)) ** steep)


def slowly(kept, m, classes):
    """There too, but over so wide a range that few seeds do not show where."""
    return at_theorem(kept, m, classes, steep=0.2)


def everywhere(kept, m, classes):
    """Half of the networks guess however much is kept, all of them where little is."""
    return (1 - 1 / classes) * np.where(kept > 0.5, 0.25, 1.0)


THEORY_CASES = {
    "the theorems are right": lambda: theory_datasets(error=at_theorem, seeds=40),
    "ours is right": lambda: theory_datasets(seeds=40),
    "all wrong": lambda: theory_datasets(
        error=everywhere,
        loss=(0.5, 0.6, 0.2),
        exponent=2.0,
        met=False,
        coefficients={"own": 0.1, "others": 10.0, "noise": 10.0},
    ),
    "never trained": lambda: theory_datasets(train_loss=0.05),
    "seeds that decide nothing": lambda: theory_datasets(error=slowly, loss=(0.3, 0.3, 0.8), varies=1.0, seeds=5),
    "one seed": lambda: theory_datasets(seeds=1),
}

# --- an MLP on MNIST ---------------------------------------------------------------------------------

LEVELS = np.arange(0, 12)


def falling(at):
    """Accuracy by level: 0.9, and less by 0.1 with each level from this one on."""
    return np.where(at <= LEVELS, 0.9 - 0.1 * (LEVELS - at + 1), 0.9)


def pruned(test, train, wide=0.0, seeds=5, **about):
    """Accuracies by level, the same of both methods; wide: half the range over seeds, of the pruned ones."""
    kept = (0.8**LEVELS).round(6)
    z = np.linspace(-1, 1, seeds) * np.where(LEVELS > 0, wide, 0.0)[:, None]
    values = {"test_accuracy": np.asarray(test)[:, None] + z, "train_accuracy": np.asarray(train)[:, None] - z}
    settings = {"network": "mlp", "dataset": "mnist", "prune_every": 10, "width": 1.0, "side": 0, "n_train": 0}
    settings |= {"steps": 100, "batch_size": 128, **about}
    axes = {"keep_fraction": kept, "seed": range(seeds), "class": range(10)}
    random = dataset(values, ("keep_fraction", "seed"), axes, settings)
    first = {name: np.concatenate([np.full((1, seeds), 0.1), v]) for name, v in values.items()}
    steps = np.arange(len(LEVELS) + 1) * 10
    imp = dataset(first, ("step", "seed"), {"step": steps, "seed": range(seeds)}, settings)
    return {"random": random, "imp": imp.assign(status=imp.status.isel(step=0, drop=True))}


MNIST_CASES = {
    "as the paper says": lambda: pruned(falling(8), falling(10)),
    "all wrong": lambda: pruned(falling(5), falling(3)),
    "seeds that decide nothing": lambda: pruned(falling(9), falling(9), wide=0.1),
}


def on_cifar(vgg, resnet, wide=0.0):
    """Test and training accuracy by level of both networks."""
    found = {}
    for network, (test, train) in (("vgg16", vgg), ("resnet20_128", resnet)):
        both = pruned(test, train, wide, network=network, dataset="cifar10")
        found |= {f"{network}-{method}": ds for method, ds in both.items()}
    return found


def perfect(at):
    """Training accuracy that stays 1 up to this level."""
    return np.where(at <= LEVELS, 0.9, 1.0)


CIFAR_CASES = {
    "as the paper says": lambda: on_cifar((falling(3), falling(5)), (falling(4), perfect(6))),
    "all wrong": lambda: on_cifar((falling(2), falling(1)), (falling(2), np.where(LEVELS > 0, 0.9, 0.97))),
    "seeds that decide nothing": lambda: on_cifar((falling(3), falling(3)), (falling(3), perfect(3)), wide=0.1),
}

CASES = {
    "random-pruning-cifar10": CIFAR_CASES,
    "random-pruning-error": ERROR_CASES,
    "random-pruning-theory": THEORY_CASES,
    "random-pruning-mnist": MNIST_CASES,
}
