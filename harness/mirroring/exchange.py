"""Exchange of single records and plans between a store and its bucket, by the rules of `harness merge`.

A record is taken or put with its files, itself last. Of two records of a cell the more complete one replaces the
other; two ok ones with different numbers contradict each other: both stay where they are, and ours gets a remark.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from harness.errors import BucketError, NewerRecord, StoreError
from harness.exchange.merging import MergeConflict, MergeResult, completeness, merge_manifest, merge_record
from harness.mirroring.agreement import Agreement
from harness.mirroring.bucket import Bucket
from harness.mirroring.layout import EVIDENCE, IMAGES, is_image_of, name_of, record_name, suite_name
from harness.records.files import TEMPORARY_PREFIX, locked, write_bytes
from harness.records.record import Record
from harness.records.store import ID, TABLES, Store

TRIES = 4
"""How often something is put again because another machine has put it meanwhile."""


class Done(Enum):
    """What became of a record or a plan."""

    SAME = "same"
    TAKEN = "taken"
    REPLACED = "replaced"
    TO_PUT = "to put"
    PUT = "put"
    CONFLICT = "conflict"


@dataclass(frozen=True)
class Settled:
    """What became of it, and what is to be told."""

    done: Done
    said: str | None = None
    conflict: MergeConflict | None = None


class Exchange:
    """Takes from a bucket and puts into it. Threads may share it, as long as each has its own record."""

    def __init__(self, store: Store, bucket: Bucket, agreement: Agreement, tolerance: float = 0.0) -> None:
        self.store = store
        self.bucket = bucket
        self.agreement = agreement
        self.tolerance = tolerance

    def settle(self, id: str) -> Settled:
        """Take a record that the store lacks or has less of, and say what else is to be done.

        Raises BucketError if the bucket fails, StoreError for a damaged record there, OSError of the disk.
        """
        found = self.bucket.get(record_name(id))
        if found is None:
            return Settled(Done.TO_PUT)
        return self._settle(id, *found)

    def _settle(self, id: str, data: bytes, tag: str) -> Settled:
        name, path = record_name(id), self.store.file("records", id, ".json")
        own = path.read_bytes() if path.is_file() else None
        if own == data:
            self.agreement.note(name, tag)
            return Settled(Done.SAME)
        theirs = self._parse(id, data)
        ours = self._read_own(id)
        if theirs is None:  # of a newer harness: it is kept as it is, on either side
            if own is None:
                self._take_raw(id, data)
                self.agreement.note(name, tag)
                return Settled(Done.TAKEN)
            return Settled(Done.SAME, f"{self._where(id)}: written by a newer harness; it is left as it is")
        if own is not None and self.store.is_newer(id):
            return Settled(Done.SAME)
        if ours is not None and completeness(theirs) < completeness(ours):
            return Settled(Done.TO_PUT)
        if ours is not None and completeness(theirs) == completeness(ours) and theirs.status != "ok":
            self.agreement.note(name, tag)
            return Settled(Done.SAME)
        equal = ours is not None and completeness(theirs) == completeness(ours)
        with self._staging() as staging:
            self._fetch_files(id, theirs, staging, ("samples",) if equal else (*TABLES, IMAGES, EVIDENCE))
            write_bytes(staging.file("records", id, ".json"), data)
            outcome = MergeResult()
            merge_record(self.store, staging, id, self.tolerance, outcome)
        self.agreement.note(name, tag)
        if outcome.conflicts:
            what = outcome.conflicts[0].what
            return Settled(Done.CONFLICT, conflict=MergeConflict(id, path, self._where(id), what))
        return Settled(Done.TAKEN if outcome.copied else Done.REPLACED if outcome.replaced else Done.SAME)

    def put(self, id: str) -> Settled:
        """Put a record with its files, unless the bucket has one that is more complete or contradicts it.

        One that the bucket had as this store last saw it is replaced: it was run again here.
        """
        name = record_name(id)
        said = None
        for _ in range(TRIES):
            content = self.store.file("records", id, ".json").read_bytes()
            record = self._read_own(id)
            found = self.bucket.get(name)
            if found is None:
                files = self._files_of(id, record)
                if files and self.bucket.put_new(name_of(files[0], self.store.path), files[0]):
                    del files[0]
                elif files:  # another machine is at it, or was killed at it: then its files are replaced
                    found = self.bucket.get(name)
                if found is None:
                    self._put_files(files)
                    tag = self.bucket.put_new(name, content)
                    if tag is not None:
                        self.agreement.note(name, tag)
                        return Settled(Done.PUT, said)
                    found = self.bucket.get(name)
                    if found is None:
                        continue
            if not self._succeeds(name, record, found):
                settled = self._settle(id, *found)
                said = settled.said or said
                if settled.done is not Done.TO_PUT:
                    return settled
            self._put_files(self._files_of(id, record))
            tag = self.bucket.put_over(name, content, found[1])
            if tag is not None:
                self.agreement.note(name, tag)
                return Settled(Done.PUT, said)
        raise BucketError(f"{self._where(id)}: other machines keep replacing it")

    def _succeeds(self, name: str, record: Record | None, found: tuple[bytes, str]) -> bool:
        """Return whether our record is what became of the bucket's here, and no less, or that is damaged."""
        if record is None:
            return False
        try:
            theirs = self._parse(record.id, found[0])
        except StoreError:
            return True
        return (
            self.agreement.tag(name) == found[1]
            and theirs is not None
            and completeness(record) >= completeness(theirs)
        )

    def settle_suite(self, suite: str) -> Settled:
        """Unite a suite's plan in the store with the bucket's, unless that is contained in it already."""
        name = suite_name(suite)
        found = self.bucket.get(name)
        if found is None:
            return Settled(Done.TO_PUT)
        data, tag = found
        path = self.store.path / name
        with self.store.writing(), locked(self.store.path / "suites" / ".lock"):
            own = path.read_bytes() if path.is_file() else None
            if self.agreement.holds(name, tag):
                return Settled(Done.SAME)
            if own is not None and own != data and self.agreement.tag(name) == tag:
                return Settled(Done.TO_PUT)
            said: list[str] = []
            if own != data:
                with self._staging() as staging:
                    write_bytes(staging.path / name, data)
                    outcome = MergeResult()
                    merge_manifest(self.store, staging, suite, outcome)
                said = [note.replace(str(staging.path), self.bucket.url) for note in outcome.notes]
            grown = own is not None and path.read_bytes() != data
            self.agreement.note(name, tag, whole=not grown)
        done = Done.TAKEN if own is None else Done.TO_PUT if grown else Done.SAME
        return Settled(done, said[0] if said else None)

    def put_suite(self, suite: str) -> Settled:
        """Put a suite's plan, united with what the bucket has if another machine changed that."""
        name = suite_name(suite)
        for _ in range(TRIES):
            settled = self.settle_suite(suite)
            if settled.done is not Done.TO_PUT:
                return settled
            content, known = (self.store.path / name).read_bytes(), self.agreement.tag(name)
            tag = self.bucket.put_over(name, content, known) if known else self.bucket.put_new(name, content)
            if tag is not None:
                self.agreement.note(name, tag)
                return Settled(Done.PUT, settled.said)
        raise BucketError(f"{self.bucket.url}/{name}: other machines keep replacing it")

    def _where(self, id: str) -> str:
        return f"{self.bucket.url}/{record_name(id)}"

    def _parse(self, id: str, data: bytes) -> Record | None:
        """Return a record of the bucket, or None for one of a newer harness. Raises StoreError."""
        try:
            record = Record.from_json(data, self._where(id))
        except NewerRecord:
            return None
        if record.id != id:
            raise StoreError(f"{self._where(id)}: holds the record of another id, {record.id[:80]}")
        return record

    def _read_own(self, id: str) -> Record | None:
        """Return our record; None if there is none, or none that can be read."""
        try:
            return self.store.open_record(id)
        except StoreError:
            return None

    @contextmanager
    def _staging(self) -> Iterator[Store]:
        """Yield an empty store beside the records, called by the bucket's name in remarks."""
        self.store.path.mkdir(parents=True, exist_ok=True)
        called = self.bucket.url.rpartition("://")[2].strip("/").replace("/", "-") or "bucket"
        with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=self.store.path) as folder:
            yield Store(Path(folder) / called)

    def _fetch_files(self, id: str, record: Record, into: Store, kinds: tuple[str, ...]) -> None:
        """Download the files of a record that belong to it."""
        for kind in TABLES:
            if kind in kinds and kind in record.files:
                file = into.file(kind, id, ".parquet")
                self.bucket.download(name_of(file, into.path), file)
        if IMAGES in kinds and IMAGES in record.files:
            self._fetch_images(id, into)
        evidence = record.provenance.get("evidence")
        if EVIDENCE not in kinds or not isinstance(evidence, str) or not ID.fullmatch(evidence):
            return
        if "measured" not in record.provenance:  # else it is another record's
            file = into.file(EVIDENCE, evidence, ".npz")
            self.bucket.download(name_of(file, into.path), file)

    def _fetch_images(self, id: str, into: Store) -> None:
        for found in self.bucket.list(f"{IMAGES}/{id[:2]}/{id}"):
            if is_image_of(found.name, id):
                self.bucket.download(found.name, into.path / found.name)

    def _take_raw(self, id: str, data: bytes) -> None:
        """Take a newer harness's record, whose content nobody here can judge, with what is named after it."""
        for kind in TABLES:
            file = self.store.file(kind, id, ".parquet")
            self.bucket.download(name_of(file, self.store.path), file)
        self._fetch_images(id, self.store)
        write_bytes(self.store.file("records", id, ".json"), data)

    def _files_of(self, id: str, record: Record | None) -> list[Path]:
        """Return the files that belong to our record, without itself."""
        tables = [self.store.file(kind, id, ".parquet") for kind in TABLES]
        files = [file for file in tables if file.is_file()] + self.store.images(id)
        evidence = record.provenance.get("evidence") if record is not None else None
        if isinstance(evidence, str) and ID.fullmatch(evidence):
            kept = self.store.find_evidence(evidence)
            files += [kept[0].path] if kept is not None and kept[1].id == id else []
        return files

    def _put_files(self, files: list[Path]) -> None:
        for file in files:
            self.bucket.put(name_of(file, self.store.path), file)
