"""Reads tables of pairs: label files with ids, CSV or TSV, JSON and JSON lines, however untidy."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from harness.errors import DataError, OptionError, did_you_mean
from harness_data.scanning import read_bytes
from harness_data.text_encoding import decode_text, without_surrogates

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
"""Names by which a column is known without being named, in lower case, the likeliest first."""

NULL = frozenset(("", "null", "none", "nan", "na", "n/a", "-1", "?"))
"""Labels, in lower case, that say there is none."""

SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json")


@dataclass(frozen=True)
class Row:
    """One row of a table. `label` None: no label; `text`, `image` None: to be found by the id."""

    id: str
    label: str | None
    text: str | None
    image: str | None
    where: str
    facts: Mapping[str, str] = field(default_factory=dict)
    """Further values, such as the labels of single modalities."""
    left_out: str | None = None
    """The kind of finding for which the row is left out."""


@dataclass
class Table:
    """The rows of a file in its order, and the places of those that could not be read."""

    path: Path
    rows: list[Row] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    without_id: list[str] = field(default_factory=list)


def read_table(path: Path, columns: Mapping[str, str | None], classes: Sequence[str] | None = None) -> Table:
    """The rows of a table.

    `columns` names the columns for "id", "label", "text" and "image"; what is None is recognised by
    its usual names. Tables without a header are label files: id, then label. Where there is no column
    for ids, the image's name without its suffix serves (with `#2` for its second row, and so on), or
    else the number of the row, from 0. A word for no label (`NULL`) is a label if `classes` lists it.

    Raises DataError when the file can't be read or has no usable columns, OptionError when a column
    that is named is not there.
    """
    text = decode_text(read_bytes(path)).text
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        records, broken = _json_lines(text, path)
    elif path.suffix.lower() == ".json":
        records, broken = _json_list(text, path)
    else:
        records, broken = _separated(text, path, columns)
    table = Table(path, broken=broken)
    named = _columns(records, columns, path)
    times: Counter[str] = Counter()
    null = NULL - {name.lower() for name in classes or ()}
    for number, (where, record) in enumerate(records):
        cells = {kind: _cell(record.get(name)) for kind, name in named.items()}
        identity = cells.get("id") or ""
        if "id" not in named:
            identity = PurePosixPath(cells.get("image") or "").stem or str(number)
            times[identity] += 1
            if times[identity] > 1:
                identity = f"{identity}#{times[identity]}"
        if not identity:
            table.without_id.append(where)
            continue
        label = cells.get("label")
        table.rows.append(
            Row(
                identity,
                None if label is None or label.lower() in null else label,
                (cells["text"] or "") if "text" in named else None,
                (cells["image"] or "") if "image" in named else None,
                where,
            )
        )
    return table


Records = list[tuple[str, dict[str, Any]]]


def _json_lines(text: str, path: Path) -> tuple[Records, list[str]]:
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


def _json_list(text: str, path: Path) -> tuple[Records, list[str]]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path}: no valid JSON ({error})") from None
    if isinstance(found, dict):  # id to record
        found = [{"id": key, **value} if isinstance(value, dict) else value for key, value in found.items()]
    if not isinstance(found, list):
        raise DataError(f"{path}: expected a JSON list of objects, or an object of objects by id")
    places = [f"{path.name}:{number}" for number in range(len(found))]
    records = [(p, r) for p, r in zip(places, found, strict=True) if isinstance(r, dict)]
    return records, [p for p, r in zip(places, found, strict=True) if not isinstance(r, dict)]


def _separated(text: str, path: Path, columns: Mapping[str, str | None]) -> tuple[Records, list[str]]:
    lines = text.lstrip("\n").splitlines()
    first = lines[0] if lines else ""
    delimiter = max("\t,;|", key=first.count)
    if not first.count(delimiter):
        raise DataError(f"{path}: its first line has no tab, comma, semicolon or bar: '{first[:60]}'")
    rows = [(f"{path.name}:{number}", row) for number, row in _rows(text, delimiter, path)]
    if not rows:
        raise DataError(f"{path}: holds empty rows only")
    header = [cell.strip() for cell in rows[0][1]]
    known = {name for names in COLUMN_NAMES.values() for name in names}
    if {h.lower() for h in header} & known or set(header) & {c for c in columns.values() if c}:
        rows = rows[1:]
    else:
        header = ["id", "label", *(f"column {i}" for i in range(3, len(header) + 1))]
    records, broken = [], []
    for where, row in rows:
        if len(row) == len(header):
            records.append((where, dict(zip(header, row, strict=True))))
        else:
            broken.append(where)
    return records, broken


def _rows(text: str, delimiter: str, path: Path) -> list[tuple[int, list[str]]]:
    """Line numbers and cells. Quotation marks group cells, unless the file is tab-separated or one stays open.

    Where marks are misplaced, and one may have swallowed rows, what gives more whole rows decides.
    """

    def read(quoting: int, strict: bool) -> list[tuple[int, list[str]]]:
        # lines end at \n and \r alone: posts hold other separators, which `splitlines` would cut them at
        lines = io.StringIO(text.lstrip("\n"), newline="")
        reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=strict)
        return [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]

    def whole(rows: list[tuple[int, list[str]]]) -> int:
        return sum(len(row) == len(rows[0][1]) for _, row in rows)

    if delimiter != "\t":
        try:
            return read(csv.QUOTE_MINIMAL, True)
        except csv.Error:
            pass  # misplaced marks
    try:
        plain = read(csv.QUOTE_NONE, False)
        grouped = plain if delimiter == "\t" else read(csv.QUOTE_MINIMAL, False)
    except csv.Error as error:
        raise DataError(f"{path}: can't be read as a table ({error})") from None
    return grouped if whole(grouped) >= whole(plain) else plain


def _columns(records: Records, asked: Mapping[str, str | None], path: Path) -> dict[str, str]:
    there: Sequence[str] = list(dict.fromkeys(name for _, record in records for name in record))
    lowered = {name.lower(): name for name in reversed(there)}
    found = {}
    for kind, usual in COLUMN_NAMES.items():
        name = asked.get(kind)
        if name is not None:
            if records and name not in there:
                raise OptionError(f"{path}: no column '{name}' for {kind}{did_you_mean(name, there)}")
            found[kind] = name
        elif known := next((lowered[u] for u in usual if u in lowered), None):
            found[kind] = known
    if records and not {"id", "image", "text"} & set(found):
        raise DataError(f"{path}: no column of ids, images or texts among: {', '.join(there)}")
    return found


def _cell(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return without_surrogates(str(value)).strip()
