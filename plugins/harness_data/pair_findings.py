"""What was found wrong in a collection of pairs: kinds, counts and names, for the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

NAMED = 50
"""How many names of a kind a report lists; `count` is exact all the same."""

KINDS: dict[str, str] = {
    "image missing": "the image is left out of the pair",
    "text missing": "the text is left out of the pair",
    "text empty": "the text is left out of the pair",
    "image unreadable": "the image is left out of the pair",
    "image greyscale": "read as colour",
    "text not in UTF-8": "read in the encoding given in `encodings`",
    "text damaged": "what can't be decoded became U+FFFD",
    "name outside the folder": "not read; taken for missing",
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
"""Every kind of dirt that is looked for, with what is done about it."""


class Findings:
    """Collects names (of files, ids or rows) under the kinds above, in the order they are met."""

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {}

    def add(self, kind: str, name: str) -> None:
        """Notes one thing. Raises KeyError for a kind that is not in `KINDS`."""
        if kind not in KINDS:
            raise KeyError(kind)
        self.names.setdefault(kind, []).append(name)

    def extend(self, kind: str, names: Iterable[str]) -> None:
        """Notes several things of one kind."""
        for name in names:
            self.add(kind, name)

    def report(self) -> dict[str, dict[str, Any]]:
        """JSON-able: for each kind that occurred, `count`, what was `done`, and the first `names`."""
        return {
            kind: {"count": len(self.names[kind]), "done": done, "names": self.names[kind][:NAMED]}
            for kind, done in KINDS.items()
            if kind in self.names
        }

    def counts(self) -> Mapping[str, int]:
        """How many of each kind that occurred."""
        return {kind: len(names) for kind, names in self.names.items()}
