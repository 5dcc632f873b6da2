"""Add sets of published results to a suite's tables and plots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from harness.planning.suite import PlotSpec, Suite, TableSpec


def with_published(suite: Suite, names: Sequence[str], rows: int | Literal["all"] | None = None) -> Suite:
    """Return the suite with further sets of published results in all its tables and plots.

    `rows` is how many of their models a table shows above and below each row; None leaves that as it is.
    """
    if not names and rows is None:
        return suite

    def extend(spec: TableSpec | PlotSpec) -> dict[str, Any]:
        before = suite.published if spec.published is None else spec.published
        return {"published": list(dict.fromkeys([*before, *names]))}

    more = {} if rows is None else {"published_rows": rows}
    found = suite.model_copy(update={"published": list(dict.fromkeys([*suite.published, *names]))} | more)
    found.tables = [t.model_copy(update=extend(t) | more) for t in suite.tables]
    found.plots = [p.model_copy(update=extend(p)) for p in suite.plots]
    return found
