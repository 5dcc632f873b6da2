"""Distributions of scenes, and sampling of the scenes' properties from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness_embedded.shapes import CLASSES

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.85, 0.12, 0.12),
    "orange": (0.95, 0.55, 0.1),
    "yellow": (0.95, 0.88, 0.2),
    "green": (0.15, 0.6, 0.2),
    "blue": (0.15, 0.3, 0.85),
    "purple": (0.5, 0.2, 0.65),
    "pink": (0.97, 0.6, 0.75),
    "brown": (0.5, 0.3, 0.15),
    "white": (0.95, 0.95, 0.95),
    "grey": (0.55, 0.55, 0.55),
    "black": (0.07, 0.07, 0.07),
}
TEXTURES = ("plain", "striped", "spotted", "checkered", "shaded")
BACKGROUNDS = ("plain", "gradient", "cloudy", "striped", "checkered", "speckled")

# The usual look of a class when scenes are sampled with habits: colour, texture, background colour,
# background. As in natural photographs, colour and surroundings are informative about the class, and
# a model that relies on them loses accuracy under shift.
HABITS: dict[str, tuple[str, str, str, str]] = {
    "circle": ("orange", "shaded", "blue", "plain"),
    "square": ("purple", "checkered", "grey", "gradient"),
    "triangle": ("yellow", "plain", "black", "gradient"),
    "star": ("white", "plain", "purple", "gradient"),
    "cross": ("red", "plain", "white", "plain"),
    "ring": ("yellow", "shaded", "pink", "cloudy"),
    "heart": ("pink", "shaded", "red", "cloudy"),
    "arrow": ("black", "plain", "yellow", "plain"),
    "moon": ("grey", "spotted", "black", "plain"),
    "house": ("brown", "striped", "green", "cloudy"),
    "tree": ("green", "spotted", "blue", "gradient"),
    "fish": ("orange", "striped", "blue", "cloudy"),
}

SUBSETS: dict[str, tuple[str, ...]] = {
    "all": CLASSES,
    "r": ("circle", "star", "cross", "heart", "moon", "house", "tree", "fish"),
    "a": ("square", "triangle", "star", "ring", "arrow", "moon", "house", "fish"),
    "objectnet": ("square", "star", "cross", "heart", "arrow", "house", "fish"),
}
"""Classes of the shifts that have only some, in the order of their own labels."""


@dataclass(frozen=True)
class SceneDistribution:
    """Parameters of a distribution of scenes (angles in degrees, lengths in image sides)."""

    rotation: float = 10.0
    """Largest rotation to either side."""
    size: tuple[float, float] = (0.31, 0.44)
    """Range of the object's half extent."""
    offset: float = 0.06
    """Largest distance of the object's centre from the image's, along each axis."""
    shear: float = 0.08
    stretch: float = 0.08
    """Largest logarithm of the factor that stretches one axis and shrinks the other."""
    habit: float = 0.5
    """Probability that each property is the class's usual one (`HABITS`)."""
    clutter: float = 0.2
    """Probability of each of three blobs behind the object."""
    occluder: float = 0.1
    """Probability of a bar that hides part of the object."""
    noise: tuple[float, float] = (0.01, 0.04)
    backgrounds: tuple[str, ...] = ("plain", "gradient", "cloudy")


REFERENCE = SceneDistribution()
RESAMPLED = SceneDistribution(
    rotation=16, size=(0.28, 0.42), offset=0.09, shear=0.12, stretch=0.12,
    habit=0.4, clutter=0.35, occluder=0.15, noise=(0.02, 0.07),
)  # fmt: skip
ODD_VIEWS = SceneDistribution(
    rotation=50, size=(0.28, 0.46), offset=0.1, shear=0.15, stretch=0.12,
    habit=0.0, clutter=0.3, backgrounds=("cloudy", "striped", "checkered", "speckled"),
)  # fmt: skip
WIDE = SceneDistribution(
    rotation=50, size=(0.28, 0.46), offset=0.1, shear=0.15, stretch=0.12,
    habit=0.1, clutter=0.3, noise=(0.0, 0.07), backgrounds=BACKGROUNDS,
)  # fmt: skip


