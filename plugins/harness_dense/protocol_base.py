"""What the protocols of detection and segmentation have in common: models as they are, or trained before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from harness import Dataset
from harness.inference.splits import find_test_split
from harness_dense.training_splits import TrainsOnSplit


class TrainsAndTests:
    """Base of protocols with the option `split`, whose one method is a training.

    `protocol` is the protocol's name, `training` its method's name and `training_class` that method's class.
    """

    protocol: ClassVar[str]
    training: ClassVar[str]
    training_class: ClassVar[type[TrainsOnSplit]]
    split: str | None

    axes = ()
    own_numbers = (
        "latency_ms", "latency_p95_ms", "images_per_second", "parameters", "training_seconds", "steps",
    )  # fmt: skip
    directions: ClassVar[Mapping[str, bool]] = {}
    titles: ClassVar = {
        "latency_ms": "Time per image (ms)",
        "latency_p95_ms": "Time per image, 95th percentile (ms)",
        "images_per_second": "Images per second",
        "training_seconds": "Training time (s)",
        "steps": "Steps",
    }

    def cannot(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> str | None:
        """Return why this model can't be trained or evaluated on this data set, or None."""
        if method is not None and not isinstance(method, self.training_class):
            return f"the protocol '{self.protocol}' takes the method {self.training}, or none"
        found = find_test_split(dataset.splits, self.split)
        if found.refusal:
            return found.refusal
        if method is None:
            if getattr(model, "needs_training", False):
                return f"the model has learned nothing: train it (methods = ['{self.training}'])"
            return None
        return method.find_split(dataset.splits).refusal or method.find_leak(dataset, str(found.name))

    def assumes(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> Sequence[str]:
        """Return the assumption about the split to test on."""
        remark = find_test_split(dataset.splits, self.split).remark
        return [remark] if remark else []
