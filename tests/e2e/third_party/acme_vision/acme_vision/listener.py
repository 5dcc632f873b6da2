"""A listener that writes down the events it gets, and fails at one of them when told to."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from harness import hookimpl


class EventLog:
    """Appends one JSON line per event to the file `ACME_EVENTS`; raises at the event `ACME_RAISE`."""

    def _note(self, event: str, **facts: Any) -> None:
        if os.environ.get("ACME_RAISE") == event:
            raise RuntimeError(f"acme does not like {event}")
        if place := os.environ.get("ACME_EVENTS"):
            with Path(place).open("a", encoding="utf-8") as file:
                file.write(json.dumps({"event": event, **facts}) + "\n")

    @hookimpl
    def run_started(self, plan: Any) -> None:
        self._note("run_started", cells=len(plan))

    @hookimpl
    def cell_started(self, cell: Any, position: int, total: int) -> None:
        self._note("cell_started", id=cell.id, position=position, total=total)

    @hookimpl
    def cell_progress(self, done: int, total: int) -> None:
        self._note("cell_progress", done=done, total=total)

    @hookimpl
    def cell_finished(self, record: Any) -> None:
        self._note("cell_finished", id=record.id, status=record.status)

    @hookimpl
    def run_finished(self, records: Any) -> None:
        self._note("run_finished", records=len(records))
