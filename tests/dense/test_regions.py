"""Metrics of regions: closed forms, torchmetrics, resampled sets, and counting that does not depend on order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassCalibrationError,
    MulticlassConfusionMatrix,
    MulticlassJaccardIndex,
)

from harness import DataError
from harness_dense.pixel_counts import PixelCounts, measure_band_width
from harness_dense.region_metrics import (
    BoundaryIoU,
    ClassAccuracy,
    ClassIoU,
    Dice,
    FrequencyWeightedIoU,
    MeanIoU,
    PixelAccuracy,
    PixelCalibration,
)
from harness_dense.segmentations import Segmentations

METRICS = (
    MeanIoU(), MeanIoU("images"), PixelAccuracy(), ClassAccuracy(), FrequencyWeightedIoU(), Dice(), BoundaryIoU(),
    PixelCalibration(),
)  # fmt: skip


def collect(*pairs, classes=2, sure=None):
    counts = PixelCounts([f"class {n}" for n in range(classes)])
    for n, (truth, said) in enumerate(pairs):
        truth, said = np.asarray(truth), np.asarray(said)
        counts.add(f"{n}", truth, said, np.full(truth.shape, 0.8) if sure is None else sure[n])
    return counts.collect()


def spread(confusion):
    """One image of 10 columns whose pixels have this confusion matrix."""
    truth, said = (np.repeat(index.ravel(), np.ravel(confusion)) for index in np.indices(np.shape(confusion)))
    return truth.reshape(-1, 10), said.reshape(-1, 10)


def draw_maps(seed, images=6, classes=4, side=12):
    rng = np.random.default_rng(seed)
    maps = []
    for _ in range(images):
        truth = rng.integers(classes, size=(3, 3))
        said = np.where(rng.random((3, 3)) < 0.6, truth, rng.integers(classes, size=(3, 3)))
        truth, said = (np.kron(m, np.ones((side // 3, side // 3), np.int64)) for m in (truth, said))
        maps.append((np.where(rng.random((side, side)) < 0.1, 255, truth), said))
    return maps


def test_the_confusion_matrix_50_10_20_20():
    """Check 12 of the field's closed forms."""
    evidence = collect(spread([[50, 10], [20, 20]]))
    assert ClassIoU()(evidence) == pytest.approx({"class 0": 0.625, "class 1": 0.4})
    assert MeanIoU()(evidence) == pytest.approx(0.5125)
    assert PixelAccuracy()(evidence) == pytest.approx(0.7)
    assert FrequencyWeightedIoU()(evidence) == pytest.approx(0.535)
    assert Dice()(evidence) == pytest.approx((10 / 13 + 4 / 7) / 2)
    assert evidence.confusion().tolist() == [[50, 10], [20, 20]]


def test_over_the_set_and_over_images_are_two_numbers():
    """Two images of 100 pixels of one class each, 10 and 50 of them wrong."""
    zeros, ones = np.zeros((10, 10), int), np.ones((10, 10), int)
    first, second = zeros.copy(), ones.copy()
    first.flat[:10], second.flat[:50] = 1, 0
    evidence = collect((zeros, first), (ones, second))
    assert MeanIoU()(evidence) == pytest.approx(0.527273, abs=1e-6)
    assert MeanIoU("images")(evidence) == pytest.approx(0.35)
    assert [MeanIoU().title, MeanIoU("images").title] == ["Mean IoU", "Mean IoU per image"]


@given(st.integers(0, 1000))
def test_uncounted_pixels_change_nothing(seed):
    """Check 13: whatever is predicted where nothing is known."""
    maps = draw_maps(seed, images=3)
    other = [(t, np.where(t == 255, (s + 1) % 4, s)) for t, s in maps]
    for metric in METRICS:
        assert metric(collect(*maps, classes=4)) == metric(collect(*other, classes=4))
    wider = [(np.pad(t, 2, constant_values=255), np.pad(s, 2)) for t, s in maps]
    for metric in (MeanIoU(), PixelAccuracy(), Dice(), ClassAccuracy(), FrequencyWeightedIoU()):
        assert metric(collect(*maps, classes=4)) == pytest.approx(metric(collect(*wider, classes=4)))


@pytest.mark.parametrize("side", [16, 24, 40])
@pytest.mark.parametrize("canvas", [64, 160])
def test_a_square_moved_by_one_pixel(side, canvas):
    """Check 14: IoU (s − 1)/(s + 1), and in its bands (2d − 1)/(2d + 1), whatever its size."""
    truth, said = np.zeros((canvas, canvas), int), np.zeros((canvas, canvas), int)
    truth[10 : 10 + side, 10 : 10 + side] = 1
    said[10 : 10 + side, 11 : 11 + side] = 1
    evidence = collect((truth, said))
    wide = measure_band_width(canvas, canvas)
    assert wide == {64: 2, 160: 5}[canvas]
    assert ClassIoU()(evidence)["class 1"] == pytest.approx((side - 1) / (side + 1))
    common, union = evidence.band_common[0, 1], evidence.band_union[0, 1]
    band = 4 * wide * (side - wide)
    assert common + union == 2 * band
    assert common / union == pytest.approx((2 * wide - 1) / (2 * wide + 1))


