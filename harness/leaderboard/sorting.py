"""Sort the rows of a table."""

from __future__ import annotations

from harness.errors import SuiteError, did_you_mean, nearest
from harness.leaderboard.entries import Row
from harness.leaderboard.layout import Layout
from harness.planning.suite import TableSpec


def sort_rows(table: Layout, spec: TableSpec) -> None:
    """Sort rows by a column: its innermost header, its metric, or its whole header joined by `/`."""
    if not spec.sort or not table.columns:
        return
    name = spec.sort.removeprefix("-")
    names = ["/".join(c.header) for c in table.columns]
    for n, column in enumerate(table.columns):
        if name in (names[n], column.header[-1], column.metric):
            ascending = (column.higher_is_better is False) != spec.sort.startswith("-")

            def key(row: Row, n: int = n, ascending: bool = ascending) -> tuple[bool, float, tuple[str, ...]]:
                value = row.entries[n].value
                if value is None or value != value:
                    return (True, 0.0, row.header)
                return (False, value if ascending else -value, row.header)

            groups = list(dict.fromkeys(r.group for r in table.rows))
            table.rows.sort(key=lambda r: (groups.index(r.group), key(r)))
            return
    near = nearest(name, {c.metric for c in table.columns})
    known = names if near is None else [*names, near]
    raise SuiteError(f"table '{spec.name}': can't sort by '{name}'{did_you_mean(name, known)}")
