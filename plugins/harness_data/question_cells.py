"""Reads questions, answers, choices and the right one from cells of a table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any, Literal

from harness import DataError, did_you_mean
from harness_data.text_encoding import replace_surrogates

RightAs = Literal["text", "letter", "index"]

_INDEX = re.compile(r"-?[0-9]{1,9}")


def read_text_cell(value: Any) -> str | None:
    """Return a text or number as text without surrounding blanks; None if it is missing, empty or anything else."""
    if isinstance(value, float):
        value = None if value != value else int(value) if value.is_integer() else value
    return (replace_surrogates(str(value)).strip() or None) if isinstance(value, str | int | float) else None


def shorten_text(text: str) -> str:
    """Return a text of a file in one line of at most 60 characters, for messages."""
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:59]}…"


def read_index(value: Any) -> int | None:
    """Return the whole number that a cell holds, as number or text; None if it holds anything else."""
    text = read_text_cell(value)
    return int(text) if text is not None and _INDEX.fullmatch(text) else None


def read_text_list(value: Any, what: str, where: str) -> tuple[str, ...]:
    """Return the texts of a cell: of a list, of a single text, or of objects with an `answer`, as VQA has them.

    Raises DataError, naming the record, for none, and for an empty one.
    """
    values = value if isinstance(value, list) else [] if value is None else [value]
    texts = [
        read_text_cell(one["answer"] if isinstance(one, dict) and "answer" in one else one) for one in values
    ]
    if not texts:
        raise DataError(f"{where}: has no {what}")
    found = tuple(text for text in texts if text is not None)
    if len(found) < len(texts):
        raise DataError(f"{where}: one of its {len(texts)} {what} is empty, or no text")
    return found


def read_choices_cell(value: Any, where: str) -> tuple[str, ...]:
    """Return the choices of a cell: a list, texts by label (letters), or `{"text": [...], "label": [...]}`.

    Raises DataError, naming the record, unless there are at least two.
    """
    if isinstance(value, dict):
        value = (
            value["text"] if isinstance(value.get("text"), list) else [value[n] for n in _name_choices(value)]
        )
    if not isinstance(value, list):
        raise DataError(f"{where}: its choices are a {type(value).__name__}, expected a list of texts")
    found = read_text_list(value, "choices", where)
    if len(found) < 2:
        raise DataError(f"{where}: has a single choice")
    return found


def read_choice_labels(value: Any, where: str) -> tuple[str, ...] | None:
    """Return the labels that a cell itself gives to its choices, in their order; None if it is a list of texts alone.

    Raises DataError, naming the record, for labels that are not one per choice, or not all different.
    """
    if not isinstance(value, dict):
        return None
    if not isinstance(texts := value.get("text"), list):
        return tuple(_name_choices(value))
    if not isinstance(labels := value.get("label"), list):
        return None
    found = read_text_list(labels, "labels of choices", where)
    if len(found) != len(texts) or len(set(found)) < len(found):
        raise DataError(f"{where}: {len(set(found))} labels of {len(texts)} choices: {', '.join(found)}")
    return found


def _name_choices(texts: dict[str, Any]) -> list[str]:
    """Return the labels of texts by label, without those that have no text."""
    return [label for label, text in texts.items() if text is not None]


def find_right_choice(
    value: Any,
    choices: Sequence[str],
    where: str,
    right_as: RightAs | None = None,
    first: int = 0,
    labels: Sequence[str] | None = None,
) -> int:
    """Return which choice is right, from its text, letter, or index (the first being `first`).

    Where the data label their choices themselves, `labels` takes the place of letters and indices. With `right_as`
    only that reading counts. Raises DataError, naming the record, if it is none of the choices, and if it may mean
    two of them.
    """
    text = read_text_cell(value)
    if text is None or isinstance(value, bool):
        raise DataError(f"{where}: has no right answer")
    readings: dict[RightAs, int] = {}
    if text in choices:
        readings["text"] = choices.index(text)
    if labels is not None and text in labels and right_as != "index":
        readings["letter"] = labels.index(text)
    elif (index := read_index(text)) is not None:
        readings["index"] = index - first
    elif labels is None and len(text) == 1 and text in ascii_uppercase:
        readings["letter"] = ascii_uppercase.index(text)
    found = {
        how: index for how, index in readings.items() if right_as in (None, how) and 0 <= index < len(choices)
    }
    if not found:
        counted = f", counted from {first}" if "index" in readings and right_as in (None, "index") else ""
        as_asked = f" as {right_as}" if right_as else ""
        near = (
            ""
            if readings or right_as not in (None, "text")
            else did_you_mean(text, map(shorten_text, choices))
        )
        raise DataError(
            f"{where}: the right answer '{shorten_text(text)}' is not among its {len(choices)} choices{as_asked}{counted}{near}"
        )
    if len(set(found.values())) > 1:
        (one, a), (other, b) = list(found.items())[:2]
        raise DataError(
            f"{where}: the right answer '{text}' is the {one} of choice {a + 1} and the {other} of choice {b + 1}: "
            f"set right_as to {one} or {other}"
        )
    return next(iter(found.values()))
