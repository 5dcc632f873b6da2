"""One configuration with its seeds: tune the rate, train, and measure each seed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from harness import DataError, HarnessError, Job, Result, derive_seed
from harness.errors import Diverged
from harness.learning.costs import reset_peak_memory
from harness.learning.stacked_progress import DivergedSlice
from harness.learning.training_progress import TrainingOutcome
from harness.learning.trials import TuningTrial, run_trials, select_best, spread_rates
from harness_training.cell_images import load_cell_images
from harness_training.phases import Phase, build_phase_recipe, train_phase
from harness_training.seed_results import build_result
from harness_training.seed_training import judge_logits, score_images
from harness_training.together import explain_alone

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness_training.protocol import TrainingProtocol
    from harness_training.recipes import TrainingRecipe


@dataclass
class TrainedSeed:
    """A network after its training: what each phase tells, or why it diverged."""

    network: nn.Module
    outcomes: list[TrainingOutcome]
    diverged: Diverged | None = None


class TrainingCell:
    """Cells that differ only in their seed, run as one."""

    def __init__(self, protocol: TrainingProtocol, jobs: Sequence[Job]) -> None:
        self.protocol, self.jobs, self.job = protocol, list(jobs), jobs[0]
        self.method: TrainingRecipe = self.job.method
        self.images = self.job.shared(
            ("training images", protocol.data_options, self.job.cell.axes.get("images", "all")),
            lambda: load_cell_images(protocol, self.job),
            of="dataset",
        )
        self.stacks = False
        self.shape = (protocol.channels, protocol.size, protocol.size)
        model, label = self.job.model, self.job.cell.dataset.label
        if hasattr(model, "fits") and (unfit := model.fits(self.shape, self.images.classes)):
            raise DataError(f"{label}: {unfit}")
        self.notes: dict[str, Any] = {
            "chosen_on": self.images.chosen_on, "training_images": len(self.images.train), "classes": self.images.classes,
        }  # fmt: skip
        for job in self.jobs:
            for text in self.images.remarks:
                job.remark(text)
        if self.method.batch > len(self.images.train):
            self._remark(f"the batch of {self.method.batch} is all {len(self.images.train)} training images")

    @property
    def together(self) -> int:
        """Return how many seeds trained at once."""
        return len(self.jobs) if self.stacks else 1

    def describe_decisions(self, phase: Phase) -> list[Any]:
        """Return what decides a phase's training beside its recipe and seed, for its checkpoints."""
        parts = (self.job.cell.model, self.job.cell.dataset, self.job.cell.method, self.job.cell.protocol)
        return [phase.number, self.job.cell.limit, *(part.identity for part in parts if part is not None)]

    def results(self) -> list[Result]:
        """Tune, train and measure; return a result for each job."""
        rate, tuning_seconds = self._tune()
        trained = self._train(rate)
        return [
            build_result(self, job, seed, rate, tuning_seconds)
            for job, seed in zip(self.jobs, trained, strict=True)
        ]

    def build_network(self, seed: object) -> nn.Module:
        """Return a new network on the device; the seed decides its initial weights and its kernels without labels."""
        start = derive_seed("initial weights", seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(start)
            network: nn.Module = self.job.model.build(self.shape, self.images.classes)
        network.to(self.job.device)
        if hasattr(self.job.model, "fit_kernels"):
            few = next(self.images.measured.iterate(KERNEL_IMAGES))[0]
            frozen = self.job.model.fit_kernels(network, self.images.scale(few.float() / 255), start)
            for name, parameter in network.named_parameters():
                parameter.requires_grad_(parameter.requires_grad and name not in frozen)
        return network

    def _tune(self) -> tuple[float, float]:
        """Return the learning rate that is best on the held-out images, and the seconds that it took to find."""
        protocol, method = self.protocol, self.method
        if protocol.trials == 1:
            self.notes["tuning"] = {"trials": 1, "chosen": method.rate}
            return method.rate, 0.0
        candidates = spread_rates(method.rates, protocol.trials)
        folder = self.job.workdir / "tuning"
        trials = run_trials(candidates, self._try_rate, folder, partial(self._cache_trials))
        if not any(np.isfinite(trial.loss) for trial in trials):
            raise Diverged(
                f"training diverged at every learning rate from {candidates[0]:g} to {candidates[-1]:g}"
            )
        chosen = select_best(trials)
        self.notes["tuning"] = {
            "trials": len(trials), "what": "learning rate", "candidates": candidates,
            "held_out_accuracy": [trial.accuracy for trial in trials], "chosen": chosen.candidate,
            "chosen_on": self.images.chosen_on, "shared_by_seeds": True,
        }  # fmt: skip
        if chosen.candidate in (candidates[0], candidates[-1]):
            text = f"the best of {len(candidates)} learning rates, {chosen.candidate:g}, is at the end of its span"
            if protocol.edge == "fail":
                raise HarnessError(f"{text}: widen the recipe's rates")
            self._remark(text)
        return chosen.candidate, sum(trial.seconds for trial in trials)

    def _try_rate(self, rate: float, folder: Path) -> TuningTrial:
        assert self.images.held_out is not None
        began = time.perf_counter()
        network, seed = self.build_network("tuning"), derive_seed("training", "tuning")
        (trained,) = self._run_phases([network], [seed], rate, [folder])
        seconds = time.perf_counter() - began
        if trained.diverged is not None:
            return TuningTrial(rate, 0.0, float("inf"), seconds)
        (values,) = self.judge([network], self.images.held_out)
        return TuningTrial(rate, values["accuracy"], values["loss"], seconds)

    def _cache_trials(self, candidates: Sequence[float], compute: Any) -> NDArray[np.float64]:
        """Return the trials, cached for all seeds of the configuration, or computed."""
        cell = self.job.cell
        return self.job.features(
            "training trials", None, compute, images=False, data=cell.dataset.identity, axes=dict(cell.axes), limit=cell.limit,
            protocol=cell.protocol.identity, method=cell.method.identity if cell.method else None,
            candidates=list(candidates), size=list(self.shape),
        )  # fmt: skip

    def _train(self, rate: float) -> list[TrainedSeed]:
        networks = [self.build_network(job.cell.seed) for job in self.jobs]
        seeds = [derive_seed("training", job.cell.seed) for job in self.jobs]
        if len(networks) > 1:
            recipe = build_phase_recipe(self, Phase(self.method, rate, 0))
            reason = explain_alone(self, recipe, networks)
            self.stacks = reason is None
            self.notes["seeds_together"] = len(networks) if self.stacks else f"1: {reason}"
        reset_peak_memory(self.job.device)
        return self._run_phases(networks, seeds, rate, [job.workdir for job in self.jobs])

    def _run_phases(
        self, networks: Sequence[nn.Module], seeds: Sequence[int], rate: float, folders: Sequence[Path]
    ) -> list[TrainedSeed]:
        """Train networks by the recipe and those that continue it; a diverged one stays as it is."""
        trained = [TrainedSeed(network, []) for network in networks]
        method: TrainingRecipe | None = self.method
        number = 0
        while method is not None:
            going = [n for n, one in enumerate(trained) if one.diverged is None]
            if not going:
                break
            phase = Phase(method, rate if number == 0 else method.rate, number)
            found = train_phase(
                self, phase, [networks[n] for n in going], [seeds[n] for n in going],
                [folders[n] / f"phase-{number}" for n in going],
            )  # fmt: skip
            for n, outcome in zip(going, found, strict=True):
                if isinstance(outcome, Diverged):
                    trained[n].diverged = outcome
                    if isinstance(outcome, DivergedSlice):
                        trained[n].outcomes.append(outcome.trained)
                else:
                    trained[n].outcomes.append(outcome)
            method, number = method.then, number + 1
        return trained

    def judge(self, networks: Sequence[nn.Module], images: Any) -> list[dict[str, float]]:
        """Return accuracy and loss of networks on images, one by one."""
        found = []
        for network in networks:
            logits, labels = self.score(network, images)
            found += judge_logits(logits[None], labels, self.method.judge)
        return found

    def score(self, network: nn.Module, images: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits N×classes of a network in eval mode, and labels N."""
        network.eval()
        logits, labels = score_images(
            lambda x: network(x[0])[None], images, self.images.scale, 1, self.job.precision
        )
        return logits[0], labels

    def _remark(self, text: str) -> None:
        for job in self.jobs:
            job.remark(f"{job.cell.method.label if job.cell.method else ''}: {text}")


KERNEL_IMAGES = 2000
"""Training images from which kernels are learnt without labels."""
