"""One cell of fine-tuning: data, tuning, the final training, its checks, and what is measured."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from harness import Result, derive_seed
from harness.contract.remarks import with_names
from harness.inference.prompts import prompt_facts, remark_prompts
from harness.inference.zeroshot import encode_prompts, prompts_of
from harness.learning.progress import TrainingOutcome
from harness.learning.recipe import Recipe, steps_for
from harness_peft import costs, embeddings
from harness_peft.checks import TrainingFault, check_frozen, frozen_digests, trained
from harness_peft.data import Batches
from harness_peft.evaluation import evaluated, score
from harness_peft.facts import CellFacts
from harness_peft.measuring import curves, forget_peak_memory, measured_costs, peak_memory
from harness_peft.network import Network
from harness_peft.training import base_modules, train
from harness_peft.trials import tune


class Run(CellFacts):
    """A cell being run; each step is a method, `result` calls them in order."""

    training: Batches
    """What the final training sees."""

    def result(self) -> Result:
        """Everything about the cell."""
        notes: dict[str, Any] = {}
        trials, chosen = tune(self, self.fit, notes)
        network, outcome, seconds = self._final(chosen, notes)
        self._tell_of_prompts(network)
        cost = {**peak_memory(self.job.device), **costs.counts(network), "training_seconds": seconds}
        cost["tuning_seconds"] = sum(t.seconds for t in trials)
        cost |= measured_costs(self, network, outcome, notes)
        return replace(evaluated(self, network, cost, notes), curves=curves(outcome))

    def _tell_of_prompts(self, network: Network) -> None:
        """Remark which prompts were cut, and which classes begin with the same ones."""
        if (
            network.head_kind in ("new", "old")
            or not self.class_names
            or not hasattr(self.job.model, "encode_text")
        ):
            return
        texts = prompts_of(self.class_names, self.templates)
        encoded = encode_prompts(self.job.model, texts).cpu().numpy()
        facts = prompt_facts(self.job.model, texts, encoded)
        remark_prompts(self.job, self.class_names, self.templates, facts)

    def fit(
        self,
        candidate: float | None,
        training: Batches,
        validation: Batches | None,
        seed: object,
        folder: Path,
    ) -> tuple[Network, TrainingOutcome | None, dict[str, Any]]:
        """A network trained with one learning rate (or penalty), and the method's own notes.

        Raises TrainingFault when a frozen tensor changed or a trainable one got no gradient.
        """
        network = Network.from_facts(self.job.model, self.network_facts(seed))
        base = base_modules(network)
        if hasattr(self.method, "prepare"):
            self.method.prepare(network)
        outcome, own = None, {}
        if self.fits:
            network.requires_grad_(False)
            before = frozen_digests(network.backbone, base)
            own = embeddings.fit(self, network, training, validation, candidate, seed)
            check_frozen(network.backbone, before)
        elif self.solves:
            assert candidate is not None
            embeddings.solve(self, network, training, candidate)
        elif self.trains:
            assert candidate is not None
            outcome = self._trained(network, base, candidate, training, validation, seed, folder)
        return network, outcome, own

    def _trained(
        self,
        network: Network,
        base: Collection[nn.Module],
        rate: float,
        training: Batches,
        validation: Batches | None,
        seed: object,
        folder: Path,
    ) -> TrainingOutcome:
        if not trained(network):
            raise TrainingFault("the method leaves nothing to train")
        recipe = self._recipe(rate, len(training))
        judged = validation is not None and recipe.patience is not None
        recipe = recipe if judged else replace(recipe, patience=None)
        finish = getattr(self.method, "finish", None)
        start = {n: t.detach().cpu().clone() for n, t in network.state_dict().items()} if finish else {}
        before = frozen_digests(network, base)
        outcome = train(
            network,
            training,
            recipe,
            derive_seed("training", self.job.cell.dataset.identity, seed),
            base=base,
            validate=(lambda: score(network, validation)[0]) if judged and validation is not None else None,
            folder=folder,
            checkpoint_every=self.protocol.checkpoint_every,
            tell=lambda step, values: self._tell(step, recipe.steps, values),
        )
        check_frozen(network, before)
        if finish:
            finish(network, start)
        return outcome

    def _recipe(self, rate: float, samples: int) -> Recipe:
        p = self.protocol
        if p.steps_per_shot is not None:
            steps = p.steps_per_shot * int(self.data.shots)
        else:
            steps = steps_for(samples, p.batch, p.epochs, p.steps)
        return Recipe(
            steps=steps, batch=min(p.batch, samples), rate=rate, optimizer=p.optimizer, schedule=p.schedule,
            warmup=p.warmup, weight_decay=getattr(self.method, "weight_decay", p.weight_decay),
            label_smoothing=p.label_smoothing, clip_norm=p.clip_norm or None, patience=p.patience,
            evaluate_every=p.evaluate_every, precision=self.job.precision,
            optimizer_options={"momentum": 0.9} if p.optimizer == "sgd" else {},
        )  # fmt: skip

    def _final(
        self, chosen: float | None, notes: dict[str, Any]
    ) -> tuple[Network, TrainingOutcome | None, float]:
        """The training that is evaluated; what chooses on validation itself is not trained on it as well."""
        job, protocol = self.job, self.protocol
        joins = protocol.retrain and not self.fits
        validates = self.data.can_validate if self.fits else protocol.patience is not None and not joins
        indices, held, name = self.data.samples(job.cell.seed, validates or joins)
        augment = not (self.solves or self.fits)
        if joins:
            self.training = self.data.together(indices, name, held, augment)
        else:
            self.training = self.data.batches(self.data.train, indices, augment)
        validation = self.data.batches(name, held) if validates and len(held) else None
        forget_peak_memory(job.device)
        began = time.perf_counter()
        network, outcome, own = self.fit(
            chosen, self.training, validation, job.cell.seed, job.workdir / "final"
        )
        seconds = time.perf_counter() - began
        if network.head_kind == "old":
            for text in self.own_head.remarks:
                job.remark(with_names(text, job.cell))
        notes |= {"head": network.head_kind, "training_samples": len(self.training), "classes": self.classes}
        if own:
            notes["method"] = own
        return network, outcome, seconds

    def _tell(self, step: int, steps: int, values: Mapping[str, float]) -> None:
        self.job.advance(step, steps)
        if step % 10 == 0:
            self.job.report("training", step, dict(values))
