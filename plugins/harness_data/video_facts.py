"""The times of a video's frames, from its packets alone: nothing is decoded."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness import DataError

VIDEO_SUFFIXES = frozenset(
    (
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".webm",
        ".avi",
        ".mpg",
        ".mpeg",
        ".wmv",
        ".flv",
        ".3gp",
        ".ts",
        ".ogv",
        ".gif",
    )
)
"""Lower-case suffixes of videos."""

STEADY = 0.1
"""Frames whose distances differ by at most this share of the median (or by a tick) have a constant rate."""

MISSING_SECONDS = 1.0
MISSING_SHARE = 0.1
"""A video that ends so long, and by such a share, before the length it states has lost its end."""


@dataclass(frozen=True)
class VideoFacts:
    """The frames of a video in the order of their times.

    `stamps` are their times in ticks, None for files that may not store them, whose frames are counted; `times` and
    `duration` are in seconds from the first frame; `keys` are the stamps of frames at which decoding can begin.
    """

    stamps: tuple[int, ...] | None
    times: tuple[float, ...]
    duration: float
    keys: tuple[int, ...] = ()
    variable: bool = False
    shortened: bool = False
    """Whether it ends before the length that it states."""


@dataclass
class _Packets:
    """What the packets of a stream tell: stamps in ticks of `tick` seconds, and how many have none."""

    tick: float = 0.0
    rate: float | None = None
    indexed: int = 0
    """The number of frames that the file's index states; 0 without one."""
    stated: float = 0.0
    """The length in seconds that the file states; 0 if it doesn't."""
    reorders: bool = False
    """Whether frames may be stored in another order than they are shown."""
    count: int = 0
    untimed: int = 0
    stamps: set[int] = field(default_factory=set)
    keys: set[int] = field(default_factory=set)
    latest: int = 0
    last_gap: int = 0
    in_order: bool = True

    def add(self, packet: Any) -> None:
        """Take a packet into account."""
        self.count += 1
        if packet.is_discard:  # before the first frame that an edit list shows
            return
        if packet.pts is None:
            self.untimed += 1
            return
        if not self.stamps or packet.pts > self.latest:
            self.latest, self.last_gap = packet.pts, packet.duration or 0
        else:
            self.in_order = False
        self.stamps.add(packet.pts)
        if packet.is_keyframe:
            self.keys.add(packet.pts)


def read_video_facts(path: Path) -> VideoFacts:
    """Read the packets of a video's first stream of pictures.

    Raises DataError, naming the file, if it can't be read, shows nothing, or has fewer frames than its index says.
    """
    found = _read_packets(path)
    if found.indexed and found.count < found.indexed:
        raise DataError(
            f"{path}: is cut short: {found.count} of {found.indexed} frames are there; fetch it again"
        )
    if not found.stamps and not found.untimed:
        raise DataError(f"{path}: holds no frame")
    if found.untimed or not found.tick:
        return _count_frames(path, found.untimed + len(found.stamps), found.rate)
    ordered = sorted(found.stamps)
    gaps = [b - a for a, b in pairwise(ordered)]
    usual = statistics.median(gaps) if gaps else 0
    alone = round(1 / (found.rate * found.tick)) if found.rate else 0
    duration = (ordered[-1] + (found.last_gap or usual or alone) - ordered[0]) * found.tick
    missing = found.stated - duration
    # frames that are shown in another order than they are stored, with times in that of storage: AVI keeps no others
    misleading = found.reorders and found.in_order and len(ordered) > 1
    return VideoFacts(
        None if misleading else tuple(ordered),
        tuple((stamp - ordered[0]) * found.tick for stamp in ordered),
        duration,
        tuple(sorted(found.keys)),
        bool(gaps) and max(gaps) - min(gaps) > max(1, STEADY * usual),
        missing > max(MISSING_SECONDS, MISSING_SHARE * found.stated),
    )


def _read_packets(path: Path) -> _Packets:
    import av

    found = _Packets()
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                kinds = ", ".join(stream.type for stream in container.streams)
                raise DataError(f"{path}: holds no pictures, only: {kinds}")
            stream = container.streams.video[0]
            for packet in container.demux(stream):
                if packet.size:  # the last one is empty
                    found.add(packet)
            found.tick, found.indexed = float(stream.time_base or 0), stream.frames
            found.rate = float(stream.average_rate) if stream.average_rate else None
            found.stated = (container.duration or 0) / av.time_base
            found.reorders = bool(stream.codec_context.has_b_frames)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise DataError(f"{path}: can't be read as a video ({explain_video_error(error)})") from None
    return found


def _count_frames(path: Path, count: int, rate: float | None) -> VideoFacts:
    if not rate:
        raise DataError(f"{path}: stores neither the times of its frames nor their rate")
    seconds = 1 / rate
    return VideoFacts(None, tuple(n * seconds for n in range(count)), count * seconds)


def explain_video_error(error: Exception) -> str:
    """Return what an error of the decoder says, in one line."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(said).split())
