"""The protocol `gan`: adversarial training of one or several seeds, measured and judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from harness import TARGET_KINDS, DataError, Dataset, Job, Result
from harness_gan.gan_options import GanOptions
from harness_gan.gan_splits import find_gan_splits
from harness_gan.methods import GAN
from harness_gan.verdicts import VERDICTS
from harness_generative.contracts import BuildsGans
from harness_generative.evidence import GeneratedSamples

if TYPE_CHECKING:
    from harness import Cell

POINT_SHAPE = (2,)
RATES = (*VERDICTS, *(f"{name}.equal_evaluations" for name in VERDICTS))


class GanProtocol(GanOptions):
    """Trains a generator against a discriminator and judges what became of it.

    Every run is measured twice: after `steps` generator steps, and when `evaluations` gradient
    evaluations have been spent (metrics that end in `.equal_evaluations`), since a penalty or more
    critic steps make a generator step dearer. Of a data set without a test part a tenth is held out.

    Args:
        steps: generator steps.
        batch_size: samples of a batch, real and generated each.
        size: images are resized and cropped to this size.
        grey: images are taken as grey.
        samples: generated samples that metrics rest on.
        evaluations: the budget of gradient evaluations; by default two per step, a plain GAN's.
        extractor: a model that encodes images for distances (DINO, CLIP, "fid-inception" with its
            weights, …); by default a classifier trained on the data set's labels.
        confidence: from which probability of its label a generated image is of high quality; 0 counts all.
        thresholds: where verdicts begin, by name; the others keep their defaults.
        together: seeds that train at once, where the architecture can (the numbers are the same).
        checkpoint_every: rounds between checkpoints.
    """

    needs = (BuildsGans,)
    target_kinds = tuple(TARGET_KINDS)
    provides = (GeneratedSamples,)
    axes = ()
    own_numbers = ("gradient_evaluations*", "steps", "*.equal_evaluations", "floor.*", "*_parameters")
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
        """Why the extractor can't be used."""
        ask: Callable[[], str | None] | None = getattr(self.extractor, "unavailable", None)
        return ask() if ask is not None else None

    def cannot(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> str | None:
        """Why these can't be trained together."""
        if not isinstance(method, GAN):
            return "the protocol 'gan' needs the method 'gan' with a loss"
        if self.batch_size % (pack := method.build_settings().pack):
            return f"the batch of {self.batch_size} is no multiple of PacGAN's m = {pack}"
        if refusal := find_gan_splits(dataset.splits).refusal:
            return refusal
        shape: tuple[int, ...] | None = (1 if self.grey else 3, self.size, self.size) if self.size else None
        if hasattr(dataset, "centres"):
            shape = POINT_SHAPE
        unfit: str | None = model.fits(shape) if shape else None
        return unfit

    def assumes(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> Sequence[str]:
        """What is assumed of the splits."""
        found = find_gan_splits(dataset.splits)
        if found.train == found.test:
            return [
                f"a tenth of '{found.train}' is held out to compare with: the data set has no split for testing"
            ]
        return [found.remark] if found.remark else []

    def seeds_at_once(self, cell: Cell) -> int:
        """How many seeds of a configuration may train as one.

        Half precision scales the loss by one factor for all, which one diverging seed would spoil.
        """
        stacks = cell.model is not None and getattr(cell.model.object, "stacks", False)
        return self.together if stacks and cell.precision != "float16" else 1

    def run(self, job: Job) -> Result:
        """One seed."""
        return self.run_many([job])[0]

    def run_many(self, jobs: Sequence[Job]) -> list[Result]:
        """Seeds of one configuration, at once; those whose checkpoints differ in age in turns."""
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
            job.at(self.extractor)  # for what it remarks
        states = [read_checkpoint(job.workdir) for job in jobs]
        ages = [s["counts"]["rounds"] if s else 0 for s in states]
        results: dict[int, Result] = {}
        for age in dict.fromkeys(ages):
            same = [n for n, a in enumerate(ages) if a == age]
            trainer = GanTrainer(self, [jobs[n] for n in same], data, [states[n] for n in same])
            results |= dict(zip(same, trainer.run(), strict=True))
        return [results[n] for n in range(len(jobs))]


def _check_samples(data: Any, job: Job) -> None:
    """Raises DataError for samples that the networks can't make, and for too few of them."""
    label = job.cell.dataset.label
    if problem := job.model.fits(data.source.shape):
        raise DataError(f"{label}: {problem}: give the protocol a size")
    for part, count in data.judge.counts.items():
        if count < 2:
            raise DataError(
                f"{label}: distances need 2 real samples of each part, the {part} part has {count}"
            )
