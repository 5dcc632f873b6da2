"""Columns of Parquet and CSV files, and arrays of npz and npy files, without anything unpickled."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import DataError
from harness_importers.csv_rows import MARKS, decode, find_separator
from harness_importers.prediction_peeking import are_numbers

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

DIGITS = 9
"""So many significant digits tell every float32; text with no more is read as float32, which writes no more."""


@dataclass(frozen=True)
class Columns:
    """The columns of a file by name: of a table, or arrays."""

    file: Path
    names: Sequence[str]
    arrays: Mapping[str, NDArray[Any]]
    table: pa.Table | None = None
    text: bool = False
    """Whether a table holds text alone, as CSV does."""
    row_word: str = "row"
    first_row: int = 1

    def read_optional(self, name: str | None) -> Sequence[Any] | None:
        """Return the entries of a column, None for no column. Raises DataError if they are no single values."""
        if name is None:
            return None
        if self.table is not None:
            try:
                values: list[Any] = self.table[name].to_pylist()
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{self.file}: column '{name}' holds text that is not UTF-8: {error}"
                ) from None
            return values
        array = self.arrays[name]
        if array.ndim != 1:
            raise DataError(f"{self.file}: {name} of the shape {array.shape}: expected one for each sample")
        return list(array.tolist())

    def holds_numbers(self, name: str) -> bool:
        """Return whether a column holds a number for each sample, and no lists of numbers."""
        if self.table is None:
            return self.arrays[name].ndim == 1
        return are_numbers(self.table[name])

    def read_scores(self, names: Sequence[str], listed: bool) -> NDArray[Any]:
        """Return numbers N×C of one column with all of a sample's (`listed`), or of a column for each class."""
        if self.table is not None:
            return _read_list_column(self, names[0]) if listed else _read_class_columns(self, names)
        if listed:
            return self.arrays[names[0]]
        arrays = [self.arrays[name] for name in names]
        for name, array in zip(names, arrays, strict=True):
            if array.shape != (len(arrays[0]),):
                raise DataError(
                    f"{self.file}: '{name}' of the shape {array.shape}: expected {len(arrays[0])} numbers, as '{names[0]}' has"
                )
        return np.stack(arrays, axis=1)

    def read_class_names(self) -> list[str] | None:
        """Return the array `class_names` of an npz file, or None."""
        found = next((self.arrays[n] for n in ("class_names", "classes") if n in self.arrays), None)
        return [str(name) for name in found] if found is not None and found.ndim == 1 else None

    def row(self, index: int) -> str:
        """Return file and row for the beginning of a message."""
        return f"{self.file}: {self.row_word} {self.first_row + index}"


def read_parquet(file: Path) -> Columns:
    """Return a Parquet file's columns. Raises DataError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(file).read()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: not a Parquet file that can be read: {_first_line(error)}") from None
    return Columns(file, table.column_names, {}, table)


def read_csv(file: Path) -> Columns:
    """Return the columns of a CSV file with a header, as text. Raises DataError."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv

    try:
        with file.open("rb") as stream:
            is_wide = stream.read(2) in MARKS
            stream.seek(0)
            lines = (
                iter(stream.readline, b"") if not is_wide else iter(decode(file).encode().splitlines(True))
            )
            blank = 0
            while (header := next(lines, b"")) and not header.strip():
                blank += 1
        parsing = csv.ParseOptions(
            newlines_in_values=True, delimiter=find_separator(header.decode("utf-8", "replace"))
        )
        names = csv.read_csv(pa.BufferReader(header), parse_options=parsing).column_names if header else []
        types = dict.fromkeys(names, pa.string())
        options = csv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=True)
        source = pa.BufferReader(decode(file).encode()) if is_wide else file
        table = csv.read_csv(source, convert_options=options, parse_options=parsing)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: not a CSV file that can be read: {_first_line(error)}") from None
    stripped = [name.strip() for name in table.column_names]
    if stripped != table.column_names:  # written with blanks after its separators
        columns = [
            pc.utf8_trim_whitespace(column) if pa.types.is_string(column.type) else column
            for column in table.columns
        ]
        table = pa.table(columns, names=stripped)
    if len(set(table.column_names)) != len(table.column_names):
        twice = next(n for n in table.column_names if table.column_names.count(n) > 1)
        raise DataError(f"{file}: two columns are called '{twice}'")
    return Columns(file, table.column_names, {}, table, text=True, row_word="line", first_row=2 + blank)


def read_arrays(file: Path) -> Columns:
    """Return the arrays of an npz file by name, or of an npy file as `array`. Raises DataError for objects in them."""
    found: Any = None
    try:
        found = np.load(file, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return Columns(file, ["array"], {"array": _require_plain(found, file, "the array")})
        with found:
            arrays = {
                name: _require_plain(_load(found, name, file), file, f"'{name}'") for name in found.files
            }
    except DataError:
        raise
    except Exception as error:  # NumPy and zipfile raise almost anything for damaged files
        raise DataError(
            f"{file}: not a file of NumPy arrays that can be read: {_first_line(error)}"
        ) from None
    return Columns(file, list(arrays), arrays)


def read_json_list(file: Path) -> NDArray[Any]:
    """Return a JSON list of labels, or of lists of numbers, as an array. Raises DataError."""
    try:
        content = json.loads(file.read_bytes())
        array = np.asarray(content)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{file}: not a JSON list of equal rows that can be read: {_first_line(error)}"
        ) from None
    if not isinstance(content, list) or array.dtype.kind not in "fiuU":
        raise DataError(f"{file}: expected a JSON list of labels, or of lists of numbers")
    return array


