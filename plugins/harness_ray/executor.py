"""The executor that spreads cells over actors of a Ray cluster, or of this machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from harness import Cell, Record
from harness.errors import HarnessError, OptionError
from harness.records.store import Store
from harness.running.claims import Claims
from harness.running.executors.chunks import make_chunks, spread_chunks
from harness.running.executors.dispatcher import Dispatcher
from harness.running.executors.processes import check_installed
from harness.running.worker import RunSettings, open_claims
from harness_ray.cluster import (
    Share,
    check_room,
    connect,
    count_actors,
    count_gpus,
    disconnect,
    explain_missing,
)
from harness_ray.setup import make_setup
from harness_ray.slots import ActorPlace


class Ray:
    """Cells in actors of a Ray cluster. They stay for the next run with the same settings, until `close`.

    Args:
        count: number of actors, at least 1; by default as many as the cluster has room for.
        address: the cluster's, as HOST:PORT, or `auto` on one of its nodes; by default a new one on this machine.
        gpus: GPUs per actor, also 0.5 for two actors on one; by default 1 where the cluster has any, unless the
            device is cpu.
        cpus: CPUs per actor, which is also its number of threads.
        retries: how often a cell is tried again whose worker died.
        shared: whether all nodes see the store's folder; by default each looks.
    """

    def __init__(
        self,
        count: int | None = None,
        address: str | None = None,
        gpus: float | None = None,
        cpus: float = 1.0,
        retries: int = 1,
        shared: bool | None = None,
    ) -> None:
        self.count, self.address, self.gpus, self.cpus = count, address, gpus, cpus
        self.retries, self.shared = retries, shared
        if count is not None and count < 1:
            raise OptionError(f"executor ray: count must be at least 1, found {count}")
        if retries < 0:
            raise OptionError(f"executor ray: retries must be at least 0, found {retries}")
        if address is not None and (not address.strip() or "://" in address):
            raise OptionError(
                f"executor ray: address '{address}': expected HOST:PORT or auto; run the command on a node of the cluster"
            )
        for name, number in (("cpus", cpus), ("gpus", gpus or 0.0)):
            if not 0 <= number < math.inf or (number > 1 and number != int(number)):
                raise OptionError(
                    f"executor ray: {name} must be a whole number or a fraction below 1, found {number:g}"
                )
        if cpus == 0 and not gpus:
            raise OptionError("executor ray: cpus must be above 0 where gpus is not, found 0")
        self._connected = False
        self._started: tuple[ActorPlace, Dispatcher] | None = None
        self._claims: Claims | None = None

    def unavailable(self) -> str | None:
        """Return how to install Ray if it is not there, else None."""
        return explain_missing()

    def execute(
        self, cells: Sequence[Cell], settings: RunSettings, tell: Callable[..., None]
    ) -> Iterator[tuple[Cell, Record]]:
        """Run the cells; yield each with its record when finished, in no fixed order; `tell` hears all events.

        Raises HarnessError if there is no cluster, if no actor starts, or if a node has other versions of the plugins.
        """
        check_installed(cells)
        if connect(self.address, math.ceil(self.count * self.cpus) if self.count else None):
            self._connected = True
        share, device = self._choose_share(settings.device)
        if self.address is None and self._connected:
            check_room(share)
        count = self.count or count_actors(share)
        threads = settings.threads or max(1, int(share.cpus))
        setup = make_setup(replace(settings, device=device, threads=threads, cell_timeout=None), self.shared)
        if self._started is None or (self._started[0].setup, self._started[0].count) != (setup, count):
            self._end_actors()
            self._claims = open_claims(setup.settings)
            place = ActorPlace(count, setup, share, self._claims, threads)
            self._started = (place, Dispatcher(place, tries=self.retries + 1))
        since = Store(settings.store).read_clock()
        chunks = spread_chunks(make_chunks(cells, max(1, len(cells) // (16 * count))))
        finished = False
        try:
            yield from self._started[1].run(
                chunks, settings.store, tell, since=since, cell_timeout=settings.cell_timeout
            )
            finished = True
        finally:
            if not finished:  # interrupted: nobody waits for the cells in flight
                self._end_actors()

    def close(self) -> None:
        """End the actors, and the cluster if it was started here."""
        self._end_actors()
        if self._connected:
            disconnect()
            self._connected = False

    def _end_actors(self) -> None:
        if self._started is not None:
            self._started[1].close()
            self._started = None
        if self._claims is not None:
            self._claims.close()
            self._claims = None

    def _choose_share(self, device: str) -> tuple[Share, str]:
        """Return what each actor takes of its node, and the device that it uses. Raises HarnessError if they don't fit.

        Ray shows an actor its own GPUs, but one without GPUs all that there are: so that has to be kept to the CPU.
        """
        kind, _, index = device.partition(":")
        if index:
            raise HarnessError(f"executor ray: device '{device}': Ray chooses the GPU; expected {kind}")
        gpus = self.gpus
        if gpus is None:
            gpus = 1.0 if kind == "cuda" or (kind == "auto" and count_gpus() > 0) else 0.0
        if kind == "cuda" and not gpus:
            raise HarnessError(
                "executor ray: device 'cuda' needs GPUs per actor, as in ray?gpus=1, found gpus=0"
            )
        if kind == "cpu" and gpus:
            raise HarnessError(
                f"executor ray: device 'cpu' needs no GPUs, found gpus={gpus:g}; leave that out"
            )
        if kind == "auto":
            device = "cuda" if gpus else "cpu"
        return Share(self.cpus, gpus), device
