"""Merge the records of several stores into one; an ok record is never overwritten."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.contract.cells import canonical_json
from harness.errors import NewerRecord, StoreError
from harness.planning.labels import find_renamed
from harness.planning.names import merge_names
from harness.records.files import write_bytes
from harness.records.parquet_columns import read_parquet
from harness.records.record import Record
from harness.records.store import TABLES, Store


@dataclass(frozen=True)
class MergeConflict:
    """Two records of one cell with different numbers: both files, and the first difference."""

    id: str
    kept: Path
    other: Path | str
    """A file, or the address of one in a bucket."""
    what: str

    def __str__(self) -> str:
        return f"{self.kept} and {self.other}: the same cell with different numbers: {self.what}"


@dataclass
class MergeResult:
    """What a merge did; `replaced` counts records that were less complete than the other store's."""

    copied: int = 0
    replaced: int = 0
    same: int = 0
    conflicts: list[MergeConflict] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as JSON-able data."""
        conflicts = [{**vars(c), "kept": str(c.kept), "other": str(c.other)} for c in self.conflicts]
        return {**vars(self), "conflicts": conflicts}


def merge(into: Store, sources: Sequence[Store], tolerance: float = 0.0) -> MergeResult:
    """Copy records that `into` lacks from `sources`, each as a whole.

    A record on both sides stays if its numbers agree within the relative `tolerance` (provenance, costs and
    notes may differ); an ok one replaces one that is not; two ok ones with different numbers are a conflict:
    ours stays, with a remark that the other exists. Raises StoreError for a source that is not a folder, or is
    `into` itself, a tolerance that makes no sense, or a store that can't be written.
    """
    if not 0 <= tolerance < 1:
        raise StoreError(f"--tolerance {tolerance}: expected a number from 0 to below 1, like 1e-6")
    try:
        return _merge_stores(into, sources, tolerance)
    except OSError as error:
        raise StoreError(f"{error.filename or into.path}: can't be merged: {error.strerror}") from None


def _merge_stores(into: Store, sources: Sequence[Store], tolerance: float) -> MergeResult:
    for source in sources:
        if not source.path.is_dir():
            raise StoreError(f"{source.path}: no such store")
        if source.path.resolve() == into.path.resolve():
            raise StoreError(f"{source.path}: a store can't be merged into itself")
    outcome = MergeResult()
    for source in sources:
        for id in sorted(source.listing()):
            try:
                merge_record(into, source, id, tolerance, outcome)
            except StoreError as error:  # a damaged file must not block the others
                outcome.unreadable.append(str(error))
        for suite in source.suites():
            try:
                merge_manifest(into, source, suite, outcome)
            except StoreError as error:
                outcome.unreadable.append(str(error))
    return outcome


def merge_record(into: Store, source: Store, id: str, tolerance: float, outcome: MergeResult) -> None:
    """Copy one record with its files, or leave ours, as `merge` says, and note which in the outcome.

    Raises StoreError for a record that can't be read, NewerRecord for one of a newer harness, OSError.
    """
    theirs = source.open_record(id)
    if theirs is None:
        return
    file = source.file("records", id, ".json")
    try:
        ours = into.open_record(id)
    except NewerRecord:
        raise
    except StoreError:  # theirs is sound
        _copy_record(into, source, id)
        outcome.replaced += 1
        return
    if ours is None:
        _copy_record(into, source, id)
        outcome.copied += 1
    elif completeness(theirs) > completeness(ours):
        _copy_record(into, source, id)
        outcome.replaced += 1
    elif theirs.status != "ok" or completeness(theirs) < completeness(ours):
        outcome.same += 1
    else:
        what = _first_difference(ours, theirs, tolerance) or _first_sample_difference(
            into, source, ours, theirs, tolerance
        )
        if what is None:
            outcome.same += 1
        else:
            outcome.conflicts.append(MergeConflict(id, into.file("records", id, ".json"), file, what))
            _add_remark(
                into,
                ours,
                f"the store '{source.path.name}' has other numbers for it ({what}): these were kept",
            )


def completeness(record: Record) -> int:
    """Return 2 for a record with all its numbers, 1 if some metrics failed, 0 without a result."""
    return 0 if record.status != "ok" else 1 if record.failures else 2


def _copy_record(into: Store, source: Store, id: str) -> None:
    """Copy a record: its other files first, then the record itself, which makes it count."""
    for kind in TABLES:
        beside = source.file(kind, id, ".parquet")
        target = into.file(kind, id, ".parquet")
        if beside.is_file():
            write_bytes(target, beside.read_bytes())
        else:
            target.unlink(missing_ok=True)
    images = source.images(id)
    for old in into.images(id):
        if old.name not in {i.name for i in images}:
            old.unlink()
    for image in images:
        write_bytes(into.file("images", id, "") / image.name, image.read_bytes())
    _copy_evidence(into, source, id)
    write_bytes(into.file("records", id, ".json"), source.file("records", id, ".json").read_bytes())


def _copy_evidence(into: Store, source: Store, id: str) -> None:
    """Copy the evidence of a record, if it is that record's own and `into` has none for the same cell."""
    record = source.read(id)
    evidence_id = record.provenance.get("evidence") if record is not None else None
    found = source.find_evidence(evidence_id) if evidence_id else None
    if evidence_id and found and found[1].id == id and _is_free(into, evidence_id, id):
        write_bytes(into.file("evidence", evidence_id, ".npz"), found[0].path.read_bytes())


