"""What a summary plugin offers: a class with typed keyword options that derives numbers from many records."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    import pandas as pd


@runtime_checkable
class Summary(Protocol):
    """Numbers across records (a gap, a mean over shifts, a rate), found by the group `harness.summaries`.

    A suite's table names it as `summary`. Its module must import cheaply: import pandas and scipy inside
    `__call__`. With `needs_store = True` on the class it is called with the store as second argument, and
    may read the records' notes and curves there. With `takes_published = True`, rows of published results
    follow where a suite asks for them: their column `published` names the set, and they have no id.
    """

    unit: ClassVar[str | None]
    """`fraction` when the values lie in [0, 1] and may be shown in percent; None otherwise."""
    higher_is_better: ClassVar[bool | None]
    """Which values are better; None if neither, so that no best is marked."""

    def __call__(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return one row per number.

        `records` has one row per ok cell of the table, with the columns of a plot's `data`
        (`harness.plotting.contract`). The result has the columns `model`, `metric` (the number's name) and
        `value` (NaN if there is none), and every column of the table's layout (`method`, `dataset`, …).
        Optional columns:

        * `low`, `high`: ends of the value's interval.
        * `count`: how many numbers it rests on; `note`: a footnote.
        * `unit`: this value's format if it differs from the others: `fraction` (in percent), `count`
          (without decimals) or `cost` (three digits and a prefix: 25.6 M).

        Raises HarnessError if it can't be computed; the text appears below the empty table.
        """
        ...
