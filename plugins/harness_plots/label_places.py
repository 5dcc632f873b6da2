"""Geometry of labels: beside points and at the ends of lines, without overlap. Lengths in pixels, y upwards."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

GAPS = (2, 5, 9, 14, 20, 28, 38, 50, 64, 80, 100, 125, 155, 190)
"""Distances between a point and its label, the nearest first."""

SIDES = np.array(
    [
        *[(1, 0), (0, 1), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)],
        *[(0.5, 1), (0.5, -1), (-0.5, 1), (-0.5, -1), (1, 0.5), (1, -0.5), (-1, 0.5), (-1, -0.5)],
    ]
)
"""Directions of a label from its point, on the outline of a square; the first of equally good ones is taken."""

CLOSE = np.array([-5.0, -2.0, 5.0, 2.0])
"""What is added to a box to tell whether it is right beside something."""

LEADER = 9
"""Labels farther from their points than this have a leader line."""


def spread_apart(wanted: Sequence[float], heights: Sequence[float], low: float, high: float) -> Array:
    """Return centres nearest to those wanted (least squares) at which boxes of these heights don't overlap.

    They keep their order and lie between `low` and `high`; if they can't, they start at `low`.
    """
    order = np.argsort(wanted, kind="stable")
    tall = np.asarray(heights, dtype=float)[order]
    # without the heights below it, each centre must only not be lower than the one before
    below = np.concatenate([[0.0], np.cumsum((tall[1:] + tall[:-1]) / 2)])
    fitted = _fit_increasing(np.asarray(wanted, dtype=float)[order] - below)
    bottom, top = low + tall[0] / 2, high - tall[-1] / 2 - below[-1]
    places = np.empty(len(order))
    places[order] = np.clip(fitted, bottom, max(bottom, top)) + below
    return places


def _fit_increasing(values: Array) -> Array:
    """Return the nearest values (least squares) that never decrease, by pooling neighbours; scipy takes long to import."""
    pools: list[tuple[float, int]] = []
    for value in values.tolist():
        pools.append((value, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, n), (b, m) = pools[-2:]
            pools[-2:] = [((a * n + b * m) / (n + m), n + m)]
    return np.repeat([mean for mean, _ in pools], [count for _, count in pools])


def place_beside(
    anchors: Array, sizes: Array, bounds: Sequence[float], blocked: Array, soft: Array
) -> Array | None:
    """Return the centres N×2 of labels of `sizes` N×2 beside `anchors` N×2, or None if they don't fit.

    Labels lie within `bounds` (left, bottom, right, top), and overlap neither each other nor the boxes
    `blocked` M×4. They avoid the points `soft` K×2, which lie on lines, where they can.
    """
    candidates = [_list_candidates(a, s) for a, s in zip(anchors, sizes, strict=True)]
    usable, costs, ends = [], [], []
    for anchor, boxes in zip(anchors, candidates, strict=True):
        inside = (boxes[:, :2] >= bounds[:2]).all(1) & (boxes[:, 2:] <= bounds[2:]).all(1)
        usable.append(inside & ~_overlaps(boxes, blocked).any(1))
        ends.append(np.clip(anchor, boxes[:, :2], boxes[:, 2:]))
        # what the anchor itself lies in, such as its own marker, is in nobody's way
        others = blocked[~_contains(blocked, anchor[None]).any(1)]
        costs.append(
            np.repeat(GAPS, len(SIDES))
            + 0.05 * np.tile(np.arange(len(SIDES)), len(GAPS))
            + 6.0 * np.minimum(_contains(boxes, soft).sum(1), 6)
            + 60.0 * _passes_through(anchor, ends[-1], others)
            # a label right beside another point would be read as that one's
            + 15.0 * np.minimum(_overlaps(boxes + CLOSE, others).sum(1), 2)
        )
    # points with many neighbours have the least choice
    near = np.hypot(*(anchors[:, None] - anchors[None]).transpose(2, 0, 1))
    order = np.argsort(np.sort(near, axis=1)[:, 1 : min(4, len(anchors))].sum(1), kind="stable")
    chosen: dict[int, int] = {}
    for _ in range(4):
        for n in order.tolist():
            placed = [m for m in chosen if m != n]
            boxes = np.array([candidates[m][chosen[m]] for m in placed]).reshape(-1, 4)
            leaders = np.array([[anchors[m], ends[m][chosen[m]]] for m in placed]).reshape(-1, 2, 2)
            free = usable[n] & ~_overlaps(candidates[n], boxes).any(1)
            if not free.any():
                return None
            cost = (
                costs[n]
                + 60.0 * _passes_through(anchors[n], ends[n], boxes)
                + 60.0 * _hit_by(candidates[n], leaders)
                + 30.0 * _crosses(anchors[n], ends[n], leaders)
            )
            chosen[n] = int(np.argmin(np.where(free, cost, np.inf)))
    boxes = np.array([candidates[n][chosen[n]] for n in range(len(anchors))]).reshape(-1, 4)
    return np.asarray((boxes[:, :2] + boxes[:, 2:]) / 2)


def find_leader(anchor: Array, centre: Array, size: Array) -> Array | None:
    """Return the end of the line from a point to its label, on the label's edge; None for a label beside it."""
    end = np.clip(anchor, centre - size / 2, centre + size / 2)
    return np.asarray(end) if np.hypot(*(end - anchor)) > LEADER else None


