"""Any of torchvision's classifiers by name, and the base class of families with options of their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness import OptionError
from harness.inference.weights import one_line
from harness_networks.catalogue import CatalogueFamily
from harness_networks.contracts import Shape
from harness_torchvision.models import UNTRAINED, TorchvisionModel, find_head, replace_head

if TYPE_CHECKING:
    from torch import nn

_WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")


class TorchvisionFamily(CatalogueFamily):
    """Any of torchvision's classifiers by its name there, from random or from trained weights.

    Auxiliary heads are left out. Vision transformers from scratch are built for the images' size.

    Args:
        name: torchvision's name of the network, such as wide_resnet50_2.
        pretrained: start from torchvision's recommended weights; they are downloaded unless cached.
        checkpoint: a safetensors or torch file to start from instead.
        weights_key: location of the weights in the checkpoint, if several fit.
    """

    smallest: ClassVar[dict[str, Any]] = {"name": "shufflenet_v2_x0_5"}

    def __init__(
        self,
        name: str,
        pretrained: bool = False,
        checkpoint: Path | None = None,
        weights_key: str | None = None,
    ) -> None:
        # the label space is of no use, as the head is replaced; it keeps class names from being looked for
        source = TorchvisionModel(
            name,
            weights="DEFAULT" if pretrained else UNTRAINED,
            checkpoint=checkpoint,
            label_space="imagenet-1k",
            weights_key=weights_key,
        )
        super().__init__(f"torchvision-network:{name}", source, pretrained, checkpoint)
        self.name = source.name

    def arguments(self, shape: Shape) -> dict[str, Any]:
        """Return torchvision's own options for a network with random weights, besides the classes."""
        if self.name in _WITH_AUXILIARY_HEADS:
            return {"aux_logits": False, "init_weights": True}
        return {"image_size": shape[1]} if self.name.startswith("vit_") else {}

    def draw(self, shape: Shape, classes: int) -> nn.Module:
        """Build the network with random weights, which torch's global generator draws."""
        from torchvision import models

        try:
            network: nn.Module = models.get_model(
                self.name, weights=None, num_classes=classes, **self.arguments(shape)
            )
        except (RuntimeError, ValueError, TypeError) as error:
            raise OptionError(f"{self.where}: torchvision can't build it: {one_line(error)}") from error
        return network

    def adapt(self, network: nn.Module, shape: Shape, classes: int) -> nn.Module:
        """Return the network with trained weights, without auxiliary heads and with a new head."""
        auxiliary = [name for name, _ in network.named_children() if name.lower().startswith("aux")]
        if auxiliary:
            for name in auxiliary:
                setattr(network, name, None)
            self.remarks.append(f"auxiliary heads are left out: {', '.join(auxiliary)}")
        if self.name in _WITH_AUXILIARY_HEADS:
            network.aux_logits = False  # type: ignore[assignment]  # a plain attribute, not a module
        head = find_head(network)
        before = network.get_submodule(head).weight
        replace_head(network, head, classes)
        self.note_new_head(len(before), classes)  # type: ignore[arg-type]  # a head's weight is a tensor
        return network
