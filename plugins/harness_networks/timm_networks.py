"""Any of timm's networks by name, from random or from trained weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness import OptionError
from harness.inference.weights import explain_weights_download, one_line
from harness_networks.catalogue import CatalogueFamily
from harness_networks.contracts import Shape
from harness_timm import TimmModel

if TYPE_CHECKING:
    from torch import nn


class TimmFamily(CatalogueFamily):
    """Any of timm's networks by its name there, from random or from trained weights.

    Networks for images of a fixed size are built for the size of the images at hand; trained ones are
    resized by timm, where it can.

    Args:
        name: timm's name of the architecture, with or without the tag of its weights.
        pretrained: start from timm's weights; they are downloaded unless cached.
        checkpoint: a safetensors or torch file to start from instead.
        weights_key: location of the weights in the checkpoint, if several fit.
    """

    smallest: ClassVar[dict[str, Any]] = {"name": "test_resnet"}

    def __init__(
        self,
        name: str,
        pretrained: bool = False,
        checkpoint: Path | None = None,
        weights_key: str | None = None,
    ) -> None:
        # the label space is of no use, as the head is replaced; it keeps class names from being looked for
        source = TimmModel(
            name,
            pretrained=pretrained,
            checkpoint=checkpoint,
            label_space="imagenet-1k",
            weights_key=weights_key,
        )
        super().__init__(f"timm-network:{name}", source, pretrained, checkpoint)
        self.name = name

    def draw(self, shape: Shape, classes: int) -> nn.Module:
        """Build the network with random weights, which torch's global generator draws."""
        import timm

        options: dict[str, Any] = {"num_classes": classes, "in_chans": shape[0]}
        known = timm.get_pretrained_cfg(self.name) if timm.is_model(self.name) else None
        if known is not None and known.fixed_input_size and shape[1:] != tuple(known.input_size[1:]):
            options["img_size"] = shape[1:]
        try:
            with explain_weights_download(self.where, "its configuration is on the hub: fetch it first"):
                network: nn.Module = timm.create_model(self.name, pretrained=False, **options)
        except (RuntimeError, ValueError, TypeError, AssertionError) as error:
            raise OptionError(
                f"{self.where}: timm can't build it for images {shape[1]}×{shape[2]}: {one_line(error)}"
            ) from error
        return network

    def adapt(self, network: nn.Module, shape: Shape, classes: int) -> nn.Module:
        """Return the network with trained weights, resized where timm can, with a new head."""
        timm_network: Any = network
        before = int(timm_network.num_classes)
        timm_network.reset_classifier(classes)
        self.note_new_head(before, classes)
        settings = timm_network.pretrained_cfg
        fixed, size = settings.get("fixed_input_size"), tuple(settings.get("input_size", ())[1:])
        if fixed and size != shape[1:] and hasattr(timm_network, "set_input_size"):
            timm_network.set_input_size(img_size=shape[1:])
            self.remarks.append(f"timm resized it from images {size[0]}×{size[1]} to {shape[1]}×{shape[2]}")
        return network
