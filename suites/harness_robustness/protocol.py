"""The protocol `classification`: a frozen model, supervised or zero-shot, evaluated on one data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from harness.contract import Dataset, Job, Predictions, Result, capabilities
from harness.zeroshot import checked_templates, templates_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Classification:
    """Evaluates a frozen model on a data set's test split, without any training.

    A model that classifies images is read through its logits, restricted to the data set's
    classes; one that encodes images and texts classifies zero-shot, with an ensemble of prompts.

    Args:
        split: the split to evaluate on; by default `test`, else `val` or `validation`.
        templates: prompts with `{}` for the class name; by default the data set's own, else
            "a photo of a {}.".
        logit_scale: factor on the cosine similarities of zero-shot models, which decides their
            calibration but no ranking; by default the model's own.
    """

    provides = (Predictions,)
    axes = ()
    smallest: ClassVar = {
        "cell": {
            "models": [{"plugin": "tiny-vit", "trained_on": "digits", "width": 32, "steps": 0}],
            "datasets": ["digits"],
            "metrics": ["top1"],
            "limit": 48,
        }
    }

    def __init__(
        self, split: str | None = None, templates: list[str] | None = None, logit_scale: float | None = None
    ) -> None:
        self.split, self.logit_scale = split, logit_scale
        self.templates = None if templates is None else checked_templates(templates)

    def cannot(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> str | None:
        """Why this model can't be evaluated on this data set, from what both say of themselves."""
        if method is not None:
            return "the protocol 'classification' takes no method: leave `methods` out"
        able = capabilities(model)
        zero_shot = {"encodes images", "encodes texts"} <= {*able}
        if not zero_shot and "classifies images" not in able:
            return (
                "the model neither classifies images nor encodes images and texts: choose one that does "
                "(`harness info` tells what a model can)"
            )
        space = getattr(dataset, "label_space", None)
        if not zero_shot and space and model.label_space and model.label_space != space:
            return (
                f"the model answers in the label space '{model.label_space}', the data set's is '{space}': "
                "choose a model for that, or one that encodes images and texts"
            )
        return None

    def run(self, job: Job) -> Result:
        """Top-1 and the like on every sample of the split."""
        from harness.evaluate import classification_result, outputs, to_split_classes

        name = self.split or default_split(job.dataset)
        split = job.splits(name)
        space, able = getattr(job.dataset, "label_space", None), capabilities(job.model)
        zero_shot = {"encodes images", "encodes texts"} <= {*able}
        supervised = "classifies images" in able and (
            not zero_shot or not space or job.model.label_space == space
        )
        notes: dict[str, Any] = {"split": name, "classifier": "supervised" if supervised else "zero-shot"}
        if supervised:
            logits, rate = outputs(job, "logits", name)
            logits = to_split_classes(logits, split, job.cell.dataset.label)
        else:
            logits, rate, more = self._zero_shot(job, name)
            notes |= more
        predictions = Predictions(logits, split.targets, split.ids, getattr(split, "class_names", None) or ())
        cost = {"samples_per_second": rate} if rate else {}
        return classification_result(job, predictions, cost=cost, notes=notes)

    def _zero_shot(self, job: Job, name: str) -> tuple[Any, float | None, dict[str, Any]]:
        import torch
        import torch.nn.functional as F

        from harness.errors import DataError
        from harness.evaluate import outputs

        split = job.splits(name)
        class_names: Sequence[str] | None = getattr(split, "class_names", None)
        if not class_names:
            raise DataError(
                f"{job.cell.dataset.label}: zero-shot needs class names, and the data set has none"
            )
        templates = self.templates or templates_of(split, job.cell.dataset.label)
        weights = torch.from_numpy(_classifier(job, class_names, templates))
        embeddings, rate = outputs(job, "image embeddings", name)
        scale = self.logit_scale if self.logit_scale is not None else float(job.model.logit_scale)
        logits = scale * F.normalize(torch.from_numpy(embeddings), dim=-1) @ weights.T
        return logits.numpy(), rate, {"templates": len(templates), "logit_scale": scale}


def _classifier(job: Job, class_names: Sequence[str], templates: Sequence[str]) -> NDArray[np.float32]:
    """The zero-shot classifier C×D, from the cache or computed: ImageNet's takes 80,000 texts, for each of 80 cells."""
    import json

    from harness.evaluate import weights_of
    from harness.prompts import prompt_facts, prompt_remarks, prompts_of
    from harness.provenance import environment
    from harness.zeroshot import classifier_of, encode_prompts

    decides = {
        "what": "zero-shot classifier",
        "model": json.loads(job.cell.model.identity) if job.cell.model else None,
        "weights": weights_of(job.model),
        "class_names": list(class_names),
        "templates": list(templates),
        "libraries": environment()["libraries"],
    }
    texts = prompts_of(class_names, templates)
    encoded = cache(lambda: encode_prompts(job.model, texts))
    weights = job.cache.get(decides, lambda: classifier_of(encoded(), class_names, templates).cpu().numpy())
    facts = job.cache.get(
        {**decides, "fact": "prompts"}, lambda: prompt_facts(job.model, texts, encoded().cpu().numpy())
    )
    for text in prompt_remarks(job.model, class_names, templates, facts):
        job.remark(f"{job.cell.model.label if job.cell.model else ''} on {job.cell.dataset.label}: {text}")
    return weights


def default_split(dataset: Dataset) -> str:
    """`test` where the data set has it, else `val` or `validation`, else its first split."""
    return next((s for s in ("test", "val", "validation") if s in dataset.splits), dataset.splits[0])
