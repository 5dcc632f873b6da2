"""Images as models prepare them, whose sizes must stay: boxes and masks count in the image's own pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness import DataError, Sample, decode

if TYPE_CHECKING:
    import torch


def take_whole(sample: Sample) -> Sample:
    """Return the sample, for `prepare_whole`."""
    return sample


def prepare_whole(model: Any, sample: Sample) -> torch.Tensor:
    """Return a sample's image 3×H×W as the model prepares it.

    Raises DataError if there is none, or the model changes its size: boxes and classes count in the image's own pixels.
    """
    if sample.image is None:
        raise DataError(f"sample '{sample.id}' has no image")
    image = decode(sample.image, sample.id)
    prepared: torch.Tensor = model.prepare(image)
    if tuple(prepared.shape) != (3, image.height, image.width):
        given = "×".join(map(str, prepared.shape))
        raise DataError(
            f"sample '{sample.id}': `prepare` of {type(model).__name__} makes {given} of an image of "
            f"3×{image.height}×{image.width}: boxes and classes count in its own pixels, so that resizing belongs into "
            "what follows"
        )
    return prepared
