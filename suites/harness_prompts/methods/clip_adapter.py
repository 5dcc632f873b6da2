"""CLIP-Adapter: a bottleneck on the image embeddings of the shots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness import OptionError
from harness_few_shot.templates import FromTemplates, check_templates_option
from harness_prompts.methods.zero_shot import zero_shot_weights
from harness_prompts.shots import FromShots

if TYPE_CHECKING:
    import torch

    from harness.learning.pipeline import Batch
    from harness_few_shot.task import FewShotTask
    from harness_prompts.adapter_heads import ClipAdapterHead


class ClipAdapter(FromShots, FromTemplates):
    """CLIP-Adapter: a bottleneck on the image embedding, mixed with it; the text embeddings stay.

    f' = ratio·ReLU(W₂ ReLU(W₁ f)) + (1 − ratio)·f with W₁ D→D/reduction. Source: Gao et al.,
    CLIP-Adapter, IJCV 2024, section 3.2 (visual adapter).

    Args:
        templates: the zero-shot classifier's templates, as for `ensemble`.
        ratio: weight of the bottleneck's output against the embedding, from 0 to 1.
        reduction: width of the embedding divided by that of the bottleneck, at least 1.
        epochs: passes over the shots.
        rate: learning rate of SGD with momentum 0.9 and weight decay 5e-4, cosine after a warm-up epoch.
        batch: images per step.
        augment: new random crops and flips in every epoch, which runs the image tower each time;
            otherwise the shots' cached embeddings are used.
    """

    transfers = True
    needs_tower = False
    rates = (2e-3, 6e-3, 2e-2)

    def __init__(
        self,
        templates: str | list[str] = "data",
        ratio: float = 0.2,
        reduction: int = 4,
        epochs: int = 50,
        rate: float = 0.002,
        batch: int = 32,
        augment: bool = False,
    ) -> None:
        if not 0 <= ratio <= 1 or reduction < 1:
            raise OptionError(
                f"ratio must lie in 0…1 and reduction be at least 1, got {ratio} and {reduction}"
            )
        self.templates, self.ratio, self.reduction = check_templates_option(templates), ratio, reduction
        self.epochs, self.rate, self.batch, self.augment = epochs, rate, batch, augment

    def fit(self, task: FewShotTask) -> AdapterClassifier:
        """Train the bottleneck with cross-entropy on the shots."""
        import torch
        import torch.nn.functional as F

        from harness_prompts.adapter_heads import build_bottleneck
        from harness_prompts.shot_training import batch_labels, coop_recipe, embedding_source, train_on_shots

        width = task.features.shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(task.seed)
            layers = build_bottleneck(width, max(1, width // self.reduction)).to(task.device)
        fixed = AdapterClassifier(task, self.templates, layers, self.ratio)
        classifier = zero_shot_weights(task, self.templates)

        def loss(batch: Batch, step: int) -> torch.Tensor:
            logits = task.logit_scale * fixed.adapt(batch.data) @ classifier.T
            return F.cross_entropy(logits, batch_labels(batch))

        recipe = coop_recipe(len(task.labels), self.epochs, self.rate, self.batch)
        train_on_shots(task, layers.parameters(), embedding_source(task, self.augment), loss, recipe)
        return fixed

    def rebuild(self, tensors: Mapping[str, torch.Tensor]) -> ClipAdapterHead:
        """Rebuild a fitted classifier's `head` from its stored tensors."""
        from harness_prompts.adapter_heads import ClipAdapterHead

        return ClipAdapterHead.from_tensors(tensors)


class AdapterClassifier:
    """Zero-shot classification of adapted image embeddings."""

    def __init__(
        self, task: FewShotTask, templates: str | list[str], layers: torch.nn.Module, ratio: float
    ) -> None:
        from harness_prompts.methods.zero_shot import resolve_templates

        self.task, self.layers, self.ratio = task, layers, ratio
        self.templates = resolve_templates(templates, task)

    def adapt(self, features: torch.Tensor) -> torch.Tensor:
        """Return normalised embeddings N×D mixed with the bottleneck's output."""
        import torch.nn.functional as F

        return F.normalize(self.ratio * self.layers(features) + (1 - self.ratio) * features, dim=-1)

    def logits(self, features: torch.Tensor, class_names: Sequence[str]) -> torch.Tensor:
        """Return logits N×C."""
        weights = zero_shot_weights(self.task, self.templates, class_names)
        return self.task.logit_scale * self.adapt(features) @ weights.T

    def head(self) -> ClipAdapterHead:
        """Build the same classifier for the task's own classes as a module."""
        from harness_prompts.adapter_heads import ClipAdapterHead

        weights = zero_shot_weights(self.task, self.templates)
        return ClipAdapterHead(self.layers, weights, (self.task.logit_scale, self.ratio))
