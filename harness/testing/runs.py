"""Running a small cell, in peace or killed at a step, and comparing what came of it."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.contract.declared import ask
from harness.testing.outcome import NotChecked, Violation

if TYPE_CHECKING:
    from harness.contract.cells import Cell
    from harness.records.record import Record
    from harness.testing.cells import Trial

CLOSE = 1e-3
"""Relative. Rounding may differ with where arrays lie in memory, and optimisers that divide by the size of
near-zero gradients carry it on."""
FLIPS = 0.05
"""The share of samples whose prediction may tip over by that, in a network that is hardly trained."""

CLOCKS = ("second", "per_s", "time", "speed")
"""Parts of names of values that tell how long something took, and so differ from run to run."""

BATCH_SIZE = 16


class Killed(KeyboardInterrupt):
    """What a kill looks like from inside: no plugin's `except Exception` meets it."""


@dataclass
class Outcome:
    """What a run of a cell gave: its record, its samples and curves, and how often it told its progress."""

    record: Record
    samples: dict[str, list[Any]] = field(default_factory=dict)
    curves: dict[str, list[Any]] = field(default_factory=dict)
    told: int = 0
    progress: list[tuple[int, int]] = field(default_factory=list)
    model: tuple[dict[str, Any], dict[str, Any]] | None = None
    """What the shared model was before and after the cell, where there is one."""


def folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for a store and a cache that nothing else shares."""
    return tempfile.TemporaryDirectory(prefix="harness-kit-", ignore_cleanup_errors=True)


def run(trial: Trial, place: Path, stop: int | None = None, seed: int = 0) -> Outcome:
    """Runs the trial's cell in a store and cache below `place`; raises Killed at the `stop`-th word of progress."""
    from harness.records.store import Store

    cell = trial.cells((seed,))[0]
    told: list[tuple[str, Mapping[str, Any]]] = []

    def tell(event: str, **facts: Any) -> None:
        told.append((event, facts))
        if stop is not None and len(told) >= stop:
            raise Killed

    seen = captured(cell)
    record = worker(place, tell).run(cell)
    store = Store(place / "store")
    return Outcome(
        record,
        _columns(store, record, "samples"),
        _columns(store, record, "curves"),
        len(told),
        [(f["done"], f["total"]) for event, f in told if event == "cell_progress"],
        seen[0] if seen else None,
    )


def worker(place: Path, tell: Callable[..., None] = lambda event, **facts: None) -> Any:
    """A worker on the CPU, with its store and its cache below `place`."""
    from harness.running.worker import RunSettings, Worker

    settings = RunSettings(place / "store", device="cpu", batch_size=BATCH_SIZE, cache=place / "cache")
    return Worker(settings, tell)


def _columns(store: Any, record: Record, kind: str) -> dict[str, list[Any]]:
    if not store.file(kind, record.id, ".parquet").is_file():
        return {}
    found: dict[str, list[Any]] = getattr(store, kind)(record.id).to_dict("list")
    return found


def checked_ok(outcome: Outcome) -> Outcome:
    """The outcome, once it is ok; Violation with the reason otherwise, NotChecked for a skipped one."""
    record = outcome.record
    if record.status == "skipped":
        raise NotChecked(f"the cell is skipped: {record.reason}")
    if record.status != "ok":
        at = (record.traceback or "").strip().splitlines()
        where = next((line.strip() for line in reversed(at) if line.strip().startswith("File ")), "")
        raise Violation(
            "the smallest cell to end ok",
            f"status {record.status}: {record.reason} {f'({where})' if where else ''}".strip(),
            "Only records that are ok count in tables.",
        )
    return outcome


def difference(one: Outcome, other: Outcome) -> str | None:
    """Where two outcomes of one cell differ beyond floating point, in words; None where they don't."""
    if one.record.metrics.keys() != other.record.metrics.keys():
        odd = sorted(one.record.metrics.keys() ^ other.record.metrics.keys())
        return f"the metric '{odd[0]}' in one of them only"
    for name, value in one.record.metrics.items():
        # proportions of samples may differ by the few that tip over, which are looked at below
        slack = FLIPS if one.samples and one.record.units.get(name) == "fraction" else 0.0
        there = other.record.metrics[name]
        if not _timed(name) and not _close(value, there) and not abs(value - there) <= slack:
            return f"{name} = {value:.6g} and {other.record.metrics[name]:.6g}"
    for what in ("samples", "curves"):
        here, there = getattr(one, what), getattr(other, what)
        for column in here:
            if _timed(column):
                continue
            if found := _column_difference(here, there, column):
                return f"{what}, column '{column}': {found}"
    return None


def _column_difference(
    here: Mapping[str, Sequence[Any]], there: Mapping[str, Sequence[Any]], column: str
) -> str | None:
    a, b = here[column], there.get(column)
    if b is None or len(a) != len(b):
        return f"{len(a)} values and {len(b) if b is not None else 'none'}"
    clocked = [_timed(str(name)) for name in here.get("column", [""] * len(a))]
    pairs = list(zip(a, b, strict=True))
    apart = [n for n, (x, y) in enumerate(pairs) if not clocked[n] and not _close(x, y)]
    discrete = (
        bool(a)
        and all(x in (0, 1) or not isinstance(x, float) for x in a)
        and "id" in here
        and column != "id"
    )
    if len(apart) > (FLIPS * len(a) if discrete else 0):
        return f"{pairs[apart[0]][0]!r} and {pairs[apart[0]][1]!r} in row {apart[0]}"
    return None


def _close(x: Any, y: Any) -> bool:
    if isinstance(x, float | int) and isinstance(y, float | int) and not isinstance(x, bool):
        return (x != x and y != y) or math.isclose(x, y, rel_tol=CLOSE, abs_tol=1e-7)
    return bool(x == y)


def _timed(name: str) -> bool:
    return any(part in name for part in CLOCKS)


def captured(cell: Cell) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Lets the cell's protocol note the model that it shares with other cells, before and after the cell.

    The list is filled when the cell is run; it stays empty where the protocol has the model for itself.
    """
    protocol = cell.protocol.object
    seen: list[tuple[dict[str, Any], dict[str, Any]]] = []
    original = protocol.run

    def noting(job: Any) -> Any:
        module = ask(job.model, "module") if job.model is not None else None
        if module is None or ask(protocol, "fresh_model"):
            return original(job)
        before = _state(module)
        result = original(job)
        seen.append((before, _state(module)))
        return result

    protocol.run = noting
    return seen


def _state(module: Any) -> dict[str, Any]:
    """What a method might leave behind in a network: other weights, and more."""
    from harness.inference.features import digest_module

    return {
        "weights": digest_module(module),
        "hooks": sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules()),
        "layers": [(name, type(m).__name__) for name, m in module.named_modules()],
        "training mode": [name for name, m in module.named_modules() if m.training],
        "frozen parameters": [name for name, p in module.named_parameters() if not p.requires_grad],
    }
