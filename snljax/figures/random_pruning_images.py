"""Figures and claims of paper 002 on images: networks pruned at random, or by magnitude in levels."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from snljax import plotting
from snljax.figures import Figure, Sweep
from snljax.figures.claims import Claim, above
from snljax.figures.datasets import Datasets, alive, setting
from snljax.figures.image_sets import NETWORKS, cited, said, smaller, steps, untrained

LEFT = 0.8  # of the weights, by each level
COMPETITIVE = 0.01  # test accuracy; the paper's "no much worse"
PERFECT = 0.99  # training accuracy; the paper's "remains perfect"
METHODS = {"random": "random pruning", "imp": "iterative magnitude pruning"}


class Panel(NamedTuple):
    """A network of the paper. place: of its picture. steady: share kept where the paper sees the end of a steady test
    accuracy; None where it names none and says that training accuracy stays perfect there.
    """

    place: str
    steady: float | None


class Page(NamedTuple):
    """A figure. name: its own. wanted: the paper's image set. panels: network -> Panel."""

    name: str
    wanted: str
    panels: Mapping[str, Panel]


MNIST = Page("random-pruning-mnist", "mnist", {"mlp": Panel("Section 5.2, Figure 3a", 0.21)})
CIFAR = Page(
    "random-pruning-cifar10",
    "cifar10",
    {"vgg16": Panel("Section 5.2, Figure 3b", 0.64), "resnet20_128": Panel("Appendix B, Figure 4", None)},
)


def key(page: Page, network: str, method: str) -> str:
    """The name of a Dataset of a page.

    Args:
        page: the Page. network: of its panels. method: of `METHODS`.

    Returns:
        The method, and before it the network where there are several.

    Example:
        >>> key(MNIST, "mlp", "imp"), key(CIFAR, "vgg16", "imp")
        ('imp', 'vgg16-imp')
    """
    return method if len(page.panels) == 1 else f"{network}-{method}"


def _levels(page: Page, network: str, levels: list[int], level: int, **fields: Any) -> dict[str, Any]:
    """Random masks of each sparsity, each trained once; and networks that go through all levels one after the other."""
    common = Sweep("image_classification", network=network, **fields)
    kept = [round(LEFT**k, 6) for k in levels]
    imp = {"prune_every": level, "prune_fraction": round(1 - LEFT, 6), "keep_fraction": kept[-1]}
    sweeps = {
        "random": common.but(pruning="random", keep_fraction=kept, steps=level),
        "imp": common.but(pruning="imp", **imp, steps=(levels[-1] + 1) * level, record_every=level),
    }
    return {key(page, network, method): sweep for method, sweep in sweeps.items()}


_MLP: dict[str, Any] = {"batch_size": 128, "seed": range(3)}
_PART = smaller("mnist", {"n_train": 1024, "n_test": 2000, "width": 0.25}, {"width": 0.25})
MNIST_PRESETS = {
    "quick": _levels(MNIST, "mlp", [0, 2, 4, 6, 7, 8, 10, 12, 14, 16], steps(120, 1024, 128), **_PART, **_MLP),
    "paper": _levels(MNIST, "mlp", list(range(21)), steps(120, 60_000, 128), dataset="mnist", **_MLP),
}


def _deep(level: int, **fields: Any) -> dict[str, Any]:
    """Table 1 of the paper; a schedule spans a level."""
    published = {"optimizer": "momentum", "momentum": 0.9, "learning_rate": 0.1, "weight_decay": 1e-4}
    return {**published, "schedule": "steps", "schedule_steps": level, **fields}


