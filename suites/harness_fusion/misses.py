"""Error analysis: group a pair classifier's misses by what they have in common, with examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import laplace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness import Split

EXAMPLES = 5

DESCRIPTIONS: dict[str, str] = {
    "conflict": "the modalities say different things",
    "blurred image": "the image has a small variance of the Laplacian",
    "short text": "the text has few words",
    "rare class": "the true class has few training pairs",
    "missing text": "there is no text",
    "missing image": "there is no image",
}
"""The groups to look for, in the order of reports."""


@dataclass(frozen=True)
class MissThresholds:
    """Thresholds of blurred images, short texts and rare classes.

    `blur`: variance of the Laplacian (grey levels 0 to 255) below which an image is blurred; by default
    the fraction `blurriest` of the given images are. `words`: most words of a short text. `rare`: a class
    is rare with less than this share of the mean number of training pairs per class.
    """

    blur: float | None = None
    blurriest: float = 0.1
    words: int = 3
    rare: float = 0.5


def laplacian_variance(image: Any) -> float:
    """Return the variance of the Laplacian of the grey image: small if there are no sharp edges.

    Takes any form of a sample's image. Pech-Pacheco et al., "Diatom autofocusing in brightfield
    microscopy", ICPR 2000; equal to the variance of OpenCV's `Laplacian` on the same grey values.
    """
    from harness.inference.images import decode

    grey = np.asarray(decode(image).convert("L"), dtype=np.float64)
    return float(laplace(grey, mode="mirror").var())


def measure_sharpness(split: Split, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return `laplacian_variance` of the images of these rows, NaN for missing ones."""
    images = (split[int(row)].image for row in rows)
    return np.array([np.nan if image is None else laplacian_variance(image) for image in images])


def find_miss_groups(
    split: Split,
    rows: NDArray[np.int64],
    train_targets: NDArray[np.int64],
    thresholds: MissThresholds = MissThresholds(),
    unimodal: Mapping[str, NDArray[np.int64]] | None = None,
) -> dict[str, NDArray[np.bool_]]:
    """Return the members of each group among the pairs at `rows` (bool, one value per row).

    The groups do not depend on the method, so compute them once for all methods. "conflict" comes from the
    data set's `groups`, else it means that the `unimodal` predictions (by modality, one per row) differ;
    without either, the group is left out.
    """
    targets, texts = np.asarray(split.targets)[rows], split.texts  # type: ignore[attr-defined]
    has_text, has_image = (np.asarray(getattr(split, f"has_{m}"))[rows] for m in ("text", "image"))
    found: dict[str, NDArray[np.bool_]] = {}
    told = getattr(split, "groups", {})
    if "conflict" in told:
        found["conflict"] = np.asarray(told["conflict"], bool)[rows]
    elif unimodal:
        first, *others = unimodal.values()
        found["conflict"] = np.any([first != other for other in others], axis=0) & has_text & has_image
    edges = measure_sharpness(split, rows)
    limit = thresholds.blur
    if limit is None:
        limit = float(np.quantile(edges[has_image], thresholds.blurriest)) if has_image.any() else 0.0
    found["blurred image"] = has_image & (np.nan_to_num(edges, nan=np.inf) < limit)
    found["short text"] = has_text & (np.array([len(texts[r].split()) for r in rows]) <= thresholds.words)
    counts = np.bincount(train_targets, minlength=len(split.class_names))  # type: ignore[attr-defined]
    found["rare class"] = (counts < thresholds.rare * counts.mean())[targets]
    found["missing text"], found["missing image"] = ~has_text, ~has_image
    return {name: found[name] for name in DESCRIPTIONS if name in found}


def analyse_misses(
    groups: Mapping[str, NDArray[np.bool_]],
    targets: NDArray[np.int64],
    predicted: NDArray[np.int64],
    confidence: NDArray[np.floating[Any]],
    ids: Sequence[str],
    texts: Sequence[str],
    class_names: Sequence[str],
    examples: int = EXAMPLES,
) -> dict[str, Any]:
    """Return a JSON-able analysis: each group's size, its misses, and the most confident misses.

    All arguments but the last two have one value per pair, in the same order. Groups overlap; "other"
    holds the pairs in none. Per group: `pairs`, `misses`, `error` (misses / pairs, None without pairs),
    `share` (of all misses), `examples` (id, text, true and predicted class, confidence).
    """
    missed = np.asarray(predicted) != np.asarray(targets)
    every = dict(groups)
    every["other"] = ~np.any(list(groups.values()), axis=0) if groups else np.ones(len(missed), bool)

    def described(inside: NDArray[np.bool_]) -> dict[str, Any]:
        wrong = np.flatnonzero(inside & missed)
        surest = wrong[np.argsort(-np.asarray(confidence)[wrong], kind="stable")][:examples]
        pairs = int(inside.sum())
        return {
            "pairs": pairs,
            "misses": len(wrong),
            "error": len(wrong) / pairs if pairs else None,
            "share": len(wrong) / int(missed.sum()) if missed.any() else 0.0,
            "examples": [
                {
                    "id": ids[i],
                    "text": texts[i],
                    "true": class_names[targets[i]],
                    "predicted": class_names[predicted[i]],
                    "confidence": round(float(confidence[i]), 4),
                }
                for i in surest
            ],
        }

    return {
        "pairs": len(missed),
        "misses": int(missed.sum()),
        "groups": {name: described(np.asarray(inside, bool)) for name, inside in every.items()},
    }
