"""Reads tables of pairs, however untidy: label files with ids, CSV or TSV, JSON and JSON lines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from harness import DataError, OptionError
from harness.errors import did_you_mean
from harness.inference.splits import role_of
from harness_data.scanning import read_sample_file
from harness_data.separated import Records, read_separated
from harness_data.text_encoding import decode_table, replace_surrogates, summarise_encodings

COLUMN_NAMES: dict[str, tuple[str, ...]] = {
    "id": ("id", "guid", "uid", "post_id", "tweet_id", "key"),
    "label": ("label", "tag", "sentiment", "class", "target", "gold_label", "y"),
    "text": ("text", "caption", "tweet", "content", "sentence", "post", "title"),
    "image": (
        "image",
        "img",
        "image_path",
        "img_path",
        "image_name",
        "filename",
        "file_name",
        "file",
        "filepath",
    ),
}
"""Usual column names, in lower case, the likeliest first."""

WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""The first bytes of Excel and LibreOffice workbooks, whatever their names."""

TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json")


@dataclass(frozen=True)
class PairRow:
    """One row of a table. `label` None: no label; `text`, `image` None: to be found by the id.

    A label that means "no label" stays as written until all tables are read.
    """

    id: str
    label: str | None
    text: str | None
    image: str | None
    where: str
    facts: Mapping[str, str] = field(default_factory=dict)
    """Further values, such as the labels of single modalities."""
    left_out: str | None = None
    """The kind of finding that leaves the row out."""


@dataclass
class PairTable:
    """The rows of a file in its order, and the places of unreadable ones."""

    path: Path
    rows: list[PairRow] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    without_id: list[str] = field(default_factory=list)
    columns: Mapping[str, str] = field(default_factory=dict)
    """The columns of ids, labels, texts and images that exist."""
    there: Sequence[str] = ()
    """All columns."""
    remarks: list[str] = field(default_factory=list)
    """Remarks on its encoding and columns."""
    emptied: list[str] = field(default_factory=list)
    """Ids of rows whose label turned out to mean "no label", as a remark already says."""


def read_table(path: Path, columns: Mapping[str, str | None], encoding: str | None = None) -> PairTable:
    """Read a table.

    `columns` names the columns for "id", "label", "text" and "image"; those that are None are recognised by
    their usual names. Tables without a header are label files: id, then label. Without a column for ids, the
    id is the image's name without its suffix (with `#2` for its second row, and so on), or else the number of
    the row, from 0. Lines that are not UTF-8 are read in `encoding`, or in what `text_encoding` guesses from
    all of them.

    Raises DataError if the file can't be read or has no usable columns, OptionError if a named column is
    missing.
    """
    data = read_sample_file(path)
    if data.startswith(WORKBOOKS):
        raise DataError(f"{path}: is a workbook (of Excel or the like), not text: export it as CSV")
    text, encodings = decode_table(data, encoding)
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        records, broken = _parse_json_lines(text, path)
    elif path.suffix.lower() == ".json":
        records, broken = _parse_json_list(text, path)
    else:
        known = {name for names in COLUMN_NAMES.values() for name in names}
        known |= {name.lower() for name in columns.values() if name}
        records, broken = read_separated(text, path.name, known, str(path))
    if broken and not records:
        raise DataError(f"{path}: none of its {len(broken):,} rows can be read (first: {broken[0]})")
    there = list(dict.fromkeys(name for _, record in records for name in record))
    named = _match_columns(there, columns, path)
    encoded = summarise_encodings(encodings, f"lines of {path.name}")
    remarks = [*([encoded] if encoded else []), *_note_ambiguous_columns(there, columns, named, path)]
    remarks += _note_split_column(records, named.values(), path)
    table = PairTable(path, broken=broken, columns=named, there=there, remarks=remarks)
    times: Counter[str] = Counter()
    for number, (where, record) in enumerate(records):
        cells = {kind: format_cell(record.get(name)) for kind, name in named.items()}
        identity = cells.get("id") or ""
        if "id" not in named:
            identity = PurePosixPath((cells.get("image") or "").replace("\\", "/")).stem or str(number)
            times[identity] += 1
            if times[identity] > 1:
                identity = f"{identity}#{times[identity]}"
        if not identity:
            table.without_id.append(where)
            continue
        label = cells.get("label")
        table.rows.append(
            PairRow(
                identity,
                label,
                (cells["text"] or "") if "text" in named else None,
                (cells["image"] or "") if "image" in named else None,
                where,
            )
        )
    return table


