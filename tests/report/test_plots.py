"""Plots: what they draw for made-up records, which the SVG's own text shows, and how they fail."""

import warnings
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from harness.leaderboard.frame import suite_frame
from harness.planning.suite import parse_suite
from harness.plotting.draw import draw_plots, prepare_plot_data, safe_file_name, write_plots
from harness.reporting.figures import theme_svg
from harness_plots.confusion import confusion_matrix
from harness_plots.pareto import find_pareto_front
from harness_plots.points import group_points
from harness_plots.series_and_panels import series_mark, shorten

SVG = "{http://www.w3.org/2000/svg}"


def drawn(made, *plots):
    """The plots of a store's suite, drawn for a page."""
    store = made.done()
    suite = parse_suite({**made.content, "plots": list(plots)})
    return draw_plots(suite, suite_frame(store, made.suite), store)


def texts(svg):
    """Everything written in an SVG."""
    return ["".join(t.itertext()) for t in ET.fromstring(svg).iter(f"{SVG}text")]


def one(made, **plot):
    (found,) = drawn(made, {"name": "p", **plot})
    assert not found.problem, found.problem
    return found


def test_front_is_what_nothing_beats():
    costs, qualities = [3, 1, 2, 2, 4, 1], [0.9, 0.5, 0.7, 0.4, 0.8, 0.5]
    beaten = {
        i
        for i in range(6)
        for j in range(6)
        if costs[j] <= costs[i]
        and qualities[j] >= qualities[i]
        and (costs[j] < costs[i] or qualities[j] > qualities[i])
    }
    assert set(find_pareto_front(costs, qualities)) == set(range(6)) - beaten == {0, 1, 2, 5}
    assert set(find_pareto_front(costs, [-q for q in qualities], lower_quality=True)) == {0, 1, 2, 5}


def test_confusion_matrix_agrees_with_scikit_learn():
    from sklearn.metrics import confusion_matrix as reference

    rng = np.random.default_rng(0)
    targets, predictions = rng.integers(0, 6, 300), rng.integers(0, 6, 300)
    ours = confusion_matrix(targets, predictions, np.arange(6))
    np.testing.assert_allclose(ours, reference(targets, predictions, normalize="true"))


def test_points_average_within_a_seed_first_and_bound_over_seeds():
    data = pd.DataFrame(
        {"id": list("abc"), "model": "m", "seed": [0, 0, 1], "top1": [0.2, 0.4, 0.9], "status": "ok"}
    )
    (point,) = group_points(data, ["model"], "top1", None)
    assert point.value == pytest.approx((0.3 + 0.9) / 2)
    half = 12.7062 * np.std([0.3, 0.9], ddof=1) / np.sqrt(2)
    assert point.high - point.value == pytest.approx(half, rel=1e-4)


def test_points_bound_a_single_run_over_its_samples(maker):
    from harness.statistics import wilson_interval

    made = maker()
    made.record("m", "d", 0.75, n=100)
    (point,) = group_points(
        prepare_plot_data(suite_frame(made.done(), "demo")), ["model"], "top1", made.store
    )
    expected = wilson_interval(75, 100)
    assert (point.low, point.high) == pytest.approx((expected.low, expected.high))


def test_curves_show_each_line_once_and_every_tick(maker):
    made = maker()
    for model in ("alpha", "beta"):
        for severity in (1, 2, 3):
            for seed in (0, 1):
                made.record(
                    model, f"c-{severity}", 0.9 - severity / 10, seed, tags={"dataset.severity": severity}
                )
    found = one(made, kind="curves", options={"x": "severity"})
    words = texts(found.svg)
    assert {"alpha", "beta", "1", "2", "3", "top1 (%)"} <= set(words)
    assert words.count("alpha") == 1
    assert "over seeds" in found.caption


