"""The network to fine-tune: a backbone, its transformer blocks, and a head for one data set's classes."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

from harness import OptionError, Unavailable

HeadKind = Literal["auto", "new", "old", "zero-shot"]

_BLOCKS = ("blocks", "transformer.resblocks", "trunk.blocks")
_STAGES = ("layer1", "layer2", "layer3", "layer4")


class CosineHead(nn.Module):
    """Logits scale·cos(f, w_c) from C×D unit weights; the scale is folded in, as WiSE-FT does.

    Source: Wortsman et al. 2022, section 2: a zero-shot classifier initialises the linear layer.
    """

    def __init__(self, weights: torch.Tensor, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(scale * weights.detach().clone().float())

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits B×C of embeddings B×D."""
        return F.normalize(features, dim=-1) @ self.weight.T


class FittedHead(nn.Module):
    """A head fitted by a method on normalised embeddings; its parameters count as an adapter's."""

    is_adapter = True

    def __init__(self, fitted: nn.Module) -> None:
        super().__init__()
        self.fitted = fitted

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits B×C of embeddings B×D."""
        found: torch.Tensor = self.fitted(F.normalize(features, dim=-1))
        return found


class TextHead(nn.Module):
    """Logits from texts that are encoded again at each training step, so that the text tower can train."""

    is_adapter = True

    def __init__(self, clip: nn.Module, tokens: torch.Tensor, scale: float) -> None:
        super().__init__()
        self.clip: Any = clip
        self.scale = scale
        self.register_buffer("tokens", tokens, persistent=False)
        self._kept: torch.Tensor | None = None

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits B×C of embeddings B×D."""
        return self.scale * F.normalize(features, dim=-1) @ self.weights().T

    def train(self, mode: bool = True) -> TextHead:
        """Set the mode and drop the cached embeddings, since the weights may have changed."""
        self._kept = None
        return super().train(mode)

    def weights(self) -> torch.Tensor:
        """Return unit text embeddings C×D; cached without gradients, until the next `train()` or `eval()`."""
        if self._kept is not None and not torch.is_grad_enabled():
            return self._kept
        encoded = F.normalize(self.clip.encode_text(self.tokens), dim=-1)
        self._kept = None if torch.is_grad_enabled() else encoded
        return encoded


