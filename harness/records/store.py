"""The store: a folder with one whole JSON file per record, and what belongs to it beside it.

<store>/records/<2 digits>/<id>.json      the record; written last, so it is the commit
<store>/samples/<2 digits>/<id>.parquet   one row per test sample
<store>/curves/<2 digits>/<id>.parquet    named series in long form
<store>/images/<2 digits>/<id>/<name>.png
<store>/evidence/<2 digits>/<evidence id>.npz  what the metrics were computed from (evidence_files.py)
<store>/suites/<suite>.json               the suite as last planned here, and its cells
<store>/logs/<cell>-<8 digits>/           curves and pictures of running trainings (logs.py)
<store>/running/<run>.json                the cells of a run under way (under_way.py)
<store>/slurm/<name>/                     a job array: its note, its logs (plugins/harness_slurm)
<store>/mirrors/<digest>.json             what a bucket has of all this (harness/mirroring/agreement.py)
<store>/leases/<id>.lease                 which worker is at a cell (leases.py)
<store>/index.parquet                     made from the records; can be deleted at any time
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import orjson

from harness.errors import NewerRecord, StoreError, StoreUnwritable
from harness.records.evidence_files import Evidence, read_header, write_evidence
from harness.records.files import (
    FULL,
    TEMPORARY_PREFIX,
    clear_partial,
    count_bytes,
    replacing,
    write_bytes,
    write_many,
)
from harness.records.index import list_done
from harness.records.parquet_columns import read_parquet
from harness.records.record import Record, write_json

log = logging.getLogger("harness")

ID = re.compile(r"[0-9a-f]{8,64}")
SUITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(@[A-Za-z0-9][A-Za-z0-9._-]*)?")

_warned: Counter[str] = Counter()


def warn_once(text: str) -> None:
    """Log a warning, once for each text in a process."""
    _warned[text] += 1
    if _warned[text] == 1:
        log.warning("harness: %s", text)


def count_warnings() -> int:
    """Return how many times `warn_once` was called in this process, also for texts logged before."""
    return _warned.total()


TABLES = ("samples", "curves", "resamples")
"""Kinds of Parquet files beside a record."""


class Store:
    """Records in a folder. Several processes may write to it at once."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise StoreError(f"{self.path}: not a folder, so no store")

    def file(self, kind: str, id: str, suffix: str) -> Path:
        """Return the path of a record's file. Raises StoreError for ids that could leave the store's folder."""
        if not ID.fullmatch(id):
            raise StoreError(f"{self.path}: '{id[:80]}' is not a record id")
        return self.path / kind / id[:2] / f"{id}{suffix}"

    def write(
        self,
        record: Record,
        samples: Mapping[str, Any] | None = None,
        curves: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
        images: Mapping[str, Any] | None = None,
        evidence: Mapping[str, Any] | None = None,
        resamples: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the files beside the record, then the record itself, each whole or not at all.

        `evidence` is kept under the id in the record's provenance. Raises StoreUnwritable if the disk refuses them.
        """
        record.files = []
        with self.writing():
            if evidence is not None:
                write_evidence(self.file("evidence", record.provenance["evidence"], ".npz"), record, evidence)
            if samples:
                _write_table(self.file("samples", record.id, ".parquet"), samples)
                record.files.append("samples")
            if curves:
                _write_table(self.file("curves", record.id, ".parquet"), _to_long_form(curves))
                record.files.append("curves")
            self._write_resamples(record, resamples)
            if images:
                _write_images(self.file("images", record.id, ""), images)
                record.files.append("images")
            write_bytes(self.file("records", record.id, ".json"), record.to_json())

    def _write_resamples(self, record: Record, resamples: Mapping[str, Any] | None) -> None:
        if resamples:
            _write_table(self.file("resamples", record.id, ".parquet"), resamples)
            record.files.append("resamples")

    def write_all(self, records: Iterable[tuple[Record, Mapping[str, Any]]]) -> None:
        """Write many records, each with its samples, as `write` does for one, but faster.

        Raises StoreUnwritable if the disk refuses them; those before are then written.
        """
        with self.writing():
            write_many(self._write_beside(record, samples) for record, samples in records)

    def _write_beside(self, record: Record, samples: Mapping[str, Any]) -> tuple[Path, bytes]:
        """Write a record's samples, and return path and content of the record itself."""
        record.files = ["samples"] if samples else []
        if samples:
            _write_table(self.file("samples", record.id, ".parquet"), samples)
        return self.file("records", record.id, ".json"), record.to_json()

    def write_measured(
        self,
        record: Record,
        samples: Mapping[str, Any] | None,
        origin: str,
        resamples: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a record whose metrics were computed from the evidence of another, with copies of its files.

        Raises StoreUnwritable if the disk refuses them.
        """
        record.files = ["samples"] if samples else []
        with self.writing():
            if samples:
                _write_table(self.file("samples", record.id, ".parquet"), samples)
            self._write_resamples(record, resamples)
            curves = self.file("curves", origin, ".parquet")
            if curves.is_file():
                write_bytes(self.file("curves", record.id, ".parquet"), curves.read_bytes())
                record.files.append("curves")
            for image in (images := self.images(origin)):
                write_bytes(self.file("images", record.id, "") / image.name, image.read_bytes())
            record.files += ["images"] if images else []
            write_bytes(self.file("records", record.id, ".json"), record.to_json())

    def find_evidence(self, evidence_id: str) -> tuple[Evidence, Record] | None:
        """Return the evidence (or why it was not kept) and the record whose metrics were computed from it.

        None if the store has none, or if the record is not ok, or of another run than the evidence.
        """
        found = read_header(self.file("evidence", evidence_id, ".npz"))
        record = None if found is None or not ID.fullmatch(found.record) else self.read(found.record)
        if found is None or record is None or record.status != "ok":
            return None
        return (found, record) if record.provenance.get("started") == found.started else None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turn an OSError into a StoreUnwritable that names the store and says what to do."""
        try:
            yield
        except OSError as error:
            why = error.strerror or " ".join(str(error).split())
            cure = "free space there" if error.errno in FULL else "make it writable"
            raise StoreUnwritable(
                f"{self.path}: the store can't be written: {why}; {cure}, or name another with --store: what "
                "was finished is kept, and the same command continues"
            ) from error

    def read(self, id: str) -> Record | None:
        """Return the record of an id, or None; an unreadable file causes a warning, and counts as none."""
        self.file("records", id, ".json")  # a text that is not an id is the caller's mistake
        try:
            return self.open_record(id)
        except NewerRecord as error:
            warn_once(f"{error}; it is left as it is")
        except StoreError as error:
            warn_once(f"{error}; it counts as not done: run its suite again, or remove the file")
        return None

    def open_record(self, id: str) -> Record | None:
        """Return the record of an id, or None. Raises StoreError for an unreadable file, NewerRecord for a newer one."""
        path = self.file("records", id, ".json")
        try:
            record = Record.from_json(path.read_bytes(), str(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{path}: can't be read: {error.strerror or error}") from None
        if record.id != id:
            raise StoreError(f"{path}: holds the record of another id, {record.id[:80]}")
        return record

    def date(self, id: str) -> int | None:
        """Return when the record of an id was written, in ns by the clock of the file system; None without one."""
        try:
            return self.file("records", id, ".json").stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def read_clock(self) -> int:
        """Return the time by the clock of the store's file system, in ns. Raises StoreUnwritable."""
        with self.writing():
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.path, prefix=TEMPORARY_PREFIX) as file:
                return Path(file.name).stat().st_mtime_ns

    def is_newer(self, id: str) -> bool:
        """Return whether a newer harness wrote the record of an id, which must then not be overwritten."""
        try:
            self.open_record(id)
        except NewerRecord:
            return True
        except StoreError:
            pass
        return False

    def samples(self, id: str) -> Any:
        """Return a record's per-sample outputs as a DataFrame, or None; a damaged file causes a warning and None."""
        return _read_frame(self.file("samples", id, ".parquet"))

    def curves(self, id: str) -> Any:
        """Return a record's curves as a DataFrame (curve, column, position, value), or None, as in `samples`."""
        return _read_frame(self.file("curves", id, ".parquet"))

    def resamples(self, id: str) -> Any:
        """Return a record's numbers on resampled sets as a DataFrame, a column each, or None, as in `samples`."""
        return _read_frame(self.file("resamples", id, ".parquet"))

    def images(self, id: str) -> list[Path]:
        """Return the image files of a record."""
        folder = self.file("images", id, "")
        return sorted(folder.glob("[!.]*.png")) if folder.is_dir() else []

    def listing(self) -> dict[str, tuple[int, int]]:
        """Return modification time in ns and size of every record's file, by id; nothing is opened."""
        found: dict[str, tuple[int, int]] = {}
        try:
            folders = [f.path for f in os.scandir(self.path / "records") if f.is_dir()]
        except (FileNotFoundError, NotADirectoryError):
            return found
        for folder in folders:
            for entry in os.scandir(folder):
                if entry.name.endswith(".json") and ID.fullmatch(entry.name[:-5]):
                    stat = entry.stat()
                    found[entry.name[:-5]] = (stat.st_mtime_ns, stat.st_size)
        return found

    def records(self) -> Iterator[Record]:
        """Yield all records, in the order of their ids."""
        for id in sorted(self.listing()):
            record = self.read(id)
            if record is not None:
                yield record

    def done(self) -> set[str]:
        """Return ids of the cells that need not run again, including those of a newer harness."""
        return list_done(self)

    def remove(self, id: str) -> None:
        """Remove a record and its files."""
        self.file("records", id, ".json").unlink(missing_ok=True)
        for kind in TABLES:
            self.file(kind, id, ".parquet").unlink(missing_ok=True)
        for image in self.images(id):
            image.unlink()

    def clear_partial(self) -> None:
        """Remove what killed writers left behind."""
        if self.path.is_dir():
            clear_partial(self.path)

    def write_manifest(
        self,
        suite: Mapping[str, Any],
        cells: Sequence[Mapping[str, Any]],
        names: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Write the suite as planned: its own content, and id and coordinates of its cells.

        `names` may hold `references` and `identities`, what each label of a `model` or `dataset` stands for, and `titles`,
        what people call metrics, costs and axes.
        """
        name = str(suite["name"])
        if not SUITE.fullmatch(name):
            raise StoreError(f"{self.path}: '{name[:80]}' is not a suite's name")
        path = self.path / "suites" / f"{name}.json"
        with self.writing():
            write_bytes(path, write_json({"suite": suite, "cells": list(cells), **(names or {})}))

    def manifest(self, suite: str) -> dict[str, Any] | None:
        """Return the suite as last planned in this store, or None; a damaged file causes a warning and None."""
        try:
            return self.open_manifest(suite)
        except StoreError as error:
            warn_once(f"{error}; run the suite again to have its plan and tables back")
            return None

    def open_manifest(self, suite: str) -> dict[str, Any] | None:
        """Return the suite as last planned in this store, or None. Raises StoreError for a damaged file."""
        if not SUITE.fullmatch(suite):
            return None
        path = self.path / "suites" / f"{suite}.json"
        try:
            content: dict[str, Any] = orjson.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except orjson.JSONDecodeError as error:
            raise StoreError(f"{path}: not a plan: {error}") from None
        except OSError as error:
            raise StoreError(f"{path}: can't be read: {error.strerror or error}") from None
        parts = content if isinstance(content, dict) else {}
        cells = parts.get("cells")
        if not isinstance(parts.get("suite"), dict) or not isinstance(cells, list):
            raise StoreError(f"{path}: not a plan: expected an object with suite and cells")
        if odd := [cell for cell in cells if not _is_cell(cell)]:
            raise StoreError(f"{path}: not a plan: '{odd[0]!r:.80}' is not a cell")
        return content

    def suites(self) -> list[str]:
        """Return the names of the suites planned in this store."""
        folder = self.path / "suites"
        return sorted(p.stem for p in folder.glob("[!.]*.json")) if folder.is_dir() else []

    def size(self) -> int:
        """Return the bytes on disk."""
        return count_bytes(self.path)


def _is_cell(found: Any) -> bool:
    """Return whether a plan's entry has an id, coordinates and tags."""
    if not isinstance(found, dict) or not isinstance(found.get("id"), str):
        return False
    places = isinstance(found.get("at"), dict) and isinstance(found.get("tags"), dict)
    return places and ID.fullmatch(found["id"]) is not None


def _write_table(path: Path, columns: Mapping[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with replacing(path) as temporary:
        pq.write_table(pa.table({k: _array(v) for k, v in columns.items()}), temporary, compression="zstd")


def _array(values: Any) -> Any:
    import numpy as np
    import pyarrow as pa

    return pa.array(np.asarray(values)) if not isinstance(values, list | tuple) else pa.array(list(values))


def _read_frame(path: Path) -> Any:
    import pyarrow as pa

    try:
        return read_parquet(path).to_pandas() if path.is_file() else None
    except (pa.ArrowException, OSError) as error:
        why = str(error).partition(chr(10))[0]
        warn_once(
            f"{path}: can't be read: {why}; what rests on it is left out: run its suite again with --fresh"
        )
        return None


def _to_long_form(curves: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, list[Any]]:
    """Return named series of any lengths as rows (curve, column, position, value)."""
    rows: dict[str, list[Any]] = {"curve": [], "column": [], "position": [], "value": []}
    for curve, columns in curves.items():
        for column, values in columns.items():
            for position, value in enumerate(values):
                rows["curve"].append(curve)
                rows["column"].append(column)
                rows["position"].append(position)
                rows["value"].append(float(value))
    return rows


def _write_images(folder: Path, images: Mapping[str, Any]) -> None:
    from PIL import Image

    for name, pixels in images.items():
        safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:80] or "image"
        encoded = BytesIO()
        try:
            Image.fromarray(pixels).save(encoded, "PNG")
        except OSError as error:  # Pillow's for a kind of pixels that PNG has not; the disk has no part in it
            raise TypeError(f"image '{name}': {error}") from None
        write_bytes(folder / f"{safe}.png", encoded.getvalue())
