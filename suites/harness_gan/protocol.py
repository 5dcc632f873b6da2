"""The protocol `gan`: adversarial training of one or several seeds, with measurements and verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from harness import TARGET_KINDS, DataError, Dataset, Job, Result
from harness_gan.gan_options import GanOptions
from harness_gan.gan_splits import find_gan_splits
from harness_gan.methods import GAN
from harness_gan.verdicts import VERDICTS
from harness_generative.contracts import BuildsGans
from harness_generative.generated_samples import GeneratedSamples

if TYPE_CHECKING:
    from harness import Cell

POINT_SHAPE = (2,)
RATES = (*VERDICTS, *(f"{name}.equal_evaluations" for name in VERDICTS))


class GanProtocol(GanOptions):
    """Train a generator against a discriminator, and measure and judge the result.

    Every run is measured twice: after `steps` generator steps and after `evaluations` gradient
    evaluations (metrics ending in `.equal_evaluations`), since a penalty or more critic steps make a
    generator step more expensive. A data set without a test split has a tenth held out.

    Args:
        steps: generator steps.
        batch_size: real samples, and as many generated ones, per batch.
        size: images are resized and cropped to this size.
        grey: convert images to grey.
        samples: generated samples that metrics are computed on.
        evaluations: the budget of gradient evaluations; by default two per step, as a plain GAN needs.
        extractor: a model that encodes images for distances (DINO, CLIP, "fid-inception" with its
            weights, …); by default a classifier trained on the data set's labels.
        confidence: lowest probability of its likeliest label at which a generated image counts as of high
            quality; 0 counts all.
        thresholds: thresholds of the verdicts by name; the others keep their defaults.
        together: seeds that train at once if the architecture supports it (the numbers stay the same).
        checkpoint_every: rounds between checkpoints.
    """

    needs = (BuildsGans,)
    target_kinds = tuple(TARGET_KINDS)
    provides = (GeneratedSamples,)
    axes = ()
    own_numbers = ("gradient_evaluations*", "steps", "*.equal_evaluations", "floor.*", "*_parameters")
    titles: ClassVar = {
        **{name: name.capitalize() for name in VERDICTS},
        "d_wins": "Discriminator wins",
        "gradient_evaluations": "Gradient evaluations",
        "steps": "Steps",
        "floor.high_quality": "High quality of real data",
    }
    directions = dict.fromkeys(RATES, False) | {
        "healthy": True,
        "healthy.equal_evaluations": True,
        "floor.reverse_kl": False,
    }
    units = dict.fromkeys((*RATES, "floor.high_quality"), "fraction")
    smallest: ClassVar = {
        "steps": 6,
        "batch_size": 8,
        "samples": 40,
        "size": 8,
        "checkpoint_every": 2,
        "cell": {
            "models": [{"plugin": "gan-mlp", "hidden": 16, "layers": 1}],
            "datasets": ["gaussian-mixture", "digits"],
            "methods": [{"plugin": "gan", "loss": "non-saturating"}],
            "metrics": ["modes", "high-quality"],
        },
    }

    def unavailable(self) -> str | None:
        """Return why the extractor can't be used, or None."""
        ask: Callable[[], str | None] | None = getattr(self.extractor, "unavailable", None)
        return ask() if ask is not None else None

    def cannot(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> str | None:
        """Return why this combination can't be trained, or None."""
        if not isinstance(method, GAN):
            return "the protocol 'gan' needs the method 'gan' with a loss"
        if self.batch_size % (pack := method.build_settings().pack):
            return f"the batch of {self.batch_size} is not a multiple of PacGAN's m = {pack}"
        if refusal := find_gan_splits(dataset.splits).refusal:
            return refusal
        shape: tuple[int, ...] | None = (1 if self.grey else 3, self.size, self.size) if self.size else None
        if hasattr(dataset, "centres"):
            shape = POINT_SHAPE
        unfit: str | None = model.fits(shape) if shape else None
        return unfit

    def assumes(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> Sequence[str]:
        """Return the assumptions about the splits."""
        found = find_gan_splits(dataset.splits)
        if found.train == found.test:
            return [f"a tenth of '{found.train}' is held out for comparison: the data set has no test split"]
        return [found.remark] if found.remark else []

    def seeds_at_once(self, cell: Cell) -> int:
        """Return how many seeds of a configuration may train together.

        With float16 it is one: the loss scale is shared, and one diverging seed would spoil it for all.
        """
        stacks = cell.model is not None and getattr(cell.model.object, "stacks", False)
        return self.together if stacks and cell.precision != "float16" else 1

    def run(self, job: Job) -> Result:
        """Train and measure one seed."""
        return self.run_many([job])[0]

    def run_many(self, jobs: Sequence[Job]) -> list[Result]:
        """Train seeds of one configuration together, one group for each age of their checkpoints."""
        from harness_gan.gan_checkpoints import read_checkpoint
        from harness_gan.gan_data import load_gan_data
        from harness_gan.gan_trainer import GanTrainer
        from harness_gan.two_parts import ensure_two_parts

        first = jobs[0]
        data = first.shared(
            ("gan", first.cell.protocol.identity),
            lambda: load_gan_data(self, ensure_two_parts(first)),
            of="dataset",
        )
        _check_samples(data, first)
        for job in jobs if self.extractor else ():
            job.at(self.extractor)  # for its remarks
        states = [read_checkpoint(job.workdir) for job in jobs]
        ages = [s["counts"]["rounds"] if s else 0 for s in states]
        results: dict[int, Result] = {}
        for age in dict.fromkeys(ages):
            same = [n for n, a in enumerate(ages) if a == age]
            trainer = GanTrainer(self, [jobs[n] for n in same], data, [states[n] for n in same])
            results |= dict(zip(same, trainer.run(), strict=True))
        return [results[n] for n in range(len(jobs))]


def _check_samples(data: Any, job: Job) -> None:
    """Raise DataError for samples that the networks can't generate, and for too few of them."""
    label = job.cell.dataset.label
    if problem := job.model.fits(data.source.shape):
        raise DataError(f"{label}: {problem}: give the protocol a size")
    for part, count in data.judge.counts.items():
        if count < 2:
            raise DataError(
                f"{label}: distances need 2 real samples of each part, the {part} part has {count}"
            )
