"""The data set `scene-pairs`: drawn posts of an image and a text; the label depends on either, both or their conflict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness import DataError, OptionError, Sample
from harness.errors import did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

LabelFrom = Literal["both", "text", "image", "xor"]

RELATIONS = ("conflict", "agreement")
"""Class names of the planted exclusive or."""

BLUR = 1.6
"""Radius of the blur in pixels."""


class ScenePairSplit:
    """Pairs in memory, as a `Split`; a missing image is None, a missing text is ""."""

    per_sample = ("texts", "has_text", "has_image", "groups")

    def __init__(
        self,
        images: NDArray[np.uint8],
        texts: Sequence[str],
        targets: NDArray[np.int64],
        prefix: str,
        class_names: Sequence[str],
        groups: Mapping[str, NDArray[Any]],
    ) -> None:
        """`groups` holds at least "missing_text" and "missing_image" (bool N)."""
        self._images = images
        self.has_text: NDArray[np.bool_] = ~groups["missing_text"]
        self.has_image: NDArray[np.bool_] = ~groups["missing_image"]
        self.texts = [t if there else "" for t, there in zip(texts, self.has_text, strict=True)]
        self.targets = targets
        self.ids: Sequence[str] = [f"{prefix}/{i:05d}" for i in range(len(targets))]
        self.class_names = list(class_names)
        self.groups = dict(groups)
        self.report: dict[str, Any] = {
            "pairs": len(targets),
            "kinds": {
                kind: {
                    "count": int(groups[name].sum()),
                    "of": of,
                    "names": [self.ids[i] for i in np.flatnonzero(groups[name])[:50]],
                }
                for kind, name, of in (
                    ("text missing", "missing_text", "pairs"),
                    ("image missing", "missing_image", "pairs"),
                )
            },
        }

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        image = self._images[index] if self.has_image[index] else None
        return Sample(self.ids[index], image, int(self.targets[index]), self.texts[index])


class ScenePairs:
    """Posts of a 32×32 drawing and a short text, each negative, neutral or positive on its own.

    The drawn object sets the image's polarity, a word the text's; the two are independent. With
    `label_from="both"` the label is the polarity they share; if one is neutral, the other's; and in a
    conflict (one negative, one positive) the text's if the text is emphatic ("really awful"), the
    image's if it is mild ("rather awful"). The classes are imbalanced. Labels belong to complete
    posts, before texts or images are removed.

    Args:
        label_from: what determines the label. Planted cases: `text` or `image` alone (the other is
            uninformative), or `xor`: two classes, conflict or agreement of two polarities that are
            negative or positive with equal odds, so that neither modality alone is informative.
        count: pairs in the split `all`; the split `unlabelled` has a tenth as many, all different.
        missing: share of pairs without a text, and the same share of other pairs without an image.
        blur: share of pairs with a blurred image.
        seed: seed of everything that is drawn.
    """

    splits: Sequence[str] = ("all", "unlabelled")

    def __init__(
        self,
        label_from: LabelFrom = "both",
        count: int = 2400,
        missing: float = 0.08,
        blur: float = 0.1,
        seed: int = 0,
    ) -> None:
        if count < 20:
            raise OptionError(f"scene-pairs: count must be at least 20, not {count}")
        if not 0 <= missing <= 0.5:
            raise OptionError(f"scene-pairs: missing must be from 0 to 0.5, not {missing}")
        if not 0 <= blur <= 1:
            raise OptionError(f"scene-pairs: blur must be from 0 to 1, not {blur}")
        self.label_from, self.count, self.missing, self.blur, self.seed = (
            label_from, count, missing, blur, seed,
        )  # fmt: skip

    def fingerprint(self) -> str:
        """Return the version of the drawing recipe."""
        from harness_embedded.scene_pair_drawing import RECIPE

        return RECIPE

    def load(self, split: str) -> ScenePairSplit:
        """Draw the split, or read its pixels from the cache.

        Raises:
            DataError: there is no such split.
        """
        from harness import derive_seed
        from harness_embedded.scene_pair_drawing import (
            POLARITIES,
            RECIPE,
            SHARES,
            blur_scene_pairs,
            draw_scene_pairs,
        )

        if split not in self.splits:
            raise DataError(f"scene-pairs has no split '{split}'{did_you_mean(split, self.splits)}")
        count = self.count if split == "all" else max(1, self.count // 10)
        xor = self.label_from == "xor"
        posts = draw_scene_pairs(split, count, self.seed, (0.5, 0.0, 0.5) if xor else SHARES)

        rng = np.random.default_rng(derive_seed(RECIPE, "losses", split, count, self.seed))
        order, lost = rng.permutation(count), round(self.missing * count)
        no_text, no_image = np.zeros(count, bool), np.zeros(count, bool)
        no_text[order[:lost]], no_image[order[lost : 2 * lost]] = True, True
        soft = np.zeros(count, bool)
        soft[rng.permutation(count)[: round(self.blur * count)]] = True
        images = posts.images
        if soft.any():
            images = images.copy()
            images[soft] = blur_scene_pairs(images[soft], BLUR)

        whole = ~(no_text | no_image)
        opposed = np.abs(posts.text - posts.image) == 2
        names = np.array(POLARITIES)
        groups: dict[str, NDArray[Any]] = {
            "conflict": opposed & whole,
            "agreement": (posts.text == posts.image) & whole,
            "missing_text": no_text,
            "missing_image": no_image,
            "blurred": soft & ~no_image,
            "emphatic": posts.emphatic,
            "text_polarity": names[posts.text],
            "image_polarity": names[posts.image],
        }
        targets = self._assign_labels(posts.text, posts.image, posts.emphatic)
        if split == "unlabelled":
            targets = np.full(count, -1, np.int64)
        classes = RELATIONS if xor else POLARITIES
        return ScenePairSplit(images, posts.texts, targets, f"scene-pairs-{split}", classes, groups)

    def _assign_labels(
        self, text: NDArray[np.int64], image: NDArray[np.int64], emphatic: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        if self.label_from == "xor":
            alike: NDArray[np.int64] = (text == image).astype(np.int64)
            return alike
        if self.label_from in ("text", "image"):
            return text if self.label_from == "text" else image
        neutral = 1
        in_conflict = np.where(emphatic, text, image)
        opposed = np.abs(text - image) == 2
        return np.where(opposed, in_conflict, np.where(text == neutral, image, text)).astype(np.int64)
