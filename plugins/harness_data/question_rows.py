"""Makes question records of the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import Answers, DataError
from harness_data.question_cells import (
    RightAs,
    find_right_choice,
    read_choice_labels,
    read_choices_cell,
    read_index,
    read_text_cell,
    read_text_list,
    shorten_text,
)
from harness_data.question_columns import QuestionColumns
from harness_data.question_images import ImageFile, ImageSource, open_image_cell
from harness_data.question_split import QuestionRecord
from harness_data.question_tables import Row

FEWEST_TO_JUDGE = 10
"""So many right answers tell whether their indices begin at 1."""


@dataclass(frozen=True)
class ReadingRules:
    """What a table's user says about it besides the columns: see `QuestionFile`."""

    right_as: RightAs | None = None
    first_index: int = 0
    text_only: bool = False


def build_question_records(
    rows: Sequence[Row], columns: QuestionColumns, root: Path, rules: ReadingRules
) -> tuple[list[QuestionRecord], list[str]]:
    """Return the records of a table's rows, and remarks on what was assumed. Raises DataError, naming the row."""
    labels = _list_labels(rows, columns.label) if columns.label is not None else ()
    records = []
    bare = without_group = placeholders = 0
    for number, (where, row) in enumerate(rows):
        identity = str(number) if columns.id is None else read_text_cell(row.get(columns.id))
        if identity is None:
            raise DataError(f"{where}: has no id in column '{columns.id}'")
        question = read_text_cell(row.get(columns.question))
        if question is None:
            raise DataError(f"{where}: the question is empty")
        images = [s for name in columns.images for s in open_image_cell(row.get(name), root, where)]
        if not images and not rules.text_only:
            raise DataError(f"{where}: has no image; set text_only to allow questions without one")
        bare += not images
        placeholders += "<image" in question
        group = (
            read_text_cell(row.get(columns.group))
            if columns.group
            else _name_group(row, columns.images, images)
        )
        without_group += group is None
        records.append(
            QuestionRecord(
                identity,
                question,
                tuple(images),
                _read_target(row, columns, labels, rules, where),
                group or identity,
                where,
                read_text_cell(row.get(columns.type)) if columns.type else None,
            )
        )
    remarks = _note_columns(rows, columns) + _note_indices(rows, columns, rules)
    if labels:
        shown = ", ".join(map(shorten_text, labels[:6])) + (", …" if len(labels) > 6 else "")
        remarks.append(f"the choices are the {len(labels)} labels of column '{columns.label}': {shown}")
    for count, what in (
        (bare, "have no image"),
        (without_group, "name no image, and count as independent of each other"),
        (placeholders, "hold '<image…', which is taken as text"),
    ):
        if count:
            remarks.append(f"{count} of {len(records)} questions {what}")
    return records, remarks


def _read_target(
    row: dict[str, Any], columns: QuestionColumns, labels: Sequence[str], rules: ReadingRules, where: str
) -> Answers:
    references = read_text_list(row.get(columns.answers), "answers", where) if columns.answers else ()
    if columns.choices is not None and columns.right is not None:
        cell = row.get(columns.choices)
        choices, own = read_choices_cell(cell, where), read_choice_labels(cell, where)
        value = row.get(columns.right)
        right = find_right_choice(value, choices, where, rules.right_as, rules.first_index, own)
        return Answers(references, choices, right)
    if columns.label is not None:
        label = read_text_cell(row.get(columns.label))
        if label is None:
            raise DataError(f"{where}: has no label")
        return Answers(references or (label,), tuple(labels), labels.index(label))
    return Answers(references)


def _list_labels(rows: Sequence[Row], column: str) -> list[str]:
    found = {label for _, row in rows if (label := read_text_cell(row.get(column))) is not None}
    return sorted(found)


def _name_group(row: dict[str, Any], columns: Sequence[str], images: Sequence[ImageSource]) -> str | None:
    """Return the paths of the images as written, joined; None for images without, or without any."""
    if not images or not all(isinstance(source, ImageFile) for source in images):
        return None
    cells = [row.get(name) for name in columns]
    names = [name for cell in cells for name in (cell if isinstance(cell, list) else [cell]) if name]
    return "|".join(map(str, names))


def _note_columns(rows: Sequence[Row], columns: QuestionColumns) -> list[str]:
    there = dict.fromkeys(name for _, row in rows for name in row)
    unused = [name for name in there if name not in columns.list_used()]
    remarks = (
        [] if columns.id is not None else ["there is no column of ids: they are the rows' numbers, from 0"]
    )
    if unused:
        are = "column is" if len(unused) == 1 else "columns are"
        remarks.append(f"{len(unused)} {are} not used: {', '.join(map(shorten_text, unused))}")
    return remarks


def _note_indices(rows: Sequence[Row], columns: QuestionColumns, rules: ReadingRules) -> list[str]:
    """Return a remark if right answers are indices of which none is the first: they may count from 1."""
    if columns.right is None or rules.first_index or rules.right_as in ("text", "letter"):
        return []
    indices = [index for _, row in rows if (index := read_index(row.get(columns.right))) is not None]
    if len(indices) < max(FEWEST_TO_JUDGE, len(rows)) or not all(indices):
        return []
    return [f"column '{columns.right}' is read as indices from 0, and none of {len(indices)} is 0: if they count "
            "from 1, set first_index = 1"]  # fmt: skip
