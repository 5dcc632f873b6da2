"""Running a small cell, undisturbed or killed at a step, and comparing two results of it."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.contract.declared import ask
from harness.testing.verdicts import NotChecked, Violation

if TYPE_CHECKING:
    from harness.contract.cells import Cell
    from harness.records.record import Record
    from harness.testing.grids import PlannedGrid

CLOSE = 1e-3
"""Relative. Rounding may differ with where arrays lie in memory, and optimisers that divide by the size of
near-zero gradients carry it on."""
FLIPS = 0.05
"""The share of samples whose prediction may tip over by that, in a network that is hardly trained."""

CLOCKS = ("second", "per_s", "time", "speed")
"""Parts of names of values that measure time, and so differ from run to run."""

BATCH_SIZE = 16


class Killed(KeyboardInterrupt):
    """A kill as a plugin meets it: no `except Exception` catches it."""


@dataclass
class CellResult:
    """What a run of a cell left: its record, its samples and curves, and its events of progress."""

    record: Record
    samples: dict[str, list[Any]] = field(default_factory=dict)
    curves: dict[str, list[Any]] = field(default_factory=dict)
    events: int = 0
    progress: list[tuple[int, int]] = field(default_factory=list)
    model: tuple[dict[str, Any], dict[str, Any]] | None = None
    """The state of the shared model before and after the cell, if there is one."""


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Make a folder for a store and a cache that nothing else shares."""
    return tempfile.TemporaryDirectory(prefix="harness-kit-", ignore_cleanup_errors=True)


def run_cell(
    trial: PlannedGrid,
    place: Path,
    stop: int | None = None,
    seed: int = 0,
    change: Callable[[Any], None] = lambda worker: None,
) -> CellResult:
    """Run the trial's cell with a store and a cache below `place`; raise Killed at the `stop`-th event.

    `change` gets the worker first.
    """
    from harness.records.store import Store

    cell = trial.pick_cells((seed,))[0]
    events: list[tuple[str, Mapping[str, Any]]] = []

    def tell(event: str, **facts: Any) -> None:
        if event == "cell_work":
            return  # a second run finds in the cache what the first one made
        events.append((event, facts))
        if stop is not None and len(events) >= stop:
            raise Killed

    states = _watch_model(cell)
    worker = make_worker(place, tell)
    change(worker)
    record = worker.run(cell)
    store = Store(place / "store")

    def read(kind: str) -> dict[str, list[Any]]:
        exists = store.file(kind, record.id, ".parquet").is_file()
        return getattr(store, kind)(record.id).to_dict("list") if exists else {}

    progress = [(facts["done"], facts["total"]) for event, facts in events if event == "cell_progress"]
    model = states[0] if states else None
    return CellResult(record, read("samples"), read("curves"), len(events), progress, model)


def make_worker(place: Path, tell: Callable[..., None] = lambda event, **facts: None) -> Any:
    """Make a worker on the CPU, with its store and its cache below `place`."""
    from harness.running.worker import RunSettings, Worker

    settings = RunSettings(
        place / "store", device="cpu", batch_size=BATCH_SIZE, cache=place / "cache", fresh=True
    )
    return Worker(settings, tell)


def require_ok(result: CellResult) -> CellResult:
    """Return the result of an ok cell; raise NotChecked for a skipped one, Violation for any other."""
    record = result.record
    if record.status == "skipped":
        raise NotChecked(f"the cell is skipped: {record.reason}")
    if record.status != "ok":
        lines = [line.strip() for line in (record.traceback or "").splitlines()]
        where = next((f"({line})" for line in reversed(lines) if line.startswith("File ")), "")
        found = f"status {record.status}: {record.reason} {where}".strip()
        raise Violation("the smallest cell to end ok", found, "Only records that are ok count in tables.")
    return result


def find_difference(one: CellResult, other: CellResult) -> str | None:
    """Return where two results of one cell differ beyond floating point; None if they don't."""
    here, there = one.record.metrics, other.record.metrics
    if odd := sorted(here.keys() ^ there.keys()):
        return f"the metric '{odd[0]}' in one of them only"
    for name, value in here.items():
        # proportions of samples may differ by the few that tip over, which are looked at below
        slack = FLIPS if one.samples and one.record.units.get(name) == "fraction" else 0.0
        if not is_time(name) and not _is_close(value, there[name]) and not abs(value - there[name]) <= slack:
            return f"{name} = {value:.6g} and {there[name]:.6g}"
    for what, columns, others in (
        ("samples", one.samples, other.samples),
        ("curves", one.curves, other.curves),
    ):
        for column in columns:
            if not is_time(column) and (found := _find_column_difference(columns, others, column)):
                return f"{what}, column '{column}': {found}"
    return None


def _find_column_difference(
    here: Mapping[str, list[Any]], there: Mapping[str, list[Any]], column: str
) -> str | None:
    a, b = here[column], there.get(column)
    if b is None or len(a) != len(b):
        return f"{len(a)} values and {len(b) if b is not None else 'none'}"
    timed = [is_time(str(name)) for name in here.get("column", [""] * len(a))]
    apart = [n for n, (x, y) in enumerate(zip(a, b, strict=True)) if not timed[n] and not _is_close(x, y)]
    # only predictions, or rights and wrongs, per sample may tip over
    discrete = all(x in (0, 1) or not isinstance(x, float) for x in a) and "id" in here and column != "id"
    if len(apart) > (FLIPS * len(a) if discrete else 0):
        return f"{a[apart[0]]!r} and {b[apart[0]]!r} in row {apart[0]}"
    return None


def _is_close(x: Any, y: Any) -> bool:
    if isinstance(x, float | int) and isinstance(y, float | int) and not isinstance(x, bool):
        return (x != x and y != y) or math.isclose(x, y, rel_tol=CLOSE, abs_tol=1e-7)
    return bool(x == y)


def is_time(name: str) -> bool:
    """Return whether a value of that name measures time, and so differs from run to run."""
    return any(part in name for part in CLOCKS)


def _watch_model(cell: Cell) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Make the protocol note the state of the model it shares with other cells, before and after the cell.

    The list is filled when the cell runs; it stays empty if the protocol has the model for itself.
    """
    protocol = cell.protocol.object
    states: list[tuple[dict[str, Any], dict[str, Any]]] = []
    original = protocol.run

    def run(job: Any) -> Any:
        module = ask(job.model, "module") if job.model is not None else None
        if module is None or ask(protocol, "fresh_model"):
            return original(job)
        before = _read_state(module)
        result = original(job)
        states.append((before, _read_state(module)))
        return result

    protocol.run = run
    return states


def _read_state(module: Any) -> dict[str, Any]:
    """Return what a method might leave behind in a network: other weights, and more."""
    from harness.inference.features import digest_module

    return {
        "weights": digest_module(module),
        "hooks": sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules()),
        "layers": [(name, type(m).__name__) for name, m in module.named_modules()],
        "training mode": [name for name, m in module.named_modules() if m.training],
        "frozen parameters": [name for name, p in module.named_parameters() if not p.requires_grad],
    }
