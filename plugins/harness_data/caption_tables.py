"""Reads the rows of a table of captions: CSV, TSV, JSON, JSON lines or Parquet."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import DataError, OptionError, did_you_mean
from harness_data.caption_columns import (
    FURTHER_COLUMNS,
    IMAGE_COLUMNS,
    TEXT_COLUMNS,
    VIDEO_COLUMNS,
    find_caption_columns,
)
from harness_data.image_files import is_picture
from harness_data.question_cells import read_text_cell, shorten_text
from harness_data.question_tables import JSON_SUFFIXES, PARQUET_SUFFIX, Row, read_question_rows
from harness_data.scanning import read_sample_file
from harness_data.separated import read_separated
from harness_data.text_encoding import decode_table, summarise_encodings

FOLDER_SUFFIXES = (".csv", ".tsv", *JSON_SUFFIXES, PARQUET_SUFFIX)
"""Files that are tables wherever they lie."""

NAMED_SUFFIXES = (*FOLDER_SUFFIXES, ".json", ".txt", ".token")
"""Files that are tables if they are named."""

NUMBERED = re.compile(r"(.+)#\d{1,2}")
"""An image's name and the number of its caption, as in Flickr8k's and Flickr30k's `.token` files."""

EVERY_LANGUAGE = "all"


@dataclass(frozen=True)
class CaptionRow:
    """A row: the cell that names or holds its image (or video), and its captions, possibly none."""

    media: Any
    captions: tuple[str, ...]
    id: str | None
    split: str | None
    group: str | None
    where: str


@dataclass(frozen=True)
class CaptionRules:
    """What a table's user says about it: columns by role, its language, its encoding, and what it is about."""

    asked: Mapping[str, str | None]
    medium: str = "image"
    language: str | None = None
    encoding: str | None = None


def read_caption_table(path: Path, rules: CaptionRules) -> tuple[list[CaptionRow], list[str]]:
    """Return the rows of a table in its order, and remarks on encoding, columns, languages and captions.

    Raises DataError, naming file and line, for a file or row that can't be read, a row without an image, and several
    languages of which none is chosen; OptionError for a named column or language that is missing.
    """
    where = str(path)
    rows, remarks = _read_rows(path, rules)
    if not rows:
        raise DataError(f"{where}: holds no rows")
    there = list(dict.fromkeys(name for _, row in rows for name in row))
    columns, more = find_caption_columns(there, rules.asked, rules.medium, where)
    remarks += more
    if rules.language is not None and columns.language is None:
        raise OptionError(
            f"{where}: language is '{rules.language}', but there is no column of languages; set language_column"
        )
    if columns.language is not None:
        rows, chosen = _choose_language(rows, columns.language, rules.language, where)
        remarks += chosen
    listed = _hold_lists([row.get(columns.text) for _, row in rows])
    if listed:
        remarks.append(f"the cells of '{columns.text}' are lists in JSON, and hold several captions each")
    found = []
    for place, row in rows:
        media, cell = row.get(columns.media), row.get(columns.text)
        media = media[0] if isinstance(media, list) and len(media) == 1 else media
        media = read_text_cell(media) if isinstance(media, str | int | float) else media
        if media is None:
            raise DataError(f"{place}: names no {rules.medium} in column '{columns.media}'")
        captions = _list_captions(_parse_list(cell) if listed else cell, place)
        identity, split, group = (
            read_text_cell(row.get(name)) if name else None
            for name in (columns.id, columns.split, columns.group)
        )
        found.append(CaptionRow(media, captions, identity, split, group, place))
        if columns.split is not None and split is None:
            raise DataError(f"{place}: names no split in column '{columns.split}'")
        if columns.id is not None and identity is None:
            raise DataError(f"{place}: has no id in column '{columns.id}'")
    return _cut_numbers(found, remarks)


def _read_rows(path: Path, rules: CaptionRules) -> tuple[list[Row], list[str]]:
    suffix = path.suffix.lower()
    if suffix in (*JSON_SUFFIXES, PARQUET_SUFFIX):
        return read_question_rows(path), []
    if suffix == ".json":
        return _read_json_list(path), []
    text, encodings = decode_table(read_sample_file(path), rules.encoding)
    media = VIDEO_COLUMNS if rules.medium == "video" else IMAGE_COLUMNS
    known = {name for names in (media, TEXT_COLUMNS, *FURTHER_COLUMNS.values()) for name in names}
    known |= {name.lower() for name in rules.asked.values() if name}
    rows, broken = read_separated(text, path.name, known, str(path))
    _refuse_joined_lines(text, len(rows[0][1]) if rows else 0, path.name)
    if broken:
        others = f", nor have {len(broken) - 1} others" if len(broken) > 1 else ""
        raise DataError(
            f"{broken[0]}: this row has not as many cells as the first line{others}: put texts that hold the delimiter "
            "in quotation marks"
        )
    said = summarise_encodings(encodings, f"lines of {path.name}")
    remarks = [said] if said else []
    there = [name.lower() for _, row in rows[:1] for name in row]
    if there[:2] == ["id", "label"] and not {*there} & known:
        first = shorten_text(text.partition("\n")[0])
        rows = _name_columns(rows, rules.medium, f"{path}: its first line ('{first}')")
        remarks.append("has no header: its columns are taken as image and caption")
    return rows, remarks


