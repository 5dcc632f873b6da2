"""Read files of other programs with their importers: results, and what of the files can't be read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import DataError, HarnessError, PluginBroken, interrupts, reason_of
from harness.exchange.contract import ImportedResult, UnreadRow, suffixes
from harness.exchange.predictions_contract import ImportedPredictions
from harness.exchange.recognising import NamedImporter, make_finder, unknown_file
from harness.exchange.result_checks import find_fault

SHOWN = 10
"""How many unreadable files get a line each."""


@dataclass(frozen=True)
class FileRead:
    """What an importer found in a file; `unread` says in a line each what it could not read."""

    by: NamedImporter
    file: Path
    digest: str
    results: Sequence[ImportedResult]
    unread: list[str] = field(default_factory=list)


def read_files(paths: Sequence[Path], by: NamedImporter | None, without: Path) -> tuple[list[FileRead], int]:
    """Return what is in the files, and in those of folders; and how many files of folders no importer recognises.

    `by` reads all of them; without it each file goes to the importer that recognises it. Files inside the folder
    `without`, the store, are no results. Raises DataError with
    a line for each file that can't be read as a whole, PluginBroken if an importer fails.
    """
    problems: list[str] = []
    found: list[FileRead] = []
    passed = 0
    finder: Callable[[Path], NamedImporter | None] = make_finder() if by is None else lambda _: by
    for path in paths:
        if not path.exists():
            raise DataError(f"{path}: no such file")
        for file in _list_files(path, by, without):
            try:
                reader = finder(file)
                if reader is not None:
                    found.append(read_file(reader, file))
                elif path.is_dir():
                    passed += 1
                else:
                    raise unknown_file(file)
            except DataError as error:
                problems.append(str(error))
    if problems:
        more = [f"… and {len(problems) - SHOWN} more files"] if len(problems) > SHOWN else []
        raise DataError("\n".join([*problems[:SHOWN], *more]))
    if not found:
        places = ", ".join(map(str, paths))
        ends = ", ".join(f"*{end}" for end in suffixes(by.importer)) if by else "no importer recognises any"
        raise DataError(
            f"{places}: no {ends} file there" if by else f"{places}: {ends} of the {passed} files there"
        )
    return found, passed


def _list_files(path: Path, by: NamedImporter | None, without: Path) -> list[Path]:
    """Return a file, or those of a folder and of its folders that may hold results, without hidden ones."""
    if not path.is_dir():
        return [path]
    store = without.resolve()
    found = []
    for inside in path.rglob("*"):
        if any(name.startswith(".") for name in inside.relative_to(path).parts) or not inside.is_file():
            continue
        if (by is None or by.takes(inside)) and store not in inside.resolve().parents:
            found.append(inside)
    return sorted(found)


def read_file(by: NamedImporter, file: Path) -> FileRead:
    """Return the results of a file. Raises DataError if there are none, or if one can't become a record."""
    unread: list[UnreadRow] = []
    try:
        results = [*_sort_out(by.importer.read(file), unread)]
    except BaseException as error:  # an importer may raise anything
        if isinstance(error, HarnessError) or interrupts(error):
            raise
        raise PluginBroken(f"{file}: importer '{by.name}' failed: {reason_of(error)}") from error
    lines = [f"{file}: {'' if row.line is None else f'line {row.line}: '}{row.reason}" for row in unread]
    if not results:
        raise DataError(lines[0] if lines else f"{file}: importer '{by.name}' found no results in it")
    for result in results:
        if fault := find_fault(result):
            raise DataError(f"{file}: importer '{by.name}' read {fault}")
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return FileRead(by, file, digest, results, lines)


def _sort_out(
    rows: Iterable[ImportedResult | UnreadRow | ImportedPredictions], unread: list[UnreadRow]
) -> Iterator[ImportedResult]:
    for row in rows:
        if isinstance(row, UnreadRow):
            unread.append(row)
        elif isinstance(row, ImportedPredictions):
            raise PluginBroken("it read predictions, and does not state `gives_predictions = True`")
        else:
            yield row
