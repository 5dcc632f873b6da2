"""Models that lie in a folder with their weights and settings, as `local-dir:FOLDER` names them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.inference.weights import digest, explain_missing_file

SCHEME = "local-dir:"

WEIGHTS = frozenset((".safetensors", ".bin", ".pt", ".pth"))

READ = frozenset((".json", ".safetensors", ".bin", ".pt", ".pth", ".tar", ".txt", ".model"))
"""Suffixes of weights, settings and vocabularies, in lower case."""


def folder_of(name: str) -> Path | None:
    """The folder that a model's name stands for; None for any other name."""
    return Path(name.removeprefix(SCHEME)) if name.startswith(SCHEME) else None


def folder_problem(where: str, folder: Path, settings: str, weights: bool = True) -> str | None:
    """Why a folder of a model with its `settings` file can't be used, or None; `weights`: whether it needs some."""
    library = where.partition(":")[0]
    if not (folder / settings).is_file():
        return f"{where}: {folder} is no folder with {library}'s {settings} and weights"
    found = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in WEIGHTS]
    if weights and not found:
        return f"{where}: {folder} has {settings} but no file of weights"
    problems = (explain_missing_file(where, file) for file in found if weights)
    return next((problem for problem in problems if problem), None)


def folder_digest(folder: Path) -> str:
    """SHA-256 over names and contents of the weights, settings and vocabularies directly in a folder.

    Raises `Unavailable` for a file that can't be read.
    """
    whole = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in READ and file.is_file():
            whole.update(f"{file.name}\x1f{digest(file)}\x1f".encode())
    return whole.hexdigest()
