"""The model `smp-segmenter`: decoders of segmentation_models_pytorch on any of its encoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness import OptionError
from harness.inference.weights import (
    digest,
    explain_missing_file,
    explain_weights_download,
    load_weights,
    one_line,
    read_weights,
)
from harness_segmenters.segmenter_base import (
    DEVIATION,
    MEAN,
    Segmenter,
    build_from_seed,
    check_output_names,
    normalise,
)

if TYPE_CHECKING:
    import torch
    from torch import nn

PACKAGE = "segmentation_models_pytorch"
STEP = 32
"""Sides are filled up to multiples of it, which all its networks take."""


class SmpSegmenter(Segmenter):
    """A network of segmentation_models_pytorch: `decoder` on `encoder`, for images of any size.

    Args:
        decoder: which one, by smp's name.
        encoder: smp's name of the encoder; timm's as `tu-NAME`.
        encoder_weights: smp's name of pretrained weights of the encoder, whose normalisation of images is taken, too; or
            `none`, with ImageNet's.
        class_names: the classes of a checkpoint, in order.
        checkpoint: a safetensors or torch file with weights.
    """

    def __init__(
        self,
        decoder: Literal[
            "unet", "unetplusplus", "manet", "linknet", "fpn", "pspnet", "pan", "deeplabv3", "deeplabv3plus", "upernet",
            "segformer",
        ] = "unet",
        encoder: str = "resnet34",
        encoder_weights: str = "none",
        class_names: list[str] | None = None,
        checkpoint: Path | None = None,
    ) -> None:  # fmt: skip
        self._where = f"smp-segmenter:{decoder}/{encoder}"
        if checkpoint is not None and not class_names:
            raise OptionError(
                f"{self._where}: class_names must name the classes of the checkpoint, in its order"
            )
        self.decoder, self.encoder, self.encoder_weights = decoder, encoder, encoder_weights
        check_output_names(self._where, class_names)
        self.class_names: Sequence[str] = list(class_names or ())
        self.checkpoint = checkpoint

    @property
    def needs_training(self) -> bool:
        """Whether its decoder has learned nothing so far."""
        return self.checkpoint is None

    def unavailable(self) -> str | None:
        """Return what is missing: the library, or the checkpoint; None if nothing is."""
        if find_spec(PACKAGE) is None:
            return f"{self._where}: {PACKAGE} is not installed; pip install 'vision-harness[smp]'"
        return explain_missing_file(self._where, self.checkpoint)

    def fingerprint(self) -> str:
        """Return the checkpoint's digest, and the library's version."""
        try:
            here = version(PACKAGE)
        except PackageNotFoundError:
            here = "not installed"
        weights = "" if self.checkpoint is None else f"sha256:{digest(self.checkpoint)} "
        return f"{weights}{PACKAGE} {here}"

    def build_network(self, classes: int, encoder_weights: str | None = None) -> nn.Module:
        """Return the network with new weights. Raises OptionError for what smp does not know."""
        import segmentation_models_pytorch as smp

        try:
            network: nn.Module = smp.create_model(
                self.decoder, self.encoder, encoder_weights, in_channels=3, classes=classes
            )
        except (KeyError, ValueError) as error:
            raise OptionError(
                f"{self._where}: segmentation_models_pytorch can't build it: {one_line(error)}"
            ) from error
        return network

    def load(self, device: torch.device) -> None:
        """Build the network, in evaluation mode. Raises Unavailable for weights that can't be obtained."""
        self._device = device
        remedy = "get it on a machine with a network, or take encoder_weights = 'none'"
        named = None if self.encoder_weights == "none" or self.checkpoint else self.encoder_weights
        with explain_weights_download(self._where, remedy):
            module = build_from_seed(
                lambda: self.build_network(max(len(self.class_names), 1), named), self._where
            )
            self._mean, self._deviation = self._read_normalisation()
        if self.checkpoint is not None:
            state = read_weights(self._where, self.checkpoint, module)
            load_weights(self._where, self.checkpoint, module, state)
            self.remarks = tuple(state.remarks)
        self._module = module.to(device).eval()

    def _read_normalisation(self) -> tuple[Sequence[float], Sequence[float]]:
        import segmentation_models_pytorch as smp

        if self.encoder_weights == "none":
            return MEAN, DEVIATION
        try:
            found = smp.encoders.get_preprocessing_params(self.encoder, pretrained=self.encoder_weights)
        except (KeyError, ValueError) as error:
            raise OptionError(
                f"{self._where}: no weights '{self.encoder_weights}': {one_line(error)}"
            ) from error
        return found.get("mean") or MEAN, found.get("std") or DEVIATION

    def begin(self, class_names: Sequence[str], seed: int) -> None:
        """Draw a new decoder from the seed, or only new predictors for a checkpoint; the encoder stays if it is pretrained."""
        from harness_dense.new_predictors import copy_shared

        module = build_from_seed(lambda: self.build_network(len(class_names)), self._where, seed)
        if self.checkpoint is not None:
            copy_shared(self._module, module, self.build_network)
        elif self.encoder_weights != "none":
            module.get_submodule("encoder").load_state_dict(
                self._module.get_submodule("encoder").state_dict()
            )
        self.class_names = list(class_names)
        self._module = module.to(self._device).eval()

    def _compute(self, images: torch.Tensor, training: bool) -> Mapping[str, torch.Tensor]:
        import torch.nn.functional as F

        height, width = images.shape[-2:]
        below, right = (-side % STEP for side in (height, width))
        filled = F.pad(normalise(images, self._mean, self._deviation), (0, right, 0, below))
        return {"out": self._module(filled)[..., :height, :width]}
