"""One run of the protocol `gan`: training, curves, checkpoints, measurements, verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from math import ceil, prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from harness import Job, Result
from harness.inference.evaluate import measured
from harness.records.paths import cache_dir
from harness.running.devices import one_thread
from harness_data.stacked_images import StackedSplit
from harness_gan import checkpoints
from harness_gan.grids import image_grid, point_picture
from harness_gan.judging import ImageJudge, Judge, PointJudge, extractor_of
from harness_gan.sources import Images, Pixels, Points, source_of
from harness_gan.splits import parts_of
from harness_gan.training import Training
from harness_gan.verdicts import VERDICTS, Signs, level, rise, verdict
from harness_generative.fidelity import prdc
from harness_generative.modes import coverage

if TYPE_CHECKING:
    from harness_gan.options import GanOptions

WATCHED = 1000
"""Samples that coverage over time rests on."""

SHARES = (0.1, 0.5)
"""Thresholds of coverage over time, as shares of an even spread, beside the one of a single sample."""

SMALL = 256
"""Samples of at most so many numbers are trained on one thread."""

GRID = 64
"""Images of a sample grid."""

NEIGHBOURS = 2000
"""At most so many samples for the precision and recall that a verdict reads."""


@dataclass
class World:
    """A data set as a run sees it: real samples to train on, and the judge of generated ones."""

    source: Points | Images
    judge: Judge
    rms: float
    centre: float
    half: float


def world_of(protocol: GanOptions, job: Job) -> World:
    """Loads the data set, and trains the classifier or loads the extractor that judges it."""
    dataset, label = job.dataset, job.cell.dataset.label
    parts = parts_of(dataset.splits)
    train: Any = job.splits(parts.train)
    test: Any = job.splits(parts.test)
    pixels = Pixels(protocol.size, protocol.grey, label, job.workers)
    source = source_of(train, pixels)
    held = source.held(protocol.samples)
    judge: Judge
    if isinstance(source, Points):
        judge = PointJudge(train, held, test.points[: protocol.samples])
    else:
        judge = _image_judge(protocol, job, train, test, held, pixels)
    # one range for all coordinates: a pixel that is black in every real image has none of its own
    low, high = float(held.min()), float(held.max())
    return World(source, judge, float(held.square().mean().sqrt()), (low + high) / 2, (high - low) / 2)


def _image_judge(
    protocol: GanOptions, job: Job, train: Any, test: Any, held: torch.Tensor, pixels: Pixels
) -> ImageJudge:
    extractor = extractor_of(protocol, job)
    stacked = isinstance(train, StackedSplit)
    learn, check = (train.base, test.base) if stacked else (train, test)
    targets = np.asarray(learn.targets)
    classifier = None
    if targets.ndim == 1 and targets.min() >= 0 and len(np.unique(targets)) > 1:
        from harness_gan.classifier import trained

        classifier = trained(
            (pixels(learn, stacked), targets),
            (pixels(check, stacked), np.asarray(check.targets)),
            cache_dir() / "gan",
        )
    real_test = Images(pixels(test), np.asarray(test.targets)).held(protocol.samples)
    return ImageJudge(
        held, real_test, classifier, extractor, channels=stacked, confidence=protocol.confidence
    )


class Run:
    """The training of some seeds from where their checkpoints left it (all at the same round)."""

    def __init__(
        self, protocol: GanOptions, jobs: Sequence[Job], world: World, states: Sequence[dict[str, Any] | None]
    ) -> None:
        self.protocol, self.jobs, self.world = protocol, jobs, world
        first = jobs[0]
        self.training = Training(
            first.method,
            first.model,
            world.source,
            [job.cell.seed for job in jobs],
            batch_size=protocol.batch_size,
            steps=protocol.steps,
            device=first.device,
            precision=first.precision,
        )
        settings = self.training.settings
        passes = settings.n_critic * (1 + first.method.loss.penalty_passes) + settings.n_generator
        self.total = max(ceil(protocol.steps / settings.n_generator), ceil(protocol.evaluations / passes))
        self.log_every, self.watch_every = max(1, self.total // 100), max(1, self.total // 20)
        self.kept: list[dict[str, Any]] = [
            {"training": {}, "coverage": {}, "alive": True, "final": None, "equal": None, "cost": {}}
            for _ in jobs
        ]
        self.fixed = self.training.latents("grid", GRID if len(world.source.shape) > 1 else 1000)
        present = [s for s in states if s is not None]
        if present:
            self.kept = checkpoints.restore(self.training, present)

    def results(self) -> list[Result]:
        """Trains to the end and gives each seed's result."""
        with one_thread() if prod(self.world.source.shape) <= SMALL else nullcontext():
            return self._trained()

    def _trained(self) -> list[Result]:
        training, protocol = self.training, self.protocol
        while training.rounds < self.total and any(k["alive"] for k in self.kept):
            training.round()
            done = training.rounds
            if done % self.log_every == 0 or done == self.total:
                self._log()
            if done % self.watch_every == 0 or done == self.total:
                self._watch()
            self._measure_when_due()
            if done % protocol.checkpoint_every == 0 and done < self.total:
                checkpoints.save(training, [job.workdir for job in self.jobs], self.kept)
            if done % self.log_every == 0 or done == self.total:
                for job in self.jobs:
                    job.advance(done, self.total)
        self._measure_when_due(at_the_end=True)
        return [self._result(n) for n in range(len(self.jobs))]

    def _log(self) -> None:
        rows, finite = self.training.logged(), self.training.finite()
        for job, kept, row, fine in zip(self.jobs, self.kept, rows, finite, strict=True):
            if not kept["alive"]:
                continue  # what follows the first number that is not finite says nothing more
            steps, evaluations = self.training.g_steps, self.training.evaluations
            # of its own: others that train with it may go on when it is over
            kept["cost"] = {"generator_steps": steps, "gradient_evaluations": evaluations}
            row = {"step": steps, "evaluations": evaluations, **row}
            _append(kept["training"], row)
            job.report("training", steps, row)
            kept["alive"] = fine

    def _watch(self) -> None:
        """Coverage over time, and the samples as they are now, for who watches."""
        step = self.training.g_steps
        samples = self.training.sample(self.training.latents("watch", WATCHED))
        pictures = self._pictures()
        for n, (job, kept) in enumerate(zip(self.jobs, self.kept, strict=True)):
            if not kept["alive"]:
                continue
            modes = self.world.judge.modes(samples[n])
            if modes is not None:
                row = {"step": step, **coverage(modes.nearest, modes.good, modes.count, SHARES)}
                _append(kept["coverage"], row)
                job.report("coverage", step, row)
            job.show("samples", step, pictures[n])

    def _pictures(self) -> list[np.ndarray[Any, Any]]:
        samples = self.training.sample(self.fixed)
        if isinstance(self.world.source, Points):
            return [point_picture(s, self.world.source.held(1000)) for s in samples]
        return [image_grid(s) for s in samples]

    def _measure_when_due(self, at_the_end: bool = False) -> None:
        """Scores and verdicts at equal generator steps ("final") and at equal gradient evaluations."""
        training, protocol = self.training, self.protocol
        reached = {
            "final": training.g_steps >= protocol.steps,
            "equal": training.evaluations >= protocol.evaluations,
        }
        due = [name for name, now in reached.items() if (now or at_the_end) and self.kept[0][name] is None]
        if not due:
            return
        if not self.kept[0]["training"]:  # a budget smaller than the first row of the curves
            self._log()
        samples = training.sample(training.latents("samples", protocol.samples))
        finite = training.finite()
        for n, kept in enumerate(self.kept):
            evidence = self.world.judge.evidence(samples[n])
            signs = self._signs(kept, samples[n], evidence, finite[n])
            found, why = verdict(signs, protocol.thresholds)
            values = measured(self.jobs[n], evidence) | {name: float(found == name) for name in VERDICTS}
            kept |= dict.fromkeys(due, values)
            if "final" in due:
                kept |= {"signs": asdict(signs), "verdict": found, "why": why}

    def _signs(self, kept: dict[str, Any], samples: torch.Tensor, evidence: Any, finite: bool) -> Signs:
        """What the verdict is read from."""
        flat = samples.flatten(1)
        world, limits = self.world, self.protocol.thresholds
        near = (flat - world.centre).abs() <= limits.range * world.half
        curve = {name: values[-max(2, len(values) // 10) :] for name, values in kept["training"].items()}
        bounded = self.training.loss.chance is not None
        found: dict[str, Any] = {}
        if evidence.modes is not None:
            modes = evidence.modes
            shares = coverage(modes.nearest, modes.good, modes.count, ())
            found = {"modes": modes.count, **shares}
        if isinstance(world.source, Images):
            four = prdc(evidence.test[:NEIGHBOURS], evidence.fake[:NEIGHBOURS])
            found |= {"precision": four.precision, "recall": four.recall, "coverage": four.coverage}
        return Signs(
            finite=finite and bool(torch.isfinite(flat).all()),
            rms_ratio=float(flat.square().mean().sqrt()) / world.rms,
            inside=float(near.all(1).float().mean()),
            d_loss=level(curve["d_loss"]) if bounded else None,
            d_accuracy=level(curve["d_accuracy"]) if "d_accuracy" in curve else None,
            g_slope=rise(curve["g_loss"]),
            g_gradient=level(curve["g_gradient"]),
            **found,
        )

    def _result(self, n: int) -> Result:
        kept, training = self.kept[n], self.training
        metrics = dict(kept["final"])
        metrics |= {f"{name}.equal_evaluations": value for name, value in kept["equal"].items()}
        metrics |= {f"floor.{name}": value for name, value in self.world.judge.real.items()}
        sizes = {
            name: sum(p.numel() for p in network.parameters()) / len(self.jobs)
            for name, network in (
                ("generator", training.generator),
                ("discriminator", training.discriminator),
            )
        }
        limits = self.protocol.thresholds.described()
        return Result(
            metrics,
            self.protocol.samples,
            curves={name: kept[name] for name in ("training", "coverage") if kept[name]},
            cost={"parameters": sum(sizes.values()), **kept["cost"]},
            images={"samples": self._pictures()[n]},
            notes={
                "verdict": kept["verdict"],
                "why": kept["why"],
                "signs": kept["signs"],
                "thresholds": asdict(self.protocol.thresholds),
                "parameters": sizes,
                "seeds_at_once": len(self.jobs),
                "real_samples": self.world.judge.counts,
                **self.world.judge.notes,
            },
            reason=f"{kept['verdict']}: {kept['why']}; thresholds: {limits}",
        )


def _append(columns: dict[str, list[float]], row: dict[str, float]) -> None:
    for name, value in row.items():
        columns.setdefault(name, []).append(float(value))
