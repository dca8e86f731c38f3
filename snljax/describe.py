"""What an experiment says of itself: what it is, its fields, metrics and readings."""

from __future__ import annotations

import inspect
import re

from snljax import experiments, finding, papers
from snljax.equations import equations_of
from snljax.experiment import Experiment, FieldInfo, fields_of, metrics_of, readings_of
from snljax.wording import plain


def describe(experiment: str | Experiment) -> str:
    """What an experiment is, with its fields, metrics and readings, as a few lines of text.

    Args:
        experiment: its name, a place such as ``"own.py:NAME"``, or an `Experiment` of your own.

    Returns:
        Text for a terminal: its paper and file; what the docstrings of its Config and of its file say; each field with
        symbol, default, admissible values and meaning, static ones marked; each metric with symbol, unit, dimensions
        and meaning; readings with what each changes; the equations of the functions that its file calls, as TeX.

    Raises:
        ValueError: if there is no experiment of that name.

    Example:
        >>> print(describe("gradient_regularization").splitlines()[0])
        gradient_regularization: paper 003 (per-example gradient regularisation)
    """
    own = experiments.get(experiment) if isinstance(experiment, str) else experiment
    readings = readings_of(own)
    first = next(iter(readings))
    rows: list[tuple[str, ...]] = [
        _field(info, getattr(readings[first], name)) for name, info in fields_of(own.Config).items()
    ]
    lines = [*_what(own), "", f"fields (* is compiled once for each value; values of reading {first})", *_table(rows)]
    metrics: list[tuple[str, ...]] = [
        (n, m.symbol, m.unit, " × ".join(m.dims), m.help) for n, m in metrics_of(own).items()
    ]
    lines += ["", "metrics", *_table(metrics)] if metrics else []
    for name, config in list(readings.items())[1:]:
        changed = {n: getattr(config, n) for n in fields_of(own.Config)}
        differing = [f"{n} = {plain(v)}" for n, v in changed.items() if v != getattr(readings[first], n)]
        lines += ["", f"reading {name}: {', '.join(differing)}"]
    home = finding.home(own)
    equations = equations_of(home.module) if home else []
    lines += ["", "equations"] if equations else []
    for one in equations:
        lines += [f"{one.function}: {one.summary}", *(f"    {tex}" for tex in one.tex)]
    return "\n".join(lines)


def _what(own: Experiment) -> list[str]:
    """Name, paper and file, and what docstrings say."""
    home = finding.home(own)
    if experiments.is_own(own):
        place = finding.place_of(own)
        lines = [own.name, *([f"file: {place}"] if place else [])]
    else:
        lines = [f"{own.name}: {', '.join(map(papers.cite, experiments.NAMES[own.name].papers))}"]
        lines += [
            f"title: {papers.PAPERS[n].title}" for n in experiments.NAMES[own.name].papers if papers.PAPERS[n].title
        ]
        lines += [f"file: snljax/experiments/{own.name}.py"]
    written = own.Config.__doc__ or ""
    automatic = written.startswith(f"{own.Config.__name__}(")  # a dataclass without one is given its signature
    for text in ("" if automatic else written, (home.module.__doc__ if home else None) or ""):
        lines += ["", *_prose(text)] if text.strip() else []
    return lines


def _prose(text: str) -> list[str]:
    """A docstring without its markup; equations stand on lines of their own, as TeX."""
    lines = inspect.cleandoc(text).replace("``", "").splitlines()
    return [re.sub(r"^\.\. math::\s*", "", line.strip()) for line in lines]


def _field(info: FieldInfo, value: object) -> tuple[str, ...]:
    allowed = info.range or " ".join(str(choice) for choice in info.choices or ())
    symbol = "" if info.symbol == info.name.replace("_", " ") else info.symbol
    return f"{info.name}{'*' if info.static else ''}", symbol, str(plain(value)), allowed, info.help


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """Columns, as wide as they need to be."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
