"""One content, two renderings that say the same; a page that needs nothing but itself."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from harness import ROOT
from PIL import Image

from snljax import figures
from snljax.figures.claims import Claim, Finding, above, exact, to_json
from snljax.figures.claims import to_markdown as claims_page
from snljax.report import Part, Timing, page, reduced, section, timing, to_html, to_markdown
from snljax.report.section import Section
from snljax.stats import Interval

NASTY = "min_j |γ_j| <b>*not* `bold`</b> & _a_ ~b~ $c$ [0, 1](d) \\ σ_p² ≥ 3"
VOID = {"meta", "img", "br", "link"}


class Read(HTMLParser):
    """Text, tags and attributes of a page; tags must close in order."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.texts, self.ids = [], [], [], []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "title"} & {*self.open}:
            self.texts.append(data)

    def words(self):
        return " ".join(self.texts).split()

    def of(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def png(*size, colour="white", dpi=None):
    written = io.BytesIO()
    Image.new("RGB", size, colour).save(written, "PNG", **({"dpi": (dpi, dpi)} if dpi else {}))
    return written.getvalue()


@pytest.fixture
def sections(tmp_path):
    """Three figures of two papers: one with everything, one that failed, one that was never begun."""
    found = [above([3.0, 4.0, 5.0], 0.0, NASTY), exact(0.2, "≥", 1.0, "parts"), above([1.0], 0.0, "x")]
    claims = [Claim.of(NASTY, "Theorem 1", one, "a note") for one in found]
    folder = tmp_path / "topk-heatmap-quick"
    folder.mkdir()
    (folder / "claims.json").write_text(to_json("title", claims, [NASTY, "fitted: 3 seed"]))
    (folder / "topk-heatmap.png").write_bytes(png(40, 30))
    kept = Timing({"fitted": Part(1234.5, 3, "2026-01-31", "cpu")}, 0.5)
    (folder / timing.FILE).write_bytes(timing.to_json(kept))
    return [
        section("topk-heatmap", folder),
        section("pegr-curves", tmp_path / "none", "KeyError: <'x'>"),
        section("topk-mnist", tmp_path / "none", "stopped before it", earlier=True),
    ]


@pytest.fixture
def blocks(sections):
    return page("quick", sections, ["python 3 on Linux, 2 CPU cores"])


def rendered(markdown):
    """Markdown as GitHub's reader has it, as far as these pages go."""
    library = pytest.importorskip("markdown_it")
    return Read(library.MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown))


def test_both_renderings_say_the_same(blocks):
    html, markdown = Read(to_html(blocks)), rendered(to_markdown(blocks, "drawn"))
    assert html.words() == markdown.words()
    assert len(html.words()) > 150
    for tag in ("h1", "h2", "h3", "table", "tr", "th", "td", "li", "pre", "img", "a"):
        assert len(html.of(tag)) == len(markdown.of(tag)) > 0, tag
    assert [a["href"] for a in html.of("a")] == [a["href"] for a in markdown.of("a")]


def test_what_looks_like_markup_stays_text(blocks):
    for read in (Read(to_html(blocks)), rendered(to_markdown(blocks, "drawn"))):
        assert [text for text in read.texts if text == NASTY or text.startswith("KeyError: <'x'>") or NASTY in text]
        assert " ".join(read.words()).count(" ".join(NASTY.split())) == 5  # three claims, one threshold, one remark
        assert not read.of("b") + read.of("em") + read.of("s") + read.of("del")


def test_the_html_needs_nothing_but_itself(blocks):
    html = to_html(blocks)
    read = Read(html)
    assert not read.of("script") + read.of("link") + read.of("iframe")
    (picture,) = read.of("img")
    kind, _, data = picture["src"].partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data, validate=True).startswith(b"\x89PNG")
    assert picture["alt"]
    targets = [a["href"] for a in read.of("a")]
    assert {t.removeprefix("#") for t in targets} <= {*read.ids}
    assert len({*read.ids}) == len(read.ids)
    style = re.search(r"<style>(.*)</style>", html, re.DOTALL).group(1)
    assert not re.search(r"url\(|@import|https?:", style)


def test_every_figure_has_its_row_and_its_command(sections, blocks):
    text = to_markdown(blocks, "drawn")
    assert "| [topk-heatmap](#topk-heatmap) | 000 | 1 | 1 | 0 | 1 | 1,235 |" in text
    assert "| [pegr-curves](#pegr-curves), **not made** | 003 | – | – | – | – | – |" in text
    assert "| **all** |  | **1** | **1** | **0** | **1** | **1,235** |" in text
    assert "1 of 3 figures are below. Of 3 claims 1 holds, 1 is refuted, 0 are undecided, 1 is not testable." in text
    assert "seconds: 1,235 in 3 calls, 0.5 of them to draw, made 2026-01-31" in text
    for one in sections:
        assert f"```\nsnljax reproduce {one.name} --preset quick\n```" in text
        assert figures.NAMES[one.name].summary[1:] in text


def test_figures_stand_under_their_papers(blocks):
    headings = re.findall(r"^##+ (.*)", to_markdown(blocks, "drawn"), re.MULTILINE)
    assert headings == [
        "All figures",
        "Paper 000 (dynamic TopK pruning)",
        "topk-heatmap",
        "topk-mnist",
        "Paper 003 (per-example gradient regularisation)",
        "pegr-curves",
    ]


