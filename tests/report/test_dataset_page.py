"""The page to look around in: its numbers, what it says, and how it behaves in a real browser without a network."""

from __future__ import annotations

import json
import re
import shutil
import time
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr
from harness import POWERS

import snljax as snl
from snljax import cli
from snljax.report.borders import crossings
from snljax.report.cube import cubes
from snljax.variables import DIVERGED, DONE, PENDING

pytest.importorskip("bokeh", reason="there is no bokeh")

SETTINGS = {"mu": 1.0, "n": 200, "d": 200, "num_classes": 10, "m": 20}


def planted(shape=(6, 5), seeds=4, lambdas=(0.1, 1.0)):
    """A loss that rises with sigma_p and K, over two weights, three steps and seeds; one cell diverged, one pending."""
    sigma_p, K = np.linspace(0.1, 1.0, shape[0]).round(3), np.geomspace(2, 64, shape[1]).round(2)
    ds = xr.Dataset(coords={"sigma_p": sigma_p, "K": K, "penalty_weight": list(lambdas), "seed": range(seeds)})
    rng = np.random.default_rng(3)
    noise = xr.DataArray(
        rng.normal(size=(*shape, len(lambdas), seeds)), dims=("sigma_p", "K", "penalty_weight", "seed")
    )
    loss = 3 * ds.sigma_p * np.log(ds.K) + ds.penalty_weight + 0.05 * noise
    steps = xr.DataArray([3.0, 2.0, 1.0], dims="step", coords={"step": [0, 50, 100]})
    status = xr.full_like(noise, DONE, np.int8)
    status[0, 0, 0, 1], status[1, 2] = DIVERGED, PENDING
    ds["test_loss"] = (loss + steps - 1).where(status == DONE)
    ds["train_accuracy"] = (1 / (1 + loss)).where(status == DONE)
    ds["status"] = status
    ds.sigma_p.attrs["long_name"] = r"$\sigma_p$"
    ds.test_loss.attrs = {"long_name": "test loss", "units": "nats"}
    return ds.assign_attrs(experiment="topk_pruning", settings=json.dumps(SETTINGS), command="snljax run <a> & b")


def test_numbers_of_the_page_are_those_of_the_intervals():
    ds = planted()
    found = cubes(ds, None, None, None, None)
    assert (found.x, found.y, found.free) == ("sigma_p", "K", ("penalty_weight", "step"))
    assert [cube.name for cube in found.cubes] == ["test_loss", "train_accuracy"]
    for cube in found.cubes:
        wanted = snl.stats.interval(ds[cube.name]).transpose(*cube.dims)
        for name in ("mean", "low", "high"):
            np.testing.assert_allclose(getattr(cube, name), wanted[name], rtol=1e-6)
    assert int(found.diverged.sum()) == 1
    assert int(found.pending.sum()) == 8
    assert found.cubes[1].seeds.max() == 4


def test_a_page_that_would_be_too_large_leaves_out_and_says_what():
    ds = planted()
    ds["weights"] = ds.status * xr.DataArray(np.zeros(100), dims="filter")
    found = cubes(ds, None, None, None, None, room=300)
    assert [cube.name for cube in found.cubes] == ["test_loss", "train_accuracy"]
    assert found.cubes[0].exact.step.values.tolist() == [0, 100]
    assert found.left_out == ["weights, of 100 numbers for each network", "1 of 3 recorded steps"]
    found = cubes(ds, None, None, None, None, room=150)
    assert found.left_out[-1].startswith("train_accuracy, of 60 numbers in all")
    with pytest.raises(ValueError, match="metric: test_loss has 120 numbers; allowed: 50"):
        cubes(ds, None, None, None, None, room=50)


