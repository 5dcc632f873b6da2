"""Every plot of every shipped suite as a reader sees it: measured in Chromium in a wide window and on a phone."""

import re
import shutil
from importlib.resources import files
from xml.etree import ElementTree

import numpy as np
import pytest

from harness.reporting.figures import render_figure
from harness_plots.label_places import place_beside, spread_apart
from tests.report.made_suites import draw_made_up, list_suites_with_plots

CHROMIUM = next(
    (p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None
)
in_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium-driver"
)

SMALLEST = 9.9
"""Pixels of the smallest text."""

NAMED_BY = {"scatter-fit": ("model",), "confusion": ("model", "method"), "image-grid": ("model", "method")}
"""What a plot names if its options do not say it; of several, what varies."""

MEASURE = """return [...document.querySelectorAll('figure.plot')].map(figure => {
  const svg = figure.querySelector('svg'), box = svg.getBoundingClientRect();
  const scale = box.width / svg.viewBox.baseVal.width;
  const texts = [...svg.querySelectorAll('text')].filter(t => t.textContent.trim()).map(t => {
    const r = t.getBoundingClientRect();
    return {text: t.textContent, box: [r.left, r.top, r.right, r.bottom],
            size: parseFloat(getComputedStyle(t).fontSize) * scale};
  });
  const frame = figure.querySelector('.scroll').getBoundingClientRect();
  return {id: figure.id, box: [box.left, box.top, box.right, box.bottom], texts,
          frame: [frame.left, frame.right], page: document.documentElement.scrollWidth};
})"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The drawn plots of each suite with its plots' specifications and rows."""
    folder = tmp_path_factory.mktemp("made")
    return {name: draw_made_up(name, folder / name) for name in list_suites_with_plots()}


@pytest.fixture(scope="module")
def measured(drawn, tmp_path_factory):
    """Each plot's texts with boxes and sizes in pixels, by the width of the window, suite and plot."""
    from selenium import webdriver

    folder = tmp_path_factory.mktemp("page")
    style = (files("harness.reporting") / "assets" / "report.css").read_text(encoding="utf-8")
    figures = {f"{name}/{plot.name}": plot for name, (_, _, plots) in drawn.items() for plot in plots}
    shown = "".join(
        render_figure(plot, place.replace("/", "--")) for place, plot in figures.items() if plot.svg
    )
    page = folder / "figures.html"
    page.write_text(
        f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<style>{style}</style><main><section class="suite"><div class="plots">{shown}</div></section></main></html>',
        encoding="utf-8",
    )
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    switches = ["headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"]
    for switch in [*switches, f"user-data-dir={folder / 'profile'}"]:
        options.add_argument(f"--{switch}")
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        found = {}
        for width in (1280, 390):
            screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
            browser.get(page.as_uri())
            found[width] = {m["id"].replace("--", "/"): m for m in browser.execute_script(MEASURE)}
        return found
    finally:
        browser.quit()


def overlap(a, b):
    """By how many pixels two boxes overlap, in the direction in which it is less."""
    return min(min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1]))


def read_texts(svg):
    """The texts of a figure, one after the other."""
    texts = (t for t in ElementTree.fromstring(svg).iter() if t.tag.endswith("text"))
    return "".join("".join(t.itertext()) for t in texts)


def squeeze(text):
    return re.sub(r"\s+", "", text)


def test_every_plot_of_every_shipped_suite_is_drawn(drawn):
    plots = [(name, plot) for name, (_, _, plots) in drawn.items() for plot in plots]
    assert len(plots) >= 25
    assert [(name, plot.name, plot.problem) for name, plot in plots if plot.problem] == []


@in_chromium
@pytest.mark.parametrize("width", [1280, 390])
def test_no_text_overlaps_another_or_leaves_its_figure(measured, width):
    wrong = []
    for place, plot in measured[width].items():
        texts = plot["texts"]
        for n, one in enumerate(texts):
            box, (left, top, right, bottom) = one["box"], plot["box"]
            out = max(left - box[0], top - box[1], box[2] - right, box[3] - bottom)
            if out > 2:
                wrong.append(f"{place}: {one['text']!r} leaves the figure by {out:.1f} px")
            for other in texts[n + 1 :]:
                if (by := overlap(box, other["box"])) > 1.5:
                    wrong.append(f"{place}: {one['text']!r} and {other['text']!r} overlap by {by:.1f} px")
    assert wrong == []


