"""The values of a table: entries, columns and rows, and how each is written."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

DASH = "–"

METRIC = "metric"
"""The pseudo-coordinate of the values shown, if there are several."""


@dataclass
class TableValue:
    """One number of a table.

    `low` and `high` bound it at the table's level, by `method`; `spread` is the standard deviation over
    seeds. It rests on `count` of `expected` records, whose ids are `records`. `best` marks the best of its
    group, `tied` what is not significantly worse. `notes` index footnotes.
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
    """Overrides the column's format, as in a transposed table; see `effective_column`."""


@dataclass
class Column:
    """A column: its header from outermost to innermost, and how its numbers are shown."""

    header: tuple[str, ...]
    metric: str
    kind: Literal["value", "delta", "cost", "rank"] = "value"
    percent: bool = False
    decimals: int = 3
    higher_is_better: bool | None = True
    published: str = ""
    """The set of a column of published numbers, as a transposed table has."""


@dataclass
class Row:
    """A row: its header, its group (if the table is grouped), and one entry per column.

    `published` names the set of a row of published numbers; it is empty for one's own.
    """

    header: tuple[str, ...]
    entries: list[TableValue]
    group: str = ""
    published: str = ""


def effective_column(entry: TableValue, column: Column) -> Column:
    """Return the entry's own format, else its column."""
    return entry.format or column


def format_value(entry: TableValue, column: Column) -> str:
    """Return an entry's value as text; a dash if it has none."""
    return DASH if entry.value is None else format_number(entry.value, effective_column(entry, column))


def format_number(value: float, column: Column) -> str:
    """Return a value as its column shows it; infinite ones as ∞, tiny and huge ones in powers of ten."""
    if value != value:
        return DASH
    if abs(value) == float("inf"):
        return "∞" if value > 0 else "−∞"
    shown = value * 100 if column.percent else value
    if column.kind == "cost":
        return _format_cost(shown)
    text = f"{shown:.2e}" if _needs_exponent(shown, column) else f"{shown:.{column.decimals}f}"
    if column.kind == "delta" and shown > 0:
        text = f"+{text}"
    return _true_minus(text)


def _true_minus(text: str) -> str:
    """Replace a leading hyphen by a minus sign."""
    return text.replace("-", "−", 1) if text.startswith("-") else text


def _needs_exponent(shown: float, column: Column) -> bool:
    """Return whether a value is shown in powers of ten: a huge one, or one that would round to zero."""
    vanishes = shown and not column.percent and float(f"{shown:.{column.decimals}f}") == 0
    return bool(vanishes) or abs(shown) >= 1e7


def _format_cost(value: float) -> str:
    """Return three significant digits, with a unit prefix from ten thousand on: `3811`, `25.6 M`."""
    # the limits lie below the units: three digits would round such a value to a thousand of the lower prefix
    steps = ((0.9995e12, 1e12, "T"), (0.9995e9, 1e9, "G"), (0.9995e6, 1e6, "M"), (1e4, 1e3, "k"))
    for limit, unit, prefix in steps:
        if abs(value) >= limit:
            return f"{value / unit:.3g} {prefix}"
    return f"{value:.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.3g}"


def has_width(low: float, high: float, value: float) -> bool:
    """Return whether an interval has a width: equal numbers do not show how far others would lie.

    The tolerance covers means of equal numbers that differ in their last digit.
    """
    return not high - low <= 1e-12 * max(1.0, abs(value))


def _first_digit(value: float) -> str:
    """Return a small positive number to its first significant digit, without powers of ten."""
    return f"{value:.{max(0, -math.floor(math.log10(value)))}f}"


def format_interval(entry: TableValue, column: Column) -> str:
    """Return the interval as text after a number: `± h` if symmetric, else `[low, high]`.

    It follows the number's format: powers of ten, unit prefixes for a cost, and more digits if it would
    round to zero. Return nothing for an interval without a width.
    """
    if entry.low is None or entry.high is None or entry.value is None or entry.low == entry.high:
        return ""
    column = effective_column(entry, column)
    scale = 100 if column.percent else 1
    value, low, high = (v * scale for v in (entry.value, entry.low, entry.high))
    if column.kind == "cost":
        up, down = _format_cost(high - value), _format_cost(value - low)
        return (
            f"± {up}"
            if up == down and high >= value >= low
            else f"[{_format_cost(low)}, {_format_cost(high)}]"
        )
    style = ".2e" if _needs_exponent(value, column) else f".{column.decimals}f"
    up, down = format(high - value, style), format(value - low, style)
    if up == down and high >= value >= low:
        return f"± {up}" if float(up) else f"± {_first_digit(max(high - value, value - low))}"
    return f"[{_format_end(low, style)}, {_format_end(high, style)}]"


def _format_end(value: float, style: str) -> str:
    """Return an interval's end with a minus sign, and none before a zero."""
    text = format(value, style)
    return text.lstrip("-") if float(text) == 0 else _true_minus(text)
