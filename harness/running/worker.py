"""Running of one cell: loading what it needs, measuring, and writing its record whatever happens."""

from __future__ import annotations

import logging
import os
import shutil
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from traceback import format_exception
from typing import TYPE_CHECKING, Any

from harness.contract.cells import Cell, Part
from harness.contract.data import Dataset, Split
from harness.contract.declared import ask
from harness.contract.evidence import Metric
from harness.contract.remarks import remarks_of
from harness.contract.running import Job, Result
from harness.contract.seeds import derive_seed
from harness.contract.sharing import Shared
from harness.discovery.parts import check_unchanged
from harness.errors import Diverged, HarnessError, StoreUnwritable, Unavailable, interrupts, reason_of
from harness.inference.batches import ran_out_of_memory
from harness.inference.features import FeatureCache, feature_key
from harness.inference.readable import open_readable_split
from harness.long_work import hearing_long_work, take_seconds
from harness.records import provenance
from harness.records.record import Record, make_blank
from harness.records.store import Store, warn_once
from harness.running.devices import (
    make_deterministic,
    pick_device,
    preparing_threads,
    seed_all,
    settle_on_device,
)
from harness.running.logs import CellLog, cell_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

KEPT_SPLITS = 128


@dataclass(frozen=True)
class RunSettings:
    """How cells are run; no setting decides their numbers beyond floating point."""

    store: Path
    device: str = "auto"
    batch_size: int = 64
    workers: int | None = 0
    """Threads that prepare images; None for as many as the cores allow."""
    cache: Path | None = None
    threads: int | None = None
    """This process's share of the cores; None for all."""