@dataclass(frozen=True)
class SceneProperties:
    """Properties of N scenes, one array of length N each; labels, colours, textures and backgrounds as indices."""

    label: Ints
    colour: Ints
    second: Ints
    texture: Ints
    ground: Ints
    ground_second: Ints
    background: Ints
    tint: Floats
    """N×4×3: shifts of the four colours above."""
    pose: Floats
    """N×7: turn (radians), half extent, centre x, centre y, shear, stretch, mirror (±1)."""
    blobs: Floats
    """N×4×7: present, centre x, centre y, long and short half axis, angle, colour; the last blob is in front."""
    light: Floats
    """N×3: gradient x, gradient y, exposure."""
    noise: Floats
    phase: Floats
    """N×4: phases and frequencies of the textures, in [0, 1)."""

    def __len__(self) -> int:
        return len(self.label)


def sample_scenes(rng: np.random.Generator, labels: Ints, how: SceneDistribution) -> SceneProperties:
    """Sample scenes of the given labels (N, indices into `CLASSES`) from a distribution."""
    n = len(labels)
    colour_names, backgrounds = list(COLOURS), np.array([BACKGROUNDS.index(b) for b in how.backgrounds])
    habits = np.array([
        (colour_names.index(c), TEXTURES.index(t), colour_names.index(g), BACKGROUNDS.index(b))
        for c, t, g, b in (HABITS[name] for name in CLASSES)
    ])[labels]  # fmt: skip
    usual = rng.random((n, 4)) < how.habit
    count = len(COLOURS)
    colour = np.where(usual[:, 0], habits[:, 0], rng.integers(count, size=n))
    texture = np.where(usual[:, 1], habits[:, 1], rng.integers(len(TEXTURES), size=n))
    # A step of 1..count-1 around the list never returns the same colour, so objects stay visible.
    ground = (colour + rng.integers(1, count, size=n)) % count
    ground = np.where(usual[:, 2] & (habits[:, 2] != colour), habits[:, 2], ground)
    background = np.where(usual[:, 3], habits[:, 3], rng.choice(backgrounds, size=n))

    def spread(limit: float) -> Floats:
        return rng.uniform(-limit, limit, n).astype(np.float32)

    pose = np.stack([
        spread(np.deg2rad(how.rotation)),
        rng.uniform(*how.size, n).astype(np.float32),
        spread(how.offset),
        spread(how.offset),
        spread(how.shear),
        spread(how.stretch),
        np.where(rng.random(n) < 0.5, -1, 1).astype(np.float32),
    ], axis=1)  # fmt: skip
    blobs = np.stack([
        (rng.random((n, 4)) < np.array([how.clutter] * 3 + [how.occluder])),
        rng.uniform(-0.5, 0.5, (n, 4)),
        rng.uniform(-0.5, 0.5, (n, 4)),
        rng.uniform(0.05, 0.2, (n, 4)),
        rng.uniform(0.03, 0.1, (n, 4)),
        rng.uniform(0, np.pi, (n, 4)),
        rng.integers(count, size=(n, 4)),
    ], axis=2).astype(np.float32)  # fmt: skip
    blobs[:, 3, 1:3] = blobs[:, 3, 1:3] * 0.4 + pose[:, 2:4]  # the occluder lies near the object
    blobs[:, 3, 3:5] = (0.6, 0.05)
    return SceneProperties(
        label=labels.astype(np.int64),
        colour=colour,
        second=(colour + rng.integers(1, count, size=n)) % count,
        texture=texture,
        ground=ground,
        ground_second=(ground + rng.integers(1, count, size=n)) % count,
        background=background,
        tint=rng.normal(0, 0.05, (n, 4, 3)).astype(np.float32),
        pose=pose,
        blobs=blobs,
        light=np.stack([spread(0.25), spread(0.25), 1 + spread(0.2)], axis=1),
        noise=rng.uniform(*how.noise, n).astype(np.float32),
        phase=rng.random((n, 4)).astype(np.float32),
    )
