"""Reads the rows of a table of media: ids, texts, frames, groups, dates, and cells that hold the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import DataError, OptionError, did_you_mean
from harness_data.image_files import is_junk_file, is_picture
from harness_data.pair_files import resolve_inside
from harness_data.question_cells import read_text_cell, shorten_text
from harness_data.question_images import ImageFile, ImageSource
from harness_data.question_tables import Row, read_json_lines
from harness_data.scanning import read_sample_file
from harness_data.separated import read_separated
from harness_data.text_encoding import decode_table, replace_surrogates, summarise_encodings

SEPARATED_SUFFIXES = (".csv", ".tsv")
LINE_SUFFIXES = (".jsonl", ".ndjson")


@dataclass(frozen=True)
class MediaColumns:
    """The names of a table's columns; None: there is none, and it is not read."""

    id: str
    title: str | None
    frames: str | None
    target: str
    texts: tuple[str, ...] = ()
    group: str | None = None
    split: str | None = None
    date: str | None = None

    def list_named(self) -> list[str]:
        """Return the names of all columns that are read."""
        named = (
            self.id,
            self.title,
            self.frames,
            self.target,
            *self.texts,
            self.group,
            self.split,
            self.date,
        )
        return [name for name in named if name is not None]


@dataclass(frozen=True)
class MediaRow:
    """One item: its text, where its frames are, its group (itself if it has none), and its target's cell."""

    id: str
    text: str
    frames: tuple[ImageSource, ...]
    group: str
    split: str | None
    date: datetime | None
    target: Any
    where: str


def read_media_table(path: Path, columns: MediaColumns) -> tuple[list[Row], list[str]]:
    """Return the rows of a CSV, TSV or JSON-lines file, and remarks on its encoding.

    Raises DataError, naming file and line, for a file or row that can't be read; OptionError for a column that is
    missing.
    """
    remarks: list[str] = []
    if path.suffix.lower() in LINE_SUFFIXES:
        try:
            rows: list[Row] = list(read_json_lines(path))
        except OSError as error:
            raise DataError(f"{path}: can't be read ({error.strerror or error})") from None
    else:
        text, encodings = decode_table(read_sample_file(path))
        known = {name.lower() for name in columns.list_named()}
        rows, broken = read_separated(text, path.name, known, str(path))
        if broken:
            raise DataError(f"{broken[0]}: has another number of cells than the header")
        if said := summarise_encodings(encodings):
            remarks.append(said)
    if not rows:
        raise DataError(f"{path}: holds no rows")
    there = list(dict.fromkeys(name for _, row in rows for name in row))
    for name in columns.list_named():
        if name not in there:
            raise OptionError(f"{path}: there is no column '{name}'{did_you_mean(name, there)}")
    unused = [shorten_text(name) for name in there if name not in columns.list_named()]
    if unused:
        remarks.append(f"columns that are not read: {', '.join(unused)}")
    return rows, remarks


def build_media_rows(
    rows: Sequence[Row], columns: MediaColumns, root: Path, separator: str, most_frames: int
) -> tuple[list[MediaRow], list[str]]:
    """Return the items of a table's rows, and remarks on frames and texts that were left out or are missing.

    Of an item's frames at most `most_frames` are kept, evenly spaced. Raises DataError, naming the row, for a bad cell
    and for a second row of an id.
    """
    found: list[MediaRow] = []
    place: dict[str, str] = {}
    cut = untitled = unshown = ungrouped = 0
    for where, row in rows:
        identity = read_text_cell(row.get(columns.id))
        if identity is None:
            raise DataError(f"{where}: has no id in column '{columns.id}'")
        if identity in place:
            raise DataError(f"{where}: id '{shorten_text(identity)}' is at {place[identity]} already")
        place[identity] = where
        title = read_text_cell(row.get(columns.title)) if columns.title else None
        frames = list_frames(row.get(columns.frames), root, separator, where) if columns.frames else []
        group = read_text_cell(row.get(columns.group)) if columns.group else None
        kept = [frames[n] for n in space_evenly(len(frames), most_frames)]
        cut += len(kept) < len(frames)
        untitled += columns.title is not None and title is None
        unshown += columns.frames is not None and not frames
        ungrouped += columns.group is not None and group is None
        further = [(name, read_text_cell(row.get(name))) for name in columns.texts]
        lines = [title, *(f"{name}: {text}" for name, text in further if text is not None)]
        found.append(
            MediaRow(
                identity, "\n".join(line for line in lines if line), tuple(kept), f"{columns.group}: {group}" if group
                else f"item: {identity}", read_text_cell(row.get(columns.split)) if columns.split else None,
                read_date(row.get(columns.date), where) if columns.date else None, row.get(columns.target), where,
            )
        )  # fmt: skip
    counted = (
        (cut, f"have more than {most_frames} frames, of which {most_frames}, evenly spaced, are shown"),
        (untitled, "have no title"),
        (unshown, "have no frames"),
        (ungrouped, f"have no '{columns.group}', and count as independent of each other"),
    )
    return found, [f"{count} of {len(found)} items {what}" for count, what in counted if count]


def list_frames(value: Any, root: Path, separator: str, where: str) -> list[ImageSource]:
    """Return the frames that a cell names: a folder, whose pictures are sorted by name, or paths, in their order.

    Raises DataError, naming the row, for a cell that is no text or list, a path that leads out of `root`, and a folder
    without a picture.
    """
    if isinstance(value, str):
        value = [part.strip() for part in value.split(separator)]
    names = [name for name in (value or ()) if name] if isinstance(value, list) or value is None else None
    if names is None or not all(isinstance(name, str) for name in names):
        raise DataError(f"{where}: frames are a {type(value).__name__}, expected paths or a folder")
    found: list[ImageSource] = []
    for name in names:
        inside = resolve_inside(replace_surrogates(name))
        if inside is None:
            raise DataError(
                f"{where}: frame '{shorten_text(name)}' is not below {root}: give paths relative to it"
            )
        path = root / inside
        if not path.is_dir():
            found.append(ImageFile(path, where))
            continue
        files = sorted(p for p in path.iterdir() if is_picture(p.name) and not is_junk_file(p.name))
        if not files:
            raise DataError(f"{where}: the folder of frames {path} holds no picture")
        found += [ImageFile(file, where) for file in files]
    return found


def space_evenly(count: int, most: int) -> list[int]:
    """Return at most `most` of the positions 0 … count − 1: the middles of equal parts.

    >>> space_evenly(8, 2), space_evenly(2, 8)
    ([2, 6], [0, 1])
    """
    return list(range(count)) if count <= most else [(2 * n + 1) * count // (2 * most) for n in range(most)]


def read_date(value: Any, where: str) -> datetime:
    """Return the time that an ISO 8601 text (or a year) means, in UTC if it names no zone. Raises DataError."""
    text = read_text_cell(value)
    try:
        if text is None:
            raise ValueError
        found = datetime(int(text), 1, 1) if len(text) == 4 else datetime.fromisoformat(text)
    except ValueError:
        said = f"'{shorten_text(text)}' is" if text else "it has"
        raise DataError(
            f"{where}: {said} no date; expected ISO 8601, such as 2024-05-31, or a year"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
