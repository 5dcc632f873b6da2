"""The data set `media-table`: videos or films with title, frames, further texts, and a target, in one table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import DataError, OptionError, Sample
from harness_data.roots import resolve_below_root

if TYPE_CHECKING:
    from harness_data.media_rows import MediaRow
    from harness_data.media_targets import MediaTargets, TargetedSplit

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")


class MediaSplit:
    """A `Split` of items with `groups` (film, channel) and `titles` (with the further texts); `ordered` says whether
    the classes are bins of a number.
    """

    per_sample = ("groups", "titles")

    def __init__(self, own: TargetedSplit, read: MediaTargets, where: str, remarks: Sequence[str]) -> None:
        """Take over the items. Raises DataError if there are none."""
        from harness_data.question_images import list_missing

        if not own.rows:
            raise DataError(f"{where}: holds no items with a target")
        self._rows = list(own.rows)
        self.ids = [row.id for row in self._rows]
        self.targets = own.targets
        self.groups = [row.group for row in self._rows]
        self.titles = [row.text for row in self._rows]
        self.class_names, self.ordered = list(read.class_names), read.ordered
        self.remarks = list(remarks)
        if missing := list_missing([frame for row in self._rows for frame in row.frames]):
            self.remarks.append(
                f"{len(missing)} frames are missing (first: {missing[0].path}, {missing[0].where})"
            )

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        row, target = self._rows[index], self.targets[index]
        images = [frame.read() for frame in row.frames]
        told: dict[str, Any] = {"label": int(target)} if self.targets.ndim == 1 else {"target": target}
        return Sample(row.id, images=images, text=row.text, **told)


class MediaTable:
    """Items with texts and frames from a CSV, TSV or JSON-lines table, for studies that bring all to text.

    The target is a label, several labels, or a number that is cut into quantile bins of the training split. Frames are
    paths relative to the table's folder, or a folder of pictures. No group (film, channel) is in two splits: a split
    column that divides one is refused; by time, a group is where its last item is.

    Args:
        path: the table, or a folder with exactly one, itself or below $HARNESS_DATA_ROOT.
        label_column: the column of labels.
        number_column: the column of numbers, instead of labels.
        several: whether a cell of labels holds several, divided by the separator.
        bins: quantile bins of the numbers.
        separator: what divides labels, and paths of frames.
        id_column: the column of ids.
        title_column: the column of titles; "" for none.
        frames_column: the column of frames; "" for none.
        text_columns: further columns, texts or numbers, that are shown below the title as `name: value`.
        group_column: the column of what items have in common (film, channel): the unit of splits and intervals.
        split_column: the column of splits; not used if there is a date column.
        date_column: the column of dates, if the items are to be divided by time.
        test_share: share of the latest items that are `test`, by time.
        most_frames: most frames of an item, evenly spaced.
    """

    def __init__(
        self,
        path: Path,
        *,
        label_column: str | None = None,
        number_column: str | None = None,
        several: bool = False,
        bins: int = 4,
        separator: str = ";",
        id_column: str = "id",
        title_column: str = "title",
        frames_column: str = "frames",
        text_columns: list[str] | None = None,
        group_column: str | None = None,
        split_column: str = "split",
        date_column: str | None = None,
        test_share: float = 0.2,
        most_frames: int = 8,
    ) -> None:
        """Store the options. Raises OptionError for bad values and ones that contradict each other."""
        from harness_data.media_rows import MediaColumns

        target = label_column or number_column
        if target is None or (label_column and number_column):
            raise OptionError("media-table: name either a label_column or a number_column, the target")
        if number_column and several:
            raise OptionError("media-table: several labels need a label_column")
        if bins < 2 or most_frames < 1:
            raise OptionError("media-table: bins must be at least 2, and most_frames at least 1")
        if not 0 < test_share < 1:
            raise OptionError(f"media-table: test_share is {test_share}, expected a share between 0 and 1")
        if not separator.strip():
            raise OptionError("media-table: the separator is blank")
        self.path = resolve_below_root(path)
        split = None if date_column else split_column
        self.columns = MediaColumns(
            id_column, title_column or None, frames_column or None, target, tuple(text_columns or ()), group_column,
            split, date_column,
        )  # fmt: skip
        if target in self.columns.texts or target in (title_column, frames_column):
            raise OptionError(f"media-table: the target '{target}' is shown as a text: that would tell it")
        self.binned, self.several, self.bins, self.separator = bool(number_column), several, bins, separator
        self.test_share, self.most_frames = test_share, most_frames
        self.target_kind = "label sets" if several else "label"
        self._read: tuple[MediaTargets, list[str]] | None = None

    def unavailable(self) -> str | None:
        """Return why there is no table at the path, or None."""
        tables = self._list_tables()
        if len(tables) == 1:
            return None
        if len(tables) > 1:
            return f"{self.path}: holds {len(tables)} tables ({tables[0].name}, {tables[1].name}): name one as path"
        there = "holds no table" if self.path.is_dir() else "no such table or folder"
        return f"{self.path}: {there} ({' '.join(SUFFIXES)})"

    def _list_tables(self) -> list[Path]:
        files = sorted(self.path.iterdir()) if self.path.is_dir() else [self.path]
        return [
            f for f in files if f.suffix.lower() in SUFFIXES and f.is_file() and not f.name.startswith(".")
        ]

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits, from the table."""
        if self.columns.date is not None:
            return ("train", "test")
        return tuple(self._load()[0].splits) if self.unavailable() is None else ()

    def _load(self) -> tuple[MediaTargets, list[str]]:
        """Read the table once: the splits with targets, and all remarks on it."""
        from harness_data.media_rows import build_media_rows, read_media_table
        from harness_data.media_splits import divide_by_column, divide_by_time
        from harness_data.media_targets import read_bins, read_labels

        if self._read is None:
            if missing := self.unavailable():
                raise DataError(missing)
            (table,) = self._list_tables()
            where = str(table)
            rows, remarks = read_media_table(table, self.columns)
            items: list[MediaRow]
            items, more = build_media_rows(rows, self.columns, table.parent, self.separator, self.most_frames)
            if self.columns.date is not None:
                divided, noted = divide_by_time(items, self.test_share, where)
            else:
                divided, noted = divide_by_column(items, where)
            if self.binned:
                read = read_bins(divided, self.bins, where)
            else:
                read = read_labels(divided, self.separator if self.several else None, where)
            self._read = read, [*remarks, *more, *noted, *read.remarks]
        return self._read

    def fingerprint(self) -> str:
        """Return a digest of the table and of the frames that it names."""
        from harness import content_digest, content_digests
        from harness_data.digests import text_digest
        from harness_data.question_images import ImageFile

        (table,) = self._list_tables()
        rows = [row for split in self._load()[0].splits.values() for row in split.rows]
        frames = [frame.path for row in rows for frame in row.frames if isinstance(frame, ImageFile)]
        return text_digest([content_digest(table), *content_digests(list(dict.fromkeys(frames)))])

    def load(self, split: str) -> MediaSplit:
        """Open one split; frames are read on access.

        Raises DataError, naming file and row, for bad cells, and for a group in two splits; OptionError for a column
        that is missing.
        """
        from harness_data.scanning import check_split

        read, remarks = self._load()
        check_split(split, tuple(read.splits), str(self.path))
        return MediaSplit(read.splits[split], read, f"{self.path}, split '{split}'", remarks)
