"""docs/theory.md: its tables are what its code prints, and its examples run."""

from __future__ import annotations

import contextlib
import io
import pathlib
import re

from snljax import theory

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "theory.md"
START, END = "<!-- from here -->\n", "<!-- to here -->\n"


def blocks():
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)


def printed(code):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, str(PAGE), "exec"), {})
    return out.getvalue()


def parts():
    """The page before its tables, the tables, and the page after them."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    tables, _, after = rest.partition(END)
    return before, tables, after


def test_the_tables_are_what_the_code_prints():
    assert parts()[1].strip() == printed(blocks()[-1]).strip()


def test_the_example_prints_a_table():
    assert printed(blocks()[0]).startswith("paper 003 (per-example gradient regularisation)\n")


def test_the_page_names_functions_that_are_there():
    page = parts()[0]
    named = {*re.findall(r"`theory\.(\w+)", page), *re.findall(r"`(\w+)`", page)} - {"theory", "growing_step"}
    assert len(named) > 8
    assert named <= {*theory.__all__}


if __name__ == "__main__":  # writes the tables anew
    before, _, after = parts()
    PAGE.write_text(f"{before}{START}\n{printed(blocks()[-1])}\n{END}{after}", encoding="utf-8")
