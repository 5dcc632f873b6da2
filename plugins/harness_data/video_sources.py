"""Videos of a table of captions: files or folders of frames, what is shown of each, and what is wrong with them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import DataError
from harness_data.image_files import is_junk_file, is_junk_folder, is_picture, suffix_of
from harness_data.pair_files import FileIndex, FileSource
from harness_data.question_images import ImageFile
from harness_data.text_encoding import replace_surrogates
from harness_data.video_facts import VIDEO_SUFFIXES, VideoFacts, read_video_facts
from harness_data.video_frames import FramePlan, plan_frames, read_frames
from harness_data.video_sampling import SAMPLINGS, Sampling, choose_frames, choose_pictures
from harness_data.walking import walk_files


@dataclass(frozen=True)
class FrameRules:
    """How many frames of a video are shown, and which."""

    frames: int = 12
    sampling: Sampling = "uniform"
    fps: float = 1.0

    @property
    def wording(self) -> str:
        """What is shown of each video."""
        return SAMPLINGS[self.sampling].format(frames=self.frames, fps=self.fps)


@dataclass(frozen=True)
class VideoSource:
    """A video that the row at `where` names: pictures of its folder, a plan for its file, or why neither can be read."""

    path: Path
    where: str
    pictures: tuple[Path, ...] = ()
    plan: FramePlan | None = None
    problem: str | None = None
    variable: bool = False
    shortened: bool = False

    @property
    def count(self) -> int:
        """The number of frames that are shown."""
        return len(self.pictures) if self.plan is None else len(self.plan.positions)

    @property
    def times(self) -> tuple[float, ...]:
        """Their times in seconds from the first frame; empty for pictures of a folder."""
        return () if self.plan is None else self.plan.times

    def read(self) -> list[Any]:
        """Return the frames as a `Sample` takes images. Raises DataError, naming row and file, if one can't be read."""
        if self.problem is not None:
            raise DataError(f"{self.where}: {self.problem}")
        if self.plan is None:
            return [ImageFile(file, self.where).read() for file in self.pictures]
        return list(read_frames(self.path, self.plan))


def open_videos(places: Sequence[tuple[Path, str]], rules: FrameRules) -> list[VideoSource]:
    """Return the videos at some paths (each with its row), looked at in several threads; nothing is decoded."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), "videos") as threads:
        return list(threads.map(lambda place: _open_video(place[0], place[1], rules), places))


def _open_video(path: Path, where: str, rules: FrameRules) -> VideoSource:
    if path.is_dir():
        files = list_pictures(path)
        shown = choose_pictures(len(files), rules.sampling, rules.frames)
        problem = None if files else f"{path}: the folder holds no picture"
        return VideoSource(path, where, tuple(files[n] for n in shown), problem=problem)
    if not path.exists():
        return VideoSource(path, where, problem=f"{path}: no such video")
    try:
        facts: VideoFacts = read_video_facts(path)
    except DataError as error:
        return VideoSource(path, where, problem=str(error))
    shown = choose_frames(facts.times, facts.duration, rules.sampling, rules.frames, rules.fps)
    return VideoSource(
        path, where, plan=plan_frames(facts, shown), variable=facts.variable, shortened=facts.shortened
    )


def list_pictures(folder: Path) -> list[Path]:
    """Return the pictures directly in a folder, by name; numbers in names count as numbers: `f2.jpg` before `f10.jpg`."""
    files = [p for p in folder.iterdir() if is_picture(p.name) and not is_junk_file(p.name)]
    return sorted(
        files, key=lambda p: ([(int(n or 0), t) for t, n in re.findall(r"(\D*)(\d*)", p.stem)], p.name)
    )


def list_videos(folder: Path) -> FileIndex:
    """Return the videos below a folder: files by suffix, and folders that hold pictures."""
    found = FileIndex()
    folders: set[str] = set()
    walked = walk_files(folder, lambda entry, _: not is_junk_folder(entry.name))
    for path, entry in sorted(walked, key=lambda file: file[0]):
        name = replace_surrogates(path)
        if entry.name.startswith(".") or is_junk_file(entry.name):
            continue
        if suffix_of(entry.name) in VIDEO_SUFFIXES:
            found.files[name] = FileSource(Path(entry.path), name)
            found.of_id.setdefault(os.path.splitext(name)[0], name)  # noqa: PTH122 (many files)
        elif is_picture(entry.name) and "/" in name:
            folders.add(name.rpartition("/")[0])
    for name in sorted(folders):
        found.files.setdefault(name, FileSource(folder / name, name))
    return found


def note_videos(videos: Sequence[VideoSource], rules: FrameRules) -> list[str]:
    """Return remarks on what is shown of a split's videos, and on those that are short, broken or of a variable rate."""
    readable = [video for video in videos if video.problem is None]
    broken = [video for video in videos if video.problem is not None]
    timed = next((video for video in readable if video.times), None)
    files = sum(video.plan is not None for video in readable)
    remarks = []
    if timed is not None:
        shown = ", ".join(f"{time:.2f}" for time in timed.times[:12]) + (", …" if timed.count > 12 else "")
        remarks.append(f"frames shown are {rules.wording}; of {timed.path.name} those at {shown} s")
    if folders := len(readable) - files:
        how = {"uniform": "evenly spaced", "fps": "evenly spaced with both ends", "head": "the first"}
        remarks.append(
            f"{folders} of {len(videos)} videos are folders of pictures, of which at most {rules.frames}, "
            f"{how[rules.sampling]}, are shown"
        )
    for found, what in (
        (
            [v for v in readable if v.count < rules.frames],
            f"show fewer than {rules.frames} frames, each frame once",
        ),
        (
            [v for v in readable if v.variable],
            "have a variable frame rate: times decide which frames are shown",
        ),
        (
            [v for v in readable if v.shortened],
            "end before the length that they state: something may be missing",
        ),
    ):
        if found:
            remarks.append(f"{len(found)} of {len(videos)} videos {what} (first: {found[0].path.name})")
    if broken:
        first = broken[0]
        remarks.append(
            f"{len(broken)} of {len(videos)} videos can't be read (first: {first.where}: {first.problem})"
        )
    return remarks