class AdaptedNetwork(nn.Module):
    """A backbone and a head, in one module with stable names: `backbone.…` and `head.…`.

    `model` is the loaded plugin; it is copied, never changed. `head_kind` says how the head was
    initialised; `class_names` and `templates` are for a zero-shot head.
    """

    def __init__(
        self,
        model: Any,
        classes: int,
        head: HeadKind = "auto",
        *,
        label_indices: Sequence[Sequence[int]] | None = None,
        same_space: bool = False,
        class_names: Sequence[str] = (),
        templates: Sequence[str] = (),
        logit_scale: float | None = None,
    ) -> None:
        super().__init__()
        if not hasattr(model, "module"):
            raise OptionError("fine-tuning: the model does not expose its module")
        self.classes = classes
        self.is_clip = hasattr(model.module, "visual") and hasattr(model, "encode_text")
        self._texts = (model, tuple(class_names), tuple(templates))
        self._scale = logit_scale if logit_scale is not None else float(getattr(model, "logit_scale", 1.0))
        self._plugin: Any = None
        if self.is_clip:
            self.backbone = copy.deepcopy(model.module.visual)
        elif hasattr(model.module, "forward_head"):
            self.backbone = copy.deepcopy(model.module)
        elif hasattr(model, "encode_image"):
            self._plugin = copy.deepcopy(model)
            self.backbone = self._plugin.module
        else:
            raise OptionError("fine-tuning: the model returns no features (no forward_head, no encode_image)")
        self.head_kind = self._choose_head_kind(head, same_space)
        self.backbone.eval()
        if self.head_kind == "old":
            self.head: nn.Module = _select_rows(self._find_own_head(), classes, label_indices)
        elif self.head_kind == "zero-shot":
            self.head = CosineHead(self.text_weights(), self._scale)
        if hasattr(self.backbone, "reset_classifier"):
            self.backbone.reset_classifier(0)
        if self.head_kind == "new":
            self.head = nn.Linear(self._measure_width(model), classes)
            nn.init.trunc_normal_(self.head.weight, std=0.02)
            nn.init.zeros_(self.head.bias)
        device = next(self.backbone.parameters()).device
        self.head.to(device)
        self.requires_grad_(False)
        self.head.requires_grad_(True)

    @classmethod
    def from_facts(cls, model: Any, facts: Mapping[str, Any]) -> AdaptedNetwork:
        """Build a network from its recorded seed and options."""
        options = dict(facts)
        torch.manual_seed(options.pop("seed"))
        classes, head, train_head = options.pop("classes"), options.pop("head"), options.pop("train_head")
        network = cls(model, classes, head, **options)
        if not train_head:
            network.head.requires_grad_(False)
        return network

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Return the head's input, embeddings B×D of prepared images."""
        if self._plugin is not None:
            found: torch.Tensor = self._plugin.encode_image(images)
        elif self.is_clip:
            found = self.backbone(images)
        else:
            found = self.backbone.forward_head(self.backbone.forward_features(images), pre_logits=True)
        return found

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits B×C of prepared images."""
        logits: torch.Tensor = self.head(self.features(images))
        return logits

    def clone_network(self) -> AdaptedNetwork:
        """Return a copy that shares only the original model, which is read-only."""
        return copy.deepcopy(self, {id(self._texts): self._texts})

    def blocks(self) -> list[nn.Module]:
        """Return the transformer blocks, first to last. Raises Unavailable if there are none."""
        found = self._find_sequence(_BLOCKS)
        if found is None or not all(hasattr(b, "mlp") and hasattr(b, "attn") for b in found):
            raise Unavailable(
                f"{type(self.backbone).__name__} has no transformer blocks with attn and mlp: use a ViT"
            )
        return list(found)

    def stages(self) -> list[nn.Module]:
        """Return the blocks, or a convolutional network's stages, first to last. Raises Unavailable if unknown."""
        found = self._find_sequence(_BLOCKS) or self._find_sequence(("stages",))
        if found is not None:
            return list(found)
        trunk = getattr(self.backbone, "trunk", self.backbone)
        if all(hasattr(trunk, s) for s in _STAGES):
            return [getattr(trunk, s) for s in _STAGES]
        raise Unavailable(f"{type(self.backbone).__name__} has no known blocks or stages")

    def final_layers(self) -> Iterator[nn.Module]:
        """Yield the norms between the last block and the head."""
        for name in ("norm", "fc_norm", "ln_post"):
            if isinstance(found := getattr(self.backbone, name, None), nn.Module):
                yield found

    def attach_text_tower(self) -> nn.Module:
        """Replace fixed text weights by the text tower, inside the graph; return the tower.

        Raises Unavailable for a model without one.
        """
        model, names, templates = self._texts
        if not self.is_clip or not names:
            raise Unavailable("needs an image-text model and a data set with class names")
        from harness.inference.zeroshot import fill_template

        clip = copy.deepcopy(model.module)
        clip.visual = self.backbone
        device = next(self.backbone.parameters()).device
        texts = [fill_template(templates[0], name) for name in names]
        self.head = TextHead(clip, model.tokenizer(texts).to(device), self._scale).to(device)
        self.head.requires_grad_(False)
        tower: nn.Module = clip.transformer if hasattr(clip, "transformer") else clip.text
        return tower

    def text_weights(self) -> torch.Tensor:
        """Return zero-shot classifier weights C×D of unit length."""
        from harness.inference.zeroshot import text_classifier

        model, names, templates = self._texts
        return text_classifier(model, names, templates).clone()

    def _choose_head_kind(self, asked: HeadKind, same_space: bool) -> str:
        own = same_space and not self.is_clip and self._find_own_head() is not None
        texts = self.is_clip and bool(self._texts[1])
        if asked == "auto":
            return "zero-shot" if texts else "old" if own else "new"
        if asked == "old" and not own:
            raise Unavailable("the model has no head for these classes; use head = 'new'")
        if asked == "zero-shot" and not texts:
            raise Unavailable("a zero-shot head needs an image-text model and a data set with class names")
        return asked

    def _find_own_head(self) -> nn.Linear | None:
        get = getattr(self.backbone, "get_classifier", None)
        found = get() if get else None
        return found if isinstance(found, nn.Linear) else None

    def _measure_width(self, model: Any) -> int:
        preparation = getattr(model, "preparation", None)
        if preparation is not None:
            side = preparation.crop
            shape = (3, side, side) if isinstance(side, int) else (3, *side)
        else:
            from PIL import Image

            shape = tuple(model.prepare(Image.new("RGB", (256, 256))).shape)
        device = next(self.backbone.parameters()).device
        with torch.inference_mode():
            return int(self.features(torch.zeros(1, *shape, device=device)).shape[1])

    def _find_sequence(self, paths: Sequence[str]) -> Any:
        for path in paths:
            try:
                found = self.backbone.get_submodule(path)
            except AttributeError:
                continue
            if isinstance(found, nn.Sequential | nn.ModuleList) and len(found):
                return found
        return None


def _select_rows(head: nn.Linear | None, classes: int, groups: Sequence[Sequence[int]] | None) -> nn.Linear:
    """Return the old head's rows for the data set's classes; the first of the rows of one class."""
    assert head is not None
    rows = list(range(classes)) if groups is None else [g[0] for g in groups]
    if max(rows) >= head.out_features:
        raise OptionError(f"the old head has {head.out_features} outputs, the data set needs {max(rows) + 1}")
    own = nn.Linear(head.in_features, len(rows), bias=head.bias is not None)
    with torch.no_grad():
        own.weight.copy_(head.weight[rows])
        if head.bias is not None:
            own.bias.copy_(head.bias[rows])
    return own
