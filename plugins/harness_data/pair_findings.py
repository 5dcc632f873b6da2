"""Problems found in a collection of pairs: kinds, counts and names, for reports and remarks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

MAX_NAMES = 50
"""The most names per kind that a report lists; its `count` is always exact."""

KINDS: dict[str, str] = {
    "image missing": "the image is left out of the pair",
    "text missing": "the text is left out of the pair",
    "text empty": "the text is left out of the pair",
    "image unreadable": "the image is left out of the pair",
    "image greyscale": "read as colour",
    "name not exact": "the file with the last part of the path, or with a similar name, is used",
    "text not in UTF-8": "read in the encoding stated in `encodings`",
    "text damaged": "undecodable bytes became U+FFFD",
    "name outside the folder": "not read; counted as missing",
    "neither text nor image": "the pair is left out",
    "label null": "the pair is neither trained on nor reported",
    "label unknown": "the pair is left out",
    "labels opposite": "the pair is left out",
    "labels without majority": "the pair is left out",
    "id twice": "the first row counts",
    "id twice with different labels": "the pair is left out",
    "id missing": "the row is left out",
    "row broken": "the row is left out",
    "image without id": "not read",
    "text without id": "not read",
    "second file of an id": "not read",
    "file of another kind": "not read",
}
"""Every kind of problem that is looked for, with how it is handled."""

LEFT_OUT: dict[str, str] = {
    "image missing": "without an image",
    "image unreadable": "with an image that can't be read",
    "text missing": "without a text",
    "text empty": "with an empty text",
    "text damaged": "with a partly undecodable text",
    "name outside the folder": "with a name that leads out of the folder",
    "neither text nor image": "left out since neither image nor text can be read",
}
"""The problems in the pairs of a split that a remark mentions, with their wording."""

UNUSED: dict[str, str] = {
    "label null": "rows without a label",
    "label unknown": "rows with a label that is not a class",
    "labels opposite": "rows with opposite labels",
    "labels without majority": "rows whose labels have no majority",
    "id twice": "rows with an id that occurred before",
    "id twice with different labels": "ids with different labels",
    "id missing": "rows without an id",
    "row broken": "rows that can't be read",
    "image without id": "images that no row names",
    "text without id": "texts that no row names",
    "second file of an id": "second files of an id",
    "file of another kind": "files that are neither images nor texts",
}
"""The same for unused rows and files of the collection."""

INEXACT: dict[str, str] = {
    "name not exact": "files are found by the last part of their path or a similar name"
}
"""The same for files that are taken for what a row names."""


class PairFindings:
    """Names (of files, ids or rows) collected under the kinds above, in the order of their discovery."""

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {}

    def add(self, kind: str, name: str) -> None:
        """Add one name. Raises KeyError for a kind that is not in `KINDS`."""
        if kind not in KINDS:
            raise KeyError(kind)
        self.names.setdefault(kind, []).append(name)

    def extend(self, kind: str, names: Iterable[str]) -> None:
        """Add several names of one kind."""
        for name in names:
            self.add(kind, name)

    def build_report(self) -> dict[str, dict[str, Any]]:
        """Return, for JSON, each kind that occurred with its `count`, what was `done`, and the first `names`."""
        return {
            kind: {"count": len(self.names[kind]), "done": done, "names": self.names[kind][:MAX_NAMES]}
            for kind, done in KINDS.items()
            if kind in self.names
        }

    def describe(self, words: Mapping[str, str], start: str) -> str | None:
        """Return one line with the count and first name of each kind in `words`; None if there are none.

        >>> findings = PairFindings()
        >>> findings.add("row broken", "labels.csv:7")
        >>> findings.describe(UNUSED, "not used")
        "not used: 1 rows that can't be read (first: labels.csv:7)"
        """
        parts = [
            f"{len(self.names[kind]):,} {text} (first: {self.names[kind][0]})"
            for kind, text in words.items()
            if kind in self.names
        ]
        return f"{start}: {', '.join(parts)}" if parts else None

    def counts(self) -> Mapping[str, int]:
        """Return the number of names of each kind that occurred."""
        return {kind: len(names) for kind, names in self.names.items()}
