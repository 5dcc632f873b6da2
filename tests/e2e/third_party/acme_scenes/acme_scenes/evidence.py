"""What the protocols observe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness import Boxes


@dataclass(frozen=True, eq=False)
class Detections:
    """For N images, the boxes that were found (`boxes` M×4, `scores` M, `labels` M) and the true ones."""

    found: Sequence[Mapping[str, Any]]
    targets: Sequence[Boxes]
    ids: Sequence[str]

    @classmethod
    def example(cls, quality: float, seed: int) -> Detections:
        """As many of the true boxes found as the quality says."""
        rng = np.random.default_rng(seed)
        box = np.array([[1.0, 1.0, 5.0, 5.0]], np.float32)
        targets = [Boxes(box + n % 3, np.zeros(1, np.int64)) for n in range(60)]
        right = rng.permutation(60) < round(quality * 60)
        found = [
            {"boxes": t.boxes if r else t.boxes + 20, "scores": np.ones(1), "labels": t.labels}
            for t, r in zip(targets, right, strict=True)
        ]
        return cls(found, targets, [str(n) for n in range(60)])

    def shuffled(self, seed: int) -> Detections:
        """The same images in another order."""
        order = np.random.default_rng(seed).permutation(len(self.ids))
        parts = (self.found, self.targets, self.ids)
        return Detections(*([values[i] for i in order] for values in parts))


@dataclass(frozen=True, eq=False)
class Descriptions:
    """For N images, what was said of them and what may be said."""

    said: Sequence[str]
    targets: Sequence[Sequence[str]]

    @classmethod
    def example(cls, quality: float, seed: int) -> Descriptions:
        """As many right sentences as the quality says."""
        right = np.random.default_rng(seed).permutation(60) < round(quality * 60)
        return cls(["this" if r else "that" for r in right], [["this", "it"]] * 60)
