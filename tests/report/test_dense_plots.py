"""Plots of detection and segmentation: what they draw are the numbers that records keep."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from harness import HarnessError, OptionError
from harness.leaderboard.frame import suite_frame
from harness.plotting.draw import prepare_plot_data
from harness.plotting.style import plot_style
from harness.statistics import resampled_interval
from harness_plots.bars import Bars
from harness_plots.confusion import Confusion
from harness_plots.precision_recall import PrecisionRecallCurves
from harness_plots.training_curves import TrainingCurves

RECALL = np.arange(101) / 100
PARTS = ("Cls", "Loc", "Miss")


def add(made, model, seed=0, metrics=None, curves=None, notes=None, draws=None):
    """Write a record with the numbers, curves, notes and values on resampled sets that are given."""
    id = made.record(model, "d", seed=seed, fake=True)
    record = made.store.read(id)
    record.metrics, record.notes = metrics or {"AP": 0.5}, notes or {}
    record.units = dict.fromkeys(record.metrics, "fraction")
    samples = {"id": [str(n) for n in range(50)], "hits": [1] * 50}
    made.store.write(record, samples, curves, None, None, draws)


def draw(made, plot, titles=None):
    store = made.done()
    data = prepare_plot_data(suite_frame(store, made.suite))
    data.attrs["titles"] = titles or {}
    with plot_style():
        figure = Figure()
        return figure, plot.draw(data, store, figure)


def fall(reached, top=1.0):
    """Precision that falls from `top`, and is 0 beyond a recall."""
    return np.where(reached >= RECALL, top - 0.5 * RECALL, 0.0)


def curves_of(shift, **classes):
    columns = {"recall": RECALL, "precision_50": fall(0.8 - shift), "precision_75": fall(0.4 - shift, 0.9)}
    columns |= {f"precision_50 {name}": values for name, values in classes.items()}
    return {
        "precision-recall": {name: list(values) for name, values in columns.items()},
        "training": {"loss": [1.0]},
    }


def lines(ax):
    return [line for line in ax.lines if len(line.get_xdata()) > 1]


def words(figure):
    return " ".join(t.get_text().replace("\n", " ") for ax in figure.axes for t in ax.texts)


def test_precision_over_recall_is_what_the_record_keeps(maker):
    made = maker()
    for model, shift in (("one", 0.0), ("two", 0.3)):
        add(made, model, curves=curves_of(shift))
    figure, caption = draw(made, PrecisionRecallCurves(iou=[0.5, 0.75]))
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["IoU .50", "IoU .75"]
    for ax, column in zip(figure.axes, ("precision_50", "precision_75"), strict=True):
        assert ax.get_xlim() == (0, 100)
        for line, shift in zip(lines(ax), (0.0, 0.3), strict=True):
            kept = np.array(curves_of(shift)["precision-recall"][column])
            ends = int((kept > 0).sum())
            np.testing.assert_allclose(line.get_xdata(), 100 * RECALL[:ends])
            np.testing.assert_allclose(line.get_ydata(), 100 * kept[:ends])
            assert f"{100 * kept.mean():.1f}" in words(figure)
    assert "as above its panel" in caption


def test_single_classes_have_panels(maker):
    made = maker()
    add(made, "m", curves=curves_of(0, cat=fall(0.5), dog=fall(0.2), cow=fall(0.0)))
    figure, caption = draw(made, PrecisionRecallCurves(classes=["c*"]))
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["cat", "cow"]
    np.testing.assert_allclose(lines(figure.axes[0])[0].get_ydata(), 100 * fall(0.5)[:51])
    assert "single classes" in caption
    with pytest.raises(HarnessError, match=r"the class 'dgo'.*did you mean 'dog'"):
        draw(made, PrecisionRecallCurves(classes=["dgo"]))


def test_several_seeds_are_a_median_with_a_band(maker):
    made = maker()
    for seed, shift in enumerate((0.0, 0.1, 0.3)):
        add(made, "m", seed, curves=curves_of(shift))
    figure, caption = draw(made, PrecisionRecallCurves())
    kept = [np.array(curves_of(shift)["precision-recall"]["precision_50"]) for shift in (0.0, 0.1, 0.3)]
    (line,) = lines(figure.axes[0])
    np.testing.assert_allclose(line.get_ydata(), 100 * np.median(kept, axis=0)[:81])
    assert f"{100 * np.mean(kept):.1f}" in words(figure)
    assert "bands: minimum to maximum" in caption


def test_training_curves_are_without_those_of_other_plots(maker):
    made = maker()
    add(
        made, "m", curves=curves_of(0) | {"confusion": {"target": [0.0], "prediction": [0.0], "count": [1.0]}}
    )
    figure, _ = draw(made, TrainingCurves())
    assert len(figure.axes) == 1
    figure, _ = draw(made, TrainingCurves(curves=["confusion"]))
    assert len(figure.axes) == 3


def test_what_no_record_keeps_is_told(maker):
    made = maker()
    add(made, "m", curves={"training": {"loss": [1.0]}})
    with pytest.raises(HarnessError, match="no record keeps precision and recall of masks"):
        draw(made, PrecisionRecallCurves(shape="masks"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"iou": [0.52]}, "steps of .05, not 0.52"),
        ({"shape": "box"}, "'boxes' or 'masks', got 'box'"),
        ({"classes": ["cat"], "iou": [0.75]}, "an iou of .5 only"),
    ],
)
def test_wrong_options_of_precision_over_recall(options, message):
    with pytest.raises(OptionError, match=message):
        PrecisionRecallCurves(**options)


def test_bars_of_several_metrics_have_a_panel_each_with_intervals_of_resampled_sets(maker):
    made = maker()
    rng = np.random.default_rng(0)
    values = {model: {f"TIDE.{p}": float(rng.random() / 4) for p in PARTS} for model in ("one", "two")}
    draws = {m: {k: v + rng.normal(0, 0.02, 200) for k, v in own.items()} for m, own in values.items()}
    for model, own in values.items():
        add(made, model, metrics={"AP": 0.3, **own}, draws=draws[model])
    figure, caption = draw(made, Bars(metrics=["TIDE.*"]), titles={"TIDE.Cls": "ΔAP of wrong classes"})
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == ["ΔAP of wrong classes", "TIDE.Loc", "TIDE.Miss"]
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["one", "two"]
    for ax, part in zip(figure.axes, PARTS, strict=True):
        for n, model in enumerate(values):
            value = values[model][f"TIDE.{part}"]
            dot = ax.lines[n]
            assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (pytest.approx(100 * value), n)
            interval = resampled_interval(value, draws[model][f"TIDE.{part}"], 50)
            (segment,) = ax.collections[n].get_segments()
            assert segment[:, 0] == pytest.approx([100 * interval.low, 100 * interval.high])
    assert "95% intervals over samples" in caption


def test_bars_refuse_what_has_no_common_axis(maker):
    made = maker()
    add(made, "m", metrics={"AP": 0.3})
    store = made.store
    (record,) = store.records()
    record.metrics["steps"] = 10.0
    store.write(record)
    with pytest.raises(HarnessError, match="different units can't share an axis: AP, steps"):
        draw(made, Bars(metrics=["AP", "steps"]))
    with pytest.raises(HarnessError, match="no metric 'TIDE"):
        draw(made, Bars(metrics=["TIDE.*"]))
    with pytest.raises(OptionError, match="either metric or metrics"):
        Bars(metric="AP", metrics=["AP"])


def test_confusions_of_kept_counts_add_up_over_seeds_with_the_background_last(maker):
    made = maker()
    columns = {
        "target": [0.0, 0.0, 1.0, -1.0, 1.0],
        "prediction": [0.0, 1.0, 1.0, 0.0, -1.0],
        "count": [30.0, 10.0, 5.0, 7.0, 15.0],
    }
    twice = columns | {"count": [10.0, 30.0, 5.0, 1.0, 15.0]}
    for seed, one in enumerate((columns, twice)):
        add(made, "m", seed, curves={"confusion": one}, notes={"class_names": ["cat", "dog"]})
    figure, caption = draw(made, Confusion())
    (ax,) = figure.axes
    (image,) = ax.images
    expected = [[0.5, 0.5, 0.0], [0.0, 0.25, 0.75], [1.0, 0.0, 0.0]]
    np.testing.assert_allclose(np.asarray(image.get_array()), expected)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["cat", "dog", "background"]
    assert "Background: found where nothing is (row), or not found (column)" in caption


def test_the_classes_with_the_most_confused_pixels_are_shown(maker):
    made = maker()
    columns = {
        "target": [0.0, 1.0, 2.0, 2.0],
        "prediction": [0.0, 2.0, 1.0, 0.0],
        "count": [1e9, 5e6, 4e6, 1.0],
    }
    add(made, "m", curves={"confusion": columns}, notes={"class_names": ["sky", "cat", "dog"]})
    figure, caption = draw(made, Confusion(classes=2))
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["cat", "dog"]
    assert "Only the 2 classes" in caption
    assert "Background" not in caption