def test_scatter_fit_draws_the_line_of_the_standard_models_only(maker):
    from harness_robustness.effective_robustness import fit_line

    made = maker()
    pairs = [(0.6, 0.4), (0.7, 0.52), (0.8, 0.63), (0.9, 0.8)]
    for n, (x, y) in enumerate([*pairs, (0.75, 0.73)]):
        tags = {"model.standard": n < 4}
        made.record(f"m{n}", "ref", x, tags=tags, n=1000)
        made.record(f"m{n}", "v2", y, tags={**tags, "dataset.reference": "ref"}, n=1000)
    found = one(made, kind="scatter-fit")
    assert {"m4", "standard models", "fitted line"} <= set(texts(found.svg))
    assert "m0" not in texts(found.svg)

    from matplotlib.figure import Figure

    from harness_robustness.scatter_fit import ScatterFit

    figure = Figure()
    ScatterFit(resamples=50).draw(prepare_plot_data(suite_frame(made.store, "demo")), made.store, figure)
    line = fit_line(*zip(*pairs, strict=True))
    fits = [(a.get_xdata(), a.get_ydata()) for a in figure.axes[0].lines if len(a.get_xdata()) == 80]
    assert len(fits) == 1
    np.testing.assert_allclose(fits[0][1], line.intercept + line.slope * np.asarray(fits[0][0]), rtol=1e-6)
    assert np.log(0.9 / 0.1) <= fits[0][0][-1]


@pytest.mark.parametrize("scale", ["linear", "logit", "probit"])
@pytest.mark.parametrize(
    "pairs",
    [
        [(0.95, 0.9), (0.97, 0.94), (1.0, 1.0)],
        [(0.0, 0.0), (0.5, 0.02), (1.0, 0.98)],
        [(1.0, 0.5), (1.0, 0.7)],
    ],
)
def test_scatter_fit_draws_axes_that_reach_the_ends_of_what_an_accuracy_can_be(maker, scale, pairs):
    made = maker()
    for n, (x, y) in enumerate(pairs):
        made.record(f"m{n}", "ref", x, tags={"model.standard": True}, n=100)
        made.record(f"m{n}", "v2", y, tags={"model.standard": True, "dataset.reference": "ref"}, n=100)
    found = one(made, kind="scatter-fit", options={"scale": scale, "resamples": 20})
    assert found.problem == ""
    if pairs[0][0] < 1:
        from harness_robustness.effective_robustness import fit_line

        line = fit_line(*zip(*pairs, strict=True), scale)
        assert f"Lines: v2: {line}." in found.caption
        assert {f"slope {line.slope:.2f}", f"R² {line.r2:.2f}"} <= set(texts(found.svg))
    else:
        assert "No line if" in found.caption


def test_pareto_names_the_front(maker):
    made = maker()
    for model, accuracy, size in (("small", 0.6, 1e6), ("large", 0.9, 1e8), ("wasteful", 0.5, 1e8)):
        made.record(model, "d", accuracy, parameters=size)
    found = one(made, kind="pareto")
    assert "front (small, large)" in found.caption
    assert {"1 M", "100 M"} <= set(texts(found.svg))
    linear = one(made, kind="pareto", options={"log": False})
    assert {"0", "40 M", "100 M"} <= set(texts(linear.svg))
    same = one(made, kind="pareto", where={"model": "small"})
    assert "1 M" in texts(same.svg)


def test_training_confusion_images_and_bars_draw(maker):
    made = maker()
    for seed in (0, 1):
        made.record(
            "gan",
            "digits",
            seed=seed,
            curves={"train": {"step": [0, 10, 20], "loss": [3.0, 2.0, 1.5]}},
            images={"fake": np.full((8, 8, 3), 90, np.uint8)},
        )
    plots = drawn(
        made,
        {"name": "t", "kind": "training"},
        {"name": "c", "kind": "confusion"},
        {"name": "i", "kind": "image-grid"},
        {"name": "b", "kind": "bars"},
    )
    assert [p.problem for p in plots] == [""] * 4
    training, confusion, images, bars = (texts(p.svg) for p in plots)
    assert {"loss", "step"} <= set(training)
    assert {"predicted class", "true class"} <= set(confusion)
    assert len(images) == 2
    assert "top1 (%)" in bars