def _list_candidates(anchor: Array, size: Array) -> Array:
    gaps = np.repeat(np.asarray(GAPS, dtype=float), len(SIDES))[:, None]
    centres = anchor + np.tile(SIDES, (len(GAPS), 1)) * (size / 2 + gaps)
    return np.hstack([centres - size / 2, centres + size / 2])


def _overlaps(boxes: Array, others: Array) -> NDArray[np.bool_]:
    """Return which of the boxes N×4 overlap which of the others M×4, N×M."""
    a, b = boxes[:, None], others.reshape(-1, 4)[None]
    return np.asarray((a[..., :2] < b[..., 2:]).all(-1) & (b[..., :2] < a[..., 2:]).all(-1))


def _contains(boxes: Array, points: Array) -> NDArray[np.bool_]:
    a, p = boxes[:, None], points.reshape(-1, 2)[None]
    return np.asarray((a[..., :2] <= p).all(-1) & (p <= a[..., 2:]).all(-1))


def _passes_through(anchor: Array, ends: Array, boxes: Array) -> NDArray[np.bool_]:
    """Return which lines from the anchor to the ends C×2 pass through one of the boxes."""
    if not len(boxes):
        return np.zeros(len(ends), dtype=bool)
    along = anchor + np.linspace(0.0, 1.0, 15)[None, :, None] * (ends - anchor)[:, None]
    return np.asarray(_contains(boxes, along.reshape(-1, 2)).any(0).reshape(len(ends), -1).any(1))


def _hit_by(boxes: Array, leaders: Array) -> NDArray[np.bool_]:
    """Return through which of the boxes one of the leaders K×2×2 passes."""
    along = leaders[:, :1] + np.linspace(0.0, 1.0, 15)[None, :, None] * (leaders[:, 1:] - leaders[:, :1])
    return np.asarray(_contains(boxes, along.reshape(-1, 2)).any(1))


def _crosses(anchor: Array, ends: Array, leaders: Array) -> NDArray[np.bool_]:
    """Return which lines from the anchor to the ends C×2 cross one of the leaders K×2×2."""

    def side(a: Array, b: Array, c: Array) -> Array:
        return np.asarray(
            (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1])
            - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])
        )

    end, start, stop = ends[:, None], leaders[None, :, 0], leaders[None, :, 1]
    apart = side(anchor, end, start) * side(anchor, end, stop) < 0
    return np.asarray((apart & (side(start, stop, anchor) * side(start, stop, end) < 0)).any(1))
