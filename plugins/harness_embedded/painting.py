"""Paint sampled scenes as layers and plain photographs, many at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness_embedded.sampling import BACKGROUNDS, COLOURS, TEXTURES, SceneProperties
from harness_embedded.shapes import CLASSES, shape_distance

Array = NDArray[np.float32]

SIDE = 32
"""Height and width of every image in pixels."""


@dataclass(frozen=True)
class Layers:
    """The layers of N scenes that styles draw on; images are float32 in [0, 1], H = W = `SIDE`."""

    inside: Array
    """N×H×W: share of each pixel that the object covers."""
    distance: Array
    """N×H×W: distance to the object's outline in pixels, negative inside."""
    photo: Array
    """N×H×W×3: the scene as a photograph, without sensor noise."""
    noise: Array
    """N: standard deviation of the sensor noise."""


def _per_pixel(values: Array) -> Array:
    return values[:, None, None].astype(np.float32)


def draw_soft_noise(rng: np.random.Generator, n: int, cells: int) -> Array:
    """Return smooth random fields N×H×W in about [-1, 1], with `cells` bumps along a side."""
    coarse = rng.uniform(-1, 1, (n, cells + 1, cells + 1)).astype(np.float32)
    at = np.linspace(0, cells, SIDE, endpoint=False, dtype=np.float32)
    low = at.astype(int)
    part = at - low
    part = part * part * (3 - 2 * part)
    weights = np.zeros((SIDE, cells + 1), np.float32)
    weights[np.arange(SIDE), low] = 1 - part
    weights[np.arange(SIDE), low + 1] += part
    noise: Array = np.einsum("hi,nij,wj->nhw", weights, coarse, weights, optimize=True)
    return noise


def _to_object_frame(scenes: SceneProperties, x: Array, y: Array) -> tuple[Array, Array]:
    """Transform image coordinates (side 1, centre 0, y up) to each object's own frame: u and v, N×H×W each."""
    turn, extent, cx, cy, shear, stretch, mirror = (_per_pixel(scenes.pose[:, i]) for i in range(7))
    dx, dy = (x - cx) / extent, (y - cy) / extent
    u = (np.cos(turn) * dx + np.sin(turn) * dy) * mirror
    v = -np.sin(turn) * dx + np.cos(turn) * dy
    return (u - shear * v) * np.exp(stretch), v * np.exp(-stretch)


def _draw_pattern(kind: str, u: Array, v: Array, phase: Array) -> Array:
    """Return how much of a texture's second colour each point shows, N×H×W in [0, 1]."""
    a, b, c = (_per_pixel(phase[:, i]) for i in range(3))
    frequency = 1.3 + 1.2 * c
    if kind == "plain":
        return np.zeros_like(u)
    if kind == "shaded" or kind == "gradient":
        shade: Array = np.clip(0.5 + 0.45 * (np.cos(6.28 * a) * u + np.sin(6.28 * a) * v), 0, 1) * np.float32(
            0.8
        )
        return shade
    if kind == "striped":
        wave = np.sin(2 * np.pi * (frequency * (np.cos(3.14 * a) * u + np.sin(3.14 * a) * v) + b))
    elif kind == "checkered":
        wave = np.sin(np.pi * (frequency * u * 1.3 + a)) * np.sin(np.pi * (frequency * v * 1.3 + b))
    else:
        wave = np.cos(2 * np.pi * (frequency * u + a)) + np.cos(2 * np.pi * (frequency * v + b)) - 0.9
    shown: Array = np.clip(wave * 3 + 0.5, 0, 1)
    return shown


def _draw_textures(
    kinds: NDArray[np.int64], names: tuple[str, ...], u: Array, v: Array, phase: Array
) -> Array:
    shown = np.zeros_like(u)
    for index, name in enumerate(names):
        rows = np.flatnonzero(kinds == index)
        if len(rows):
            shown[rows] = _draw_pattern(name, u[rows], v[rows], phase[rows])
    return shown


def _mix(first: Array, second: Array, amount: Array) -> Array:
    """Blend two colours (N×3 each, or images N×H×W×3) by an amount N×H×W; return N×H×W×3."""
    if first.ndim == 2:
        first = first[:, None, None]
    if second.ndim == 2:
        second = second[:, None, None]
    return first + (second - first) * amount[..., None]


