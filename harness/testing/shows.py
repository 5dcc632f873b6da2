"""What is expected of summaries and plots: something of usual records, a clear message of none, and no traces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.contract.declared import ask
from harness.errors import HarnessError
from harness.testing import general, runs
from harness.testing.outcome import Check, NotChecked, Violation, described, expect
from harness.testing.toys import toy_suite

if TYPE_CHECKING:
    import pandas as pd

    from harness.records.store import Store

NEEDED = ("model", "metric", "value")
UNITS = ("fraction", "count", "cost")


class ShowSubject:
    """A summary or a plot to be checked, with records that it should be able to show, if given."""

    def __init__(self, kind: str, plugin: Any, records: pd.DataFrame | None = None) -> None:
        self.kind, self.plugin, self.records = kind, plugin, records

    @contextmanager
    def frames(self) -> Iterator[tuple[dict[str, pd.DataFrame], Store]]:
        """Frames by what they are: the records given, those of a toy run, and none at all; and a store."""
        from harness.planning.suite import from_dict
        from harness.plots.draw import prepare_plot_data as as_plots_see
        from harness.records.store import Store
        from harness.running.runner import run

        with toy_suite() as content, runs.folder() as place:
            store = Store(Path(place) / "store")
            done = run(
                from_dict(content, "kit"),
                store,
                device="cpu",
                executor="inline",
                cache=Path(place) / "cache",
                installed_listeners=False,
            )
            usual = as_plots_see(done.frame())
            if self.kind == "summaries":
                usual = usual[usual["status"] == "ok"].reset_index(drop=True)
            given = {} if self.records is None else {"the records given": self.records}
            yield {**given, "records of a run": usual, "no records": usual.iloc[:0]}, store

    def shown(self, frame: pd.DataFrame, store: Store) -> Any:
        """What the plugin makes of a frame; HarnessError goes through, anything else becomes a Violation."""
        try:
            if self.kind == "plots":
                from matplotlib.figure import Figure

                from harness.plots.style import plot_style

                with plot_style("kit"):
                    figure = Figure(figsize=(5.4, 3.6))
                    caption = self.plugin.draw(frame, store, figure)
                    return caption, _axes(figure)
            needs = ask(self.plugin, "needs_store")
            return self.plugin(frame, store) if needs else self.plugin(frame)
        except HarnessError:
            raise
        except Exception as error:  # a plugin may raise anything
            raise Violation(
                "something to show, or a harness.HarnessError that says what is missing",
                described(error),
                "The message stands below the empty table, or in the plot's place.",
            ) from error


def _axes(figure: Any) -> int:
    import io

    figure.savefig(io.BytesIO(), format="svg")  # what can't be rendered fails here
    return len(figure.axes)


def check_shows(subject: ShowSubject) -> None:
    """Of records it makes a table or a figure; what it can't show it says."""
    with subject.frames() as (frames, store):
        for what, frame in frames.items():
            try:
                made = subject.shown(frame, store)
            except HarnessError as error:
                expect(
                    what != "the records given",
                    "something to show of the records given",
                    error,
                    "They are what it is made for.",
                )
                continue
            if subject.kind == "summaries":
                _check_table(made, what)
            else:
                caption, axes = made
                expect(
                    axes > 0 and (caption is None or isinstance(caption, str)),
                    f"axes on the figure, and a caption or None, for {what}",
                    f"{axes} axes and {caption!r}",
                    "An empty figure tells a reader nothing: raise harness.HarnessError with the reason.",
                )


def _check_table(made: Any, what: str) -> None:
    columns = list(getattr(made, "columns", ()))
    missing = [c for c in NEEDED if c not in columns]
    expect(
        not missing,
        f"a DataFrame with the columns {', '.join(NEEDED)}, one row per number, for {what}",
        f"no '{missing[0]}' among {columns}" if missing else "",
        "The leaderboard lays the rows out by them.",
    )
    try:
        [float(v) for v in made["value"] if v is not None]
    except (TypeError, ValueError) as error:
        expect(False, f"numbers in the column 'value' for {what}", error, "Tables format them.")
    units = made["unit"].dropna() if "unit" in columns else []
    strange = [u for u in units if u not in UNITS]
    expect(
        not strange,
        f"one of {', '.join(UNITS)} or nothing in the column 'unit' for {what}",
        repr(strange[0]) if strange else "",
        "It says how a number is shown that differs from the others.",
    )


def check_leaves_the_records(subject: ShowSubject) -> None:
    """It changes neither the records that it is given nor pyplot's figures."""
    with subject.frames() as (frames, store):
        for what, frame in frames.items():
            before, figures = frame.copy(deep=True), _open_figures(subject)
            try:
                subject.shown(frame, store)
            except (HarnessError, Violation):
                continue
            expect(
                frame.equals(before) and list(frame.columns) == list(before.columns),
                f"{what} as they were",
                "changed ones",
                "The next table or plot is made of the same frame: work on a copy.",
            )
            expect(
                _open_figures(subject) == figures,
                "pyplot's figures as they were (draw on the figure given)",
                "others",
                "Figures would pile up, one for each plot of each report.",
            )


def _open_figures(subject: ShowSubject) -> Any:
    import sys

    if subject.kind != "plots":
        return None
    pyplot = sys.modules.get("matplotlib.pyplot")
    return pyplot.get_fignums() if pyplot else []


def check_order_of_records(subject: ShowSubject) -> None:
    """The same records in another order give the same numbers."""
    if subject.kind != "summaries":
        raise NotChecked("the order of records may decide the order of what is drawn")
    with subject.frames() as (frames, store):
        for what, frame in frames.items():
            try:
                one = subject.shown(frame, store)
                other = subject.shown(frame.iloc[::-1].reset_index(drop=True), store)
            except HarnessError:
                continue
            expect(
                _sorted(one) == _sorted(other),
                f"the same numbers for {what} in another order",
                "others",
                "Records come in the order in which cells were planned.",
            )


def _sorted(made: Any) -> list[str]:
    return sorted(
        f"{m} {metric} {'none' if v is None else format(float(v), '.9g')}"
        for m, metric, v in zip(made["model"], made["metric"], made["value"])
    )


SUMMARY_CHECKS: tuple[Check, ...] = (
    *general.CHECKS,
    check_shows,
    check_leaves_the_records,
    check_order_of_records,
)
PLOT_CHECKS: tuple[Check, ...] = (*general.CHECKS, check_shows, check_leaves_the_records)
