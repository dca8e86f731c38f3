"""Metrics that several systems have, described once."""

from __future__ import annotations

from snljax.experiment import metric

LEARNING = {
    "train_loss": metric(symbol=r"$L_\mathcal{S}$", help="training loss", unit="nats"),
    "test_loss": metric(symbol=r"$L_\mathcal{D}$", help="test loss", unit="nats"),
    "train_accuracy": metric(help="training accuracy"),
    "test_accuracy": metric(help="test accuracy"),
}
CLASS_ACCURACY = metric(help="test accuracy of the class", dims=("class",))
