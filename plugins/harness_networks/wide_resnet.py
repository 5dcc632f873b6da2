"""Wide residual networks for small images (Zagoruyko & Komodakis 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from harness import OptionError
from harness_networks.contracts import NetworkFamily, Shape
from harness_networks.option_checks import require_at_least, require_share

if TYPE_CHECKING:
    from torch import nn


class WideResNetFamily(NetworkFamily):
    """WRN-depth-width: three groups of pre-activated blocks with 16, 32 and 64 maps times `width`.

    A convolution 3×3 comes first; the second and third group halve the side. The networks of the same
    name in catalogues (`wide_resnet50_2`) are others: bottlenecks for ImageNet.

    Args:
        depth: 6·n + 4 for n blocks per group: 10, 16, 22, 28, 40.
        width: multiple of the groups' maps.
        dropout: share of values left out between the two convolutions of each block (0.3 in the paper).
    """

    smallest: ClassVar = {"depth": 10, "width": 1}

    def __init__(self, depth: int = 28, width: int = 10, dropout: float = 0.0) -> None:
        require_at_least("wide-resnet", 1, width=width)
        require_share("wide-resnet", dropout=dropout)
        if depth < 10 or (depth - 4) % 6:
            raise OptionError(f"wide-resnet: depth must be 6·n + 4, such as 10, 16 or 28, found {depth}")
        self.depth, self.width, self.dropout = depth, width, dropout

    def build(self, shape: Shape, classes: int) -> nn.Module:
        """Build the network for images C×H×W, grey or in colour."""
        from collections import OrderedDict

        from torch import nn

        from harness_networks.network_parts import initialise_as_he
        from harness_networks.pre_activated import PreActivatedBlock

        maps = 16
        parts: dict[str, nn.Module] = {"stem": nn.Conv2d(shape[0], maps, 3, padding=1, bias=False)}
        for group, stride in enumerate((1, 2, 2)):
            wide, blocks = 16 * self.width * 2**group, []
            for block in range((self.depth - 4) // 6):
                blocks.append(PreActivatedBlock(maps, wide, 1 if block else stride, self.dropout))
                maps = wide
            parts[f"group{group + 1}"] = nn.Sequential(*blocks)
        parts["head"] = nn.Sequential(
            nn.BatchNorm2d(maps), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(maps, classes)
        )
        network = nn.Sequential(OrderedDict(parts))
        initialise_as_he(network)
        return network

    def stages(self, network: nn.Module) -> list[nn.Module]:
        """Return the first convolution and the three groups."""
        return [network.get_submodule(name) for name in ("stem", "group1", "group2", "group3")]
