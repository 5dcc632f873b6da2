"""torchvision's classification models as a plugin, with the transforms of their weights."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import OptionError, Preparation, derive_seed
from harness.errors import did_you_mean
from harness.inference.weights import (
    check_weights_key,
    digest,
    explain_missing_file,
    explain_weights_download,
    load_weights,
    one_line,
    read_weights,
)
from harness_timm.library_sources import registered_models
from harness_timm.outputs import RANDOM_HEAD, ClassOutputs

if TYPE_CHECKING:
    import torch
    from PIL import Image

UNTRAINED = "none"
# These two rescale ImageNet-normalised input to what their TensorFlow weights expect.
_RESCALE_INPUT = ("googlenet", "inception_v3")
# DenseNet weights use names from before dots were forbidden in module names.
_OLD_DENSENET = re.compile(
    r"(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\.(?:weight|bias|running_mean|running_var))$"
)


class TorchvisionModel:
    """A torchvision classifier: `resnet50`, with `weights` such as `IMAGENET1K_V2` or `DEFAULT`.

    The weights determine the preprocessing, also of a `checkpoint` loaded in their place; with
    `weights="none"`, the default weights do.

    Args:
        name: torchvision's name of the architecture.
        weights: one of torchvision's names of the architecture's weights, `DEFAULT` for the recommended
            ones, or `none` for random ones from a fixed seed with the default's preprocessing.
        checkpoint: a safetensors or torch file used instead of the weights.
        weights_key: location of the weights in the checkpoint (`ema`, `state_dict.model`), if several
            fit; by default averaged weights are preferred.
        num_classes: the head's number of outputs; by default that of the checkpoint's own head.
        label_space: the label space of the outputs; "imagenet-1k" by default for torchvision's own heads.
        class_names: the names of the outputs, in order (a list, or a file with one per line); they also
            set the head's size. By default those that the checkpoint holds beside its weights
            (`class_names`, `class_to_idx` and similar keys).
    """

    label_space: str | None

    @classmethod
    def known_names(cls) -> frozenset[str]:
        """Return torchvision's classifiers, without importing it."""
        return registered_models("torchvision")[0]

    def __init__(
        self,
        name: str,
        weights: str = "DEFAULT",
        checkpoint: Path | None = None,
        num_classes: int | None = None,
        label_space: str | None = None,
        class_names: list[str] | Path | None = None,
        weights_key: str | None = None,
    ) -> None:
        self._where = f"torchvision:{name}"
        known, _ = registered_models("torchvision")
        if name.lower() not in known:
            raise OptionError(
                f"{self._where}: torchvision has no classifier '{name}'{did_you_mean(name, known)}"
            )
        self.name = name.lower()
        self.weights = weights
        check_weights_key(self._where, weights_key, checkpoint)
        self.checkpoint = checkpoint
        self.weights_key = weights_key
        self._outputs = ClassOutputs.from_options(
            self._where, num_classes, class_names, checkpoint, label_space
        )
        self.class_names, self.num_classes = self._outputs.names, self._outputs.count
        self.remarks: list[str] = list(self._outputs.remarks)
        own_head = self.num_classes in (None, 1000) and checkpoint is None
        self.label_space = label_space or ("imagenet-1k" if own_head else None)
        self._expected_head = 1000 if self.label_space == "imagenet-1k" else self.num_classes
        own_weights = checkpoint is not None or weights.lower() == UNTRAINED
        missing = self._outputs.find_missing(self.label_space, own_weights)
        self.lacks = {"classifies images": missing} if missing else {}
        if self.name.startswith("squeezenet"):
            self.lacks["encodes images"] = "its head is a convolution before the pooling"
        self.preparation: Preparation | None = None
        self._module: Any = None
        self._transform: Any = None
        self._head = ""

    @property
    def class_keys(self) -> Sequence[str] | None:
        """ImageNet-1k's class keys, if the outputs are its classes and have no other names."""
        return self._outputs.class_keys(self.label_space)

    def unavailable(self) -> str | None:
        """Return why the checkpoint can't be used, or None; planning downloads nothing."""
        return explain_missing_file(self._where, self.checkpoint)

    def fingerprint(self) -> str:
        """Return the checkpoint's digest, or torchvision's version, which determines a name's weights."""
        own = None if self.checkpoint is None else f"sha256:{digest(self.checkpoint)}"
        return " ".join([own or f"torchvision {version('torchvision')}", *self._outputs.digest])

    def load(self, device: torch.device) -> None:
        """Build the network, load its weights, and move it to `device` in evaluation mode.

        Raises `Unavailable` for weights that can't be obtained, `OptionError` for weights that don't fit.
        """
        import torch

        entry = self._find_weights_entry()
        state, source = self._download_weights(entry)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed("torchvision", self.name, self.num_classes))
            module = self._build(state, source)
        self._transform = entry.transforms()
        self.preparation = build_torchvision_preparation(self._transform)
        self._module = module.to(device).eval()

    def _find_weights_entry(self) -> Any:
        from torchvision import models

        entries = models.get_model_weights(self.name)
        wanted = self.weights.rpartition(".")[2]
        if wanted.lower() == UNTRAINED:
            return entries["DEFAULT"]
        known = list(entries.__members__)
        if wanted not in known:
            raise OptionError(
                f"{self._where}: no weights '{wanted}'{did_you_mean(wanted, [*known, UNTRAINED])}"
            )
        return entries[wanted]

    def _download_weights(self, entry: Any) -> tuple[dict[str, Any] | None, str]:
        """Download named weights and return them with their URL; None if random or from a checkpoint."""
        if self.checkpoint is not None or self.weights.lower() == UNTRAINED:
            return None, ""
        with explain_weights_download(
            self._where, f"fetch {entry.url} on a machine with a network and give checkpoint=FILE"
        ):
            state = entry.get_state_dict(
                progress=False, check_hash=True, map_location="cpu", weights_only=True
            )
        return {_OLD_DENSENET.sub(r"\1\2", key): value for key, value in state.items()}, entry.url

    def _build(self, state: Mapping[str, Any] | None, source: str) -> torch.nn.Module:
        if self.checkpoint is not None:
            state, source = self._read_checkpoint(self.checkpoint), str(self.checkpoint)
        module = self._build_network(state is None, state is not None and any(map(_is_auxiliary, state)))
        self._head = find_head(module)
        if state is not None:
            weight = state.get(f"{self._head}.weight")
            wanted = self.num_classes if self.checkpoint is not None else None
            if weight is not None:
                _resize_head(module, self._head, weight.shape[0])
            if wanted is not None and weight is not None and wanted != weight.shape[0]:
                raise OptionError(
                    f"{self._where}: checkpoint {source} has a head of {weight.shape[0]} outputs, "
                    f"but {self._outputs.describe_count(weight.shape[0])}"
                )
            load_weights(self._where, source, module, state)
        if self.num_classes is not None:
            new = _resize_head(module, self._head, self.num_classes)
            if new and state is not None and "classifies images" not in self.lacks:
                self.remarks = [*self._outputs.remarks, RANDOM_HEAD]
        return module

    def _build_network(self, untrained: bool, auxiliary: bool) -> torch.nn.Module:
        from torchvision import models

        kwargs: dict[str, Any] = {}
        if self.name in _RESCALE_INPUT:
            kwargs = {
                "init_weights": untrained,
                "aux_logits": auxiliary,
                "transform_input": self.weights.lower() != UNTRAINED,
            }
        try:
            network: torch.nn.Module = models.get_model(self.name, weights=None, **kwargs)
        except (RuntimeError, ValueError, TypeError) as error:
            raise OptionError(f"{self._where}: torchvision can't build it: {one_line(error)}") from error
        return network

    def _read_checkpoint(self, path: Path) -> dict[str, Any]:
        """Return the checkpoint's weights under the network's names; its head may have any size."""
        module = self._build_network(untrained=False, auxiliary=True)
        head = find_head(module)
        optional = [n for n in module.state_dict() if n.startswith(f"{head}.") or _is_auxiliary(n)]
        state = read_weights(self._where, path, module, self.weights_key, optional)
        self.remarks = [*self._outputs.remarks, *state.remarks]
        return {_OLD_DENSENET.sub(r"\1\2", key): value for key, value in state.items()}

    @property
    def module(self) -> torch.nn.Module:
        """The torchvision network itself (after `load`)."""
        module: torch.nn.Module = self._module
        return module

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """Apply the weights' own transforms; return 3×H×W."""
        prepared: torch.Tensor = self._transform(image if image.mode == "RGB" else image.convert("RGB"))
        return prepared

    def classify(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits B×C of prepared images B×3×H×W; raise OptionError if the head doesn't match `label_space`."""
        found = self._module.get_submodule(self._head).weight.shape[0]
        if problem := self._outputs.explain_head(self.checkpoint, found):
            raise OptionError(f"{self._where}: {problem}")
        if self._expected_head is not None and found != self._expected_head:
            raise OptionError(
                f"{self._where}: its head has {found} outputs, not {self.label_space or 'num_classes'}'s {self._expected_head}"
            )
        logits: torch.Tensor = self._module(images)
        return logits

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """Return the last linear layer's input, B×D, for prepared images B×3×H×W."""
        seen: list[torch.Tensor] = []
        head = self._module.get_submodule(self._head)
        handle = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            self._module(images)
        finally:
            handle.remove()
        return seen[-1]


def _is_auxiliary(name: str) -> bool:
    """Return whether a tensor belongs to the auxiliary heads of GoogLeNet and Inception."""
    return name.lower().startswith("aux")


def find_head(module: Any) -> str:
    """Return the name of the layer that computes logits: the last linear one, or SqueezeNet's last convolution."""
    from torch import nn

    named: list[tuple[str, Any]] = list(module.named_modules())
    for kind in (nn.Linear, nn.Conv2d):
        found = [name for name, layer in named if isinstance(layer, kind)]
        if found:
            return found[-1]
    raise OptionError(
        f"{type(module).__name__} has neither a linear layer nor a convolution to use as its head"
    )


def _resize_head(module: Any, name: str, classes: int) -> bool:
    """Replace the head by a new one with `classes` outputs if its size differs; return whether it was replaced."""
    if module.get_submodule(name).weight.shape[0] == classes:
        return False
    replace_head(module, name, classes)
    return True


def replace_head(module: Any, name: str, classes: int) -> None:
    """Put a new layer with `classes` outputs in the place of a network's head of that name."""
    from torch import nn

    head = module.get_submodule(name)
    bias = head.bias is not None
    if isinstance(head, nn.Linear):
        new: nn.Module = nn.Linear(head.in_features, classes, bias=bias)
    else:
        new = nn.Conv2d(head.in_channels, classes, head.kernel_size, bias=bias)
    parent, _, last = name.rpartition(".")
    setattr(module.get_submodule(parent), last, new)


def build_torchvision_preparation(transform: Any) -> Preparation | None:
    """Convert torchvision's classification preset to a `Preparation`; return None for other transforms."""
    from torchvision.transforms._presets import ImageClassification

    if not isinstance(transform, ImageClassification):
        return None
    return Preparation(
        resize=transform.resize_size[0],
        crop=transform.crop_size[0],
        interpolation=transform.interpolation.value,
        mean=tuple(transform.mean),
        std=tuple(transform.std),
    )
