"""
A learning-rate sweep of your own flax network
==============================================

Which learning rate, and does it change with weight decay? One program trains all of it; diverged networks are marked,
not averaged away.
"""

import flax.linen as nn
import matplotlib.pyplot as plt
import numpy as np
import optax

import snljax as snl

X = np.random.default_rng(0).normal(size=(600, 10)).astype("float32")
y = (X[:, 0] * X[:, 1] > 0).astype(int)


class MLP(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(nn.relu(nn.Dense(32)(x)))


# %%
# Every number of ``optimizer`` is a field, and a field with several values is an axis.

exp = snl.supervised(
    MLP(),
    (X[:300], y[:300], X[300:], y[300:]),
    optimizer=lambda c: optax.adamw(c.learning_rate, weight_decay=c.weight_decay),
    fields={"weight_decay": 0.0, "batch_size": 50},
    metrics=("train_loss", "test_accuracy"),
)
rates = np.geomspace(1e-4, 1.0, 9)
ds = snl.sweep(snl.Grid(exp, weight_decay=[0.0, 0.1], learning_rate=rates, seed=range(5), epochs=30), progress=False)

# %%
# Bands are 95 % intervals over seeds.

snl.plotting.curves(ds.test_accuracy, x="learning_rate", hue="weight_decay", marker="o")
plt.xscale("log")
plt.show()

# %%
# The best one, with its interval:

best = ds.test_accuracy.mean("seed").sel(weight_decay=0.0).idxmax("learning_rate").item()
at_best = snl.stats.interval(ds.test_accuracy.sel(weight_decay=0.0, learning_rate=best))
print(f"learning rate {best:.3g}: {at_best['mean'].item():.3f} [{at_best.low.item():.3f}, {at_best.high.item():.3f}]")
