"""The protocol `classification`: a frozen model, supervised or zero-shot, evaluated on one data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from harness import DataError, Dataset, Job, Predictions, Result, capabilities
from harness.contract.declared import ask
from harness.inference.classes import Classes, align_classes
from harness.inference.splits import find_test_split
from harness.inference.zeroshot import check_templates, similarity_of, templates_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness import Split

T = TypeVar("T")


class Classification:
    """Evaluates a frozen model on a data set's test split, without any training.

    A model that classifies images is evaluated on its logits, matched by name if model and data set name
    their classes; a model that encodes images and texts classifies zero-shot, with an ensemble of prompts.

    Args:
        split: the split to evaluate; by default that for testing, else that for validation (under any of
            their usual names), else the only one.
        templates: prompts with `{}` for the class name; by default the data set's own, else
            "a photo of a {}.".
        logit_scale: factor on the cosine similarities of zero-shot models, which changes their calibration
            but no ranking; by default the model's own.
    """

    provides = (Predictions,)
    axes = ()
    own_numbers = ()
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
        self.templates = None if templates is None else check_templates(templates)

    def cannot(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> str | None:
        """Return why this model can't be evaluated on this data set, judged from their declarations, or None."""
        if method is not None:
            return "the protocol 'classification' takes no method: leave `methods` out"
        able = capabilities(model)
        if not can_classify_zero_shot(able) and "classifies images" not in able:
            lacks = ask(model, "lacks")
            if isinstance(lacks, Mapping) and "classifies images" in lacks:
                return f"the model does not classify images: {lacks['classifies images']}"
            return (
                "the model neither classifies images nor encodes images and texts: choose one that does "
                "(`harness info` lists what a model can do)"
            )
        if refusal := find_test_split(dataset.splits, self.split).refusal:
            return refusal
        if not can_classify_zero_shot(able):
            return align_classes(Classes.of(model), Classes.of(dataset), planning=True).refusal
        if (
            not uses_own_logits(model, dataset)
            and self.logit_scale is not None
            and similarity_of(model) == "own"
        ):
            return "the model scores images and texts itself, so there is no logit_scale to set"
        return None

    def assumes(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> Sequence[str]:
        """Return remarks on assumptions about splits and classes."""
        remark = find_test_split(dataset.splits, self.split).remark
        said = [remark] if remark else []
        if uses_own_logits(model, dataset):
            return said + align_classes(Classes.of(model), Classes.of(dataset), planning=True).remarks
        return said

    def run(self, job: Job) -> Result:
        """Compute the metrics on every sample of the split."""
        from harness.inference.evaluate import align_logits, classification_result, outputs
        from harness.inference.evaluation_facts import describe_classes, describe_preparation

        found = find_test_split(job.dataset.splits, self.split)
        if found.name is None:
            raise DataError(f"{job.cell.dataset.label}: {found.refusal}")
        name, split = found.name, job.splits(found.name)
        trained = uses_own_logits(job.model, job.dataset)
        notes: dict[str, Any] = {"split": name, "classifier": "supervised" if trained else "zero-shot"}
        if trained:
            logits, rate = outputs(job, "logits", name)
            notes |= describe_classes(job, split, logits.shape[1])
            logits = align_logits(job, logits, split)
        else:
            logits, rate, more = self._classify_zero_shot(job, name)
            notes |= more
        predictions = Predictions(logits, split.targets, split.ids, ask(split, "class_names") or ())
        notes |= describe_preparation(job, split)
        cost = {"samples_per_second": rate} if rate else {}
        return classification_result(job, predictions, cost=cost, notes=notes)

    def warm(self, job: Job) -> None:
        """Compute the outputs and text embeddings that `run` will ask for."""
        from harness.inference.evaluate import outputs

        name = find_test_split(job.dataset.splits, self.split).name
        if name is None:
            return
        if uses_own_logits(job.model, job.dataset):
            outputs(job, "logits", name)
            return
        split = job.splits(name)
        if not ask(split, "class_names"):
            return
        outputs(job, "image embeddings", name)  # first: the run begins with the texts
        self._build_classifier(job, split)

    def _build_classifier(self, job: Job, split: Split) -> tuple[NDArray[np.float32], Sequence[str]]:
        """Return the text classifier of a split with class names, and the templates."""
        templates = self.templates or templates_of(split, job.cell.dataset.label)
        return _encode_texts(job, ask(split, "class_names"), templates), templates

    def _classify_zero_shot(self, job: Job, name: str) -> tuple[Any, float | None, dict[str, Any]]:
        import torch

        from harness.inference.evaluate import outputs
        from harness.inference.zeroshot import zero_shot_logits

        split = job.splits(name)
        class_names: Sequence[str] | None = ask(split, "class_names")
        if not class_names:
            raise DataError(
                f"{job.cell.dataset.label}: zero-shot needs class names, and the data set has none"
            )
        weights, templates = self._build_classifier(job, split)
        texts = torch.from_numpy(weights)
        embeddings, rate = outputs(job, "image embeddings", name)
        own = similarity_of(job.model) == "own"
        scale = (
            self.logit_scale if self.logit_scale is not None else 1.0 if own else float(job.model.logit_scale)
        )
        notes: dict[str, Any] = {"templates": len(templates), "logit_scale": scale}
        notes["classes"] = {"matched": "prompts", "count": len(class_names)}
        if similarity_of(job.model) != "cosine":
            notes["similarity"] = similarity_of(job.model)
        device = (
            job.device if own else torch.device("cpu")
        )  # the model's own `score` has its weights on the device
        found = torch.from_numpy(embeddings).to(device)
        logits = zero_shot_logits(job.model, found, texts.to(device), scale).cpu()
        return logits.numpy(), rate, notes


def can_classify_zero_shot(able: Sequence[str]) -> bool:
    """Return whether a model with these capabilities can classify zero-shot."""
    return {"encodes images", "encodes texts"} <= {*able}


def uses_own_logits(model: Any, dataset: Dataset) -> bool:
    """Return whether the model is evaluated on its own logits, not zero-shot.

    A model that can do both uses its logits if its outputs fit the classes and the data set has no label
    space or the model's.
    """
    able = capabilities(model)
    if "classifies images" not in able:
        return False
    if not can_classify_zero_shot(able):
        return True
    space = ask(dataset, "label_space")
    fits = align_classes(Classes.of(model), Classes.of(dataset), planning=True).refusal is None
    return fits and (not space or model.label_space == space)


def _encode_texts(job: Job, class_names: Sequence[str], templates: Sequence[str]) -> NDArray[np.float32]:
    """Return the zero-shot classifier C×D, or every prompt C×T×D for a model that scores itself.

    It is cached, since ImageNet's takes 80,000 texts and serves 80 cells.
    """
    import numpy as np

    from harness.inference.prompts import prompt_facts, remark_prompts
    from harness.inference.zeroshot import build_zero_shot_classifier, encode_prompts, prompt_grid, prompts_of

    similarity = similarity_of(job.model)
    decides: dict[str, Any] = {
        "class_names": list(class_names),
        "templates": list(templates),
        **({} if similarity == "cosine" else {"similarity": similarity}),
    }
    texts = prompts_of(class_names, templates)
    encoded = cache(lambda: encode_prompts(job.model, texts))

    def compute_weights() -> NDArray[np.float32]:
        if similarity == "own":
            return np.asarray(prompt_grid(encoded(), class_names, templates).cpu().numpy())
        return np.asarray(
            build_zero_shot_classifier(encoded(), class_names, templates, similarity).cpu().numpy()
        )

    def cached(compute: Callable[[], T], **more: Any) -> T:
        return job.features("zero-shot classifier", None, compute, images=False, **decides, **more)

    weights = cached(compute_weights)
    facts = cached(lambda: prompt_facts(job.model, texts, encoded().cpu().numpy()), fact="prompts")
    remark_prompts(job, class_names, templates, facts)
    return weights
