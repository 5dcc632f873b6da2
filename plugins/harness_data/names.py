"""Class names and prompt templates that a user gives as a list or as a text or JSON file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from harness import DataError
from harness.inference.zeroshot import check_templates
from harness_data.file_names import readable


def read_lines(given: Sequence[str] | Path | None) -> list[str] | None:
    """The list as given, or the lines of a text file, or a JSON file's list; None stays None.

    Blank lines are left out. Raises DataError naming the file.
    """
    if given is None or not isinstance(given, Path):
        return None if given is None else list(given)
    text = _text(given)
    if given.suffix.lower() != ".json":
        return [line.strip() for line in text.splitlines() if line.strip()]
    found = _json(given, text)
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise DataError(f"{given}: expected a JSON list of strings")
    return found


def class_names_for(given: Sequence[str] | Path | None, classes: Sequence[str], where: str) -> list[str]:
    """A name for prompts for each of `classes`.

    `given` has one name per class in the same order, or is a JSON file mapping class to name.
    Without it the classes themselves serve, underscores read as spaces.
    Raises DataError when the numbers differ or a class has no name.
    """
    if given is None:
        return [readable(c).replace("_", " ") for c in classes]
    if isinstance(given, Path) and given.suffix.lower() == ".json":
        found = _json(given, _text(given))
        if isinstance(found, dict):
            if missing := [c for c in classes if not isinstance(found.get(c), str)]:
                raise DataError(f"{given}: no name for class '{missing[0]}' of {where}")
            return [found[c] for c in classes]
    names = read_lines(given) or []
    if len(names) != len(classes):
        source = str(given) if isinstance(given, Path) else "class_names"
        raise DataError(f"{source}: {len(names)} names for the {len(classes)} classes of {where}")
    return names


def templates_from(given: Sequence[str] | Path | None) -> list[str] | None:
    """Prompt templates, each with a place `{}` for the class name; `{c}` is read as the same.

    Raises DataError when there are none, or one has no such place.
    """
    templates = read_lines(given)
    if templates is None:
        return None
    return check_templates(templates, str(given) if isinstance(given, Path) else "templates", DataError)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # without the mark that editors on Windows put first
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not UTF-8 text") from None


def _json(path: Path, text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: is not JSON ({error})") from None
