"""Templates selected or weighted by their performance on a few labelled samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from harness import OptionError
from harness_few_shot.templates import FromTemplates, check_templates_option
from harness_prompts.shots import FromShots

if TYPE_CHECKING:
    from harness_few_shot.task import FewShotTask
    from harness_prompts.methods.zero_shot import PromptClassifier


class TemplateSelection(FromShots, FromTemplates):
    """The best templates of a set, or all of them weighted, as scored on the training shots.

    Args:
        templates: the set to choose from, as for `ensemble`.
        keep: `select` keeps the `count` best by accuracy, then cross-entropy; `weight` weights every
            template by softmax(−cross-entropy / temperature).
        count: how many templates `select` keeps.
        temperature: temperature of the weights, in nats.
    """

    transfers = True
    needs_tower = False

    def __init__(
        self,
        templates: str | list[str] = "imagenet-80",
        keep: Literal["select", "weight"] = "select",
        count: int = 5,
        temperature: float = 0.1,
    ) -> None:
        if count < 1 or temperature <= 0:
            raise OptionError(
                f"count must be at least 1 and temperature above 0, got {count} and {temperature}"
            )
        self.templates, self.keep, self.count, self.temperature = (
            check_templates_option(templates),
            keep,
            count,
            temperature,
        )

    def fit(self, task: FewShotTask) -> PromptClassifier:
        """Score every template on the training shots, then select or weight."""
        import torch
        import torch.nn.functional as F

        from harness_prompts.methods.zero_shot import PromptClassifier, resolve_templates

        templates = resolve_templates(self.templates, task)
        each = F.normalize(task.texts.encode_grid(task.class_names, templates).to(task.device), dim=-1)
        logits = task.logit_scale * torch.einsum("nd,ctd->tnc", task.features, each)
        right = (logits.argmax(dim=-1) == task.labels).float().mean(dim=1)
        entropy = -logits.log_softmax(dim=-1)[:, torch.arange(len(task.labels)), task.labels].mean(dim=1)
        order = sorted(range(len(templates)), key=lambda t: (-float(right[t]), float(entropy[t])))
        task.notes |= {
            "selected_on": "training shots",
            "template_scores": [
                {"template": templates[t], "accuracy": float(right[t]), "loss": float(entropy[t])}
                for t in order
            ][:20],
        }
        if self.keep == "weight":
            weights = (-entropy / self.temperature).softmax(dim=0)
            return PromptClassifier(task.texts, templates, task.logit_scale, weights=weights)
        return PromptClassifier(task.texts, [templates[t] for t in order[: self.count]], task.logit_scale)
