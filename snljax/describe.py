"""What an experiment has: its fields and metrics, as they describe themselves."""

from __future__ import annotations

from snljax import experiments, papers
from snljax.experiment import Experiment, FieldInfo, fields_of, metrics_of, readings_of
from snljax.wording import plain


def describe(experiment: str | Experiment) -> str:
    """An experiment's fields, metrics and readings, as a few lines of text.

    Args:
        experiment: its name, or an `Experiment` of your own.

    Returns:
        Text for a terminal: each field with symbol, default, admissible values and meaning, static ones marked;
        each metric with symbol, unit, dimensions and meaning; readings with what each changes.

    Raises:
        ValueError: if there is no experiment of that name.

    Example:
        >>> print(describe("gradient_regularization").splitlines()[0])
        gradient_regularization: paper 003 (per-example gradient regularisation)
    """
    own = experiments.get(experiment) if isinstance(experiment, str) else experiment
    entry = experiments.NAMES.get(own.name)
    title = f"{own.name}: {', '.join(map(papers.cite, entry.papers))}" if entry else own.name
    readings = readings_of(own)
    first = next(iter(readings))
    rows: list[tuple[str, ...]] = [
        _field(info, getattr(readings[first], name)) for name, info in fields_of(own.Config).items()
    ]
    lines = [title, "", f"fields (* is compiled once for each value; values of reading {first})", *_table(rows)]
    metrics: list[tuple[str, ...]] = [
        (n, m.symbol, m.unit, " × ".join(m.dims), m.help) for n, m in metrics_of(own).items()
    ]
    lines += ["", "metrics", *_table(metrics)] if metrics else []
    for name, config in list(readings.items())[1:]:
        changed = {n: getattr(config, n) for n in fields_of(own.Config)}
        differing = [f"{n} = {plain(v)}" for n, v in changed.items() if v != getattr(readings[first], n)]
        lines += ["", f"reading {name}: {', '.join(differing)}"]
    return "\n".join(lines)


def _field(info: FieldInfo, value: object) -> tuple[str, ...]:
    allowed = info.range or " ".join(str(choice) for choice in info.choices or ())
    symbol = "" if info.symbol == info.name.replace("_", " ") else info.symbol
    return f"{info.name}{'*' if info.static else ''}", symbol, str(plain(value)), allowed, info.help


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """Columns, as wide as they need to be."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
