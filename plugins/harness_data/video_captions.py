"""The data set `video-captions`: videos, as files or folders of frames, and their captions in a table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from harness import OptionError, Sample
from harness_data.caption_files import CaptionFiles
from harness_data.caption_tables import CaptionRules
from harness_data.question_split import QuestionSplit
from harness_data.roots import resolve_below_root
from harness_data.text_encoding import check_encoding
from harness_data.video_sampling import SAMPLINGS, Sampling

if TYPE_CHECKING:
    from harness_data.caption_items import RowOfItem
    from harness_data.caption_tables import CaptionRow
    from harness_data.pair_files import FileIndex
    from harness_data.question_split import QuestionRecord
    from harness_data.video_sources import FrameRules, VideoSource

RULE_OF_FRAMES = "video-frames-1"
"""Version of the rule which frames are shown; raise it with any change that shows others."""


class VideoSplit(QuestionSplit):
    """A `Split` of videos with captions; images of a sample are the frames shown, in order, at least one.

    `frame_times`, one per sample, are their times in seconds from the first frame; none for a folder of pictures.
    """

    def __init__(
        self,
        records: Sequence[QuestionRecord],
        videos: Sequence[VideoSource],
        where: str,
        remarks: Sequence[str] = (),
    ) -> None:
        """Take over records without images, and the video of each."""
        super().__init__(records, where, remarks)
        self._videos = list(videos)
        self.frame_times = [video.times for video in videos]
        self.per_sample.append("frame_times")

    def __getitem__(self, index: int) -> Sample:
        record = self._records[index]
        return Sample(record.id, images=self._videos[index].read(), target=record.target)


class VideoCaptions(CaptionFiles):
    """Videos and captions from a table, a row for each caption; or from a folder of such tables, a split each.

    Rows name files or folders of frames below the table's folder (or `videos`), with or without their suffix; tables
    are read as for `caption-table`. Of a video those frames are shown that are seen at certain times, whatever its
    frame rate, each once; a video that is too short shows fewer. Frames are decoded by PyAV when they are
    asked for, and turned as the file says. Pictures of a folder are taken as sampled already, in the order of their
    numbers.

    Ids are the names of the videos, or a column; `groups` of the split are a column, or else the videos; `frame_times`
    are the times of the frames shown.

    Args:
        path: the table, or the folder of tables, itself or below $HARNESS_DATA_ROOT.
        videos: the folder that names of videos are relative to, if it is not the table's.
        frames: the most frames of a video.
        sampling: "uniform", the middles of `frames` equal parts; "fps", one frame every 1/fps seconds, and if there are
            more than `frames`, evenly spaced ones of these; "head", the first of these.
        fps: frames per second for "fps" and "head".
        video_column: the column of videos, if its name is unusual.
        text_column: the column of captions.
        id_column: the column of the videos' ids; by default their names.
        split_column: the column of splits.
        group_column: the column of what videos have in common (film, channel): the unit of intervals.
        language_column: the column of languages.
        language: the language to keep, as the table writes it; "all" for every one. Needed if there are several.
        encoding: of lines that are not UTF-8; by default guessed from all of them (`harness_data.text_encoding`).
    """

    def __init__(
        self,
        path: Path,
        *,
        videos: Path | None = None,
        frames: int = 12,
        sampling: Sampling = "uniform",
        fps: float = 1.0,
        video_column: str | None = None,
        text_column: str | None = None,
        id_column: str | None = None,
        split_column: str | None = None,
        group_column: str | None = None,
        language_column: str | None = None,
        language: str | None = None,
        encoding: str | None = None,
    ) -> None:
        """Store the options. Raises OptionError for values that make no sense."""
        if frames < 1:
            raise OptionError(f"video-captions: frames is {frames}, expected at least 1")
        if not 0 < fps <= 1000:
            raise OptionError(f"video-captions: fps is {fps}, expected a rate above 0 and up to 1000")
        if sampling not in SAMPLINGS:
            raise OptionError(f"video-captions: sampling is '{sampling}', expected {', '.join(SAMPLINGS)}")
        self.path = resolve_below_root(path)
        self.media = None if videos is None else resolve_below_root(videos)
        self.frames, self.sampling, self.fps = frames, sampling, fps
        asked = {
            "media": video_column, "text": text_column, "id": id_column, "split": split_column,
            "group": group_column, "language": language_column,
        }  # fmt: skip
        self.rules = CaptionRules(asked, "video", language, check_encoding(encoding, "video-captions"))

    def unavailable(self) -> str | None:
        """Return why there is nothing to load at the path, or what is missing to read it; else None."""
        missing = super().unavailable()
        if missing is None and find_spec("av") is None and self._holds_video_files:
            return "PyAV, which decodes videos, is not installed: pip install 'vision-harness[video]'"
        return missing

    @cached_property
    def _holds_video_files(self) -> bool:
        return any(not source.path.is_dir() for source in self._index.files.values())

    @cached_property
    def _index(self) -> FileIndex:
        from harness_data.video_sources import list_videos

        return list_videos(self._root)

    def _list_files(self) -> FileIndex:
        return self._index

    @property
    def _frame_rules(self) -> FrameRules:
        from harness_data.video_sources import FrameRules

        return FrameRules(self.frames, self.sampling, self.fps)

    def _identify(self, rows: Sequence[tuple[CaptionRow, str]]) -> tuple[list[RowOfItem], list[str]]:
        from harness import DataError
        from harness_data.caption_items import RowOfItem
        from harness_data.caption_names import find_named_files

        places: dict[str, str] = {}
        for row, _ in rows:
            if not isinstance(row.media, str):
                raise DataError(
                    f"{row.where}: a video is a {type(row.media).__name__}, expected its path or name"
                )
            places.setdefault(row.media, row.where)
        named = find_named_files(places, self._root, self._list_files, "video")
        found = [
            RowOfItem(row, str(named.paths[row.media]), row.media if row.id is None else row.id, split)
            for row, split in rows
        ]
        return found, named.describe("videos")

    def fingerprint(self) -> str:
        """Return a digest of the tables, of the videos that they name, and of the rule for frames."""
        from harness import content_digests
        from harness_data.digests import text_digest
        from harness_data.text_encoding import RULE
        from harness_data.video_sources import list_pictures

        paths = [Path(item.key) for items in self._gathered[0].values() for item in items]
        files = [list_pictures(path) if path.is_dir() else [path] for path in paths]
        digests = content_digests([*self._tables, *(file for of in files for file in of)])
        return text_digest([RULE, RULE_OF_FRAMES, *digests, *map(len, files)])

    def load(self, split: str) -> VideoSplit:
        """Open one split and look at its videos; frames are decoded on access.

        Raises DataError, naming file and line, for bad rows and for a video in two splits; OptionError for a named
        column or language that is missing.
        """
        from harness_data.question_split import QuestionRecord
        from harness_data.video_sources import note_videos, open_videos

        items, remarks = self._open(split)
        videos = open_videos([(Path(item.key), item.where) for item in items], self._frame_rules)
        records = [
            QuestionRecord(
                item.id,
                None,
                (),
                tuple(item.captions),
                item.id if item.group is None else item.group,
                item.where,
            )
            for item in items
        ]
        remarks = [*remarks, *note_videos(videos, self._frame_rules)]
        return VideoSplit(records, videos, f"{self.path}, split '{split}'", remarks)
