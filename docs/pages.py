"""Pages that the build writes: one for each figure, the API, the papers' equations, and the notebooks.

Each function returns path -> text, relative to this folder; `write` puts them there (git ignores them).
"""

from __future__ import annotations

import importlib
import inspect
import json
import pathlib
import pkgutil
import re
import shutil
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from PIL import Image

import snljax
from snljax import figures
from snljax.equations import Equation, equations_of, tex_of
from snljax.experiment import Experiment
from snljax.papers import PAPERS, cite

DOCS = pathlib.Path(__file__).parent
ROOT = DOCS.parent
REPOSITORY = "https://github.com/snljax/snljax"
FOLDERS = ("figures", "api", "notebooks", "papers")  # of what is written here
PICTURES = "REPRODUCTION-pictures"
THUMBNAIL = (480, 320)  # pixels at most
# Beside what `snljax` names: systems and figures, whose modules are read when a study of one's own begins.
MORE_MODULES = ("experiments", "figures", "finding", "equations", "variables")


def file_link(path: pathlib.Path | str) -> str:
    """A file of the repository as a link to where it is published."""
    return f"[`{path}`]({REPOSITORY}/blob/main/{path})"


# --- figures ------------------------------------------------------------------------------------------------


def stored_results() -> dict[str, str]:
    """Figure -> what `snljax reproduce all` wrote of it: summary, pictures, claims, settings, command."""
    page = (DOCS / "REPRODUCTION.md").read_text(encoding="utf-8")
    parts = re.split(r"^### (\S+)$", page, flags=re.MULTILINE)[1:]
    bodies = (re.split(r"^## ", body, flags=re.MULTILINE)[0].strip() for body in parts[1::2])
    return dict(zip(parts[::2], bodies, strict=True))


def pictures_of(result: str) -> list[str]:
    """File names of the pictures in a stored result."""
    return re.findall(rf"\({PICTURES}/([^)]+)\)", result)


def figure_pages() -> dict[str, str]:
    """A page for each figure, from what is stored, and the page that shows them all."""
    results = stored_results()
    pages = {f"figures/{name}.md": _figure_page(name, results[name]) for name in figures.NAMES}
    return pages | {"figures/index.md": _figure_index(results)}


def _figure_page(name: str, result: str) -> str:
    entry = figures.NAMES[name]
    drawn = f"snljax/figures/{entry.module}.py"
    of = f"[{cite(entry.paper)}](../papers/{entry.paper}.md)"
    return f"""# {name}

{of}, experiment [`{entry.experiment}`](../api/experiments.{entry.experiment}.md).
Presets, drawing and claims are in {file_link(drawn)}.

{result.replace(f"({PICTURES}/", f"(../{PICTURES}/")}

In Python, `--preset paper` being the published size:

```python
import snljax as snl

report = snl.reproduce("{name}", preset="quick")  # .datasets, .claims, .files
```
"""


def _figure_index(results: dict[str, str]) -> str:
    parts = ["# Figures of the papers", _COUNTED.format(count=len(results))]
    for number, paper in PAPERS.items():
        names = [name for name, entry in figures.NAMES.items() if entry.paper == number]
        cards = "\n".join(_card(name, results[name]) for name in names)
        parts += [f"## Paper {number} ({paper.name})", paper.summary]
        parts.append(f":::::{{grid}} 1 2 2 3\n:gutter: 3\n\n{cards}\n:::::")
    return "\n\n".join(parts) + "\n\n" + _toctree(figures.NAMES)


_COUNTED = """{count} figures, each with its claims held against what its paper says. They show the preset *quick*,
which trains on two CPU cores: pictures and verdicts are those that [`snljax reproduce all`](../REPRODUCTION.md) stored,
and nothing is trained to build these pages. What they mean together is in [Findings](../findings.md)."""


def _card(name: str, result: str) -> str:
    (picture, *_) = pictures_of(result)
    return f"""::::{{grid-item-card}} {name}
:link: {name}
:link-type: doc
:img-top: thumbnails/{picture}
:img-alt: {name}

{figures.NAMES[name].summary}
::::
"""


