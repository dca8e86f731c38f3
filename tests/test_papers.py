"""Papers by name: what citations print."""

import pathlib
import re

import pytest

from snljax import experiments, figures, papers


def test_a_citation_names_the_paper_and_the_place():
    assert papers.cite("003", "Figure 2") == "paper 003 (per-example gradient regularisation), Figure 2"
    assert papers.cite("000") == "paper 000 (dynamic TopK pruning)"


@pytest.mark.parametrize("number", ["005", "3", 3, ""])
def test_an_unknown_paper_is_refused(number, one_line):
    one_line(lambda: papers.cite(number), repr(number), "000, 001, 002, 003, 004")


def test_numbers_names_and_files_belong_together():
    assert list(papers.PAPERS) == ["000", "001", "002", "003", "004"]
    for number, paper in papers.PAPERS.items():
        assert paper.number == number == paper.file[:3]
        assert paper.name
        assert paper.summary.endswith(".")
    assert len({paper.name for paper in papers.PAPERS.values()}) == len(papers.PAPERS)


# --- how the rest of the project speaks of them ---------------------------------------------------------

ROOT = pathlib.Path(__file__).parent.parent
PURE = ("data", "models", "losses.py", "masks.py", "descent.py", "measures", "theory")


def texts():
    """Every text of the project but the table of papers itself, and the stores that tests read."""
    folders = ("snljax", "tests", "benchmarks", "docs", "notebooks")
    files = [
        file for folder in folders for file in (ROOT / folder).rglob("*") if file.suffix in (".py", ".md", ".ipynb")
    ]
    for file in [*files, ROOT / "README.md", ROOT / "CHANGELOG.md"]:
        if file.name != "papers.py":
            yield file.relative_to(ROOT), file.read_text(encoding="utf-8")


def test_nothing_is_cited_by_the_name_of_a_file():
    assert [str(file) for file, text in texts() if re.search(r"\b00\d_[0-9a-f]{16}", text)] == []


def test_a_paper_is_called_by_its_own_name():
    named = 0
    for file, text in texts():
        for number, name in re.findall(r"[Pp]aper\s+(\d{3})\s+\(((?:[a-zA-Z-]+\s+)+[a-zA-Z-]+)\)", text):
            assert " ".join(name.split()) == papers.PAPERS[number].name, f"{file}: paper {number} ({name})"
            named += 1
    assert named > 50


def table():
    """The README's rows: paper number and name, experiment, figures, file of the experiment, files of the equations."""
    rows = re.findall(
        r"^\| (\d{3}) \((.*?)\) \| `(\w+)` \| (.*?) \| `(.*?)` \| (.*?) \|$", (ROOT / "README.md").read_text(), re.M
    )
    return [(n, name, e, re.findall(r"`(.*?)`", f), file, re.findall(r"`(.*?)`", q)) for n, name, e, f, file, q in rows]


def test_the_table_of_the_readme_is_what_there_is():
    listed = [(n, e) for n in papers.PAPERS for e, entry in experiments.NAMES.items() if n in entry.papers]
    assert [(n, e) for n, _, e, *_ in table()] == listed
    for number, name, experiment, shown, file, _ in table():
        assert name == papers.PAPERS[number].name
        assert shown == [
            figure for figure, f in figures.NAMES.items() if (f.experiment, f.paper) == (experiment, number)
        ]
        assert file == f"experiments/{experiment}.py"


@pytest.mark.parametrize("number", papers.PAPERS)
def test_the_table_says_where_a_papers_equations_live(number):
    """Every file of a pure room that cites the paper, and no other."""
    package = ROOT / "snljax"
    files = [
        file for room in PURE for file in ([package / room] if room.endswith(".py") else (package / room).rglob("*.py"))
    ]
    citing = {
        f.relative_to(package).as_posix() for f in files if papers.cite(number) in " ".join(f.read_text().split())
    }
    assert {file for n, *_, equations in table() if n == number for file in equations} == citing
