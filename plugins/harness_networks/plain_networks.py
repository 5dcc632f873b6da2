"""Networks without residual connections: the perceptron, multilayer perceptrons and LeNet-5."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, ClassVar, Literal

from harness_networks.contracts import NetworkFamily, Shape
from harness_networks.option_checks import (
    ActivationName,
    explain_small_image,
    require_at_least,
    require_share,
)

if TYPE_CHECKING:
    from torch import nn


class PerceptronFamily(NetworkFamily):
    """A linear map of all pixels to logits: with the cross-entropy, softmax regression."""

    def build(self, shape: Shape, classes: int) -> nn.Module:
        """Build the network for images C×H×W, grey or in colour."""
        from torch import nn

        return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), classes))


class MLPFamily(NetworkFamily):
    """A multilayer perceptron of all pixels, which knows nothing of their neighbourhood.

    Args:
        hidden: widths of the hidden layers, in order.
        activation: activation of the hidden layers.
        dropout: share of each hidden layer's outputs that training leaves out.
    """

    smallest: ClassVar = {"hidden": [8]}

    def __init__(
        self,
        hidden: list[int] = [64, 64],  # noqa: B006 - never changed
        activation: ActivationName = "relu",
        dropout: float = 0.0,
    ) -> None:
        for width in hidden:
            require_at_least("mlp", 1, hidden=width)
        require_share("mlp", dropout=dropout)
        self.hidden, self.activation, self.dropout = tuple(hidden), activation, dropout

    def build(self, shape: Shape, classes: int) -> nn.Module:
        """Build the network for images C×H×W, grey or in colour."""
        from torch import nn

        from harness_networks.network_parts import build_activation

        layers: list[nn.Module] = [nn.Flatten()]
        inputs = prod(shape)
        for width in self.hidden:
            layers += [nn.Linear(inputs, width), build_activation(self.activation)]
            if self.dropout:
                layers.append(nn.Dropout(self.dropout))
            inputs = width
        return nn.Sequential(*layers, nn.Linear(inputs, classes))


class LeNet5Family(NetworkFamily):
    """LeNet-5 (LeCun et al. 1998): two convolutions 5×5 with pooling, three fully connected layers.

    As usual today, the second convolution sees all maps of the first, pooling has no weights, and the
    outputs are logits. Images of other sizes than 32×32 change the first fully connected layer alone.

    Args:
        activation: activation of all hidden layers; 1998's was a scaled tanh.
        pool: average, as in 1998, or the maximum, over 2×2.
        padding: zeros around the image; 2 makes 32×32 of 28×28.
    """

    def __init__(
        self,
        activation: ActivationName = "tanh",
        pool: Literal["average", "max"] = "average",
        padding: int = 0,
    ) -> None:
        require_at_least("lenet5", 0, padding=padding)
        self.activation, self.pool, self.padding = activation, pool, padding

    def fits(self, shape: Shape, classes: int) -> str | None:
        """Return why not, for images that two valid convolutions and poolings leave nothing of."""
        why = "two convolutions 5×5 and two poolings; padding=N adds N on each side"
        return explain_small_image("lenet5", shape, 16 - 2 * self.padding, why)

    def build(self, shape: Shape, classes: int) -> nn.Module:
        """Build the network for images C×H×W, grey or in colour."""
        from collections import OrderedDict

        from torch import nn

        from harness_networks.network_parts import build_activation

        def stage(inputs: int, outputs: int, padding: int) -> nn.Module:
            pool = nn.AvgPool2d(2) if self.pool == "average" else nn.MaxPool2d(2)
            kernels = nn.Conv2d(inputs, outputs, 5, padding=padding)
            return nn.Sequential(kernels, build_activation(self.activation), pool)

        height, width = (((side + 2 * self.padding - 4) // 2 - 4) // 2 for side in shape[1:])
        head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(16 * height * width, 120),
            build_activation(self.activation),
            nn.Linear(120, 84),
            build_activation(self.activation),
            nn.Linear(84, classes),
        )
        first, second = stage(shape[0], 6, self.padding), stage(6, 16, 0)
        return nn.Sequential(OrderedDict(first=first, second=second, head=head))

    def stages(self, network: nn.Module) -> list[nn.Module]:
        """Return the two convolutions, each with its activation and pooling."""
        return [network.get_submodule("first"), network.get_submodule("second")]
