"""The data set `hub-questions`: questions about images on the Hugging Face hub, or in a folder of `save_to_disk`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness import DataError, EncodedImage, OptionError, Unavailable
from harness_data.hub import HuggingFace, read_encoded_cell, read_pixel_cell
from harness_data.question_cells import RightAs

if TYPE_CHECKING:
    from harness_data.question_split import QuestionSplit
    from harness_data.question_tables import Row

BATCH_ROWS = 256


@dataclass(frozen=True, eq=False)
class HubImage:
    """An image in a row of a `datasets.Dataset` in the format of arrow, which does not decode it."""

    rows: Any
    row: int
    column: str
    position: int | None
    where: str

    def read(self) -> Any:
        """Return the image, encoded or as pixels. Raises DataError naming the row if it is no image."""
        value = self.rows[self.row][self.column][0].as_py()
        if self.position is not None:
            value = value[self.position]
        if isinstance(value, dict):
            value = read_encoded_cell(value, self.where)
        return (
            EncodedImage(value, self.where)
            if isinstance(value, bytes)
            else read_pixel_cell(value, self.where)
        )


class HubQuestions:
    """Questions about images from the Hugging Face hub, with accepted answers, choices or labels.

    Rows are read as those of `question-file` are: columns by their usual names, or by the options. Images stay on disk
    until they are needed. A label that the hub holds as a class index counts as its class name.

    Args:
        name: `<owner>/<name>` on the hub, or a folder written by `save_to_disk`.
        config: the configuration (subset) of a hub data set; unused for a folder.
        revision: a commit, tag or branch on the hub; give one so that later runs see the same data.
        splits: the splits (by default those of the folder, or `train` and `test` on the hub).
        id_column: the column of ids, if its name is unusual.
        question_column: the column of questions.
        image_columns: the columns of images; several are read one after the other.
        answers_column: the column of accepted answers.
        choices_column: the column of choices.
        right_column: the column of the right choice.
        label_column: the column of labels.
        group_column: the column that says which image a question is about.
        type_column: the column of types of questions or subtasks.
        right_as: how right choices are written: their text, letter or index.
        first_index: the index of the first choice, 0 or 1.
        text_only: allow questions without an image.
    """

    target_kind = "answers"

    def __init__(
        self,
        name: str,
        *,
        config: str | None = None,
        revision: str | None = None,
        splits: list[str] | None = None,
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
        if first_index not in (0, 1):
            raise OptionError(f"hub-questions: first_index is {first_index}, expected 0 or 1")
        picture = image_columns[0] if image_columns else "image"
        self._hub = HuggingFace(name, config=config, revision=revision, splits=splits, image_column=picture)
        self.name = name
        self.image_columns = image_columns
        self.columns = {
            "id": id_column, "question": question_column, "answers": answers_column, "choices": choices_column,
            "right": right_column, "label": label_column, "group": group_column, "type": type_column,
        }  # fmt: skip
        self.right_as: RightAs | None = right_as
        self.first_index, self.text_only = first_index, text_only

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits from the options or the folder."""
        return self._hub.splits

    @property
    def remarks(self) -> list[str]:
        """A warning that a hub data set without a revision may change."""
        return self._hub.remarks

    def unavailable(self) -> str | None:
        """Return why it can't be used (the package or the folder is missing), or None."""
        return self._hub.unavailable()

    def fingerprint(self) -> str:
        """Return a digest of a folder's data files, or of the hub's revision, which is all that is known."""
        return self._hub.fingerprint()

    def load(self, split: str) -> QuestionSplit:
        """Open one split, downloading it from the hub if it isn't cached.

        Raises Unavailable if the package, the folder or the network is missing; DataError naming the row, and
        OptionError for a named column that is missing.
        """
        from pathlib import Path

        from harness_data.question_columns import find_question_columns
        from harness_data.question_rows import ReadingRules, build_question_records
        from harness_data.question_split import QuestionSplit
        from harness_data.scanning import check_split

        if missing := self.unavailable():
            raise Unavailable(missing)
        check_split(split, self.splits, self.name)
        rows = self._hub.open_rows(split)
        where = f"{self.name}, split {split}"
        columns = find_question_columns(rows.column_names, self.columns, self.image_columns, where)
        cells = list(_read_rows(rows, columns.list_used(), columns.images, where))
        if not cells:
            raise DataError(f"{where}: holds no samples")
        rules = ReadingRules(self.right_as, self.first_index, self.text_only)
        records, remarks = build_question_records(cells, columns, Path(), rules)
        unused = [name for name in rows.column_names if name not in columns.list_used()]
        if unused:
            are = "column is" if len(unused) == 1 else "columns are"
            remarks.append(f"{len(unused)} {are} not used: {', '.join(unused)}")
        return QuestionSplit(records, where, remarks)


def _read_rows(rows: Any, used: set[str], images: Sequence[str], where: str) -> Iterator[Row]:
    """Yield the rows with `HubImage`s in place of images, whose bytes are not read."""
    ordered = [name for name in rows.column_names if name in used]
    bare = rows.select_columns(ordered).with_format("arrow")
    names: Mapping[str, Any] = {name: getattr(rows.features[name], "names", None) for name in ordered}
    for start in range(0, len(bare), BATCH_ROWS):
        batch = bare[start : start + BATCH_ROWS]
        columns = {name: batch[name] for name in ordered}
        for offset in range(len(batch)):
            row, place = start + offset, f"{where}, row {start + offset}"
            cells: dict[str, Any] = {}
            for name in ordered:
                cell = columns[name][offset]
                if name in images:
                    cells[name] = _place_images(bare, cell, row, name, place)
                    continue
                value = cell.as_py()
                known = names[name] is not None and isinstance(value, int) and 0 <= value < len(names[name])
                cells[name] = names[name][value] if known else value
            yield place, cells


def _place_images(rows: Any, cell: Any, row: int, name: str, where: str) -> list[HubImage]:
    """Return where the images of a cell are: one, those of a list, or none."""
    import pyarrow as pa

    if not cell.is_valid:
        return []
    # lists of structs or of bytes are several images; nested lists of numbers are the pixels of one
    kind = getattr(cell.type, "value_type", None)
    if kind is None or not (
        pa.types.is_struct(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    ):
        return [HubImage(rows, row, name, None, where)]
    return [HubImage(rows, row, name, i, f"{where}, image {i + 1}") for i in range(len(cell))]
