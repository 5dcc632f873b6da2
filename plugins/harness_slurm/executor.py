"""The executor `slurm`: its options, and what a run needs before its driver begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.errors import HarnessError, OptionError
from harness_slurm.commands import find_missing
from harness_slurm.submission import Allotment, Request

if TYPE_CHECKING:
    from harness.contract.cells import Cell
    from harness.records.record import Record
    from harness.running.worker import RunSettings


class Slurm:
    """Cells in jobs of a Slurm cluster whose nodes share the store, submitted and watched from a login node.

    Whatever ends this command, the jobs go on, and the same command attaches to them.

    Args:
        jobs: jobs that run at once.
        per_job: cells per job; by default an equal share of few cells, and at least 8 of many, since a job's
            start takes seconds. Give more if a cell takes less than a minute.
        minutes: time limit of a job; by default the partition's.
        partition: partition of the cluster; by default the cluster's.
        account: account that is charged; by default the user's.
        gpus: GPUs per job, as a number or with a type as in a100:1; each has a worker of its own.
        cpus: CPUs per job; by default one.
        memory: main memory per job, as in 16G; by default the partition's.
        extra: further arguments of sbatch, as in --qos=long.
        wait: whether to wait for the results; else the command ends once the jobs are submitted.
    """

    def __init__(
        self,
        jobs: int = 8,
        per_job: int | None = None,
        minutes: int | None = None,
        partition: str | None = None,
        account: str | None = None,
        gpus: int | str | None = None,
        cpus: int | None = None,
        memory: str | int | None = None,
        extra: str = "",
        wait: bool = True,
    ) -> None:
        for name, value in (("jobs", jobs), ("per_job", per_job)):
            if value is not None and value < 1:
                raise OptionError(f"executor slurm: {name} must be at least 1, found {value}")
        size = None if memory is None else str(memory)
        request = Request(minutes, partition, account, gpus, cpus, size, extra)
        request.check()
        self.allotment = Allotment(jobs, per_job, request)
        self.wait = wait

    def unavailable(self) -> str | None:
        """Return what is missing for the submission of jobs, or None."""
        return find_missing()

    def execute(
        self, cells: Sequence[Cell], settings: RunSettings, tell: Callable[..., None]
    ) -> Iterator[tuple[Cell, Record]]:
        """Run the cells in jobs; yield each with its record. Raises Detached if it ends while jobs go on.

        Raises HarnessError if jobs can't be submitted, or a plugin exists in this process only.
        """
        from harness.running.executors.processes import check_installed
        from harness_slurm.driver import Driver

        if missing := find_missing():
            raise HarnessError(f"executor slurm: {missing}")
        check_installed(cells)
        cache = None if settings.cache is None else settings.cache.absolute()
        settings = replace(settings, store=settings.store.absolute(), cache=cache)
        yield from Driver(cells, settings, tell, self.allotment).run(self.wait)
