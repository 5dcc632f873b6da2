"""timm models as a plugin: any classifier or backbone, pretrained or from a checkpoint file."""

from __future__ import annotations

import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import OptionError, Preparation, Unavailable, derive_seed
from harness.discovery.libraries import registered_models
from harness.errors import did_you_mean
from harness.inference.weights import (
    check_key,
    digest,
    downloading,
    explain_missing_file,
    load_weights,
    one_line,
    read_weights,
)
from harness_timm.folders import SCHEME, folder_digest, folder_of, folder_problem
from harness_timm.outputs import RANDOM_HEAD, Outputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from PIL import Image

# Weights trained or fine-tuned on ImageNet-1k last say so at the end of their tag (then the size).
_IMAGENET_TAG = re.compile(r"in1k(_\d+)?$")
_SOURCES = ("hf-hub:", "hf_hub:", SCHEME)


class TimmModel:
    """A timm model under its name, `resnet50` or `resnet50.a1_in1k`, `hf-hub:…` or `local-dir:…`.

    A model whose outputs mean nothing known does not classify. For a checkpoint of one's own it is
    enough to say how many there are, or what they are called.

    Args:
        name: timm's name of the architecture, with or without the tag of its weights.
        pretrained: takes the weights timm names; false: random ones from a fixed seed.
        checkpoint: a safetensors or torch file used instead of the weights timm names.
        weights_key: where in the checkpoint the weights stand (`ema`, `state_dict.model`), if there are
            several that fit; left out, averaged ones are preferred.
        num_classes: the head's number of outputs (0 takes the head off); without it a checkpoint's own
            head decides.
        label_space: names what the outputs stand for; it is "imagenet-1k" by itself where the name says
            that the head is ImageNet-1k's.
        class_names: the names of the outputs, in their order (list, or file with one per line); the head has
            as many.
    """

    label_space: str | None

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
        self._outputs = Outputs.of(self._where, num_classes, class_names)
        self.class_names, self.num_classes = self._outputs.names, self._outputs.count
        self.name = name
        self.pretrained = pretrained
        check_key(self._where, weights_key, checkpoint)
        self.checkpoint = checkpoint
        self.weights_key = weights_key
        self.label_space = label_space or self._own_label_space()
        missing = self._missing_classes()
        self.lacks = {"classifies images": missing} if missing else {}
        self.remarks: list[str] = []
        self.preparation: Preparation | None = None
        self._expected_head = 1000 if self.label_space == "imagenet-1k" else self.num_classes
        self._module: Any = None
        self._transform: Any = None

    def _check_name(self, name: str) -> None:
        if name.startswith(_SOURCES):
            return
        arch = name.partition(".")[0]
        # names may be registered by other packages too; an imported timm knows those
        if "timm" in sys.modules:
            known = frozenset(sys.modules["timm"].list_models())
            works = arch in known or sys.modules["timm"].is_model(arch)
        else:
            known, renamed = registered_models("timm")
            works = arch in known | renamed
        if not works:
            raise OptionError(f"{self._where}: timm has no architecture '{arch}'{did_you_mean(arch, known)}")

    def _own_label_space(self) -> str | None:
        """ "imagenet-1k" where name and options say that the outputs are its 1000 classes."""
        if self.num_classes not in (None, 1000):
            return None
        if _IMAGENET_TAG.search(self.name):
            return "imagenet-1k"
        # without a tag timm takes an architecture's first weights, nearly always ImageNet-1k's; a head
        # of another size is refused by `classify`
        untagged = not self.name.startswith(_SOURCES) and "." not in self.name
        return "imagenet-1k" if untagged and self.pretrained and self.checkpoint is None else None

    def _missing_classes(self) -> str | None:
        """Why it can't be read as a classifier: what its outputs are isn't said."""
        if self.num_classes == 0:
            return "num_classes=0 takes its head off"
        own_weights = self.checkpoint is not None or self.name.startswith(_SOURCES) or not self.pretrained
        return self._outputs.missing(self.label_space, own_weights)

    @property
    def class_keys(self) -> Sequence[str] | None:
        """What ImageNet-1k calls its classes, where the outputs are these and have no names of their own."""
        return self._outputs.keys(self.label_space)

    def unavailable(self) -> str | None:
        """Why a named file or folder can't be used here; downloads are not tried at planning."""
        return self._missing_folder() or explain_missing_file(self._where, self.checkpoint)

    def _missing_folder(self) -> str | None:
        folder = folder_of(self.name)
        own = self.pretrained and self.checkpoint is None
        return None if folder is None else folder_problem(self._where, folder, "config.json", weights=own)

    def fingerprint(self) -> str:
        """Digests of checkpoint and folder, else the version of timm, which decides what a name's weights are."""
        parts = [] if self.checkpoint is None else [f"sha256:{digest(self.checkpoint)}"]
        if (folder := folder_of(self.name)) is not None:
            parts.append(f"folder:{folder_digest(folder)}")
        parts = parts or [f"timm {version('timm')}"]
        return " ".join([*parts, *self._outputs.digest])

    def load(self, device: torch.device) -> None:
        """Build the network, give it its weights, and put it on `device` in evaluation mode.

        Raises `Unavailable` for weights that can't be had, `OptionError` for what doesn't fit.
        """
        import torch
        from timm.data import create_transform, resolve_model_data_config

        with torch.random.fork_rng(devices=[]):
            # whatever keeps random weights (all of them, or a new head) is the same in every process
            torch.manual_seed(derive_seed("timm", self.name, self.num_classes))
            module = self._built()
        config = resolve_model_data_config(module)
        self._transform = create_transform(**config, is_training=False)
        self.preparation = preparation_of(config)
        self._module = module.to(device).eval()

    def _built(self) -> torch.nn.Module:
        import timm

        if problem := self._missing_folder():
            raise Unavailable(problem)
        kwargs: dict[str, Any] = {} if self.num_classes is None else {"num_classes": self.num_classes}
        remedy = "get them on a machine with a network and give the file as checkpoint=FILE"
        use_own = self.pretrained and self.checkpoint is None
        self._check_tag(timm)
        try:
            with downloading(self._where, remedy):
                module: Any = timm.create_model(self.name, pretrained=use_own, **kwargs)
        except (RuntimeError, ValueError, TypeError) as error:
            hint = "; give checkpoint=FILE, or pretrained=false for random weights" if use_own else ""
            raise OptionError(f"{self._where}: timm can't build it: {one_line(error)}{hint}") from error
        if self.checkpoint is not None:
            self._load_checkpoint(module, self.checkpoint)
        elif use_own and not self.lacks and module.pretrained_cfg.get("num_classes") != module.num_classes:
            self.remarks = [RANDOM_HEAD]
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
            state = self._translated(read, module, convert)
            if _position_shapes(read) != _position_shapes(state):
                remarks.append("its position embeddings were resized by timm")
        weight = state.get(f"{heads[0]}weight") if heads else None
        classes = 0 if weight is None else weight.shape[0]
        if self.num_classes is None and heads and classes != module.num_classes:
            module.reset_classifier(classes)
        elif self.num_classes and weight is not None and classes != self.num_classes:
            raise OptionError(
                f"{self._where}: checkpoint {path} has a head of {classes} classes, not of the "
                f"{self.num_classes} that are asked for (num_classes, class_names)"
            )
        if not module.num_classes:
            left = [n for n in state if n.startswith(heads)] if heads else []
            if any(n not in (f"{heads[0]}weight", f"{heads[0]}bias") for n in left):
                remarks.append(f"a head of {len(left)} tensors was left out (first: {left[0]})")
            state = {name: value for name, value in state.items() if name not in left}
        load_weights(self._where, path, module, state)
        self.remarks = remarks

    def _translated(self, state: dict[str, Any], module: Any, convert: Any) -> dict[str, Any]:
        """Weights that were published in another library's naming, under timm's names."""
        try:
            found: dict[str, Any] = convert(state, module)
        except Exception as error:  # it looks for names that need not be there
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
        """Input 3×H×W as timm's own evaluation transform makes it."""
        prepared: torch.Tensor = self._transform(image if image.mode == "RGB" else image.convert("RGB"))
        return prepared

    def classify(self, images: torch.Tensor) -> torch.Tensor:
        """Logits B×C for prepared images B×3×H×W; `OptionError` when the head is not `label_space`'s."""
        expected, found = self._expected_head, self._module.num_classes
        if found == 0 or (expected is not None and found != expected):
            raise OptionError(
                f"{self._where}: its head has {found} outputs, not the {expected or ''} classes of "
                f"{self.label_space or 'num_classes'}; say how many there are with num_classes, or use it as a backbone"
            )
        logits: torch.Tensor = self._module(images)
        return logits

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """Pooled features B×D, what the classification head would get."""
        features: torch.Tensor = self._module.forward_head(
            self._module.forward_features(images), pre_logits=True
        )
        return features

    def encode_image_tokens(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`encode_image`'s features B×E and the last patches (places of the feature map) B×P×D."""
        from harness_timm.patches import patches_of

        features = self._module.forward_features(images)
        return self._module.forward_head(features, pre_logits=True), patches_of(self._module, features)


def _position_shapes(state: dict[str, Any]) -> set[tuple[int, ...]]:
    return {tuple(value.shape) for name, value in state.items() if "pos_embed" in name or "position" in name}


def preparation_of(config: dict[str, Any]) -> Preparation | None:
    """timm's data configuration as a `Preparation`; None where that can't say the same.

    A centre crop after resizing the shorter side, or after resizing both sides ("squash"), can be
    said; borders, non-square targets that keep the aspect ratio, and other channel counts can't.
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


__all__ = ["TimmModel", "preparation_of"]
