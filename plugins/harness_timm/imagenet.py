"""What the outputs of a classifier are called: by the user, or by ImageNet-1k, from timm's lists."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from harness.errors import DataError, OptionError
from harness.libraries import package_folder


@cache
def output_names() -> tuple[str, ...]:
    """The 1000 outputs of a classifier, each by its WordNet id and all its names: `n01440764 tench, Tinca tinca`."""
    # read as package data: importing timm would import torch
    lists = package_folder("timm") / "data" / "_info"
    lines = (lists / "imagenet_synset_to_lemma.txt").read_text(encoding="utf-8").splitlines()
    names = dict(line.split("\t", 1) for line in lines)
    return tuple(f"{wnid} {names[wnid]}" for wnid in (lists / "imagenet_synsets.txt").read_text().split())


def names_of(where: str, given: Sequence[str] | Path | None) -> list[str] | None:
    """The names of a model's outputs from a list or a file; None without any.

    Raises OptionError for a file that can't be read, and for no names at all.
    """
    names = _in_file(where, given) if isinstance(given, Path) else given
    if names is not None and not names:
        raise OptionError(f"{where}: class_names has no names")
    return None if names is None else list(names)


def names_digest(given: Sequence[str] | Path | None, names: Sequence[str] | None) -> list[str]:
    """What names from a file add to a fingerprint: options hold only where it lies."""
    if names is None or not isinstance(given, Path):
        return []
    return [f"names:{hashlib.sha256(json.dumps(names).encode()).hexdigest()}"]


def _in_file(where: str, file: Path) -> list[str] | None:
    from harness_data.names import read_lines

    try:
        return read_lines(file)
    except DataError as error:
        raise OptionError(
            f"{where}: class_names is a list, or a file with one name per line: {error}"
        ) from error
