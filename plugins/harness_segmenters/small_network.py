"""The small encoder with one of its decoders, and a coarse output that helps it learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from torch import Tensor, nn

from harness_segmenters.context_module import ContextModule
from harness_segmenters.small_decoders import ScoreSum, SkipDecoder, UnpoolingDecoder
from harness_segmenters.small_encoder import SmallEncoder

DecoderName = Literal["fcn32", "fcn8", "unet", "deconvnet", "segnet", "dilated"]


class SmallNetwork(nn.Module):
    """An encoder and a decoder; `out`, and in training `coarse`, scores of the coarsest map.

    Args:
        decoder: see `SmallSegmenter`.
        widths: channels of the encoder's stages.
        convolutions: how many convolutions each has.
        norm: whether batch norm follows each.
        classes: C.
        context: size of the context module of the dilated one.
        coarse: whether there is a coarse output.
    """

    def __init__(
        self,
        decoder: DecoderName,
        widths: Sequence[int],
        convolutions: Sequence[int],
        norm: bool,
        classes: int,
        context: Literal["none", "basic", "large"],
        coarse: bool,
    ) -> None:
        super().__init__()
        self.dilated = decoder == "dilated"
        self.encoder = SmallEncoder(widths, convolutions, norm, self.dilated)
        self.coarse = nn.Conv2d(widths[-1], classes, 1) if coarse or self.dilated else None
        self.decoder: Any
        if decoder in ("fcn32", "fcn8"):
            self.decoder = ScoreSum(widths, classes, 1 if decoder == "fcn32" else 3)
        elif decoder == "unet":
            self.decoder = SkipDecoder(widths, convolutions, norm, classes)
        elif decoder in ("segnet", "deconvnet"):
            self.decoder = UnpoolingDecoder(
                widths, convolutions, norm, classes, transposed=decoder == "deconvnet"
            )
        else:
            self.decoder = nn.Identity() if context == "none" else ContextModule(classes, context)

    def forward(self, images: Tensor) -> Mapping[str, Tensor]:
        """Return scores N×C×h×w of images N×3×H×W by name."""
        encoded = self.encoder(images)
        coarse = {} if self.coarse is None else {"coarse": self.coarse(encoded.maps[-1])}
        out = self.decoder(coarse["coarse"] if self.dilated else encoded)
        return {"out": out, **coarse}
