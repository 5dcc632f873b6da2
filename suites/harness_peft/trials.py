"""Which candidates are tried for a cell, and what is chosen among them on validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness_peft.embeddings import embeddings, head_logits
from harness_peft.evaluation import judged, score
from harness_peft.tuning import Trial, best, spread, tuned

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness_peft.facts import CellFacts
    from harness_peft.network import Network


def tune(
    run: CellFacts, fit: Callable[..., tuple[Network, Any, Any]], notes: dict[str, Any]
) -> tuple[list[Trial], float | None]:
    """The trials on validation and the candidate they choose; None where a method has nothing to try.

    A method that fits itself on embeddings and has no learning rates chooses for itself, on the same
    validation samples; with one trial for everybody it keeps its own rate.
    """
    protocol, method = run.protocol, run.method
    if not run.trains:
        notes["tuning"] = {"trials": 0}
        return [], None
    if run.fits and not (hasattr(method, "rates") and hasattr(method, "rate") and protocol.trials > 1):
        kept = getattr(method, "rate", None) if hasattr(method, "rates") else None
        notes["tuning"] = {"trials": 1, "what": "the method's own settings", "chosen": kept}
        return [], None
    candidates = _candidates(run)
    what = "penalty" if run.solves else "learning rate"
    refined = _refines(method)
    if protocol.trials == 1 and not refined:  # nothing to choose from, so nothing to validate on
        notes["tuning"] = {"trials": 1, "what": what, "chosen": candidates[0], "validation_samples": 0}
        return [], candidates[0]
    seed: object = "tuning" if protocol.tune == "shared" else run.job.cell.seed
    indices, held, name = run.data.samples(seed)
    training = run.data.batches(run.data.train, indices, augment=not (run.solves or run.fits))
    validation = run.data.batches(name, held)

    def one(candidate: float, folder: Path) -> Trial:
        began = time.perf_counter()
        network, _, _ = fit(candidate, training, validation, seed, folder)
        if run.solves or run.fits:
            kept = embeddings(run.job, method, network, validation)
            accuracy, loss = judged(head_logits(network, kept), validation.targets)
        else:
            accuracy, loss = score(network, validation)
        return Trial(candidate, accuracy, loss, time.perf_counter() - began)

    if refined:
        visited: dict[float, Trial] = {}

        def visit(candidate: float) -> float:
            visited[candidate] = one(candidate, run.job.workdir)
            return visited[candidate].accuracy

        method.refine(visit)
        trials = list(visited.values())
    else:
        trials = tuned(candidates, one, run.job.workdir / "tuning", partial(_kept, run, seed))
    chosen = best(trials)
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


def _refines(method: Any) -> bool:
    return hasattr(method, "solve") and getattr(method, "sweep", "grid") == "clip"


def _candidates(run: CellFacts) -> list[float]:
    protocol = run.protocol
    if run.solves:
        found: list[float] = run.method.candidates(protocol.trials)
        return found
    rates = protocol.rates or list(getattr(run.method, "rates", (1e-4, 1e-3, 1e-2)))
    return spread(rates, protocol.trials)


def _kept(
    run: CellFacts, seed: object, candidates: Sequence[float], compute: Callable[[], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """The trials from the cache, which seeds that share a tuning share too, or computed."""
    job = run.job
    return job.features(
        "tuning trials", run.data.train, compute, protocol=job.cell.protocol.identity,
        method=job.cell.method.identity if job.cell.method else None, shots=run.data.shots, seed=seed,
        candidates=list(candidates),
    )  # fmt: skip
