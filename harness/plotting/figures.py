"""The plots of a suite as matplotlib figures, to look at in a notebook and to change before they are saved."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

from matplotlib.figure import Figure

from harness.errors import HarnessError, did_you_mean, no_records
from harness.leaderboard.frame import suite_frame
from harness.planning.suite import find_suite_name, load_planned
from harness.plotting.draw import SIZE, draw_on, safe_file_name, with_published
from harness.plotting.style import plot_style
from harness.records.store import Store


class ShownFigure(Figure):
    """A figure that a notebook shows, whether or not pyplot is in use."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=144, bbox_inches="tight")
        return buffer.getvalue()


class Figures(dict[str, ShownFigure]):
    """Figures by the names of their plots. A notebook shows all of them, with captions.

    `captions` says what each shows; `problems` holds, by name, why others can't be drawn.
    """

    def __init__(self) -> None:
        super().__init__()
        self.captions: dict[str, str] = {}
        self.problems: dict[str, str] = {}

    def __repr__(self) -> str:
        lines = [f"  {name}: {self.captions.get(name) or 'figure'}" for name in self]
        lines += [f"  {name} can't be drawn: {reason}" for name, reason in self.problems.items()]
        return "\n".join([f"{len(self)} figures by name:", *lines])

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        shown = [
            f'<figure><img style="max-width:100%" alt="{escape(name)}" src="data:image/png;base64,'
            f'{base64.b64encode(figure._repr_png_()).decode()}">'
            f"<figcaption><b>{escape(name)}</b>. {escape(self.captions.get(name, ''))}</figcaption></figure>"
            for name, figure in self.items()
        ]
        lacking = [f"<p>{escape(name)}: {escape(reason)}</p>" for name, reason in self.problems.items()]
        return "\n".join([*shown, *lacking])


def draw_figures(store: Store, suite: str, names: Sequence[str] = ()) -> Figures:
    """Return the figures of a suite's plots, or of those named.

    Raises HarnessError for a suite without records or an unknown plot, and if a plot that is named can't be
    drawn.
    """
    suite = find_suite_name(suite)
    if suite not in store.suites():
        raise HarnessError(no_records(store.path, suite, store.suites()))
    planned, data = load_planned(store, suite), suite_frame(store, suite)
    known = [spec.name for spec in planned.plots]
    for name in names:
        if name not in known:
            raise HarnessError(f"suite {suite}: no plot '{name}'{did_you_mean(name, known)}")
    figures = Figures()
    for spec in planned.plots:
        if names and spec.name not in names:
            continue
        try:
            with plot_style(safe_file_name(suite, spec.name)):
                figure = ShownFigure(figsize=SIZE, facecolor="white")
                figures.captions[spec.name] = draw_on(
                    figure, with_published(planned, spec), data, store, suite
                )
                figure.draw_without_rendering()  # makes ticks, which would take another style later
                figures[spec.name] = figure
        except HarnessError as error:
            if names:
                raise HarnessError(f"plot '{spec.name}' of {suite}: {error}") from error
            figures.problems[spec.name] = str(error)
    return figures
