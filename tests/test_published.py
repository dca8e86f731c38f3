"""What is published is whole and says the same everywhere: wheel, sdist, citation, recipe, workflows."""

from __future__ import annotations

import email
import hashlib
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile

import pytest
import yaml
from harness import ROOT

import snljax

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
REPOSITORY = PROJECT["project"]["urls"]["Repository"]
CONDA_NAMES = {"matplotlib": "matplotlib-base"}
PYTHONS = [name.split(" :: ")[-1] for name in PROJECT["project"]["classifiers"] if re.search(r":: 3\.\d+$", name)]


def parsed(name):
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def run(*command, **options):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=300, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# --- wheel and sdist --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the sdist, and the wheel that is built from it; another with the wheel of the checkout."""
    folder = tmp_path_factory.mktemp("built")
    build = (sys.executable, "-m", "build", "--no-isolation")
    run(*build, "--outdir", folder / "dist", ROOT)
    run(*build, "--wheel", "--outdir", folder / "direct", ROOT)
    return folder


def wheel_of(built):
    (wheel,) = (built / "dist").glob("*.whl")
    return wheel


def test_the_wheel_is_the_whole_package_and_nothing_else(built):
    package = ROOT / "snljax"
    there = {f.relative_to(ROOT).as_posix() for f in package.rglob("*") if f.is_file() and "__pycache__" not in f.parts}
    with zipfile.ZipFile(wheel_of(built)) as wheel:
        names = {*wheel.namelist()}
    about = {name for name in names if name.startswith(f"snljax-{snljax.__version__}.dist-info/")}
    assert names - about == there
    assert {"snljax/py.typed", "snljax/plotting/paper.mplstyle", "snljax/report/page.css"} <= names


def test_the_sdist_builds_the_same_wheel(built):
    (direct,) = (built / "direct").glob("*.whl")
    assert (direct.name, direct.read_bytes()) == (wheel_of(built).name, wheel_of(built).read_bytes())


