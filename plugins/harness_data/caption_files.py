"""What the data sets `caption-table` and `video-captions` share: tables of captions, and their splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness import DataError
from harness_data.caption_tables import FOLDER_SUFFIXES, NAMED_SUFFIXES

if TYPE_CHECKING:
    from harness_data.caption_items import CaptionedItem, RowOfItem
    from harness_data.caption_tables import CaptionRow, CaptionRules
    from harness_data.pair_files import FileIndex

ONLY_SPLIT_OF_TABLE = "test"


class CaptionFiles:
    """Tables of captions and the files that they name. A column of splits counts, else the tables' names do."""

    target_kind = "captions"
    path: Path
    media: Path | None
    """The folder that names are relative to, if it is not the table's."""
    rules: CaptionRules

    def unavailable(self) -> str | None:
        """Return why there is nothing to load at the path, or None."""
        if self._tables:
            return None
        if self.path.is_file():
            return f"{self.path}: not a table of captions ({' '.join(NAMED_SUFFIXES)})"
        found = "holds no table of captions" if self.path.is_dir() else "no such file or folder"
        return f"{self.path}: {found} ({' '.join(FOLDER_SUFFIXES)})"

    @cached_property
    def _tables(self) -> list[Path]:
        if self.path.is_file():
            return [self.path] if self.path.suffix.lower() in NAMED_SUFFIXES else []
        files = sorted(self.path.iterdir()) if self.path.is_dir() else []
        return [
            f
            for f in files
            if f.suffix.lower() in FOLDER_SUFFIXES and f.is_file() and not f.name.startswith(".")
        ]

    @property
    def _root(self) -> Path:
        """The folder that names are relative to."""
        return self.media or self._tables[0].parent

    def _list_files(self) -> FileIndex:
        """Return the files that names may mean."""
        raise NotImplementedError

    def _identify(self, rows: Sequence[tuple[CaptionRow, str]]) -> tuple[list[RowOfItem], list[str]]:
        """Return rows (each with its split) with what their images or videos are known by, and remarks."""
        raise NotImplementedError

    @cached_property
    def _gathered(self) -> tuple[Mapping[str, Sequence[CaptionedItem]], list[str]]:
        """The items of each split, and remarks on all tables."""
        from harness.inference.splits import role_of
        from harness_data.caption_items import gather_captions, note_divided_groups
        from harness_data.caption_tables import read_caption_table
        from harness_data.question_file import name_split

        rows: list[tuple[CaptionRow, str]] = []
        remarks: list[str] = []
        for table in self._tables:
            read, said = read_caption_table(table, self.rules)
            name = name_split(table)
            if len(self._tables) == 1 and not role_of(name):
                name = ONLY_SPLIT_OF_TABLE
            rows += [(row, row.split or name) for row in read]
            remarks += [text if len(self._tables) == 1 else f"{table.name}: {text}" for text in said]
        identified, said = self._identify(rows)
        items, more = gather_captions(identified, self.rules.medium)
        if not items:
            raise DataError(f"{self.path}: no {self.rules.medium} has a caption")
        folded = {name.casefold(): name for name in items}
        if alike := [name for name in items if folded[name.casefold()] != name]:
            other = folded[alike[0].casefold()]
            raise DataError(
                f"{self.path}: the splits '{alike[0]}' and '{other}' differ only in case: name one"
            )
        return items, [*remarks, *said, *more, *note_divided_groups(items)]

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits, from the tables."""
        return tuple(self._gathered[0]) if self.unavailable() is None else ()

    def _open(self, split: str) -> tuple[Sequence[CaptionedItem], list[str]]:
        """Return the items of a split, and remarks on it and on the tables."""
        from harness_data.caption_items import note_captions
        from harness_data.scanning import check_split

        if missing := self.unavailable():
            raise DataError(missing)
        items, remarks = self._gathered
        check_split(split, tuple(items), str(self.path))
        own = items[split]
        return own, [*remarks, *note_captions([item.captions for item in own], self.rules.medium)]
