"""
Two methods compared, with a table for a paper
==============================================

Networks of one seed share data and first weights, so that methods are compared pair by pair. That takes far fewer seeds
than two independent means would.
"""

import matplotlib.pyplot as plt

import snljax as snl

# %%
# PEGR against no penalty, over the noise, in the system of paper 003 (per-example gradient regularisation).

grid = snl.Grid("gradient_regularization", penalty=["pegr", "none"], sigma_p=[0.25, 0.5, 1.0], seed=range(8))
ds = snl.sweep(grid, progress=False)
found = snl.compare(ds, along="penalty", a="pegr", b="none", metric="test_accuracy")

# %%
# Difference, interval and p, adjusted over all cells, as rows:

print("noise  difference [95 % interval]       p (Holm)  pairs")
for sigma_p in found.sigma_p.values:
    at = found.sel(sigma_p=sigma_p)
    print(
        f"{sigma_p:5.2f}  {at.difference.item():+.3f} [{at.low.item():+.3f}, {at.high.item():+.3f}]"
        f"  {at.p_adjusted.item():.2g}  {at.pairs.item()}"
    )

# %%
# The same as a table for a paper: mean ± half-width of the interval over seeds, in bold what the paired test finds
# best.

print(snl.to_latex(ds, "test_accuracy", rows="penalty", columns="sigma_p"))

# %%
# And as a picture.

fig, ax = plt.subplots()
snl.plotting.curves(ds.test_accuracy, x="sigma_p", hue="penalty", ax=ax, marker="o")
plt.show()