@pytest.mark.parametrize(
    "kind", ["curves", "pareto", "bars", "training", "confusion", "image-grid", "scatter-fit"]
)
def test_nasty_names_stay_text(maker, kind, nasty):
    made = maker()
    curves = {"t": {"loss": [2.0, 1.0]}}
    image = {"x": np.zeros((4, 4, 3), np.uint8)}
    for n, name in enumerate(nasty):
        made.record(name, "ref", 0.5 + n / 20, parameters=10.0**n + 1, curves=curves, images=image)
        tags = {"dataset.severity": n, "dataset.reference": "ref"}
        made.record(name, "shift", 0.4 + n / 20, tags=tags, parameters=10.0**n, curves=curves, images=image)
    options = {"x": "severity"} if kind == "curves" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = one(made, kind=kind, options=options)
    root = ET.fromstring(found.svg)
    assert not [e for e in root.iter() if e.tag.rpartition("}")[2] in ("script", "b")]
    if kind in ("curves", "pareto", "bars"):
        written = texts(found.svg)
        for name in nasty:
            assert any(shorten(name, 34) == w or shorten(name) == w for w in written), name


def test_files_are_safe_different_and_the_same_on_every_run(maker, tmp_path):
    made = maker()
    made.record("m", "d")
    names = ["../../x", "a|b", "a/b", "🐈", "n" * 300, "fine"]
    suite = parse_suite({**made.content, "plots": [{"name": n, "kind": "bars"} for n in names]})
    store = made.done()
    first = write_plots(suite, suite_frame(store, "demo"), store, tmp_path / "one")
    second = write_plots(suite, suite_frame(store, "demo"), store, tmp_path / "two")
    files = [f for p in first for f in p.files]
    assert len({f.name for f in files}) == 12
    assert all(f.parent == tmp_path / "one" and f.is_file() for f in files)
    for a, b in zip(files, (f for p in second for f in p.files), strict=True):
        assert a.read_bytes() == b.read_bytes()
    assert b"<dc:date>" not in files[0].read_bytes()
    from PIL import Image

    png = Image.open(files[1])
    assert png.info["dpi"][0] == pytest.approx(300, abs=1)
    assert safe_file_name("s", "plain-name") == "s-plain-name"


def test_what_cannot_be_drawn_says_why(maker):
    made = maker()
    made.record("m", "d")
    found = drawn(
        made,
        {"name": "a", "kind": "curvs"},
        {"name": "b", "kind": "curves", "options": {"y": 1}},
        {"name": "c", "kind": "curves", "options": {"x": "modle"}},
        {"name": "d", "kind": "bars", "options": {"metric": "top-1"}},
        {"name": "e", "kind": "training"},
        {"name": "f", "kind": "bars", "where": {"modle": "m"}},
        {"name": "g", "kind": "bars", "where": {"model": "other"}},
        {"name": "h", "kind": "scatter-fit"},
        {"name": "i", "kind": "image-grid"},
        {"name": "j", "kind": "pareto", "options": {"cost": "parameter"}},
    )
    expected = [
        "no plot plugin named 'curvs'; did you mean 'curves'",
        "unknown option 'y'",
        "no 'modle'; did you mean 'model'",
        "no metric 'top-1'; did you mean 'top1'",
        "no record keeps training curves",
        "'modle'; did you mean 'model'",
        "have no metric yet",
        "no model has records both on a shift",
        "no record keeps images",
        "no cost 'parameter'; did you mean 'parameters'",
    ]
    for plot, words in zip(found, expected, strict=True):
        assert words in plot.problem, plot.problem
        assert not plot.svg


def test_forty_series_look_different():
    assert len({series_mark(n) for n in range(40)}) == 40


def test_characters_that_xml_can_not_hold_are_replaced(maker, tmp_path):
    made = maker()
    for name in ("red \x1b[31m", "nul \x00", "not a character \uffff"):
        made.record(name, "d")
    suite = parse_suite({**made.content, "plots": [{"name": "p", "title": "\x1b", "kind": "bars"}]})
    store = made.done()
    data = suite_frame(store, "demo")
    (drawn,) = draw_plots(suite, data, store)
    assert "red \ufffd[31m" in texts(drawn.svg)
    assert theme_svg(drawn.svg, "p", "label")
    (written,) = write_plots(suite, data, store, tmp_path)
    assert ET.parse(written.files[0]).getroot().tag.endswith("svg")
