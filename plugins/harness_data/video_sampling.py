"""Which frames of a video are shown: rules that depend on time, so that a variable rate doesn't shift them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Literal

Sampling = Literal["uniform", "fps", "head"]

SAMPLINGS: dict[str, str] = {
    "uniform": "the middles of {frames} equal parts",
    "fps": "{fps:g} a second, and of these {frames}, evenly spaced with both ends, if there are more",
    "head": "{fps:g} a second, and of these the first {frames}",
}
"""The ways of sampling and their wording. CLIP4Clip (Luo et al. 2021) takes one frame a second and, of more than 12,
either 12 evenly spaced ones (`fps`) or the first (`head`)."""

CLOSE = 1e-6
"""Seconds by which a frame may come after the time that is asked for, since times are rounded."""


def choose_frames(
    times: Sequence[float], duration: float, sampling: Sampling, frames: int, fps: float
) -> list[int]:
    """Return the positions of the frames to show, each once, in order: those that are seen at the times asked for.

    `times` are those of all frames, in seconds from the first, increasing; `duration` is where the last one ends.

    >>> choose_frames([0, 0.5, 1, 1.5], 2, "uniform", 2, 1)
    [1, 3]
    >>> choose_frames([0, 0.5, 1, 1.5], 2, "fps", 12, 1)
    [0, 2]
    """
    if sampling == "uniform":
        asked = [(2 * n + 1) * duration / (2 * frames) for n in range(frames)]
    else:
        count = max(1, math.ceil(duration * fps - CLOSE))
        asked = [n / fps for n in range(count)]
        asked = asked[:frames] if sampling == "head" else [asked[n] for n in space_with_ends(count, frames)]
    return list(dict.fromkeys(max(0, bisect_right(times, time + CLOSE) - 1) for time in asked))


def choose_pictures(count: int, sampling: Sampling, frames: int) -> list[int]:
    """Return the positions of the pictures to show of a folder of `count`, which is taken as sampled already.

    >>> choose_pictures(6, "uniform", 2), choose_pictures(6, "fps", 2), choose_pictures(6, "head", 2)
    ([1, 4], [0, 5], [0, 1])
    """
    from harness_data.media_rows import space_evenly

    if sampling == "head":
        return list(range(min(count, frames)))
    return space_evenly(count, frames) if sampling == "uniform" else space_with_ends(count, frames)


def space_with_ends(count: int, most: int) -> list[int]:
    """Return at most `most` of the positions 0 … count − 1, evenly spaced with both ends, rounded down.

    >>> space_with_ends(10, 4), space_with_ends(3, 4), space_with_ends(3, 1)
    ([0, 3, 6, 9], [0, 1, 2], [0])
    """
    if count <= most:
        return list(range(count))
    return [0] if most == 1 else [n * (count - 1) // (most - 1) for n in range(most)]
