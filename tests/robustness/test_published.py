"""Refits of published lines from published accuracies, and published ρ from published lines."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from harness.published.finding import list_published_sets, read_published_set
from harness.testing import check
from harness_robustness.corruption_errors import IMAGENET_C, mean_corruption_error
from harness_robustness.effective_robustness import AccuracyLine, fit_line, to_scale

# Lines refitted elsewhere from the same table, on the logit scale: slope, intercept, R², models.
PUBLISHED = {
    ("imagenet", "imagenetv2"): AccuracyLine(0.9232, -0.4977, 0.9960, 85),
    ("imagenet", "imagenet-sketch"): AccuracyLine(1.0709, -2.3701, 0.8690, 85),
    ("imagenet?classes=imagenet-r", "imagenet-r"): AccuracyLine(0.6368, -2.1077, 0.8894, 80),
    ("imagenet?classes=objectnet", "objectnet"): AccuracyLine(0.9809, -1.9283, 0.9525, 85),
}


def load(name):
    """A set's top-1 accuracies as a table: models by data sets."""
    found = read_published_set(name)
    table = {dataset: values for (metric, dataset), values in found.numbers.items() if metric == "top1"}
    return pd.DataFrame(table, index=list(found.models))


def columns(reference, shift):
    table = load("imagenet_testbed")[[reference, shift]].dropna()
    return table[reference].to_numpy(), table[shift].to_numpy()


@pytest.mark.parametrize("pair", PUBLISHED, ids=lambda p: p[1])
def test_testbed_lines_are_refitted(pair):
    x, y = columns(*pair)
    line, expected = fit_line(x, y), PUBLISHED[pair]
    # The published figures have four decimals.
    assert (line.slope, line.intercept, line.r2) == pytest.approx(
        (expected.slope, expected.intercept, expected.r2), abs=1e-4
    )
    assert line.count == expected.count
    other = sm.OLS(to_scale(y), sm.add_constant(to_scale(x))).fit()
    assert (line.intercept, line.slope) == pytest.approx(tuple(other.params), abs=1e-9)
    assert line.r2 == pytest.approx(other.rsquared, abs=1e-9)


def test_linear_scale_line_on_imagenetv2():
    line = fit_line(*columns("imagenet", "imagenetv2"), "linear")
    assert line.slope == pytest.approx(1.112, abs=1e-3)
    assert 100 * line.intercept == pytest.approx(-20.43, abs=0.01)


def test_the_reference_set_of_a_shift_matters():
    # On all of ImageNet as reference the ImageNet-R line is another one: classes must be the same.
    x, y = columns("imagenet", "imagenet-r")
    assert abs(fit_line(x, y).slope - PUBLISHED["imagenet?classes=imagenet-r", "imagenet-r"].slope) > 0.1


@pytest.mark.parametrize(
    ("model", "v2", "sketch"),
    [("RN101", 6.99, 27.3), ("ViT-B-16", 6.58, 30.7), ("ViT-L-14-336", 6.44, 36.1)],
)
def test_published_effective_robustness_of_clip(model, v2, sketch):
    clip = load("openai_clip").loc[model]
    lines = [PUBLISHED["imagenet", shift] for shift in ("imagenetv2", "imagenet-sketch")]
    shifts = clip[["imagenetv2", "imagenet-sketch"]]
    rho = [float(line.effective_robustness(clip["imagenet"], y)) for line, y in zip(lines, shifts)]
    assert rho[0] == pytest.approx(v2, abs=0.02)
    assert rho[1] == pytest.approx(sketch, abs=0.06)


def test_effective_robustness_from_the_refit_agrees_with_the_published():
    line = fit_line(*columns("imagenet", "imagenetv2"))
    resnet50 = load("imagenet_testbed").loc["resnet50"]
    rho = line.effective_robustness(resnet50["imagenet"], resnet50["imagenetv2"])
    assert float(rho) == pytest.approx(-0.74, abs=0.01)
    # Noisy-Student EfficientNet-L2: 88.322 on ImageNet, 80.85 on V2.
    assert float(line.effective_robustness(0.88322, 0.8085)) == pytest.approx(1.11, abs=0.01)
    clip = load("openai_clip").loc["ViT-B-16"]
    rho = line.effective_robustness(clip["imagenet"], clip["imagenetv2"])
    assert float(rho) == pytest.approx(6.58, abs=0.01)


@pytest.mark.parametrize(
    ("pair", "accuracies", "expected"),
    [
        (("imagenet", "imagenetv2"), (63.302, 55.77), 5.63),
        (("imagenet", "imagenet-sketch"), (63.302, 42.37262), 28.0),
        (("imagenet?classes=imagenet-r", "imagenet-r"), (88.10, 69.25667), 38.95),
        (("imagenet?classes=objectnet", "objectnet"), (70.928, 43.96133), 18.1),
    ],
    ids=lambda p: p[1] if isinstance(p, tuple) and isinstance(p[1], str) else None,
)
def test_zero_shot_clip_above_every_line(pair, accuracies, expected):
    # CLIP ViT-B/32 as the testbed evaluated it: the same table, trained on more than ImageNet.
    x, y = np.array(accuracies) / 100
    assert float(fit_line(*columns(*pair)).effective_robustness(x, y)) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(
    ("line", "points"),
    [
        (AccuracyLine(1.5952, -0.6318, 0.9897, 30, "linear"), 2.0),
        (AccuracyLine(0.8393, -0.4715, np.nan, 30, "logit"), 2.0),
        (AccuracyLine(0.9496, -0.3811, np.nan, 30, "probit"), 2.0),
    ],
    ids=["linear", "logit", "probit"],
)
def test_cifar_models_lie_along_the_published_lines_on_every_scale(line, points):
    table = load("cifar10_1")
    rho = line.effective_robustness(table["cifar10"], table["cifar10.1?version=v6"])
    assert np.abs(rho).max() < points
    assert np.abs(np.mean(rho)) < 0.6


