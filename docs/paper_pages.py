"""A page for each paper: its systems, figures and equations, each with the file that has it."""

from __future__ import annotations

import importlib
import re
import types
from collections.abc import Iterator

from links import ROOT, file_link, toctree
from names import api_link, file_of, first_line, is_callable, is_public, path_of

import snljax
from snljax import figures
from snljax.equations import Equation, equations_of, tex_of
from snljax.papers import PAPERS


def paper_pages() -> dict[str, str]:
    """A page for each paper: its systems and figures, and each of its equations with the file that has it."""
    pages = {f"papers/{number}.md": _paper_page(number) for number in PAPERS}
    return pages | {"papers/index.md": _paper_index()}


def readme_rows() -> list[list[str]]:
    """Cells of the README's table: paper, experiment, figures, file, where its equations live."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (\d{3} \(.*) \|$", text, flags=re.MULTILINE)
    return [[cell.strip() for cell in line.split(" | ")] for line in lines]


def _paper_index() -> str:
    rows = [_paper_row(*cells) for cells in readme_rows()]
    links = "\n".join(f"| {what} | {api_link(name)} | {file_of(name)} |" for what, name in LOOKED_FOR.items())
    return f"""# Papers, and the files that have them

A paper has a number and a name; its page has every equation of it that is code, with the file.

## What is looked for most

| what | name | file |
|---|---|---|
{links}

## From paper to file

| paper | experiment | figures | file | where its equations live |
|---|---|---|---|---|
{chr(10).join(rows)}

Conditions, hidden constants and how far the papers' own settings meet them: [Theory](../theory.md).

{toctree(PAPERS)}"""


# What a reader of a paper asks first -> the function that is it.
LOOKED_FOR = {
    "PEGR's penalty, on each example (paper 003, Section 2)": "snljax.losses.per_example_gradient_penalty",
    "FGR's penalty, on the mean gradient (paper 003)": "snljax.losses.full_gradient_penalty",
    "TopK's mask (paper 000, TopK Weight Pruning Strategy)": "snljax.masks.topk",
    "The stop-gradient of contrastive learning (paper 004, eq. 2)": "snljax.losses.similarities",
    "The upper boundary, K = 95 σ_p⁻² (paper 000, Theorem 4.4)": "snljax.theory.topk_upper_boundary",
    "The lower boundary (paper 000, Figure 2)": "snljax.theory.topk_lower_boundary",
    "The penalty weight of the theorem (paper 003, Theorem 3.2)": "snljax.theory.pegr_weight",
    "How much random pruning is mild (paper 002, Theorem 3.1)": "snljax.theory.mild_pruning_keep",
    "Influence scores (paper 001, eq. 10)": "snljax.measures.memorization.influence_scores",
}


def _paper_row(paper: str, experiment: str, drawn: str, file: str, equations: str) -> str:
    number = paper[:3]
    files = [re.sub(r"`([^`]+)`", lambda found: file_link(f"snljax/{found[1]}"), cell) for cell in (file, equations)]
    shown = re.sub(r"`([^`]+)`", r"[\1](../figures/\1.md)", drawn)
    system = re.sub(r"`([^`]+)`", r"[\1](../api/experiments.\1.md)", experiment)
    return f"| [{paper}]({number}.md) | {system} | {shown} | {' | '.join(files)} |"


def _paper_page(number: str) -> str:
    paper = PAPERS[number]
    drawn = [name for name, entry in figures.NAMES.items() if entry.paper == number]
    systems = dict.fromkeys(figures.NAMES[name].experiment for name in drawn)
    homes = [cells[4] for cells in readme_rows() if cells[0][:3] == number]
    theory = dict.fromkeys(file for cell in homes for file in re.findall(r"`theory/(\w+)\.py`", cell))
    title = f"*{paper.title}*" + (f", {', '.join(paper.authors)}.\n" if paper.authors else ".\n") if paper.title else ""
    parts = [f"# Paper {number} ({paper.name})\n\n{title}\n{paper.summary}"]
    parts.append("Figures: " + ", ".join(f"[{name}](../figures/{name}.md)" for name in drawn) + ".")
    told: set[str] = set()
    for name in systems:
        parts.append(f"## Equations of `{name}`\n\nThe system is {file_link(f'snljax/experiments/{name}.py')}.")
        parts += _equations(equations_of(importlib.import_module(f"snljax.experiments.{name}")), told)
    for name in theory:
        module = importlib.import_module(f"snljax.theory.{name}")
        parts.append(f"## Its theory\n\nConditions, thresholds and curves are {file_link(path_of(module))}.")
        parts += _equations(_defined(module), told)
    return "\n\n".join(parts) + "\n"


def _defined(module: types.ModuleType) -> list[Equation]:
    """The equations of a theory's own public functions, as users name them."""
    values = [(name, value) for name, value in vars(module).items() if is_public(module, name)]
    told = [Equation(f"theory.{name}", first_line(value), tex_of(value.__doc__ or "")) for name, value in values]
    return [one for one in told if one.tex and one.function.removeprefix("theory.") in snljax.theory.__all__]


def _equations(found: list[Equation], told: set[str]) -> Iterator[str]:
    for one in found:
        name = f"snljax.{one.function}"
        if name in told or not is_callable(name):
            continue
        told.add(name)
        tex = "\n".join(f"$$\n{equation}\n$$\n" for equation in one.tex)
        yield f"**{one.summary}** {api_link(name)} in {file_of(name)}\n\n{tex}".rstrip()
