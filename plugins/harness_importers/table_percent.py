"""Whether numbers of a plain table that don't say so are fractions or percentages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from harness_importers.csv_rows import Row
from harness_importers.numbers import BOUNDED
from harness_importers.table_cells import Marks, read_number
from harness_importers.table_columns import PERCENT, Measured, name_metric


def mark_percent(
    measured: Sequence[Measured], fractions: Sequence[str], rows: Sequence[Row], marks: Marks
) -> list[Measured]:
    """Return columns, those that don't say it in percent if their numbers are. Raises ValueError in doubt.

    Columns of `fractions` are not in percent. Columns of one metric in several data sets are alike.
    """
    silent = [
        m for m in measured if BOUNDED.fullmatch(m.metric) and not m.percent and m.column not in fractions
    ]
    first = {m.metric: m.column for m in reversed(silent)}
    numbers: dict[str, list[Decimal]] = {column: [] for column in first.values()}
    for each in silent:
        numbers[first[each.metric]] += _read_numbers((row.cells.get(each.column, "") for row in rows), marks)
    above = tell_percent(numbers, "percent={0} or fraction={0}")
    return [
        replace(m, percent=True, guessed=True) if m in silent and above[first[m.metric]] else m
        for m in measured
    ]


def find_value(
    roles: Mapping[str, str], lists: Mapping[str, Sequence[str]], rows: Sequence[Row], marks: Marks
) -> Measured:
    """Return the column of values of any metric, and which metrics are in percent. Raises ValueError in doubt."""
    value = roles["value"]
    if value in lists["percent"] or value in lists["fraction"]:
        return Measured(value, "", True, value in lists["percent"])
    numbers: dict[str, list[Decimal]] = {}
    for row in rows:
        written = row.cells.get(roles["metric"], "")
        if BOUNDED.fullmatch(metric := name_metric(written)) and not PERCENT.search(written):
            numbers.setdefault(metric, []).extend(_read_numbers([row.cells.get(value, "")], marks))
    above = tell_percent(numbers, f"percent={value} or fraction={value}, or write a % after the numbers")
    return Measured(value, "", True, False, in_percent=frozenset(m for m, yes in above.items() if yes))


def tell_percent(numbers: Mapping[str, Sequence[Decimal]], cure: str) -> dict[str, bool]:
    """Return of each metric between 0 and 1 whether its numbers are percentages: some are above 1.

    `numbers` are those of a whole table by metric; `cure` says for a metric's name what the user can do. Raises
    ValueError if some metrics have numbers above 1 and another has none: 0.4 may then be 0.4 % as well as 40 %.
    """
    above = {metric: any(n.is_finite() and n > 1 for n in own) for metric, own in numbers.items()}
    for metric, own in numbers.items():
        low = next((n for n in own if n.is_finite() and 0 < n <= 1), None)
        if low is not None and not above[metric] and any(above.values()):
            other = next(name for name, is_above in above.items() if is_above)
            raise ValueError(
                f"{metric}: {low}, a fraction or a percentage? none of it is above 1, and some of {other} are: "
                f"say {cure.format(metric)}"
            )
    return above


def _read_numbers(texts: Iterable[str], marks: Marks) -> Iterator[Decimal]:
    for text in texts:
        try:
            number = read_number(text, marks)
        except ValueError:
            continue
        if number is not None:
            yield number
