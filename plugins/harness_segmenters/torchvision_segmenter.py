"""torchvision's segmenters as a plugin: FCN, DeepLabV3 and LR-ASPP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from harness_segmenters.segmenter_base import (
    DEVIATION,
    MEAN,
    Segmenter,
    build_from_seed,
    check_output_names,
    normalise,
    resize_shorter,
)

if TYPE_CHECKING:
    import torch
    from torch import nn

UNTRAINED = "none"
WITH_AUXILIARY = (
    "deeplabv3_mobilenet_v3_large", "deeplabv3_resnet101", "deeplabv3_resnet50", "fcn_resnet101", "fcn_resnet50",
)  # fmt: skip
ARCHITECTURES = (*WITH_AUXILIARY, "lraspp_mobilenet_v3_large")


class TorchvisionSegmenter(Segmenter):
    """A segmenter of torchvision: `fcn_resnet50`, `deeplabv3_resnet101`, `lraspp_mobilenet_v3_large`.

    Its named weights know VOC's 21 classes. Images are resized as torchvision's own evaluation does, but classes are
    measured at the stored image's size, not at 520 pixels.

    Args:
        name: torchvision's name of the architecture.
        weights: one of torchvision's names of the architecture's weights, `DEFAULT` for the recommended ones, or
            `none` for random ones from a fixed seed.
        checkpoint: a safetensors or torch file used instead.
        weights_key: location of the weights in the checkpoint, if several fit.
        class_names: the classes of a checkpoint, in the order of its outputs; by default VOC's.
        side: the shorter side that images are resized to, outside of training; 0 for none.
        auxiliary: weight of the coarse output's loss (FCN and DeepLab), as in torchvision's reference.
    """

    def __init__(
        self,
        name: str,
        weights: str = "DEFAULT",
        checkpoint: Path | None = None,
        weights_key: str | None = None,
        class_names: list[str] | None = None,
        side: int = 520,
        auxiliary: float = 0.5,
    ) -> None:
        self._where = f"torchvision-segmenter:{name}"
        if name.lower() not in ARCHITECTURES:
            raise OptionError(f"{self._where}: no segmenter '{name}'{did_you_mean(name, ARCHITECTURES)}")
        self.name, self.weights = name.lower(), weights.rpartition(".")[2]
        check_weights_key(self._where, weights_key, checkpoint)
        if class_names is not None and checkpoint is None:
            raise OptionError(
                f"{self._where}: class_names names the classes of a checkpoint; give checkpoint=FILE"
            )
        check_output_names(self._where, class_names)
        if side < 0 or auxiliary < 0:
            raise OptionError(
                f"{self._where}: side and auxiliary must be at least 0, not {side} and {auxiliary}"
            )
        self.checkpoint, self.weights_key, self._given_names = checkpoint, weights_key, class_names
        self.side, self.auxiliary = side, auxiliary
        self.remarks: Sequence[str] = ()

    @classmethod
    def known_names(cls) -> frozenset[str]:
        """Return torchvision's segmenters."""
        return frozenset(ARCHITECTURES)

    def unavailable(self) -> str | None:
        """Return why the checkpoint can't be used, or None; planning downloads nothing."""
        return explain_missing_file(self._where, self.checkpoint)

    def fingerprint(self) -> str:
        """Return the checkpoint's digest, or torchvision's version, which determines a name's weights."""
        if self.checkpoint is not None:
            return f"sha256:{digest(self.checkpoint)}"
        return f"torchvision {version('torchvision')}"

    def build_network(self, classes: int) -> nn.Module:
        """Return the network with new weights."""
        from torchvision.models import segmentation

        more = {"aux_loss": True} if self.name in WITH_AUXILIARY else {}
        make = getattr(segmentation, self.name)
        network: nn.Module = make(weights=None, weights_backbone=None, num_classes=classes, **more)
        return network

    def load(self, device: torch.device) -> None:
        """Build the network with its weights, in evaluation mode.

        Raises Unavailable for weights that can't be obtained, OptionError for some that don't fit.
        """
        from torchvision.models import get_model_weights

        self._device = device
        entries = get_model_weights(self.name)
        self.class_names = self._given_names or [str(one) for one in entries["DEFAULT"].meta["categories"]]
        module = build_from_seed(lambda: self.build_network(len(self.class_names)), self._where)
        self._trained = self.checkpoint is not None or self.weights.lower() != UNTRAINED
        if self.checkpoint is not None:
            state = read_weights(self._where, self.checkpoint, module, self.weights_key, _coarse_head(module))
            self.remarks = list(state.remarks)
            self._check_outputs(state)
            load_weights(self._where, self.checkpoint, module, _complete(state, module))
        elif self._trained:
            self._load_named(entries, module)
        else:
            self.remarks = ["its weights are random until it is trained"]
        self._module = module.to(device).eval()

    def _check_outputs(self, state: Mapping[str, torch.Tensor]) -> None:
        """Raise OptionError for a checkpoint of more or fewer classes than there are names; remark what is assumed."""
        from harness_dense.new_predictors import find_predictors

        named = len(self.class_names)
        outputs = {len(state[name]) for name in find_predictors(self.build_network) & set(state)}
        if len(outputs) == 1 and (found := outputs.pop()) != named:
            default = "" if self._given_names else ", VOC's by default"
            raise OptionError(
                f"{self._where}: checkpoint {self.checkpoint} has {found} classes, class_names {named}{default}: name "
                "the checkpoint's, in the order of its outputs"
            )
        if self._given_names is None:
            self.remarks = [
                *self.remarks,
                "the classes of the checkpoint are taken to be VOC's, in their order",
            ]

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

    def begin(self, class_names: Sequence[str], seed: int) -> None:
        """Take new predictors for these classes, drawn from the seed; the rest stays."""
        from harness_dense.new_predictors import copy_shared

        module = build_from_seed(lambda: self.build_network(len(class_names)), self._where, seed)
        if self._trained:
            copy_shared(self._module, module, self.build_network)
        self.class_names = list(class_names)
        self._module = module.to(self._device).eval()
        self.remarks = ()

    def _compute(self, images: torch.Tensor, training: bool) -> Mapping[str, torch.Tensor]:
        resized = images if training else resize_shorter(images, self.side or None)
        found: dict[str, torch.Tensor] = self._module(normalise(resized, MEAN, DEVIATION))
        wanted = ("out", "aux") if training and self.auxiliary else ("out",)
        return {name: found[name] for name in wanted if name in found}


def _coarse_head(module: nn.Module) -> list[str]:
    """Return the names of the tensors of the coarse output, which checkpoints may lack."""
    return [name for name in module.state_dict() if name.startswith("aux_classifier.")]


def _complete(state: Mapping[str, torch.Tensor], module: nn.Module) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint, and those of the coarse output, from the seed, that it lacks."""
    own = module.state_dict()
    return {**{name: own[name] for name in _coarse_head(module)}, **state}
