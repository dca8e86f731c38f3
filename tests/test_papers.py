"""Papers by name: what citations print."""

import pytest

from snljax import papers


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
