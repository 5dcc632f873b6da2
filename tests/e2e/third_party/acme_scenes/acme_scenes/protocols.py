"""How their cells are run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from acme_scenes.capabilities import DescribesImages, DetectsObjects
from acme_scenes.evidence import Descriptions, Detections

if TYPE_CHECKING:
    from harness import Job, Result


class Detection:
    """Detects on every image of the test split."""

    needs = (DetectsObjects,)
    target_kinds = ("boxes",)
    provides = (Detections,)
    axes = ()
    own_numbers = ()
    smallest: ClassVar = {
        "cell": {
            "models": ["acme-threshold"],
            "datasets": [{"plugin": "acme-boxes", "count": 12}],
            "metrics": ["acme-recall"],
        }
    }

    def run(self, job: Job) -> Result:
        """Boxes of all images from the cache or computed, and their metrics."""
        import json

        from harness import Result, compute_metrics, forward_all, image_pipeline

        split, model = job.splits("test"), job.model

        def compute() -> Any:
            return forward_all(
                model.detect, split, image_pipeline(job, split), device=job.device, batch_size=job.batch_size,
                workers=job.workers, collate=model.collate, advance=job.advance,
            )  # fmt: skip

        decides = {
            "what": "detections",
            "model": json.loads(job.cell.model.identity) if job.cell.model else None,
            "data": json.loads(job.cell.dataset.identity),
            "limit": job.cell.limit,
        }
        found = job.cache.get(decides, compute)
        evidence = Detections(found, split.targets, split.ids)
        rows = {"id": list(split.ids), "found": [len(each["boxes"]) for each in found]}
        return Result(compute_metrics(job, evidence), len(split), rows)


class Captioning:
    """Describes every image of the test split."""

    needs = (DescribesImages,)
    target_kinds = ("captions",)
    provides = (Descriptions,)
    axes = ()
    own_numbers = ()
    smallest: ClassVar = {
        "cell": {
            "models": ["acme-threshold"],
            "datasets": [{"plugin": "acme-captions", "count": 12}],
            "metrics": ["acme-exact"],
        }
    }

    def run(self, job: Job) -> Result:
        """A sentence for each image, and the metrics."""
        from harness import Result, compute_metrics

        split = job.splits("test")
        said = []
        for n in range(len(split)):
            said.append(job.model.describe(split[n].images[0]))
            job.advance(n + 1, len(split))
        evidence = Descriptions(said, split.targets)
        columns = {name: metric.per_sample(evidence) for name, metric in job.metrics.items()}
        return Result(compute_metrics(job, evidence), len(split), {"id": list(split.ids), **columns})
