"""torchvision's detectors as a plugin."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import OptionError, did_you_mean
from harness.inference.weights import (
    check_weights_key,
    digest,
    explain_missing_file,
    explain_weights_download,
    load_weights,
    read_weights,
)
from harness_detectors.torchvision_interface import CalledLikeTorchvision, build_seeded, count_outputs

if TYPE_CHECKING:
    import torch
    from torch import nn

UNTRAINED = "none"
BACKGROUND, UNUSED = "__background__", "N/A"

REGION_BASED = (
    "fasterrcnn_mobilenet_v3_large_320_fpn", "fasterrcnn_mobilenet_v3_large_fpn", "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2", "maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2",
)  # fmt: skip
FIXED_SIZE = ("ssd300_vgg16", "ssdlite320_mobilenet_v3_large")
ARCHITECTURES = (
    *REGION_BASED, "fcos_resnet50_fpn", "retinanet_resnet50_fpn", "retinanet_resnet50_fpn_v2", *FIXED_SIZE,
)  # fmt: skip


class TorchvisionDetector(CalledLikeTorchvision):
    """A detector of torchvision: `fasterrcnn_resnet50_fpn`, with `weights` such as `COCO_V1` or `DEFAULT`.

    Args:
        name: torchvision's name of the architecture: Faster and Mask R-CNN, RetinaNet, FCOS, SSD or SSDlite.
        weights: one of torchvision's names of the architecture's weights, `DEFAULT` for the recommended ones, or
            `none` for random ones from a fixed seed.
        checkpoint: a safetensors or torch file used instead.
        weights_key: location of the weights in the checkpoint, if several fit.
        class_names: the classes of a checkpoint, in the order of its outputs after the background; by default COCO's.
        score_threshold: least score of what it finds; by default torchvision's own.
        nms: intersection over union above which the lower of two boxes is dropped; by default torchvision's own.
        min_size: the shorter side that images are resized to, by default torchvision's (800, 320 for small ones).
        max_size: the most that the longer side may then have.
        trainable_stages: stages of a ResNet that a training changes, from the last on, of 5.
        frozen_norm: whether a training leaves the statistics of trained batch norms as they are, which small batches
            would spoil.
    """

    def __init__(
        self,
        name: str,
        weights: str = "DEFAULT",
        checkpoint: Path | None = None,
        weights_key: str | None = None,
        class_names: list[str] | None = None,
        score_threshold: float | None = None,
        nms: float | None = None,
        min_size: int | None = None,
        max_size: int | None = None,
        trainable_stages: int = 3,
        frozen_norm: bool = True,
    ) -> None:
        self._where = f"torchvision-detector:{name}"
        if name.lower() not in ARCHITECTURES:
            raise OptionError(f"{self._where}: no detector '{name}'{did_you_mean(name, ARCHITECTURES)}")
        self.name, self.weights = name.lower(), weights.rpartition(".")[2]
        check_weights_key(self._where, weights_key, checkpoint)
        if class_names is not None and checkpoint is None:
            raise OptionError(
                f"{self._where}: class_names names the classes of a checkpoint; give checkpoint=FILE"
            )
        if class_names == []:
            raise OptionError(f"{self._where}: class_names has no names")
        for option, share in (("score_threshold", score_threshold), ("nms", nms)):
            if share is not None and not 0 <= share <= 1:
                raise OptionError(f"{self._where}: {option} must be from 0 to 1, not {share}")
        if self.name in FIXED_SIZE and (min_size or max_size):
            raise OptionError(f"{self._where}: its input has a fixed size: leave min_size and max_size out")
        for option, side in (("min_size", min_size), ("max_size", max_size)):
            if side is not None and side < 1:
                raise OptionError(f"{self._where}: {option} must be at least 1, not {side}")
        if not 0 <= trainable_stages <= 5:
            raise OptionError(f"{self._where}: trainable_stages must be from 0 to 5, not {trainable_stages}")
        self.checkpoint, self.weights_key, self._given_names = checkpoint, weights_key, class_names
        self.score_threshold, self.nms, self.min_size, self.max_size = (
            score_threshold,
            nms,
            min_size,
            max_size,
        )
        self.trainable_stages, self.frozen_norm = trainable_stages, frozen_norm
        self.remarks: list[str] = []

    @classmethod
    def known_names(cls) -> frozenset[str]:
        """Return torchvision's detectors."""
        return frozenset(ARCHITECTURES)

    def unavailable(self) -> str | None:
        """Return why the checkpoint can't be used, or None; planning downloads nothing."""
        return explain_missing_file(self._where, self.checkpoint)

    def fingerprint(self) -> str:
        """Return the checkpoint's digest, or torchvision's version, which determines a name's weights."""
        if self.checkpoint is not None:
            return f"sha256:{digest(self.checkpoint)}"
        return f"torchvision {version('torchvision')}"

    def build_network(self, outputs: int) -> nn.Module:
        """Return the network with new weights, for that many classes and the background."""
        from torchvision.models import detection

        box = "box_" if self.name in REGION_BASED else ""
        given = {
            f"{box}score_thresh": self.score_threshold,
            f"{box}nms_thresh": self.nms,
            "min_size": self.min_size,
            "max_size": self.max_size,
        }
        options = {key: value for key, value in given.items() if value is not None}
        make = getattr(detection, self.name)
        network: nn.Module = make(weights=None, weights_backbone=None, num_classes=outputs, **options)
        return network

    def load(self, device: torch.device) -> None:
        """Build the network with its weights, in evaluation mode.

        Raises Unavailable for weights that can't be obtained, OptionError for some that don't fit.
        """
        from torchvision.models import get_model_weights

        self._device = device
        entries = get_model_weights(self.name)
        categories = [str(one) for one in entries["DEFAULT"].meta["categories"]]
        classes = self._given_names or [name for name in categories[1:] if name != UNUSED]
        outputs = count_outputs(classes) if self._given_names else len(categories)
        module = build_seeded(lambda: self.build_network(outputs), self._where)
        self._trained = self.checkpoint is not None or self.weights.lower() != UNTRAINED
        if self.checkpoint is not None:
            state = read_weights(self._where, self.checkpoint, module, self.weights_key)
            self.remarks = list(state.remarks)
            load_weights(self._where, self.checkpoint, module, state)
        elif self._trained:
            self._load_named(entries, module)
        else:
            self.remarks = ["its weights are random until it is trained"]
        self.class_names: Sequence[str] = classes
        self._outputs = None
        if not self._given_names:
            self._outputs = [classes.index(name) if name in classes else -1 for name in categories]
        self._module = module.to(device).eval()

    def _load_named(self, entries: Any, module: nn.Module) -> None:
        known = list(entries.__members__)
        if self.weights not in known:
            raise OptionError(
                f"{self._where}: no weights '{self.weights}'{did_you_mean(self.weights, [*known, UNTRAINED])}"
            )
        entry = entries[self.weights]
        with explain_weights_download(
            self._where, f"fetch {entry.url} on a machine with a network and give checkpoint=FILE"
        ):
            state = entry.get_state_dict(
                progress=False, check_hash=True, map_location="cpu", weights_only=True
            )
        load_weights(self._where, entry.url, module, state)
        if self.name.endswith("resnet50_fpn") and not self.name.startswith("fcos"):
            _set_epsilon(module, 0.0)  # as torchvision does for the weights that come from Detectron

    def begin(self, class_names: Sequence[str], seed: int) -> None:
        """Take new predictors for these classes, drawn from the seed; the rest stays, its first stages frozen."""
        from harness_dense.new_predictors import copy_shared

        module = build_seeded(lambda: self.build_network(count_outputs(class_names)), self._where, seed)
        if self._trained:
            copy_shared(self._module, module, lambda count: self.build_network(count + 1))
            _copy_epsilons(self._module, module)
            freeze_stages(module, self.trainable_stages)
            if self.frozen_norm:
                freeze_norms(module)
        self._outputs = None
        self.class_names = list(class_names)
        self._module = module.to(self._device).eval()
        self.remarks = []


