"""CoCoOp: a context that each image shifts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from harness import OptionError
from harness_prompts.shots import FromShots

if TYPE_CHECKING:
    import torch

    from harness.learning.pipeline import Batch
    from harness_few_shot.task import FewShotTask
    from harness_prompts.context_vectors import PromptLayout

Position = Literal["end", "middle", "front"]
T = TypeVar("T")

POSITIONS_AT_ONCE = 40_000
"""Token positions per pass of the text tower: images × classes × length; halved when memory runs out."""


def build_meta_net(width: int, context_width: int, seed: int = 0) -> torch.nn.Sequential:
    """Build Linear(v → v//16), ReLU, Linear(v//16 → d), with torch's default initial weights drawn by seed."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        hidden = max(1, width // 16)
        return torch.nn.Sequential(
            torch.nn.Linear(width, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, context_width)
        )


def conditional_logits(
    features: torch.Tensor, vectors: torch.Tensor, shift: Any, layout: PromptLayout, scale: float
) -> torch.Tensor:
    """Return logits B×C of normalised embeddings B×D, each against the texts of its own context V + π(f)."""
    import torch

    contexts = vectors + shift(features)[:, None]
    return scale * torch.einsum("bd,bcd->bc", features, layout.encode_each(contexts))


class ConditionalClassifier:
    """Zero-shot classification with a context that depends on the image, in chunks that fit in memory."""

    def __init__(
        self, tower: Any, vectors: torch.Tensor, shift: torch.nn.Module, position: Position, scale: float
    ) -> None:
        self.tower, self.vectors, self.shift = tower, vectors.detach(), shift
        self.position, self.scale = position, scale

    def logits(self, features: torch.Tensor, class_names: Sequence[str]) -> torch.Tensor:
        """Return logits N×C."""
        import torch

        from harness_prompts.context_vectors import PromptLayout

        layout = PromptLayout(self.tower, class_names, self.vectors.shape[0], self.position)

        def in_chunks(size: int) -> torch.Tensor:
            parts = [
                conditional_logits(part, self.vectors, self.shift, layout, self.scale)
                for part in features.split(size)
            ]
            return torch.cat(parts)

        with torch.inference_mode():
            found, _ = halve_until_it_fits(in_chunks, min(images_per_chunk(layout), len(features)))
        return found.clone()


def images_per_chunk(layout: PromptLayout) -> int:
    """Return how many images pass the text tower together."""
    return max(1, POSITIONS_AT_ONCE // (len(layout) * layout.tokens.shape[1]))


def halve_until_it_fits(run: Callable[[int], T], size: int) -> tuple[T, int]:
    """Return `run(size)` and the size, halved as often as memory does not suffice."""
    import torch

    from harness.inference.batches import ran_out_of_memory

    while True:
        try:
            return run(size), size
        except (RuntimeError, MemoryError) as error:
            if size == 1 or not ran_out_of_memory(error):
                raise
        size = (size + 1) // 2
        torch.cuda.empty_cache()  # does nothing without a GPU


class CoCoOp(FromShots):
    """Conditional context optimisation: a shared context plus a shift computed from the image by a small network.

    Source: Zhou et al., Conditional Prompt Learning for Vision-Language Models, CVPR 2022; defaults
    are those of its code, which trains one image per step.

    Args:
        length: M, the number of context vectors, if `init` is empty.
        init: words whose token embeddings they start from.
        position: place of the class name in the context.
        epochs: passes over the shots.
        rate: learning rate of SGD, as for CoOp.
        batch: images per step; each has its own texts, which pass the tower in chunks.
        augment: new random views in every epoch.
    """

    transfers = True
    needs_tower = True

    def __init__(
        self,
        length: int = 4,
        init: str = "a photo of a",
        position: Position = "end",
        epochs: int = 10,
        rate: float = 0.002,
        batch: int = 1,
        augment: bool = False,
    ) -> None:
        if length < 1 or batch < 1 or epochs < 0:
            raise OptionError("length and batch must be at least 1, epochs 0 or more")
        self.length, self.init, self.position = length, init, position
        self.epochs, self.rate, self.batch, self.augment = epochs, rate, batch, augment

    def fit(self, task: FewShotTask) -> ConditionalClassifier:
        """Learn the context and the network; the encoders stay frozen."""
        import torch.nn.functional as F

        from harness_prompts.context_vectors import ContextVectors, PromptLayout
        from harness_prompts.methods.coop import freeze
        from harness_prompts.shot_training import batch_labels, coop_recipe, embedding_source, train_on_shots

        tower = task.texts.tower
        context = ContextVectors(tower, self.length, self.init, None, task.seed)
        shift = build_meta_net(task.features.shape[1], tower.width, task.seed).to(task.device)
        layout = PromptLayout(tower, task.class_names, context.length, self.position)
        size = min(images_per_chunk(layout), self.batch)
        trained = [*context.parameters(), *shift.parameters()]

        def leave_gradient(batch: Batch, step: int) -> float:
            features, labels = batch.data, batch_labels(batch)

            def in_chunks(size: int) -> float:
                for parameter in trained:  # a try that ran out of memory may have left a partial gradient
                    parameter.grad = None
                total = 0.0
                for start in range(0, len(features), size):
                    rows = slice(start, start + size)
                    logits = conditional_logits(
                        features[rows], context.vectors, shift, layout, task.logit_scale
                    )
                    loss = F.cross_entropy(logits, labels[rows], reduction="sum") / len(labels)
                    loss.backward()
                    total += float(loss.detach())
                return total

            nonlocal size
            total, size = halve_until_it_fits(in_chunks, size)
            return total

        recipe = coop_recipe(len(task.labels), self.epochs, self.rate, self.batch)
        with freeze(tower.part):
            train_on_shots(task, trained, embedding_source(task, self.augment), leave_gradient, recipe)
        return ConditionalClassifier(tower, context.vectors, shift, self.position, task.logit_scale)
