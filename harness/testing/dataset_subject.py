"""A data set under test: its opened splits, and what decides results in them as digests that can be compared."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from functools import cached_property
from typing import Any

import numpy as np

from harness.contract.data import Dataset, EncodedImage, Sample, Split
from harness.contract.declared import ask
from harness.errors import Unavailable
from harness.testing.outcome import NotChecked, must

LOOKED_AT = 12
"""Samples of a split that are looked at one by one."""


class DatasetSubject:
    """A data set to be checked, and its opened splits."""

    def __init__(self, plugin: Any) -> None:
        self.plugin = plugin

    @cached_property
    def splits(self) -> dict[str, Split]:
        """The opened splits by name, those of them that are here."""
        found: dict[str, Split] = {}
        away = ""
        for name in self.names:
            with must(f"load('{name}') to open the split", "Every split that it names may be asked for."):
                try:
                    found[name] = self.plugin.load(name)
                except Unavailable as error:  # a part that is not on this machine
                    away = str(error)
        if not found:
            raise NotChecked(away or "there is no split")
        return found

    @property
    def names(self) -> Sequence[str]:
        """The names of the splits, from the light object."""
        reason = self.plugin.unavailable() if ask(self.plugin, "unavailable") is not None else None
        if reason:
            raise NotChecked(reason)
        with must("`splits` to name the splits before anything is loaded", "Planning asks for them."):
            names: Sequence[str] = list(self.plugin.splits)
        return names


def some(split: Split) -> list[int]:
    """The first, the last, and a few other positions of a split."""
    count = len(split)
    if not count:
        return []
    inner = np.random.default_rng(count).integers(0, count, LOOKED_AT)
    return sorted({0, count - 1, *map(int, inner)})


def digest_of(value: Any) -> str:
    """A digest of an image, a target, or a sequence of these: of what they hold, wherever it lies in memory."""
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(value, EncodedImage):
        digest.update(value.data)
    elif is_dataclass(value):
        digest.update("".join(digest_of(getattr(value, f.name)) for f in fields(value)).encode())
    elif isinstance(value, list | tuple):
        digest.update(" ".join(map(digest_of, value)).encode())
    elif value is None or isinstance(value, str | int | float):
        digest.update(f"{type(value).__name__} {value}".encode())
    else:
        array = np.asarray(value)
        digest.update(f"{array.shape}{array.dtype}".encode() + array.tobytes())
    return digest.hexdigest()


def content(sample: Sample) -> str:
    """A digest of what a sample shows, without its id and target."""
    return digest_of([*sample.images, None, *sample.texts])


def content_at(split: Split, index: int) -> str:
    return content(split[index])


def described_sample(sample: Sample) -> list[Any]:
    """A sample's id, its label, and digests of what it shows and of its target."""
    return [sample.id, sample.label, content(sample), digest_of(sample.target)]


def described_split(dataset: Dataset, name: str, split: Split | None = None) -> dict[str, Any]:
    """What decides results in a split, as numbers and digests that two processes can compare."""
    split = dataset.load(name) if split is None else split
    ids = hashlib.sha256("\n".join(map(str, split.ids)).encode()).hexdigest()
    samples = {str(i): described_sample(split[i]) for i in some(split)}
    labels = isinstance(split.targets, np.ndarray)
    return {
        "length": len(split),
        "ids": ids,
        "targets": digest_of(split.targets if labels else [split.targets[i] for i in some(split)]),
        "class names": [] if (names := ask(split, "class_names")) is None else list(names),
        "samples": samples,
    }
