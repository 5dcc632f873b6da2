"""The model `small-segmenter`: one encoder with six ways back to pixels, trained from scratch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness import OptionError
from harness.inference.weights import digest, explain_missing_file, load_weights, read_weights
from harness_segmenters.segmenter_base import (
    AUXILIARY,
    Segmenter,
    build_from_seed,
    check_output_names,
    require_side,
)

if TYPE_CHECKING:
    import torch
    from torch import nn

MIDDLE, SPREAD = 0.5, 0.25
"""What images are normalised by, all channels alike."""


class SmallSegmenter(Segmenter):
    """A segmenter without pretrained weights: an encoder that pools `depth` times, and one of six decoders.

    `fcn32` reads the coarsest map alone, `fcn8` adds the scores of the next two (with five poolings these are FCN-32s
    and FCN-8s); `unet` concatenates the encoder's maps; `segnet` and `deconvnet` unpool to the places of the maxima;
    `dilated` pools two times less, dilates instead, and ends with the context module. Scores that are coarser than the
    image are interpolated. A coarse output under the encoder is learned as well, which is not used afterwards (but by
    `dilated`).

    Args:
        decoder: which one.
        width: channels of the first stage, doubled after each pooling.
        depth: poolings of the encoder.
        widths: channels of each stage, in place of `width` and `depth`.
        convolutions: how many 3×3 convolutions each stage has; by default two each. A last stage may have none.
        norm: whether batch norm follows them.
        context: size of the context module.
        auxiliary: weight of the coarse output's loss; 0 leaves that output out.
        class_names: the classes of a checkpoint, in order.
        checkpoint: a safetensors or torch file with weights.
    """

    def __init__(
        self,
        decoder: Literal["fcn32", "fcn8", "unet", "deconvnet", "segnet", "dilated"] = "unet",
        width: int = 12,
        depth: int = 3,
        widths: list[int] | None = None,
        convolutions: list[int] | None = None,
        norm: bool = True,
        context: Literal["none", "basic", "large"] = "basic",
        auxiliary: float = AUXILIARY,
        class_names: list[str] | None = None,
        checkpoint: Path | None = None,
    ) -> None:
        self._where = "small-segmenter"
        if width < 1 or not 2 <= depth <= 6:
            raise OptionError(
                f"{self._where}: width must be at least 1 and depth from 2 to 6, not {width} and {depth}"
            )
        self.widths = [width * 2**n for n in range(depth + 1)] if widths is None else list(widths)
        if not 3 <= len(self.widths) <= 7 or min(self.widths) < 1:
            raise OptionError(
                f"{self._where}: widths must be 3 to 7 numbers of at least 1, not {self.widths}"
            )
        self.convolutions = [2] * len(self.widths) if convolutions is None else list(convolutions)
        if len(self.convolutions) != len(self.widths) or min([1, *self.convolutions[:-1]]) < 1:
            raise OptionError(
                f"{self._where}: convolutions must be {len(self.widths)} numbers, one per stage, of at least 1"
            )
        if self.convolutions[-1] < 0 or (self.convolutions[-1] == 0 and self.widths[-1] != self.widths[-2]):
            raise OptionError(
                f"{self._where}: a last stage without convolutions has the width of the one before"
            )
        if auxiliary < 0:
            raise OptionError(f"{self._where}: auxiliary must be at least 0, not {auxiliary}")
        if checkpoint is not None and not class_names:
            raise OptionError(
                f"{self._where}: class_names must name the classes of the checkpoint, in its order"
            )
        self.decoder, self.norm, self.context, self.auxiliary = decoder, norm, context, auxiliary
        check_output_names(self._where, class_names)
        self.class_names: Sequence[str] = list(class_names or ())
        self.checkpoint = checkpoint

    @property
    def needs_training(self) -> bool:
        """Whether it has learned nothing so far."""
        return self.checkpoint is None

    def unavailable(self) -> str | None:
        """Return why the checkpoint can't be used, or None."""
        return explain_missing_file(self._where, self.checkpoint)

    def fingerprint(self) -> str:
        """Return the checkpoint's digest, if there is one."""
        return "" if self.checkpoint is None else f"sha256:{digest(self.checkpoint)}"

    def build_network(self, classes: int) -> nn.Module:
        """Return the network with new weights."""
        from harness_segmenters.small_network import SmallNetwork

        return SmallNetwork(
            self.decoder,
            self.widths,
            self.convolutions,
            self.norm,
            classes,
            self.context,
            self.auxiliary > 0,
        )

    def load(self, device: torch.device) -> None:
        """Build the network, in evaluation mode, with the checkpoint's weights or random ones."""
        self._device = device
        module = build_from_seed(lambda: self.build_network(max(len(self.class_names), 1)), self._where)
        if self.checkpoint is not None:
            state = read_weights(self._where, self.checkpoint, module)
            load_weights(self._where, self.checkpoint, module, state)
            self.remarks = tuple(state.remarks)
        self._module = module.to(device).eval()

    def begin(self, class_names: Sequence[str], seed: int) -> None:
        """Draw weights from the seed for these classes; those of a checkpoint stay where classes don't decide them."""
        from harness_dense.new_predictors import copy_shared

        module = build_from_seed(lambda: self.build_network(len(class_names)), self._where, seed)
        if self.checkpoint is not None:
            copy_shared(self._module, module, self.build_network)
        self.class_names = list(class_names)
        self._module = module.to(self._device).eval()
        self.remarks = ()

    def _compute(self, images: torch.Tensor, training: bool) -> Mapping[str, torch.Tensor]:
        require_side(self._where, images, self._module.encoder.stride)
        found: dict[str, torch.Tensor] = self._module((images - MIDDLE) / SPREAD)
        wanted = ("out", "coarse") if training and self.auxiliary else ("out",)
        return {name: found[name] for name in wanted}
