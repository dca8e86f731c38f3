"""Each claim of each figure can hold, can be refuted and can stay open: no check that any data pass."""

from __future__ import annotations

import importlib
import pathlib
import pkgutil
from collections.abc import Callable

import planted
import pytest

from snljax import figures
from snljax.figures.claims import Claim, Verdict
from snljax.figures.datasets import Datasets

Cases = dict[str, Callable[[], Datasets]]
PLANTED: dict[str, Cases] = {}
for found in pkgutil.iter_modules([str(pathlib.Path(planted.__file__).parent)]):
    PLANTED |= getattr(importlib.import_module(f"planted.{found.name}"), "CASES", {})


def possible(claim: Claim) -> set[Verdict]:
    """What a rule can find: a formula is never open, and of single networks one counterexample decides."""
    if claim.measured.kind == "range":
        return {"holds", "refuted", "not testable"}
    if claim.measured.kind == "exact" and "the level" not in claim.threshold:
        return {"holds", "refuted"}
    return {"holds", "refuted", "undecided"}


def test_every_figure_has_planted_cases():
    assert PLANTED.keys() == figures.NAMES.keys()


@pytest.mark.filterwarnings("ignore:boundary")  # planted edges that lie beyond their axis for some seeds
@pytest.mark.parametrize("name", PLANTED)
def test_each_claim_can_hold_be_refuted_and_stay_open(name):
    figure = figures.get(name)
    found = {}
    for case, make in PLANTED[name].items():
        datasets = make()
        assert datasets.keys() == figure.presets["quick"].keys()
        found[case] = figure.claims(datasets)
    (many,) = {len(claims) for claims in found.values()}
    assert many > 0
    for claims in zip(*found.values(), strict=True):
        missing = possible(claims[0]) - {claim.verdict for claim in claims}
        told = {case: (claim.verdict, str(claim.measured)) for case, claim in zip(found, claims, strict=True)}
        assert not missing, f"{claims[0].text}: never {', '.join(sorted(missing))} in {told}"
