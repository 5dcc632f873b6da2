"""What all segmenters share: decoding, images of several sizes, their logits at the image's size, and losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness import DataError, OptionError, derive_seed
from harness_dense.images_by_size import compute_by_size, decode_only
from harness_segmenters.pixel_weights import UNCOUNTED

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import nn

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, of the channels."""

AUXILIARY = 0.5
"""Weight of the loss of coarse outputs, as in torchvision's reference."""


class Segmenter:
    """Segments and learns with a network; `_compute` is what differs."""

    class_names: Sequence[str]
    remarks: Sequence[str] = ()
    auxiliary = AUXILIARY
    _module: Any
    _device: torch.device
    _where: str

    @property
    def module(self) -> nn.Module:
        """The network (after `load`)."""
        module: nn.Module = self._module
        return module

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """Return an image as 3×H×W in [0, 1], of its own size."""
        return decode_only(image)

    def collate(self, images: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return the list: images differ in size."""
        return images

    def _compute(self, images: torch.Tensor, training: bool) -> Mapping[str, torch.Tensor]:
        """Return logits N×C×h×w of images N×3×H×W by name: `out`, and coarse ones in training."""
        raise NotImplementedError

    def begin(self, class_names: Sequence[str], seed: int) -> None:
        """Take new predictors for these classes, drawn from the seed."""
        raise NotImplementedError

    def segment(self, images: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return logits C×H×W of images 3×H×W of any sizes."""
        import torch

        def run(some: list[torch.Tensor]) -> Sequence[torch.Tensor]:
            batch = torch.stack(some)
            return list(resize_logits(self._compute(batch, training=False)["out"].float(), batch.shape[-2:]))

        with torch.inference_mode():
            return compute_by_size(images, run)

    def losses(
        self,
        images: Sequence[torch.Tensor],
        targets: Sequence[torch.Tensor],
        weights: Sequence[torch.Tensor] | None = None,
    ) -> Mapping[str, torch.Tensor]:
        """Return the cross-entropy of the output, and half that of coarse outputs.

        Smaller images are filled up at their right and lower edges with pixels that don't count.
        """
        batch, wanted = stack_padded(images, 0), stack_padded(targets, UNCOUNTED)
        weighed = None if weights is None else stack_padded(weights, 0)
        found = {}
        for name, logits in self._compute(batch, training=True).items():
            loss = pixel_loss(resize_logits(logits, batch.shape[-2:]), wanted, weighed)
            found[name] = loss if name == "out" else self.auxiliary * loss
        return found


def resize_logits(logits: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Return logits N×C×h×w brought to H×W, bilinear without aligned corners."""
    import torch.nn.functional as F

    if tuple(logits.shape[-2:]) == tuple(size):
        return logits
    return F.interpolate(logits, tuple(size), mode="bilinear", align_corners=False)


def resize_shorter(images: torch.Tensor, side: int | None) -> torch.Tensor:
    """Return images N×3×H×W whose shorter side is `side`, bilinear with antialiasing; unchanged for None."""
    import torch.nn.functional as F

    if side is None or min(images.shape[-2:]) == side:
        return images
    height, width = images.shape[-2:]
    # truncated, as torchvision does, which multiplies first
    size = (side, int(side * width / height)) if height <= width else (int(side * height / width), side)
    return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)


def stack_padded(maps: Sequence[torch.Tensor], value: float) -> torch.Tensor:
    """Return maps …×H×W as one tensor, filled up at their right and lower edges."""
    import torch
    import torch.nn.functional as F

    height, width = (max(one.shape[axis] for one in maps) for axis in (-2, -1))
    return torch.stack(
        [F.pad(one, (0, width - one.shape[-1], 0, height - one.shape[-2]), value=value) for one in maps]
    )


def pixel_loss(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """Return the cross-entropy of logits N×C×H×W, the mean over counted pixels by their weights N×H×W; 0 without any."""
    import torch
    import torch.nn.functional as F

    losses = F.cross_entropy(logits.float(), targets, ignore_index=UNCOUNTED, reduction="none")
    counted = (targets != UNCOUNTED).float()
    share = counted if weights is None else counted * weights
    return (losses * share).sum() / torch.clamp(share.sum(), min=1e-12)


def build_from_seed(make: Any, *axes: object) -> Any:
    """Return what `make` builds, its random numbers drawn from the axes alone."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("segmenter", *axes))
        return make()


def normalise(
    images: torch.Tensor, mean: Sequence[float] | None, deviation: Sequence[float] | None
) -> torch.Tensor:
    """Return images N×3×H×W less `mean`, divided by `deviation`, of the channels."""
    if mean is None or deviation is None:
        return images
    shift, scale = (images.new_tensor(list(values))[:, None, None] for values in (mean, deviation))
    return (images - shift) / scale


def check_output_names(where: str, names: Sequence[str] | None) -> None:
    """Raise OptionError for an empty list, and for a class that is named twice."""
    if names is not None and not names:
        raise OptionError(f"{where}: class_names has no names")
    if twice := next((name for name in names or () if list(names or ()).count(name) > 1), None):
        raise OptionError(f"{where}: class_names has '{twice}' twice")


def require_side(where: str, images: torch.Tensor, least: int) -> None:
    """Raise DataError for images N×3×H×W that are smaller than a network's coarsest cell."""
    height, width = images.shape[-2:]
    if min(height, width) < least:
        raise DataError(
            f"{where}: an image of {height}×{width} pixels is smaller than {least}, its coarsest cell"
        )