def _parse_json_lines(text: str, path: Path) -> tuple[Records, list[str]]:
    records: Records = []
    broken = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if isinstance(found, dict):
            records.append((f"{path.name}:{number}", found))
        else:
            broken.append(f"{path.name}:{number}")
    return records, broken


def _parse_json_list(text: str, path: Path) -> tuple[Records, list[str]]:
    try:
        found = json.loads(text)
    except ValueError as error:
        records, broken = _parse_json_lines(text, path)  # JSON lines are often called .json
        if len(records) > len(broken):
            return records, broken
        raise DataError(f"{path}: not valid JSON ({error})") from None
    if isinstance(found, dict):
        found = _extract_records(found)
    if not isinstance(found, list):
        raise DataError(f"{path}: expected a JSON list of objects, or an object of objects by id")
    places = [f"{path.name}:{number}" for number in range(len(found))]
    records = [(p, r) for p, r in zip(places, found, strict=True) if isinstance(r, dict)]
    return records, [p for p, r in zip(places, found, strict=True) if not isinstance(r, dict)]


def _extract_records(found: Mapping[str, Any]) -> list[Any]:
    """Return the records of an object: columns by name, records by id, or one list of records among other values."""
    values = list(found.values())
    if {name.lower() for name in found} & {*COLUMN_NAMES["label"], *COLUMN_NAMES["text"]}:
        if all(
            isinstance(v, dict) and v.keys() == values[0].keys() for v in values
        ):  # as pandas writes tables
            return [{name: column[row] for name, column in found.items()} for row in values[0]]
        if all(isinstance(v, list) and len(v) == len(values[0]) for v in values):
            return [dict(zip(found, row, strict=True)) for row in zip(*values, strict=True)]
    lists = [v for v in values if isinstance(v, list) and v and all(isinstance(r, dict) for r in v)]
    if len(lists) == 1:
        return lists[0]
    return [{"id": key, **value} if isinstance(value, dict) else value for key, value in found.items()]


def _match_columns(there: Sequence[str], asked: Mapping[str, str | None], path: Path) -> dict[str, str]:
    lowered = {name.lower(): name for name in reversed(there)}
    found = {}
    for kind, usual in COLUMN_NAMES.items():
        name = asked.get(kind)
        if name is not None:
            if there and name not in there:
                raise OptionError(f"{path}: no column '{name}' for {kind}{did_you_mean(name, there)}")
            found[kind] = name
        elif known := next((lowered[u] for u in usual if u in lowered), None):
            found[kind] = known
    if there and not {"id", "image", "text"} & set(found):
        lacking, say = "ids, images or texts", "id_column, image_column or text_column"
        if "label" not in found:
            lacking, say = "labels", f"label_column, and {say}"
        raise DataError(f"{path}: no column of {lacking} among: {', '.join(there)}; set {say}")
    return found


def _note_ambiguous_columns(
    there: Sequence[str], asked: Mapping[str, str | None], found: Mapping[str, str], path: Path
) -> list[str]:
    """Return remarks if several columns have usual names for labels, texts or images."""
    remarks = []
    for kind in ("label", "text", "image"):
        others = [n for n in there if n.lower() in COLUMN_NAMES[kind] and n != found.get(kind)]
        if others and asked.get(kind) is None:
            remarks.append(
                f"{path.name}: column '{found[kind]}' is read for {kind}s, not '{others[0]}'; {kind}_column overrules"
            )
    return remarks


def _note_split_column(records: Records, used: Collection[str], path: Path) -> list[str]:
    """Return a remark on a column that holds each row's split: it is not used, since files make splits here."""
    for name in dict.fromkeys(name for _, record in records[:1] for name in record):
        values = {cell for _, record in records if (cell := format_cell(record.get(name)))}
        if name not in used and len(values) > 1 and all(role_of(value) for value in values):
            shown = ", ".join(sorted(values))
            return [
                f"{path.name}: column '{name}' ({shown}) is not used: rows of all splits are taken together"
            ]
    return []


def format_cell(value: Any) -> str | None:
    """Return a table's value as text, None if missing. Whole numbers get no fraction, lists get commas."""
    if value is None:
        return None
    if isinstance(value, float) and value != value:
        return None  # NaN, as Python's JSON writes a missing value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list):
        return ",".join(format_cell(item) or "" for item in value)
    return replace_surrogates(str(value)).strip()
