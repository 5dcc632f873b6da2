"""What is measured of a trained network in one cell: costs, what is stored, training curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from harness import redacted
from harness.learning.checkpoints import save_tensors
from harness.learning.progress import TrainingOutcome
from harness_peft import costs
from harness_peft.checkpoints import adapter_state
from harness_peft.network import Network

if TYPE_CHECKING:
    from harness_peft.facts import CellFacts


NOT_ALWAYS = (
    "seconds_per_step", "training_samples_per_second", "steps", "adapter_bytes", "merged_samples_per_second",
)  # fmt: skip
"""Costs of methods that train by steps, that store something, that can be merged."""


def forget_peak_memory(device: torch.device) -> None:
    """Begins the count for `peak_memory` anew; what earlier work only kept for reuse goes back first."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> dict[str, float]:
    """Most bytes that a CUDA device had allocated and reserved since the count began.

    Elsewhere NaN, which tables show as a dash: they have the column wherever the suite is run.
    """
    cuda = device.type == "cuda"
    return {
        "training_peak_memory": torch.cuda.max_memory_allocated(device) if cuda else float("nan"),
        "training_peak_memory_reserved": torch.cuda.max_memory_reserved(device) if cuda else float("nan"),
    }


def measured_costs(
    run: CellFacts, network: Network, outcome: TrainingOutcome | None, notes: dict[str, Any]
) -> dict[str, float]:
    """Memory, speed of training and inference (merged too), where gradients stop, and the stored bytes.

    What a method has not is NaN, a dash in tables: a run of some methods alone has every column, too.
    """
    job, cost = run.job, dict.fromkeys(NOT_ALWAYS, float("nan"))
    cost |= costs.memory(network, outcome.optimizer_bytes if outcome else 0)
    images = run.training.take(min(len(run.training), job.batch_size))
    cost["samples_per_second"] = costs.inference_rate(network, images)
    if outcome:
        if (seconds := outcome.seconds_per_step()) is not None:
            cost["seconds_per_step"] = seconds
        if "seconds_per_step" in cost:
            size = min(run.protocol.batch, len(run.training))
            cost["training_samples_per_second"] = size / cost["seconds_per_step"]
        cost["steps"] = outcome.steps
    notes["backprop_stops_at"], cost["backprop_share"] = costs.backprop_stop(network, images[:1])
    if run.trains:
        cost["adapter_bytes"] = _stored(run, network)
    merged = costs.merged_copy(network, run.method)
    if merged is not None:
        cost["merged_samples_per_second"] = costs.inference_rate(merged, images)
        with torch.inference_mode():
            notes["merged_difference"] = float((merged(images) - network(images)).abs().max())
    return cost


def _stored(run: CellFacts, network: Network) -> int:
    """Writes what was trained, with what it takes to put it into the base again; gives the file's bytes."""
    job, folder = run.job, run.protocol.keep
    state = getattr(run.method, "state", adapter_state)(network)
    path = folder / f"{job.cell.id}.safetensors" if folder else job.workdir / "adapter.safetensors"
    method, keys = job.cell.method, ("plugin", "distribution", "version", "label")
    facts = {
        "method": method and {**{k: getattr(method, k) for k in keys}, "options": redacted(method.options)}
    }
    return save_tensors(path, state, {**facts, "network": run.network_facts(job.cell.seed)})


def curves(outcome: TrainingOutcome | None) -> dict[str, dict[str, list[float]]]:
    """Losses (at most some hundred of them) and validation scores by step."""
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
