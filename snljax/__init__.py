"""Phase diagrams of signal learning and noise memorisation, each trained as one XLA program."""

from snljax import boundary, data, descent, losses, masks, measures, models, theory
from snljax.experiment import Experiment, field
from snljax.reproduce import reproduce
from snljax.sweep.dataset import open_store
from snljax.sweep.engine import Interrupted, SweepError, sweep
from snljax.sweep.grid import Grid, zip
from snljax.sweep.store import StoreError

__version__ = "0.1.0"

__all__ = [
    "Experiment",
    "Grid",
    "Interrupted",
    "StoreError",
    "SweepError",
    "boundary",
    "data",
    "descent",
    "field",
    "losses",
    "masks",
    "measures",
    "models",
    "open_store",
    "plotting",
    "reproduce",
    "sweep",
    "theory",
    "zip",
]


def __getattr__(name: str):
    """``snljax.plotting`` on first use: it brings matplotlib along."""
    if name == "plotting":
        import importlib

        return importlib.import_module("snljax.plotting")
    raise AttributeError(f"module 'snljax' has no attribute {name!r}")
