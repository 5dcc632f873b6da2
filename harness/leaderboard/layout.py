"""The layout of a table: what is shown, how sure it is, and what stands below it. Renderers read it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from harness.leaderboard.entries import Column, Entry, Row, effective_column

if TYPE_CHECKING:
    import pandas as pd

MANY = 3
"""From how many footnotes on, alike but for the labels of their numbers, one stands for all."""


@dataclass
class Layout:
    """What stands in a table and below it; `Table` adds how it is written."""

    name: str
    title: str
    row_names: tuple[str, ...]
    column_names: tuple[str, ...]
    columns: list[Column]
    rows: list[Row]
    footnotes: list[str] = field(default_factory=list)
    caption: str = ""
    level: float = 0.95
    _numbers: dict[str, int] = field(default_factory=dict, init=False, repr=False, compare=False)
    """The number of each footnote: a large table may have one per row."""

    def note(self, text: str) -> int:
        """Return the number of the footnote with that text, added if it is new."""
        if len(self._numbers) != len(self.footnotes):
            self._numbers = {text: n for n, text in enumerate(self.footnotes)}
        if text not in self._numbers:
            self._numbers[text] = len(self.footnotes)
            self.footnotes.append(text)
        return self._numbers[text]

    @property
    def entries(self) -> Iterator[Entry]:
        """All entries, row by row."""
        return (entry for row in self.rows for entry in row.entries)

    @property
    def general(self) -> list[str]:
        """The footnotes that no number points to: they hold for all of the table."""
        pointed = {n for entry in self.entries for n in entry.notes}
        return [text for n, text in enumerate(self.footnotes) if n not in pointed]

    def say_once(self) -> None:
        """Say what is noted at every number in one footnote, without a mark at each of them.

        Of many footnotes that differ only in the labels of their numbers' own rows and columns one is kept.
        """
        self._join_alike()
        noted = [e for e in self.entries if e.value is not None]
        common = set.intersection(*(set(e.notes) for e in noted)) if len(noted) > 1 else set()
        if not common:
            return
        kept = [n for n in range(len(self.footnotes)) if n not in common]
        places = {n: place for place, n in enumerate(kept)}
        said = [f"all numbers: {self.footnotes[n]}" for n in sorted(common)]
        for entry in self.entries:
            entry.notes = [places[n] for n in entry.notes if n in places]
        self.footnotes = [*(self.footnotes[n] for n in kept), *said]
        self._numbers = {}

    def _join_alike(self) -> None:
        """One footnote for many that say the same of each number's own row or column, whose labels it leaves out."""
        shared: dict[int, set[str]] = {}
        for row in self.rows:
            for column, entry in zip(self.columns, row.entries, strict=True):
                for n in entry.notes:
                    labels = {*row.header, *column.header} - {""}
                    shared[n] = shared[n] & labels if n in shared else labels
        alike: dict[str, list[int]] = {}
        for n, labels in sorted(shared.items()):
            alike.setdefault(_strip_labels(self.footnotes[n], labels), []).append(n)
        joined = {n: (same[0], text) for text, same in alike.items() if len(same) >= MANY for n in same}
        if not joined:
            return
        kept = [n for n in range(len(self.footnotes)) if n not in joined or joined[n][0] == n]
        places = {n: place for place, n in enumerate(kept)}
        for entry in self.entries:
            entry.notes = list(dict.fromkeys(places[joined[n][0] if n in joined else n] for n in entry.notes))
        self.footnotes = [joined[n][1] if n in joined else self.footnotes[n] for n in kept]
        self._numbers = {}

    def to_dict(self) -> dict[str, Any]:
        """Return the table as JSON-able data."""
        data = asdict(self)
        del data["_numbers"]
        return data

    def to_frame(self) -> pd.DataFrame:
        """The values as a DataFrame; headers become its index and columns."""
        import pandas as pd

        index = pd.MultiIndex.from_tuples([r.header for r in self.rows], names=self.row_names)
        columns = pd.MultiIndex.from_tuples([c.header for c in self.columns])
        data = [[e.value for e in r.entries] for r in self.rows]
        return pd.DataFrame(data, index=index, columns=columns, dtype=float)

    def transposed(self) -> Self:
        """Rows as columns; each entry goes on being shown as its column said.

        Headers of columns may be deeper than the coordinates have names, by a metric or a Δ: all
        rows get one of the same depth, and every layer a name, which may be empty.
        """
        depth = max((len(c.header) for c in self.columns), default=len(self.column_names))
        named = len(self.column_names)
        metric = any(c.header[named : named + 1] == (c.metric,) for c in self.columns)
        names = (*self.column_names, *(["metric"] if metric else []))
        names = (*names, *[""] * (depth - len(names)))
        first = self.columns[0] if self.columns else Column(("",), "")
        directions = {c.higher_is_better for c in self.columns if c.kind == "value"}
        better = directions.pop() if len(directions) == 1 else None
        columns = [
            Column(r.header or ("",), first.metric, first.kind, first.percent, first.decimals, better)
            for r in self.rows
        ]
        rows = [
            Row(
                (*c.header, *[""] * (depth - len(c.header))),
                [replace(r.entries[n], format=effective_column(r.entries[n], c)) for r in self.rows],
            )
            for n, c in enumerate(self.columns)
        ]
        return type(self)(
            self.name,
            self.title,
            names,
            self.row_names,
            columns,
            rows,
            self.footnotes,
            self.caption,
            self.level,
        )


def marks_legend(table: Layout, best: str, tied: str) -> str:
    """Return what marks the best numbers and those tied with them, in the words of a format; or nothing."""
    if not any(entry.best for entry in table.entries):
        return ""
    test = f"paired on the same samples, Holm, {1 - table.level:.2g}"
    return f"{best}: best; {tied}: not significantly worse ({test})"


def _strip_labels(text: str, labels: set[str]) -> str:
    """A footnote without the labels that its numbers' own headers show."""
    for label in sorted(labels, key=len, reverse=True):
        text = text.removeprefix(f"{label}: ")
        text = re.sub(rf"\b(model|method|data set) '{re.escape(label)}'", r"\1", text)
    return text
