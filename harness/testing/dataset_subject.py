"""A data set under test: its opened splits, and digests of what decides results in them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cached_property
from typing import Any

import numpy as np

from harness.contract.data import EncodedImage, Sample, Split
from harness.contract.declared import ask
from harness.errors import Unavailable
from harness.testing.verdicts import NotChecked, must, require_available

INSPECTED = 12
"""How many samples of a split are inspected one by one, besides the first and the last."""


class DatasetSubject:
    """A data set under test, and its opened splits."""

    def __init__(self, plugin: Any) -> None:
        self.plugin = plugin

    @cached_property
    def splits(self) -> dict[str, Split]:
        """The opened splits by name, without those that are not on this machine."""
        found: dict[str, Split] = {}
        reason = "there is no split"
        for name in self.names:
            with must(f"load('{name}') to open the split", "Suites may ask for every split that it names."):
                try:
                    found[name] = self.plugin.load(name)
                except Unavailable as error:
                    reason = str(error)
        if not found:
            raise NotChecked(reason)
        return found

    @property
    def names(self) -> Sequence[str]:
        """The names of the splits, from the light object."""
        require_available(self.plugin)
        with must("`splits` to name the splits before anything is loaded", "Planning asks for them."):
            return list(self.plugin.splits)


def pick_positions(split: Split) -> list[int]:
    """Return the first, the last, and a few other positions of a split."""
    count = len(split)
    if not count:
        return []
    inner = np.random.default_rng(count).integers(0, count, INSPECTED)
    return sorted({0, count - 1, *map(int, inner)})


def digest_value(value: Any) -> str:
    """Return a digest of what an image, a target, or a sequence of these holds, wherever it lies in memory."""
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(value, EncodedImage):
        digest.update(value.data)
    elif is_dataclass(value):
        digest.update("".join(digest_value(getattr(value, f.name)) for f in fields(value)).encode())
    elif isinstance(value, bytes):
        digest.update(b"bytes " + value)
    elif isinstance(value, Mapping):
        digest.update(" ".join(digest_value(item) for item in sorted(value.items())).encode())
    elif isinstance(value, Sequence) and not isinstance(value, str):  # such as masks that are made on access
        digest.update(" ".join(map(digest_value, value)).encode())
    elif isinstance(value, Mapping):
        digest.update(digest_value([part for pair in value.items() for part in pair]).encode())
    elif value is None or isinstance(value, str | int | float | bytes):
        digest.update(f"{type(value).__name__} {value!r}".encode())
    else:
        array = np.asarray(value)
        digest.update(f"{array.shape}{array.dtype}".encode() + array.tobytes())
    return digest.hexdigest()


def digest_content(split: Split, index: int) -> str:
    """Return a digest of what a sample shows, without its id and target."""
    return _digest_inputs(split[index])


def _digest_inputs(sample: Sample) -> str:
    return digest_value([*sample.images, None, *sample.texts])


def _describe_sample(sample: Sample) -> list[Any]:
    return [sample.id, sample.label, _digest_inputs(sample), digest_value(sample.target)]


def describe_samples(split: Split) -> dict[str, list[Any]]:
    """Return id, label, and digests of the content and the target of some samples, by position."""
    return {str(i): _describe_sample(split[i]) for i in pick_positions(split)}


def describe_split(split: Split) -> dict[str, Any]:
    """Return what decides results in a split, as numbers and digests that two processes can compare."""
    targets = split.targets
    if not isinstance(targets, np.ndarray):
        targets = [targets[i] for i in pick_positions(split)]
    return {
        "length": len(split),
        "ids": hashlib.sha256("\n".join(map(str, split.ids)).encode()).hexdigest(),
        "targets": digest_value(targets),
        "class names": [] if (names := ask(split, "class_names")) is None else list(names),
        "samples": describe_samples(split),
    }


def describe_dataset(dataset: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return a data set's fingerprint ("" if it has none) and what decides results in its splits."""
    fingerprint = dataset.fingerprint() if ask(dataset, "fingerprint") is not None else ""
    return {"fingerprint": fingerprint, "splits": {n: describe_split(dataset.load(n)) for n in names}}