def _load(found: Any, name: str, file: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = found[name]
    except ValueError as error:
        raise DataError(
            f"{file}: '{name}' is an array of objects, which is not unpickled: {_first_line(error)}"
        ) from None
    return array


def _require_plain(array: NDArray[Any], file: Path, what: str) -> NDArray[Any]:
    if array.dtype.hasobject or array.dtype.names:
        raise DataError(f"{file}: {what} has entries of the type {array.dtype}: expected numbers or texts")
    return array


def _read_class_columns(columns: Columns, names: Sequence[str]) -> NDArray[Any]:
    assert columns.table is not None
    if columns.text:
        texts = [columns.table[name] for name in names]
        found = [_parse_numbers(columns, name, text) for name, text in zip(names, texts, strict=True)]
        return _narrow(np.stack(found, axis=1), lambda: _count_digits(texts))
    return np.stack([_to_numbers(columns, name, columns.table[name]) for name in names], axis=1)


def _read_list_column(columns: Columns, name: str) -> NDArray[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    assert columns.table is not None
    column = columns.table[name]
    if columns.text or pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return _parse_lists(columns, name)
    types = pa.types
    if not (
        types.is_list(column.type)
        or types.is_large_list(column.type)
        or types.is_fixed_size_list(column.type)
    ):
        raise DataError(
            f"{columns.file}: column '{name}' is of the type {column.type}: expected a list in each row"
        )
    lengths = pc.list_value_length(column).to_pylist()
    _require_equal_lengths(columns, name, lengths)
    flat = column.combine_chunks().flatten()
    return _to_numbers(columns, name, flat, lengths[0] or 1).reshape(len(lengths), -1)


def _parse_lists(columns: Columns, name: str) -> NDArray[Any]:
    """Return numbers written as JSON lists, `[0.1, 2]`."""
    assert columns.table is not None
    rows: list[Any] = []
    for index, text in enumerate(columns.table[name].to_pylist()):
        try:
            row = json.loads(text)
        except (TypeError, ValueError):
            row = None
        if not isinstance(row, list) or not all(isinstance(v, int | float) for v in row):
            raise DataError(
                f"{columns.row(index)}: '{name}' is {text!r:.40}: expected a list of numbers, [0.5, …]"
            )
        rows.append(row)
    _require_equal_lengths(columns, name, [len(row) for row in rows])
    texts = columns.table[name].to_pylist()
    return _narrow(np.asarray(rows, np.float64), lambda: max(map(len, _find_digits(texts))))


def _find_digits(texts: Sequence[str]) -> Iterator[str]:
    """Yield the significant digits of each number in texts of lists."""
    for text in texts:
        for number in re.findall(r"[-+.\deE]+", text):
            yield re.sub(r"[eE].*$|[-+.]", "", number).lstrip("0")


def _require_equal_lengths(columns: Columns, name: str, lengths: Sequence[int | None]) -> None:
    for index, length in enumerate(lengths):
        if length is None or length != lengths[0]:
            found = "is empty" if length is None else f"has {length} numbers"
            raise DataError(f"{columns.row(index)}: '{name}' {found}, those before have {lengths[0]}")


def _to_numbers(columns: Columns, name: str, column: Any, width: int = 1) -> NDArray[Any]:
    """Return an Arrow column of numbers; entries that are missing are an error."""
    import pyarrow as pa

    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        raise DataError(f"{columns.file}: column '{name}' is of the type {column.type}: expected numbers")
    if column.null_count:
        index = next(n for n, missing in enumerate(column.is_null()) if missing.as_py()) // width
        raise DataError(f"{columns.row(index)}: '{name}' is empty")
    return np.asarray(
        column.to_numpy() if isinstance(column, pa.ChunkedArray) else column.to_numpy(zero_copy_only=False)
    )


def _parse_numbers(columns: Columns, name: str, text: Any) -> NDArray[np.float64]:
    """Return a column of text as numbers. Raises DataError with the first row that is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not text.null_count:
        try:
            return np.asarray(pc.cast(pc.utf8_trim_whitespace(text), pa.float64()).to_numpy())
        except pa.ArrowInvalid:
            pass
    for index, value in enumerate(text.to_pylist()):
        try:
            float(value)
        except (TypeError, ValueError):
            shown = "is empty" if value is None else f"is '{value:.40}': expected a number"
            raise DataError(f"{columns.row(index)}: '{name}' {shown}") from None
    return np.array([float(value) for value in text.to_pylist()])


def _narrow(numbers: NDArray[np.float64], count_digits: Callable[[], int]) -> NDArray[Any]:
    """Return numbers as float32 if that is what was written: all are float32 exactly, or have too few digits for more."""
    with np.errstate(over="ignore"):
        small = numbers.astype(np.float32)
    if not np.isfinite(small[np.isfinite(numbers)]).all():
        return numbers
    exact = np.array_equal(small, numbers, equal_nan=True)
    return small if exact or count_digits() <= DIGITS else numbers


def _count_digits(texts: Sequence[Any]) -> int:
    """Return the most significant digits of any number in columns of text."""
    import pyarrow.compute as pc

    most = 0
    for text in texts:
        digits = pc.replace_substring_regex(text, pattern=r"[eE].*$|[-+.\s]", replacement="")
        digits = pc.replace_substring_regex(digits, pattern=r"^0+", replacement="")
        most = max(most, pc.max(pc.utf8_length(digits)).as_py() or 0)
    return most


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:200] or type(error).__name__
