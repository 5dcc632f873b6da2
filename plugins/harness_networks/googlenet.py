"""GoogLeNet (Szegedy et al. 2015), as published or in torchvision's form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness import OptionError
from harness_networks.contracts import Shape
from harness_networks.option_checks import explain_small_image, require_share
from harness_networks.torchvision_networks import TorchvisionFamily

if TYPE_CHECKING:
    from torch import nn


class GoogLeNetFamily(TorchvisionFamily):
    """GoogLeNet without auxiliary heads, with the paper's convolutions 5×5 or torchvision's 3×3.

    torchvision's form (as TensorFlow's) has 3×3 in the branch for which the paper has 5×5, and
    normalises over the batch, which is younger than the network.

    Args:
        form: "paper" or "torchvision".
        bn: normalise each convolution's output over the batch; without, convolutions have biases,
            response normalisation stands where the paper has it, and weights start as in He et al. (2015).
        dropout: share of values left out before the output (0.4 in the paper, 0.2 in torchvision).
        pretrained: start from torchvision's weights (its form only); they are downloaded unless cached.
        checkpoint: a safetensors or torch file to start from instead (torchvision's form only).
        weights_key: location of the weights in the checkpoint, if several fit.
    """

    smallest: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        form: Literal["paper", "torchvision"] = "paper",
        bn: bool = True,
        dropout: float = 0.4,
        pretrained: bool = False,
        checkpoint: Path | None = None,
        weights_key: str | None = None,
    ) -> None:
        require_share("googlenet-network", dropout=dropout)
        super().__init__("googlenet", pretrained, checkpoint, weights_key)
        if self.starts_trained and (form != "torchvision" or not bn):
            raise OptionError("googlenet-network: trained weights are for form=torchvision with bn=true")
        self.where, self.form, self.bn, self.dropout = "googlenet-network", form, bn, dropout

    def fits(self, shape: Shape, classes: int) -> str | None:
        """Return why not, for images that the strided layers leave nothing of."""
        small = explain_small_image("googlenet-network", shape, 15, "it halves the side five times")
        return super().fits(shape, classes) or small

    def arguments(self, shape: Shape) -> dict[str, Any]:
        """Return the dropout, and that the auxiliary heads are left out."""
        return {**super().arguments(shape), "dropout": self.dropout}

    def draw(self, shape: Shape, classes: int) -> nn.Module:
        """Build the network with random weights in the chosen form."""
        network = super().draw(shape, classes)
        if self.form == "paper":
            _widen_third_branch(network)
        if not self.bn:
            _remove_batch_norm(network)
        return network

    def adapt(self, network: nn.Module, shape: Shape, classes: int) -> nn.Module:
        """Return the network with trained weights and a new head."""
        network = super().adapt(network, shape, classes)
        network.get_submodule("dropout").p = self.dropout  # type: ignore[assignment]  # a plain attribute
        return network


def _widen_third_branch(network: nn.Module) -> None:
    """Give the third branch of every Inception module the paper's convolution 5×5."""
    from torch import nn
    from torchvision.models.googlenet import Inception

    for module in network.modules():
        if isinstance(module, Inception):
            last: Any = module.get_submodule("branch3.1")
            old = last.conv
            last.conv = nn.Conv2d(old.in_channels, old.out_channels, 5, padding=2, bias=False)
            # as torchvision draws the others
            nn.init.trunc_normal_(last.conv.weight, mean=0.0, std=0.01, a=-2, b=2)


def _remove_batch_norm(network: nn.Module) -> None:
    """Give convolutions biases in place of batch normalisation, and add response normalisation."""
    from torch import nn
    from torchvision.models.googlenet import BasicConv2d

    from harness_networks.network_parts import initialise_as_he

    for module in network.modules():
        if isinstance(module, BasicConv2d):
            old = module.conv
            module.conv = nn.Conv2d(
                old.in_channels, old.out_channels, old.kernel_size, old.stride, old.padding
            )
            module.bn = nn.Identity()
    initialise_as_he(network)
    for name in ("maxpool1", "conv3"):
        normalised = nn.Sequential(network.get_submodule(name), nn.LocalResponseNorm(5))
        setattr(network, name, normalised)
