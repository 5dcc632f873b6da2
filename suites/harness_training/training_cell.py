"""One configuration with its seeds: tune the rate, train, and measure each seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from harness import DataError, HarnessError, Result, derive_seed
from harness.errors import Diverged
from harness.learning.costs import reset_peak_memory
from harness.learning.training_progress import DivergedTraining
from harness.learning.trials import TuningTrial, run_trials, select_best, spread_rates
from harness_training.cell_context import CellContext, Phase, TrainedSeed
from harness_training.phases import build_phase_recipe, train_phase
from harness_training.seed_results import build_result
from harness_training.single_training import list_trainable, unfreeze
from harness_training.together import explain_alone

if TYPE_CHECKING:
    from numpy.typing import NDArray

KERNEL_IMAGES = 2000
"""Training images from which kernels are learnt without labels."""


class TrainingCell(CellContext):
    """Cells that differ only in their seed, run as one."""

    def results(self) -> list[Result]:
        """Tune, train and measure; return a result for each job."""
        rate, tuning_seconds = self._tune()
        trained = self._train(rate)
        return [
            build_result(self, job, seed, rate, tuning_seconds)
            for job, seed in zip(self.jobs, trained, strict=True)
        ]

    def build_network(self, seed: object) -> nn.Module:
        """Return a new network on the device; the seed decides its initial weights and its kernels without labels.

        Raises DataError if its outputs are not one for each class.
        """
        start = derive_seed("initial weights", seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(start)
            network: nn.Module = self.job.model.build(self.shape, self.images.classes)
        network.to(self.job.device)
        self._check_outputs(network)
        if hasattr(self.job.model, "fit_kernels"):
            few = next(self.images.measured.iterate(KERNEL_IMAGES))[0]
            frozen = self.job.model.fit_kernels(network, self.scale(few.float() / 255), start)
            for name, parameter in network.named_parameters():
                parameter.requires_grad_(parameter.requires_grad and name not in frozen)
        return network

    def _check_outputs(self, network: nn.Module) -> None:
        network.eval()
        with torch.no_grad():
            found = network(torch.zeros(1, *self.shape, device=self.job.device))
        network.train()
        shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        if shape != (1, self.images.classes):
            wanted = (1, self.images.classes)
            raise DataError(
                f"for one image the network must return a tensor of shape {wanted}, one per class, not {shape}"
            )

    def _tune(self) -> tuple[float, float]:
        """Return the learning rate that is best on the held-out images, and the seconds that it took to find."""
        options, method = self.options, self.method
        if options.trials == 1:
            self.notes["tuning"] = {"trials": 1, "chosen": method.rate}
            return method.rate, 0.0
        candidates = spread_rates(method.rates, options.trials)
        folder = self.job.workdir / "tuning"
        trials = run_trials(candidates, self._try_rate, folder, self._cache_trials)
        if not any(np.isfinite(trial.loss) for trial in trials):
            raise Diverged(
                f"training diverged at every learning rate from {candidates[0]:g} to {candidates[-1]:g}"
            )
        chosen = select_best(trials) if method.judge == "accuracy" else min(trials, key=lambda t: t.loss)
        self.notes["tuning"] = {
            "trials": len(trials), "what": "learning rate", "candidates": candidates,
            "held_out_accuracy": [trial.accuracy for trial in trials],
            "held_out_loss": [trial.loss for trial in trials], "judge": method.judge, "chosen": chosen.candidate,
            "chosen_on": self.images.chosen_on, "shared_by_seeds": True,
        }  # fmt: skip
        if chosen.candidate in (candidates[0], candidates[-1]):
            text = f"the best of {len(candidates)} learning rates, {chosen.candidate:g}, is at the end of its span"
            if options.edge == "fail":
                raise HarnessError(f"{text}: widen the recipe's rates")
            self.remark(text)
        return chosen.candidate, sum(trial.seconds for trial in trials)

    def _try_rate(self, rate: float, folder: Path) -> TuningTrial:
        assert self.images.held_out is not None
        began = time.perf_counter()
        network, seed = self.build_network("tuning"), derive_seed("training", "tuning")
        (trained,) = self._run_phases([network], [seed], rate, [folder])
        seconds = time.perf_counter() - began
        if trained.diverged is not None:
            return TuningTrial(rate, 0.0, float("inf"), seconds)
        values = self.judge(network, self.images.held_out, self.method.judge)
        return TuningTrial(rate, values["accuracy"], values["loss"], seconds)

    def _cache_trials(
        self, candidates: Sequence[float], compute: Callable[[], NDArray[np.float64]]
    ) -> NDArray[np.float64]:
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
            phases = enumerate(self.method.phases)
            recipes = [build_phase_recipe(self, Phase(method, rate, n)) for n, method in phases]
            reason = explain_alone(self, recipes, networks)
            self.stacks = reason is None
            self.notes["seeds_together"] = len(networks) if self.stacks else f"1: {reason}"
        reset_peak_memory(self.job.device)
        return self._run_phases(networks, seeds, rate, [job.workdir for job in self.jobs])

    def _run_phases(
        self, networks: Sequence[nn.Module], seeds: Sequence[int], rate: float, folders: Sequence[Path]
    ) -> list[TrainedSeed]:
        """Train networks by the recipe and those that continue it; a diverged one stays as it is."""
        trained = [TrainedSeed(network, []) for network in networks]
        trainable = [list_trainable(network) for network in networks]
        for number, method in enumerate(self.method.phases):
            going = [n for n, one in enumerate(trained) if one.diverged is None]
            if not going:
                break
            for n in going:
                unfreeze(trainable[n])
            phase = Phase(method, method.rate if number else rate, number)
            found = train_phase(
                self, phase, [networks[n] for n in going], [seeds[n] for n in going],
                [folders[n] / f"phase-{number}" for n in going], going,
            )  # fmt: skip
            for n, outcome in zip(going, found, strict=True):
                if isinstance(outcome, Diverged):
                    trained[n].diverged = outcome
                    if isinstance(outcome, DivergedTraining):
                        trained[n].outcomes.append(outcome.trained)
                else:
                    trained[n].outcomes.append(outcome)
        return trained
