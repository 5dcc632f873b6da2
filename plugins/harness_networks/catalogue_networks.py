"""AlexNet, VGG, ResNet and DenseNet of torchvision, with the changes that small images need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness import OptionError
from harness_networks.contracts import Shape
from harness_networks.option_checks import explain_small_image, require_share
from harness_networks.torchvision_networks import TorchvisionFamily

if TYPE_CHECKING:
    from torch import nn

_CONFIGURATIONS = {11: "A", 13: "B", 16: "D", 19: "E"}
"""The paper's letters of VGG's depths."""


class AlexNetFamily(TorchvisionFamily):
    """AlexNet in torchvision's form: one column of Krizhevsky (2014), without response normalisation.

    Args:
        dropout: share of values left out before both hidden layers of the head.
        pretrained: start from torchvision's recommended weights; they are downloaded unless cached.
        checkpoint: a safetensors or torch file to start from instead.
        weights_key: location of the weights in the checkpoint, if several fit.
    """

    smallest: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        dropout: float = 0.5,
        pretrained: bool = False,
        checkpoint: Path | None = None,
        weights_key: str | None = None,
    ) -> None:
        require_share("alexnet-network", dropout=dropout)
        super().__init__("alexnet", pretrained, checkpoint, weights_key)
        self.where, self.dropout = "alexnet-network", dropout

    def fits(self, shape: Shape, classes: int) -> str | None:
        """Return why not, for images whose maps the strided first layers and poolings use up."""
        why = "a convolution of stride 4 and three poolings"
        return super().fits(shape, classes) or explain_small_image("alexnet-network", shape, 63, why)

    def arguments(self, shape: Shape) -> dict[str, Any]:
        """Return the dropout."""
        return {"dropout": self.dropout}

    def adapt(self, network: nn.Module, shape: Shape, classes: int) -> nn.Module:
        """Return the network with trained weights and a new head."""
        return super().adapt(_set_dropout(network, self.dropout), shape, classes)

    def stages(self, network: nn.Module) -> list[nn.Module]:
        """Return the convolutions, divided after each pooling."""
        return _divide_after_pooling(network.get_submodule("features"))


class VGGFamily(TorchvisionFamily):
    """VGG (Simonyan & Zisserman 2015): convolutions 3×3, five poolings, and one of two heads.

    The original head has two hidden layers of 4096 on a map of 7×7, which takes images of 224×224.
    Smaller maps would be copied to that size, so global average pooling and one linear layer take its
    place for them.

    Args:
        depth: number of layers with weights.
        bn: normalise each convolution's output over the batch.
        head: "original", "pooled" for global average pooling and a linear layer, or "auto": the
            original where the last map has at least 7×7 positions.
        dropout: share of values left out after both hidden layers of the original head, or before the
            linear layer of the other.
        pretrained: start from torchvision's recommended weights; they are downloaded unless cached.
        checkpoint: a safetensors or torch file to start from instead.
        weights_key: location of the weights in the checkpoint, if several fit.
    """

    smallest: ClassVar[dict[str, Any]] = {"depth": 11, "head": "pooled"}

    def __init__(
        self,
        depth: Literal[11, 13, 16, 19] = 16,
        bn: bool = False,
        head: Literal["auto", "original", "pooled"] = "auto",
        dropout: float = 0.5,
        pretrained: bool = False,
        checkpoint: Path | None = None,
        weights_key: str | None = None,
    ) -> None:
        require_share("vgg-network", dropout=dropout)
        super().__init__(f"vgg{depth}{'_bn' if bn else ''}", pretrained, checkpoint, weights_key)
        self.where = "vgg-network"
        self.depth, self.bn, self.head, self.dropout = depth, bn, head, dropout

    def fits(self, shape: Shape, classes: int) -> str | None:
        """Return why not, for images that five poolings leave nothing of."""
        small = explain_small_image("vgg-network", shape, 32, "it halves the side five times")
        return super().fits(shape, classes) or small

    def arguments(self, shape: Shape) -> dict[str, Any]:
        """Return the dropout."""
        return {"dropout": self.dropout}

    def draw(self, shape: Shape, classes: int) -> nn.Module:
        """Build the network with random weights, with the head for the images' size."""
        if not self._pools(shape):
            return super().draw(shape, classes)
        from collections import OrderedDict

        from torch import nn
        from torchvision.models.vgg import cfgs, make_layers

        from harness_networks.network_parts import initialise_as_he

        # without the original head, whose weights are nearly all of the network's
        features = make_layers(cfgs[_CONFIGURATIONS[self.depth]], batch_norm=self.bn)
        initialise_as_he(features)
        parts = {"features": features, "avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
        return nn.Sequential(OrderedDict(**parts, classifier=self._build_linear_head(classes)))

    def adapt(self, network: nn.Module, shape: Shape, classes: int) -> nn.Module:
        """Return the network with trained weights and a new head for the images' size."""
        from torch import nn

        network = super().adapt(_set_dropout(network, self.dropout), shape, classes)
        if self._pools(shape):
            network.avgpool = nn.AdaptiveAvgPool2d(1)
            network.classifier = self._build_linear_head(classes)
        return network

    def _pools(self, shape: Shape) -> bool:
        """Return whether global average pooling comes before the head; add remarks on what follows from it."""
        height, width = (side // 32 for side in shape[1:])
        small = min(height, width) < 7
        if self.head == "auto" and small:
            self.remarks.append(
                f"its last map has {height}×{width} positions: global average pooling and a linear layer "
                "in place of the head for 7×7"
            )
        elif self.head == "original" and small:
            self.remarks.append(f"its head's input of 7×7 repeats values of a map of {height}×{width}")
        return self.head == "pooled" or (self.head == "auto" and small)

    def _build_linear_head(self, classes: int) -> nn.Module:
        from torch import nn

        linear = nn.Linear(512, classes)
        nn.init.normal_(linear.weight, 0, 0.01)
        nn.init.zeros_(linear.bias)
        return nn.Sequential(nn.Dropout(self.dropout), linear)

    def stages(self, network: nn.Module) -> list[nn.Module]:
        """Return the convolutions, divided after each pooling."""
        return _divide_after_pooling(network.get_submodule("features"))


class ResNetFamily(TorchvisionFamily):
    """ResNet (He et al. 2016) in torchvision's form: bottlenecks halve the side in their convolution 3×3.

    Args:
        depth: number of layers with weights; bottlenecks from 50 on.
        stem: "imagenet" (7×7, stride 2, and max-pooling), or "small" for small images: 3×3, stride 1,
            no pooling.
        zero_init: let every block start as the identity, by a scale of 0 in its last normalisation
            (Goyal et al. 2017).
        pretrained: start from torchvision's recommended weights; they are downloaded unless cached.
        checkpoint: a safetensors or torch file to start from instead.
        weights_key: location of the weights in the checkpoint, if several fit.
    """

    smallest: ClassVar[dict[str, Any]] = {"depth": 18}

    def __init__(
        self,
        depth: Literal[18, 34, 50, 101, 152] = 18,
        stem: Literal["imagenet", "small"] = "imagenet",
        zero_init: bool = False,
        pretrained: bool = False,
        checkpoint: Path | None = None,
        weights_key: str | None = None,
    ) -> None:
        super().__init__(f"resnet{depth}", pretrained, checkpoint, weights_key)
        if self.starts_trained and (stem == "small" or zero_init):
            option = "stem=small" if stem == "small" else "zero_init"
            raise OptionError(
                f"resnet-network: {option} is for training from scratch, not from trained weights"
            )
        self.where, self.stem, self.zero_init = "resnet-network", stem, zero_init

    def arguments(self, shape: Shape) -> dict[str, Any]:
        """Return how residual branches start."""
        return {"zero_init_residual": self.zero_init}

    def draw(self, shape: Shape, classes: int) -> nn.Module:
        """Build the network with random weights and the chosen stem."""
        from torch import nn

        network = super().draw(shape, classes)
        if self.stem == "small":
            conv = nn.Conv2d(shape[0], 64, 3, padding=1, bias=False)
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            network.conv1, network.maxpool = conv, nn.Identity()
        return network

    def stages(self, network: nn.Module) -> list[nn.Module]:
        """Return the stem with its pooling, then the four groups of blocks."""
        from torch import nn

        part = network.get_submodule
        stem = nn.Sequential(*(part(name) for name in ("conv1", "bn1", "relu", "maxpool")))
        return [stem, *(part(f"layer{i}") for i in range(1, 5))]


class DenseNetFamily(TorchvisionFamily):
    """DenseNet for ImageNet (Huang et al. 2017) in torchvision's form; `densenet-bc` is for small images.

    Args:
        depth: number of layers with weights.
        dropout: share of each layer's new maps' values that is left out.
        pretrained: start from torchvision's recommended weights; they are downloaded unless cached.
        checkpoint: a safetensors or torch file to start from instead.
        weights_key: location of the weights in the checkpoint, if several fit.
    """

    smallest: ClassVar[dict[str, Any]] = {"depth": 121}

    def __init__(
        self,
        depth: Literal[121, 161, 169, 201] = 121,
        dropout: float = 0.0,
        pretrained: bool = False,
        checkpoint: Path | None = None,
        weights_key: str | None = None,
    ) -> None:
        require_share("densenet-network", dropout=dropout)
        super().__init__(f"densenet{depth}", pretrained, checkpoint, weights_key)
        if self.starts_trained and dropout:
            raise OptionError(
                "densenet-network: dropout is for training from scratch, not from trained weights"
            )
        self.where, self.dropout = "densenet-network", dropout

    def fits(self, shape: Shape, classes: int) -> str | None:
        """Return why not, for images that the stem and three transitions leave nothing of."""
        small = explain_small_image("densenet-network", shape, 29, "it halves the side five times")
        return super().fits(shape, classes) or small

    def arguments(self, shape: Shape) -> dict[str, Any]:
        """Return the dropout."""
        return {"drop_rate": self.dropout}


def _set_dropout(network: nn.Module, share: float) -> nn.Module:
    from torch import nn

    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = share
    return network


def _divide_after_pooling(features: nn.Module) -> list[nn.Module]:
    from torch import nn

    stages: list[nn.Module] = []
    part: list[nn.Module] = []
    for layer in features.children():
        part.append(layer)
        if isinstance(layer, nn.MaxPool2d):
            stages.append(nn.Sequential(*part))
            part = []
    return [*stages, nn.Sequential(*part)] if part else stages
