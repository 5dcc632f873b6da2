"""Write the report of a store, and its plots as files: what the command and Python do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError
from harness.planning.suite import find_suite_name, load_planned
from harness.records.store import Store
from harness.reporting.collect import NONE, Published
from harness.reporting.page import write_report


@dataclass(frozen=True)
class WrittenReport:
    """The files of a report, and a line for each table or plot that could not be made."""

    page: Path
    suites: Sequence[str]
    plots: Sequence[Path]
    problems: Sequence[str]


def write_files(
    store: Store,
    suites: Sequence[str],
    out: Path,
    plots: Path | None = None,
    processes: int = 1,
    published: Published = NONE,
) -> WrittenReport:
    """Write the page on these suites (none: all in the store), and each plot to the folder `plots`, if given.

    `published` are results to add to all tables and plots.

    Raises HarnessError for an unknown suite, or a file that can't be written.
    """
    names = [find_suite_name(text) for text in suites] or store.suites()
    problems: list[str] = []
    try:
        page = write_report(
            store, names, out, processes=processes, published=published, report_problem=problems.append
        )
        files = _write_plots(store, names, plots, problems, published) if plots else []
    except OSError as error:
        raise HarnessError(f"{error.filename or out}: can't be written: {error.strerror}") from None
    return WrittenReport(page, names, files, problems)


def _write_plots(
    store: Store, names: Sequence[str], folder: Path, problems: list[str], published: Published
) -> list[Path]:
    """Write all plots and return their files; a plot that only the page could draw adds to `problems`."""
    from harness.leaderboard.frame import suite_frame
    from harness.plotting.draw import write_plots

    files: list[Path] = []
    for name in names:
        suite = published.add_to(load_planned(store, name))
        for drawn in write_plots(suite, suite_frame(store, name), store, folder):
            files += drawn.files
            text = f"plot '{drawn.name}' of {name}: {drawn.problem}"
            if drawn.problem and text not in problems:
                problems.append(text)
    return files
