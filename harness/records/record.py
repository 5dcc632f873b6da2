"""Records: the outcome of one cell, as it is written and read back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import orjson

from harness.contract.cells import RECORD_SCHEMA, Cell, Part
from harness.contract.remarks import normalise_remarks
from harness.errors import NewerRecord, StoreError
from harness.records.redaction import redact

STATUSES = ("ok", "failed", "skipped", "diverged", "oom")
"""The possible outcomes of a cell; only `ok` without metric failures is never run again."""

KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "status", "suite"), (str,)),
    **dict.fromkeys(("reason", "traceback"), (str, type(None))),
    **dict.fromkeys(("coordinates", "tags", "cell", "metrics", "directions", "units"), (dict,)),
    **dict.fromkeys(("cost", "notes", "provenance", "failures"), (dict,)),
    **dict.fromkeys(("binary", "files"), (list,)),
    "count": (int, float, type(None)),
}
"""The types of a record's fields that other code relies on."""


@dataclass
class Record:
    """One cell's outcome. Times are in seconds, memory in bytes, started in ISO 8601 UTC."""

    id: str
    status: str
    suite: str
    coordinates: dict[str, Any]
    tags: dict[str, Any]
    cell: dict[str, Any]
    metrics: dict[str, float] = field(default_factory=dict)
    directions: dict[str, bool] = field(default_factory=dict)
    """For each metric, whether higher is better."""
    units: dict[str, str] = field(default_factory=dict)
    binary: list[str] = field(default_factory=list)
    """Metrics that are proportions of the samples: means of zeros and ones."""
    count: int | None = None
    cost: dict[str, float] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    """The reasons of failed metrics, if others did not fail; such a cell is run again."""
    reason: str | None = None
    traceback: str | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    schema: int = RECORD_SCHEMA

    @property
    def whole(self) -> bool:
        """Whether it has everything that was asked for, so that the cell need not run again."""
        return self.status == "ok" and not self.failures

    @property
    def remarks(self) -> list[str]:
        """What was assumed, left out, cut or reordered; stored in `notes`."""
        return [*normalise_remarks(self.notes.get("remarks"))]

    def remark(self, texts: Iterable[str]) -> None:
        """Add remarks, each once."""
        if texts := [*dict.fromkeys([*self.remarks, *normalise_remarks(texts)])]:
            self.notes["remarks"] = texts

    def to_json(self) -> bytes:
        """Return the record as it is on disk. Infinite and NaN metrics are written as text."""
        content = {
            f.name: getattr(self, f.name) for f in fields(self)
        }  # asdict would copy every value, slowly
        content["metrics"] = {k: _encode_number(v) for k, v in self.metrics.items()}
        content["cost"] = {k: _encode_number(v) for k, v in self.cost.items()}
        return write_json(content, orjson.OPT_INDENT_2) + b"\n"

    @staticmethod
    def from_json(data: bytes, where: str) -> Record:
        """Read a record. Raises StoreError naming the file if it is none, NewerRecord if a newer harness wrote it."""
        try:
            content = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise StoreError(f"{where}: not a record: {error if data else 'the file is empty'}") from None
        if not isinstance(content, dict) or not {"id", "status", "coordinates"} <= content.keys():
            raise StoreError(f"{where}: not a record: expected an object with id, status and coordinates")
        schema = content.get("schema", 0)
        if isinstance(schema, int) and schema > RECORD_SCHEMA:
            raise NewerRecord(
                f"{where}: written by a newer harness (schema {schema}); upgrade vision-harness"
            )
        for name, kind in KINDS.items():
            if name in content and not isinstance(content[name], kind):
                raise StoreError(f"{where}: not a record: '{name}' is {content[name]!r:.80}")
        known = {f.name for f in fields(Record)}
        try:
            record = Record(**{k: v for k, v in content.items() if k in known})
            record.schema = int(schema)
            record.metrics = {k: float(v) for k, v in record.metrics.items()}
            record.cost = {k: float(v) for k, v in record.cost.items()}
        except (AttributeError, TypeError, ValueError) as error:
            raise StoreError(f"{where}: not a record: {error}") from None
        return record


def write_json(content: Any, options: int = 0) -> bytes:
    """Return anything as JSON: text in place of what JSON lacks, or orjson can't write."""
    options |= orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
    try:
        return orjson.dumps(content, option=options, default=str)
    except orjson.JSONEncodeError:  # a file name that is no Unicode, or an integer beyond 64 bits
        return orjson.dumps(_make_writable(content), option=options, default=str)


def _encode_number(value: float) -> float | str:
    """Return the number, or its text if it is NaN or infinite, which JSON lacks; `float` reads the text back."""
    number = float(value)
    return number if number - number == 0 else str(number)


def _make_writable(value: Any) -> Any:
    """Replace what UTF-8 JSON can't express: lone surrogates are escaped, huge integers become text."""
    if isinstance(value, Mapping):
        return {_make_writable(k): _make_writable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_make_writable(v) for v in value]
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return str(value) if isinstance(value, int) and not -(2**63) <= value < 2**64 else value


def describe_part(part: Part) -> dict[str, Any]:
    """Return a part as recorded: without secrets."""
    return {
        "plugin": part.plugin,
        "distribution": part.distribution,
        "version": part.version,
        "label": part.label,
        "tags": dict(part.tags),
        "options": redact(part.options),
        "identity": redact(json.loads(part.identity)),
    }


def make_blank(cell: Cell, status: str, reason: str | None = None) -> Record:
    """Return a record of the cell without results."""
    parts: Mapping[str, Any] = {
        "protocol": describe_part(cell.protocol),
        "model": describe_part(cell.model) if cell.model else None,
        "dataset": describe_part(cell.dataset),
        "method": describe_part(cell.method) if cell.method else None,
        "metrics": [describe_part(m) for m in cell.metrics],
        "axes": dict(cell.axes),
        "seed": cell.seed,
        "precision": cell.precision,
        "images": cell.images,
        "limit": cell.limit,
    }
    record = Record(cell.id, status, cell.suite, cell.coordinates, cell.tags, dict(parts), reason=reason)
    record.remark(cell.remarks)
    return record
