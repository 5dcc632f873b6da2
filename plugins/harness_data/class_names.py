"""Reads class names and prompt templates that a user gives as a list, a text file or a JSON file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from harness import DataError
from harness.inference.zeroshot import check_templates
from harness_data.file_names import escape_file_name


def read_lines(given: Sequence[str] | Path | None) -> list[str] | None:
    """Return the given list, the non-blank lines of a text file, or the list in a JSON file; None for None.

    Raises DataError naming the file.
    """
    if given is None or not isinstance(given, Path):
        return None if given is None else list(given)
    text = _read_text(given)
    if given.suffix.lower() != ".json":
        return [line.strip() for line in text.splitlines() if line.strip()]
    found = _parse_json(given, text)
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise DataError(f"{given}: expected a JSON list of strings")
    return found


def resolve_class_names(given: Sequence[str] | Path | None, classes: Sequence[str], where: str) -> list[str]:
    """Return the name for prompts of each of `classes`.

    `given` has one name per class in the same order, or is a JSON file mapping class to name. Without it, use
    the classes themselves, with spaces for underscores. Raises DataError if the numbers differ or a class has
    no name.
    """
    if given is None:
        return [escape_file_name(c).replace("_", " ") for c in classes]
    if isinstance(given, Path) and given.suffix.lower() == ".json":
        found = _parse_json(given, _read_text(given))
        if isinstance(found, dict):
            if missing := [c for c in classes if not isinstance(found.get(c), str)]:
                raise DataError(f"{given}: no name for class '{missing[0]}' of {where}")
            return [found[c] for c in classes]
    names = read_lines(given) or []
    if len(names) != len(classes):
        source = str(given) if isinstance(given, Path) else "class_names"
        raise DataError(f"{source}: {len(names)} names for the {len(classes)} classes of {where}")
    return names


def read_templates(given: Sequence[str] | Path | None) -> list[str] | None:
    """Return prompt templates, each with `{}` (or `{c}`) for the class name.

    Raises DataError if there are none, or one lacks the placeholder.
    """
    templates = read_lines(given)
    if templates is None:
        return None
    return check_templates(templates, str(given) if isinstance(given, Path) else "templates", DataError)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # editors on Windows put a byte order mark first
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not UTF-8 text") from None


def _parse_json(path: Path, text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: is not JSON ({error})") from None
