"""Files of a store that travel with the records, from a node without the driver's file system."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import Cell, Record
from harness.errors import StoreError
from harness.records.files import TEMPORARY_PREFIX, write_bytes
from harness.records.store import Store
from harness.running.executors.channel import RECORD, Event, Sender

STAY = ("records", "leases", "running", "work")
"""Folders whose files stay: a record travels as such, the rest concerns its own process alone."""

FILES, PICTURE = "files", "content"
"""Names under which contents travel: with a record, and with an event that shows a picture."""


class CarryingSender(Sender):
    """A sender whose records and pictures take their files along."""

    def __init__(self, send: Any, store: Path) -> None:
        super().__init__(send)
        self.store = store

    def __call__(self, event: str, *, cell: Cell, **facts: Any) -> None:
        """Keep an event for the next batch; a picture's file may be replaced before that leaves."""
        path = facts.get("path")
        if event == "cell_image" and isinstance(path, Path):
            facts |= {"path": path.relative_to(self.store).as_posix(), PICTURE: path.read_bytes()}
        super().__call__(event, cell=cell, **facts)

    def record(self, cell: Cell, record: Record) -> None:
        """Send what waits, and the record with all files that lie in the store, which are removed here."""
        self.say(RECORD, cell.id, record=record.to_json(), **{FILES: take_files(self.store)})
        Store(self.store).remove(record.id)


def take_files(store: Path) -> dict[str, bytes]:
    """Return the contents of a store's files by their relative paths, and remove them."""
    found: dict[str, bytes] = {}
    for folder in (path for path in store.iterdir() if path.name not in STAY and path.is_dir()):
        for path in folder.rglob("*"):
            if path.is_file() and not path.name.startswith(TEMPORARY_PREFIX):
                found[path.relative_to(store).as_posix()] = path.read_bytes()
        shutil.rmtree(folder)
    return found


def settle_events(events: Sequence[Event], store: Store) -> list[Event]:
    """Write what travelled with events into the store, records last; return the events as if they came from there.

    Raises StoreUnwritable if the disk refuses it, StoreError for a path that leaves the store.
    """
    settled: list[Event] = []
    for name, id, facts in events:
        facts = dict(facts)
        with store.writing():
            if PICTURE in facts:
                path = place_of(store, facts["path"])
                write_bytes(path, facts.pop(PICTURE))
                facts["path"] = path
            if name == RECORD:
                _write_files(store, facts.pop(FILES, {}))
                write_bytes(store.file("records", id, ".json"), facts["record"])
        settled.append((name, id, facts))
    return settled


def place_of(store: Store, relative: str) -> Path:
    """Return where a file that travelled belongs. Raises StoreError for a path that leaves the store."""
    path = Path(relative)
    if path.is_absolute() or ".." in path.parts or not path.parts or path.parts[0] in STAY:
        raise StoreError(f"{store.path}: '{relative[:80]}' is no place for a record's file")
    return store.path / path


def _write_files(store: Store, files: Mapping[str, bytes]) -> None:
    for relative, content in files.items():
        write_bytes(place_of(store, relative), content)
