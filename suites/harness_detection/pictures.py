"""Pictures of what was hit, missed and found where nothing is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness import decode
from harness_dense.detections import Detections
from harness_dense.pictures import MarkedObject, draw_objects
from harness_dense.shown_images import choose_images
from harness_detection.hit_counts import FALSE_ALARM, HIT, ImageHits, sum_by_image

if TYPE_CHECKING:
    from harness import Split


def choose_detections(detections: Detections, hits: ImageHits, count: int) -> dict[str, int]:
    """Return images of the evidence by name: those with the most misses and false alarms, and typical ones."""
    misses = sum_by_image(hits.missed, detections.true_offsets)
    alarms = sum_by_image(hits.found == FALSE_ALARM, detections.offsets)
    return choose_images({"most-misses": misses, "most-false-alarms": alarms}, misses + alarms, count)


def draw_detections(
    split: Split, detections: Detections, hits: ImageHits, shown: Mapping[str, int]
) -> dict[str, NDArray[np.uint8]]:
    """Return pictures of the chosen images by name: hits green, misses blue and dashed, false alarms vermilion.

    Words are classes, with the scores of what was found. True objects that were found and those that count neither way
    are not drawn.
    """
    places = {name: row for row, name in enumerate(split.ids)}
    pictures = {}
    for name, n in shown.items():
        sample = split[places[detections.ids[n]]]
        pictures[name] = draw_objects(decode(sample.image, sample.id), list_marked(detections, hits, n))
    return pictures


def list_marked(detections: Detections, hits: ImageHits, n: int) -> list[MarkedObject]:
    """Return what is drawn of an image: misses, then false alarms, then hits, each with its class and score."""
    names = detections.class_names
    true = range(int(detections.true_offsets[n]), int(detections.true_offsets[n + 1]))
    marked = [
        MarkedObject(
            "miss",
            detections.true_boxes[row],
            names[detections.true_labels[row]],
            None if detections.true_masks is None else detections.true_masks[row],
        )
        for row in true
        if hits.missed[row]
    ]
    found = np.arange(detections.offsets[n], detections.offsets[n + 1])
    for code in (FALSE_ALARM, HIT):
        marked += [
            MarkedObject(
                "hit" if code == HIT else "false alarm",
                detections.boxes[row],
                f"{names[detections.labels[row]]} {detections.scores[row]:.2f}",
                None if detections.masks is None else detections.masks[row],
            )
            for row in found[hits.found[found] == code].tolist()
        ]
    return marked