@pytest.mark.parametrize(
    "found",
    [
        above([3.0, 4.0, 5.0], 0.0, "x"),
        above([3.0], 0.0, "x"),
        exact([0.1, 2.0], "≥", 1.0, "x"),
        Finding("holds", Interval(1e-9, -np.inf, 2.0, "95 % t"), "x"),
        Finding("refuted", Interval(0.5, 0.25, 1e6, "range"), "x", "1 of 4 networks do not"),
    ],
)
def test_a_claim_reads_as_in_its_figures_own_report(found, tmp_path):
    """Read back from the file for programs, held against the page for people; of an end that is no number is none."""
    claim = Claim.of("text", "source", found, "note")
    (tmp_path / "claims.json").write_text(to_json("t", [claim], ["r"]))
    (read,) = section("topk-heatmap", tmp_path).claims
    row = next(line for line in claims_page("t", [claim], []).splitlines() if line.startswith("| text"))
    cells = [cell.strip(" *") for cell in row.strip("|").split("|")]
    cells[3] = cells[3].replace("-inf", "nan")
    assert [*read] == cells


@pytest.mark.parametrize("content", ["", "{", "[]", '{"claims": [{}], "remarks": []}', '{"claims": 3}'])
def test_a_report_that_a_killed_call_left_is_none(content, tmp_path):
    (tmp_path / "claims.json").write_text(content)
    found = section("topk-heatmap", tmp_path, "stopped here", earlier=True)
    assert (found.trouble, found.claims, found.is_there) == ("stopped here", (), False)
    assert section("topk-heatmap", tmp_path).trouble == "its report cannot be read"


# --- pictures -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "dpi", "expected"),
    [
        ((2070, 828), 300, (1000, 400)),
        ((990, 600), 300, (478, 290)),
        ((3000, 300), 100, (1000, 100)),
        ((80, 40), None, (80, 40)),
        ((5000, 1), None, (1000, 1)),
    ],
)
def test_pictures_are_as_large_as_in_print(size, dpi, expected, tmp_path):
    (tmp_path / "a.png").write_bytes(png(*size, dpi=dpi))
    with Image.open(io.BytesIO(reduced(tmp_path / "a.png"))) as small:
        assert np.abs(np.subtract(small.size, expected)).max() <= 1
        assert small.mode == "P"


def test_rare_colours_stay_what_they_are(tmp_path):
    """Two scales beside each other, one of them a few pixels wide: no colour of it turns into one of the other."""
    ramp = np.linspace(0, 255, 400).astype(np.uint8)
    drawn = np.full((400, 600, 3), 255, np.uint8)
    drawn[:, :590] = np.stack([ramp // 8, ramp, 255 - ramp], -1)[:, None]
    drawn[:, 590:592] = np.stack([255 - 0 * ramp, ramp // 2, ramp // 8], -1)[:, None]
    drawn[::2, :200] //= 2
    Image.fromarray(drawn).save(tmp_path / "a.png")
    with Image.open(io.BytesIO(reduced(tmp_path / "a.png"))) as small:
        error = np.abs(np.asarray(small.convert("RGB")).astype(int) - drawn)
    assert error.max() <= 32
    assert error.mean() <= 4


def test_what_is_transparent_is_white(tmp_path):
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "a.png")
    with Image.open(io.BytesIO(reduced(tmp_path / "a.png"))) as small:
        assert np.asarray(small.convert("RGB")).min() == 255


# --- colours --------------------------------------------------------------------------------------------


def luminance(colour):
    """Relative luminance of sRGB, as WCAG 2 defines it."""
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ (0.2126, 0.7152, 0.0722)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_verdicts_can_be_read_and_told_apart(scheme):
    html = to_html(page("quick", [Section("topk-heatmap", "000", "it")], []))
    light, dark = re.findall(r":root \{(.*?)\}", html, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", light if scheme == "light" else dark))
    pairs = [(name, f"{name}-shade") for name in ("holds", "refuted", "undecided", "untested")]
    for ink, paper in [*pairs, ("ink", "paper"), ("soft", "paper"), ("link", "paper")]:
        low, high = sorted((luminance(colours[ink]), luminance(colours[paper])))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, paper)
    assert {f"verdict {word}" for word in ("holds", "refuted", "undecided", "not-testable")} == {
        attrs["class"] for attrs in Read(html).of("span")
    }


def test_the_table_of_all_sentences_is_the_one_that_the_claims_made():
    """docs/findings.md has what ``reproduce all`` wrote with docs/REPRODUCTION.md, row by row."""
    row = re.compile(r"^\| (.*?) \| (.*?) \| (\*\*[a-z ]+\*\*) \| .* \| .* \|$")
    page = (ROOT / "docs" / "REPRODUCTION.md").read_text(encoding="utf-8")
    sections = page.partition("\n## Paper ")[2].splitlines()
    made = sorted(match.groups() for match in map(row.match, sections) if match)
    findings = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    table = findings.split("<!-- VERDICTS.md, as reproduce all wrote it -->")[1].strip().splitlines()
    (head, rule, *rows) = table
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in rows]
    assert [cell.strip() for cell in head.split("|")[1:-1]] == ["sentence", "source", "figure", "verdict"]
    assert rule.count("---") == 4
    assert sorted((text, source, verdict) for text, source, _, verdict in cells) == made
    assert {name for _, _, name, _ in cells} <= set(figures.NAMES)
