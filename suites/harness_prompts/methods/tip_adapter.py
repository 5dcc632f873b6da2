"""Tip-Adapter and Tip-Adapter-F: a cache of the shots' embeddings added to the zero-shot classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness import OptionError
from harness_few_shot.templates import FromTemplates, check_templates_option
from harness_prompts.fixed_classifier import FixedClassifier
from harness_prompts.shots import FromShots
from harness_prompts.tip_logits import tip_logits

if TYPE_CHECKING:
    import torch

    from harness_few_shot.task import FewShotTask
    from harness_prompts.adapter_heads import TipAdapterHead


class TipAdapter(FromShots, FromTemplates):
    """Tip-Adapter: a cache of the shots' embeddings added to the zero-shot classifier, without training.

    α and β are searched on the validation shots; without any they stay at 1 and 5.5.
    Source: Zhang et al., Tip-Adapter, ECCV 2022.

    Args:
        templates: the zero-shot classifier's templates, as for `ensemble`.
        views: augmented views of each shot, whose mean is its key; 0 takes the image itself.
        fine_tune: train the keys too (Tip-Adapter-F): AdamW, eps 1e-4, cosine.
        epochs: passes over the shots that train the keys; the last step is kept, none is chosen on test.
        rate: AdamW's learning rate for the keys.
        batch: shots per step when the keys are trained.
    """

    transfers = False
    needs_tower = False

    def __init__(
        self,
        templates: str | list[str] = "data",
        views: int = 0,
        fine_tune: bool = False,
        epochs: int = 20,
        rate: float = 1e-3,
        batch: int = 256,
    ) -> None:
        if views < 0 or epochs < 0 or batch < 1:
            raise OptionError(
                f"views and epochs must be 0 or more and batch at least 1, got {views}, {epochs} and {batch}"
            )
        self.templates, self.views, self.fine_tune = check_templates_option(templates), views, fine_tune
        self.epochs, self.rate, self.batch = epochs, rate, batch

    def fit(self, task: FewShotTask) -> FixedClassifier:
        """Build the cache, train its keys if `fine_tune`, and search α and β."""
        import torch
        import torch.nn.functional as F

        from harness_prompts.methods.zero_shot import zero_shot_weights

        keys = task.features
        if self.views:
            keys = F.normalize(torch.stack([task.views(v) for v in range(self.views)]).mean(dim=0), dim=-1)
        values = F.one_hot(task.labels, len(task.class_names)).float()
        classifier = zero_shot_weights(task, self.templates)
        scale = task.logit_scale
        alpha, beta = 1.0, 5.5
        if self.fine_tune:
            keys = self._train_keys(task, keys, values, classifier, alpha, beta)
        if len(task.val_labels):
            alpha, beta = self._search_weights(task, keys, values, classifier)
        task.notes |= {
            "selected_on": "validation shots" if len(task.val_labels) else "nothing",
            "alpha": alpha,
            "beta": beta,
        }

        def head() -> TipAdapterHead:
            from harness_prompts.adapter_heads import TipAdapterHead

            return TipAdapterHead(keys, task.labels, classifier, (scale, alpha, beta), self.fine_tune)

        return FixedClassifier(
            task.class_names, lambda f: tip_logits(f, keys, values, classifier, scale, alpha, beta), head
        )

    def rebuild(self, tensors: Mapping[str, torch.Tensor]) -> TipAdapterHead:
        """Rebuild a fitted classifier's `head` from its stored tensors."""
        from harness_prompts.adapter_heads import TipAdapterHead

        return TipAdapterHead.from_tensors(tensors, self.fine_tune)

    def _search_weights(
        self, task: FewShotTask, keys: torch.Tensor, values: torch.Tensor, classifier: torch.Tensor
    ) -> tuple[float, float]:
        """Return the (α, β) with the highest validation accuracy; ties go to the higher log-likelihood."""
        best, chosen = (-1.0, 0.0), (1.0, 5.5)
        for beta in (0.5, 1.0, 2.0, 3.5, 5.5, 7.0, 10.0):
            for alpha in (0.0, 0.1, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0):
                logits = tip_logits(
                    task.val_features, keys, values, classifier, task.logit_scale, alpha, beta
                )
                right = float((logits.argmax(dim=1) == task.val_labels).float().mean())
                sure = float(logits.log_softmax(dim=1).gather(1, task.val_labels[:, None]).mean())
                if (right, sure) > best:
                    best, chosen = (right, sure), (alpha, beta)
        return chosen

    def _train_keys(
        self,
        task: FewShotTask,
        keys: torch.Tensor,
        values: torch.Tensor,
        classifier: torch.Tensor,
        alpha: float,
        beta: float,
    ) -> torch.Tensor:
        import torch
        import torch.nn.functional as F

        from harness.learning.pipeline import Batch, HeldSamples
        from harness.learning.recipe import Recipe
        from harness_prompts.shot_training import batch_labels, count_steps, train_on_shots

        trained = torch.nn.Parameter(keys.clone())
        source = HeldSamples(
            (lambda epoch: task.views(100 + epoch)) if self.views else task.features, task.labels
        )
        recipe = Recipe(
            steps=count_steps(len(task.labels), self.epochs, self.batch),
            batch=self.batch,
            rate=self.rate,
            optimizer="adamw",
            optimizer_options={"eps": 1e-4},
            weight_decay=0.01,
            last="drop",
        )

        def loss(batch: Batch, step: int) -> torch.Tensor:
            logits = tip_logits(batch.data, trained, values, classifier, task.logit_scale, alpha, beta)
            return F.cross_entropy(logits, batch_labels(batch))

        train_on_shots(task, [trained], source, loss, recipe)
        return trained.detach()


class TipAdapterF(TipAdapter):
    """Tip-Adapter-F: Tip-Adapter with trained keys."""

    rates = (3e-4, 1e-3, 3e-3)

    def __init__(
        self,
        templates: str | list[str] = "data",
        views: int = 0,
        epochs: int = 20,
        rate: float = 1e-3,
        batch: int = 256,
    ) -> None:
        super().__init__(templates, views, True, epochs, rate, batch)