def test_counts_behind_the_cifar_accuracies_are_whole():
    table = load("cifar10_1")
    for column, size in (("cifar10", 10_000), ("cifar10.1?version=v6", 2_000)):
        hits = table[column].to_numpy() * size
        assert hits == pytest.approx(np.rint(hits), abs=1e-6)
    hits = table["cifar10.1?version=v4"].to_numpy() * 2021
    assert np.abs(hits - np.rint(hits)).max() <= 2021 * 0.5e-4 + 1e-9
    assert table["cifar10.1?version=v4"].to_numpy() == pytest.approx(np.rint(hits) / 2021, abs=0.5e-4 + 1e-9)


def test_counts_behind_the_testbed_accuracies_are_whole():
    # A digit typed wrongly would rarely leave a whole number of images.
    table = load("imagenet_testbed")
    sizes = {
        "imagenet": 50_000,
        "imagenetv2": 10_000,
        "imagenet-sketch": 50_889,
        "imagenet?classes=imagenet-r": 10_000,
        "imagenet-r": 30_000,
        "imagenet?classes=objectnet": 6_250,
        "objectnet": 18_514,
    }
    for column, size in sizes.items():
        hits = table[column].dropna().to_numpy() * size
        assert hits == pytest.approx(np.rint(hits), abs=0.02), column


@pytest.mark.parametrize("name", list_published_sets())
def test_every_set_keeps_the_contract(name):
    findings = check("published", name)
    assert {f.status for f in findings} == {"holds"}


def corruption_accuracies(model):
    """A model's errors on ImageNet-C by corruption, one per severity, from RobustBench's accuracies."""
    found = read_published_set("robustbench")
    at = found.models.index(model)
    name = "imagenet-c?corruption={}&severity={}".format
    return {c: [1 - found.numbers["top1", name(c, s)][at] for s in range(1, 6)] for c in IMAGENET_C}


def test_mce_of_robustbenchs_accuracies_is_the_published_one():
    """Of every model that has both. The normaliser's errors are rounded differently: RobustBench has its own AlexNet."""
    found = read_published_set("robustbench")
    published = dict(zip(found.models, found.numbers["mce", "imagenet-c"]))
    having = {model: mce for model, mce in published.items() if mce == mce}
    assert having == {"Erichson2022NoisyMix": 60.70}
    for model, mce in having.items():
        assert mean_corruption_error(corruption_accuracies(model)) == pytest.approx(mce, abs=0.015)


@pytest.mark.parametrize(("model", "mce"), [("Standard_R50", 76.7), ("Hendrycks2020AugMix", 65.3)])
def test_mce_is_near_what_the_papers_publish_on_all_images(model, mce):
    """Hendrycks et al. 2021, table 4, on all 50,000 images; RobustBench has 5,000 of them."""
    assert mean_corruption_error(corruption_accuracies(model)) == pytest.approx(mce, abs=0.2)


def test_sums_behind_robustbenchs_accuracies_are_whole():
    # a digit typed wrongly would rarely leave a whole number of its 5,000 images
    found = read_published_set("robustbench")
    for (metric, dataset), values in found.numbers.items():
        hits = np.array(values) * 5000
        assert metric != "top1" or hits == pytest.approx(np.rint(hits), abs=1e-6), dataset


def test_open_clip_counts_are_whole_to_the_digits_given():
    found = read_published_set("open_clip")
    assert found.counts["imagenet-a"] == 7500
    for dataset in ("imagenetv2", "cifar10"):  # 10,000 images: four digits are exact
        assert np.array(found.numbers["top1", dataset]) * 10_000 == pytest.approx(
            np.rint(np.array(found.numbers["top1", dataset]) * 10_000), abs=1e-6
        )


def test_mean_accuracies_on_cifar10_c_are_the_published_ones():
    """RobustBench publishes the plain mean over corruptions and severities, without a normaliser."""
    found = read_published_set("robustbench_cifar10")
    parts = [values for (_, dataset), values in found.numbers.items() if "?" in dataset]
    assert len(parts) == 75
    means = dict(zip(found.models, np.mean(parts, axis=0)))
    published = dict(zip(found.models, found.numbers["top1", "cifar10-c"]))
    having = {model: mean for model, mean in published.items() if mean == mean}
    assert len(having) == 2
    for model, mean in having.items():
        # two decimals of the percentage; one of them is cut off, not rounded
        assert means[model] == pytest.approx(mean, abs=0.7e-4)
