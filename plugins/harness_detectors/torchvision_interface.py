"""What all networks share that are called as torchvision's detectors: `network(images, targets)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness import DataError, derive_seed
from harness_dense.contracts import Found
from harness_dense.images_by_size import compute_by_size, decode_only
from harness_detectors.detection_targets import to_torchvision

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import nn

    from harness import Boxes

MASK_THRESHOLD = 0.5
"""Probability from which a pixel belongs to an object."""


class CalledLikeTorchvision:
    """Detects and learns with a network whose labels begin with 1, 0 being the background.

    In train mode `network(images, targets)` returns losses by name, in evaluation mode boxes, scores, labels and
    perhaps masks (M×1×H×W, probabilities) of each image.
    """

    class_names: Sequence[str]
    _module: Any
    _outputs: Sequence[int] | None = None
    """For each label of the network, the index of its class or −1; by default label i is class i − 1."""
    _where: str

    @property
    def module(self) -> nn.Module:
        """The network (after `load`)."""
        module: nn.Module = self._module
        return module

    @property
    def learns_masks(self) -> bool:
        """Whether the network learns masks."""
        return getattr(getattr(self._module, "roi_heads", None), "mask_predictor", None) is not None

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """Return an image as 3×H×W in [0, 1], of its own size."""
        return decode_only(image)

    def collate(self, images: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return the list: images differ in size."""
        return images

    def detect(self, images: Sequence[torch.Tensor]) -> list[Found]:
        """Return what is found in images 3×H×W of any sizes."""
        import torch

        with torch.inference_mode():
            return compute_by_size(images, self._detect)

    def _detect(self, images: list[torch.Tensor]) -> list[Found]:
        import torch

        found = []
        for one in self._module(images):
            labels = one["labels"] - 1
            if self._outputs is not None:
                labels = torch.tensor(self._outputs, device=labels.device)[one["labels"]]
            order = torch.argsort(one["scores"], descending=True, stable=True)
            order = order[labels[order] >= 0]
            masks = one["masks"][order, 0] > MASK_THRESHOLD if "masks" in one else None
            found.append(Found(one["boxes"][order], one["scores"][order], labels[order], masks))
        return found

    def losses(self, images: Sequence[torch.Tensor], targets: Sequence[Boxes]) -> Mapping[str, torch.Tensor]:
        """Return the losses by name. Raises DataError if masks are learned and images have none."""
        if self.learns_masks and any(truth.masks is None and len(truth.labels) for truth in targets):
            raise DataError(
                f"{self._where}: it learns masks, and the data set has none: choose a model without"
            )
        device = images[0].device
        truths = [
            to_torchvision(truth, device, self.learns_masks and truth.masks is not None) for truth in targets
        ]
        if self.learns_masks:
            for image, truth in zip(images, truths, strict=True):
                if not len(truth["labels"]):
                    truth["masks"] = image.new_zeros((0, *image.shape[1:])).byte()
        losses: Mapping[str, torch.Tensor] = self._module(list(images), truths)
        return losses


def build_seeded(make: Any, *axes: object) -> Any:
    """Return what `make` builds, its random numbers drawn from the axes alone."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("detector", *axes))
        return make()


def count_outputs(class_names: Sequence[str]) -> int:
    """Return the outputs of a network for these classes and the background; for a single one if there are none yet."""
    return max(len(class_names), 1) + 1
