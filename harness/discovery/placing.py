"""Where the relative paths of a suite file lie: beside the file, or else in the current folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def placed(value: Any, folder: Path, said: list[str]) -> Any:
    """Return an option's value with its relative paths counted from `folder`; `said` gets what is worth a remark.

    A path that lies in the current folder alone stays as it is, for suite files that were written so;
    one that lies in neither stays too, for it may be looked for below a data root.
    """
    if isinstance(value, Path):
        return _placed(value, folder, said)
    if isinstance(value, list | tuple):
        return type(value)(placed(item, folder, said) for item in value)
    if isinstance(value, Mapping):
        return {key: placed(item, folder, said) for key, item in value.items()}
    return value


def _placed(path: Path, folder: Path, said: list[str]) -> Path:
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
            f"'{path}' lies in the current folder; beside the suite file, where paths count from, there is none"
        )
    return path