@in_chromium
@pytest.mark.parametrize("width", [1280, 390])
def test_text_is_legible_and_only_the_figures_own_box_scrolls(measured, width):
    for place, plot in measured[width].items():
        small = {t["text"]: t["size"] for t in plot["texts"] if t["size"] < SMALLEST}
        assert not small, (place, small)
        assert plot["page"] <= width, place
        assert plot["frame"][0] >= 0, place
        assert plot["frame"][1] <= width, place
        if width == 1280:
            assert plot["box"][2] <= plot["frame"][1] + 1, f"{place} does not fit its column"


def test_every_line_and_point_is_named_in_its_figure(drawn):
    from harness.plotting.draw import filter_rows

    for name, (suite, data, plots) in drawn.items():
        svgs = {plot.name: plot.svg for plot in plots}
        for spec in suite.plots:
            rows = filter_rows(data, spec.where)
            written = squeeze(read_texts(svgs[spec.name]))
            options = spec.options
            columns = options.get("lines") or options.get("points") or NAMED_BY.get(spec.kind, ("method",))
            for column in columns:
                shown = list(dict.fromkeys(rows[f"at.{column}"]))
                missing = [s for s in shown if len(shown) > 1 and squeeze(str(s)) not in written]
                assert not missing, (name, spec.name, missing)


def test_confusion_matrices_name_their_classes_on_both_axes(drawn):
    names = {"negative", "neutral", "positive"}
    for suite in ("fusion", "fusion-memes", "fusion-sentiment"):
        plot = next(p for p in drawn[suite][2] if p.name == "confusion")
        written = re.findall(r">([^<>]+)</text>", plot.svg)
        assert names <= set(written)
        assert all(written.count(name) >= 2 for name in names)
        assert "0" not in plot.title
    plot = next(p for p in drawn["robustness"][2] if p.name == "confusion")
    assert re.findall(r">([^<>]+)</text>", plot.svg).count("triangle") >= 2


@pytest.mark.parametrize("seed", range(5))
def test_spread_labels_are_the_nearest_ones_that_do_not_overlap(seed):
    from scipy.optimize import LinearConstraint, minimize

    rng = np.random.default_rng(seed)
    wanted, heights = np.sort(rng.uniform(0, 60, 6)), rng.uniform(6, 12, 6)
    between = np.diff(np.eye(6), axis=0)
    constraints = [
        LinearConstraint(between, (heights[1:] + heights[:-1]) / 2, np.inf),
        LinearConstraint(np.eye(6), heights / 2, 100 - heights / 2),
    ]
    best = minimize(lambda p: ((p - wanted) ** 2).sum(), np.linspace(10, 90, 6), constraints=constraints)
    np.testing.assert_allclose(spread_apart(wanted, heights, 0, 100), best.x, atol=1e-2)
    mixed = rng.permutation(6)
    np.testing.assert_allclose(spread_apart(wanted[mixed], heights[mixed], 0, 100), best.x[mixed], atol=1e-2)


def test_labels_beside_points_are_apart_or_there_are_none():
    rng = np.random.default_rng(0)
    anchors, sizes = (
        rng.uniform(150, 350, (20, 2)),
        np.column_stack([rng.uniform(40, 90, 20), np.full(20, 12)]),
    )
    marks = np.hstack([anchors - 3, anchors + 3])
    centres = place_beside(anchors, sizes, (0, 0, 500, 500), marks, np.empty((0, 2)))
    boxes = np.hstack([centres - sizes / 2, centres + sizes / 2])
    for n, box in enumerate(boxes):
        assert (box[:2] >= 0).all()
        assert (box[2:] <= 500).all()
        assert all(overlap(box, other) <= 0 for other in [*boxes[n + 1 :], *marks])
    assert place_beside(anchors, sizes, (150, 150, 350, 180), marks, np.empty((0, 2))) is None
    one = place_beside(anchors[:1], sizes[:1], (0, 0, 500, 500), marks[:1], np.empty((0, 2)))
    assert one[0][0] > anchors[0][0]
    assert one[0][1] == pytest.approx(anchors[0][1])
