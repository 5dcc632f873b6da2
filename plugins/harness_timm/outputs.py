"""Names and number of a classifier's outputs, from options shared by timm's and torchvision's models.

ImageNet-1k's names come from timm's lists.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from harness import DataError, OptionError
from harness.inference.classes import normalise_class_name
from harness.inference.names_in_checkpoints import StoredNames, find_stored_names, read_names
from harness_timm.library_sources import package_folder

RANDOM_HEAD = "its head is new, random and untrained: the head of the weights has another size"


@dataclass(frozen=True)
class ClassOutputs:
    """The outputs' names and number, as far as the options define them."""

    names: list[str] | None
    count: int | None
    digest: list[str]
    """Addition to a fingerprint for names from a file, of which options hold only the path."""
    remarks: tuple[str, ...] = ()
    stored: StoredNames | None = None
    """Names that the checkpoint holds, if they are the outputs' names."""
    doubt: str | None = None
    """Why names that the checkpoint holds can't be the outputs', which nothing else names."""

    @classmethod
    def from_options(
        cls,
        where: str,
        count: int | None,
        given: Sequence[str] | Path | None,
        checkpoint: Path | None = None,
        label_space: str | None = None,
    ) -> ClassOutputs:
        """Combine `num_classes` and `class_names` (a list or a file) with names that the checkpoint holds.

        The checkpoint's are taken if neither `class_names` nor `label_space` is given; they don't set `count`.
        Raises OptionError for an unreadable file, for an empty list, or if the two options disagree.
        """
        own = cls._from_given(where, count, given)
        if checkpoint is None or count == 0 or (label_space and own.names is None):
            return own
        return own._add_stored(checkpoint, find_stored_names(checkpoint))

    @classmethod
    def _from_given(cls, where: str, count: int | None, given: Sequence[str] | Path | None) -> ClassOutputs:
        names = _read_names(where, given) if isinstance(given, Path) else given
        if names is None:
            return cls(None, count, [])
        if not names:
            raise OptionError(f"{where}: class_names has no names")
        if count not in (None, len(names)):
            raise OptionError(f"{where}: num_classes is {count}, class_names has {len(names)} names")
        in_file = isinstance(given, Path)
        return cls(list(names), len(names), [_digest(names)] if in_file else [])

    def _add_stored(self, checkpoint: Path, found: Sequence[StoredNames]) -> ClassOutputs:
        if not found:
            return self
        if self.names is not None:
            ours = list(map(normalise_class_name, self.names))
            if any(list(map(normalise_class_name, one.names)) == ours for one in found):
                return self
            said = f"the class_names given were taken, not those in {checkpoint.name} ({found[0]})"
            return replace(self, remarks=(said,))
        fit = [one for one in found if self.count in (None, len(one.names))]
        if len(fit) == 1:
            (stored,) = fit
            said = f"class names from {checkpoint.name} ({stored.key})"
            names = list(stored.names)
            return replace(self, names=names, digest=[_digest(names)], remarks=(said,), stored=stored)
        if fit:
            some = " and ".join(map(str, fit[:2]))
            doubt = f"checkpoint {checkpoint} names its outputs in {len(fit)} ways ({some})"
        else:
            one = found[0]
            doubt = f"checkpoint {checkpoint} names {len(one.names)} classes ({one}), but num_classes is {self.count}"
        return replace(self, doubt=f"{doubt}: give class_names")

    def describe_count(self, size: int) -> str:
        """Return which option says how many outputs there are, for a checkpoint's head of another `size`."""
        if self.names is None or self.stored is not None:
            return f"num_classes is {self.count}"
        shown = ", ".join(f"'{name}'" for name in self.names[:3]) + (", …" if len(self.names) > 3 else "")
        header = f"; is its first, '{self.names[0]}', a heading?" if len(self.names) == size + 1 else ""
        return f"class_names has {len(self.names)} names ({shown}){header}"

    def explain_head(self, checkpoint: Path | None, size: int) -> str | None:
        """Return why a head of `size` outputs contradicts the names that the checkpoint holds, or None."""
        if self.stored is None or size == len(self.stored.names):
            return None
        return (
            f"checkpoint {checkpoint} has a head of {size} outputs, but names {len(self.stored.names)} classes "
            f"({self.stored}): give class_names"
        )

    def find_missing(self, label_space: str | None, trained: bool) -> str | None:
        """Return why a model can't be used as a classifier, or None if it can.

        `trained` is true if its weights may have a head of any number of outputs.
        """
        if label_space or self.names:
            return None
        if self.doubt:
            return self.doubt
        if self.count is None:
            return "give num_classes or class_names (or label_space) to define its outputs"
        if not trained:
            return (
                f"a head of {self.count} outputs would be new and untrained: give the trained weights "
                "as checkpoint=FILE"
            )
        return None

    def class_keys(self, label_space: str | None) -> tuple[str, ...] | None:
        """Return ImageNet-1k's class keys if the outputs are its classes and have no other names, else None."""
        return imagenet_names() if label_space == "imagenet-1k" and self.names is None else None


@cache
def imagenet_names() -> tuple[str, ...]:
    """Return ImageNet-1k's 1000 classes, each as WordNet id and all names: `n01440764 tench, Tinca tinca`."""
    # read as package data: importing timm would import torch
    lists = package_folder("timm") / "data" / "_info"
    lines = (lists / "imagenet_synset_to_lemma.txt").read_text(encoding="utf-8").splitlines()
    names = dict(line.split("\t", 1) for line in lines)
    return tuple(f"{wnid} {names[wnid]}" for wnid in (lists / "imagenet_synsets.txt").read_text().split())


def _digest(names: Sequence[str]) -> str:
    return f"names:{hashlib.sha256(json.dumps(names).encode()).hexdigest()}"


def _read_names(where: str, file: Path) -> list[str] | None:
    from harness_data.class_names import read_lines

    if file.is_dir():
        raise OptionError(f"{where}: class_names {file} is a folder, expected a file with one name per line")
    try:
        names = _read_mapping(file) or read_lines(file)
    except DataError as error:
        raise OptionError(
            f"{where}: class_names must be a list, or a file with one name per line or {{name: index}} in JSON: {error}"
        ) from error
    if names is not None and len(names) == 1 and "," in names[0] and file.suffix.lower() != ".json":
        raise OptionError(f"{where}: class_names {file} is one line with commas, expected one name per line")
    return names


def _read_mapping(file: Path) -> list[str] | None:
    """Return the names in a JSON file of {name: index}, torchvision's `class_to_idx`, or {index: name}; else None."""
    try:
        found = json.loads(file.read_text(encoding="utf-8-sig")) if file.suffix.lower() == ".json" else None
    except (OSError, ValueError):
        return None
    names = read_names(found) if isinstance(found, dict) else None
    return None if names is None else list(names)
