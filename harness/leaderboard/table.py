"""The table object: what is shown, how sure it is, and what stands below it. Renderers read it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

DASH = "–"

METRIC = "metric"
"""The pseudo-coordinate that stands for the values shown, when there are several."""

MANY = 3
"""From how many footnotes on, alike but for the labels of their numbers, one stands for all."""


@dataclass
class Entry:
    """One number of a table.

    `low` and `high` bound it at the table's level, by `method`; `spread` is the standard deviation
    over seeds. `count` records of `expected` stand behind it, whose ids are in `records`. `best`
    marks the best of its group, `tied` what is not significantly worse. `notes` index footnotes.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    spread: float | None = None
    method: str = ""
    count: int = 0
    expected: int = 0
    best: bool = False
    tied: bool = False
    notes: list[int] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    format: Column | None = None
    """What its number is where its column does not say, as in a transposed table; see `what`."""


@dataclass
class Column:
    """A column: its header from outermost to innermost, and what its numbers are."""

    header: tuple[str, ...]
    metric: str
    kind: Literal["value", "delta", "cost", "rank"] = "value"
    percent: bool = False
    decimals: int = 3
    higher_is_better: bool | None = True


@dataclass
class Row:
    """A row: its header, its group (if the table is grouped), and one entry per column."""

    header: tuple[str, ...]
    entries: list[Entry]
    group: str = ""


@dataclass
class Table:
    """A leaderboard, ready to be written in any format."""

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
            alike.setdefault(_unlabelled(self.footnotes[n], labels), []).append(n)
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

    def render(self, format: str = "terminal") -> str:
        """The table as text: `terminal`, `markdown`, `csv`, `json`, `latex` or `html`.

        Raises HarnessError for another format.
        """
        from harness.leaderboard.formats import render

        return render(self, format)

    def __str__(self) -> str:
        return self.render()

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return self.render("html")

    def transposed(self) -> Table:
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
                [replace(r.entries[n], format=what(r.entries[n], c)) for r in self.rows],
            )
            for n, c in enumerate(self.columns)
        ]
        return Table(
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


def what(entry: Entry, column: Column) -> Column:
    """What an entry's number is: as the entry itself says, else as its column does."""
    return entry.format or column


def shown(entry: Entry, column: Column) -> str:
    """An entry's value as it is to be shown; a dash where it has none."""
    return DASH if entry.value is None else number(entry.value, what(entry, column))


def number(value: float, column: Column) -> str:
    """A value as its column shows it; infinite values by name, tiny and huge ones in powers of ten."""
    if value != value:
        return DASH
    if abs(value) == float("inf"):
        return "∞" if value > 0 else "−∞"
    shown = value * 100 if column.percent else value
    if column.kind == "cost":
        return _cost(shown)
    text = f"{shown:.2e}" if _in_powers(shown, column) else f"{shown:.{column.decimals}f}"
    if column.kind == "delta" and shown > 0:
        text = f"+{text}"
    return _minus(text)


def _minus(text: str) -> str:
    """A number with a real minus sign."""
    return text.replace("-", "−", 1) if text.startswith("-") else text


def _in_powers(shown: float, column: Column) -> bool:
    """Whether a value is shown in powers of ten: a huge one, or one that would be rounded to zero."""
    vanishes = shown and not column.percent and float(f"{shown:.{column.decimals}f}") == 0
    return bool(vanishes) or abs(shown) >= 1e7


def _cost(value: float) -> str:
    """Three digits that count and a unit prefix from ten thousand on: `3811`, `25.6 M`."""
    # a value goes to the next prefix where three digits would round it up to a thousand of this one
    steps = ((0.9995e12, 1e12, "T"), (0.9995e9, 1e9, "G"), (0.9995e6, 1e6, "M"), (1e4, 1e3, "k"))
    for limit, unit, prefix in steps:
        if abs(value) >= limit:
            return f"{value / unit:.3g} {prefix}"
    return f"{value:.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.3g}"


def has_width(low: float, high: float, value: float) -> bool:
    """Whether an interval says anything: equal numbers tell nothing of how far others would lie.

    Differences of equal numbers may differ in their last digit.
    """
    return not high - low <= 1e-12 * max(1.0, abs(value))


def _first_digit(value: float) -> str:
    """A small positive number to its first digit that counts, without powers of ten."""
    return f"{value:.{max(0, -math.floor(math.log10(value)))}f}"


def half_width(entry: Entry, column: Column) -> str:
    """Return the interval in words that fit beside a number: `± h` when symmetric, else `[low, high]`.

    It is written as the number is: in powers of ten beside such a number, with unit prefixes beside a
    cost, with more digits where it would be rounded to nothing. An interval without a width says
    nothing and is left out.
    """
    if entry.low is None or entry.high is None or entry.value is None or entry.low == entry.high:
        return ""
    column = what(entry, column)
    scale = 100 if column.percent else 1
    value, low, high = (v * scale for v in (entry.value, entry.low, entry.high))
    if column.kind == "cost":
        up, down = _cost(high - value), _cost(value - low)
        return f"± {up}" if up == down and high >= value >= low else f"[{_cost(low)}, {_cost(high)}]"
    style = ".2e" if _in_powers(value, column) else f".{column.decimals}f"
    up, down = format(high - value, style), format(value - low, style)
    if up == down and high >= value >= low:
        return f"± {up}" if float(up) else f"± {_first_digit(max(high - value, value - low))}"
    return f"[{_signed(low, style)}, {_signed(high, style)}]"


def marks(notes: Iterable[int]) -> str:
    """Return the numbers of footnotes as they stand beside a number; runs are drawn together: `1,3–5`.

    >>> marks([0, 2, 3, 4])
    '1,3–5'
    """
    numbers = sorted({n + 1 for n in notes})
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    runs = []
    for start, end in zip(starts, ends, strict=True):
        runs.append(f"{start}–{end}" if end - start > 1 else ",".join(map(str, range(start, end + 1))))
    return ",".join(runs)


def legend(table: Table, best: str, tied: str) -> str:
    """Return what marks the best numbers and those tied with them, in the words of a format; or nothing."""
    if not any(entry.best for entry in table.entries):
        return ""
    test = f"paired on the same samples, Holm, {1 - table.level:.2g}"
    return f"{best}: best; {tied}: not significantly worse ({test})"


def _signed(value: float, style: str) -> str:
    """A number with a real minus sign, and none before a zero."""
    text = format(value, style)
    return text.lstrip("-") if float(text) == 0 else _minus(text)


def _unlabelled(text: str, labels: set[str]) -> str:
    """A footnote without the labels that its numbers' own headers show."""
    for label in sorted(labels, key=len, reverse=True):
        text = text.removeprefix(f"{label}: ")
        text = re.sub(rf"\b(model|method|data set) '{re.escape(label)}'", r"\1", text)
    return text