def freeze_stages(module: nn.Module, trainable: int) -> None:
    """Let only the last stages of a ResNet learn, as torchvision does; other backbones learn as a whole."""
    stages = ["layer4", "layer3", "layer2", "layer1", "conv1"][:trainable]
    stages += ["bn1"] if trainable == 5 else []
    body: Any = getattr(getattr(module, "backbone", None), "body", None)
    if hasattr(body, "layer4"):
        for name, parameter in body.named_parameters():
            parameter.requires_grad_(name.startswith(tuple(stages)))


def freeze_norms(module: nn.Module) -> None:
    """Put frozen batch norms, with the same numbers, in the place of the backbone's."""
    from torch import nn
    from torchvision.ops import FrozenBatchNorm2d

    for parent in list(module.get_submodule("backbone").modules()):
        for name, norm in list(parent.named_children()):
            if isinstance(norm, nn.BatchNorm2d):
                frozen = FrozenBatchNorm2d(norm.num_features, norm.eps)
                frozen.load_state_dict(norm.state_dict())
                setattr(parent, name, frozen)


def _set_epsilon(module: nn.Module, epsilon: float) -> None:
    from torch import nn

    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.eps = epsilon


def _copy_epsilons(old: nn.Module, new: nn.Module) -> None:
    from torch import nn

    for before, after in zip(old.modules(), new.modules(), strict=True):
        if isinstance(before, nn.BatchNorm2d) and isinstance(after, nn.BatchNorm2d):
            after.eps = before.eps
