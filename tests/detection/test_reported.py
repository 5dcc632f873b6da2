"""What reports show of detection: kept curves, confusions of classes, and pictures of chosen images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness import Boxes
from harness_dense.class_pairs import list_pairs
from harness_dense.coco_ap import CocoAP, list_class_ap
from harness_dense.detections import Detections
from harness_dense.gathering import FoundArrays, gather_detections
from harness_dense.pictures import BLUE, VERMILION
from harness_detection.class_confusion import count_class_pairs
from harness_detection.hit_counts import FALSE_ALARM, HIT, count_hits
from harness_detection.kept_curves import measure_precision_curves
from harness_detection.pictures import choose_detections, list_marked
from tests.detection.conftest import Run


def draw_objects_at_random(seed: int, images: int = 6) -> Detections:
    """Some boxes on a grid of few places, so that they meet; some are crowds or ignored."""
    rng = np.random.default_rng(seed)

    def boxes(count: int) -> Any:
        corner = rng.integers(0, 4, (count, 2)) * 10.0
        return np.concatenate([corner, corner + rng.integers(10, 25, (count, 2))], axis=1)

    found, truths = [], []
    for _ in range(images):
        there, said = rng.integers(0, 5, 2)
        truths.append(
            Boxes(
                boxes(there),
                rng.integers(0, 3, there),
                crowd=rng.random(there) < 0.1,
                ignored=rng.random(there) < 0.1,
            )
        )
        found.append(FoundArrays(boxes(said), rng.random(said).round(1), rng.integers(0, 3, said)))
    return gather_detections(
        [str(n) for n in range(images)], ["a", "b", "c"], [(70, 70)] * images, found, truths
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_kept_curves_are_the_precisions_whose_mean_is_ap(seed: int) -> None:
    evidence = draw_objects_at_random(seed)
    curves = measure_precision_curves(evidence)
    if (evidence.true_crowd | evidence.true_ignored).all():
        assert curves == {}
        return
    columns = curves["precision-recall"]
    np.testing.assert_allclose(columns["recall"], np.arange(101) / 100, atol=1e-15)
    means = {name: np.mean(values) for name, values in columns.items() if name != "recall"}
    numbers = CocoAP()(evidence)
    assert np.mean([means[f"precision_{n}"] for n in range(50, 100, 5)]) == pytest.approx(
        numbers["AP"], abs=1e-12
    )
    assert means["precision_50"] == pytest.approx(numbers["AP50"], abs=1e-12)
    assert means["precision_75"] == pytest.approx(numbers["AP75"], abs=1e-12)
    classes = [name.removeprefix("precision_50 ") for name in means if " " in name]
    assert classes == list(list_class_ap(evidence))
    assert np.mean([means[f"precision_50 {name}"] for name in classes]) == pytest.approx(
        means["precision_50"]
    )


def test_masks_have_curves_of_their_own() -> None:
    evidence = Detections.example(0.7, 0)
    curves = measure_precision_curves(evidence)
    assert list(curves) == ["precision-recall", "mask-precision-recall"]
    kept = np.mean([curves["mask-precision-recall"][f"precision_{n}"] for n in range(50, 100, 5)])
    assert kept == pytest.approx(CocoAP(iou="masks")(evidence)["AP"], abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.5]))
def test_confusions_add_up_to_hits_misses_and_false_alarms(seed: int, score: float) -> None:
    evidence = draw_objects_at_random(seed)
    hits = count_hits(evidence, score)
    counts = count_class_pairs(evidence, hits)
    inside = counts[:3, :3]
    confused = inside.sum() - np.trace(inside)
    assert np.trace(inside) == (hits.found == HIT).sum()
    assert counts[:3, 3].sum() + confused == hits.missed.sum()
    assert counts[3, :3].sum() + confused == (hits.found == FALSE_ALARM).sum()
    assert counts[3, 3] == 0
    there = ~evidence.true_crowd & ~evidence.true_ignored
    np.testing.assert_array_equal(
        counts[:3].sum(axis=1), np.bincount(evidence.true_labels[there], minlength=3)
    )


def test_confusions_by_hand() -> None:
    truth = Boxes(np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50.0, 10]]), np.array([0, 1, 1]))
    boxes = [[0, 0, 10, 9], [0, 0, 10, 10], [20, 0, 30, 10], [20, 0, 30, 9], [0, 40, 9, 50], [42, 2, 49, 6]]
    found = FoundArrays(boxes, [0.6, 0.9, 0.7, 0.8, 0.9, 0.9], [0, 1, 0, 0, 1, 1])
    evidence = gather_detections(["a"], ["x", "y"], [(60, 60)], [found], [truth])
    counts = count_class_pairs(evidence, count_hits(evidence, 0.5))
    # x is hit though y has a higher score there; of two x at a y, the second is found where nothing is
    np.testing.assert_array_equal(counts, [[1, 0, 0], [1, 0, 1], [1, 3, 0]])
    pairs = list_pairs(counts, nothing=True)
    assert list(zip(*(pairs[side] for side in ("target", "prediction", "count")), strict=True)) == [
        (0, 0, 1), (1, 0, 1), (1, -1, 1), (-1, 0, 1), (-1, 1, 3),
    ]  # fmt: skip


def test_marked_objects_are_what_was_counted() -> None:
    evidence = draw_objects_at_random(3)
    hits = count_hits(evidence, 0.3)
    for n in range(len(evidence)):
        kinds = [one.kind for one in list_marked(evidence, hits, n)]
        found = hits.found[evidence.offsets[n] : evidence.offsets[n + 1]]
        assert kinds.count("hit") == (found == HIT).sum()
        assert kinds.count("false alarm") == (found == FALSE_ALARM).sum()
        missed = hits.missed[evidence.true_offsets[n] : evidence.true_offsets[n + 1]]
        assert kinds.count("miss") == missed.sum()
        assert kinds == sorted(kinds, key=["miss", "false alarm", "hit"].index)


def test_the_choice_of_images_does_not_depend_on_their_order() -> None:
    evidence = draw_objects_at_random(5, images=12)
    again = evidence.shuffled(1)
    first, second = (choose_detections(e, count_hits(e, 0.3), 5) for e in (evidence, again))
    assert {k: evidence.ids[n] for k, n in first.items()} == {k: again.ids[n] for k, n in second.items()}


def test_records_name_the_pictured_images_and_keep_what_plots_need(run: Run) -> None:
    models = [{"plugin": "bright", "names": ["green", "red", "blue"], "alarms": 1}]
    record, store = run(models=models, protocol={"pictures": 3, "shown_score": 0.3})
    assert record.status == "ok", record.reason
    pictures = record.notes["pictures"]
    assert list(pictures) == ["most-misses-1", "most-false-alarms-1", "typical-1"]
    samples = store.samples(record.id).set_index("id")
    for name, column in (("most-misses-1", "misses"), ("most-false-alarms-1", "false_alarms")):
        assert samples.loc[pictures[name], column] >= samples[column].drop(list(pictures.values())).max()
    files = {path.stem: path for path in store.images(record.id)}
    assert set(files) == set(pictures)
    with Image.open(files["most-misses-1"]) as image:
        colours = {tuple(one) for one in np.unique(np.array(image)[:-20].reshape(-1, 3), axis=0).tolist()}
    assert {BLUE, VERMILION} <= colours
    assert record.notes["class_names"] == ["red", "green", "blue"]
    curves = store.curves(record.id)
    counts = curves[curves["curve"] == "confusion"].pivot(index="position", columns="column", values="value")
    pairs = {(t, p): n for t, p, n in counts[["target", "prediction", "count"]].to_numpy().tolist()}
    assert pairs[(2, 2)] == samples["hits"].sum()
    assert pairs[(0, 1)] + pairs[(1, 0)] + pairs[(2, 2)] == record.notes["objects_there"]
    assert pairs[(-1, 1)] == 9
