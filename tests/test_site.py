"""The documentation site: what can be said of it without building it, and (slow) the site itself, in a browser."""

from __future__ import annotations

import ast
import html
import importlib
import json
import os
import pathlib
import posixpath
import re
import shutil
import subprocess
import sys
import types
import urllib.parse
import zlib

import matplotlib.pyplot as plt
import pytest
import yaml
from harness import ROOT

import snljax
from snljax import figures
from snljax.equations import tex_of
from snljax.papers import PAPERS

DOCS = ROOT / "docs"
EXAMPLES = sorted(file.stem for file in (DOCS / "gallery").glob("*.py"))


@pytest.fixture(scope="module")
def module_of():
    """A file of docs/ as a module, by its name, as conf.py imports it."""
    names = {file.stem for file in DOCS.glob("*.py")}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS)
        yield importlib.import_module
    for name in names & {*sys.modules}:
        del sys.modules[name]


@pytest.fixture(scope="module")
def written(module_of):
    """Path in docs/ -> text: the pages by hand and those that the build writes, without what it runs."""
    by_hand = {file.name: file.read_text(encoding="utf-8") for file in DOCS.glob("*.md")}
    return by_hand | module_of("pages").all_pages()


def without_code(text):
    return re.sub(r"^(`{3,}|:{3,})(?!\{toctree|\{grid).*?^\1$|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)


def resolved(page, target):
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), target))


def is_there(path):
    """A file, relative to docs/; or a picture, where this is an sdist, which has none."""
    return (DOCS / path).exists() or (path.endswith(".png") and not any(DOCS.glob("*.png")))


# --- without building ---------------------------------------------------------------------------------------


