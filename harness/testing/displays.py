"""Checks of summaries and plots: something of usual records, a clear message without any, and no traces."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.contract.declared import ask
from harness.errors import HarnessError
from harness.testing.cell_runs import temporary_folder
from harness.testing.toys import run_toys, toy_suite
from harness.testing.verdicts import Violation, describe_error, expect

if TYPE_CHECKING:
    import pandas as pd

    from harness.records.store import Store

COLUMNS = ("model", "metric", "value")
UNITS = ("fraction", "count", "cost")


class DisplaySubject:
    """A summary or a plot under test, with records that it must be able to show, if given."""

    def __init__(self, kind: str, plugin: Any, records: pd.DataFrame | None = None) -> None:
        self.kind, self.plugin, self.records = kind, plugin, records

    @contextmanager
    def frames(self) -> Iterator[tuple[dict[str, pd.DataFrame], Store]]:
        """Frames by what they are: the records given, those of a toy run, and none at all; and a store."""
        from harness.plotting.draw import prepare_plot_data as as_plots_see

        with toy_suite() as content, temporary_folder() as place:
            done = run_toys(content, Path(place))
            usual = as_plots_see(done.frame())
            if self.kind == "summaries":
                usual = usual[usual["status"] == "ok"].reset_index(drop=True)
            given = {} if self.records is None else {"the records given": self.records}
            yield {**given, "records of a run": usual, "no records": usual.iloc[:0]}, done.store

    def show(self, frame: pd.DataFrame, store: Store) -> Any:
        """Return a summary's table, or a plot's caption and number of axes.

        A HarnessError goes through; anything else becomes a Violation.
        """
        try:
            if self.kind == "plots":
                from matplotlib.figure import Figure

                from harness.plotting.style import plot_style

                with plot_style("kit"):
                    figure = Figure(figsize=(5.4, 3.6))
                    caption = self.plugin.draw(frame, store, figure)
                    figure.savefig(io.BytesIO(), format="svg")  # what can't be rendered fails here
                    return caption, len(figure.axes)
            return self.plugin(frame, store) if ask(self.plugin, "needs_store") else self.plugin(frame)
        except HarnessError:
            raise
        except Exception as error:  # a plugin may raise anything
            raise Violation(
                "something to show, or a harness.HarnessError that says what is missing",
                describe_error(error),
                "The message appears below the empty table, or in the plot's place.",
            ) from error


def check_shows(subject: DisplaySubject) -> None:
    """It makes a table or a figure of records, or says why it can't."""
    with subject.frames() as (frames, store):
        for what, frame in frames.items():
            try:
                made = subject.show(frame, store)
            except HarnessError as error:
                expected = "something to show of the records given"
                expect(what != "the records given", expected, error, "The plugin is made for them.")
                continue
            if subject.kind == "summaries":
                _check_table(made, what)
                continue
            caption, axes = made
            expect(
                axes > 0 and (caption is None or isinstance(caption, str)),
                f"axes on the figure, and a caption or None, for {what}",
                f"{axes} axes and {caption!r}",
                "An empty figure tells a reader nothing: raise harness.HarnessError with the reason.",
            )


def _check_table(made: Any, what: str) -> None:
    columns = list(getattr(made, "columns", ()))
    missing = [c for c in COLUMNS if c not in columns]
    expect(
        not missing,
        f"a DataFrame with the columns {', '.join(COLUMNS)}, one row per number, for {what}",
        f"no '{missing[0]}' among {columns}" if missing else "",
        "The leaderboard lays the rows out by them.",
    )
    try:
        [float(v) for v in made["value"] if v is not None]
    except (TypeError, ValueError) as error:
        raise Violation(f"numbers in the column 'value' for {what}", error, "Tables format them.") from error
    units = made["unit"].dropna() if "unit" in columns else []
    strange = [u for u in units if u not in UNITS]
    expected = f"one of {', '.join(UNITS)} or nothing in the column 'unit' for {what}"
    expect(not strange, expected, repr(strange[0]) if strange else "", "Tables format a number by its unit.")


def check_leaves_the_records(subject: DisplaySubject) -> None:
    """It changes neither the records that it receives nor pyplot's figures."""
    with subject.frames() as (frames, store):
        for what, frame in frames.items():
            before, figures = frame.copy(deep=True), _list_figures(subject)
            try:
                subject.show(frame, store)
            except (HarnessError, Violation):
                continue
            expect(
                frame.equals(before) and list(frame.columns) == list(before.columns),
                f"{what} as they were",
                "changed ones",
                "The next table or plot is made of the same frame: work on a copy.",
            )
            expect(
                _list_figures(subject) == figures,
                "pyplot's figures as they were (draw on the figure given)",
                "others",
                "Figures would pile up, one for each plot of each report.",
            )


def _list_figures(subject: DisplaySubject) -> Any:
    pyplot = sys.modules.get("matplotlib.pyplot") if subject.kind == "plots" else None
    return pyplot.get_fignums() if pyplot else []
