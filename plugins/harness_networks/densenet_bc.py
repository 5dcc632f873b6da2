"""DenseNet-BC for small images (Huang et al. 2017), of torchvision's dense layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from harness import OptionError
from harness_networks.contracts import NetworkFamily, Shape
from harness_networks.option_checks import explain_small_image, require_at_least, require_share

if TYPE_CHECKING:
    from torch import nn


class DenseNetBCFamily(NetworkFamily):
    """DenseNet-BC-depth-growth: three dense blocks with bottlenecks; transitions halve maps and side.

    In place of ImageNet's stem it has one convolution 3×3 to 2·growth maps.

    Args:
        depth: 6·n + 4 for n layers per block: 100, 190 or 250 in the paper.
        growth: maps that each layer adds (k); its bottleneck has four times as many.
        dropout: share of each layer's new maps' values that is left out (0.2 in the paper where images
            are not augmented).
    """

    smallest: ClassVar = {"depth": 10, "growth": 4}

    def __init__(self, depth: int = 100, growth: int = 12, dropout: float = 0.0) -> None:
        require_at_least("densenet-bc", 1, growth=growth)
        require_share("densenet-bc", dropout=dropout)
        if depth < 10 or (depth - 4) % 6:
            raise OptionError(f"densenet-bc: depth must be 6·n + 4, such as 40 or 100, found {depth}")
        self.depth, self.growth, self.dropout = depth, growth, dropout

    def fits(self, shape: Shape, classes: int) -> str | None:
        """Return why not, for images that two transitions leave nothing of."""
        return explain_small_image("densenet-bc", shape, 4, "it halves the side twice")

    def build(self, shape: Shape, classes: int) -> nn.Module:
        """Build the network for images C×H×W, grey or in colour."""
        from torch import nn
        from torchvision.models import DenseNet

        layers = (self.depth - 4) // 6
        network: nn.Module = DenseNet(
            growth_rate=self.growth,
            block_config=(layers, layers, layers),
            num_init_features=2 * self.growth,
            drop_rate=self.dropout,
            num_classes=classes,
        )
        features: nn.Module = network.get_submodule("features")
        features.conv0 = nn.Conv2d(shape[0], 2 * self.growth, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(features.conv0.weight)
        for name in ("norm0", "relu0", "pool0"):
            delattr(features, name)
        return network

    def stages(self, network: nn.Module) -> list[nn.Module]:
        """Return the first convolution, then dense blocks, each with the transition after it."""
        from torch import nn

        part = network.get_submodule
        blocks = [
            nn.Sequential(part(f"features.denseblock{i}"), part(f"features.transition{i}")) for i in (1, 2)
        ]
        return [part("features.conv0"), *blocks, part("features.denseblock3")]
