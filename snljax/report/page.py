"""What the page says: an overview, then each figure under its paper, with picture, claims and the command for it."""

from __future__ import annotations

import collections
import shlex
from collections.abc import Sequence
from typing import get_args

from snljax.figures.claims import LEGEND
from snljax.figures.claims import Verdict as Word
from snljax.papers import PAPERS, cite
from snljax.report.blocks import (
    Block,
    Command,
    Heading,
    Inline,
    Items,
    Line,
    Link,
    Paragraph,
    Picture,
    Strong,
    Table,
    Verdict,
)
from snljax.report.section import Section

VERDICTS: tuple[str, ...] = get_args(Word)


def page(preset: str, sections: Sequence[Section], facts: Sequence[str]) -> list[Block]:
    """The page about many figures.

    Args:
        preset: of all of them.
        sections: one for each figure, in their order.
        facts: about the call that writes it, such as versions and machine.

    Returns:
        Blocks, for `to_markdown` and `to_html`.

    Example:
        >>> page("quick", [Section("topk-heatmap", "000", "a map", "stopped before it")], [])[0]
        Heading(level=1, text='Reproduction, preset quick')
    """
    lead = (
        "Every figure, trained, drawn and held against what its paper says. The command below writes this page: what "
        "is changed in it by hand is gone with the next call."
    )
    blocks: list[Block] = [Heading(1, f"Reproduction, preset {preset}"), Paragraph([lead]), _command("all", preset)]
    blocks.append(Items([[fact] for fact in facts]))
    blocks += [Paragraph(_in_short(sections)), Heading(2, "All figures"), _overview(sections)]
    blocks.append(Paragraph(["Seconds are wall-clock time to train, compute and draw, over all calls. ", LEGEND]))
    for number, paper in PAPERS.items():
        of_paper = [one for one in sections if one.paper == number]
        if of_paper:
            title: list[str] = [f"{paper.title}. "] if paper.title else []
            blocks += [Heading(2, _capital(cite(number))), Paragraph(["".join([*title, paper.summary])])]
            blocks += [block for one in of_paper for block in _figure(one, preset)]
    return blocks


def _in_short(sections: Sequence[Section]) -> Line:
    """How many figures there are, and how many claims of each verdict."""
    count = _counts(sections)
    claims = ", ".join(f"{count[word]} {_many(word, count[word])}" for word in VERDICTS)
    there = sum(one.is_there for one in sections)
    line: list[Inline] = [f"{there} of {len(sections)} figures are below. Of {count.total()} claims {claims}."]
    for one in sections:
        if one.trouble:
            line += [" ", Strong(one.name), f": {one.trouble}."]
    return line


def _many(word: str, count: int) -> str:
    forms = {"holds": ("holds", "hold"), "refuted": ("is refuted", "are refuted")}
    one, more = forms.get(word, (f"is {word}", f"are {word}"))
    return one if count == 1 else more


def _counts(sections: Sequence[Section]) -> collections.Counter[str]:
    return collections.Counter(claim.verdict for one in sections for claim in one.claims)


def _overview(sections: Sequence[Section]) -> Table:
    """One row for each figure, and one for all."""
    head: list[Inline] = ["figure", "paper", *map(Verdict, VERDICTS), "seconds"]
    rows: list[list[Line]] = []
    for one in sections:
        count = _counts([one])
        numbers = _numbers(count) if one.is_there else ["–"] * len(VERDICTS)
        name: list[Inline] = [Link(one.name)]
        if one.trouble:
            name += [", ", Strong("of an earlier call" if one.is_there else "not made")]
        rows.append([name, *([text] for text in (one.paper, *numbers, _seconds([one])))])
    total = _counts(sections)
    rows.append([[Strong(text)] if text else [] for text in ("all", "", *_numbers(total), _seconds(sections))])
    return Table(head, rows, frozenset(range(2, 3 + len(VERDICTS))))


def _numbers(count: collections.Counter[str]) -> list[str]:
    return [str(count[word]) for word in VERDICTS]


def _seconds(sections: Sequence[Section]) -> str:
    there = [one for one in sections if one.is_there]
    if not there:
        return "–"
    known = f"{sum(one.timing.seconds for one in there):,.0f}"
    return known if all(one.timing.is_whole for one in there) else f"more than {known}"


def _figure(one: Section, preset: str) -> list[Block]:
    blocks: list[Block] = [Heading(3, one.name), Paragraph([_sentence(one.summary)])]
    if one.trouble:
        earlier = " What follows is of an earlier one." if one.is_there else ""
        blocks.append(Paragraph([Strong("Not made by this call"), f": {one.trouble}.{earlier}"]))
    blocks += [Picture(name, png, f"{name}: {one.summary}") for name, png in one.pictures.items()]
    if one.claims:
        rows: list[list[Line]] = [
            [[c.text], [c.source], [Verdict(c.verdict)], [c.measured], [c.threshold]] for c in one.claims
        ]
        blocks.append(Table(["claim", "source", "verdict", "measured", "threshold"], rows))
    if one.is_there:
        blocks.append(Items([[remark] for remark in (*one.remarks, _when(one))]))
    return [*blocks, _command(one.name, preset)]


def _command(what: str, preset: str) -> Command:
    return Command(shlex.join(["snljax", "reproduce", what, "--preset", preset]))


def _when(one: Section) -> str:
    """The time of a figure, and when and in how many calls it was made."""
    parts = one.timing.parts.values()
    dates = sorted({part.date for part in parts if part.date})
    day = f", made {' to '.join(dict.fromkeys((dates[0], dates[-1])))}" if dates else ""
    calls = max((part.calls for part in parts), default=1)
    several = f" in {calls} calls" if calls > 1 else ""
    return f"seconds: {_seconds([one])}{several}, {one.timing.draw:.1f} of them to draw{day}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _sentence(text: str) -> str:
    return f"{_capital(text)}."
