"""Pictures of what was hit, missed and found where nothing is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.inference.images import decode
from harness_dense.detections import Detections
from harness_dense.mask_codes import write_codes
from harness_detection.hit_counts import FALSE_ALARM, HIT, Hits

if TYPE_CHECKING:
    from PIL import Image

    from harness import Split

COLOURS = {"hit": (0, 158, 115), "missed": (0, 114, 178), "false alarm": (213, 94, 0)}
"""Green, blue and vermilion of Okabe and Ito's colours, which those who see no red or green can tell apart."""

SIDE = 320
"""Pixels of the shorter side of a picture, at least: small images are enlarged in whole steps."""

SHADE = 0.4
"""Share of the colour in the pixels of a mask."""


def draw_pictures(
    split: Split, detections: Detections, hits: Hits, count: int
) -> dict[str, NDArray[np.uint8]]:
    """Return pictures of the first images of the split by name: hits green, misses blue, false alarms vermilion.

    True objects that were found and those that count neither way are not drawn.
    """
    places = {name: n for n, name in enumerate(detections.ids)}
    pictures = {}
    for row in range(min(count, len(split))):
        sample = split[row]
        image = decode(sample.image, sample.id)
        pictures[f"found-{row}"] = _draw(image, detections, hits, places[sample.id])
    return pictures


def _draw(image: Image.Image, detections: Detections, hits: Hits, n: int) -> NDArray[np.uint8]:
    from PIL import Image as Images
    from PIL import ImageDraw

    found = range(int(detections.offsets[n]), int(detections.offsets[n + 1]))
    true = range(int(detections.true_offsets[n]), int(detections.true_offsets[n + 1]))
    drawn = [
        ("missed", [row for row in true if hits.missed[row]], detections.true_boxes, detections.true_masks),
        (
            "false alarm",
            [row for row in found if hits.found[row] == FALSE_ALARM],
            detections.boxes,
            detections.masks,
        ),
        ("hit", [row for row in found if hits.found[row] == HIT], detections.boxes, detections.masks),
    ]
    pixels = np.array(image, np.float32)
    for kind, rows, _, masks in drawn:
        if masks is not None:
            _shade(pixels, [masks[row] for row in rows], COLOURS[kind])
    factor = max(1, SIDE // min(image.size))
    large = Images.fromarray(pixels.round().astype(np.uint8))
    large = large.resize((image.width * factor, image.height * factor), Images.Resampling.NEAREST)
    pen = ImageDraw.Draw(large)
    for kind, rows, boxes, _ in drawn:
        for row in rows:
            left, top, right, bottom = (boxes[row] * factor).tolist()
            pen.rectangle(
                (left, top, max(left, right - 1), max(top, bottom - 1)), outline=COLOURS[kind], width=2
            )
            if kind != "missed":
                name = detections.class_names[detections.labels[row]]
                pen.text((left + 4, top + 2), f"{name} {detections.scores[row]:.2f}", fill=COLOURS[kind])
    return np.array(large)


def _shade(pixels: NDArray[np.float32], masks: Sequence[bytes], colour: tuple[int, int, int]) -> None:
    from hotcoco import mask

    for code in write_codes(masks, pixels.shape[:2]):
        inside = np.asarray(mask.decode(code), bool)
        pixels[inside] += SHADE * (np.array(colour, np.float32) - pixels[inside])
