"""The layout of a table: rows, columns, caption and footnotes, as renderers read them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Self

from harness.leaderboard.entries import Column, Row, TableValue, effective_column

if TYPE_CHECKING:
    import pandas as pd

MANY = 3
"""This many footnotes that differ only in the labels of their numbers become one."""


@dataclass
class Layout:
    """The content of a table and the footnotes below it; `Table` adds the formats."""

    name: str
    title: str
    row_names: tuple[str, ...]
    column_names: tuple[str, ...]
    columns: list[Column]
    rows: list[Row]
    footnotes: list[str] = field(default_factory=list)
    caption: str = ""
    level: float = 0.95
    titles: dict[str, str] = field(default_factory=dict)
    """What headers show for the keys of metrics and costs."""
    name_titles: dict[str, str] = field(default_factory=dict)
    """What headers show for the names of rows and columns."""
    _numbers: dict[str, int] = field(default_factory=dict, init=False, repr=False, compare=False)
    """The index of each footnote, since a large table may have one per row."""

    def note(self, text: str) -> int:
        """Return the index of the footnote with that text, after adding it if it is new."""
        if len(self._numbers) != len(self.footnotes):
            self._numbers = {text: n for n, text in enumerate(self.footnotes)}
        if text not in self._numbers:
            self._numbers[text] = len(self.footnotes)
            self.footnotes.append(text)
        return self._numbers[text]

    @property
    def entries(self) -> Iterator[TableValue]:
        """Iterate over all entries, row by row."""
        return (entry for row in self.rows for entry in row.entries)

    @property
    def row_titles(self) -> list[str]:
        """The headers above the names of rows."""
        return [self.name_titles.get(name, name) for name in self.row_names]

    def show_header(self, column: Column) -> tuple[str, ...]:
        """Return a column's header as people read it: metrics by their titles."""
        known = len(self.column_names)
        return tuple(
            self.titles.get(text, text) if n >= known or self.column_names[n] == "metric" else text
            for n, text in enumerate(column.header)
        )

    def show_labels(self, row: Row) -> tuple[str, ...]:
        """Return a row's header as people read it: metrics by their titles."""
        return tuple(
            self.titles.get(text, text) if name in ("metric", "") else text
            for name, text in zip(self.row_names, row.header, strict=True)
        )

    @property
    def general(self) -> list[str]:
        """The footnotes that no number points to: they apply to the whole table."""
        pointed = {n for entry in self.entries for n in entry.notes}
        return [text for n, text in enumerate(self.footnotes) if n not in pointed]

    def say_once(self) -> None:
        """Turn a footnote that every number has into a general one, without marks.

        Footnotes that differ only in the labels of their numbers' own rows and columns become one.
        """
        self._join_alike()
        noted = [e for e in self.entries if e.value is not None]
        common = set.intersection(*(set(e.notes) for e in noted)) if len(noted) > 1 else set()
        if not common:
            return
        kept = [n for n in range(len(self.footnotes)) if n not in common]
        places = {n: place for place, n in enumerate(kept)}
        general = [f"all numbers: {self.footnotes[n]}" for n in sorted(common)]
        for entry in self.entries:
            entry.notes = [places[n] for n in entry.notes if n in places]
        self.footnotes = [*(self.footnotes[n] for n in kept), *general]
        self._numbers = {}

    def _join_alike(self) -> None:
        """Merge footnotes that differ only in the labels of their numbers' own rows and columns."""
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
        """Return the values as a DataFrame with the headers as index and columns."""
        import pandas as pd

        index = pd.MultiIndex.from_tuples([r.header for r in self.rows], names=self.row_names)
        columns = pd.MultiIndex.from_tuples([c.header for c in self.columns])
        data = [[e.value for e in r.entries] for r in self.rows]
        return pd.DataFrame(data, index=index, columns=columns, dtype=float)

    def transposed(self) -> Self:
        """Return the table with rows as columns; each entry keeps its column's format.

        Column headers may be deeper than the named coordinates, by a metric or a Δ: all new rows get headers
        of the same depth, and every layer a name, which may be empty.
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
            Column(
                r.header or ("",),
                first.metric,
                first.kind,
                first.percent,
                first.decimals,
                better,
                r.published,
            )
            for r in self.rows
        ]
        rows = [
            Row(
                (*c.header, *[""] * (depth - len(c.header))),
                [replace(r.entries[n], format=effective_column(r.entries[n], c)) for r in self.rows],
            )
            for n, c in enumerate(self.columns)
        ]
        fixed = (self.footnotes, self.caption, self.level, self.titles, self.name_titles)
        return type(self)(self.name, self.title, names, self.row_names, columns, rows, *fixed)


def footnote_marks(notes: Iterable[int]) -> str:
    """Return the footnote numbers of a value, with runs joined.

    >>> footnote_marks([0, 2, 3, 4])
    '1,3–5'
    """
    numbers = sorted({n + 1 for n in notes})
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    runs = []
    for start, end in zip(starts, ends, strict=True):
        runs.append(f"{start}–{end}" if end - start > 1 else ",".join(map(str, range(start, end + 1))))
    return ",".join(runs)


def marks_legend(table: Layout, best: str, tied: str) -> str:
    """Return the legend of the marks of best and tied numbers, named as a format shows them; or nothing."""
    if not any(entry.best for entry in table.entries):
        return ""
    test = f"paired on the same samples, Holm, {1 - table.level:.2g}"
    sets = [*(row.published for row in table.rows), *(column.published for column in table.columns)]
    among = " of those measured here" if any(sets) else ""
    return f"{best}: best{among}; {tied}: not significantly worse ({test})"


def _strip_labels(text: str, labels: set[str]) -> str:
    """Return a footnote without the labels that its numbers' own headers show."""
    for label in sorted(labels, key=len, reverse=True):
        text = text.removeprefix(f"{label}: ")
        text = re.sub(rf"\b(model|method|data set) '{re.escape(label)}'", r"\1", text)
    return text


def header_spans(table: Layout, layer: int) -> list[tuple[str, int]]:
    """Return the names of one header line, and how many equal neighbours below one outer header share each."""
    shown = [table.show_header(c) for c in table.columns]
    keys = [(header[:layer], header[layer] if layer < len(header) else "") for header in shown]
    return [(name, len(list(same))) for (_, name), same in groupby(keys)]
