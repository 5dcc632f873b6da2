"""Models in a folder with their weights and settings, referenced as `local-dir:FOLDER`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from harness.inference.weights import digest, explain_missing_file

SCHEME = "local-dir:"

WEIGHTS = frozenset((".safetensors", ".bin", ".pt", ".pth"))

READ = frozenset((".json", ".safetensors", ".bin", ".pt", ".pth", ".tar", ".txt", ".model"))
"""Suffixes of weights, settings and vocabularies, in lower case."""


def parse_folder(name: str) -> Path | None:
    """Return the folder that a model's name refers to; None if it names no folder."""
    return Path(name.removeprefix(SCHEME)) if name.startswith(SCHEME) else None


def is_timm_folder(folder: Path) -> bool:
    """Return whether a folder's settings name an architecture, as timm writes them."""
    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(settings, dict) and "architecture" in settings


def find_folder_problem(where: str, folder: Path, settings: str, weights: bool = True) -> str | None:
    """Return why a model folder can't be used, or None: it needs a `settings` file and, with `weights`, readable weights."""
    library = where.partition(":")[0]
    if not (folder / settings).is_file():
        return f"{where}: {folder} is not a folder with {library}'s {settings} and weights"
    found = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in WEIGHTS]
    if weights and not found:
        return f"{where}: {folder} has {settings} but no weights file"
    problems = (explain_missing_file(where, file) for file in found if weights)
    return next((problem for problem in problems if problem), None)


def folder_digest(folder: Path) -> str:
    """Return the SHA-256 of names and contents of weights, settings and vocabularies directly in a folder.

    Raises `Unavailable` for a file that can't be read.
    """
    whole = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in READ and file.is_file():
            whole.update(f"{file.name}\x1f{digest(file)}\x1f".encode())
    return whole.hexdigest()
