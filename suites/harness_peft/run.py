"""One cell of fine-tuning: data, tuning, the final training, its checks, and what is measured."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from harness.batches import forward_all
from harness.contract import Dataset, Job, Predictions, Result, Split
from harness.evaluate import classification_result, image_pipeline, measured, weights_of
from harness.seeds import derive_seed
from harness.zeroshot import DEFAULT_TEMPLATE
from harness_peft import checkpoints, costs
from harness_peft.checks import TrainingFault, check_frozen, frozen_digests, trained
from harness_peft.data import Batches
from harness_peft.evaluation import columns, score, test_split_of
from harness_peft.network import Network
from harness_peft.prepared import as_is
from harness_peft.samples import CellData
from harness_peft.training import Recipe, Trained, base_modules, steps_for, summary, train
from harness_peft.tuning import Trial, best, spread, tuned

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness_peft.protocol import Finetuning


class Run:
    """A cell being run; each step is a method, `result` calls them in order."""

    def __init__(self, protocol: Finetuning, job: Job) -> None:
        self.protocol, self.job, self.method = protocol, job, job.method
        self.data = CellData(protocol, job)
        self.shots, self.train_split = self.data.shots, self.data.train_split
        names = getattr(self.train_split, "class_names", None)
        self.classes = len(names) if names else int(np.asarray(self.train_split.targets).max()) + 1
        self.solves = hasattr(self.method, "solve")
        self.trains = getattr(self.method, "trains", True)

    def result(self) -> Result:
        """Everything about the cell."""
        protocol, job = self.protocol, self.job
        notes: dict[str, Any] = {}
        trials, chosen = self._tuning(notes)
        network, outcome, seconds = self._final(chosen, notes)
        cost = {**costs.counts(network), "training_seconds": seconds}
        cost["tuning_seconds"] = sum(t.seconds for t in trials)
        cost |= self._measured(network, outcome, notes)
        logits, split = self._logits(network, job.dataset, self._test_name())
        predictions = Predictions(logits, split.targets, split.ids, getattr(split, "class_names", None) or ())
        result = classification_result(job, predictions, cost=cost, notes=notes)
        metrics = dict(result.metrics)
        for name, dataset in protocol.shifts.items():
            logits, split = self._logits(network, dataset, test_split_of(dataset), name)
            found = measured(job, Predictions(logits, split.targets, split.ids))
            metrics |= {f"{metric}.{name}": value for metric, value in found.items()}
        curves = self._curves(outcome) if outcome else {}
        return replace(result, metrics=metrics, curves=curves)

    # ---------------------------------------------------------------- training

    def _network(self, seed: object) -> tuple[Network, set[int]]:
        """A prepared network and the ids of its modules before the method."""
        job, protocol = self.job, self.protocol
        split = self.train_split
        torch.manual_seed(derive_seed("network", self.job.cell.dataset.identity, seed))
        space = getattr(job.dataset, "label_space", None)
        network = Network(
            job.model,
            self.classes,
            protocol.head,
            label_indices=getattr(split, "label_indices", None),
            same_space=space is not None and space == getattr(job.model, "label_space", None),
            class_names=getattr(split, "class_names", None) or (),
            templates=protocol.templates or getattr(split, "templates", None) or [DEFAULT_TEMPLATE],
            logit_scale=protocol.logit_scale,
        )
        base = base_modules(network)
        if not protocol.train_head:
            network.head.requires_grad_(False)
        self.method.prepare(network)
        return network, base

    def _recipe(self, rate: float, samples: int) -> Recipe:
        p = self.protocol
        if p.steps_per_shot is not None:
            steps = p.steps_per_shot * int(self.shots)
        else:
            steps = steps_for(samples, p.batch, p.epochs, p.steps)
        return Recipe(
            steps=steps, batch=min(p.batch, samples), rate=rate, optimizer=p.optimizer, schedule=p.schedule,
            warmup=p.warmup, weight_decay=getattr(self.method, "weight_decay", p.weight_decay),
            label_smoothing=p.label_smoothing, clip_norm=p.clip_norm, patience=p.patience,
            evaluate_every=p.evaluate_every if p.patience else 0, precision=self.job.precision,
        )  # fmt: skip

    def _fit(
        self, candidate: float, training: Batches, validation: Batches | None, seed: object, folder: Path
    ) -> tuple[Network, Trained | None]:
        """A network trained with one learning rate (or penalty)."""
        network, base = self._network(seed)
        if self.solves:
            self._solve(network, training, candidate)
            return network, None
        if not self.trains:
            return network, None
        if not trained(network):
            raise TrainingFault("the method leaves nothing to train")
        recipe = self._recipe(candidate, len(training))
        if validation is None:
            recipe = replace(recipe, patience=None, evaluate_every=0)
        finish = getattr(self.method, "finish", None)
        start = {n: t.detach().cpu().clone() for n, t in network.state_dict().items()} if finish else {}
        before = frozen_digests(network)
        outcome = train(
            network,
            training,
            recipe,
            derive_seed("training", self.job.cell.dataset.identity, seed),
            base=base,
            validate=(lambda: score(network, validation)[0]) if validation is not None else None,
            folder=folder,
            checkpoint_every=self.protocol.checkpoint_every,
            tell=lambda step, values: self._tell(step, recipe.steps, values),
        )
        check_frozen(network, before)
        if finish:
            finish(network, start)
        return network, outcome

    def _solve(self, network: Network, training: Batches, candidate: float) -> None:
        features = self._features(network, training)
        targets = training.targets.cpu().numpy()
        weight, bias = self.method.solve(features, targets, self.classes, candidate)
        head = torch.nn.Linear(weight.shape[1], self.classes).to(self.job.device)
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(weight))
            head.bias.copy_(torch.from_numpy(bias))
        network.head = head

    def _features(self, network: Network, data: Batches) -> NDArray[np.float32]:
        """The frozen network's embeddings of these samples, from the cache of the whole split."""
        job, source = self.job, data.split
        decides = {
            "what": f"peft {getattr(self.method, 'features', 'projected')} features",
            "model": job.cell.model.identity if job.cell.model else None,
            "weights": weights_of(job.model),
            "data": job.cell.dataset.identity,
            "split": source.name,
            "limit": job.cell.limit,
            "images": job.cell.images,
            "precision": job.precision,
            "torch": torch.__version__,
        }
        whole = job.cache.get(
            decides,
            lambda: forward_all(
                network.features, source, as_is, device=job.device, batch_size=job.batch_size,
                precision=job.precision, workers=job.workers,
            ).numpy(),
        )  # fmt: skip
        return whole[data.indices]

    def _tuning(self, notes: dict[str, Any]) -> tuple[list[Trial], float]:
        """The trials on validation and the candidate they choose."""
        protocol, job = self.protocol, self.job
        if not self.trains:
            notes["tuning"] = {"trials": 0}
            return [], 0.0
        refined = self.solves and getattr(self.method, "sweep", "grid") == "clip"
        rates = protocol.rates or list(getattr(self.method, "rates", (1e-4, 1e-3, 1e-2)))
        candidates = (
            self.method.candidates(protocol.trials) if self.solves else spread(rates, protocol.trials)
        )
        what = "penalty" if self.solves else "learning rate"
        if protocol.trials == 1 and not refined:  # nothing to choose from, so nothing to validate on
            notes["tuning"] = {"trials": 1, "what": what, "chosen": candidates[0], "validation_samples": 0}
            return [], candidates[0]
        seed: object = "tuning" if protocol.tune == "shared" else job.cell.seed
        indices, held, name = self.data.samples(seed)
        training, validation = (
            self.data.batches("train", indices, augment=True),
            self.data.batches(name, held),
        )

        def run(candidate: float, folder: Path) -> Trial:
            began = time.perf_counter()
            network, _ = self._fit(candidate, training, validation, seed, folder)
            accuracy, loss = score(network, validation)
            return Trial(candidate, accuracy, loss, time.perf_counter() - began)

        if refined:
            visited: dict[float, Trial] = {}

            def judged(candidate: float) -> float:
                visited[candidate] = run(candidate, job.workdir)
                return visited[candidate].accuracy

            self.method.refine(judged)
            trials = list(visited.values())
        else:
            decides = {
                "protocol": job.cell.protocol.identity,
                "model": job.cell.model.identity if job.cell.model else None,
                "weights": weights_of(job.model),
                "method": job.cell.method.identity if job.cell.method else None,
                "data": job.cell.dataset.identity,
                "shots": self.shots, "seed": seed, "limit": job.cell.limit, "images": job.cell.images,
                "precision": job.precision, "torch": torch.__version__,
            }  # fmt: skip
            trials = tuned(candidates, run, job.workdir / "tuning", job.cache, decides)
        chosen = best(trials)
        notes["tuning"] = {
            "trials": len(trials),
            "what": what,
            "candidates": [t.candidate for t in trials],
            "validation_accuracy": [t.accuracy for t in trials],
            "chosen": chosen.candidate,
            "shared_by_seeds": protocol.tune == "shared",
            "validation_samples": len(validation),
            "validation_split": f"held out of {name}" if protocol.holdout else name,
        }
        return trials, chosen.candidate

    def _final(self, chosen: float, notes: dict[str, Any]) -> tuple[Network, Trained | None, float]:
        self._counted: Network | None = None
        stops_early = self.protocol.patience is not None and not self.protocol.retrain
        indices, held, name = self.data.samples(self.job.cell.seed, stops_early)
        if self.protocol.retrain:
            indices = np.sort(np.concatenate([indices, held]))
        self.training = self.data.batches("train", indices, augment=not self.solves)
        validation = self.data.batches(name, held) if stops_early else None
        if self.job.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.job.device)
        began = time.perf_counter()
        network, outcome = self._fit(
            chosen, self.training, validation, self.job.cell.seed, self.job.workdir / "final"
        )
        notes |= {"head": network.head_kind, "training_samples": len(indices), "classes": self.classes}
        return network, outcome, time.perf_counter() - began

    def _tell(self, step: int, steps: int, values: Mapping[str, float]) -> None:
        self.job.advance(step, steps)
        if step % 10 == 0:
            self.job.report("training", step, dict(values))

    # ---------------------------------------------------------------- measuring

    def _measured(self, network: Network, outcome: Trained | None, notes: dict[str, Any]) -> dict[str, float]:
        job, cost = self.job, {}
        if job.device.type == "cuda":
            cost["training_peak_memory"] = torch.cuda.max_memory_allocated(job.device)
            cost["training_peak_memory_reserved"] = torch.cuda.max_memory_reserved(job.device)
        cost |= costs.memory(network, outcome.optimizer_bytes if outcome else 0)
        count = min(len(self.training), job.batch_size)
        images, _ = self.training.take(np.arange(count))
        cost["samples_per_second"] = costs.inference_rate(network, images)
        if outcome:
            cost |= summary(outcome)
            if "seconds_per_step" in cost:
                size = min(self.protocol.batch, len(self.training))
                cost["training_samples_per_second"] = size / cost["seconds_per_step"]
            cost["steps"] = outcome.steps
        notes["backprop_stops_at"], cost["backprop_share"] = costs.backprop_stop(network, images[:1])
        if self.trains:
            state = getattr(self.method, "state", checkpoints.adapter_state)(network)
            folder = self.protocol.keep
            path = folder / f"{job.cell.id}.safetensors" if folder else job.workdir / "adapter.safetensors"
            facts = {"method": job.cell.method.described() if job.cell.method else None}
            cost["adapter_bytes"] = checkpoints.save(path, state, facts)
        merged = costs.merged_copy(network, self.method)
        if merged is not None:
            cost["merged_samples_per_second"] = costs.inference_rate(merged, images)
            with torch.inference_mode():
                notes["merged_difference"] = float((merged(images) - network(images)).abs().max())
        return cost

    def _logits(
        self, network: Network, dataset: Dataset, name: str, shift: str | None = None
    ) -> tuple[NDArray[np.float32], Split]:
        """Logits on a test split, over that split's own classes."""
        job = self.job
        if shift is None:
            split: Split = job.splits(name)
            source = self.data.prepared(name)
        else:
            key = (
                f"{job.cell.model.identity}\nshift\n{job.cell.protocol.identity}\n{shift}\n{job.cell.images}"
            )
            split = dataset.load(name)
            source = self.protocol.prepared.get(key, split, image_pipeline(job, split))
        found = forward_all(
            network, source, as_is, device=job.device, batch_size=job.batch_size,
            precision=job.precision, workers=job.workers,
        ).numpy()  # fmt: skip
        if shift is not None:
            found = found[:, columns(self.train_split, split, shift)]
        return found, split

    def _test_name(self) -> str:
        return self.protocol.split or test_split_of(self.job.dataset)

    def _curves(self, outcome: Trained) -> dict[str, dict[str, list[float]]]:
        every = max(1, len(outcome.losses) // 200)
        kept = list(range(0, len(outcome.losses), every))
        curves = {
            "training": {"step": [float(i + 1) for i in kept], "loss": [outcome.losses[i] for i in kept]}
        }
        if outcome.scores:
            steps = sorted(outcome.scores)
            curves["validation"] = {
                "step": [float(s) for s in steps],
                "accuracy": [outcome.scores[s] for s in steps],
            }
        return curves
