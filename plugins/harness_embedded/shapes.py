"""The outlines of the twelve object classes of the scenes, as signed distances."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

CLASSES = (
    "circle", "square", "triangle", "star", "cross", "ring",
    "heart", "arrow", "moon", "house", "tree", "fish",
)  # fmt: skip
"""Names of the objects; positions are indices into the label space `scenes`."""


def _disc(x: Array, y: Array, cx: float, cy: float, radius: float) -> Array:
    outside: Array = np.hypot(x - cx, y - cy) - np.float32(radius)
    return outside


def _polygon(x: Array, y: Array, corners: Sequence[tuple[float, float]]) -> Array:
    """Return the exact signed distance to a simple polygon: nearest edge, sign by crossing number."""
    squared = np.full(x.shape, np.inf, np.float32)
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(corners, [*corners[1:], corners[0]], strict=True):
        ex, ey = bx - ax, by - ay
        px, py = x - np.float32(ax), y - np.float32(ay)
        along = np.clip((px * np.float32(ex) + py * np.float32(ey)) / np.float32(ex * ex + ey * ey), 0, 1)
        dx, dy = px - along * np.float32(ex), py - along * np.float32(ey)
        np.minimum(squared, dx * dx + dy * dy, out=squared)
        if ey != 0:
            crosses = (y >= min(ay, by)) & (y < max(ay, by))
            inside ^= crosses & (px < py * np.float32(ex / ey))
    return np.where(inside, -1, 1).astype(np.float32) * np.sqrt(squared)


def _star_corners() -> list[tuple[float, float]]:
    angles = np.pi / 2 + np.arange(10) * np.pi / 5
    radii = np.where(np.arange(10) % 2 == 0, 0.98, 0.42)
    return [(float(r * np.cos(a)), float(r * np.sin(a))) for r, a in zip(radii, angles, strict=True)]


def _heart_corners() -> list[tuple[float, float]]:
    t = np.linspace(0, 2 * np.pi, 22, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return [(float(a / 18), float((b + 2) / 18)) for a, b in zip(x, y, strict=True)]


_A, _B = 0.86, 0.3
_CORNERS: dict[str, list[tuple[float, float]]] = {
    "square": [(-0.74, -0.74), (0.74, -0.74), (0.74, 0.74), (-0.74, 0.74)],
    "triangle": [(-0.88, -0.68), (0.88, -0.68), (0.0, 0.9)],
    "star": _star_corners(),
    "cross": [
        (-_B, -_A), (_B, -_A), (_B, -_B), (_A, -_B), (_A, _B), (_B, _B),
        (_B, _A), (-_B, _A), (-_B, _B), (-_A, _B), (-_A, -_B), (-_B, -_B),
    ],
    "heart": _heart_corners(),
    "arrow": [(-0.92, -0.22), (0.1, -0.22), (0.1, -0.66), (0.94, 0.0), (0.1, 0.66), (0.1, 0.22), (-0.92, 0.22)],
    "house": [
        (-0.66, -0.82), (-0.2, -0.82), (-0.2, -0.2), (0.2, -0.2), (0.2, -0.82),
        (0.66, -0.82), (0.66, 0.1), (0.9, 0.1), (0.0, 0.92), (-0.9, 0.1), (-0.66, 0.1),
    ],
    "tree": [
        (-0.16, -0.95), (0.16, -0.95), (0.16, -0.5), (0.76, -0.5), (0.34, 0.0),
        (0.58, 0.0), (0.0, 0.96), (-0.58, 0.0), (-0.34, 0.0), (-0.76, -0.5), (-0.16, -0.5),
    ],
}  # fmt: skip


def _ring(x: Array, y: Array) -> Array:
    return np.abs(np.hypot(x, y) - np.float32(0.64)) - np.float32(0.22)


def _moon(x: Array, y: Array) -> Array:
    return np.maximum(_disc(x, y, -0.1, 0, 0.86), -_disc(x, y, 0.36, 0.14, 0.72))


def _fish(x: Array, y: Array) -> Array:
    body = (np.hypot((x - np.float32(0.2)) / np.float32(0.7), y / np.float32(0.46)) - 1) * np.float32(0.46)
    tail = _polygon(x, y, [(-0.3, 0.0), (-0.95, 0.55), (-0.78, 0.0), (-0.95, -0.55)])
    outline: Array = np.minimum(body, tail)
    return outline


_CURVED: dict[str, Callable[[Array, Array], Array]] = {
    "circle": lambda x, y: _disc(x, y, 0, 0, 0.84),
    "ring": _ring,
    "moon": _moon,
    "fish": _fish,
}


def shape_distance(name: str, x: Array, y: Array) -> Array:
    """Return the signed distance to the outline of an object, negative inside.

    `x`, `y` are float32 arrays of equal shape in the object's own frame, whose unit is the object's
    half extent; y points up. The result has their shape and unit.
    """
    curved = _CURVED.get(name)
    return curved(x, y) if curved is not None else _polygon(x, y, _CORNERS[name])
