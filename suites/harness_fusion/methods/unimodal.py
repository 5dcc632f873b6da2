"""Baselines that every fusion must beat: the majority class, and each modality alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_fusion.methods.option_checks import check_at_least

if TYPE_CHECKING:
    from torch import nn


class Majority:
    """The class frequencies of the training part as every sample's prediction."""

    modalities: tuple[str, ...] = ()
    reads = "pooled"

    def build(self, text: int, image: int, classes: int, dropout: float) -> nn.Module:
        """Return the module; it has no parameters."""
        from harness_fusion.networks.decision import MajorityNetwork

        return MajorityNetwork(classes)


class TextOnly:
    """One hidden layer on the text's vector. Nothing is built, run or counted for the image.

    Args:
        hidden: width of the hidden layer.
    """

    modalities = ("text",)
    reads = "pooled"

    def __init__(self, hidden: int = 128) -> None:
        check_at_least(1, "text-only", hidden=hidden)
        self.hidden = hidden

    def build(self, text: int, image: int, classes: int, dropout: float) -> nn.Module:
        """Return the module for texts of width `text`."""
        from harness_fusion.networks.pooled import Unimodal

        return Unimodal("text", text, self.hidden)


class ImageOnly:
    """One hidden layer on the image's vector. Nothing is built, run or counted for the text.

    Args:
        hidden: width of the hidden layer.
    """

    modalities = ("image",)
    reads = "pooled"

    def __init__(self, hidden: int = 128) -> None:
        check_at_least(1, "image-only", hidden=hidden)
        self.hidden = hidden

    def build(self, text: int, image: int, classes: int, dropout: float) -> nn.Module:
        """Return the module for images of width `image`."""
        from harness_fusion.networks.pooled import Unimodal

        return Unimodal("image", image, self.hidden)
