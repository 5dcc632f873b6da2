"""Running of one cell: loading what it needs, measuring, and writing its record whatever happens."""

from __future__ import annotations

import logging
import os
import shutil
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.contract.cells import Cell, Part
from harness.contract.data import Dataset, Split
from harness.contract.declared import ask
from harness.contract.evidence import Metric
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
from harness.records.leases import Holder
from harness.records.record import Record, make_blank
from harness.records.store import Store, warn_once
from harness.running.claims import FIRST_PAUSE, LONGEST_PAUSE, Claims
from harness.running.devices import (
    make_deterministic,
    pick_device,
    preparing_threads,
    seed_all,
    settle_on_device,
)
from harness.running.logs import CellLog, cell_folder
from harness.running.record_building import build_record
from harness.running.remeasuring import measure_kept

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.mirroring.remote_features import RemoteFeatures
    from harness.mirroring.remote_records import RemoteRecords

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
    fresh: bool = False
    """Run also what could be computed from the evidence that an earlier run kept."""
    cell_timeout: float | None = None
    """Seconds that a cell may take, which the executor sees to; None for any time."""
    remote: str | None = None
    """The address of the bucket that mirrors the store, checked."""


class Worker:
    """Runs cells one after another; keeps the model and the splits that the next cells share."""

    def __init__(
        self,
        settings: RunSettings,
        tell: Callable[..., None] = lambda *_, **facts: None,
        claims: Claims | None = None,
    ) -> None:
        """Prepare a process; `claims` are by default those of the store and its bucket."""
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
        self.cache = FeatureCache(settings.cache, remote=_open_features(settings))
        make_deterministic()
        self.shared = Shared()
        self.claims = open_claims(settings) if claims is None else claims
        self._model: tuple[str, Any] | None = None
        self._splits: OrderedDict[str, tuple[Split, Sequence[str]]] = OrderedDict()

    def run(self, cell: Cell) -> Record:
        """Run a cell, or measure the evidence that an earlier run kept, and write its record; only an interrupt is raised."""
        return self._measure_kept(cell) or self._run(cell)

    def _measure_kept(self, cell: Cell) -> Record | None:
        """Return the record of a cell whose metrics could be computed from kept evidence, else None."""
        if self.settings.fresh:
            return None
        return measure_kept(cell, self.store, self._job_without_model)

    def _run(self, cell: Cell) -> Record:
        take_seconds()
        with hearing_long_work(lambda what: self.tell("cell_work", cell=cell, what=what)):
            return self._run_alone(cell)

    def _run_alone(self, cell: Cell) -> Record:
        started, clock, before = provenance.now(), time.perf_counter(), self._stamp(cell)
        job = None
        result: Result | None = None
        try:
            seed_all(derive_seed("cell", cell.id))
            job = self._job(cell)
            self._reset_memory()
            result = cell.protocol.object.run(job)
            record = build_record(cell, job, result)
            record.cost |= self._measure_memory()
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
        """Run cells that differ only in their seed, at once if their protocol can; return their records.

        If that fails as a whole, each is run alone, so that one seed can't fail the others. Cells that another
        run is at are waited for.
        """
        answers = dict(zip([cell.id for cell in cells], self.try_group(cells), strict=True))
        pause = FIRST_PAUSE
        while held := [cell for cell in cells if not isinstance(answers[cell.id], Record)]:
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            answers |= zip([cell.id for cell in held], self.try_group(held), strict=True)
        return [answer for cell in cells if isinstance(answer := answers[cell.id], Record)]

    def try_group(
        self, cells: Sequence[Cell], begin: Callable[[Sequence[Cell]], None] = lambda cells: None
    ) -> list[Record | Holder]:
        """Run cells as `run_group` does, but for those that another run is at: return who that is in their place.

        `begin` hears which cells are about to run. A cell that another run has finished since this one began
        is not run again; its record is returned.
        """
        answers: dict[str, Record | Holder | None] = {cell.id: self.claims.take(cell) for cell in cells}
        mine = [cell for cell in cells if answers[cell.id] is None]
        try:
            if mine:
                begin(mine)
                answers |= zip([cell.id for cell in mine], self._measure_or_run(mine), strict=True)
        finally:
            for cell in mine:
                self.claims.give(cell)
        return [answer for cell in cells if (answer := answers[cell.id]) is not None]

    def _measure_or_run(self, cells: Sequence[Cell]) -> list[Record]:
        measured = {cell.id: record for cell in cells if (record := self._measure_kept(cell))}
        left = [cell for cell in cells if cell.id not in measured]
        ran = dict(zip([cell.id for cell in left], self._run_group(left) if left else (), strict=True))
        return [measured.get(cell.id) or ran[cell.id] for cell in cells]

    def _run_group(self, cells: Sequence[Cell]) -> list[Record]:
        protocol = cells[0].protocol.object
        if len(cells) == 1 or ask(protocol, "run_many") is None:
            return [self._run(cell) for cell in cells]
        started, clock = provenance.now(), time.perf_counter()
        take_seconds()
        try:
            with hearing_long_work(lambda what: self.tell("cell_work", cell=cells[0], what=what)):
                seed_all(derive_seed("cell", cells[0].id))
                jobs = [self._job(cell) for cell in cells]
                self._reset_memory()
                results: list[Result] = protocol.run_many(jobs)
            records = [build_record(*each) for each in zip(cells, jobs, results, strict=True)]
            for record in records:
                record.cost |= self._measure_memory()
        except BaseException as error:  # running each alone shows which cell raises it
            if interrupts(error):
                raise
            log.debug("%s with %d seeds at once: %s", cells[0].shown, len(cells), error)
            return [self._run(cell) for cell in cells]
        share = (time.perf_counter() - clock) / len(cells)
        return [
            self._write_record(cell, record, result, job, started, share)
            for cell, record, result, job in zip(cells, records, results, jobs, strict=True)
        ]

    def warm(self, cell: Cell, wanted: Callable[[], bool] = lambda: False) -> bool:
        """Compute what a cell that runs or waits elsewhere will ask for from the feature cache.

        Nothing is told or recorded, and whatever goes wrong is the cell's own to report. Once `wanted()` says that
        others need this worker, it returns after the block at hand (`harness.inference.blocks`). Return whether all
        is there; False also if the protocol declares no `warm`.
        """
        protocol = cell.protocol.object
        if ask(protocol, "warm") is None or wanted():
            return False

        def ignore(*_: object) -> None:
            pass

        try:
            with self.cache.stopping_when(wanted):
                seed_all(derive_seed("cell", cell.id))
                job = self._job(cell)
                protocol.warm(replace(job, wanted=wanted, advance=ignore, report=ignore, show=ignore))
        except BaseException as error:
            if interrupts(error):
                raise
            log.debug("%s can't be prepared: %s", cell.shown, reason_of(error))
            return False
        return True

    def close(self) -> None:
        """Give back the leases of cells that it leaves undone; from any thread."""
        self.claims.close()

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
            "evidence": cell.evidence_id,
        }
        record.remark(job.remarks if job is not None else ())
        ok = result is not None and record.status in ("ok", "diverged")
        samples, curves, images, resamples = (
            (result.samples, result.curves, result.images, result.resamples)
            if ok and result
            else (None, None, None, None)
        )
        evidence = result.evidence if result is not None and record.status == "ok" else None
        try:
            Record.from_json(record.to_json(), "the result")  # an unreadable record would be lost
            self.store.write(record, samples, curves, images, evidence, resamples)
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
        """Return the job of a cell, with its model loaded."""
        job = self._job_without_model(cell)
        self.shared.belong("dataset", (cell.dataset.identity, cell.limit))
        job.model = self._load_model(cell)
        job.method = cell.method.make() if cell.method else None
        return job

    def _job_without_model(self, cell: Cell) -> Job:
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

        return Job(
            cell=cell,
            dataset=dataset,
            model=None,
            method=None,
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


def _open_features(settings: RunSettings) -> RemoteFeatures | None:
    """Return the feature files of the run's bucket, if it has one."""
    if settings.remote is None:
        return None
    from harness.mirroring.remote_features import RemoteFeatures

    return RemoteFeatures(settings.remote)


def open_claims(settings: RunSettings) -> Claims:
    """Return the claims of one worker on the cells of a store, and of its bucket if the run has one."""
    store = Store(settings.store)
    return Claims(store, settings.fresh, _open_records(settings, store))


def _open_records(settings: RunSettings, store: Store) -> RemoteRecords | None:
    """Return the records of the run's bucket, if it has one."""
    if settings.remote is None:
        return None
    from harness.mirroring.remote_records import RemoteRecords

    return RemoteRecords(store, settings.remote)
