"""Try candidates for a cell, and choose among them on validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.learning.trials import TuningTrial, run_trials, select_best, spread_rates
from harness_peft.embedding_heads import apply_head, embed_samples
from harness_peft.evaluation import score_logits, score_network

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness_peft.adapted_network import AdaptedNetwork
    from harness_peft.cell_facts import CellFacts


def run_candidate_trials(
    run: CellFacts, fit: Callable[..., tuple[AdaptedNetwork, Any, Any]], notes: dict[str, Any]
) -> tuple[list[TuningTrial], float | None]:
    """Return the trials on validation and the chosen candidate; None if a method has nothing to try.

    A method that fits itself on embeddings and has no learning rates chooses for itself, on the same
    validation samples; if every method has one trial, it keeps its own rate.
    """
    protocol, method = run.protocol, run.method
    if not run.trains:
        notes["tuning"] = {"trials": 0}
        return [], None
    if run.fits and not (hasattr(method, "rates") and hasattr(method, "rate") and protocol.trials > 1):
        kept = getattr(method, "rate", None) if hasattr(method, "rates") else None
        notes["tuning"] = {"trials": 1, "what": "the method's own settings", "chosen": kept}
        return [], None
    candidates = _list_candidates(run)
    what = "penalty" if run.solves else "learning rate"
    refined = _has_refinement(method)
    if protocol.trials == 1 and not refined:  # nothing to choose from, so no validation
        notes["tuning"] = {"trials": 1, "what": what, "chosen": candidates[0], "validation_samples": 0}
        return [], candidates[0]
    seed: object = "tuning" if protocol.tune == "shared" else run.job.cell.seed
    indices, held, name = run.data.draw_samples(seed)
    training = run.data.make_batches(run.data.train, indices, augment=not (run.solves or run.fits))
    validation = run.data.make_batches(name, held)

    def run_trial(candidate: float, folder: Path) -> TuningTrial:
        began = time.perf_counter()
        network, _, _ = fit(candidate, training, validation, seed, folder)
        if run.solves or run.fits:
            kept = embed_samples(run.job, method, network, validation)
            accuracy, loss = score_logits(apply_head(network, kept), validation.targets)
        else:
            accuracy, loss = score_network(network, validation)
        return TuningTrial(candidate, accuracy, loss, time.perf_counter() - began)

    if refined:
        visited: dict[float, TuningTrial] = {}

        def visit(candidate: float) -> float:
            visited[candidate] = run_trial(candidate, run.job.workdir)
            return visited[candidate].accuracy

        method.refine(visit)
        trials = list(visited.values())
    else:
        trials = run_trials(
            candidates, run_trial, run.job.workdir / "tuning", partial(_cache_trials, run, seed)
        )
    chosen = select_best(trials)
    notes["tuning"] = {
        "trials": len(trials),
        "what": what,
        "candidates": [t.candidate for t in trials],
        "validation_accuracy": [t.accuracy for t in trials],
        "judged_by": "11-point mAP" if run.label_sets else "accuracy",
        "chosen": chosen.candidate,
        "shared_by_seeds": protocol.tune == "shared",
        "validation_samples": len(validation),
        "validation_split": f"held out of {name}" if name == run.data.train else name,
    }
    return trials, chosen.candidate


def _has_refinement(method: Any) -> bool:
    return hasattr(method, "solve") and getattr(method, "sweep", "grid") == "clip"


def _list_candidates(run: CellFacts) -> list[float]:
    protocol = run.protocol
    if run.solves:
        found: list[float] = run.method.candidates(protocol.trials)
        return found
    rates = protocol.rates or list(getattr(run.method, "rates", (1e-4, 1e-3, 1e-2)))
    return spread_rates(rates, protocol.trials)


def _cache_trials(
    run: CellFacts, seed: object, candidates: Sequence[float], compute: Callable[[], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return the trials, cached for all seeds that share the tuning, or computed."""
    job = run.job
    return job.features(
        "tuning trials", run.data.train, compute, protocol=job.cell.protocol.identity,
        method=job.cell.method.identity if job.cell.method else None, shots=run.data.shots, seed=seed,
        candidates=list(candidates),
    )  # fmt: skip
