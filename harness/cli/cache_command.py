"""`harness cache`: show or clear what can be made again: embeddings, trained tiny models, drawn data."""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path

from harness.cli.common import format_bytes, print_json
from harness.errors import HarnessError, did_you_mean
from harness.records.paths import cache_dir


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    add("action", choices=["show", "clear"], nargs="?", default="show")
    add("--part", metavar="NAME", help="only this part, as `show` lists them")
    add("--older-than", type=float, metavar="DAYS", help="only files unused for this many days")


def main(given: argparse.Namespace) -> int:
    """Show the parts with their sizes, or clear them."""
    folder = cache_dir()
    parts = sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    if given.part:
        names = [p.name for p in parts]
        if given.part not in names:
            raise HarnessError(f"{folder}: no part '{given.part}'{did_you_mean(given.part, names)}")
        parts = [p for p in parts if p.name == given.part]
    elif given.action == "clear" and (other := _find_foreign(folder)):
        raise HarnessError(
            f"{folder}: holds things that are not the harness's, such as {other.name}: name what to clear with "
            "--part NAME, or give $HARNESS_CACHE a separate folder"
        )
    sizes = {p.name: _folder_size(p) for p in parts}
    if given.action == "clear":
        freed = sum(_clear_part(p, given.older_than) for p in parts)
        if given.json:
            print_json({"folder": str(folder), "freed": freed})
        else:
            print(f"{folder}: {format_bytes(freed)} freed")
        return 0
    if given.json:
        print_json({"folder": str(folder), "parts": sizes})
    else:
        print(folder)
        for name, size in sizes.items():
            print(f"  {name:<16} {format_bytes(size)}")
        print(f"  {'in all':<16} {format_bytes(sum(sizes.values()))}")
    return 0


def _find_foreign(folder: Path) -> Path | None:
    """Return something in the folder that no cache has, a file or a hidden folder, or None."""
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    return next((p for p in inside if not p.is_dir() or p.name.startswith(".")), None)


def _folder_size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def _clear_part(folder: Path, days: float | None) -> int:
    if days is None:
        size = _folder_size(folder)
        shutil.rmtree(folder)
        return size
    freed, limit = 0, time.time() - days * 86400
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_mtime < limit:
            freed += path.stat().st_size
            path.unlink()
    return freed