def _is_free(into: Store, evidence_id: str, id: str) -> bool:
    """Return whether a store has no evidence of another record of a cell."""
    own = into.find_evidence(evidence_id)
    return own is None or own[1].id == id


def _first_difference(ours: Record, theirs: Record, tolerance: float) -> str | None:
    """Describe the first number in which two records of a cell differ; None if there is none."""
    if ours.count != theirs.count:
        return f"{ours.count} samples and {theirs.count}"
    for name in dict.fromkeys([*ours.metrics, *theirs.metrics]):
        if name not in ours.metrics or name not in theirs.metrics:
            return f"only one has {name}"
        one, other = ours.metrics[name], theirs.metrics[name]
        if not _is_close(one, other, tolerance):
            return f"{name} {one!r} and {other!r}"
    return None


def _first_sample_difference(
    into: Store, source: Store, ours: Record, theirs: Record, tolerance: float
) -> str | None:
    """Describe the first sample whose outputs differ between two records of a cell; None if there is none."""
    import pyarrow as pa

    files = [s.file("samples", ours.id, ".parquet") for s in (into, source)]
    if not all(f.is_file() for f in files) or files[0].read_bytes() == files[1].read_bytes():
        return None
    tables = []
    for file in files:
        try:
            tables.append(read_parquet(file))
        except (pa.ArrowException, OSError) as error:
            raise StoreError(f"{file}: can't be read: {str(error).partition(chr(10))[0]}") from None
    if not all("id" in t.column_names for t in tables):
        return None
    one, other = (t.sort_by("id") for t in tables)
    ids = one["id"].to_pylist()
    if ids != other["id"].to_pylist():
        return "their samples are not the same"
    columns = ["target", "prediction", *ours.metrics]
    for column in [c for c in columns if c in one.column_names and c in other.column_names]:
        # plain values: labels may be lists, and a missing one has no truth value in a frame
        pairs = zip(ids, one[column].to_pylist(), other[column].to_pylist(), strict=True)
        for sample, a, b in pairs:
            if not _is_close(a, b, tolerance):
                return f"{column} of sample {sample!r}: {a!r} and {b!r}"
    return None


def _is_close(a: Any, b: Any, tolerance: float) -> bool:
    if a == b or (a != a and b != b):
        return True
    try:
        return math.isclose(a, b, rel_tol=tolerance, abs_tol=0.0)
    except TypeError:  # texts, or lists of predictions
        return False


