"""The data set `scene-domains`: drawn photographs and sketches of the same scenes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness import DataError, OptionError
from harness.errors import did_you_mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness import Sample

SPLITS = ("trainA", "trainB", "testA", "testB")


class SceneDomains:
    """Photograph-like drawings (A) and sketches (B) of the same scenes, 32×32 RGB, with class labels.

    The n-th images of both domains show the same scene, so translations can be compared with the
    truth. Unpaired training draws from the two domains independently and never sees the pairing.

    Args:
        train: number of training scenes.
        test: number of test scenes.
    """

    splits: Sequence[str] = SPLITS
    paired = True

    def __init__(self, train: int = 1200, test: int = 300) -> None:
        if min(train, test) < 12:
            raise OptionError("scene-domains: train and test must be at least 12, one scene of each class")
        self.counts = {"train": train, "test": test}

    def fingerprint(self) -> str:
        """Return the version of the drawing recipe."""
        from harness_embedded.drawing import RECIPE

        return f"scene-domains-1 {RECIPE}"

    def load(self, split: str) -> SceneDomainSplit:
        """Return one domain's training or test part; raise DataError for an unknown split."""
        if split not in SPLITS:
            raise DataError(f"scene-domains has no split '{split}'{did_you_mean(split, SPLITS)}")
        return SceneDomainSplit(split, self.counts[split[:-1]])


class SceneDomainSplit:
    """Scenes drawn from a seed shared by both domains, rendered in the domain's style."""

    def __init__(self, split: str, count: int) -> None:
        import numpy as np

        from harness import derive_seed
        from harness_embedded.painting import paint, painting_to_bytes
        from harness_embedded.sampling import REFERENCE, sample_scenes
        from harness_embedded.shapes import CLASSES
        from harness_embedded.styles import render_styles

        rng = np.random.default_rng(derive_seed("scene-domains", split[:-1], count))
        labels = np.arange(count, dtype=np.int64) % len(CLASSES)
        layers = paint(sample_scenes(rng, labels, REFERENCE), rng)
        style = np.array(["photo" if split.endswith("A") else "sketch"] * count)
        own = np.random.default_rng(derive_seed("scene-domains", split, count))
        self.images: NDArray[np.uint8] = painting_to_bytes(render_styles(layers, style, own))
        self.targets: NDArray[np.int64] = labels
        self.class_names: Sequence[str] = list(CLASSES)
        self.ids: Sequence[str] = [f"{split}/{n:05d}" for n in range(count)]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        from harness import Sample

        return Sample(self.ids[index], self.images[index], int(self.targets[index]))
