"""The trainer of the protocol `gan`: training, curves, checkpoints, measurements, verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from math import ceil, prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from harness import Job, Result
from harness.inference.evaluate import compute_metrics
from harness.running.devices import one_thread
from harness_gan.gan_checkpoints import restore_checkpoints, save_checkpoints
from harness_gan.gan_data import GanData
from harness_gan.gan_training import GanTraining
from harness_gan.real_samples import ImageSamples, PointSamples
from harness_gan.sample_pictures import draw_image_grid, draw_point_picture
from harness_gan.verdicts import VERDICTS, VerdictSigns, decide_verdict, finite_mean, fit_slope
from harness_generative.fidelity import prdc
from harness_generative.modes import measure_mode_coverage

if TYPE_CHECKING:
    from harness_gan.gan_options import GanOptions

WATCHED = 1000
"""Samples per seed for each point of coverage over time."""

SHARES = (0.1, 0.5)
"""Thresholds of coverage over time in units of N/K, besides the threshold of one sample."""

SMALL = 256
"""Samples of at most this many numbers are trained on one thread."""

GRID = 64
"""Images in a sample grid."""

NEIGHBOURS = 2000
"""Most samples used for the precision and recall that a verdict reads."""


class GanTrainer:
    """Trains seeds from their checkpoints (all at the same round) to the end of both budgets, and measures them."""

    def __init__(
        self,
        protocol: GanOptions,
        jobs: Sequence[Job],
        data: GanData,
        states: Sequence[dict[str, Any] | None],
    ) -> None:
        self.protocol, self.jobs, self.data = protocol, jobs, data
        first = jobs[0]
        self.training = GanTraining(
            first.method,
            first.model,
            data.source,
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
        self.histories: list[dict[str, Any]] = [
            {"training": {}, "coverage": {}, "alive": True, "final": None, "equal": None, "cost": {}}
            for _ in jobs
        ]
        self.fixed = self.training.draw_latents("grid", GRID if len(data.source.shape) > 1 else 1000)
        present = [s for s in states if s is not None]
        if present:
            self.histories = restore_checkpoints(self.training, present)

    def run(self) -> list[Result]:
        """Train to the end and return each seed's result."""
        with one_thread() if prod(self.data.source.shape) <= SMALL else nullcontext():
            return self._train()

    def _train(self) -> list[Result]:
        training, protocol = self.training, self.protocol
        while training.rounds < self.total and any(k["alive"] for k in self.histories):
            training.run_round()
            done = training.rounds
            if done % self.log_every == 0 or done == self.total:
                self._log()
            if done % self.watch_every == 0 or done == self.total:
                self._watch()
            self._measure_when_due()
            if done % protocol.checkpoint_every == 0 and done < self.total:
                save_checkpoints(training, [job.workdir for job in self.jobs], self.histories)
            if done % self.log_every == 0 or done == self.total:
                for job in self.jobs:
                    job.advance(done, self.total)
        self._measure_when_due(at_the_end=True)
        return [self._build_result(n) for n in range(len(self.jobs))]

    def _log(self) -> None:
        rows, finite = self.training.summarise_steps(), self.training.are_seeds_finite()
        for job, history, row, fine in zip(self.jobs, self.histories, rows, finite, strict=True):
            if not history["alive"]:
                continue  # after the first non-finite number there is nothing to learn
            steps, evaluations = self.training.g_steps, self.training.evaluations
            # per seed: those that train with it may go on after it has failed
            history["cost"] = {"generator_steps": steps, "gradient_evaluations": evaluations}
            row = {"step": steps, "evaluations": evaluations, **row}
            _append_row(history["training"], row)
            job.report("training", steps, row)
            history["alive"] = fine

    def _watch(self) -> None:
        """Record coverage over time and show the current samples."""
        step = self.training.g_steps
        samples = self.training.sample(self.training.draw_latents("watch", WATCHED))
        pictures = self._draw_pictures()
        for n, (job, history) in enumerate(zip(self.jobs, self.histories, strict=True)):
            if not history["alive"]:
                continue
            modes = self.data.judge.assign_modes(samples[n])
            if modes is not None:
                row = {"step": step, **measure_mode_coverage(modes.nearest, modes.good, modes.count, SHARES)}
                _append_row(history["coverage"], row)
                job.report("coverage", step, row)
            job.show("samples", step, pictures[n])

    def _draw_pictures(self) -> list[np.ndarray[Any, Any]]:
        samples = self.training.sample(self.fixed)
        if isinstance(self.data.source, PointSamples):
            return [draw_point_picture(s, self.data.source.take_fixed(1000)) for s in samples]
        return [draw_image_grid(s) for s in samples]

    def _measure_when_due(self, at_the_end: bool = False) -> None:
        """Measure when a budget is reached: generator steps ("final") or gradient evaluations ("equal")."""
        training, protocol = self.training, self.protocol
        reached = {
            "final": training.g_steps >= protocol.steps,
            "equal": training.evaluations >= protocol.evaluations,
        }
        due = [
            name for name, now in reached.items() if (now or at_the_end) and self.histories[0][name] is None
        ]
        if not due:
            return
        if not self.histories[0]["training"]:  # the budget ended before the first row of the curves
            self._log()
        samples = training.sample(training.draw_latents("samples", protocol.samples))
        finite = training.are_seeds_finite()
        for n, history in enumerate(self.histories):
            evidence = self.data.judge.gather_evidence(samples[n])
            signs = self._read_signs(history, samples[n], evidence, finite[n])
            found, why = decide_verdict(signs, protocol.thresholds)
            values = compute_metrics(self.jobs[n], evidence) | {
                name: float(found == name) for name in VERDICTS
            }
            history |= dict.fromkeys(due, values)
            if "final" in due:
                history |= {"signs": asdict(signs), "verdict": found, "why": why}

    def _read_signs(
        self, history: dict[str, Any], samples: torch.Tensor, evidence: Any, finite: bool
    ) -> VerdictSigns:
        """Return the numbers that the verdict is decided by."""
        flat = samples.flatten(1)
        data, limits = self.data, self.protocol.thresholds
        near = (flat - data.centre).abs() <= limits.range * data.half
        curve = {name: values[-max(2, len(values) // 10) :] for name, values in history["training"].items()}
        bounded = self.training.loss.chance is not None
        found: dict[str, Any] = {}
        if evidence.modes is not None:
            modes = evidence.modes
            shares = measure_mode_coverage(modes.nearest, modes.good, modes.count, ())
            found = {"modes": modes.count, **shares}
        if isinstance(data.source, ImageSamples):
            four = prdc(evidence.test[:NEIGHBOURS], evidence.fake[:NEIGHBOURS])
            found |= {"precision": four.precision, "recall": four.recall, "coverage": four.coverage}
        return VerdictSigns(
            finite=finite and bool(torch.isfinite(flat).all()),
            rms_ratio=float(flat.square().mean().sqrt()) / data.rms,
            inside=float(near.all(1).float().mean()),
            d_loss=finite_mean(curve["d_loss"]) if bounded else None,
            d_accuracy=finite_mean(curve["d_accuracy"]) if "d_accuracy" in curve else None,
            g_slope=fit_slope(curve["g_loss"]),
            g_gradient=finite_mean(curve["g_gradient"]),
            **found,
        )

    def _build_result(self, n: int) -> Result:
        history, training = self.histories[n], self.training
        metrics = dict(history["final"])
        metrics |= {f"{name}.equal_evaluations": value for name, value in history["equal"].items()}
        metrics |= {f"floor.{name}": value for name, value in self.data.judge.floor_scores.items()}
        sizes = {
            name: sum(p.numel() for p in network.parameters()) / len(self.jobs)
            for name, network in (
                ("generator", training.generator),
                ("discriminator", training.discriminator),
            )
        }
        limits = self.protocol.thresholds.format_line()
        return Result(
            metrics,
            self.protocol.samples,
            curves={name: history[name] for name in ("training", "coverage") if history[name]},
            cost={"parameters": sum(sizes.values()), **history["cost"]},
            images={"samples": self._draw_pictures()[n]},
            notes={
                "verdict": history["verdict"],
                "why": history["why"],
                "signs": history["signs"],
                "thresholds": asdict(self.protocol.thresholds),
                "parameters": sizes,
                "seeds_at_once": len(self.jobs),
                "real_samples": self.data.judge.counts,
                **self.data.judge.notes,
            },
            reason=f"{history['verdict']}: {history['why']}; thresholds: {limits}",
        )


def _append_row(columns: dict[str, list[float]], row: dict[str, float]) -> None:
    for name, value in row.items():
        columns.setdefault(name, []).append(float(value))
