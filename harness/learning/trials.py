"""The tuning budget: the same number of trials for every method, on validation, shared by seeds."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.records.files import write_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class TuningTrial:
    """One candidate's validation accuracy and mean loss, and the seconds it took."""

    candidate: float
    accuracy: float
    loss: float
    seconds: float


def spread_rates(rates: Sequence[float], trials: int) -> list[float]:
    """Return `trials` values, evenly in the logarithm, over the span of a method's rates (one: its middle)."""
    low, high = min(rates), max(rates)
    if trials == 1:
        return [float(np.sqrt(low * high))]
    return [float(v) for v in np.geomspace(low, high, trials)]


def select_best(trials: Sequence[TuningTrial]) -> TuningTrial:
    """Return the trial with the highest accuracy; ties go to the lower loss."""
    return max(trials, key=lambda t: (t.accuracy, -t.loss))


def run_trials(
    candidates: Sequence[float],
    run: Callable[[float, Path], TuningTrial],
    folder: Path,
    cached: Callable[[Sequence[float], Callable[[], NDArray[np.float64]]], NDArray[np.float64]],
) -> list[TuningTrial]:
    """Return all trials: from `cached` if another seed's cell ran them, else run, resuming after a kill."""

    def compute() -> NDArray[np.float64]:
        file = folder / "trials.json"
        done: list[list[float]] = json.loads(file.read_text()) if file.is_file() else []
        for number, candidate in enumerate(candidates[len(done) :], start=len(done)):
            found = run(candidate, folder / f"trial-{number}")
            done.append([found.candidate, found.accuracy, found.loss, found.seconds])
            write_bytes(file, json.dumps(done).encode())
        return np.asarray(done, dtype=np.float64).reshape(-1, 4)

    return [TuningTrial(*map(float, row)) for row in cached(candidates, compute)]
