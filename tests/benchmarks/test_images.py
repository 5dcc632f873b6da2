"""The fast image mode against the exact one on JPEG files of 500×375."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.contract.data import EncodedImage
from harness.contract.models import Preparation
from harness.inference.images import decode, exact_prepare, fast_prepare


def photograph(seed: int) -> EncodedImage:
    """A JPEG of smooth structure with some noise, about as large on disk as a photograph."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, size=(24, 32, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC)).astype(np.int16)
    pixels += rng.integers(-12, 13, size=pixels.shape, dtype=np.int16)
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return EncodedImage(buffer.getvalue(), f"photograph-{seed}.jpg")


@pytest.mark.usefixtures("one_thread")
def test_fast_mode(benchmark: Any, measuring: bool, ratio: Callable[..., float]) -> None:
    preparation = Preparation(256, 224, "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    exact, fast = exact_prepare(preparation), fast_prepare(preparation)
    images = [photograph(n) for n in range(40 if measuring else 4)]
    std = np.array(preparation.std).reshape(3, 1, 1)
    for image in images[:4]:
        levels = np.abs((exact(decode(image)) - fast(image)).numpy()) * std * 255
        assert levels.max() <= 1.01
    benchmark(lambda: [fast(i) for i in images])
    if measuring:
        times = ratio(lambda: [exact(decode(i)) for i in images], lambda: [fast(i) for i in images], 9)
        benchmark.extra_info["times as fast as exact"] = times
        assert times >= 2
