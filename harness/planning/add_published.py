"""Add sets of published results to a suite's tables and plots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from harness.planning.suite import PlotSpec, Suite, TableSpec

Spec = TypeVar("Spec", TableSpec, PlotSpec)


def with_published(suite: Suite, names: Sequence[str], rows: int | Literal["all"] | None = None) -> Suite:
    """Return the suite with further sets of published results in all its tables and plots.

    A file is meant from the current folder. `rows` is how many of their models a table shows above and below each
    row; None leaves that as it is.
    """
    if not names and rows is None:
        return suite
    names = [str(Path(n).resolve()) if n.endswith(".csv") and Path(n).is_file() else n for n in names]

    def extend(spec: TableSpec | PlotSpec) -> dict[str, Any]:
        before = suite.published if spec.published is None else spec.published
        return {"published": list(dict.fromkeys([*before, *names]))}

    more = {} if rows is None else {"published_rows": rows}
    found = suite.model_copy(update={"published": list(dict.fromkeys([*suite.published, *names]))} | more)
    found.tables = [t.model_copy(update=extend(t) | more) for t in suite.tables]
    found.plots = [p.model_copy(update=extend(p)) for p in suite.plots]
    return found


def locate_published(suite: Suite) -> Suite:
    """Return the suite with absolute paths of its files of published results, which a later command elsewhere reads.

    A relative path is below the suite's folder, else below the current one.
    """

    def locate(name: str) -> str:
        if not name.endswith(".csv"):
            return name
        places = [folder / name for folder in (suite.folder, Path.cwd()) if folder is not None]
        return next((str(place.resolve()) for place in places if place.is_file()), name)

    found = suite.model_copy(update={"published": [locate(name) for name in suite.published]})
    found.tables = [_locate_in(table, locate) for table in suite.tables]
    found.plots = [_locate_in(plot, locate) for plot in suite.plots]
    return found


def _locate_in(spec: Spec, locate: Callable[[str], str]) -> Spec:
    if spec.published is None:
        return spec
    return spec.model_copy(update={"published": [locate(name) for name in spec.published]})
