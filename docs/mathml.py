"""Equations as MathML, which browsers draw by themselves: no script to fetch, so that pages work without a network."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

# What the equations here use and docutils does not know.
_OTHERS = {r"\iff": r"\Longleftrightarrow", r"\dots": r"\ldots", r"\big/": "/", r"\textstyle": ""}


def to_mathml(tex: str, as_block: bool = False) -> str:
    """TeX as MathML; docutils' MathError where it cannot."""
    for there, here in _OTHERS.items():
        tex = tex.replace(there, here)
    return tex2mathml(tex, as_block=as_block)


def _inline(writer: Any, node: nodes.math) -> None:
    writer.body.append(to_mathml(node.astext()))
    raise nodes.SkipNode


def _block(writer: Any, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="equation">{to_mathml(node.astext(), as_block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
