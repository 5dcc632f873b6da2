"""Other bounds of small, medium and large objects, against pycocotools with the same ranges."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from harness import OptionError
from harness_dense.coco_ap import CocoAP
from harness_dense.detections import Detections

BOUNDS = [1600.0, 1700.0]  # of the evidence's objects of 1600, 1856 and 9604 pixels


def refer(evidence: Detections, bounds: list[float]) -> dict[str, float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def corners(box: np.ndarray) -> list[float]:
        return [*box[:2], *(box[2:] - box[:2])]

    truth = COCO()
    truth.dataset = {
        "images": [{"id": n + 1} for n in range(len(evidence))],
        "categories": [{"id": c + 1} for c in range(len(evidence.class_names))],
        "annotations": [
            {
                "id": g + 1, "image_id": int(image) + 1, "category_id": int(evidence.true_labels[g]) + 1, "iscrowd": 0,
                "bbox": corners(evidence.true_boxes[g]), "area": float(evidence.true_areas[g]),
            }
            for g, image in enumerate(evidence.true_images)
        ],
    }  # fmt: skip
    rows = [
        {
            "image_id": int(image) + 1,
            "category_id": int(evidence.labels[p]) + 1,
            "score": evidence.scores[p],
            "bbox": corners(evidence.boxes[p]),
        }
        for p, image in enumerate(evidence.images)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(rows), "bbox")
        run.params.areaRng = [[0, 1e10], [0, bounds[0]], bounds, [bounds[1], 1e10]]
        run.evaluate()
        run.accumulate()
        run.summarize()
    return dict(zip(("AP_small", "AP_medium", "AP_large"), run.stats[3:6])) | {"AP": run.stats[0]}


def test_other_bounds() -> None:
    evidence = Detections.example(0.7, 0)
    found, usual = CocoAP(areas=BOUNDS)(evidence), CocoAP()(evidence)
    expected = refer(evidence, BOUNDS)
    for name, value in expected.items():
        assert found.get(name, -1) == pytest.approx(value, abs=1e-12)
    assert usual["AP"] == found["AP"]
    assert usual["AP_small"] != found["AP_small"]
    assert CocoAP()(evidence) == usual
    draws = CocoAP(areas=BOUNDS).resampled(evidence, np.ones((2, len(evidence))))
    assert draws["AP_large"][0] == pytest.approx(found["AP_large"])


@pytest.mark.parametrize("areas", [[5.0], [9.0, 4.0], [0.0, 4.0]])
def test_wrong_bounds(areas: list[float]) -> None:
    with pytest.raises(OptionError, match="areas must be two rising numbers"):
        CocoAP(areas=areas)
