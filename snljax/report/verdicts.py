"""Every sentence that was held against a figure, with what came out: the page's claims in one table."""

from __future__ import annotations

from collections.abc import Sequence

from snljax.report.blocks import Block, Line, Table, Verdict
from snljax.report.section import Section


def verdicts(sections: Sequence[Section]) -> list[Block]:
    """One row for each claim, in the order of the papers.

    Args:
        sections: one for each figure.

    Returns:
        Blocks, for `to_markdown` and `to_html`: a table of sentence, source (paper, place, reading), figure, verdict.

    Example:
        >>> from snljax.report.section import Checked
        >>> claim = Checked("it helps", "paper 004, Theorem 1", "holds", "1 [0.5, 1.5]", "gain: interval above 0")
        >>> (table,) = verdicts([Section("contrastive-pruning", "004", "pruning", claims=(claim,))])
        >>> table.rows
        [[['it helps'], ['paper 004, Theorem 1'], ['contrastive-pruning'], [Verdict(text='holds')]]]
    """
    ordered = sorted(sections, key=lambda one: one.paper)
    rows: list[list[Line]] = [
        [[claim.text], [claim.source], [one.name], [Verdict(claim.verdict)]] for one in ordered for claim in one.claims
    ]
    return [Table(["sentence", "source", "figure", "verdict"], rows)]