def test_the_boundary_is_that_of_the_library():
    ds = planted()
    (loss, _) = cubes(ds, None, None, None, None).cubes
    last = ds.test_loss.isel(penalty_weight=1, step=0)
    for end in ("mean", "low", "high"):
        found = crossings(loss, end, "sigma_p", "K", 5.0)[1, 0]  # of penalty_weight and step
        wanted = snl.boundary.contours(snl.stats.interval(last)[end].rename("test_loss"), "sigma_p", "K", 5.0)
        assert [[*zip(*line, strict=True)] for line in found] == [[*map(tuple, w.points.tolist())] for w in wanted]
        assert wanted


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    ds = planted()
    ds.to_netcdf(folder / "fitted.nc")
    about = {"source": "paper 000", "verdict": "holds", "threshold": "loss < 2", "note": "", "kind": "95 % t"}
    claims = [{"text": "learns <here>", "measured": 1.25, "interval": [1.0, 1.5], **about}]
    (folder / "claims.json").write_text(json.dumps({"claims": claims, "remarks": ["of a test"]}))
    return snl.report(folder / "fitted.nc", folder / "out" / "page.html", level=3.0)


def test_the_page_says_where_its_numbers_come_from(page):
    text = page.read_text(encoding="utf-8")
    for part in ("learns &lt;here&gt;", "1.25 [1, 1.5] (95 % t)", "mu = 1, n = 200, d = 200", "of a test"):
        assert part in text
    assert "snljax run &lt;a&gt; &amp; b" in text
    assert "240 networks (8 pending, 231 done, 1 diverged)" in text
    assert "over-pruning, paper 000, Theorem 4.5" in text


class Loaded(HTMLParser):
    """What the tags of a page would fetch; a script's own text is none."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href") and value[:1] != "#"]


def test_the_page_needs_nothing_but_itself(page):
    """As its tags say; the browser below, which has no network, loads nothing either."""
    assert Loaded(page.read_text(encoding="utf-8")).found == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "loss"}, "metric: 'loss' is not known"),
        ({"x": "step"}, "x: 'step' was not swept"),
        ({"level": float("nan")}, "level: nan; allowed: a finite number"),
        ({"out": "page.htm"}, "out: page.htm is no HTML file"),
    ],
)
def test_what_is_not_there_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        snl.report(planted(), **options)


def test_another_file_is_not_overwritten_and_a_report_is(tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<p>mine</p>")
    small = planted((3, 3))
    with pytest.raises(ValueError, match=r"out: .*page.html is there and no report of snljax; allowed: another name"):
        snl.report(small, page)
    assert page.read_text() == "<p>mine</p>"
    page.unlink()
    assert snl.report(small, page) == snl.report(small, page, title="again")
    assert "<h1" in page.read_text(encoding="utf-8")
    assert ">again</h1>" in page.read_text(encoding="utf-8")


def test_a_traced_diagram_brings_its_metric_level_and_sides(tmp_path):
    ds = planted().isel(step=-1, penalty_weight=0, drop=True)
    trained = xr.DataArray(np.arange(30).reshape(6, 5) % 2 == 0, dims=("sigma_p", "K"))
    side = snl.stats.side(ds.test_loss, 3.0).assign_attrs(metric="test_loss", level=3.0, x="K", y="sigma_p")
    status = ds.status.where(trained, PENDING).astype(np.int8)
    ds = ds.assign(side=side, status=status, test_loss=ds.test_loss.where(trained))
    text = snl.report(ds, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Cells that the trace did not train" in text
    assert text.count("#C9C5DA") + text.count("#F7F5CF") + text.count("#BBBBBB") >= 15


def test_rows_of_settings_are_named_by_them_and_fields_that_move_with_another_are_said():
    ds = planted().isel(step=-1, penalty_weight=0, drop=True)
    moved = ds.assign_coords(sigma_0=("sigma_p", ds.sigma_p.values / 10))
    axis = cubes(moved, None, None, None, None).axes["sigma_p"]
    assert (axis.named, axis.texts[0], axis.short[0]) == (False, "0.1, sigma_0 0.01", "0.1")
    rows = moved.rename(sigma_p="row").assign_coords(row=range(6), sigma_p=("row", ds.sigma_p.values))
    found = cubes(rows, None, None, None, None)
    assert (found.x, found.y) == ("K", "row")  # numbers before names
    axis = found.axes["row"]
    assert (axis.named, axis.texts[0], axis.short[0]) == (True, "sigma_0 0.01, sigma_p 0.1", "0.01, 0.1")
    assert axis.places.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("kept", [["sigma_p"], ["step"], []])
def test_fewer_dimensions_have_curves_or_only_what_is_said(tmp_path, kept):
    """One swept axis, none with recorded steps, a single network."""
    ds = planted()
    ds = ds.isel({dim: -1 for dim in ("sigma_p", "K", "penalty_weight", "step") if dim not in kept}, drop=True)
    page = snl.report(ds, tmp_path / "page.html")
    assert "test loss" in page.read_text(encoding="utf-8")


# --- in a browser -------------------------------------------------------------------------------------

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
NO_BROWSER = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="there are no chromium and chromedriver")


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window and without a network."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="there is no selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "window-size=1400,1400"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    driver.execute_cdp_cmd("Network.enable", {})
    nothing = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", nothing)
    yield driver
    driver.quit()


def waited(browser, script, seconds=60):
    """What a script returns, as soon as that is true."""
    until = time.monotonic() + seconds
    while not (found := browser.execute_script(script)):
        assert time.monotonic() < until, script
        time.sleep(0.05)
    return found


def opened(browser, page):
    browser.get(page.as_uri())
    waited(browser, "return window.Bokeh && Bokeh.documents.length > 0 && Bokeh.documents[0].is_idle")
    waited(browser, "return Bokeh.documents[0].get_model_by_name('part0_1').title.text.length > 1")


CURVE = "Bokeh.documents[0].get_model_by_name('part0_2').children.find((one) => one.visible && one.type === 'Figure')"
# All text of the page, through the shadow roots in which bokeh draws.
TEXT = """
const all = (node) => [...node.childNodes].map((one) => one.nodeType === 3 ? one.textContent
  : (one.shadowRoot ? all(one.shadowRoot) : "") + (["STYLE", "SCRIPT"].includes(one.tagName) ? "" : all(one))).join(" ")
