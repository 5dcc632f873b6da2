"""Finds the columns of a table of questions, by the options or by their usual names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness import DataError, OptionError, did_you_mean
from harness_data.question_cells import shorten_text

USUAL: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "question_id", "questionid", "qid", "uid", "sample_id"),
    "question": ("question", "query", "prompt", "text"),
    "image": ("image", "images", "image_path", "image_paths", "image_file", "img", "img_path", "file_name", "filename"),
    "choices": ("choices", "options"),
    "right": ("right", "answer", "answer_index", "answer_idx", "correct", "correct_answer", "correct_index", "gold", "label"),
    "answers": ("answers", "answer", "references", "reference"),
    "label": ("label", "class"),
    "group": ("image_id", "group"),
    "type": ("answer_type", "subtask", "category"),
}  # fmt: skip
"""Usual names of the columns, in lower case."""

OPTIONS = {role: f"{role}_column" for role in USUAL} | {"image": "image_columns"}


@dataclass(frozen=True)
class QuestionColumns:
    """The columns that are read; None: there is none. One of `answers`, `right` and `label` is there."""

    id: str | None
    question: str
    images: tuple[str, ...]
    choices: str | None
    right: str | None
    answers: str | None
    label: str | None
    group: str | None
    type: str | None

    def list_used(self) -> set[str]:
        """Return the names of all columns that are read."""
        single = (
            self.id, self.question, self.choices, self.right, self.answers, self.label, self.group, self.type,
        )  # fmt: skip
        return {name for name in (*single, *self.images) if name is not None}


def find_question_columns(
    there: Sequence[str], asked: Mapping[str, str | None], images: Sequence[str] | None, where: str
) -> QuestionColumns:
    """Return the columns of a table: those that options name (`asked` by role, `images`), else by their usual names.

    Raises OptionError for a named column that is missing; DataError if a needed one is not found, or if several
    have a usual name.
    """
    taken = {name for name in (*asked.values(), *(images or ())) if name is not None}

    def list_usual(role: str) -> list[str]:
        return [name for name in there if name.lower() in USUAL[role] and name not in taken]

    def find(role: str) -> str | None:
        if (name := asked.get(role)) is not None:
            return _require_column(name, there, OPTIONS[role], where)
        found = list_usual(role)
        if len(found) > 1:
            raise DataError(
                f"{where}: columns '{found[0]}' and '{found[1]}' may both hold the {role}: name one with "
                f"{OPTIONS[role]}"
            )
        return found[0] if found else None

    def need(role: str) -> str:
        if (name := find(role)) is None:
            shown = ", ".join(map(shorten_text, there)) or "none"
            raise DataError(f"{where}: no column of the {role} among: {shown}; set {OPTIONS[role]}")
        return name

    pictures = tuple(
        _require_column(name, there, "image_columns", where) for name in images or (need("image"),)
    )
    choices, right, answers, label = find("choices"), None, asked.get("answers"), asked.get("label")
    if answers is not None:
        answers = find("answers")
    if label is not None:
        label = find("label")
    if choices is not None:
        right = need("right")
    elif (stray := asked.get("right")) is not None:
        raise DataError(
            f"{where}: right_column is '{stray}', but there is no column of choices; set choices_column"
        )
    elif answers is None and label is None:
        if (both := (list_usual("answers"), list_usual("label"))) and all(both):
            raise DataError(
                f"{where}: columns '{both[0][0]}' and '{both[1][0]}' may both hold the answers: name one with "
                "answers_column or label_column"
            )
        label = find("label")
        answers = None if label is not None else need("answers")
    return QuestionColumns(
        find("id"), need("question"), pictures, choices, right, answers, label, find("group"), find("type")
    )


def _require_column(name: str, there: Sequence[str], option: str, where: str) -> str:
    if name not in there:
        raise OptionError(f"{where}: no column '{name}' ({option}){did_you_mean(name, there)}")
    return name
