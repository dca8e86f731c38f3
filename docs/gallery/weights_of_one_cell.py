"""
The weights of one cell
=======================

A sweep keeps numbers. Any network of it can be had back, equal to the bit.
"""

import matplotlib.pyplot as plt
import numpy as np

import snljax as snl

small = {"n": 20, "n_test": 100, "d": 40, "m": 4, "num_classes": 3, "steps": 200}
grid = snl.Grid("topk_pruning", sigma_p=[0.5, 1.0], K=[4, 8, 16], seed=range(3), **small)
ds = snl.sweep(grid, store="runs/topk", progress=False)

# %%
# ``replay`` trains the block of that cell again, and compares what it measures with the store.

[network] = snl.replay("runs/topk", sigma_p=1.0, K=8, seed=2)
weights = np.asarray(network.state.weights)
print(weights.shape, network.metrics["test_loss"] == ds.test_loss.sel(sigma_p=1.0, K=8, seed=2).values)

# %%
# Filters of the first class: K = 8 weights of each are kept when a mask is taken.

plt.imshow(weights[0], cmap="RdBu_r", vmin=-abs(weights).max(), vmax=abs(weights).max(), aspect="auto")
plt.xlabel("coordinate of the input")
plt.ylabel("filter")
plt.colorbar(label="weight")
plt.show()

# %%
# Saved by flax, and read without this package if need be.

network.save("runs/network.msgpack")
print(snl.load_network("runs/network.msgpack").step)