def write_thumbnails() -> None:
    folder = DOCS / "figures" / "thumbnails"
    folder.mkdir(parents=True, exist_ok=True)
    for name, result in stored_results().items():
        if not (pictures := pictures_of(result)):
            raise ValueError(f"{name}: no picture in REPRODUCTION.md")
        with Image.open(DOCS / PICTURES / pictures[0]) as whole:
            small = whole.convert("RGB")
        small.thumbnail(THUMBNAIL)
        page = Image.new("RGB", THUMBNAIL, "white")  # all of one shape, so that cards stand in rows
        page.paste(small, ((THUMBNAIL[0] - small.width) // 2, (THUMBNAIL[1] - small.height) // 2))
        page.save(folder / pictures[0])


# --- API ----------------------------------------------------------------------------------------------------


class Page(NamedTuple):
    """One page of the API. module: whose file it is. names: what it documents, as users write it."""

    title: str
    module: types.ModuleType
    names: tuple[str, ...]


def api() -> list[Page]:
    """What is public: each function and class that `snljax` names, and each module, part by part."""
    own = [name for name in snljax.__all__ if not isinstance(getattr(snljax, name), types.ModuleType)]
    alone = [Page(f"snljax.{name}", _home(getattr(snljax, name)), (f"snljax.{name}",)) for name in own]
    modules = sorted({*snljax.__all__} - {*own} | {*MORE_MODULES})
    return alone + [page for name in modules for page in _pages_of(importlib.import_module(f"snljax.{name}"))]


def _path(module: types.ModuleType) -> str:
    """Its file in a checkout, wherever it is installed."""
    return module.__name__.replace(".", "/") + ("/__init__.py" if hasattr(module, "__path__") else ".py")


def _home(value: Any) -> types.ModuleType:
    return importlib.import_module(value.__module__)


def _pages_of(module: types.ModuleType) -> Iterator[Page]:
    """A module's page; of a package, one for each of its files that defines something public."""
    if listed := getattr(module, "__all__", None):  # users write package.name, wherever it is defined
        homes: dict[str, list[str]] = {}
        for name in listed:
            home = getattr(getattr(module, name), "__module__", None) or ""
            homes.setdefault(home if home.startswith(module.__name__) else module.__name__, []).append(name)
        for home, names in sorted(homes.items()):
            yield Page(home, importlib.import_module(home), tuple(f"{module.__name__}.{name}" for name in names))
        return
    if names := [name for name in vars(module) if _is_public(module, name)]:
        yield Page(module.__name__, module, tuple(f"{module.__name__}.{name}" for name in names))
    for found in sorted(pkgutil.iter_modules(getattr(module, "__path__", ())), key=lambda one: one.name):
        if not found.name.startswith("_"):
            yield from _pages_of(importlib.import_module(f"{module.__name__}.{found.name}"))


def _is_public(module: types.ModuleType, name: str) -> bool:
    value = vars(module)[name]
    is_code = inspect.isfunction(value) or inspect.isclass(value) or hasattr(value, "__wrapped__")
    is_mine = getattr(value, "__module__", None) == module.__name__
    return not name.startswith("_") and ((is_code and is_mine) or name in ("EXPERIMENT", "NAMES", "PAPERS"))


def api_pages() -> dict[str, str]:
    """A page for each entry of `api`, and the page that lists them."""
    pages = api()
    written = {f"api/{_slug(page)}.md": _api_page(page) for page in pages}
    return written | {"api/index.md": _api_index(pages)}


def _slug(page: Page) -> str:
    return page.title.removeprefix("snljax.")


def _api_page(page: Page) -> str:
    (alone, *others) = page.names
    about = "" if not others and alone == page.title else f"{inspect.getdoc(page.module)}\n\n"
    directives = "\n\n".join(_directive(name) for name in page.names)
    return f"# {page.title}\n\n{about}In {file_link(_path(page.module))}.\n\n```{{eval-rst}}\n{directives}\n```\n"


def _directive(name: str) -> str:
    value = _value(name)
    if callable(value) and not inspect.isclass(value):
        return f".. autofunction:: {name}"
    if not inspect.isclass(value):
        return f".. py:data:: {name}\n   :type: {type(value).__name__}\n\n   {_said_of(value)}"
    members = [member for member, what in vars(value).items() if _is_member(member, what)]
    return f".. autoclass:: {name}" + (f"\n   :members: {', '.join(members)}" if members else "")


def _said_of(value: Any) -> str:
    if isinstance(value, Experiment):
        return f"The experiment that ``snljax.experiments.get({value.name!r})`` returns."
    if isinstance(value, Mapping):
        return f"Its keys: {', '.join(f'``{key}``' for key in value)}."
    return f"``{value!r}``"


def _is_member(name: str, what: Any) -> bool:
    own = isinstance(what, (types.FunctionType, classmethod, staticmethod, property))
    return own and not name.startswith("_") and bool(inspect.getdoc(what))


def _value(name: str) -> Any:
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module), last)


def _first_line(value: Any) -> str:
    return (inspect.getdoc(value) or "").partition("\n\n")[0].replace("\n", " ")