def test_every_page_is_in_a_toctree(written):
    """From the first page all others are reached."""
    documents = {path.rpartition(".")[0]: path for path in written}
    reached, waiting = set(), ["index"]
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        trees = re.findall(
            r"^```\{toctree\}\n(.*?)^```", written.get(documents.get(name), ""), re.MULTILINE | re.DOTALL
        )
        entries = [line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")]
        waiting += [resolved(name, re.sub(r".*<(.+)>$", r"\1", entry)) for entry in entries]
    assert reached == {*documents, "tasks/index"}


def test_every_public_name_has_its_entry(module_of):
    pages = module_of("api_pages")
    entries = {name for page in pages.api() for name in page.names}
    titles = {page.title for page in pages.api()}
    for name in snljax.__all__:
        value = getattr(snljax, name)
        if not isinstance(value, types.ModuleType):
            assert f"snljax.{name}" in entries
            continue
        assert any(title == value.__name__ or title.startswith(f"{value.__name__}.") for title in titles)
        assert {f"snljax.{name}.{member}" for member in getattr(value, "__all__", ())} <= entries


def test_every_function_of_a_public_module_has_its_entry(module_of):
    """Found anew, in the sources: what the pages leave out cannot hide here."""
    entries = {name for page in module_of("api_pages").api() for name in page.names}
    for module in (
        "losses",
        "masks",
        "constraints",
        "descent",
        "stats",
        "measures.memorization",
        "models.two_layer_cnn",
    ):
        tree = ast.parse((ROOT / "snljax" / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
        defined = [n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and n.name[0] != "_"]
        assert {f"snljax.{module}.{name}" for name in defined} <= entries, module


@pytest.mark.parametrize("name", sorted(figures.NAMES))
def test_every_figure_has_its_page(written, name):
    page, entry = written[f"figures/{name}.md"], figures.NAMES[name]
    pictures = re.findall(r"\(\.\./(REPRODUCTION-pictures/[^)]+)\)", page)
    assert page.startswith(f"# {name}\n")
    assert pictures
    assert all(is_there(picture) for picture in pictures)
    assert all(
        f"({there})" in page for there in (f"../papers/{entry.paper}.md", f"../api/experiments.{entry.experiment}.md")
    )
    assert f"snljax/figures/{entry.module}.py" in page
    assert f"snljax reproduce {name} --preset quick" in page
    assert "| claim | source | verdict |" in page
    assert f":link: {name}\n" in written["figures/index.md"]


def test_what_a_page_of_a_figure_claims_is_what_was_stored(written):
    """Every verdict of docs/REPRODUCTION.md is on one of the pages, and no other."""
    verdicts = r"\| \*\*(?:holds|refuted|undecided|not testable)\*\* \|"
    stored = (DOCS / "REPRODUCTION.md").read_text(encoding="utf-8").partition("\n## Paper ")[2]
    shown = "".join(written[f"figures/{name}.md"] for name in figures.NAMES)
    assert len(re.findall(verdicts, shown)) == len(re.findall(verdicts, stored)) > 300


def test_links_between_pages_resolve(written):
    """To a page that is there or is written, or to a file."""
    there = {*written, *(f"tasks/{name}.rst" for name in EXAMPLES), "tasks/index.rst"}
    for page, text in written.items():
        if page.endswith(".ipynb"):
            cells = json.loads(text)["cells"]
            text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", without_code(text)):
            if target.startswith(("http://", "https://")):
                continue
            path = resolved(page, target)
            assert path in there or is_there(path), f"{page}: {target}"


def test_links_to_files_of_the_repository_lead_to_files(module_of, written):
    published = module_of("links").REPOSITORY
    for page, text in written.items():
        for path in re.findall(rf"{published}/blob/main/([^)\s\"]+)", text):
            assert (ROOT / path).is_file(), f"{page}: {path}"


def test_what_readers_of_a_paper_look_for_is_in_the_file_that_is_named(module_of, written):
    index = written["papers/index.md"]
    for what, name in module_of("paper_pages").LOOKED_FOR.items():
        (row,) = [line for line in index.splitlines() if line.startswith(f"| {what} |")]
        (file,) = re.findall(r"blob/main/(snljax/[\w/]+\.py)\)", row)
        assert f"\ndef {name.rpartition('.')[2]}(" in (ROOT / file).read_text(encoding="utf-8")


def test_every_paper_has_its_equations(written):
    for number in PAPERS:
        assert written[f"papers/{number}.md"].count("\n$$\n") > 10


def test_every_equation_becomes_mathml(module_of):
    mathml = module_of("mathml")
    found = 0
    for file in (ROOT / "snljax").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                for tex in tex_of(ast.get_docstring(node) or ""):
                    assert mathml.to_mathml(tex, as_block=True).startswith("<math")
                    found += 1
    assert found > 100


@pytest.mark.parametrize("file", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda file: file.stem)
def test_a_notebook_installs_the_package_first_and_opens_in_colab(written, file):
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    first = "".join(next(cell["source"] for cell in cells if cell["cell_type"] == "code"))
    assert re.search(r'find_spec\("snljax"\) is None:.*\n    %pip install --quiet "snljax(\[vision\])?"$', first)
    opened = f"https://colab.research.google.com/github/snljax/snljax/blob/main/notebooks/{file.name}"
    assert opened in written[f"notebooks/{file.name}"]
    assert opened in written["notebooks/index.md"]


# What people do -> the words of the lines that do it, on the page of that name.
TASKS = {
    "own_experiment_in_the_shell": ["snljax run", "--store", "--shard"],
    "learning_rate_sweep": ["snl.supervised(", "snl.sweep("],
    "paired_comparison": ["snl.Grid(", "snl.sweep(", "snl.compare(", "snl.to_latex("],
    "boundary_over_theory": ["snl.Grid(", "snl.trace(", "snl.plotting.Curve(", "snl.plotting.phase_map(", '"column"'],
    "weights_of_one_cell": ["snl.replay("],
    "live": ["snl.live(", "on_block=live"],
    "report_page": ["snl.Grid(", "snl.sweep(", "snl.report("],
    "resume_after_kill": ["snljax run", "subprocess.run(run.split()"],
    "influence_of_own_data": ["snl.influence_scores("],
}


def test_every_user_task_has_its_page():
    assert TASKS.keys() == {*EXAMPLES, "live"}


@pytest.mark.parametrize("name", TASKS)
def test_a_user_task_takes_ten_lines_at_most(written, name):
    """The statements in which its words stand; what they are used on, and pictures, come to that."""
    if name in EXAMPLES:
        code = (DOCS / "gallery" / f"{name}.py").read_text(encoding="utf-8")
    else:
        code = "\n".join(re.findall(r"^```\{code-cell\} python\n(.*?)^```", written[f"{name}.md"], re.M | re.S))
    statements = [(node, ast.get_source_segment(code, node)) for node in ast.parse(code).body]
    doing = [
        (node.end_lineno - node.lineno + 1, text)
        for node, text in statements
        if not text.startswith('"""') and any(word in text for word in TASKS[name])
    ]
    assert all(any(word in text for _, text in doing) for word in TASKS[name])
    assert sum(lines for lines, _ in doing) <= 10


def test_read_the_docs_builds_what_continuous_integration_builds():
    there = yaml.safe_load((ROOT / ".readthedocs.yaml").read_text(encoding="utf-8"))
    assert there["sphinx"] == {"configuration": "docs/conf.py", "fail_on_warning": True}
    assert there["python"]["install"] == [{"method": "pip", "path": ".", "extra_requirements": ["docs"]}]
    assert "sphinx -W --keep-going docs" in (ROOT / ".ci" / "docs").read_text(encoding="utf-8")


LONGER = ("start", "contract", "supervised", "pairs")
GUIDE = ["grids", *(pytest.param(name, marks=pytest.mark.slow) for name in LONGER)]


@pytest.mark.parametrize("name", GUIDE)
def test_the_code_of_a_page_runs(written, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": f"page_{name}"}
    for code in re.findall(r"^```python\n(.*?)^```", written[f"{name}.md"], re.MULTILINE | re.DOTALL):
        exec(compile(code, f"{name}.md", "exec", dont_inherit=True), names)  # not with the imports of this file
    plt.close("all")
    if name == "grids":
        assert names["grid"].shape == {"sigma_p": 3, "K": 2}
    else:
        assert bool((names["ds"].status == 1).all())


# --- the site, built and opened -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Built from a copy, with warnings as errors."""
    pytest.importorskip("sphinx_gallery", reason="pages are built with the extra docs")
    folder = tmp_path_factory.mktemp("site")
    made = ("figures", "api", "papers", "tasks", "_build", "jupyter_execute", "runs", "__pycache__")
    shutil.copytree(DOCS, folder / "docs", ignore=shutil.ignore_patterns(*made))
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    for name in ("README.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, folder)
    here = os.environ | {"PATH": f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "docs", "html"]
    done = subprocess.run(command, cwd=folder, env=here, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder / "html"


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver", reason="the browser is driven by selenium")
    driver, chromium = shutil.which("chromedriver"), shutil.which("chromium") or shutil.which("google-chrome")
    if driver is None or chromium is None:
        pytest.skip("no Chromium with its driver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield opened
    opened.quit()


@pytest.mark.slow
def test_the_site_fetches_nothing_from_elsewhere(site):
    fetched = (
        r"<(?:script|img|iframe)[^>]+src=\"(https?:[^\"]+)|<link[^>]+rel=\"stylesheet\"[^>]+href=\"(https?:[^\"]+)"
    )
    files = [*site.rglob("*.html")]
    assert len(files) > 150
    for file in files:
        assert re.findall(fetched, file.read_text(encoding="utf-8")) == [], file


@pytest.mark.slow
def test_links_of_the_site_lead_to_files_and_anchors(site):
    """Those between pages, those of the theme, and those from sources back to what is said of them."""
    texts = {file.resolve(): file.read_text(encoding="utf-8") for file in site.rglob("*.html")}
    anchors = {
        file: {html.unescape(name) for name in re.findall(r'\bid="([^"]+)"', text)} for file, text in texts.items()
    }
    checked, lost = 0, set()
    for file, text in texts.items():
        for link in map(html.unescape, re.findall(r'<a\b[^>]*?\bhref="([^"]*)"', text)):
            path, _, anchor = urllib.parse.unquote(link).partition("#")
            if re.match(r"\w+:", link):
                continue
            target = (file.parent / path.partition("?")[0]).resolve() if path else file
            there = target.exists() and (not anchor or target not in anchors or anchor in anchors[target])
            lost |= set() if there else {(file.name, link)}
            checked += 1
    assert checked > 10_000
    assert lost == set()


# What a task's page says when it has done what it is about.
CAME_OUT = {
    "own_experiment_in_the_shell": r"cells 48 of 48 done \(100\.0 %\) blocks 8 done",
    "learning_rate_sweep": r"learning rate \S+: 0\.\d+ \[0\.\d+, 0\.\d+\]",
    "paired_comparison": r"8 .*\\begin\{tabular\}.*pegr & .*\\mathbf",
    "boundary_over_theory": r"c = \d+\.\d \[\d+\.\d, \d+\.\d\]",
    "weights_of_one_cell": r"\(3, 4, 40\) True",
    "live": r"8 pictures",
    "report_page": r"report\.html: \d\.\d MB",
    "resume_after_kill": r"exit code -9; \d+ of 96 networks are in the store .*96 of 96 .*\bTrue\b",
    "influence_of_own_data": r"scores = snl\.influence_scores",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_a_user_task_comes_out(site, name):
    """The build runs it; here is that it did what it says."""
    page = (site / ("live.html" if name == "live" else f"tasks/{name}.html")).read_text(encoding="utf-8")
    shown = " ".join(html.unescape(re.sub(r"<[^>]+>", "", page)).split())
    assert re.search(CAME_OUT[name], shown)
    assert re.search(r'<img[^>]+src="(?:\.\./)?_images/', page)


@pytest.mark.slow
def test_public_names_are_in_the_inventory(site):
    *_, body = (site / "objects.inv").read_bytes().split(b"\n", 4)
    objects = {*re.findall(r"^(\S+) py:\S+ ", zlib.decompress(body).decode(), re.MULTILINE)}
    names = [name for name in snljax.__all__ if not isinstance(getattr(snljax, name), types.ModuleType)]
    assert {f"snljax.{name}" for name in names} <= objects
    assert {"snljax.losses.per_example_gradient_penalty", "snljax.masks.topk", "snljax.theory.pegr_weight"} <= objects


@pytest.mark.slow
@pytest.mark.parametrize("word", ["sweep", "stop-gradient", "resume"])
def test_search_finds_without_a_server(site, browser, word):
    from selenium.webdriver.support.ui import WebDriverWait

    def found(page):
        return page.execute_script("return [...document.querySelectorAll('#search-results li a')].map(a => a.href)")

    browser.get(f"{(site / 'search.html').as_uri()}?q={word}")
    wanted = {"sweep": "api/sweep.html", "stop-gradient": "losses.html", "resume": "resume_after_kill.html"}[word]
    # Results come one after the other.
    WebDriverWait(browser, 60).until(lambda page: any(wanted in link for link in found(page)))
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [500, 1400])
@pytest.mark.parametrize(
    "page", ["index", "figures/topk-heatmap", "papers/003", "api/sweep", "tasks/learning_rate_sweep"]
)
def test_a_page_is_as_wide_as_its_window(site, browser, page, width):
    browser.set_window_size(width, 900)
    browser.get((site / f"{page}.html").as_uri())
    inside, needed = browser.execute_script("return [window.innerWidth, document.documentElement.scrollWidth]")
    assert needed <= inside
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
