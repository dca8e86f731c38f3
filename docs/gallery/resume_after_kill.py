"""
Resuming after kill -9
======================

Each finished block is on disk at once, with the hashes of its bytes. Whatever happens to a process, the same command
trains only what is missing, to the same bits.
"""

import pathlib
import signal
import subprocess
import time

import matplotlib.pyplot as plt
import numpy as np

import snljax as snl

run = (
    "snljax run topk_pruning --sigma-p 0.2:2:12 --K 5 10 20 40 --seed 0 1 --steps 2000 --n 60 --d 60 --m 6 "
    "--num-classes 4 --n-test 200 --block 2 2 --devices 1 --quiet --store runs/killed"
)
done = pathlib.Path("runs/killed/done")

# %%
# Killed as soon as three of the 24 blocks are there.

process = subprocess.Popen(run.split())
while len([*done.glob("*.json")]) < 3:
    time.sleep(0.05)
process.send_signal(signal.SIGKILL)
process.wait()
killed = snl.open_store("runs/killed").load()
print(f"exit code {process.returncode}; {int((killed.status == 1).sum())} of 96 networks are in the store")

# %%
# The same command again:

subprocess.run(run.split(), check=True, capture_output=True)
ds = snl.open_store("runs/killed")
print(f"{int((ds.status == 1).sum())} of 96")

fig, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
for ax, there, title in zip(axes, (killed, ds), ("after kill -9", "after the same command again"), strict=True):
    snl.plotting.heatmap(there.test_loss.mean("seed"), x="sigma_p", y="K", limits=(0, 2), ax=ax)
    ax.set_title(title)
plt.show()

# %%
# Equal to the bit to a run that nobody disturbed:

names = {"n": 60, "d": 60, "m": 6, "num_classes": 4, "n_test": 200, "steps": 2000}
grid = snl.Grid("topk_pruning", sigma_p=np.linspace(0.2, 2, 12), K=[5, 10, 20, 40], seed=[0, 1], **names)
plain = snl.sweep(grid, block=(2, 2), progress=False)
print(bool((plain.test_loss == ds.test_loss).all()))
