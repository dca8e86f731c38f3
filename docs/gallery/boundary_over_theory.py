"""
A boundary with its band over a theory's curve, one column wide
===============================================================

The system of paper 000 (dynamic TopK pruning) at a small size. ``trace`` trains the cells that decide where the
boundary is, and ``phase_map`` draws it with its band over seeds and a law, at the width of a column.
"""

import numpy as np

import snljax as snl

# %%
# Of the grid only the cells near the boundary are trained; the others are told which side they are on.

small = {"n": 60, "n_test": 300, "d": 60, "m": 6, "num_classes": 4, "steps": 400}
grid = snl.Grid("topk_pruning", sigma_p=np.linspace(0.5, 2.0, 25), K=range(2, 61, 2), seed=range(3), **small)
ds = snl.trace(grid, "test_loss", level=1.0, each_seed=True, store="runs/edge", progress=False)
print(f"{int((ds.status != 0).sum())} networks trained of {ds.status.size}")

# %%
# Theorem 4.4 says K = c/σ_p². Its constant is fitted to the crossings of each seed, where all seeds have one: of those
# beyond the grid only the lower ones would be in it.

edges = snl.boundary.edge(ds.test_loss, "K", 1.0, "upper")
edges = edges.where(edges.notnull().all("seed"))
law = snl.boundary.fit(edges, lambda sigma_p, c: snl.theory.topk_upper_boundary(sigma_p, c), start=[20.0])
c = law.constants["c"]
print(f"c = {c.mean:.1f} [{c.low:.1f}, {c.high:.1f}]")

# %%
# The picture: regions, the boundary of the mean, its 95 % band over seeds, cells that were trained, and the law.

curve = snl.plotting.Curve(rf"$K = {c.mean:.0f}\,\sigma_p^{{-2}}$", lambda s: snl.theory.topk_upper_boundary(s, c.mean))
fig = snl.plotting.phase_map(ds, theory=[curve], width="column")
fig.savefig("runs/boundary.pdf")
