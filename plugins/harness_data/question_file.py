"""The data set `question-file`: questions about images in a file of JSON lines or Parquet."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness import DataError
from harness_data.question_cells import RightAs
from harness_data.roots import resolve_below_root

if TYPE_CHECKING:
    from harness_data.question_split import QuestionRecord, QuestionSplit

SUFFIXES = (".jsonl", ".ndjson", ".parquet")
ONLY_SPLIT = "test"
SPLIT_OF_SHARD = re.compile(r"(.+?)-\d{5}-of-\d{5}")
"""The name of a shard as the Hugging Face hub names them."""


class QuestionFile:
    """Questions about images with accepted answers, choices or labels, from JSON lines or Parquet.

    A file is the split that its name says (`train.jsonl`, `val.parquet`), else `test`; in a folder each file is a
    split, and `test-00000-of-00002.parquet` is a part of one. A row has a question, one or several images, and
    either accepted answers (a text or a list), or choices and the right one, or a label, whose choices are
    then all labels of the split. Choices are a list, texts by letter, or `{"text": [...], "label": [...]}`; their own
    labels say which is right, in whatever order they are. Images are paths relative to the file's folder, bytes,
    base64 or data URIs.

    Columns are found by their usual names (`harness_data.question_columns.USUAL`); where two fit, the option must say
    which. `groups` of the split are a column such as `image_id`, or else the paths of the images.

    Args:
        path: the file, or the folder of files, itself or below $HARNESS_DATA_ROOT.
        images: the folder that paths of images are relative to, if it is not the file's.
        id_column: the column of ids, if its name is unusual.
        question_column: the column of questions.
        image_columns: the columns of images; several are read one after the other.
        answers_column: the column of accepted answers.
        choices_column: the column of choices.
        right_column: the column of the right choice.
        label_column: the column of labels.
        group_column: the column that says which image a question is about.
        type_column: the column of types of questions or subtasks.
        right_as: how right choices are written: their text, letter or index; by default told by each of them, and
            refused where it may mean two choices.
        first_index: the index of the first choice, 0 or 1.
        text_only: allow questions without an image.
    """

    target_kind = "answers"

    def __init__(
        self,
        path: Path,
        *,
        images: Path | None = None,
        id_column: str | None = None,
        question_column: str | None = None,
        image_columns: list[str] | None = None,
        answers_column: str | None = None,
        choices_column: str | None = None,
        right_column: str | None = None,
        label_column: str | None = None,
        group_column: str | None = None,
        type_column: str | None = None,
        right_as: RightAs | None = None,
        first_index: int = 0,
        text_only: bool = False,
    ) -> None:
        """Store the options. Raises OptionError for a first index other than 0 or 1."""
        from harness import OptionError

        if first_index not in (0, 1):
            raise OptionError(f"question-file: first_index is {first_index}, expected 0 or 1")
        self.path = resolve_below_root(path)
        self.images = None if images is None else resolve_below_root(images)
        self.image_columns = image_columns
        self.columns = {
            "id": id_column, "question": question_column, "answers": answers_column, "choices": choices_column,
            "right": right_column, "label": label_column, "group": group_column, "type": type_column,
        }  # fmt: skip
        self.right_as: RightAs | None = right_as
        self.first_index, self.text_only = first_index, text_only
        self._read: dict[str, tuple[list[QuestionRecord], list[str]]] = {}

    def unavailable(self) -> str | None:
        """Return why there is nothing to load at the path, or None."""
        if self._files:
            return None
        if self.path.is_file():
            return f"{self.path}: not a table of questions ({' '.join(SUFFIXES)})"
        found = "holds no table of questions" if self.path.is_dir() else "no such file or folder"
        return f"{self.path}: {found} ({' '.join(SUFFIXES)})"

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits, from those of the files."""
        return tuple(self._files)

    @property
    def _files(self) -> dict[str, list[Path]]:
        """The files of each split, in order."""
        from harness.inference.splits import role_of

        if self.path.is_file():
            name = name_split(self.path)
            known = self.path.suffix.lower() in SUFFIXES
            return {name if role_of(name) else ONLY_SPLIT: [self.path]} if known else {}
        found: dict[str, list[Path]] = {}
        for file in sorted(self.path.iterdir()) if self.path.is_dir() else ():
            if file.suffix.lower() in SUFFIXES and file.is_file() and not file.name.startswith("."):
                found.setdefault(name_split(file), []).append(file)
        return found

    def fingerprint(self) -> str:
        """Return a digest of the files and of the images that they name."""
        from harness import content_digest, content_digests
        from harness_data.digests import text_digest
        from harness_data.question_split import list_image_files

        parts: list[object] = []
        for split, files in self._files.items():
            parts += [split, *(content_digest(file) for file in files)]
            parts += content_digests(list_image_files(self._build_records(split)[0]))
        return text_digest(parts)

    def load(self, split: str) -> QuestionSplit:
        """Open one split; images are read on access.

        Raises DataError naming file and line for bad rows, two rows of one id, and columns that are not found;
        OptionError for a named column that is missing.
        """
        from harness_data.question_split import QuestionSplit
        from harness_data.scanning import check_split

        if missing := self.unavailable():
            raise DataError(missing)
        check_split(split, self.splits, str(self.path))
        records, remarks = self._build_records(split)
        return QuestionSplit(records, f"{self.path}, split '{split}'", remarks)

    def _build_records(self, split: str) -> tuple[list[QuestionRecord], list[str]]:
        from harness_data.question_columns import find_question_columns
        from harness_data.question_rows import ReadingRules, build_question_records
        from harness_data.question_tables import read_question_rows

        if split not in self._read:
            files = self._files[split]
            rows = [row for file in files for row in read_question_rows(file)]
            if not rows:
                raise DataError(f"{files[0]}: holds no rows")
            there: Sequence[str] = list(dict.fromkeys(name for _, row in rows for name in row))
            columns = find_question_columns(there, self.columns, self.image_columns, str(files[0]))
            rules = ReadingRules(self.right_as, self.first_index, self.text_only)
            root = self.images or files[0].parent
            self._read[split] = build_question_records(rows, columns, root, rules)
        return self._read[split]


def name_split(file: Path) -> str:
    """Return the split that a file's name says: the name without its suffix and its number as a shard."""
    shard = SPLIT_OF_SHARD.fullmatch(file.stem)
    return shard[1] if shard else file.stem
