"""What runs in a slot's worker, wherever that is: the cells it gets, and what it tells about them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from contextlib import suppress

from harness.contract.cells import Cell
from harness.errors import HarnessError, reason_of
from harness.planning.grouping import seed_groups
from harness.records.record import Record
from harness.running.executors.channel import ELSEWHERE, HALT, IDLE, TROUBLE, Sender
from harness.running.worker import Worker

log = logging.getLogger(__name__)


def run_cells(worker: Worker, sender: Sender, cells: Sequence[Cell], since: int) -> None:
    """Run cells in order; send for each its record, or who else is at it, and at last that the worker is idle.

    The start of cells is sent at once, so that whoever waits knows which were running when a worker died. Cells
    fail without raising: an error of the harness, as for a full disk, would meet every other cell, too, and is sent
    as such; anything else (a plugin that asks to stop) ends the process.
    """
    worker.claims.since = since

    def begin(started: Sequence[Cell]) -> None:
        for cell in started:
            sender("cell_started", cell=cell)
        sender.flush()

    try:
        for group in seed_groups(cells):
            for cell, answer in zip(group, worker.try_group(group, begin), strict=True):
                if isinstance(answer, Record):
                    sender.record(cell, answer)
                else:
                    sender.say(ELSEWHERE, cell.id, holder=str(answer))
        sender.say(IDLE)
    except HarnessError as error:
        sender.say(HALT, reason=str(error))
    except BaseException as error:
        log.debug("a worker ends", exc_info=True)
        with suppress(OSError):  # where it is the pipe that fails
            sender.say(TROUBLE, reason=reason_of(error))
        sys.exit(1)
