"""The data set `caption-table`: images and their captions in a CSV, TSV, JSON, JSON-lines or Parquet table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness_data.caption_files import CaptionFiles
from harness_data.caption_tables import CaptionRules
from harness_data.roots import resolve_below_root
from harness_data.text_encoding import check_encoding

if TYPE_CHECKING:
    from harness_data.caption_items import RowOfItem
    from harness_data.caption_tables import CaptionRow
    from harness_data.pair_files import FileIndex
    from harness_data.question_images import ImageSource
    from harness_data.question_split import QuestionSplit


class CaptionTable(CaptionFiles):
    """Images and captions from a table, a row for each caption; or from a folder of such tables, a split each.

    The rows of an image are its captions, wherever they stand; a cell may also hold a list of captions. A column
    `split` names each row's split; without one, a table's name does (`train.csv`), or it is `test`. An image is in one
    split. Images are paths below the table's folder (or `images`), or bytes or base64 in Parquet and JSON lines; files that
    differ from a name in case, suffix, leading zeros or folders above are found, with a remark. Columns are found by
    their usual names (`harness_data.caption_columns`).

    Ids are the names of the images, or a column; `groups` of the split are a column, or else the images.

    Args:
        path: the table, or the folder of tables, itself or below $HARNESS_DATA_ROOT.
        images: the folder that paths of images are relative to, if it is not the table's.
        image_column: the column of images, if its name is unusual.
        text_column: the column of captions.
        id_column: the column of the images' ids; by default their names.
        split_column: the column of splits.
        group_column: the column of what images have in common (album, photographer): the unit of intervals.
        language_column: the column of languages.
        language: the language to keep, as the table writes it; "all" for every one. Needed if there are several.
        encoding: of lines that are not UTF-8; by default guessed from all of them (`harness_data.text_encoding`).
    """

    def __init__(
        self,
        path: Path,
        *,
        images: Path | None = None,
        image_column: str | None = None,
        text_column: str | None = None,
        id_column: str | None = None,
        split_column: str | None = None,
        group_column: str | None = None,
        language_column: str | None = None,
        language: str | None = None,
        encoding: str | None = None,
    ) -> None:
        """Store the options."""
        self.path = resolve_below_root(path)
        self.media = None if images is None else resolve_below_root(images)
        asked = {
            "media": image_column, "text": text_column, "id": id_column, "split": split_column,
            "group": group_column, "language": language_column,
        }  # fmt: skip
        self.rules = CaptionRules(asked, "image", language, check_encoding(encoding, "caption-table"))
        self._sources: dict[str, ImageSource] = {}

    @cached_property
    def _index(self) -> FileIndex:
        from harness_data.pair_files import list_pair_files

        return list_pair_files(self._root, frozenset(self._tables)).images

    def _list_files(self) -> FileIndex:
        return self._index

    def _identify(self, rows: Sequence[tuple[CaptionRow, str]]) -> tuple[list[RowOfItem], list[str]]:
        from harness_data.caption_images import identify_images

        found, self._sources, remarks = identify_images(rows, self._root, self._list_files)
        return found, remarks

    def fingerprint(self) -> str:
        """Return a digest of the tables and of the images that they name."""
        from harness import content_digests
        from harness_data.digests import text_digest
        from harness_data.question_images import ImageFile
        from harness_data.text_encoding import RULE

        items = [item for of in self._gathered[0].values() for item in of]
        sources = (self._sources[item.key] for item in items)
        files = [source.path for source in sources if isinstance(source, ImageFile)]
        return text_digest([RULE, *content_digests([*self._tables, *files])])

    def load(self, split: str) -> QuestionSplit:
        """Open one split; images are read on access.

        Raises DataError, naming file and line, for bad rows and for an image in two splits; OptionError for a named
        column or language that is missing.
        """
        from harness_data.question_split import QuestionRecord, QuestionSplit

        items, remarks = self._open(split)
        records = [
            QuestionRecord(
                item.id,
                None,
                (self._sources[item.key],),
                tuple(item.captions),
                item.id if item.group is None else item.group,
                item.where,
            )
            for item in items
        ]
        return QuestionSplit(records, f"{self.path}, split '{split}'", remarks)