def merge_manifest(into: Store, source: Store, suite: str, outcome: MergeResult) -> None:
    """Unite the planned cells by coordinates; ours stay unless only theirs has an ok record."""
    theirs, ours = source.open_manifest(suite), into.manifest(suite)
    if theirs is None:
        return
    if ours is None:
        into.write_manifest(theirs["suite"], theirs["cells"], merge_names(theirs))
        return
    renamed = find_renamed(theirs["cells"], ours["cells"])
    theirs["cells"] = [c for n, c in enumerate(theirs["cells"]) if n not in renamed]
    cells = {_cell_key(c): c for c in ours["cells"]}
    added = [c for c in theirs["cells"] if _cell_key(c) not in cells]
    unlike = 0
    for cell in theirs["cells"]:
        mine = cells.setdefault(_cell_key(cell), cell)
        if mine["id"] != cell["id"]:
            unlike += 1
            kept, other = into.read(mine["id"]), into.read(cell["id"])
            if other is None or other.status != "ok":
                continue
            if kept is None or kept.status != "ok":
                cells[_cell_key(cell)] = cell
            else:
                _add_remark(into, kept, _version_remark(kept, other))
    if unlike:
        outcome.notes.append(
            f"suite {suite}: {unlike} cells have other versions or options in {source.path}; "
            "both records are kept, tables show the one planned first (harness compare shows the difference)"
        )
    _remark_mixed_parts(into, ours["cells"], added)
    if _layout_key(theirs["suite"]) != _layout_key(ours["suite"]):
        outcome.notes.append(
            f"suite {suite}: {source.path} has other tables or plots; those of {into.path} stay"
        )
    into.write_manifest(ours["suite"], list(cells.values()), merge_names(theirs, ours))


def _remark_mixed_parts(
    into: Store, ours: Sequence[Mapping[str, Any]], added: Sequence[Mapping[str, Any]]
) -> None:
    """Remark on added records whose model or data set differs from one of the same name in our records."""
    from harness.comparing.conditions import different_parts

    known: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for record in (into.read(c["id"]) for c in ours) if added else ():
        for kind in ("model", "dataset"):
            part = record.cell.get(kind) if record is not None and record.status == "ok" else None
            if part and part not in known.setdefault((kind, part["label"]), []):
                known[kind, part["label"]].append(part)
    for record in (into.read(c["id"]) for c in added):
        if record is None or record.status != "ok":
            continue
        for kind in ("model", "dataset"):
            part = record.cell.get(kind)
            others = known.get((kind, part["label"]), []) if part else []
            found = [next(different_parts(kind, part, other), None) for other in others]
            if found and all(found) and part and found[0]:
                name, here, there = found[0]
                text = f"{part['label']}: not the same as in other records of this suite ({name}: {here} here, {there} there)"
                _add_remark(into, record, text)


def _version_remark(kept: Record, other: Record) -> str:
    """Return the remark on a record if another version of it has other numbers, or nothing."""
    from harness.comparing.conditions import different_conditions

    numbers = _first_difference(kept, other, 0.0)
    if numbers is None:
        return ""
    differs = next(different_conditions(kept, other, set()), None)
    how = f"; {differs[0]}: {differs[1]} here, {differs[2]} there" if differs else ""
    return f"another version of this cell has other numbers ({numbers}){how}; the one planned first is shown"


def _add_remark(store: Store, record: Record, text: str) -> None:
    """Add a remark to a record in a store, and change nothing else of it."""
    before = record.remarks
    record.remark([text] if text else [])
    if record.remarks != before:
        write_bytes(store.file("records", record.id, ".json"), record.to_json())


def _cell_key(cell: Mapping[str, Any]) -> str:
    return canonical_json(cell["at"])


def _layout_key(suite: Mapping[str, Any]) -> str:
    return canonical_json([suite.get("tables"), suite.get("plots")])
