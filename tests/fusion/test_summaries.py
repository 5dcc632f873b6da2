"""Gains by paired bootstrap, contributions, subsets and misses: against other implementations and planted answers."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix, f1_score

import harness
from harness.errors import HarnessError, OptionError
from harness.records.store import Store
from harness.statistics import paired_difference_interval
from harness_fusion.answers import MethodAnswers
from harness_fusion.gains import compare_f1, weighted_f1
from harness_fusion.summaries import (
    DataDirt,
    GainOverUnimodal,
    MissGroups,
    ModalityContribution,
    SubsetAccuracy,
)


def drawn(seed, right, count=300, classes=3):
    """Targets, and predictions of two seeds that are right as often as asked."""
    rng = np.random.default_rng(seed)
    targets = rng.choice(classes, count, p=[0.6, 0.3, 0.1])
    other = (targets + rng.integers(1, classes, (2, count))) % classes
    return targets, np.where(rng.random((2, count)) < right, targets, other)


def test_weighted_f1_from_counts_is_scikit_learns():
    targets, predicted = drawn(0, 0.7)
    expected = f1_score(targets, predicted[0], average="weighted")
    assert weighted_f1(confusion_matrix(targets, predicted[0])) == pytest.approx(expected)


def test_the_interval_of_a_gain_is_the_general_bootstraps():
    targets, one = drawn(0, 0.8)
    other = np.where(np.arange(300) % 3 == 0, 0, one)
    gain = compare_f1(one[:1], other[:1], targets)
    rows = np.arange(len(targets))

    def f1(predictions):
        return lambda chosen: f1_score(targets[chosen], predictions[chosen], average="weighted")

    by_hand = f1(one[0])(rows) - f1(other[0])(rows)
    assert gain.difference == pytest.approx(by_hand)
    both = np.stack([targets, one[0]], axis=1), np.stack([targets, other[0]], axis=1)
    general = paired_difference_interval(
        *both, statistic=lambda t: f1_score(t[:, 0], t[:, 1], average="weighted"), resamples=400
    )
    assert gain.low == pytest.approx(general.low, abs=0.02)
    assert gain.high == pytest.approx(general.high, abs=0.02)
    assert gain.p_value < 0.01


def test_equal_answers_are_no_gain_and_a_gain_turned_round_is_a_loss():
    targets, one = drawn(2, 0.7)
    same = compare_f1(one, one, targets)
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    worse = drawn(2, 0.5)[1]
    up, down = compare_f1(one, worse, targets), compare_f1(worse, one, targets)
    assert up.difference == pytest.approx(-down.difference)
    assert up.low == pytest.approx(-down.high)
    assert up.p_value == down.p_value < 0.05


def test_a_level_test_rejects_about_as_often_as_it_says():
    """Two classifiers of equal quality on the same samples: few of 60 draws are called different."""
    called = 0
    for n in range(60):
        targets, one = drawn(100 + n, 0.7)
        right = one == targets
        rng = np.random.default_rng(1000 + n)
        other = np.where(
            rng.random(one.shape) < right.mean(), targets, (targets + rng.integers(1, 3, one.shape)) % 3
        )
        called += compare_f1(one[:1], other[:1], targets, resamples=300).p_value < 0.05
    assert called <= 9  # P(more | 5 %) < 0.001


@pytest.fixture
def run(suite, tmp_path):
    """A run on posts whose label the text alone tells, two seeds."""
    suite(
        datasets=[{"plugin": "posts", "label": "posts", "label_from": "text"}],
        protocol={"epochs": 12, "rate": 3e-2, "patience": 12}, seeds=[0, 1],
    )  # fmt: skip
    return harness.load("small", store=tmp_path / "store"), Store(tmp_path / "store")


def test_with_a_label_from_the_text_no_fusion_is_better_and_the_shuffled_images_show_why(run):
    frame, store = run
    gains = GainOverUnimodal()(frame, store)
    table = gains.pivot(index="method", columns="metric", values="value")
    assert "text only" in gains.loc[gains["note"].str.startswith("the best unimodal"), "method"].tolist()
    fusions = ["early", "gated", "cross"]
    noted = gains[gains["method"].isin(fusions)]["note"]
    assert "significantly better" not in set(noted)
    assert np.isnan(table.loc["text only", "p"])
    assert table.loc["image only", "p (F1)"] < 0.05
    assert table.loc["early", "Δ accuracy"] == pytest.approx(
        table.loc["early", "accuracy"] - table.loc["text only", "accuracy"]
    )
    lost = ModalityContribution()(frame).pivot(index="method", columns="metric", values="value")
    for method in fusions:
        assert abs(lost.loc[method, "−image (shuffled)"]) < 0.1
        assert lost.loc[method, "−text (shuffled)"] > 0.25
    assert np.isnan(lost.loc["text only", "−image (shuffled)"])

    parts = SubsetAccuracy()(frame, store)
    agree, differ = (parts[parts["subset"].str.startswith(f"unimodals {w}")] for w in ("agree", "differ"))
    assert len(agree) == len(differ) == 7
    oracle = parts[(parts["method"] == "oracle") & parts["subset"].str.startswith("unimodals agree")]["value"]
    text = parts[(parts["method"] == "text only") & parts["subset"].str.startswith("unimodals agree")][
        "value"
    ]
    assert oracle.item() == pytest.approx(text.item())  # where both say the same, the bound is what they say
    conflict = parts[parts["subset"].str.startswith("conflict")]
    assert set(conflict["method"]) == set(frame["method"])

    missed = MissGroups()(frame, store)
    assert {"conflict", "missing text", "short text"} <= {g.partition(" (")[0] for g in missed["group"]}
    assert missed["value"].between(0, 1).all()
    share = MissGroups("share")(frame, store)
    assert share["metric"].eq("share").all()
    dirt = DataDirt()(frame, store).set_index("kind")
    assert dirt.loc["pairs", "value"] == 240
    assert dirt.loc["text missing", "note"] == "text missing: a, b, c"


def test_what_can_not_be_compared_says_so(run):
    """A seed of one method is lost: its mean stands alone, and the others are compared as before."""
    frame, store = run
    gains = GainOverUnimodal()(frame[~((frame["method"] == "gated") & (frame["seed"] == 1))], store)
    gated = gains[gains["method"] == "gated"].set_index("metric")
    assert set(gated.index) == {"accuracy", "weighted F1"}
    assert gated.loc["accuracy", "note"].startswith("not compared: text only")
    assert "p" in set(gains[gains["method"] == "early"]["metric"])
    assert not gains[gains["method"] == "early"]["note"].str.startswith("not compared").any()


def test_unimodals_are_named_by_tag_or_by_label(run):
    frame, store = run
    untagged = frame.drop(columns="tag.method.kind")
    with pytest.raises(OptionError, match="unimodal"):
        GainOverUnimodal()(untagged, store)
    named = GainOverUnimodal(unimodal=["image only"])(untagged, store)
    assert "image only" in named.loc[named["note"].str.startswith("the best"), "note"].iloc[0]
    with pytest.raises(OptionError, match="did you mean 'weighted_f1'"):
        ModalityContribution("weigthed_f1")(frame)
    with pytest.raises(OptionError, match="did you mean 'shuffled'"):
        ModalityContribution(kinds=["shufled"])


def test_seeds_on_different_samples_are_not_taken_together():
    frames = [
        pd.DataFrame({"id": ids, "target": [0, 1], "prediction": [0, 1]}) for ids in (["a", "b"], ["a", "c"])
    ]
    with pytest.raises(HarnessError, match="different samples"):
        MethodAnswers(frames, [0, 1])


def test_tables_import_neither_torch_nor_scikit_learn(run):
    """They take seconds to import, which is more than all the tables of a suite take to make."""
    code = (
        "import sys, harness; from harness.records.store import Store\n"
        "from harness_fusion.summaries import DataDirt, GainOverUnimodal, MissGroups, ModalityContribution, SubsetAccuracy\n"
        f"store = Store({str(run[1].path)!r}); frame = harness.load('small', store=store.path)\n"
        "for made in (GainOverUnimodal(), SubsetAccuracy(), MissGroups(), DataDirt()): assert len(made(frame, store))\n"
        "assert len(ModalityContribution()(frame))\n"
        "assert not {'torch', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=200)
