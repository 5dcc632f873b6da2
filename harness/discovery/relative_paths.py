"""Relative paths in a suite file: beside the file, or else in the current folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def resolve_paths(value: Any, folder: Path, said: list[str]) -> Any:
    """Return an option's value with its relative paths resolved from `folder`; append remarks to `said`.

    A path that exists only in the current folder stays as it is, for suite files that were written so;
    one that exists in neither stays too, for it may be below a data root.
    """
    if isinstance(value, Path):
        return _resolve_path(value, folder, said)
    if isinstance(value, list | tuple):
        return type(value)(resolve_paths(item, folder, said) for item in value)
    if isinstance(value, Mapping):
        return {key: resolve_paths(item, folder, said) for key, item in value.items()}
    return value


def _resolve_path(path: Path, folder: Path, said: list[str]) -> Path:
    if path.is_absolute() or str(path).startswith("~"):
        return path
    beside = folder / path
    if beside.exists():
        if path.exists():
            if path.samefile(beside):
                return path
            said.append(f"'{path}' is the one beside the suite file, not the one in the current folder")
        return beside
    if path.exists():
        said.append(
            f"'{path}' is in the current folder; beside the suite file, where it should be, it does not exist"
        )
    return path
