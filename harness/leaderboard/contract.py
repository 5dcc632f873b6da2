"""What a summary plugin offers: a class with typed keyword options that makes one number of many."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    import pandas as pd


@runtime_checkable
class Summary(Protocol):
    """Numbers across records (a gap, a mean over shifts, a rate), by the group `harness.summaries`.

    A table of a suite names it as `summary`. Its module must import cheaply: pandas and scipy are
    imported inside `__call__`.

    With `needs_store = True` on the class it is called with the store as well, and may read the
    records' notes and curves there.
    """

    unit: ClassVar[str | None]
    """`fraction` when the values lie in [0, 1] and may be shown in percent; None otherwise."""
    higher_is_better: ClassVar[bool | None]
    """Which values are better; None where none is, and no best is marked."""

    def __call__(self, records: pd.DataFrame) -> pd.DataFrame:
        """One row per number.

        `records` has one row per ok cell that the table takes, with the columns of a plot's `data`
        (`harness.plots.contract`). The result has the columns `model`, `metric` (what the number
        is called) and `value` (NaN where there is none), and every column by which the table is laid
        out (`method`, `dataset`, …). Optional columns:

        * `low`, `high`: ends of the value's interval.
        * `count`: how many numbers it rests on; `note`: a footnote.
        * `unit`: how this value is shown where that differs from the others: `fraction` (in percent),
          `count` (without decimals) or `cost` (three digits and a prefix: 25.6 M).

        Raises HarnessError when it can't be computed; the text stands below the empty table.
        """
        ...