def _api_index(pages: list[Page]) -> str:
    alone = [page for page in pages if (page.title,) == page.names]
    parts = [page for page in pages if page not in alone]
    rows = [f"| [`snl.{_slug(page)}`]({_slug(page)}.md) | {_cell(_first_line(_value(page.title)))} |" for page in alone]
    more = [f"| [`{page.title}`]({_slug(page)}.md) | {_cell(_first_line(page.module))} |" for page in parts]
    return f"""# API

`import snljax as snl`. Each entry has its equation, arguments with shapes and units, an example that the tests run, and
its source.

## Functions and classes

| name | what it is |
|---|---|
{chr(10).join(rows)}

## Modules

| module | what it holds |
|---|---|
{chr(10).join(more)}

{_toctree(_slug(page) for page in pages)}"""


def _cell(text: str) -> str:
    """One line in a table: single backticks of docstrings are names."""
    return re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", text).replace("|", r"\|")


def _toctree(names: Iterable[str]) -> str:
    return "```{toctree}\n:hidden:\n\n" + "\n".join(names) + "\n```\n"


# --- papers -------------------------------------------------------------------------------------------------


def paper_pages() -> dict[str, str]:
    """A page for each paper: its systems and figures, and each of its equations with the file that has it."""
    pages = {f"papers/{number}.md": _paper_page(number) for number in PAPERS}
    return pages | {"papers/index.md": _paper_index()}


def readme_rows() -> list[list[str]]:
    """Cells of the README's table: paper, experiment, figures, file, where its equations live."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (\d{3} \(.*) \|$", text, flags=re.MULTILINE)
    return [[cell.strip() for cell in line.split(" | ")] for line in lines]


def _paper_index() -> str:
    rows = [_paper_row(*cells) for cells in readme_rows()]
    links = "\n".join(f"| {what} | {_entry(name)} | {_file_of(name)} |" for what, name in LOOKED_FOR.items())
    return f"""# Papers, and the files that have them

A paper has a number and a name; its page has every equation of it that is code, with the file.

## What is looked for most

| what | name | file |
|---|---|---|
{links}

## From paper to file

| paper | experiment | figures | file | where its equations live |
|---|---|---|---|---|
{chr(10).join(rows)}

Conditions, hidden constants and how far the papers' own settings meet them: [Theory](../theory.md).

{_toctree(PAPERS)}"""


# What a reader of a paper asks first -> the function that is it.
LOOKED_FOR = {
    "PEGR's penalty, on each example (paper 003, Section 2)": "snljax.losses.per_example_gradient_penalty",
    "FGR's penalty, on the mean gradient (paper 003)": "snljax.losses.full_gradient_penalty",
    "TopK's mask (paper 000, TopK Weight Pruning Strategy)": "snljax.masks.topk",
    "The stop-gradient of contrastive learning (paper 004, eq. 2)": "snljax.losses.similarities",
    "The upper boundary, K = 95 σ_p⁻² (paper 000, Theorem 4.4)": "snljax.theory.topk_upper_boundary",
    "The lower boundary (paper 000, Figure 2)": "snljax.theory.topk_lower_boundary",
    "The penalty weight of the theorem (paper 003, Theorem 3.2)": "snljax.theory.pegr_weight",
    "How much random pruning is mild (paper 002, Theorem 3.1)": "snljax.theory.mild_pruning_keep",
    "Influence scores (paper 001, eq. 10)": "snljax.measures.memorization.influence_scores",
}


def _entry(name: str) -> str:
    return f"{{py:obj}}`{name.removeprefix('snljax.')} <{name}>`"


def _file_of(name: str) -> str:
    return file_link(_path(_home(inspect.unwrap(_value(name)))))


def _paper_row(paper: str, experiment: str, drawn: str, file: str, equations: str) -> str:
    number = paper[:3]
    files = [re.sub(r"`([^`]+)`", lambda found: file_link(f"snljax/{found[1]}"), cell) for cell in (file, equations)]
    shown = re.sub(r"`([^`]+)`", r"[\1](../figures/\1.md)", drawn)
    system = re.sub(r"`([^`]+)`", r"[\1](../api/experiments.\1.md)", experiment)
    return f"| [{paper}]({number}.md) | {system} | {shown} | {' | '.join(files)} |"


def _paper_page(number: str) -> str:
    paper = PAPERS[number]
    drawn = [name for name, entry in figures.NAMES.items() if entry.paper == number]
    systems = dict.fromkeys(figures.NAMES[name].experiment for name in drawn)
    homes = [cells[4] for cells in readme_rows() if cells[0][:3] == number]
    theory = dict.fromkeys(file for cell in homes for file in re.findall(r"`theory/(\w+)\.py`", cell))
    title = f"*{paper.title}*" + (f", {', '.join(paper.authors)}.\n" if paper.authors else ".\n") if paper.title else ""
    parts = [f"# Paper {number} ({paper.name})\n\n{title}\n{paper.summary}"]
    parts.append("Figures: " + ", ".join(f"[{name}](../figures/{name}.md)" for name in drawn) + ".")
    told: set[str] = set()
    for name in systems:
        parts.append(f"## Equations of `{name}`\n\nThe system is {file_link(f'snljax/experiments/{name}.py')}.")
        parts += _equations(equations_of(importlib.import_module(f"snljax.experiments.{name}")), told)
    for name in theory:
        module = importlib.import_module(f"snljax.theory.{name}")
        parts.append(f"## Its theory\n\nConditions, thresholds and curves are {file_link(_path(module))}.")
        parts += _equations(_defined(module), told)
    return "\n\n".join(parts) + "\n"


def _defined(module: types.ModuleType) -> list[Equation]:
    """The equations of a theory's own public functions, as users name them."""
    values = [(name, value) for name, value in vars(module).items() if _is_public(module, name)]
    told = [Equation(f"theory.{name}", _first_line(value), tex_of(value.__doc__ or "")) for name, value in values]
    return [one for one in told if one.tex and one.function.removeprefix("theory.") in snljax.theory.__all__]