def _refuse_joined_lines(text: str, columns: int, name: str) -> None:
    """Raise DataError if quotation marks may join lines of a table with tabs, where they often stand for themselves."""
    if '"' not in text or text.partition("\n")[0].count("\t") + 1 != columns or columns < 2:
        return
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t", strict=True)
    before = 0
    with suppress(csv.Error):  # marks that group no cells stand for themselves
        joined = []
        for _ in reader:
            joined += [(before + 1, reader.line_num)] if reader.line_num > before + 1 else []
            before = reader.line_num
        if joined:
            first, last = joined[0]
            raise DataError(
                f"{name}:{first}: quotation marks may join lines {first} to {last} to one cell, or stand for themselves: "
                "save the table as CSV or JSON lines"
            )


def _read_json_list(path: Path) -> list[Row]:
    import orjson

    try:
        found = orjson.loads(read_sample_file(path))
    except orjson.JSONDecodeError as error:
        raise DataError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(found, list):
        raise DataError(f"{path}: expected a list of objects, found a {type(found).__name__}")
    for number, row in enumerate(found):
        if not isinstance(row, dict):
            raise DataError(f"{path}, [{number}]: expected an object, found a {type(row).__name__}")
    return [(f"{path}, [{number}]", row) for number, row in enumerate(found)]


def _name_columns(rows: Sequence[Row], medium: str, where: str) -> list[Row]:
    """Return the rows of a table without a header with names for its columns, if they are pictures and captions.

    Raises DataError, beginning with `where`, if they aren't.
    """
    names = [NUMBERED.sub(r"\1", read_text_cell(row["id"]) or "") for _, row in rows]
    if medium != "image" or len(rows[0][1]) != 2 or not all(map(is_picture, names)):
        raise DataError(f"{where} names no known column: expected a header, such as {medium},caption")
    return [(where, {"image": row["id"], "caption": row["label"]}) for where, row in rows]


def _choose_language(
    rows: Sequence[Row], column: str, asked: str | None, where: str
) -> tuple[list[Row], list[str]]:
    """Return the rows in the language asked for; raise DataError if there are several and none is asked for."""
    languages = [read_text_cell(row.get(column)) for _, row in rows]
    counts = Counter(name or "none" for name in languages)
    shown = ", ".join(f"{shorten_text(name)}: {count}" for name, count in counts.most_common(8))
    if asked is None and len(counts) > 1:
        raise DataError(
            f"{where}: has captions in {len(counts)} languages ({shown}): set language to one, or to '{EVERY_LANGUAGE}'"
        )
    if asked in (None, EVERY_LANGUAGE):
        return list(rows), [f"captions by language: {shown}"] if asked else []
    kept = [row for row, name in zip(rows, languages, strict=True) if name == asked]
    if not kept:
        raise OptionError(
            f"{where}: no captions in the language '{asked}'{did_you_mean(asked, counts)} ({shown})"
        )
    left = len(rows) - len(kept)
    return kept, [
        f"{left} of {len(rows)} rows are not in the language '{asked}', and left out"
    ] if left else []


def _hold_lists(cells: Sequence[Any]) -> bool:
    """Return whether all cells that hold anything are texts that hold a list of texts in JSON."""
    texts = [cell for cell in cells if cell is not None and cell != ""]
    return bool(texts) and all(isinstance(cell, str) and _parse_list(cell) is not None for cell in texts)


def _parse_list(cell: Any) -> list[str] | None:
    import orjson

    if not isinstance(cell, str) or not cell.strip().startswith("["):
        return None
    try:
        found = orjson.loads(cell)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, list) and all(isinstance(one, str) for one in found) else None


def _list_captions(cell: Any, where: str) -> tuple[str, ...]:
    """Return the captions of a cell, without surrounding blanks; "" for an empty one."""
    values = cell if isinstance(cell, list) else [cell]
    for value in values:
        if value is not None and not isinstance(value, str | int | float):
            raise DataError(f"{where}: a caption is a {type(value).__name__}, expected a text")
    return tuple(read_text_cell(value) or "" for value in values)


def _cut_numbers(rows: Sequence[CaptionRow], remarks: list[str]) -> tuple[list[CaptionRow], list[str]]:
    """Return the rows with names of images without the numbers of captions, if all have one."""
    from dataclasses import replace

    found = [NUMBERED.fullmatch(row.media) if isinstance(row.media, str) else None for row in rows]
    if not all(found):
        return list(rows), remarks
    cut = [replace(row, media=one[1]) for row, one in zip(rows, found, strict=True) if one]
    return cut, [*remarks, "what follows '#' in names is the number of the caption"]
