"""What families of torchvision's and timm's networks share: first weights, channels, heads, and their checks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import OptionError
from harness.inference.weights import one_line
from harness_networks.contracts import NetworkFamily, Shape

if TYPE_CHECKING:
    import torch
    from torch import nn

    from harness_timm import TimmModel
    from harness_torchvision.models import TorchvisionModel

COLOURS = 3


class CatalogueFamily(NetworkFamily):
    """Base class of families whose networks a library builds, with random or with trained first weights.

    `source` is the harness's model of the same network: it knows the names, obtains trained weights and
    reads checkpoints. Subclasses build networks with random weights in `draw` and change those with
    trained ones in `adapt`; the head is always new.
    """

    mean: tuple[float, ...] | None = None
    """After `load`, the mean per channel of images in [0, 1] that trained weights expect; None from scratch."""
    std: tuple[float, ...] | None = None
    """The same of the standard deviation."""

    def __init__(
        self, where: str, source: TimmModel | TorchvisionModel, pretrained: bool, checkpoint: Path | None
    ) -> None:
        if pretrained and checkpoint is not None:
            raise OptionError(f"{where}: give pretrained=true or checkpoint=FILE, not both")
        self.where, self._source = where, source
        self.starts_trained = pretrained or checkpoint is not None
        self.tags = {"start": "pre-trained" if self.starts_trained else "scratch"}
        self.remarks: list[str] = []
        self._trained: Any = None

    def unavailable(self) -> str | None:
        """Return why a named file or folder can't be used, or None; planning downloads nothing."""
        return self._source.unavailable()

    def fingerprint(self) -> str:
        """Return what identifies the trained weights; an empty text from scratch."""
        return self._source.fingerprint() if self.starts_trained else ""

    def load(self, device: torch.device) -> None:
        """Obtain the trained weights, if there are any.

        Raises `Unavailable` for weights that can't be obtained, `OptionError` for weights that don't fit.
        """
        import torch

        super().load(device)
        if not self.starts_trained:
            return
        self._source.load(torch.device("cpu"))
        self._trained = self._source.module
        if (prepared := self._source.preparation) is not None:
            self.mean, self.std = prepared.mean, prepared.std

    def fits(self, shape: Shape, classes: int) -> str | None:
        """Return why not, for images that are neither grey nor in colour."""
        if shape[0] in (1, COLOURS):
            return None
        return f"{self.where} takes images of 1 or {COLOURS} channels, these have {shape[0]}"

    def build(self, shape: Shape, classes: int) -> nn.Module:
        """Build the network for images C×H×W, grey or in colour.

        Raises OptionError if it can't take images of that shape.
        """
        import copy

        import torch

        if problem := self.fits(shape, classes):
            raise OptionError(problem)
        if self.starts_trained:
            if self._trained is None:
                self.load(torch.device("cpu"))
            self.remarks = list(self._source.remarks)
            network = self.adapt(copy.deepcopy(self._trained), shape, classes)
        else:
            self.remarks = []
            network = self.draw(shape, classes)
        if sees_other_channels(network, shape[0]):
            self._take_grey(network)
        self._check_outputs(network, shape, classes)
        return network.train()

    def draw(self, shape: Shape, classes: int) -> nn.Module:
        """Build the network with random weights, which torch's global generator draws."""
        raise NotImplementedError

    def adapt(self, network: nn.Module, shape: Shape, classes: int) -> nn.Module:
        """Return a network with trained weights for images of a shape, with a new head."""
        raise NotImplementedError

    def note_new_head(self, before: int, classes: int) -> None:
        """Remark that the trained head was replaced."""
        self.remarks.append(f"its trained head of {before} outputs is replaced by a new one of {classes}")

    def _take_grey(self, network: nn.Module) -> None:
        sum_first_kernels(network)
        self.remarks.append(
            "images are grey: the first convolution's kernels are summed over colours, as if grey were repeated"
        )

    def _check_outputs(self, network: nn.Module, shape: Shape, classes: int) -> None:
        """Raise OptionError unless the network makes B×classes of images B×C×H×W."""
        import torch

        network.eval()
        try:
            with torch.no_grad():
                found = tuple(network(torch.zeros(2, *shape)).shape)
        except (RuntimeError, ValueError, AssertionError, IndexError, TypeError) as error:
            size = "×".join(map(str, shape))
            raise OptionError(f"{self.where}: can't take images {size}: {one_line(error)}") from error
        if found != (2, classes):
            raise OptionError(f"{self.where}: makes outputs {found} of 2 images, not 2×{classes}")


def first_convolution(network: nn.Module) -> tuple[str, nn.Conv2d]:
    """Return the name and the layer of a network's first convolution. Raises OptionError if there is none."""
    from torch import nn

    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d):
            return name, layer
    raise OptionError(f"{type(network).__name__} has no convolution to take images")


def sees_other_channels(network: nn.Module, channels: int) -> bool:
    """Return whether a network for colour images is to take images of another number of channels."""
    return channels != COLOURS and first_convolution(network)[1].in_channels == COLOURS


def sum_first_kernels(network: nn.Module) -> None:
    """Let a network take grey images: its outputs become those of the image repeated in all colours."""
    from torch import nn

    _, layer = first_convolution(network)
    summed = layer.weight.detach().sum(1, keepdim=True)
    layer.weight = nn.Parameter(summed, requires_grad=layer.weight.requires_grad)
    layer.in_channels = 1
