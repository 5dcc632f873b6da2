"""Measure a trained network in one cell: costs, stored bytes, training curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from harness import redact
from harness.learning.checkpoints import save_tensors
from harness.learning.costs import estimate_training_memory, measure_inference_rate
from harness_peft import costs
from harness_peft.adapted_network import AdaptedNetwork
from harness_peft.trained_state import collect_trained_state

if TYPE_CHECKING:
    from harness.learning.training_progress import TrainingOutcome
    from harness_peft.cell_facts import CellFacts


NOT_ALWAYS = (
    "seconds_per_step", "training_samples_per_second", "steps", "adapter_bytes", "merged_samples_per_second",
)  # fmt: skip
"""Costs that only some methods have: those that train by steps, store tensors or can be merged."""


def measure_costs(
    run: CellFacts, network: AdaptedNetwork, outcome: TrainingOutcome | None, notes: dict[str, Any]
) -> dict[str, float]:
    """Measure memory, speed of training and inference (merged too), where gradients stop, and stored bytes.

    Costs that a method lacks are NaN (a dash in tables), so that a run of any methods has every column.
    """
    job, cost = run.job, dict.fromkeys(NOT_ALWAYS, float("nan"))
    cost |= estimate_training_memory(network, outcome.optimizer_bytes if outcome else 0)
    images = run.training.take(min(len(run.training), job.batch_size))
    cost["samples_per_second"] = measure_inference_rate(network, images)
    if outcome:
        if (seconds := outcome.seconds_per_step()) is not None:
            cost["seconds_per_step"] = seconds
        if "seconds_per_step" in cost:
            size = min(run.protocol.batch, len(run.training))
            cost["training_samples_per_second"] = size / cost["seconds_per_step"]
        cost["steps"] = outcome.steps
    notes["backprop_stops_at"], cost["backprop_share"] = costs.find_backprop_stop(network, images[:1])
    if run.trains:
        cost["adapter_bytes"] = _store(run, network)
    merged = costs.copy_merged(network, run.method)
    if merged is not None:
        cost["merged_samples_per_second"] = measure_inference_rate(merged, images)
        with torch.inference_mode():
            notes["merged_difference"] = float((merged(images) - network(images)).abs().max())
    return cost


def _store(run: CellFacts, network: AdaptedNetwork) -> int:
    """Write the trained tensors, with the facts to restore the network from; return the file's bytes."""
    job, folder = run.job, run.protocol.keep
    state = getattr(run.method, "state", collect_trained_state)(network)
    path = folder / f"{job.cell.id}.safetensors" if folder else job.workdir / "adapter.safetensors"
    method, keys = job.cell.method, ("plugin", "distribution", "version", "label")
    facts = {
        "method": method and {**{k: getattr(method, k) for k in keys}, "options": redact(method.options)}
    }
    return save_tensors(path, state, {**facts, "network": run.network_facts(job.cell.seed)})


def build_curves(outcome: TrainingOutcome | None) -> dict[str, dict[str, list[float]]]:
    """Return losses (thinned to a few hundred) and validation scores by step."""
    if outcome is None:
        return {}
    kept = list(range(0, len(outcome.losses), max(1, len(outcome.losses) // 200)))
    found = {"training": {"step": [float(i + 1) for i in kept], "loss": [outcome.losses[i] for i in kept]}}
    if outcome.scores:
        steps = sorted(outcome.scores)
        found["validation"] = {
            "step": [float(s) for s in steps],
            "accuracy": [outcome.scores[s] for s in steps],
        }
    return found
