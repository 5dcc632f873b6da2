"""timm models as a plugin: any classifier or backbone, pretrained or from a checkpoint file."""

from __future__ import annotations

import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import OptionError, Preparation, Unavailable, derive_seed
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
from harness_timm.folders import SCHEME, find_folder_problem, folder_digest, is_timm_folder, parse_folder
from harness_timm.library_sources import registered_models
from harness_timm.outputs import RANDOM_HEAD, ClassOutputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from PIL import Image

# Tags end with in1k (and the image size) if ImageNet-1k was the last data set trained on.
_IMAGENET_TAG = re.compile(r"in1k(_\d+)?$")
_SOURCES = ("hf-hub:", "hf_hub:", SCHEME)


class TimmModel:
    """A timm model under its name, `resnet50` or `resnet50.a1_in1k`, `hf-hub:…` or `local-dir:…`.

    A model classifies only if the meaning of its outputs is known. For your own checkpoint, their
    number or their names are enough.

    Args:
        name: timm's name of the architecture, with or without the tag of its weights.
        pretrained: load timm's weights; if false, random ones from a fixed seed.
        checkpoint: a safetensors or torch file used instead of timm's weights.
        weights_key: location of the weights in the checkpoint (`ema`, `state_dict.model`), if several
            fit; by default averaged weights are preferred.
        num_classes: the head's number of outputs (0 removes the head); by default that of the
            checkpoint's own head.
        label_space: the label space of the outputs; "imagenet-1k" by default if the name implies it.
        class_names: the names of the outputs, in order (a list, or a file with one per line); they also
            set the head's size. By default those that the checkpoint holds beside its weights
            (`class_names`, `class_to_idx` and similar keys).
    """

    label_space: str | None

    @classmethod
    def known_names(cls) -> frozenset[str]:
        """Return timm's architectures, without importing it."""
        return registered_models("timm")[0]

    @classmethod
    def recognise(cls, path: Path) -> dict[str, str] | None:
        """Return the options for a folder with a model in timm's layout, or None."""
        return {"name": f"{SCHEME}{path}"} if is_timm_folder(path) else None

    def __init__(
        self,
        name: str,
        pretrained: bool = True,
        checkpoint: Path | None = None,
        num_classes: int | None = None,
        label_space: str | None = None,
        class_names: list[str] | Path | None = None,
        weights_key: str | None = None,
    ) -> None:
        self._where = f"timm:{name}"
        self._check_name(name)
        self._outputs = ClassOutputs.from_options(
            self._where, num_classes, class_names, checkpoint, label_space
        )
        self.class_names, self.num_classes = self._outputs.names, self._outputs.count
        self.name = name
        self.pretrained = pretrained
        check_weights_key(self._where, weights_key, checkpoint)
        self.checkpoint = checkpoint
        self.weights_key = weights_key
        self.label_space = label_space or self._infer_label_space()
        missing = self._find_missing_classes()
        self.lacks = {"classifies images": missing} if missing else {}
        self.remarks: list[str] = list(self._outputs.remarks)
        self.preparation: Preparation | None = None
        self._expected_head = 1000 if self.label_space == "imagenet-1k" else self.num_classes
        self._module: Any = None
        self._transform: Any = None

    def _check_name(self, name: str) -> None:
        if name.startswith(_SOURCES):
            return
        arch = name.partition(".")[0]
        # other packages may register names, too; an imported timm knows them
        if "timm" in sys.modules:
            known = frozenset(sys.modules["timm"].list_models())
            works = arch in known or sys.modules["timm"].is_model(arch)
        else:
            known, renamed = registered_models("timm")
            works = arch in known | renamed
        if not works:
            raise OptionError(f"{self._where}: timm has no architecture '{arch}'{did_you_mean(arch, known)}")

    def _infer_label_space(self) -> str | None:
        """Return "imagenet-1k" if name and options imply that the outputs are its 1000 classes, else None."""
        if self.num_classes not in (None, 1000):
            return None
        if _IMAGENET_TAG.search(self.name):
            return "imagenet-1k"
        # without a tag timm loads an architecture's first weights, nearly always ImageNet-1k's;
        # `classify` refuses a head of another size
        untagged = not self.name.startswith(_SOURCES) and "." not in self.name
        return "imagenet-1k" if untagged and self.pretrained and self.checkpoint is None else None

    def _find_missing_classes(self) -> str | None:
        """Return why the model can't be used as a classifier, or None if its outputs are defined."""
        if self.num_classes == 0:
            return "num_classes=0 removes its head"
        own_weights = self.checkpoint is not None or self.name.startswith(_SOURCES) or not self.pretrained
        return self._outputs.find_missing(self.label_space, own_weights)

    @property
    def class_keys(self) -> Sequence[str] | None:
        """ImageNet-1k's class keys, if the outputs are its classes and have no other names."""
        return self._outputs.class_keys(self.label_space)

    def unavailable(self) -> str | None:
        """Return why a named file or folder can't be used, or None; planning downloads nothing."""
        return self._find_folder_problem() or explain_missing_file(self._where, self.checkpoint)

    def _find_folder_problem(self) -> str | None:
        folder = parse_folder(self.name)
        own = self.pretrained and self.checkpoint is None
        return (
            None if folder is None else find_folder_problem(self._where, folder, "config.json", weights=own)
        )

    def fingerprint(self) -> str:
        """Return digests of checkpoint and folder, else timm's version, which determines a name's weights."""
        parts = [] if self.checkpoint is None else [f"sha256:{digest(self.checkpoint)}"]
        if (folder := parse_folder(self.name)) is not None:
            parts.append(f"folder:{folder_digest(folder)}")
        parts = parts or [f"timm {version('timm')}"]
        return " ".join([*parts, *self._outputs.digest])

    def load(self, device: torch.device) -> None:
        """Build the network, load its weights, and move it to `device` in evaluation mode.

        Raises `Unavailable` for weights that can't be obtained, `OptionError` for weights that don't fit.
        """
        import torch
        from timm.data import create_transform, resolve_model_data_config

        with torch.random.fork_rng(devices=[]):
            # random weights (all of them, or a new head) are the same in every process
            torch.manual_seed(derive_seed("timm", self.name, self.num_classes))
            module = self._build()
        config = resolve_model_data_config(module)
        self._transform = create_transform(**config, is_training=False)
        self.preparation = build_timm_preparation(config)
        self._module = module.to(device).eval()

    def _build(self) -> torch.nn.Module:
        import timm

        if problem := self._find_folder_problem():
            raise Unavailable(problem)
        kwargs: dict[str, Any] = {} if self.num_classes is None else {"num_classes": self.num_classes}
        remedy = "get them on a machine with a network and give the file as checkpoint=FILE"
        use_own = self.pretrained and self.checkpoint is None
        self._check_tag(timm)
        try:
            with explain_weights_download(self._where, remedy):
                module: Any = timm.create_model(self.name, pretrained=use_own, **kwargs)
        except (RuntimeError, ValueError, TypeError) as error:
            hint = "; give checkpoint=FILE, or pretrained=false for random weights" if use_own else ""
            raise OptionError(f"{self._where}: timm can't build it: {one_line(error)}{hint}") from error
        if self.checkpoint is not None:
            self._load_checkpoint(module, self.checkpoint)
        elif use_own and not self.lacks and module.pretrained_cfg.get("num_classes") != module.num_classes:
            self.remarks = [*self._outputs.remarks, RANDOM_HEAD]
        built: torch.nn.Module = module
        return built

    def _check_tag(self, timm: Any) -> None:
        arch, _, tag = self.name.partition(".")
        if not tag or self.name.startswith(_SOURCES):
            return
        tagged = timm.list_models(f"{arch}.*", pretrained=True)
        if self.name not in tagged and self.checkpoint is None and timm.is_model(arch) and tagged:
            raise OptionError(
                f"{self._where}: {arch} has no weights '{tag}'{did_you_mean(self.name, tagged)}"
            )

    def _load_checkpoint(self, module: Any, path: Path) -> None:
        head = module.pretrained_cfg.get("classifier") or ()
        heads = tuple(f"{name}." for name in ([head] if isinstance(head, str) else head))
        expected = module.state_dict()
        own_head = [n for n in expected if n.startswith(heads)] if self.num_classes is None else []
        read = read_weights(self._where, path, module, self.weights_key, own_head)
        state: dict[str, Any] = read
        remarks = list(read.remarks)
        convert = getattr(sys.modules[type(module).__module__], "checkpoint_filter_fn", None)
        if convert is not None and not (state.keys() & expected.keys()):
            state = self._translate(read, module, convert)
            if _position_shapes(read) != _position_shapes(state):
                remarks.append("timm resized its position embeddings")
        weight = state.get(f"{heads[0]}weight") if heads else None
        classes = 0 if weight is None else weight.shape[0]
        if self.num_classes is None and heads and classes != module.num_classes:
            module.reset_classifier(classes)
        elif self.num_classes and weight is not None and classes != self.num_classes:
            raise OptionError(
                f"{self._where}: checkpoint {path} has a head of {classes} outputs, "
                f"but {self._outputs.describe_count(classes)}"
            )
        if not module.num_classes:
            left = [n for n in state if n.startswith(heads)] if heads else []
            if any(n not in (f"{heads[0]}weight", f"{heads[0]}bias") for n in left):
                remarks.append(f"a head of {len(left)} tensors was left out (first: {left[0]})")
            state = {name: value for name, value in state.items() if name not in left}
        load_weights(self._where, path, module, state)
        self.remarks = [*self._outputs.remarks, *remarks]

    def _translate(self, state: dict[str, Any], module: Any, convert: Any) -> dict[str, Any]:
        """Translate weights from another library's names to timm's."""
        try:
            found: dict[str, Any] = convert(state, module)
        except Exception as error:  # the filter expects names that may be absent
            raise OptionError(
                f"{self._where}: checkpoint {self.checkpoint} does not fit the architecture: timm can't "
                f"translate its names ({type(error).__name__}: {one_line(error, 80)}; first: {next(iter(state))})"
            ) from error
        return found

    @property
    def module(self) -> torch.nn.Module:
        """The timm network itself (after `load`)."""
        module: torch.nn.Module = self._module
        return module

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """Apply timm's own evaluation transform; return 3×H×W."""
        prepared: torch.Tensor = self._transform(image if image.mode == "RGB" else image.convert("RGB"))
        return prepared

    def classify(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits B×C of prepared images B×3×H×W; raise OptionError if the head doesn't match `label_space`."""
        expected, found = self._expected_head, self._module.num_classes
        if found and (problem := self._outputs.explain_head(self.checkpoint, found)):
            raise OptionError(f"{self._where}: {problem}")
        if found == 0 or (expected is not None and found != expected):
            raise OptionError(
                f"{self._where}: its head has {found} outputs, not the {expected or ''} classes of "
                f"{self.label_space or 'num_classes'}; give their number as num_classes, or use it as a backbone"
            )
        logits: torch.Tensor = self._module(images)
        return logits

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """Return pooled features B×D, the input of the classification head."""
        features: torch.Tensor = self._module.forward_head(
            self._module.forward_features(images), pre_logits=True
        )
        return features

    def encode_image_tokens(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `encode_image`'s features B×E and the last patches (positions of the feature map) B×P×D."""
        from harness_timm.patches import extract_patches

        features = self._module.forward_features(images)
        return self._module.forward_head(features, pre_logits=True), extract_patches(self._module, features)


def _position_shapes(state: dict[str, Any]) -> set[tuple[int, ...]]:
    return {tuple(value.shape) for name, value in state.items() if "pos_embed" in name or "position" in name}


def build_timm_preparation(config: dict[str, Any]) -> Preparation | None:
    """Convert timm's data configuration to an equivalent `Preparation`; return None if there is none.

    A `Preparation` can crop the centre after resizing the shorter side or both sides ("squash"); it
    can't express borders, a non-square target that keeps the aspect ratio, or other channel counts.
    """
    import math

    channels, height, width = config["input_size"]
    scaled = tuple(math.floor(side / config["crop_pct"]) for side in (height, width))
    mode = config["crop_mode"] or "center"
    if channels != 3 or mode not in ("center", "squash") or (mode == "center" and scaled[0] != scaled[1]):
        return None
    return Preparation(
        resize=scaled if mode == "squash" else scaled[0],
        crop=(height, width),
        interpolation=config["interpolation"],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )


__all__ = ["TimmModel", "build_timm_preparation"]