return all(document.body)
"""
# The middle of a cell of a heatmap, in pixels of the window.
PLACE = """
const view = Bokeh.index.find_one_by_id(Bokeh.documents[0].get_model_by_name(arguments[2]).id)
if (arguments[2] !== "part0_1") view.canvas_view.el.scrollIntoView({block: "center", behavior: "instant"})
const box = view.canvas_view.el.getBoundingClientRect()
const [x, y] = [view.frame.x_scale.compute(arguments[0]), view.frame.y_scale.compute(arguments[1])]
return [box.left + x, box.top + y]
"""


def point_at(browser, x, y, click=False, part=0):
    """Move the mouse to the cell that is at x and y in the heatmap of a source."""
    from selenium.webdriver.common.action_chains import ActionChains

    x, y = browser.execute_script(PLACE, float(x), float(y), f"part{part}_1")
    actions = ActionChains(browser, duration=20)
    actions.w3c_actions.pointer_action.move_to_location(round(x) - 2, round(y))
    actions.w3c_actions.pointer_action.move_to_location(round(x), round(y))
    (actions.click() if click else actions).perform()


def hovered(browser, x, y, word, part=0):
    """The text of the page with the tip of a cell, once it has a word."""
    point_at(browser, x, y, part=part)
    until = time.monotonic() + 30
    while word not in (text := " ".join(browser.execute_script(TEXT).split())):
        assert time.monotonic() < until, (word, text[:500])
        time.sleep(0.05)
    return text


def complaints_of(browser):
    """What the console said since it was last looked at."""
    return [one for one in browser.get_log("browser") if one["level"] in ("SEVERE", "WARNING")]


HANDLES = """
const inside = (one) => (one.shadowRoot ? all(one.shadowRoot) : [])
const all = (root) => [...root.querySelectorAll("*")].flatMap((one) => [one, ...inside(one)])
return all(document).filter((one) => one.classList.contains("noUi-handle"))
"""


@NO_BROWSER
def test_in_a_browser(page, browser):
    """Hovering gives the right numbers, a slider moves them, a click draws the curve, nothing is complained about."""
    from selenium.webdriver.common.keys import Keys

    ds = planted()
    opened(browser, page)
    assert "3 seeds, 1 diverged" in hovered(browser, ds.sigma_p[0], ds.K[0], "sigma_p = 0.1, K = 2")
    i, j = 3, 3
    here = f"sigma_p = {float(ds.sigma_p[i]):g}, K = {float(ds.K[j]):g}"
    for weight in (0.1, 1.0):  # the last step is shown at first
        text = hovered(browser, ds.sigma_p[i], ds.K[j], f"{here}, penalty_weight = {weight:g}, step = 100")
        wanted = snl.stats.interval(ds.test_loss.sel(penalty_weight=weight, step=100).isel(sigma_p=i, K=j))
        shown = re.search(r"test_loss (\S+) 95 % interval (\S+) to (\S+) 4 seeds", text)
        numbers = [float(number) for number in shown.groups()]
        assert numbers == pytest.approx([float(wanted[name]) for name in ("mean", "low", "high")], rel=1e-3)
        browser.execute_script(HANDLES)[0].send_keys(Keys.ARROW_RIGHT)
    point_at(browser, ds.sigma_p[1], ds.K[4], click=True)
    waited(browser, f"return {CURVE}.title.text === 'sigma_p = {float(ds.sigma_p[1]):g}, K = 64, penalty_weight = 1'")
    found = browser.execute_script(f"return {CURVE}.renderers.at(-1).data_source.data.mean")
    wanted = ds.test_loss.isel(sigma_p=1, K=4, penalty_weight=1).mean("seed").values
    assert found == pytest.approx(wanted.tolist(), rel=1e-6)
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert complaints_of(browser) == []


@NO_BROWSER
@pytest.mark.slow
def test_a_file_and_a_store_on_one_page_in_a_browser(browser, tmp_path, capsys):
    """As the shell writes it: each heatmap answers with the numbers of its own source."""
    first, store, page = planted(), tmp_path / "powers", tmp_path / "page.html"
    first.to_netcdf(tmp_path / "fitted.nc")
    grid = snl.Grid(POWERS, rate=[0.5, 0.75, 1.0], start=[1.0, 2.0, 3.0], spread=0.5, seed=range(4))
    second = snl.sweep(grid, store=store, progress=False).load()
    cli.main(["report", str(tmp_path / "fitted.nc"), str(store), "--out", str(page)])
    assert str(page) in capsys.readouterr().out
    complaints_of(browser)  # of earlier pages
    opened(browser, page)
    waited(browser, "return Bokeh.documents[0].get_model_by_name('part1_1').title.text.length > 1")
    shown_by = r"{} (\S+) 95 % interval (\S+) to (\S+) 4 seeds"
    for i, j in ((0, 2), (2, 1)):
        at = second.isel(rate=i, start=j)
        text = hovered(browser, at.rate, at.start, f"rate = {float(at.rate):g}, start = {float(at.start):g}", part=1)
        wanted = snl.stats.interval(at["mean"])
        numbers = [float(number) for number in re.search(shown_by.format("mean"), text).groups()]
        assert numbers == pytest.approx([float(wanted[name]) for name in ("mean", "low", "high")], rel=1e-3)
    browser.execute_script("window.scrollTo(0, 0)")
    at = first.isel(sigma_p=3, K=3, penalty_weight=0, step=-1)
    text = hovered(browser, at.sigma_p, at.K, f"sigma_p = {float(at.sigma_p):g}, K = {float(at.K):g}, penalty")
    loss = float(re.search(shown_by.format("test_loss"), text)[1])
    assert loss == pytest.approx(float(at.test_loss.mean()), rel=1e-3)
    assert complaints_of(browser) == []


@NO_BROWSER
@pytest.mark.slow
def test_ten_thousand_cells_open_at_once(browser, tmp_path):
    """Within two seconds of a processor: by the clock others who use the machine count, too."""
    ds = planted((100, 100), 3, (0.1,)).isel(penalty_weight=0, step=-1, drop=True)
    page = snl.report(ds, tmp_path / "page.html", level=3.0)
    browser.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    opened(browser, page)
    metrics = browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    (seconds,) = [one["value"] for one in metrics if one["name"] == "TaskDuration"]
    assert 0 < seconds < 2.0
