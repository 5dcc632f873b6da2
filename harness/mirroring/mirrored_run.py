"""A run whose store is mirrored: fetched before it is planned, put record by record, and waited for at its end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.errors import interrupts
from harness.mirroring.layout import suite_name
from harness.mirroring.mirror import AT_INTERRUPT, Fetched, Mirror, describe_left
from harness.mirroring.remote_records import wait_for_puts
from harness.records.store import warn_once
from harness.running.hooks import hookimpl

if TYPE_CHECKING:
    from harness.contract.cells import Cell
    from harness.planning.plan import Plan
    from harness.records.store import Store

log = logging.getLogger("harness")


class MirrorListener:
    """Puts the plan when a run starts, and notes which cells are finished: workers put their records themselves."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self.finished: set[str] = set()

    @hookimpl
    def run_started(self, plan: Plan) -> None:
        """Put the plan."""
        self._mirror.put(suite_name(plan.suite.name))

    @hookimpl
    def cell_finished(self, cell: Cell) -> None:
        """Note the cell."""
        self.finished.add(cell.id)


@dataclass
class Mirroring:
    """What a run needs of its mirror: listeners that put what it makes; at the end, how many objects were not put."""

    listeners: list[object] = field(default_factory=list)
    not_put: int = 0


@contextmanager
def mirroring(
    store: Store, url: str | None, say: Callable[[str], None] = lambda text: None
) -> Iterator[Mirroring]:
    """Fetch what the store lacks, and mirror what runs inside the block; nothing is done without a bucket.

    At the end, put what workers could not (killed ones, say), and wait until all is put. `say` is given a line on what
    was fetched, and on what is waited for.
    Contradictions, and what could not be put, are logged as warnings.

    Raises Unavailable, BucketError or StoreUnwritable before anything runs.
    """
    if url is None:
        yield Mirroring()
        return
    mirror = Mirror(store, url)
    fetched = mirror.fetch()
    for text in (*fetched.conflicts, *fetched.unreadable, *fetched.notes):
        log.warning("harness: %s", text)
    for name in fetched.to_put:
        mirror.put(name)
    if told := describe_fetch(url, fetched):
        say(told)
    listener, interrupted = MirrorListener(mirror), False
    made = Mirroring([listener])
    try:
        yield made
    except BaseException as error:
        interrupted = interrupts(error)
        raise
    finally:
        show = _counting(url, say)
        wait_for_puts(AT_INTERRUPT if interrupted else None, show)
        mirror.sweep(listener.finished)
        left = mirror.finish(interrupted, show)
        made.not_put = len(left)
        for text in mirror.told:
            warn_once(text)  # a worker in this process may have said so
        if left:
            log.warning("harness: %s", describe_left(url, left))


def describe_fetch(url: str, fetched: Fetched) -> str:
    """Return a line on what a fetch did; empty if both sides were alike.

    >>> describe_fetch("s3://b/x", Fetched(to_put=["records/01/0123456789.json"]))
    's3://b/x: 1 record or plan to put'
    """
    count = len(fetched.to_put)
    parts = [f"{fetched.taken} records fetched"] if fetched.taken else []
    parts += (
        [f"{count} records and plans to put" if count > 1 else "1 record or plan to put"] if count else []
    )
    return f"{url}: {', '.join(parts)}" if parts else ""


def _counting(url: str, say: Callable[[str], None]) -> Callable[[int], None]:
    """Return what says once that the end is waited for."""
    said = False

    def show(left: int) -> None:
        nonlocal said
        if not said:
            say(f"{url}: waiting until {left} records and plans are put")
        said = True

    return show
