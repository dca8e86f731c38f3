"""Pictures for a screen: what was drawn for print, smaller."""

from __future__ import annotations

import io
import pathlib

from PIL import Image

WIDTH = 1000  # pixels, at most
DPI = 145  # as many as a picture of a page's width, 6.9 inches, has then


def reduced(file: pathlib.Path) -> bytes:
    """A picture as a PNG of few bytes: its letters as large as in any other, no wider than ``WIDTH``, with a palette.

    Args:
        file: any picture that pillow reads, with its resolution in it if it has one.

    Returns:
        The content of a PNG file.

    Raises:
        OSError: if it cannot be read.
    """
    with Image.open(file) as found:
        drawn, dpi = found.convert("RGBA"), found.info.get("dpi", (DPI, DPI))[0]
    white = Image.new("RGBA", drawn.size, "white")
    picture = Image.alpha_composite(white, drawn).convert("RGB")
    scale = min(DPI / dpi, WIDTH / picture.width, 1.0)
    if scale < 1.0:
        size = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    written = io.BytesIO()
    # Maximum coverage: a colour that few pixels have, of one end of a scale, is as true as that of many.
    palette = picture.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
    palette.save(written, "PNG", optimize=True)
    return written.getvalue()
