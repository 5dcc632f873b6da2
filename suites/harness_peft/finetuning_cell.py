"""Run one cell of fine-tuning: data, tuning, the final training, its checks, and measurements."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from harness import Result, derive_seed
from harness.contract.remarks import label_remark
from harness.inference.prompts import prompt_facts, remark_prompts
from harness.inference.splits import find_test_split
from harness.inference.zeroshot import encode_prompts, prompts_of
from harness.learning.costs import read_peak_memory, reset_peak_memory
from harness.learning.recipe import Recipe, steps_for
from harness_peft import costs, embedding_heads
from harness_peft.adapted_network import AdaptedNetwork
from harness_peft.cell_facts import CellFacts
from harness_peft.evaluation import evaluate_cell, score_network
from harness_peft.finetuning import collect_base_modules, train_network
from harness_peft.measuring import build_curves, measure_costs
from harness_peft.training_checks import TrainingFault, check_frozen, digest_frozen, trainable_parameters
from harness_peft.training_data import TrainingBatches
from harness_peft.trials import run_candidate_trials

if TYPE_CHECKING:
    from harness.learning.training_progress import TrainingOutcome


class FinetuningCell(CellFacts):
    """A cell being run; each step is a method, and `result` calls them in order."""

    training: TrainingBatches
    """The samples of the final training."""

    def result(self) -> Result:
        """Tune, train, measure and evaluate; return the cell's result."""
        notes: dict[str, Any] = {}
        trials, chosen = run_candidate_trials(self, self.train_candidate, notes)
        network, outcome, seconds = self._train_final(chosen, notes)
        self._remark_prompts(network)
        cost = {**read_peak_memory(self.job.device), **costs.count_parameters(network)}
        cost |= {"training_seconds": seconds, "tuning_seconds": sum(t.seconds for t in trials)}
        cost |= measure_costs(self, network, outcome, notes)
        return replace(evaluate_cell(self, network, cost, notes), curves=build_curves(outcome))

    def warm(self) -> None:
        """Embed the test split, the training split and the shifts for a head that is fitted on embeddings.

        The validation split is left to the cell: whether it is read depends on the tuning.
        """
        if not (self.solves or self.fits):
            return
        job, shifts = self.job, self.protocol.shifts.values()
        network = AdaptedNetwork.from_facts(job.model, self.network_facts(job.cell.seed))
        if hasattr(self.method, "prepare"):
            self.method.prepare(network)
        shifted = [(find_test_split(data.splits).name, job.at(data)) for data in shifts]
        for name, there in ((self.data.tested, job), (self.data.train, job), *shifted):
            if name is not None:
                split = self.data.prepare_split(name, there)
                embedding_heads.embed_split(there, self.method, network, split)

    def _remark_prompts(self, network: AdaptedNetwork) -> None:
        """Remark which prompts were cut, and which classes start from the same prompts."""
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

    def train_candidate(
        self,
        candidate: float | None,
        training: TrainingBatches,
        validation: TrainingBatches | None,
        seed: object,
        folder: Path,
    ) -> tuple[AdaptedNetwork, TrainingOutcome | None, dict[str, Any]]:
        """Train a network with one learning rate (or penalty); return it, its progress and the method's notes.

        Raises TrainingFault if a frozen tensor changed or a trainable one got no gradient.
        """
        network = AdaptedNetwork.from_facts(self.job.model, self.network_facts(seed))
        base = collect_base_modules(network)
        if hasattr(self.method, "prepare"):
            self.method.prepare(network)
        outcome, own = None, {}
        if self.fits:
            network.requires_grad_(False)
            before = digest_frozen(network.backbone, base)
            own = embedding_heads.fit_head(self, network, training, validation, candidate, seed)
            check_frozen(network.backbone, before)
        elif self.solves:
            assert candidate is not None
            embedding_heads.solve_head(self, network, training, candidate)
        elif self.trains:
            assert candidate is not None
            outcome = self._train(network, base, candidate, training, validation, seed, folder)
        return network, outcome, own

    def _train(
        self,
        network: AdaptedNetwork,
        base: Collection[nn.Module],
        rate: float,
        training: TrainingBatches,
        validation: TrainingBatches | None,
        seed: object,
        folder: Path,
    ) -> TrainingOutcome:
        if not trainable_parameters(network):
            raise TrainingFault("the method leaves nothing to train")
        recipe = self._build_recipe(rate, len(training))
        judged = None if recipe.patience is None else validation
        recipe = recipe if judged is not None else replace(recipe, patience=None)
        finish = getattr(self.method, "finish", None)
        start = {n: t.detach().cpu().clone() for n, t in network.state_dict().items()} if finish else {}
        before = digest_frozen(network, base)
        outcome = train_network(
            network,
            training,
            recipe,
            derive_seed("training", self.job.cell.dataset.identity, seed),
            base=base,
            validate=None if judged is None else lambda: score_network(network, judged)[0],
            folder=folder,
            checkpoint_every=self.protocol.checkpoint_every,
            tell=lambda step, values: self._report_progress(step, recipe.steps, values),
        )
        check_frozen(network, before)
        if finish:
            finish(network, start)
        return outcome

    def _build_recipe(self, rate: float, samples: int) -> Recipe:
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

    def _train_final(
        self, chosen: float | None, notes: dict[str, Any]
    ) -> tuple[AdaptedNetwork, TrainingOutcome | None, float]:
        """Train the network to evaluate. Methods that `fit` choose on validation, so they never train on it."""
        job, protocol = self.job, self.protocol
        joins = protocol.retrain and not self.fits
        validates = self.data.can_validate if self.fits else protocol.patience is not None and not joins
        indices, held, name = self.data.draw_samples(job.cell.seed, validates or joins)
        augment = not (self.solves or self.fits)
        if joins:
            self.training = self.data.join_batches(indices, name, held, augment)
        else:
            self.training = self.data.make_batches(self.data.train, indices, augment)
        validation = self.data.make_batches(name, held) if validates and len(held) else None
        reset_peak_memory(job.device)
        began = time.perf_counter()
        network, outcome, own = self.train_candidate(
            chosen, self.training, validation, job.cell.seed, job.workdir / "final"
        )
        seconds = time.perf_counter() - began
        if network.head_kind == "old":
            for text in self.own_head.remarks:
                job.remark(label_remark(text, job.cell))
        notes |= {"head": network.head_kind, "training_samples": len(self.training), "classes": self.classes}
        if own:
            notes["method"] = own
        return network, outcome, seconds

    def _report_progress(self, step: int, steps: int, values: Mapping[str, float]) -> None:
        self.job.advance(step, steps)
        if step % 10 == 0:
            self.job.report("training", step, dict(values))