def test_the_sdist_has_what_its_tests_need(built):
    (sdist,) = (built / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    needed = ["tests/harness.py", "docs/architecture.md", "notebooks/own_experiment.ipynb", "benchmarks/common.py"]
    needed += ["LICENSE", "CITATION.cff", "recipe/recipe.yaml", ".ci/run", ".github/workflows/test.yml"]
    assert {*needed} <= names


def test_the_wheel_says_what_it_is(built):
    with zipfile.ZipFile(wheel_of(built)) as wheel:
        (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
        about = email.message_from_bytes(wheel.read(name))
        licence = wheel.read(name.replace("METADATA", "licenses/LICENSE"))
        points = wheel.read(name.replace("METADATA", "entry_points.txt")).decode()
    assert (about["Name"], about["Version"]) == ("snljax", snljax.__version__)
    assert about["License-Expression"] == "Apache-2.0"
    assert licence == (ROOT / "LICENSE").read_bytes()
    assert about["Requires-Python"] == f">={PYTHONS[0]}"
    assert len(about.get_all("Project-URL")) == len(PROJECT["project"]["urls"])
    assert "snljax = snljax.cli:main" in points
    assert "snljax = snljax.sweep.dataset:StoreBackend" in points


def test_links_of_the_readme_lead_out_of_the_package_index(built):
    """It is shown there without the repository: each link is absolute, and its file is in this checkout."""
    with zipfile.ZipFile(wheel_of(built)) as wheel:
        (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
        shown = email.message_from_bytes(wheel.read(name)).get_payload()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [re.findall(r"\]\(([^)]+)\)", text) for text in (readme, shown)]
    relative = [link for link in links[0] if not link.startswith(("https://", "#"))]
    places = [
        "https://raw.githubusercontent.com/snljax/snljax/main/" if link.endswith(".png") else f"{REPOSITORY}/blob/main/"
        for link in relative
    ]
    assert [link for link in links[1] if link not in links[0]] == [p + r for p, r in zip(places, relative, strict=True)]
    assert len(links[0]) == len(links[1]) > 10
    assert all((ROOT / link.partition("#")[0]).exists() for link in relative)


def test_the_wheel_works_where_it_is_installed(built, tmp_path):
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-index", "--no-deps")
    run(*pip, "--no-compile", "--target", tmp_path / "site", wheel_of(built))
    options = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(tmp_path / "site")}}
    code = "import snljax; print(snljax.__file__, snljax.__version__, snljax.Grid.__name__)"
    file, version, name = run(sys.executable, "-c", code, **options).split()
    assert pathlib.Path(file) == tmp_path / "site" / "snljax" / "__init__.py"
    assert (version, name) == (snljax.__version__, "Grid")
    assert "topk_pruning" in run(tmp_path / "site" / "bin" / "snljax", "list", **options)


@pytest.mark.slow
def test_the_script_of_a_release_builds_and_checks(tmp_path):
    run("bash", ROOT / ".ci" / "build", tmp_path, snljax.__version__)
    assert len([*tmp_path.glob(f"snljax-{snljax.__version__}*")]) == 2
    done = subprocess.run(
        ["bash", ROOT / ".ci" / "build", tmp_path, "9.9.9"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "9.9.9" in done.stderr) == (1, True)


# --- one version, one list of dependencies ------------------------------------------------------------------


def test_the_version_is_said_once():
    assert PROJECT["project"]["dynamic"] == ["version", "readme"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "snljax/__init__.py"


def test_the_citation_is_of_this_version():
    about = parsed("CITATION.cff")
    assert {"cff-version", "message", "title", "authors", "type", "version", "license"} <= {*about}
    assert (about["cff-version"], about["type"]) == ("1.2.0", "software")
    assert about["version"] == snljax.__version__
    assert about["license"] == PROJECT["project"]["license"]
    assert about["repository-code"] == PROJECT["project"]["urls"]["Repository"]
    assert [a["name"] for a in about["authors"]] == [a["name"] for a in PROJECT["project"]["authors"]]


def bounds(requirements):
    """name -> bound, of lines such as ``jax>=0.10`` and ``jax >=0.10``."""
    found = (re.fullmatch(r"([\w-]+)\s*(>=[\w.]+)?", line) for line in requirements)
    return {one[1]: one[2] for one in found}


def test_the_recipe_is_of_this_version_and_needs_the_same():
    recipe = parsed("recipe/recipe.yaml")
    assert recipe["context"]["version"] == snljax.__version__
    assert recipe["context"]["python_min"] == PYTHONS[0]
    host, *there = recipe["requirements"]["run"]
    assert host == "python >=${{ python_min }}"
    wanted = bounds(PROJECT["project"]["dependencies"])
    assert bounds(there) == {CONDA_NAMES.get(name, name): bound for name, bound in wanted.items()}
    assert {*PROJECT["build-system"]["requires"]} <= {one.replace(" ", "") for one in recipe["requirements"]["host"]}
    points = [f"{name} = {target}" for name, target in PROJECT["project"]["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == points
    assert recipe["about"]["summary"] == PROJECT["project"]["description"]


def test_the_recipe_of_a_release_has_the_sdist_and_its_hash(tmp_path):
    (tmp_path / "sdist.tar.gz").write_bytes(b"an sdist")
    recipe = yaml.safe_load(run("bash", ROOT / ".ci" / "conda-recipe", tmp_path / "sdist.tar.gz"))
    assert recipe["source"]["sha256"] == hashlib.sha256(b"an sdist").hexdigest()
    assert recipe["source"]["url"].endswith("/snljax-${{ version }}.tar.gz")
    own = parsed("recipe/recipe.yaml")
    assert (own.pop("source"), recipe.pop("source")["url"][:8]) == ({"path": ".."}, "https://")
    assert recipe == own


# --- what runs the checks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_workflows_call_the_scripts_of_the_checkout(file):
    steps = [step for job in parsed(file)["jobs"].values() for step in job.get("steps", [])]
    commands = [step["run"] for step in steps if "run" in step]
    assert all(re.match(r"bash \.ci/", command) for command in commands)
    assert all((ROOT / command.split()[1]).exists() for command in commands)
    assert all(re.search(r"@(v\d+|release/v\d+)$", step["uses"]) for step in steps if "uses" in step)


def test_every_python_that_is_named_is_tested():
    (job,) = parsed(".github/workflows/test.yml")["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == PYTHONS == ["3.11", "3.12", "3.13"]
    assert PROJECT["project"]["requires-python"] == f">={PYTHONS[0]}"


def test_only_the_job_that_publishes_has_a_token_and_it_runs_nothing_else():
    release = parsed(".github/workflows/release.yml")
    may = {name: job.get("permissions", {}) for name, job in release["jobs"].items()}
    assert release["permissions"] == {"contents": "read"}
    assert may == {"check": {}, "build": {}, "publish": {"id-token": "write"}}
    assert (release["jobs"]["publish"]["needs"], release["jobs"]["build"]["needs"]) == ("build", "check")
    assert not any("run" in step or "password" in str(step) for step in release["jobs"]["publish"]["steps"])


def test_checks_before_a_commit_are_those_of_the_script():
    """And of the same programs: those of the environment, not of versions of their own."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (source,) = parsed(".pre-commit-config.yaml")["repos"]
    assert source["repo"] == "local"
    for hook in source["hooks"]:
        assert hook["language"] == "system"
        assert f".venv/bin/{hook['entry'].removesuffix(' --force-exclude')}" in script
