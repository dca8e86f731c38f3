"""The papers' systems, by name. Listing them imports none of them, and no JAX."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, NamedTuple

from snljax import finding
from snljax.wording import unknown

if TYPE_CHECKING:
    from snljax.experiment import Experiment


class Entry(NamedTuple):
    """What a list says of an experiment. papers: numbers in `snljax.papers`. summary: what it asks, one line."""

    papers: tuple[str, ...]
    summary: str


# Experiment name, which is that of its module here -> entry. Its Config's first line ends with the same summary.
NAMES = {
    "topk_pruning": Entry(("000",), "does pruning suppress noise or lose the signal?"),
    "heterogeneous_noise": Entry(("001",), "when does memorised noise help to generalise?"),
    "influence_removal": Entry(("001",), "which images can a network do without?"),
    "random_pruning": Entry(("002",), "how much helps, how much is too much?"),
    "gradient_regularization": Entry(("003",), "does penalising per-example gradients suppress noise?"),
    "image_classification": Entry(("000", "002", "003"), "do pruning and penalties suppress noise?"),
    "contrastive": Entry(("004",), "does a minority feature get neurons of its own?"),
    "contrastive_images": Entry(("004",), "does pruning help the rare classes?"),
}


def get(name: str, folder: str | os.PathLike[str] = "") -> Experiment:
    """The experiment of that name: the package's, an installed package's, or one of your own at a place.

    Args:
        name: one of ``NAMES``, each a module here with an ``EXPERIMENT``; the name of an entry point of the group
            ``snljax.experiments``; or a place, see `finding.at`. The package's own go before others of their name.
        folder: what the file of a place is relative to; default the working folder.

    Returns:
        The Experiment.

    Raises:
        ValueError: if there is none of that name (with the nearest), or it cannot be imported.

    Example:
        >>> get("topk_pruning").name
        'topk_pruning'
    """
    if isinstance(name, str) and name in NAMES:
        return importlib.import_module(f"snljax.experiments.{name}").EXPERIMENT
    if isinstance(name, str):
        place = name if finding.is_place(name) else finding.installed_at(name)
        if place is not None:
            return finding.at(place, folder)
    known = [*NAMES, *(one.name for one in finding.installed())]
    raise ValueError(f"{unknown('experiment', name, known)}, or {finding.PLACES}")


def name_of(experiment: Experiment, folder: str | os.PathLike[str] = "") -> str:
    """The name by which `get` finds an experiment, in another process too.

    Args:
        experiment: an Experiment.
        folder: what the file of a place is relative to.

    Returns:
        One of ``NAMES``, or a place.

    Raises:
        ValueError: it is the value of no variable of a module, as those of a notebook.

    Example:
        >>> name_of(get("topk_pruning"))
        'topk_pruning'
    """
    if is_own(experiment):
        place = finding.place_of(experiment, folder)
        if place is None:
            raise ValueError(
                f"experiment: {experiment.name} has no name outside this process; allowed: {finding.PLACES}"
            )
        return place
    return experiment.name


def is_own(experiment: Experiment) -> bool:
    """Whether an experiment is none of the package's.

    Example:
        >>> is_own(get("topk_pruning")), is_own(get("topk_pruning")._replace(check=None))
        (False, True)
    """
    return experiment.name not in NAMES or get(experiment.name) is not experiment
