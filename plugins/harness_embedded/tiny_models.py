"""The models `tiny-vit`, `tiny-resnet` and `tiny-clip`: real architectures, small and trained."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from harness import OptionError, Preparation

if TYPE_CHECKING:
    from pathlib import Path

    import open_clip
    import torch
    from PIL import Image
    from torch import nn

    from harness_embedded.drawn_images import DrawnImages

RECIPE = "tiny-5"
"""Version of the training; raise it with every change that alters the weights."""

SIDE = 32

TrainedOn = Literal["scenes", "digits"]


def _check_options(model: str, steps: int | None, width: int = 1) -> None:
    for name, value, least in (("steps", steps, 0), ("width", width, 1)):
        if value is not None and value < least:
            raise OptionError(f"{model}: {name} must be at least {least}, not {value}")


class TinyModel:
    """Base of the tiny models: images of 32×32; weights that are packaged, else cached, else trained on first use."""

    preparation = Preparation(
        resize=SIDE, crop=SIDE, interpolation="bicubic", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)
    )
    options: dict[str, int | str | None]
    """What determines the weights besides the recipe."""
    seed: int
    steps: int
    _name: str
    _module: nn.Module

    def build(self) -> nn.Module:
        """Return the network with initial weights drawn from torch's random state."""
        raise NotImplementedError

    def train(self, module: nn.Module) -> None:
        """Train the network on the CPU."""
        raise NotImplementedError

    @property
    def recipe(self) -> str:
        """The versions of the training and of its data."""
        from harness_embedded.digits import RECIPE as DIGITS
        from harness_embedded.drawing import RECIPE as SCENES

        return f"{RECIPE}+{SCENES}+{DIGITS}"

    @property
    def packaged_file(self) -> Path:
        """Where the package has the trained weights, if it has them."""
        from harness_embedded.packaged_weights import name_packaged_file

        return name_packaged_file(self._name, self.recipe, self.options)

    @property
    def cached_file(self) -> Path:
        """Where the cache keeps the weights if the package has none."""
        from harness_embedded.drawn_images import cache_folder
        from harness_embedded.weight_names import name_weights_file

        return cache_folder() / name_weights_file(self._name, {"recipe": self.recipe, **self.options})

    def fingerprint(self) -> str:
        """Return the versions of the training and of its data, and what identifies packaged weights."""
        from harness_embedded.packaged_weights import digest_packaged_file

        digest = digest_packaged_file(self.packaged_file)
        return f"{self.recipe}+packaged-{digest}" if digest else self.recipe

    def _build_trained(self) -> nn.Module:
        """Return the network with its packaged weights, else those of the cache, else after training."""
        from harness.learning.trained_once import train_once
        from harness_embedded.packaged_weights import load_changes
        from harness_embedded.pretraining import seed_pretraining

        with seed_pretraining(self.seed):
            module = self.build()
            if self.packaged_file.is_file():
                load_changes(module, self.packaged_file)
            elif self.steps:
                train_once(module, self.cached_file, self.train)
        return module.eval()

    @property
    def module(self) -> nn.Module:
        """The torch module (after `load`)."""
        return self._module

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """Convert a PIL image to a normalised float tensor 3×32×32: RGB, shorter side to 32, centre crop."""
        import numpy as np
        import torch
        from PIL import Image

        from harness_embedded.pretraining import normalise_images

        image = image.convert("RGB")
        if image.size != (SIDE, SIDE):
            width, height = (SIDE * s // min(image.size) for s in image.size)
            image = image.resize((width, height), Image.Resampling.BICUBIC)
            left, top = (round((s - SIDE) / 2) for s in image.size)
            image = image.crop((left, top, left + SIDE, top + SIDE))
        return normalise_images(torch.from_numpy(np.array(image))[None])[0].contiguous()


class _TinyClassifier(TinyModel):
    label_space: str
    _rate: float

    def __init__(self, trained_on: TrainedOn, width: int, steps: int | None, seed: int) -> None:
        _check_options(self._name, steps, width)
        self.label_space = self.trained_on = trained_on
        self.width = width
        self.steps = steps if steps is not None else self._steps[trained_on]
        self.seed = seed
        self.options = {"trained_on": trained_on, "width": width, "steps": self.steps, "seed": seed}

    _steps: ClassVar[dict[str, int]]

    @property
    def _classes(self) -> int:
        return 10 if self.trained_on == "digits" else 12

    def _training_set(self) -> DrawnImages:
        if self.trained_on == "digits":
            from harness_embedded.digits import load_digit_images

            return load_digit_images("digits", "train")
        from harness_embedded.scene_splits import load_scene_images

        return load_scene_images("none", "train")

    def train(self, module: nn.Module) -> None:
        """Train the network on the labels of its training set."""
        from harness_embedded.pretraining import fit_labels

        fit_labels(module, self._training_set(), steps=self.steps, batch=64, rate=self._rate, seed=self.seed)

    def load(self, device: torch.device) -> None:
        """Build the network with trained weights; without packaged or cached ones it is trained on the CPU."""
        self._module = self._build_trained().to(device)

    def classify(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits B×12 (B×10 for digits) of prepared images B×3×32×32."""
        logits: torch.Tensor = self._module(images)
        return logits

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """Return the last layer's input, B×`width` (`tiny-vit`) or B×4·`width` (`tiny-resnet`)."""
        return self.encode_image_tokens(images)[0]

    def encode_image_tokens(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `encode_image`'s features and the tokens they average: 16 (`tiny-vit`) or 1 (`tiny-resnet`)."""
        from harness_timm.patches import extract_patches

        module: Any = self._module
        features = module.forward_features(images)
        return module.forward_head(features, pre_logits=True), extract_patches(module, features)


class TinyViT(_TinyClassifier):
    """timm's VisionTransformer with a convolutional stem and three blocks, trained on labelled plain scenes or digits.

    Args:
        trained_on: the data set whose training split it learns from and whose label space it predicts.
        width: the embedding's dimension, a multiple of 32.
        steps: optimiser steps (batches of 64); fewer give a weaker model, 0 leaves random weights.
        seed: seed of the initial weights and of the order of the batches.
    """

    _name = "tiny-vit"
    _rate = 3e-3
    _steps: ClassVar[dict[str, int]] = {"scenes": 500, "digits": 200}

    def __init__(
        self, trained_on: TrainedOn = "scenes", width: int = 64, steps: int | None = None, seed: int = 0
    ) -> None:
        if width % 32:
            raise OptionError(f"tiny-vit: width must be a multiple of 32, not {width}")
        super().__init__(trained_on, width, steps, seed)

    def build(self) -> nn.Module:
        """Return the vision transformer with initial weights."""
        from harness_embedded.tiny_networks import build_tiny_vit

        return build_tiny_vit(self._classes, self.width)


class TinyResNet(_TinyClassifier):
    """timm's ResNet with one basic block per stage, trained on labelled plain scenes or digits.

    Args:
        trained_on: the data set whose training split it learns from and whose label space it predicts.
        width: channels of the first stage; the later ones have 2, 4 and 4 times as many.
        steps: optimiser steps (batches of 64); fewer give a weaker model, 0 leaves random weights.
        seed: seed of the initial weights and of the order of the batches.
    """

    _name = "tiny-resnet"
    _rate = 5e-3
    _steps: ClassVar[dict[str, int]] = {"scenes": 400, "digits": 150}

    def __init__(
        self, trained_on: TrainedOn = "scenes", width: int = 16, steps: int | None = None, seed: int = 0
    ) -> None:
        super().__init__(trained_on, width, steps, seed)

    def build(self) -> nn.Module:
        """Return the residual network with initial weights."""
        from harness_embedded.tiny_networks import build_tiny_resnet

        return build_tiny_resnet(self._classes, self.width)


@lru_cache(maxsize=1)
def _tokenizer(context: int) -> open_clip.SimpleTokenizer:
    """Return open_clip's tokenizer, cached: reading its merges takes longer than building the model."""
    import open_clip

    return open_clip.SimpleTokenizer(context_length=context)


class TinyCLIP(TinyModel):
    """open_clip's CLIP with small image and text towers, trained on captions of a wide mixture.

    The mixture contains scenes as photographs, sketches and four of the six renditions, with varied
    rotations and backgrounds, and the training splits of both kinds of digits. It contains neither
    the evaluated splits nor the renditions `negative` and `mosaic`.

    Args:
        tower: the image tower: timm's ResNet, or open_clip's ViT (weaker at this size, for methods that
            need transformer blocks).
        steps: optimiser steps (batches of 128); 0 leaves random weights.
        seed: seed of the initial weights and of the order of the batches.
    """

    _name = "tiny-clip"
    _clip: open_clip.CLIP

    def __init__(self, tower: Literal["resnet", "vit"] = "resnet", steps: int = 500, seed: int = 0) -> None:
        _check_options(self._name, steps)
        self.tower, self.steps, self.seed = tower, steps, seed
        self.options = {"tower": tower, "steps": steps, "seed": seed}

    def build(self) -> nn.Module:
        """Return both towers with initial weights."""
        from harness_embedded.tiny_networks import build_tiny_clip

        network: nn.Module = build_tiny_clip(self.tower)
        return network

    def train(self, module: nn.Module) -> None:
        """Train both towers on the captions of the mixture."""
        from harness_embedded.pretraining import fit_captions
        from harness_embedded.tiny_networks import CONTEXT
        from harness_embedded.training_mixture import load_wide_mixture

        drawn = load_wide_mixture()
        tokens = _tokenizer(CONTEXT)(list(drawn.captions))
        rate = 8e-3 if self.tower == "resnet" else 4e-3
        clip = cast("open_clip.CLIP", module)
        fit_captions(clip, drawn, tokens, steps=self.steps, batch=128, rate=rate, seed=self.seed)

    def load(self, device: torch.device) -> None:
        """Build both towers with trained weights; without packaged or cached ones they are trained on the CPU."""
        from harness_embedded.tiny_networks import CONTEXT

        self._device = device
        self.tokenizer = _tokenizer(CONTEXT)
        self._module = self._clip = cast("open_clip.CLIP", self._build_trained().to(device))
        self.logit_scale = float(self._clip.logit_scale.detach().exp())

    @property
    def clip(self) -> open_clip.CLIP:
        """The open_clip module with both towers (after `load`)."""
        return self._clip

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """Return unnormalised embeddings B×64 of prepared images B×3×32×32."""
        features: torch.Tensor = self._clip.encode_image(images)
        return features

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        """Return unnormalised embeddings B×64 of texts (cut to 32 tokens)."""
        features: torch.Tensor = self._clip.encode_text(self.tokenizer(list(texts)).to(self._device))
        return features

    @property
    def context_length(self) -> int:
        """Number of tokens the model reads of a text (after `load`)."""
        return int(self.tokenizer.context_length)

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text before it is cut."""
        from harness_open_clip.tokens import token_counts

        return token_counts(self.tokenizer, texts)

    def encode_image_tokens(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return embeddings B×64 and the image tower's last patches, B×16×64 (`vit`) or B×1×64 (`resnet`)."""
        from harness_open_clip.tokens import image_tokens

        return image_tokens(self._clip, images)

    def encode_text_tokens(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return embeddings B×64, the text tower's last tokens B×32×64 and their mask B×32."""
        from harness_open_clip.tokens import text_tokens

        return text_tokens(self._clip, self.tokenizer(list(texts)).to(self._device))