def _equations(found: list[Equation], told: set[str]) -> Iterator[str]:
    for one in found:
        name = f"snljax.{one.function}"
        if name in told or not _exists(name):
            continue
        told.add(name)
        tex = "\n".join(f"$$\n{equation}\n$$\n" for equation in one.tex)
        yield f"**{one.summary}** {_entry(name)} in {_file_of(name)}\n\n{tex}".rstrip()


def _exists(name: str) -> bool:
    try:
        return callable(_value(name))
    except (ImportError, AttributeError):
        return False


# --- notebooks ----------------------------------------------------------------------------------------------


def notebook_pages() -> dict[str, str]:
    """The notebooks as they are committed, each under a line that opens it in Colab, and the page that lists them."""
    pages, rows = {}, []
    files = sorted((ROOT / "notebooks").glob("*.ipynb"))
    for file in files:
        notebook = json.loads(file.read_text(encoding="utf-8"))
        colab = f"https://colab.research.google.com/github/snljax/snljax/blob/main/notebooks/{file.name}"
        line = f"[Open in Colab]({colab}) · {file_link(f'notebooks/{file.name}')}"
        for cell in notebook["cells"]:  # links to pages lead out of their folder here, and stay in this one there
            cell["source"] = "".join(cell["source"]).replace("](../docs/", "](../")
        first = notebook["cells"][0]["source"].partition("\n")
        title = first[0].removeprefix("# ")
        notebook["cells"][0]["source"] = f"{first[0]}\n\n{line}\n{first[2]}"
        pages[f"notebooks/{file.name}"] = json.dumps(notebook, ensure_ascii=False, indent=1)
        rows.append(f"| [{title}]({file.name}) | [open]({colab}) |")
    pages["notebooks/index.md"] = _NOTEBOOKS.format(rows="\n".join(rows)) + _toctree(file.stem for file in files)
    return pages


_NOTEBOOKS = """# Notebooks

They run from top to bottom, on a laptop in half a minute to two minutes, and their first cell installs the package
where it is missing, as on Colab. The outputs here are those that they are published with; the tests run them in a
small form.

| notebook | in Colab |
|---|---|
{rows}

"""


# --- writing ------------------------------------------------------------------------------------------------


def all_pages() -> dict[str, str]:
    return figure_pages() | api_pages() | paper_pages() | notebook_pages()


def write() -> None:
    """All of them, and nothing else in their folders. What is as it was is not touched: Sphinx then builds less."""
    pages = all_pages()
    for folder in FOLDERS:
        for file in (DOCS / folder).rglob("*"):
            if file.suffix in (".md", ".ipynb") and file.relative_to(DOCS).as_posix() not in pages:
                file.unlink()
    for path, text in pages.items():
        file = DOCS / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
    write_thumbnails()


def with_runs(gallery: dict[str, Any], file: str, when: str) -> None:
    """Called by the gallery before and after each example: it begins with an empty folder, and leaves none."""
    shutil.rmtree(DOCS / "gallery" / "runs", ignore_errors=True)
    if when == "before":
        (DOCS / "gallery" / "runs").mkdir()
