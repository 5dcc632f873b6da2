"""Learning curves (both losses of a network in one panel, the overfit point marked), and accuracy against MACs."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib.figure import Figure

from harness.leaderboard.frame import suite_frame
from harness.planning.suite import parse_suite
from harness.plotting.draw import draw_plots, prepare_plot_data
from harness_plots.axis_labels import name_quantity
from harness_plots.training_curves import TrainingCurves

SVG = "{http://www.w3.org/2000/svg}"
LOSSES = {"curves": ["evaluation"], "values": ["train_loss", "loss"], "x": "epoch", "panels": "lines"}


def train(made, model, seed, turn=None, accuracy=0.8, macs=1e6, start="scratch", per_epoch=2.0, epochs=9):
    """A record whose held-out loss turns at an epoch while the training loss goes on falling."""
    id = made.record(model, "digits", accuracy, seed, tags={"model.start": start})
    record = made.store.read(id)
    record.metrics["overfit_epoch"] = float("nan") if turn is None else float(turn)
    record.cost |= {"macs": macs, "training_seconds": macs / 1e5}
    at = np.arange(1.0, epochs)
    curve = {
        "step": at * 10,
        "epoch": at,
        "seconds": at * per_epoch,
        "train_loss": 2 / at,
        "accuracy": at / 9,
    }
    curve["loss"] = 1 + 0.1 * np.abs(at - (turn or epochs))
    made.store.write(record, None, {"evaluation": {k: v.tolist() for k, v in curve.items()}})


def draw(made, **options):
    figure = Figure()
    store = made.done()
    caption = TrainingCurves(**options).draw(prepare_plot_data(suite_frame(store, made.suite)), store, figure)
    return figure, caption


def diamonds(ax):
    return [(a.get_xdata()[0], a.get_ydata()[0]) for a in ax.lines if a.get_marker() == "D"]


def test_both_losses_of_a_network_share_a_panel_with_the_overfit_point(maker):
    made = maker()
    for seed, turn in enumerate((3, 5, 4)):
        train(made, "wide", seed, turn)
        train(made, "plain", seed)
    names = {"loss": "Held-out loss"}
    figure, caption = draw(made, **LOSSES, mark="overfit_epoch", names=names)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["wide", "plain"]
    wide, plain = figure.axes
    assert wide.get_xlabel() == "Epoch"
    assert wide.get_ylabel() == "Loss"
    written = [t.get_text() for t in wide.texts]
    assert {"Held-out loss", "Training loss"} <= set(written)
    # at the median of the three epochs, on the median of each loss: of three turned ones, and 2 / epoch
    assert sorted(diamonds(wide)) == [(4, pytest.approx(0.5)), (4, pytest.approx(1.1))]
    assert diamonds(plain) == []
    assert "A diamond: overfit epoch (median of the runs that have one, 3 of 6)" in caption


def test_marks_move_with_the_horizontal_axis(maker):
    made = maker()
    train(made, "slow", 0, 4, per_epoch=3.0)
    train(made, "fast", 0, 4, per_epoch=1.5)
    figure, _ = draw(made, values=["loss"], curves=["evaluation"], x="seconds", mark="overfit_epoch")
    (ax,) = figure.axes
    assert ax.get_xlabel() == "Time (s)"
    assert sorted(x for x, _ in diamonds(ax)) == [6.0, 12.0]


def test_by_default_progress_is_no_value(maker):
    made = maker()
    train(made, "wide", 0, 4)
    figure, _ = draw(made)
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == ["Time (s)", "Training loss", "Accuracy", "Loss"]
    assert {ax.get_xlabel() for ax in figure.axes} == {"Step"}


def test_what_is_not_there_is_named(maker):
    made = maker()
    train(made, "wide", 0, 4)
    store = made.done()
    options = [
        {**LOSSES, "x": "epoc"},
        {**LOSSES, "mark": "overfit_epohc"},
        {**LOSSES, "mark": "top1"},
        {**LOSSES, "panels": "columns"},
    ]
    plots = [{"name": f"p{n}", "kind": "training", "options": o} for n, o in enumerate(options)]
    found = draw_plots(parse_suite({**made.content, "plots": plots}), suite_frame(store, made.suite), store)
    expected = [
        "no training curve 'epoc'; did you mean 'epoch'",
        "no 'overfit_epohc' to mark; did you mean 'overfit_epoch'",
        "the curve 'evaluation' has no column 'top1'",
        "panels",
    ]
    for plot, words in zip(found, expected, strict=True):
        assert words in plot.problem, plot.problem


@pytest.mark.parametrize(("cost", "words"), [("macs", "(MACs)"), ("training_seconds", "Training time (s)")])
def test_the_front_of_networks_from_scratch_leaves_out_pre_trained_ones(maker, cost, words):
    made = maker()
    for seed in (0, 1):
        train(made, "plain", seed, accuracy=0.6, macs=1e8)
        train(made, "wide", seed, accuracy=0.7, macs=4e8)
        train(made, "deep", seed, accuracy=0.65, macs=5e8)
        train(made, "resnet pre-trained", seed, accuracy=0.9, macs=5e7, start="pre-trained")
    plot = {"name": "p", "kind": "pareto", "options": {"cost": cost}}
    store = made.done()
    captions = []
    for where in ({}, {"tag.model.start": "scratch"}):
        suite = parse_suite({**made.content, "plots": [{**plot, "where": where}]})
        (found,) = draw_plots(suite, suite_frame(store, made.suite), store)
        assert not found.problem, found.problem
        written = ["".join(t.itertext()) for t in ET.fromstring(found.svg).iter(f"{SVG}text")]
        assert any(words in text for text in written)
        captions.append(found.caption)
    assert "the Pareto front (resnet pre-trained)" in captions[0]
    assert "the Pareto front (plain, wide)" in captions[1]


def test_numbers_of_trainings_have_words():
    assert name_quantity("seconds_to.0.8") == "Seconds to 0.8"
    assert name_quantity("seconds_per_epoch") == "Time per epoch (s)"
