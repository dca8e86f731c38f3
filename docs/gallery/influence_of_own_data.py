"""
Influence scores of your own data
=================================

Paper 001 (benign overfitting and long tails) asks which samples carry what makes the noise of a class its own. The
score of a sample is what it adds to the squared norm of its class's covariance. Any arrays will do:
samples first, and labels.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import snljax as snl

X, y = load_digits(return_X_y=True)  # yours here: (n, …) and (n,)
scores = snl.influence_scores(X / 16, y)

# %%
# The three most and the three least influential images of some classes:

fig, axes = plt.subplots(3, 6, figsize=(6, 3.2), layout="constrained")
for row, label in zip(axes, (0, 4, 8), strict=True):
    order = np.flatnonzero(y == label)[np.argsort(-scores[y == label])]
    for ax, i in zip(row, [*order[:3], *order[-3:]], strict=True):
        ax.imshow(X[i].reshape(8, 8), cmap="gray_r")
        ax.set(xticks=[], yticks=[], title=f"{scores[i]:.2f}")
plt.show()

# %%
# How much of its noise each pair of classes has in common; on the diagonal, with itself:

overlaps = snl.measures.memorization.class_overlaps(X / 16, y)
plt.imshow(overlaps, cmap="viridis")
plt.xlabel("class")
plt.ylabel("class")
plt.colorbar(label="overlap of the noise")
plt.show()
