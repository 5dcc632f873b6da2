"""The protocol `detection` with a model that finds everything: what counts, what is left out, what is kept."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness
import harness_detection
from harness import Boxes, DataError, OptionError
from harness.testing import ModelConformance
from harness_dense.class_matching import match_classes_by_name
from harness_dense.gathering import FoundArrays, gather_detections
from harness_dense.images_by_size import decode_only
from harness_detection.hit_counts import FALSE_ALARM, HIDDEN, HIT, SPARED, count_hits
from harness_detection.protocol import Detection
from harness_detectors.grid_detector import GridDetector
from tests.detection.conftest import Bright, RectangleSet, Run


def test_all_is_found_and_kept(run: Run) -> None:
    record, store = run()
    assert record.status == "ok", record.reason
    assert record.metrics["coco-ap.AP"] == pytest.approx(1)
    assert record.count == 9
    assert record.notes["classes_not_known"] == []
    assert [row["AP"] for row in record.notes["ap_by_class"].values()] == pytest.approx([1] * 3)
    samples = store.samples(record.id)
    assert samples["misses"].sum() == samples["false_alarms"].sum() == 0
    assert samples["hits"].sum() == record.notes["objects_there"]
    assert record.cost["latency_ms"] > 0
    assert record.cost["latency_p95_ms"] >= record.cost["latency_ms"]
    curves = store.curves(record.id)
    precision = curves[(curves["curve"] == "precision-recall") & (curves["column"] == "precision_50")]
    assert len(precision) == 101
    assert precision["value"].min() == pytest.approx(1)
    assert len(list(store.images(record.id))) == 1
    assert {len(column) for _, column in store.resamples(record.id).items()} == {1000}


def test_masks_are_measured(run: Run) -> None:
    record, _ = run(metrics=[{"plugin": "coco-ap", "iou": "masks"}])
    assert [v for k, v in record.metrics.items() if k.endswith(".AP")] == [pytest.approx(1)]


def test_a_frozen_model_sees_the_images_once(run: Run) -> None:
    first, _ = run(protocol={"batch": 2})
    assert Bright.calls == [1] * 4 + [2, 2, 2, 2, 1]  # the clocks first: three to warm up, one timed
    again, _ = run(store="other", protocol={"batch": 2, "score_threshold": 0.95})
    assert len(Bright.calls) == 9
    assert first.metrics["coco-ap.AP"] == pytest.approx(1)
    assert again.metrics["coco-ap.AP"] == 0
    assert again.notes["objects_found"] == 0
    assert again.notes["score_threshold"] == 0.95


def test_each_image_is_timed_once(run: Run) -> None:
    record, _ = run(protocol={"batch": 4, "timed": 6})
    assert Bright.calls == [1] * 3 + [1] * 4 + [4] + [1] * 2 + [4, 1]
    assert record.notes["images_timed"] == 6


def test_false_alarms_are_counted_from_the_shown_score_on(run: Run) -> None:
    models = [{"plugin": "bright", "alarms": 2}]
    record, store = run(models=models, protocol={"shown_score": 0.3})
    assert store.samples(record.id)["false_alarms"].sum() == 18
    record, store = run(store="t", models=models)
    assert store.samples(record.id)["false_alarms"].sum() == 0


def test_only_the_best_of_a_class_count(run: Run) -> None:
    record, store = run(
        models=[{"plugin": "bright", "alarms": 2}], protocol={"max_detections": 2, "shown_score": 0}
    )
    reds = sum((truth.labels == 0).any() for truth in RectangleSet.content["test"].targets)
    assert 0 < reds < 9
    assert record.notes["objects_found"] == record.notes["objects_there"] + 18 - reds
    assert store.samples(record.id)["hits"].sum() == record.notes["objects_there"]
    assert any(f"{reds} objects beyond the 2 best of an image and class" in r for r in record.remarks)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (vars, "it returns a dict for an image, expected harness_dense.contracts.Found"),
        (lambda f: replace(f, labels=f.labels + 1), "label 3 is none of its 3 classes, which count from 0"),
        (lambda f: replace(f, labels=f.labels - 1), "label -1 is none of its 3 classes"),
        (lambda f: replace(f, labels=f.labels.float()), "labels are of torch.float32, expected whole numbers"),
        (lambda f: replace(f, scores=f.scores / 0 * 0), "scores are not all finite"),
        (lambda f: replace(f, scores=f.scores * 2), "scores reach from 1.8 to 1.8, expected probabilities"),
        (lambda f: replace(f, scores=f.scores - 2), "scores reach from -1.1 to -1.1"),
        (lambda f: replace(f, masks=f.masks.float()), "masks are of torch.float32, expected torch.bool"),
        (lambda f: replace(f, boxes=f.boxes[:, [2, 1, 0, 3]]), "a box ends before it begins"),
        (lambda f: replace(f, boxes=f.boxes[:, :3]), "boxes are [123]×3, expected [123]×4"),
        (lambda f: replace(f, masks=f.masks[:, 1:]), r"masks are [123]×39×48, expected [123]×40×48"),
        (lambda f: replace(f, masks=f.masks if len(f) > 1 else None), "gives masks of some images' objects only"),
    ],
)  # fmt: skip
def test_what_a_model_cannot_have_found_is_told(
    run: Run, monkeypatch: pytest.MonkeyPatch, spoil: Any, message: str
) -> None:
    found = Bright._find
    monkeypatch.setattr(Bright, "_find", lambda self, image: spoil(found(self, image)))
    record, _ = run()
    assert record.status == "failed"
    assert re.search(f"`detect` of Bright: .*{message}", str(record.reason))


@pytest.mark.parametrize(
    ("factor", "message"),
    [(1 / 48, "all found boxes lie within the first pixel"), (5, " found boxes have their centre outside the image")],
)  # fmt: skip
def test_boxes_in_other_units_are_remarked(
    run: Run, monkeypatch: pytest.MonkeyPatch, factor: float, message: str
) -> None:
    found = Bright._find
    monkeypatch.setattr(
        Bright, "_find", lambda self, image: replace(f := found(self, image), boxes=f.boxes * factor)
    )
    record, _ = run()
    assert any(message in remark for remark in record.remarks)
    monkeypatch.undo()
    assert not any("found boxes" in remark for remark in run("other", "other cache")[0].remarks)


def test_results_of_another_number_than_images_are_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bright, "detect", lambda self, images: [self._find(images[0])])
    record, _ = run()
    assert "`detect` of Bright: it returns 1 results for 8 images" in str(record.reason)


@pytest.mark.parametrize("methods", [[], [{"plugin": "detector-training", "steps": 1, "batch": 2}]])
def test_a_model_that_resizes_in_prepare_is_told(
    run: Run, monkeypatch: pytest.MonkeyPatch, methods: list[Any]
) -> None:
    model = GridDetector if methods else Bright
    monkeypatch.setattr(model, "prepare", lambda self, image: decode_only(image.resize((32, 32))))
    record, _ = run(models=["grid-detector" if methods else "bright"], methods=methods)
    message = f"`prepare` of {model.__name__} makes 3×32×32 of an image of 3×[0-9]+×48: boxes and classes count in its own"
    assert re.search(message, str(record.reason))


def test_classes_are_matched_by_name(run: Run) -> None:
    models = [{"plugin": "bright", "names": ["RED", "Grün", "sky"]}]
    record, _ = run(models=models, protocol={"aliases": ["green=grün"]})
    assert record.notes["classes_not_known"] == ["blue"]
    assert record.metrics["coco-ap.AP"] == pytest.approx(2 / 3)
    text = " ".join(record.remarks)
    assert "does not know 1 of 3 classes: not found ('blue')" in text
    assert "of 1 class that the data set does not have" in text


def test_places_of_classes() -> None:
    found = match_classes_by_name(
        ["dining table", "cat", "tv"], ["cat", "diningtable"], ["diningtable = Dining Table"]
    )
    assert found.places.tolist() == [1, 0, -1]
    assert found.missing == []
    with pytest.raises(
        DataError, match=r"d: the model finds none of the 1 classes, such as 'dog'; known: cat"
    ):
        match_classes_by_name(["cat"], ["dog"], where="d")
    with pytest.raises(DataError, match="knows no classes yet"):
        match_classes_by_name([], ["dog"])
    with pytest.raises(OptionError, match="not 'a'"):
        match_classes_by_name(["cat"], ["dog"], ["a"])


@pytest.mark.parametrize(
    ("model", "data", "aliases", "places"),
    [
        (["aeroplane", "cat", "sofa"], ["aeroplane", "cat", "sofa"], ["sofa=couch"], [0, 1, 2]),
        (["couch", "sofa"], ["cat", "sofa"], ["sofa=couch"], [1, -1]),
        (["tv"], ["tv", "tvmonitor"], ["tvmonitor=tv"], [1]),
        (["Cat", "cat"], ["Cat", "cat"], [], [0, 1]),
        (["cat", "Cat"], ["Cat", "cat"], [], [1, 0]),
        (["cat", "Cat"], ["CAT"], [], [0, 0]),
        (["CAT", "dog"], ["Cat", "cat", "dog"], [], [-1, 2]),
    ],
)  # fmt: skip
def test_own_names_come_before_other_spellings(
    model: list[str], data: list[str], aliases: list[str], places: list[int]
) -> None:
    assert match_classes_by_name(model, data, aliases).places.tolist() == places


def test_what_is_unclear_in_names_is_told() -> None:
    found = match_classes_by_name(["CAT", "dog"], ["Cat", "cat", "dog"], ["dgo=hound"])
    assert (
        "1 of 1 aliases not used: the data set or the model has no such class ('dgo=hound')"
        in found.remarks[0]
    )
    assert "2 classes that differ in nothing but spelling ('Cat', 'cat')" in found.remarks[1]
    for twice in (["a=b", "A=c"], ["a=b", "c=B"]):
        with pytest.raises(OptionError, match=r"detection: aliases (has two entries for the|give two) class"):
            match_classes_by_name(["a"], ["b"], twice, where="detection")


def test_hits_take_free_objects_and_crowds_spare() -> None:
    truth = Boxes(
        np.array([[0, 0, 10, 10], [20, 0, 30, 10], [0, 20, 30, 40], [40, 40, 50, 50.0]]),
        np.zeros(4, int),
        crowd=np.array([False, False, True, False]),
    )
    boxes = [[0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10], [1, 21, 9, 29], [40, 40, 50, 50], [0, 40, 5, 45]]
    found = FoundArrays(boxes, [0.9, 0.8, 0.7, 0.9, 0.2, 0.6], [0] * 6)
    hits = count_hits(gather_detections(["a"], ["x"], [(60, 60)], [found], [truth]), 0.5)
    assert hits.found.tolist() == [HIT, FALSE_ALARM, HIT, SPARED, HIDDEN, FALSE_ALARM]
    assert hits.missed.tolist() == [False, False, False, True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score_threshold": 1.5}, "score_threshold must be from 0 to 1"),
        ({"max_detections": 0}, "max_detections must be at least 1"),
        ({"aliases": ["tv"]}, "not 'tv'"),
    ],
)
def test_wrong_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Detection(**options)  # type: ignore[arg-type]


class TestShownDetector(ModelConformance):
    """The detector that the README shows conforms, and finds what is there."""

    @pytest.fixture
    def shown(self) -> type:
        text = (Path(harness_detection.__file__).parent / "README.md").read_text(encoding="utf-8")
        (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        found: dict[str, Any] = {"__name__": "shown_detector"}
        exec(code, found)
        spot: type = found["Spot"]
        return spot

    @pytest.fixture
    def model(self, shown: type) -> Any:
        return shown()

    def test_it_finds_what_is_bright(self, shown: type, run: Run) -> None:
        harness.register("models", "spot", shown)
        record, _ = run(models=["spot"], protocol={"aliases": ["red=spot"]}, metrics=[])
        assert record.status == "ok", record.reason
        assert record.notes["objects_found"] == 9
        assert record.notes["ap_by_class"]["red"]["AP50"] > 0


def test_what_is_no_detector_is_refused(planted: None) -> None:
    suite = {
        "name": "s",
        "protocol": "detection",
        "models": ["tiny-vit"],
        "datasets": ["rectangles"],
        "metrics": [],
    }
    (planned,) = harness.plan(suite)
    assert "does not detect" in str(planned.reason) or "detects objects" in str(planned.reason)
    untrained = suite | {"models": ["grid-detector"], "datasets": ["drawn-objects"]}
    (planned,) = harness.plan(untrained)
    assert "detector-training" in str(planned.reason)
