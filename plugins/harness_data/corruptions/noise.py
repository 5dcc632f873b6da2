"""Noise corruptions: Gaussian, shot, impulse and speckle, each on intensities in [0, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Unit = NDArray[np.floating[Any]]


def gaussian_noise(image: Image, rng: np.random.Generator, deviation: float) -> Unit:
    """Add N(0, `deviation`²) to every value."""
    return image / 255 + rng.normal(scale=deviation, size=image.shape)


def shot_noise(image: Image, rng: np.random.Generator, photons: float) -> Unit:
    """Draw Poisson counts with mean `photons` at intensity 1: variance = intensity / photons."""
    return rng.poisson(image / 255 * photons) / photons


def impulse_noise(image: Image, rng: np.random.Generator, share: float) -> Unit:
    """Set a `share` of the values, channel by channel, to 0 or 1 with equal probability."""
    u = rng.random(image.shape)
    noisy = image / 255
    noisy[u < share] = 1.0
    noisy[u < share / 2] = 0.0
    return noisy


def speckle_noise(image: Image, rng: np.random.Generator, deviation: float) -> Unit:
    """Multiply every value by 1 + N(0, `deviation`²)."""
    x = image / 255
    return x + x * rng.normal(scale=deviation, size=image.shape)
