"""Decodes chosen frames of a video, and none in place of one that can't be decoded."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import DataError
from harness_data.video_facts import VideoFacts, explain_video_error

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class FramePlan:
    """The frames to show of a video: positions in the order of times, times in seconds from the first frame.

    `stamps` are their times in ticks, and `starts` where decoding begins for each; empty for files that store no times.
    """

    positions: tuple[int, ...]
    times: tuple[float, ...]
    stamps: tuple[int, ...] = ()
    starts: tuple[int, ...] = ()


def plan_frames(facts: VideoFacts, positions: Sequence[int]) -> FramePlan:
    """Return the plan to show the frames at some positions, which increase."""
    times = tuple(facts.times[n] for n in positions)
    if facts.stamps is None:
        return FramePlan(tuple(positions), times)
    stamps = tuple(facts.stamps[n] for n in positions)
    starts = tuple(
        facts.keys[max(0, bisect_right(facts.keys, stamp) - 1)] if facts.keys else facts.stamps[0]
        for stamp in stamps
    )
    return FramePlan(tuple(positions), times, stamps, starts)


def read_frames(path: Path, plan: FramePlan) -> list[NDArray[np.uint8]]:
    """Return the frames of a plan, H×W×3 each, turned as the file says.

    Raises DataError, naming file and time, for a frame that can't be decoded whole.
    """
    import av

    try:
        with av.open(str(path)) as container:
            stream = _enter(container)
            if plan.stamps:
                found = [_to_pixels(frame) for frame in _find_stamps(container, stream, plan, plan.starts)]
            else:
                found = [_to_pixels(frame) for frame in _find_positions(container, stream, plan)]
        if len(found) < len(plan.stamps):  # some formats can't be entered exactly: decode from the beginning
            with av.open(str(path)) as container:
                stream = _enter(container)
                found = [_to_pixels(frame) for frame in _find_stamps(container, stream, plan)]
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise DataError(f"{path}: can't be decoded ({explain_video_error(error)})") from None
    if len(found) < len(plan.positions):
        raise DataError(f"{path}: its frame at {plan.times[len(found)]:.2f} s can't be decoded")
    return found


def _enter(container: Any) -> Any:
    """Return the stream of pictures, whose decoder is to raise errors instead of concealing them.

    With several threads, the one of H.264 conceals them all the same. Some, such as that of VP9, notice few.
    """
    stream = container.streams.video[0]
    stream.codec_context.options = {"err_detect": "explode", "threads": "1"}
    return stream


def _find_stamps(container: Any, stream: Any, plan: FramePlan, starts: Sequence[int] = ()) -> Iterator[Any]:
    """Yield the whole frames at the plan's stamps, entering at `starts`; end at the first that isn't found."""
    shown, frames = None, container.decode(stream)
    for number, stamp in enumerate(plan.stamps):
        if starts and (shown is None or starts[number] > shown):
            container.seek(starts[number], stream=stream)
            frames = container.decode(stream)
        frame = next((f for f in frames if f.is_corrupt or (f.pts is not None and f.pts >= stamp)), None)
        if frame is None or frame.pts != stamp or frame.is_corrupt:
            return
        shown = stamp
        yield frame


def _find_positions(container: Any, stream: Any, plan: FramePlan) -> Iterator[Any]:
    wanted = iter(plan.positions)
    position = next(wanted)
    for number, frame in enumerate(container.decode(stream)):
        if number == position:
            if frame.is_corrupt:
                return
            yield frame
            position = next(wanted, -1)
            if position < 0:
                return


def _to_pixels(frame: Any) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90) % 4))