def test_bands_are_what_erosion_leaves():
    """Against eroding each region with OpenCV's rule: the outside is eroded, too."""
    from scipy.ndimage import binary_erosion

    rng = np.random.default_rng(0)
    truth, said = (np.kron(rng.integers(3, size=(6, 8)), np.ones((7, 7), int)) for _ in range(2))
    evidence = collect((truth, said), classes=3)
    wide = measure_band_width(*truth.shape)
    for label in range(3):
        bands = []
        for map_ in (truth, said):
            region = map_ == label
            bands.append(region & ~binary_erosion(region, np.ones((3, 3)), iterations=wide, border_value=0))
        assert evidence.band_common[0, label] == (bands[0] & bands[1]).sum()
        assert evidence.band_union[0, label] == (bands[0] | bands[1]).sum()


@given(st.integers(0, 1000))
def test_torchmetrics_agrees(seed):
    maps = draw_maps(seed)
    truth, said = (torch.tensor(np.stack(column)) for column in zip(*maps, strict=True))
    evidence = collect(*maps, classes=4)
    options = {"num_classes": 4, "ignore_index": 255}
    assert MeanIoU()(evidence) == pytest.approx(
        MulticlassJaccardIndex(**options)(said, truth).item(), abs=1e-6
    )
    matrix = MulticlassConfusionMatrix(**options)(said, truth)
    assert evidence.confusion().tolist() == matrix.tolist()
    micro = MulticlassAccuracy(average="micro", **options)(said, truth).item()
    assert PixelAccuracy()(evidence) == pytest.approx(micro, abs=1e-6)


def test_calibration_agrees_with_torchmetrics():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5, 3, 12, 12))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = rng.integers(3, size=(5, 12, 12))
    pairs = list(zip(truth, shares.argmax(axis=1), strict=True))
    evidence = collect(*pairs, classes=3, sure=shares.max(axis=1))
    referee = MulticlassCalibrationError(num_classes=3, n_bins=15, norm="l1")
    assert PixelCalibration()(evidence) == pytest.approx(
        referee(torch.tensor(shares), torch.tensor(truth)).item(), abs=1e-5
    )


@pytest.mark.parametrize(
    "metric", METRICS, ids=lambda m: f"{type(m).__name__} {getattr(m, 'over', '')}".strip()
)
def test_resampled_is_a_set_with_copies(metric):
    """Weights equal a data set in which images occur as often, to 1e-12."""
    evidence = collect(*draw_maps(3, images=8), classes=4)
    weights = np.random.default_rng(1).multinomial(8, np.full(8, 1 / 8), size=20)
    found = metric.resampled(evidence, weights)
    for row, value in zip(weights, found, strict=True):
        taken = np.repeat(np.arange(8), row)
        copied = evidence.select(taken, [f"{n}" for n in range(8)])
        assert value == pytest.approx(metric(copied), abs=1e-12)
    assert metric.resampled(evidence, np.ones((1, 8)))[0] == pytest.approx(metric(evidence), abs=1e-12)


def test_absent_classes_are_left_out_and_invented_ones_count():
    zeros = np.zeros((4, 4), int)
    assert MeanIoU()(collect((zeros, zeros), classes=5)) == 1
    invented = zeros.copy()
    invented[0, 0] = 3
    assert MeanIoU()(collect((zeros, invented), classes=5)) == pytest.approx((15 / 16 + 0) / 2)


def test_evidence_survives_packing_and_order():
    evidence = collect(*draw_maps(5, images=12), classes=4)
    again = Segmentations.unpack(evidence.pack())
    for metric in METRICS:
        assert metric(again) == metric(evidence) == metric(evidence.shuffled(2))


def test_odd_maps_are_named():
    counts = PixelCounts(["a", "b"])
    zeros = np.zeros((3, 4), int)
    with pytest.raises(DataError, match=r"'x'.*sizes"):
        counts.add("x", zeros, zeros.T, zeros)
    with pytest.raises(DataError, match="'x': true class 7 is none of the 2"):
        counts.add("x", zeros + 7, zeros, zeros)
    with pytest.raises(DataError, match="'x': predicted class -1"):
        counts.add("x", zeros, zeros - 1, zeros)
    with pytest.raises(DataError, match="'x': confidences are not finite"):
        counts.add("x", zeros, zeros, zeros + np.nan)
    with pytest.raises(DataError, match="no images"):
        counts.collect()
    counts.add("x", zeros, zeros, zeros)
    counts.add("x", zeros, zeros, zeros)
    with pytest.raises(DataError, match="two images have the id 'x'"):
        counts.collect()


def test_images_without_counted_pixels_have_no_say():
    blank = np.full((4, 4), 255)
    zeros = np.zeros((4, 4), int)
    evidence = collect((blank, zeros), (zeros, zeros))
    assert MeanIoU("images")(evidence) == 1
    assert evidence.uncounted.tolist() == [16, 0]