def _of_each(widths: Mapping[str, float], levels: list[int], level: int, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for network, width in widths.items():
        found |= _levels(CIFAR, network, levels, level, width=width, **_deep(level, **fields))
    return found


_NARROW = {"vgg16": 0.125, "resnet20_128": 0.0625}
_SMALL = smaller("cifar10", {"n_train": 512, "n_test": 1000, "side": 16}, {"side": 16, "n_train": 512})
_MEDIUM: dict[str, Any] = {
    "batch_size": 128,
    "seed": range(3),
    **smaller("cifar10", {"n_train": 2000, "n_test": 2000, "side": 16}, {"side": 16}),
}
CIFAR_PRESETS = {
    # A few epochs of narrow networks on few small images: what runs, and not what the paper's networks reach.
    "quick": _of_each(_NARROW, [0, 2], 48, batch_size=64, **_SMALL, seed=range(3)),
    # Unchanged images, so that dense networks come near to fitting them in so few epochs.
    "medium": {
        **_of_each({"vgg16": 0.25}, [0, 1, 2, 4, 6, 8], steps(30, 2000, 128), **_MEDIUM),
        **_of_each({"resnet20_128": 0.125}, [0, 1, 2, 4, 6, 8], steps(20, 2000, 128), **_MEDIUM),
    },
    "paper": _of_each(
        {"vgg16": 1.0, "resnet20_128": 1.0},
        list(range(13)),
        steps(160, 50_000, 128),
        dataset="cifar10",
        batch_size=128,
        augment="crop_flip",
        seed=range(3),
    ),
}


def _by_share(page: Page, network: str, datasets: Datasets) -> xr.Dataset:
    """Both methods over the share that is kept, those of the random masks."""
    random, imp = (alive(datasets[key(page, network, method)]) for method in METHODS)
    every = setting(datasets[key(page, network, "imp")], "prune_every")
    levels = imp.isel(step=slice(1, None))
    shares = LEFT ** (levels.step.values / every - 1)
    levels = levels.assign_coords(step=shares).rename(step="keep_fraction")
    levels = levels.sel(keep_fraction=random.keep_fraction.values, method="nearest", tolerance=1e-4)
    names = ["test_accuracy", "train_accuracy"]
    both = [ds[names].assign_coords(keep_fraction=random.keep_fraction.values) for ds in (random, levels)]
    return xr.concat(both, xr.DataArray(list(METHODS.values()), dims="way", name="way"), coords="minimal")


def draw(page: Page, datasets: Datasets) -> dict[str, Any]:
    fig, axes = plotting.panels(len(page.panels), 2, sharex=True)
    titles = []
    for row, (network, panel) in zip(axes, page.panels.items(), strict=True):
        found = _by_share(page, network, datasets)
        of = "" if len(page.panels) == 1 else f"{NETWORKS[network]}, "
        for ax, metric in zip(row, ("test_accuracy", "train_accuracy"), strict=True):
            values = found[metric].assign_attrs(long_name=f"{of}{metric.replace('_', ' ')}")
            plotting.curves(values, x="keep_fraction", hue="way", legend=False, ax=ax, marker="o")
            if panel.steady is not None:
                plotting.reference(ax, x=panel.steady, ls=":", label=f"{round(100 * panel.steady)} % kept")
            ax.set_xscale("log")
            plotting.ticks(ax, x=found.keep_fraction.values[:: 1 if len(found.keep_fraction) < 8 else 2].round(3))
            ax.tick_params(axis="x", rotation=45)
            ax.set_xlabel("")
        titles.append(said(datasets[key(page, network, "random")], page.wanted))
    for ax in axes[-1]:
        ax.set_xlabel("share of the weights that is kept, $0.8^k$")
    axes[0, 0].invert_xaxis()
    plotting.legend(fig)
    fig.suptitle("\n".join([*(f"{title} at each sparsity" for title in titles), plotting.caption(found)]))
    return {page.name: fig}


def check(page: Page, datasets: Datasets) -> list[Claim]:
    return [claim for network in page.panels for claim in _check_network(page, network, datasets)]


def _check_network(page: Page, network: str, datasets: Datasets) -> list[Claim]:
    found, panel = _by_share(page, network, datasets), page.panels[network]
    source = cited("002", panel.place, datasets[key(page, network, "random")], page.wanted)
    of = "" if len(page.panels) == 1 else f"{network}, "
    classes = datasets[key(page, network, "random")].sizes["class"]
    blind = untrained(found.test_accuracy.sel(keep_fraction=1.0), classes)
    claims = []
    for name in METHODS.values():
        accuracy = found.test_accuracy.sel(way=name)
        loss = (accuracy - accuracy.sel(keep_fraction=1.0)).drop_sel(keep_fraction=1.0)
        within = "test accuracy minus that of the dense network, within a seed"
        if panel.steady is None:
            perfect = found.train_accuracy.sel(way=name).drop_sel(keep_fraction=1.0) - PERFECT
            rule = above(
                np.minimum(loss + COMPETITIVE, perfect),
                0.0,
                f"the less of {within}, plus {COMPETITIVE:g}, and training accuracy minus {PERFECT:g}",
                cells="some",
            )
            text = "up to some pruning rate test accuracy is on par with dense while training accuracy stays perfect"
            shown = loss
        else:
            shown = loss.isel(keep_fraction=loss.keep_fraction.values > panel.steady - 0.001)
            rule = above(shown, -COMPETITIVE, within)
            text = f"competitive to the dense network below {1 - panel.steady:.0%} sparsity".replace("%", " %")
        pairs = zip(shown.keep_fraction.values.tolist(), shown.mean("seed").values.tolist(), strict=True)
        note = ", ".join(f"{mean:+.4f} at {share:.3g}" for share, mean in pairs)
        claims.append(Claim.of(f"{of}{name}: {text}", source, rule.untestable(blind), note))
    later = _last_level(found.train_accuracy) - _last_level(found.test_accuracy)
    for name in METHODS.values():
        fell = _far(found.test_accuracy.sel(way=name)).any("keep_fraction")
        never = f"test accuracy falls in {int(fell.sum())} of {fell.size} seeds within the levels that were trained"
        rule = above(later.sel(way=name), 0.0, "levels of .8 by which training accuracy falls later than test accuracy")
        text = f"{of}{name}: the training error rises later than the test error"
        rule = rule.untestable(blind or ("" if fell.all() else never))
        claims.append(Claim.of(text, source, rule, f"falls: by more than {COMPETITIVE:g} below dense (ours)"))
    return claims


def _last_level(accuracy: xr.DataArray) -> xr.DataArray:
    """How many levels a network goes down until its accuracy is for the first time far below the dense one."""
    order = accuracy.sortby("keep_fraction", ascending=False)
    far = _far(order)
    levels = np.log(order.keep_fraction) / np.log(LEFT)
    return xr.where(far.any("keep_fraction"), levels.isel(keep_fraction=far.argmax("keep_fraction")), levels.max())


def _far(accuracy: xr.DataArray) -> xr.DataArray:
    """Whether an accuracy is far below that of the dense network."""
    return accuracy < accuracy.sel(keep_fraction=1.0) - COMPETITIVE


def _figure(page: Page, presets: Mapping[str, Any]) -> Figure:
    return Figure(presets, functools.partial(draw, page), functools.partial(check, page))


FIGURES = {page.name: _figure(page, presets) for page, presets in ((MNIST, MNIST_PRESETS), (CIFAR, CIFAR_PRESETS))}
