"""Images and their texts as retrieval reads them from a split of captions, or of image-text pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import DataError, Split

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class CaptionedImages:
    """N images and M texts, each of which belongs to one of them; every image has a text.

    `rows` N: the images' places in the split. `image_ids`, `groups` N: their ids, and what they belong to (images of
    one group are not independent). `texts` M, by image; `owners` M: the image of each. `remarks`: what was left out.
    """

    rows: NDArray[np.int64]
    image_ids: Sequence[str]
    groups: Sequence[str]
    texts: Sequence[str]
    owners: NDArray[np.int64]
    remarks: Sequence[str] = ()

    @property
    def text_ids(self) -> list[str]:
        """Ids of the texts, M: that of the image and the number among its texts, from 0."""
        place = np.arange(len(self.owners)) - self._starts[self.owners]
        return [f"{self.image_ids[o]}#{n}" for o, n in zip(self.owners.tolist(), place.tolist(), strict=True)]

    @property
    def texts_of_images(self) -> list[NDArray[np.int64]]:
        """The numbers of each image's texts."""
        return np.split(np.arange(len(self.owners)), self._starts[1:])

    @property
    def _starts(self) -> NDArray[np.int64]:
        """Where the texts of each image begin."""
        return np.searchsorted(self.owners, np.arange(len(self.image_ids)))

    def count_shared_texts(self) -> int:
        """Return how many texts are, word for word, also a text of another image."""
        images: dict[str, set[int]] = {}
        for text, owner in zip(self.texts, self.owners.tolist(), strict=True):
            images.setdefault(text, set()).add(owner)
        return sum(len(images[text]) > 1 for text in self.texts)


def read_captioned_images(split: Split, kind: str, captions: int | None, label: str) -> CaptionedImages:
    """Return the images and texts of a split, of which the first `captions` of each image count (None: all).

    `kind` is the data set's kind of target: "captions", or "label" for image-text pairs, whose splits have `texts`,
    `has_text` and `has_image`; `label` is what errors call the data set. Blank texts, images without a text and pairs
    of which a part is missing are left out, with a remark. Raises DataError if nothing is left, and for labels without
    texts.
    """
    of_each, remarks = _read_captions(split) if kind == "captions" else _read_pairs(split, label)
    if captions is not None and (few := sum(0 < len(texts) < captions for texts in of_each)):
        remarks.append(
            f"{few} of {len(of_each)} images have fewer than {captions} captions, all of which count"
        )
    of_each = [texts[:captions] for texts in of_each]
    rows = [row for row, texts in enumerate(of_each) if texts]
    if not rows:
        raise DataError(f"{label}: no sample has both an image and a text")
    groups = _read_groups(split)
    counts = [len(of_each[row]) for row in rows]
    return CaptionedImages(
        np.array(rows, np.int64),
        [str(split.ids[row]) for row in rows],
        [groups[row] for row in rows],
        [text for row in rows for text in of_each[row]],
        np.repeat(np.arange(len(rows)), counts),
        [f"{label}: {remark}" for remark in remarks],
    )


def _read_captions(split: Split) -> tuple[list[list[str]], list[str]]:
    given = [[str(text) for text in split.targets[row]] for row in range(len(split))]
    kept = [[text for text in texts if text.strip()] for texts in given]
    remarks = []
    if blank := sum(map(len, given)) - sum(map(len, kept)):
        remarks.append(f"{blank} of {sum(map(len, given))} captions are blank and left out")
    if bare := sum(not texts for texts in kept):
        remarks.append(f"{bare} of {len(kept)} images have no caption and are left out")
    return kept, remarks


def _read_pairs(split: Split, label: str) -> tuple[list[list[str]], list[str]]:
    found: list[Any] = [getattr(split, name, None) for name in ("texts", "has_text", "has_image")]
    if any(column is None for column in found):
        raise DataError(
            f"{label}: has labels, but no texts of its images: retrieval needs captions, or image-text pairs"
        )
    texts, has_text, has_image = found
    has_text = np.asarray(has_text, bool) & np.array([bool(str(text).strip()) for text in texts], bool)
    has_image = np.asarray(has_image, bool)
    whole = has_text & has_image
    remarks = []
    if not whole.all():
        remarks.append(
            f"{int((~whole).sum())} of {len(whole)} pairs are left out: {int((~has_text).sum())} have no text and "
            f"{int((~has_image).sum())} no image"
        )
    return [[str(text)] if both else [] for text, both in zip(texts, whole.tolist(), strict=True)], remarks


def _read_groups(split: Split) -> list[str]:
    """Return the group of each sample: what the split says of each, else its id."""
    groups: Any = getattr(split, "groups", None)
    # of pairs, `groups` maps names of kinds to masks
    if groups is None or isinstance(groups, Mapping) or len(groups) != len(split):
        groups = split.ids
    return [str(group) for group in groups]
