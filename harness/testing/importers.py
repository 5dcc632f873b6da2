"""Checks of an importer: it reads its example, the same each time, and names the file that it can't read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.contract.declared import ask
from harness.errors import DataError
from harness.exchange.contract import suffixes
from harness.testing.cell_runs import temporary_folder
from harness.testing.verdicts import describe_error, expect, must


@dataclass
class ImporterSubject:
    """An importer under test, with the example that it states."""

    plugin: Any

    @contextmanager
    def write(self, content: bytes) -> Iterator[tuple[Path, Path]]:
        """Write a file of that content with the importer's suffix, or its `example_name`, into a folder; yield both."""
        with temporary_folder() as place:
            end = next(iter(suffixes(self.plugin)), "")
            path = Path(place) / (ask(self.plugin, "example_name") or f"results{end}")
            path.write_bytes(content)
            yield Path(place), path

    @property
    def example(self) -> bytes:
        """The bytes of the example."""
        with must("`suffix` and `example`, two texts", "Folders and these checks start from them."):
            ends, example = suffixes(self.plugin), self.plugin.example
            assert ends
            assert all(end.startswith(".") for end in ends)
            return example.encode()  # type: ignore[no-any-return]


def check_reads(subject: ImporterSubject) -> None:
    """Its example becomes records, with a direction for every metric, and the same when it is read again."""
    from harness.exchange.importing import import_results
    from harness.records.store import Store

    with subject.write(subject.example) as (folder, path):
        store = Store(folder / "store")
        with must("the example to become records", "An importer is for nothing else."):
            first = import_results("kit", subject.plugin, [path], store, "kit")
            again = import_results("kit", subject.plugin, [folder], store, "kit")
    expect(
        (again.written, again.same) == (0, first.written + first.same),
        "the same results when the file is read again, as part of its folder",
        f"{again.written} new ones",
        "An import that is repeated would double the rows.",
    )


def check_recognises(subject: ImporterSubject) -> None:
    """If it recognises files: its example, and neither an empty file nor bytes."""
    recognise = ask(subject.plugin, "recognise")
    if recognise is None:
        return
    for name, content, is_own in (
        ("its example", subject.example, True),
        ("an empty file", b"", False),
        ("bytes", b"\xff\0", False),
    ):
        with subject.write(content) as (_, path):
            try:
                found: Any = recognise(path)
            except (
                Exception
            ) as error:  # a plugin may raise anything; the harness then counts it as not recognised
                found = False if not is_own else describe_error(error)
        expect(
            bool(found) is is_own and not isinstance(found, str),
            f"`recognise` to return {is_own} for {name}",
            repr(found),
            "`harness import FILE` finds the importer by it.",
        )


def check_refuses(subject: ImporterSubject) -> None:
    """What is not its program's file gets a DataError in one line that starts with the file's path."""
    for name, content in (("an empty file", b""), ("bytes", b"\xff\0")):
        with subject.write(content) as (_, path):
            try:
                found: Any = f"{len(list(subject.plugin.read(path)))} results"
            except DataError as error:
                found = str(error)
            except Exception as error:  # a plugin may raise anything
                found = describe_error(error)
            expect(
                found.startswith(f"{path}: ") and "\n" not in found,
                f"a DataError in one line that starts with the file's path, for {name}",
                found,
                "Users have to find the one wrong file among a thousand.",
            )