class Worker:
    """Runs cells one after another; keeps the model and the splits that the next cells share."""

    def __init__(self, settings: RunSettings, tell: Callable[..., None] = lambda *_, **facts: None) -> None:
        import torch

        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.settings = settings
        self.tell = tell
        self.store = Store(settings.store)
        self.device = pick_device(settings.device)
        cores = settings.threads or os.cpu_count() or 1
        own = settings.workers
        self.workers: int = preparing_threads(self.device, cores) if own is None else own
        self.cache = FeatureCache(settings.cache)
        make_deterministic()
        self.shared = Shared()
        self._model: tuple[str, Any] | None = None
        self._splits: OrderedDict[str, tuple[Split, Sequence[str]]] = OrderedDict()

    def run(self, cell: Cell) -> Record:
        """Run a cell and write its record; only an interrupt is raised."""
        take_seconds()
        with hearing_long_work(lambda what: self.tell("cell_work", cell=cell, what=what)):
            return self._run(cell)

    def _run(self, cell: Cell) -> Record:
        started, clock, before = provenance.now(), time.perf_counter(), self._stamp(cell)
        job = None
        result: Result | None = None
        try:
            seed_all(derive_seed("cell", cell.id))
            job = self._job(cell)
            self._reset_memory()
            result = cell.protocol.object.run(job)
            record = self._build_record(cell, job, result)
        except Unavailable as error:
            record = make_blank(cell, "skipped", str(error))
        except Diverged as error:
            record = make_blank(cell, "diverged", str(error))
        except BaseException as error:  # whatever a cell raises goes into its record; the others continue
            if interrupts(error):
                raise
            status = "oom" if ran_out_of_memory(error) else "failed"
            record = make_blank(cell, status, reason_of(error))
            record.traceback = traceback.format_exc()
            self._model = None if status == "oom" else self._model
        if record.status != "ok" and (made := self._read_if_made_meanwhile(cell, before)):
            return made
        return self._write_record(cell, record, result, job, started, time.perf_counter() - clock)

    def run_group(self, cells: Sequence[Cell]) -> list[Record]:
        """Run cells that differ only in their seed, at once if their protocol can.

        If that fails as a whole, each is run alone, so that one seed can't fail the others.
        """
        protocol = cells[0].protocol.object
        if len(cells) == 1 or ask(protocol, "run_many") is None:
            return [self.run(cell) for cell in cells]
        started, clock = provenance.now(), time.perf_counter()
        take_seconds()
        try:
            with hearing_long_work(lambda what: self.tell("cell_work", cell=cells[0], what=what)):
                seed_all(derive_seed("cell", cells[0].id))
                jobs = [self._job(cell) for cell in cells]
                self._reset_memory()
                results: list[Result] = protocol.run_many(jobs)
            records = [self._build_record(*each) for each in zip(cells, jobs, results, strict=True)]
        except BaseException as error:  # running each alone shows which cell raises it
            if interrupts(error):
                raise
            log.debug("%s with %d seeds at once: %s", cells[0].shown, len(cells), error)
            return [self.run(cell) for cell in cells]
        share = (time.perf_counter() - clock) / len(cells)
        return [
            self._write_record(cell, record, result, job, started, share)
            for cell, record, result, job in zip(cells, records, results, jobs, strict=True)
        ]

    def _stamp(self, cell: Cell) -> tuple[int, int] | None:
        """Return what changes when the cell's record is written; None while there is none."""
        try:
            found = self.store.file("records", cell.id, ".json").stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino

    def _read_if_made_meanwhile(self, cell: Cell, before: tuple[int, int] | None) -> Record | None:
        """Return the ok record of another run that finished the same cell while this one tried, or None.

        Two runs of a cell share its work folder, which the first to finish removes under the other.
        """
        record = self.store.read(cell.id) if self._stamp(cell) != before else None
        return record if record is not None and record.status == "ok" else None

    def _write_record(
        self, cell: Cell, record: Record, result: Result | None, job: Job | None, started: str, seconds: float
    ) -> Record:
        """Complete the record with cost and provenance, and write it with its files; return the record written."""
        record.cost["seconds"] = seconds
        if once := take_seconds():
            record.cost["one_time_seconds"] = once
        record.provenance = {
            "started": started,
            "ended": provenance.now(),
            **provenance.describe_run(cell, self.device, self.settings.batch_size, self.workers),
        }
        record.remark(job.remarks if job is not None else ())
        ok = result is not None and record.status in ("ok", "diverged")
        kept = (result.samples, result.curves, result.images) if ok and result else (None, None, None)
        try:
            Record.from_json(record.to_json(), "the result")  # an unreadable record would be lost
            self.store.write(record, *kept)
        except StoreUnwritable:  # the disk, not the cell: no other record could be written either
            raise
        except Exception as error:  # columns of different lengths, texts in curves, invalid images
            failed = make_blank(cell, "failed", f"the result can't be kept: {reason_of(error)}")
            failed.traceback = traceback.format_exc()
            failed.remark(record.remarks)
            failed.cost, failed.provenance, record = record.cost, record.provenance, failed
            self.store.write(record)
        if job is not None and record.status == "ok":
            shutil.rmtree(job.workdir, ignore_errors=True)
        return record

    def _job(self, cell: Cell) -> Job:
        metrics: Mapping[str, Metric] = {m.label: m.object for m in cell.metrics}
        if problem := next((part.problem for part in cell.parts if part.problem), None):
            raise HarnessError(problem)
        dataset: Dataset = cell.dataset.object
        files = CellLog(cell_folder(self.store.path, cell.shown, cell.id))

        def report(name: str, step: int, values: dict[str, float]) -> None:
            try:
                files.curve(name, step, values)
            except OSError as error:  # a log is for people, and must not fail its cell
                warn_once(f"{files.folder}: curves can't be written: {error.strerror or error}")
            self.tell("cell_curve", cell=cell, name=name, step=step, values=values)

        remarks = list(cell.remarks)

        def opening(data: Part) -> Callable[[str], Split]:
            def split(name: str) -> Split:
                opened, said = self._open_split(data, name, cell.limit)
                new = (f"{data.label}: {text}" for text in said)
                remarks.extend(text for text in new if text not in remarks)
                return opened

            return split

        def show(name: str, step: int, pixels: NDArray[np.uint8]) -> None:
            try:
                path = files.image(name, pixels)
            except OSError as error:  # as above
                warn_once(f"{files.folder}: pictures can't be written: {error.strerror or error}")
                return
            self.tell("cell_image", cell=cell, name=name, step=step, path=path)

        self.shared.belong("dataset", (cell.dataset.identity, cell.limit))
        model = self._load_model(cell)
        return Job(
            cell=cell,
            dataset=dataset,
            model=model,
            method=cell.method.make() if cell.method else None,
            metrics=metrics,
            device=self.device,
            precision=cell.precision,
            batch_size=self.settings.batch_size,
            workers=self.workers,
            cache=self.cache,
            workdir=self.store.path / "work" / cell.id,
            splits=opening(cell.dataset),
            opening=opening,
            loading=self._load_beside,
            kept=self.shared,
            keying=feature_key,
            advance=lambda done, total: self.tell("cell_progress", cell=cell, done=done, total=total),
            report=report,
            show=show,
            remarks=remarks,
        )

    def _load_model(self, cell: Cell) -> Any:
        """Return the cell's model, loaded once for the cells that share it.

        A protocol that changes its model (fine-tuning) says `fresh_model = True` and gets a new one.
        A shared model is seeded from its own identity, so its random weights do not depend on which cell
        runs first.
        """
        if cell.model is None:
            return None
        fresh = ask(cell.protocol.object, "fresh_model")
        if self._model is not None and self._model[0] == cell.model.identity and not fresh:
            return self._model[1]
        self._model = None  # released first, so that both need not fit into memory
        self.shared.belong("model", None)
        check_unchanged(cell.model)
        if not fresh:
            seed_all(derive_seed("model", cell.model.identity))
        model = self._make_model(cell.model, frozen=not fresh)
        if not fresh:
            self._model = (cell.model.identity, model)
            seed_all(derive_seed("cell", cell.id))
        self.shared.belong("model", id(model))
        return model

    def _load_beside(self, part: Part) -> Any:
        """Return a model that an option names, loaded and frozen once per worker."""

        def make() -> Any:
            import torch

            check_unchanged(part)
            devices = [self.device] if self.device.type == "cuda" else []
            with torch.random.fork_rng(devices):
                torch.manual_seed(derive_seed("model", part.identity))
                return self._make_model(part, frozen=True)

        return self.shared.get("worker", ("model", part.identity), make)

    def _make_model(self, part: Part, frozen: bool) -> Any:
        """Build a model and load it on the device; if `frozen`, set it for evaluation only."""
        model = part.make()
        if ask(model, "load") is not None:
            model.load(self.device)
        if ask(model, "module") is not None and frozen:
            settle_on_device(model.module, self.device)
        return model

    def _open_split(self, data: Part, name: str, limit: int | None) -> tuple[Split, Sequence[str]]:
        """Return a split of a data set as the run asks for it, and its remarks."""
        key = f"{data.identity}\n{name}\n{limit}"
        if key in self._splits:
            self._splits.move_to_end(key)
            return self._splits[key]
        check_unchanged(data)
        self._splits[key] = open_readable_split(data, name, limit, self.workers, self.cache)
        while len(self._splits) > KEPT_SPLITS:
            self._splits.popitem(last=False)
        return self._splits[key]

    def _build_record(self, cell: Cell, job: Job, result: Result) -> Record:
        if not isinstance(result, Result):
            raise HarnessError(
                f"protocol '{cell.protocol.plugin}' of {cell.protocol.distribution} returned {result!r:.80}: "
                "expected a Result"
            )
        if result.status not in ("ok", "diverged"):
            raise HarnessError(
                f"protocol '{cell.protocol.plugin}' of {cell.protocol.distribution} returned the status "
                f"{result.status!r}: expected 'ok' or 'diverged'"
            )
        if job.failures and not result.metrics:
            raise next(iter(job.failures.values()))
        record = make_blank(cell, result.status, result.reason)
        record.metrics = _to_floats(result.metrics, "metric")
        for name in record.metrics:
            own, units = (ask(cell.protocol.object, what) for what in ("directions", "units"))
            metric = _find_metric(name, job.metrics, {**own, **units})
            stated = ask(metric, "higher_is_better")
            record.directions[name] = bool(own.get(name, True) if stated is None else stated)
            unit = ask(metric, "unit") or units.get(name)
            if unit:
                record.units[name] = unit
            values = result.samples.get(name) if result.samples else None
            if (
                _is_share(record.metrics[name], values)
                if values is not None
                else _is_proportion(name, metric, job.metrics, result)
            ):
                record.binary.append(name)
        record.count = result.count
        record.cost = {
            **_count_parameters(job.model),
            **_to_floats(result.cost, "cost"),
            **self._measure_memory(),
        }
        record.notes = {**record.notes, **result.notes}
        if job.failures:
            record.failures = {name: str(failure) for name, failure in job.failures.items()}
            record.traceback = "\n".join("".join(format_exception(f)) for f in job.failures.values())
        if cell.model is not None:
            job.remarks.extend(f"{cell.model.label}: {text}" for text in remarks_of(job.model))
        return record

    def _reset_memory(self) -> None:
        if self.device.type == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats(self.device)

    def _measure_memory(self) -> dict[str, float]:
        """Return peak memory: allocated and reserved on CUDA; of the whole process, so far, on a CPU."""
        if self.device.type == "cuda":
            import torch

            return {
                "peak_memory": torch.cuda.max_memory_allocated(self.device),
                "peak_memory_reserved": torch.cuda.max_memory_reserved(self.device),
            }
        try:
            import resource
        except ImportError:  # not on Windows
            return {}
        import sys

        unit = 1 if sys.platform == "darwin" else 1024
        return {"peak_process_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}


def _find_metric(name: str, metrics: Mapping[str, Metric], facts: Mapping[str, Any]) -> Metric | None:
    """Return the metric behind a number's name; None for the protocol's own numbers.

    A metric with several numbers calls them `<its label>.<key>`, or `<its label><anything>` as it likes.
    """
    near = [label for label in metrics if name.startswith(label)] if name not in facts else []
    longest = max(near, key=len, default="")
    return metrics.get(name) or metrics.get(name.partition(".")[0]) or metrics.get(longest)


def _is_proportion(name: str, metric: Metric | None, metrics: Mapping[str, Metric], result: Result) -> bool:
    """Return whether a number is a proportion of the counted samples, as its metric declares.

    A count that can't have led to the number belongs to something else.
    """
    declared: Any = ask(metric, "proportion")
    label = next((label for label, one in metrics.items() if one is metric), None)
    keys = [label] if declared is True else [f"{label}.{key}" for key in declared or ()]
    if name not in keys or not result.count:
        return False
    hits = float(result.metrics[name]) * result.count
    return 0 <= hits <= result.count and abs(hits - round(hits)) <= 1e-3 + 1e-6 * result.count


def _is_share(number: float, values: Any) -> bool:
    """Return whether the number is the mean of these values by sample, all of them zeros and ones."""
    try:
        given = [float(v) for v in values]
    except (TypeError, ValueError):  # several for each sample, or texts
        return False
    return bool(given) and set(given) <= {0.0, 1.0} and abs(sum(given) / len(given) - number) <= 1e-6


def _to_floats(values: Mapping[str, Any], what: str) -> dict[str, float]:
    """Return the values as floats. Raises HarnessError naming one that is not a number."""
    numbers = {}
    for name, value in values.items():
        try:
            numbers[name] = float(value)
        except (TypeError, ValueError, OverflowError):
            raise HarnessError(f"the protocol's {what} '{name}' is {value!r:.80}, not a number") from None
    return numbers


def _count_parameters(model: Any) -> dict[str, float]:
    if ask(model, "module") is None:
        return {}
    parameters = list(model.module.parameters())
    return {
        "parameters": sum(p.numel() for p in parameters),
        "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
    }
