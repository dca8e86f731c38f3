"""Phase diagrams of signal learning and noise memorisation, each trained as one XLA program."""

from snljax import data, descent, losses, masks, measures, models, theory
from snljax.experiment import Experiment, field
from snljax.sweep.engine import Interrupted, sweep
from snljax.sweep.grid import Grid, zip

__version__ = "0.1.0"

__all__ = [
    "Experiment",
    "Grid",
    "Interrupted",
    "data",
    "descent",
    "field",
    "losses",
    "masks",
    "measures",
    "models",
    "sweep",
    "theory",
    "zip",
]
