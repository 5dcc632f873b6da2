"""Finds the tables of a folder of pairs by usual names, in the folder or in usual folders below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.inference.splits import SYNONYMS, Role
from harness_data.pair_tables import TABLE_SUFFIXES

ALL, UNLABELLED = "all", "unlabelled"
SPLITS: Mapping[Role, str] = {"train": "train", "validation": "val", "test": "test"}
"""The name of the split of each role whose table has a usual name, in order."""

LABEL_FILES = ("labels", "label", "annotations", "metadata", "pairs", "data", "index", "train")
"""Names of tables of all pairs, the likeliest first."""

UNLABELLED_FILES = ("unlabelled", "unlabeled", "test_without_label", "test_without_labels")

TABLE_FOLDERS = ("data", "annotations", "annotation", "labels", "splits", "metadata", "tables")
"""Folders that are searched for tables if the folder itself has none."""


def find_pair_tables(
    folder: Path, labels: str | None = None, unlabelled: str | None = None
) -> dict[str, Path]:
    """Return the table of each split of a folder, in order.

    `labels` and `unlabelled` name the tables of all and of further pairs. Otherwise a table `train` with
    another split's makes these splits; else a single table makes the split `all`.
    """
    if labels is not None:
        bare = folder / unlabelled if unlabelled else _find_named(_list_tables(folder), UNLABELLED_FILES)
        return {ALL: folder / labels} | ({UNLABELLED: bare} if bare else {})
    for below in ("", *TABLE_FOLDERS):
        if (folder / below).is_dir() and (found := _find_usual_tables(folder / below)):
            extra = {UNLABELLED: folder / unlabelled} if unlabelled else {}
            return found | extra
    return {}


def list_other_tables(folder: Path) -> list[str]:
    """Return the names of files that may be tables of pairs by their suffix, apart from `.txt`."""
    return [p.name for p in _list_tables(folder) if p.suffix.lower() != ".txt"]


def _find_usual_tables(folder: Path) -> dict[str, Path]:
    there = _list_tables(folder)
    bare = _find_named(there, UNLABELLED_FILES)
    extra = {UNLABELLED: bare} if bare else {}
    own = {split: file for role, split in SPLITS.items() if (file := _find_named(there, SYNONYMS[role]))}
    if "train" in own and len(own) > 1:
        return own | extra
    single = _find_named(there, LABEL_FILES)
    return ({ALL: single} | extra) if single else {}


def _list_tables(folder: Path) -> list[Path]:
    found = (p for p in folder.iterdir() if p.suffix.lower() in TABLE_SUFFIXES and not p.name.startswith("."))
    return sorted(p for p in found if p.is_file())


def _find_named(there: Sequence[Path], names: Sequence[str]) -> Path | None:
    """Return the first table with one of the names in any case, by the order of names, then `TABLE_SUFFIXES`."""
    for name in names:
        for suffix in TABLE_SUFFIXES:
            for path in there:
                if path.name.lower() in (f"{name}{suffix}", name):
                    return path
    return None
