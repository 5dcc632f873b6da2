"""CoOp, and the variants that change only its loss (KgCoOp) or its gradient (ProGrad)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from harness import OptionError
from harness_few_shot.templates import FromTemplates, check_templates_option
from harness_prompts.shots import FromShots

if TYPE_CHECKING:
    import torch

    from harness.learning.loop import Objective
    from harness.learning.pipeline import Batch
    from harness_few_shot.task import FewShotTask
    from harness_prompts.context_vectors import ContextVectors, PromptLayout

Position = Literal["end", "middle", "front"]


class ContextClassifier:
    """Zero-shot classification with learned vectors in place of words."""

    def __init__(
        self, tower: Any, vectors: torch.Tensor, class_names: Sequence[str], position: Position, scale: float
    ) -> None:
        self.tower, self.vectors, self.class_names = tower, vectors.detach(), list(class_names)
        self.position, self.scale = position, scale

    def logits(self, features: torch.Tensor, class_names: Sequence[str]) -> torch.Tensor:
        """Return logits N×C. Raises OptionError if contexts are per class and a class has none."""
        import torch

        from harness_few_shot.task import find_columns
        from harness_prompts.context_vectors import PromptLayout

        vectors = self.vectors
        if vectors.ndim == 3:
            vectors = vectors[find_columns(self.class_names, class_names)]
        layout = PromptLayout(self.tower, class_names, vectors.shape[-2], self.position)
        with torch.no_grad():
            return self.scale * features @ layout.encode(vectors).T


class CoOp(FromShots):
    """Context optimisation: M vectors in front of the class name, learned by cross-entropy on the shots.

    Source: Zhou et al., Learning to Prompt for Vision-Language Models, IJCV 2022; defaults are
    those of its code.

    Args:
        length: M, the number of context vectors.
        init: words whose token embeddings they start from; M is then the number of their tokens.
        position: place of the class name: at the `end`, in the `middle`, or in `front`.
        class_specific: one context per class, which can't name new classes.
        epochs: passes over the shots; by default 50 for 1 shot, 100 for 2 to 4, 200 for more, and 50 on
            ImageNet.
        rate: learning rate of SGD with momentum 0.9 and weight decay 5e-4, cosine after a warm-up epoch.
        batch: images per step.
        augment: new random crops and flips in every epoch, which runs the image tower each time;
            otherwise the shots' cached embeddings are used.
        words: how many nearest words of each learned vector to add to the record; 0 for none.
    """

    needs_tower = True

    def __init__(
        self,
        length: int = 16,
        init: str = "",
        position: Position = "end",
        class_specific: bool = False,
        epochs: int | None = None,
        rate: float = 0.002,
        batch: int = 32,
        augment: bool = False,
        words: int = 3,
    ) -> None:
        if length < 1 or batch < 1 or (epochs is not None and epochs < 0):
            raise OptionError("length and batch must be at least 1, epochs 0 or more")
        self.length, self.init, self.position = length, init, position
        self.class_specific, self.epochs, self.rate = class_specific, epochs, rate
        self.batch, self.augment, self.words = batch, augment, words

    @property
    def transfers(self) -> bool:
        """Whether new classes can be named: only a shared context fits any name."""
        return not self.class_specific

    def fit(self, task: FewShotTask) -> ContextClassifier:
        """Learn the context; the encoders stay frozen."""
        from harness_prompts.context_vectors import ContextVectors, PromptLayout, find_nearest_words
        from harness_prompts.shot_training import coop_epochs, coop_recipe, embedding_source, train_on_shots

        tower = task.texts.tower
        classes = len(task.class_names) if self.class_specific else None
        context = ContextVectors(tower, self.length, self.init, classes, task.seed)
        layout = PromptLayout(tower, task.class_names, context.length, self.position)
        epochs = coop_epochs(task.shots, task.space) if self.epochs is None else self.epochs
        recipe = coop_recipe(len(task.labels), epochs, self.rate, self.batch)
        with freeze(tower.part):
            objective = self._build_objective(task, context, layout)
            train_on_shots(
                task, context.parameters(), embedding_source(task, self.augment), objective, recipe
            )
        vectors = context.vectors.detach()
        if self.words and vectors.ndim == 2:
            task.notes["nearest_words"] = find_nearest_words(tower, vectors, self.words)
        return ContextClassifier(tower, vectors, task.class_names, self.position, task.logit_scale)

    def _build_objective(self, task: FewShotTask, context: ContextVectors, layout: PromptLayout) -> Objective:
        """Return the objective that training minimises."""
        import torch.nn.functional as F

        from harness_prompts.shot_training import batch_labels

        def loss(batch: Batch, step: int) -> torch.Tensor:
            logits = task.logit_scale * batch.data @ layout.encode(context.vectors).T
            return F.cross_entropy(logits, batch_labels(batch))

        return loss


class KgCoOp(CoOp, FromTemplates):
    """CoOp kept near the hand-written prompt: loss + weight·(1 − mean cosine between the two classifiers).

    Source: Yao et al., KgCoOp, CVPR 2023, equations 4 and 5. Defaults are those of its code: M = 4 from
    "a photo of a", batch 128, 100 epochs.

    Args:
        weight: weight of the distance from the hand-written classifier; 0 is CoOp.
        templates: templates of the hand-written classifier, as for `ensemble`.
    """

    def __init__(
        self,
        weight: float = 8.0,
        templates: str | list[str] = "data",
        length: int = 4,
        init: str = "a photo of a",
        position: Position = "end",
        epochs: int | None = 100,
        rate: float = 0.002,
        batch: int = 128,
        augment: bool = False,
        words: int = 3,
    ) -> None:
        super().__init__(length, init, position, False, epochs, rate, batch, augment, words)
        self.weight, self.templates = weight, check_templates_option(templates)

    def _build_objective(self, task: FewShotTask, context: ContextVectors, layout: PromptLayout) -> Objective:
        import torch.nn.functional as F

        from harness_prompts.methods.zero_shot import zero_shot_weights
        from harness_prompts.shot_training import batch_labels

        anchor = zero_shot_weights(task, self.templates)

        def loss(batch: Batch, step: int) -> torch.Tensor:
            learned = layout.encode(context.vectors)
            entropy = F.cross_entropy(task.logit_scale * batch.data @ learned.T, batch_labels(batch))
            return entropy + self.weight * (1 - (learned * anchor).sum(dim=1).mean())

        return loss


class ProGrad(CoOp, FromTemplates):
    """CoOp whose gradient may not oppose the zero-shot model's knowledge.

    If the cross-entropy's gradient opposes that of the divergence from the zero-shot predictions, `strength`
    (λ) times its component along the latter is removed. Source: Zhu et al., Prompt-aligned Gradient for
    Prompt Tuning, ICCV 2023, equation 4.

    Args:
        strength: λ; 0 leaves CoOp's gradient, 1 removes the whole component.
        templates: templates of the zero-shot model, as for `ensemble`.
    """

    def __init__(
        self,
        strength: float = 1.0,
        templates: str | list[str] = "data",
        length: int = 16,
        init: str = "",
        position: Position = "end",
        epochs: int | None = None,
        rate: float = 0.002,
        batch: int = 32,
        augment: bool = False,
        words: int = 3,
    ) -> None:
        super().__init__(length, init, position, False, epochs, rate, batch, augment, words)
        self.strength, self.templates = strength, check_templates_option(templates)

    def _build_objective(self, task: FewShotTask, context: ContextVectors, layout: PromptLayout) -> Objective:
        import torch
        import torch.nn.functional as F

        from harness_prompts.methods.zero_shot import zero_shot_weights
        from harness_prompts.shot_training import batch_labels

        anchor = zero_shot_weights(task, self.templates)

        def leave_gradient(batch: Batch, step: int) -> float:
            logits = task.logit_scale * batch.data @ layout.encode(context.vectors).T
            known = (task.logit_scale * batch.data @ anchor.T).softmax(dim=1)
            entropy = F.cross_entropy(logits, batch_labels(batch))
            divergence = F.kl_div(logits.log_softmax(dim=1), known, reduction="batchmean")
            (g_kl,) = torch.autograd.grad(divergence, context.vectors, retain_graph=True)
            (g_ce,) = torch.autograd.grad(entropy, context.vectors)
            context.vectors.grad = align_gradient(g_ce, g_kl, self.strength)
            return float(entropy.detach())

        return leave_gradient


def align_gradient(g: torch.Tensor, known: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
    """Return g, less `strength` times its component along `known` if the two oppose each other."""
    norm = known.norm()
    if norm == 0:
        return g
    unit = known / norm
    along = (g * unit).sum()
    return g - strength * along * unit if along < 0 else g


class freeze:
    """A context in which the module's parameters take no gradients; afterwards they are as before."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._trainable = [p for p in module.parameters() if p.requires_grad]

    def __enter__(self) -> None:
        for parameter in self._trainable:
            parameter.requires_grad_(False)

    def __exit__(self, *_: object) -> None:
        for parameter in self._trainable:
            parameter.requires_grad_(True)
