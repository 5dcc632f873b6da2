"""What the outputs of a classifier are: what the user says of them, and ImageNet-1k's names from timm's lists.

timm's and torchvision's models take the same options for them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness import DataError, OptionError
from harness.discovery.libraries import package_folder

RANDOM_HEAD = "its head is new and random: the weights have one of another size; nothing trained it"


@dataclass(frozen=True)
class ClassOutputs:
    """The outputs' names and number, as far as the options say them."""

    names: list[str] | None
    count: int | None
    digest: list[str]
    """What names from a file add to a fingerprint: options hold only where it lies."""

    @classmethod
    def from_options(cls, where: str, count: int | None, given: Sequence[str] | Path | None) -> ClassOutputs:
        """Return what `num_classes` and `class_names` (a list or a file) say.

        Raises OptionError for a file that can't be read, for no names at all, and where the two disagree.
        """
        names = _read_names(where, given) if isinstance(given, Path) else given
        if names is None:
            return cls(None, count, [])
        if not names:
            raise OptionError(f"{where}: class_names has no names")
        if count not in (None, len(names)):
            raise OptionError(f"{where}: num_classes is {count}, class_names has {len(names)} names")
        in_file = isinstance(given, Path)
        digest = [f"names:{hashlib.sha256(json.dumps(names).encode()).hexdigest()}"] if in_file else []
        return cls(list(names), len(names), digest)

    def find_missing(self, label_space: str | None, trained: bool) -> str | None:
        """Return why a model can't be read as a classifier, None where it can.

        `trained` says whether its weights may hold a head of any number of outputs.
        """
        if label_space or self.names:
            return None
        if self.count is None:
            return "say num_classes or class_names (or label_space), so that its outputs are known"
        if not trained:
            return (
                f"a head of {self.count} outputs would be new and untrained: give the trained weights "
                "as checkpoint=FILE"
            )
        return None

    def class_keys(self, label_space: str | None) -> tuple[str, ...] | None:
        """Return what ImageNet-1k calls the outputs where they are these and have no names of their own."""
        return imagenet_names() if label_space == "imagenet-1k" and self.names is None else None


@cache
def imagenet_names() -> tuple[str, ...]:
    """The 1000 outputs of a classifier, each by its WordNet id and all its names: `n01440764 tench, Tinca tinca`."""
    # read as package data: importing timm would import torch
    lists = package_folder("timm") / "data" / "_info"
    lines = (lists / "imagenet_synset_to_lemma.txt").read_text(encoding="utf-8").splitlines()
    names = dict(line.split("\t", 1) for line in lines)
    return tuple(f"{wnid} {names[wnid]}" for wnid in (lists / "imagenet_synsets.txt").read_text().split())


def _read_names(where: str, file: Path) -> list[str] | None:
    from harness_data.names import read_lines

    try:
        return read_lines(file)
    except DataError as error:
        raise OptionError(
            f"{where}: class_names is a list, or a file with one name per line: {error}"
        ) from error
