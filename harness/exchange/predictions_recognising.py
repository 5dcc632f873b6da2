"""Whether files hold predictions per sample, which are imported in another way than finished numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.contract.declared import ask
from harness.errors import DataError
from harness.exchange.recognising import NamedImporter, make_finder


def find_predictions_importer(paths: Sequence[Path], named: NamedImporter | None) -> NamedImporter | None:
    """Return the importer of predictions that reads all of the files; None if none of them are predictions.

    `named` is the one that the user names. Raises DataError if predictions and other files are mixed.
    """
    if named is not None:
        return named if ask(named.importer, "gives_predictions") else None
    finder = make_finder()
    found: dict[str, tuple[NamedImporter, Path]] = {}
    others: list[Path] = []
    for path in paths:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            if file.suffix.lower() == ".json" or not file.is_file():
                continue  # only a named importer takes bare lists for predictions
            reader = finder(file)
            if reader is not None and ask(reader.importer, "gives_predictions"):
                found.setdefault(reader.name, (reader, file))
            elif reader is not None:
                others.append(file)
    if not found:
        return None
    by, first = next(iter(found.values()))
    if others or len(found) > 1:
        raise DataError(
            f"{first}: holds predictions, and others of these files do not: import it without them, --as {by.name}"
        )
    return by