def _draw_backdrop(
    scenes: SceneProperties, rng: np.random.Generator, x: Array, y: Array, ground: Array, other: Array
) -> Array:
    n = len(scenes)
    amount = _draw_textures(scenes.background, BACKGROUNDS, x * 3, y * 3, scenes.phase)
    cloudy = np.flatnonzero(scenes.background == BACKGROUNDS.index("cloudy"))
    speckled = np.flatnonzero(scenes.background == BACKGROUNDS.index("speckled"))
    amount[cloudy] = np.clip(draw_soft_noise(rng, n, 5)[cloudy] * 0.7 + 0.3, 0, 1) * 0.7
    amount[speckled] = (rng.random((n, SIDE, SIDE), dtype=np.float32)[speckled] < 0.25) * np.float32(0.8)
    # Only patterned backgrounds show the second colour in full; the others keep one hue.
    bold = (scenes.background == BACKGROUNDS.index("striped")) | (
        scenes.background == BACKGROUNDS.index("checkered")
    )
    second = np.where(bold[:, None], other, ground * 0.7 + 0.1)
    return _mix(ground, second.astype(np.float32), amount)


def _cover_blob(blobs: Array, x: Array, y: Array) -> Array:
    """Return the share of each pixel N×H×W that an ellipse (N×7, as in `SceneProperties.blobs`) covers."""
    cx, cy, long, short, angle = (_per_pixel(blobs[:, k]) for k in range(1, 6))
    dx, dy = x - cx, y - cy
    along, across = np.cos(angle) * dx + np.sin(angle) * dy, np.cos(angle) * dy - np.sin(angle) * dx
    covered: Array = np.clip(0.5 - (np.hypot(along / long, across / short) - 1) * short * SIDE, 0, 1)
    return covered


def paint(scenes: SceneProperties, rng: np.random.Generator) -> Layers:
    """Return the layers of N scenes; `rng` draws the grain of the backgrounds."""
    n = len(scenes)
    half = np.float32(0.5)
    at: Array = (np.arange(SIDE, dtype=np.float32) + half) / np.float32(SIDE) - half
    x = np.broadcast_to(at[None, None, :], (n, SIDE, SIDE))
    y = np.broadcast_to(-at[None, :, None], (n, SIDE, SIDE))
    u, v = _to_object_frame(scenes, x, y)
    away = np.empty_like(u)
    for label in np.unique(scenes.label):
        rows = np.flatnonzero(scenes.label == label)
        away[rows] = shape_distance(CLASSES[label], u[rows], v[rows])
    away *= _per_pixel(scenes.pose[:, 1]) * SIDE
    inside = np.clip(0.5 - away, 0, 1)

    palette = np.array(list(COLOURS.values()), np.float32)
    names = (scenes.colour, scenes.second, scenes.ground, scenes.ground_second)
    colour, second, ground, other = (
        np.clip(palette[k] + scenes.tint[:, i], 0, 1) for i, k in enumerate(names)
    )
    # Surroundings are duller and mostly darker than the object, as in a photograph with a subject.
    ground, other = ground * 0.42 + 0.03, other * 0.42 + 0.03
    # A texture's second colour is a lighter or darker relative of the first, which captions name.
    relative = colour * 0.7 + 0.25 * (colour.mean(axis=1, keepdims=True) < 0.5)
    second = np.where(
        (scenes.texture == TEXTURES.index("checkered"))[:, None], second * 0.3 + relative * 0.7, relative
    )
    body = _mix(
        colour, second.astype(np.float32), _draw_textures(scenes.texture, TEXTURES, u, v, scenes.phase)
    )

    image = _draw_backdrop(scenes, rng, x, y, ground, other)
    for i in range(4):
        if i == 3:
            image = _mix(image, body, inside)
        rows = np.flatnonzero(scenes.blobs[:, i, 0])
        if len(rows):
            tone = palette[scenes.blobs[rows, i, 6].astype(int)] * np.float32(0.8) + np.float32(0.08)
            image[rows] = _mix(image[rows], tone, _cover_blob(scenes.blobs[rows, i], x[rows], y[rows]))
    gx, gy, exposure = (_per_pixel(scenes.light[:, k]) for k in range(3))
    image *= (exposure + gx * x + gy * y)[..., None]
    return Layers(inside, away, np.clip(image, 0, 1), scenes.noise)


def painting_to_bytes(images: Array) -> NDArray[np.uint8]:
    """Convert images in [0, 1] to uint8, rounded to the nearest level."""
    return (np.clip(images, 0, 1) * 255 + 0.5).astype(np.uint8)
