"""One page about many figures: what it says, once, and its two renderings."""

from snljax.report.markdown import to_markdown
from snljax.report.page import page
from snljax.report.pictures import reduced
from snljax.report.section import Section, section
from snljax.report.timing import Part, Timing
from snljax.report.verdicts import verdicts
from snljax.report.web import to_html

__all__ = ["Part", "Section", "Timing", "page", "reduced", "section", "to_html", "to_markdown", "verdicts"]
