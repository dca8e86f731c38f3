"""
Your own experiment in the shell, with a store and shards
=========================================================

A file with an experiment in it is all that ``snljax run`` needs: ``own.py:NAME``. Here is an own network on own data.
"""

import pathlib
import subprocess

import matplotlib.pyplot as plt

import snljax as snl

pathlib.Path("runs").mkdir(exist_ok=True)
pathlib.Path("runs/own.py").write_text("""
import flax.linen as nn
import numpy as np
import snljax as snl

X = np.random.default_rng(0).normal(size=(200, 8)).astype("float32")
y = (X[:, 0] + X[:, 1] > 0).astype(int)
data = X[:100], y[:100], X[100:], y[100:]
mlp = snl.supervised(nn.Dense(2), data, metrics=("train_loss", "test_accuracy"))
""")


def shell(line):
    """As typed in a terminal."""
    print("$", line)
    print(subprocess.run(line, shell=True, check=True, capture_output=True, text=True).stdout)


# %%
# What can be swept, in the words of the experiment:

shell("snljax describe runs/own.py:mlp | head -12")

# %%
# Two jobs that know nothing of each other fill one store, each its half. On a cluster they are the tasks of an array:
# ``snljax slurm runs/own.py:mlp … --tasks 64`` writes its script.

grid = "runs/own.py:mlp --learning-rate log:1e-2:1:4 --noise-std 0 0.5 1 --seed 0:3:4 --epochs 20"
for shard in ("1/2", "2/2"):
    shell(f"snljax run {grid} --store runs/mlp --block 2 3 --quiet --shard {shard} | head -3")

# %%
# What is there, and a picture of it:

shell("snljax status runs/mlp")
shell("snljax plot runs/mlp --metric test_accuracy")

# %%
# In Python the store is a Dataset.

ds = snl.open_store("runs/mlp")
snl.plotting.heatmap(ds.test_accuracy.mean("seed"), x="learning_rate", y="noise_std")
plt.show()
