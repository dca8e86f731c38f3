"""Datasets with planted answers, for the claims of every figure: one file per paper, figure -> case -> Datasets.

The cases of a figure differ in their numbers alone, so that its claims come in the same order in each.
"""
