"""
A page to look around in
========================

``snl.report`` writes one HTML file of a sweep: a heatmap that answers to the mouse, sliders for further dimensions,
curves with bands, boundary and theory, provenance. It needs no server and no network, and can be sent to others.
"""

import numpy as np

import snljax as snl

# %%
# A sweep with a third axis, which gets a slider:

small = {"n": 20, "n_test": 200, "d": 40, "m": 4, "num_classes": 3}
axes = {"sigma_p": np.linspace(0.2, 2.0, 10), "K": range(4, 41, 4), "steps": [50, 100, 200, 400], "seed": range(3)}
grid = snl.Grid("topk_pruning", **axes, **small)
ds = snl.sweep(grid, store="runs/topk", progress=False)
page = snl.report(ds, "runs/report.html", metric="test_loss", level=1.0)
print(f"{page.name}: {page.stat().st_size / 1e6:.1f} MB")

# %%
# What the page shows first, as a picture:

snl.plotting.phase_map(ds.isel(steps=-1), "test_loss", 1.0, width="page")
