"""Phase diagrams of signal learning and noise memorisation, each trained as one XLA program."""

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snljax import (
        boundary,
        constraints,
        data,
        descent,
        losses,
        masks,
        measures,
        models,
        papers,
        plotting,
        stats,
        theory,
    )
    from snljax.contrastive.door import contrastive
    from snljax.describe import describe
    from snljax.experiment import Experiment, field, metric
    from snljax.live import live
    from snljax.measures.memorization import influence_scores, noise_correlation
    from snljax.report.dataset_page import report
    from snljax.reproduce import reproduce
    from snljax.reproduce_all import reproduce_all
    from snljax.stats import compare
    from snljax.supervised.door import supervised
    from snljax.sweep.axes import together, zip
    from snljax.sweep.dataset import open_store
    from snljax.sweep.engine import Interrupted, SweepError, sweep
    from snljax.sweep.files import StoreError
    from snljax.sweep.grid import Grid
    from snljax.sweep.networks import TrainedNetwork, load_network, replay, train_one
    from snljax.sweep.verify import recompute
    from snljax.tables import to_csv, to_latex, to_markdown
    from snljax.trace import trace

__version__ = "0.1.0"

__all__ = [
    "Experiment",
    "Grid",
    "Interrupted",
    "StoreError",
    "SweepError",
    "TrainedNetwork",
    "boundary",
    "compare",
    "constraints",
    "contrastive",
    "data",
    "descent",
    "describe",
    "field",
    "influence_scores",
    "live",
    "load_network",
    "losses",
    "masks",
    "measures",
    "metric",
    "models",
    "noise_correlation",
    "open_store",
    "papers",
    "plotting",
    "recompute",
    "replay",
    "report",
    "reproduce",
    "reproduce_all",
    "stats",
    "supervised",
    "sweep",
    "theory",
    "to_csv",
    "to_latex",
    "to_markdown",
    "together",
    "trace",
    "train_one",
    "zip",
]

# Name -> module. Imported on first use, so that a look at a store does not wait for JAX.
_HOME = {
    "Experiment": "snljax.experiment",
    "Grid": "snljax.sweep.grid",
    "Interrupted": "snljax.sweep.engine",
    "StoreError": "snljax.sweep.files",
    "SweepError": "snljax.sweep.engine",
    "TrainedNetwork": "snljax.sweep.networks",
    "compare": "snljax.stats",
    "contrastive": "snljax.contrastive.door",
    "describe": "snljax.describe",
    "field": "snljax.experiment",
    "influence_scores": "snljax.measures.memorization",
    "live": "snljax.live",
    "load_network": "snljax.sweep.networks",
    "metric": "snljax.experiment",
    "noise_correlation": "snljax.measures.memorization",
    "open_store": "snljax.sweep.dataset",
    "recompute": "snljax.sweep.verify",
    "replay": "snljax.sweep.networks",
    "report": "snljax.report.dataset_page",
    "reproduce": "snljax.reproduce",
    "reproduce_all": "snljax.reproduce_all",
    "supervised": "snljax.supervised.door",
    "sweep": "snljax.sweep.engine",
    "to_csv": "snljax.tables",
    "to_latex": "snljax.tables",
    "to_markdown": "snljax.tables",
    "together": "snljax.sweep.axes",
    "trace": "snljax.trace",
    "train_one": "snljax.sweep.networks",
    "zip": "snljax.sweep.axes",
}


if not TYPE_CHECKING:  # or a name that is not there would have any type

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module 'snljax' has no attribute {name!r}")
        module = importlib.import_module(_HOME.get(name, f"snljax.{name}"))
        return getattr(module, name) if name in _HOME else module


def __dir__() -> list[str]:
    return [*__all__]


class _Package(types.ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        # Some names are those of a module and of its function: importing the module must not hide the function.
        if not (name in _HOME and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        # A function that is sent to another process by value, and says snl.masks, holds the package itself.
        return importlib.import_module, (self.__name__,)


sys.modules[__name__].__class__ = _Package
