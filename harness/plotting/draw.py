"""Draw the plots that a suite declares: for a page as SVG text, for a paper as SVG and PNG files."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.contract.declared import ask
from harness.discovery.parts import Resolver
from harness.discovery.reference import parse_references
from harness.errors import HarnessError, PluginBroken, did_you_mean, reason_of
from harness.leaderboard.frame import find_coordinate, match_coordinate, shorten_columns
from harness.planning.suite import PlotSpec, Suite
from harness.plotting.hover_names import add_hover_names
from harness.plotting.style import plot_style
from harness.records.store import Store

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

DPI = 300
"""Resolution of PNG files, as journals require."""

SIZE = (5.4, 3.6)
"""Width and height of a figure in inches, which a plot may change."""

NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that a name may contain and XML can't; matplotlib writes them unchanged."""


@dataclass
class DrawnPlot:
    """The outcome of one plot: its caption and files, or the problem that prevented it."""

    name: str
    title: str
    caption: str = ""
    problem: str = ""
    svg: str = ""
    files: tuple[Path, ...] = ()


def draw_plots(suite: Suite, data: pd.DataFrame, store: Store) -> list[DrawnPlot]:
    """Draw the suite's plots as SVG whose text stays text. `data` is the suite's frame of records.

    A plot that can't be drawn has the reason in `problem`; the others are drawn.
    """
    return [_draw_plot(suite, spec, data, store, None) for spec in suite.plots]


def write_plots(suite: Suite, data: pd.DataFrame, store: Store, folder: Path) -> list[DrawnPlot]:
    """Write each of the suite's plots to `folder` as SVG and as PNG on white, with safe file names."""
    return [_draw_plot(suite, spec, data, store, folder) for spec in suite.plots]


def safe_file_name(suite: str, plot: str) -> str:
    """Return a file name without suffix that is safe on every system and unique to the plot."""
    import hashlib

    name = f"{suite}-{plot}"
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:80] or "plot"
    if safe == name:
        return safe
    return f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def _draw_plot(
    suite: Suite, spec: PlotSpec, data: pd.DataFrame, store: Store, folder: Path | None
) -> DrawnPlot:
    from matplotlib.figure import Figure

    drawn = DrawnPlot(spec.name, spec.title or spec.name)
    stem = safe_file_name(suite.name, spec.name)
    try:
        with plot_style(stem, text_as_paths=folder is not None):
            figure = Figure(figsize=SIZE)
            drawn.caption = draw_on(figure, with_published(suite, spec), data, store, suite.name)
            if folder is None:
                drawn.svg = to_svg(figure)
            else:
                drawn.files = _write_figure(figure, folder / stem, drawn.title)
    except HarnessError as error:
        drawn.problem = str(error)
    except Exception as error:  # what the plugin left on the figure may fail only now
        drawn.problem = f"the plot plugin '{spec.kind}' failed: {reason_of(error)}"
    return drawn


def with_published(suite: Suite, spec: PlotSpec) -> PlotSpec:
    """Return a plot with the suite's sets of published results, unless it names its own."""
    return spec if spec.published is not None else spec.model_copy(update={"published": suite.published})


def draw_on(figure: Figure, spec: PlotSpec, data: pd.DataFrame, store: Store, suite: str = "") -> str:
    """Draw one plot of a suite on an empty figure, in the present style, and return its caption.

    Raises HarnessError with the reason if it can't be drawn, whatever its plugin raises.
    """
    where = f"plot '{spec.name}'"
    reference = parse_references({"plugin": spec.kind, "options": spec.options}, where)[0]
    part = Resolver().resolve("plots", reference, where)
    if part.problem or part.missing:
        raise HarnessError(part.problem or part.missing or "")
    kept = filter_rows(data, spec.where)
    rows, sources = prepare_plot_data(kept), ""
    if spec.published and ask(part.object, "takes_published"):
        from harness.published.background import gather_background
        from harness.published.frames import add_published_rows

        background = gather_background(spec.published, kept, store, suite)
        rows = add_published_rows(rows, background)
        sources = "".join(f" [{name}]: published, {source}." for name, source in background.sources.items())
        sources += "".join(f" {problem}." for problem in background.problems)
    try:
        return (part.object.draw(rows, store, figure) or "") + sources
    except HarnessError:
        raise
    except Exception as error:  # a plugin's plot may fail in any way; the others must be drawn
        raise PluginBroken(f"{part.plugin} of {part.distribution} failed: {reason_of(error)}") from error


def filter_rows(data: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows that meet a plot's `where`, which names coordinates, tags or columns."""
    keep = np.ones(len(data), dtype=bool)
    for name, pattern in where.items():
        column = find_coordinate(data, name) or (name if name in data.columns else None)
        if column is None:
            known = [c.removeprefix("at.") for c in data.columns if c.startswith(("at.", "tag."))]
            raise HarnessError(f"nothing to choose records by is called '{name}'{did_you_mean(name, known)}")
        keep &= match_coordinate(data, name, pattern)
    return data[keep].reset_index(drop=True)


class Names(list[str]):
    """Names of columns with a cheap deep copy: pandas deep-copies `attrs` whenever it derives a frame."""

    def __deepcopy__(self, memo: object) -> Names:
        return Names(self)


def prepare_plot_data(data: pd.DataFrame) -> pd.DataFrame:
    """Return the frame as plots see it: short names, and `attrs` that list metrics and costs."""
    rows = shorten_columns(data)
    metrics = [c.removeprefix("metric.") for c in data.columns if c.startswith("metric.")]
    metrics = [m for m in metrics if m in rows.columns]
    fractions, lower = _metrics_with(data, "unit.", "fraction"), _metrics_with(data, "better.", 0.0)
    rows.attrs |= {
        "metrics": Names(metrics),
        "costs": Names(c.removeprefix("cost.") for c in data.columns if c.startswith("cost.")),
        "fractions": Names(m for m in metrics if m in fractions),
        "lower": Names(m for m in metrics if m in lower),
    }
    return rows


def _metrics_with(data: pd.DataFrame, prefix: str, value: object) -> set[str]:
    """Return the metrics whose column with that prefix has the value in any row."""
    columns = [c for c in data.columns if c.startswith(prefix)]
    found = (data[columns].to_numpy(dtype=object) == value).any(axis=0)
    return {c.removeprefix(prefix) for c, says in zip(columns, found, strict=True) if says}


def to_svg(figure: Figure) -> str:
    """Return the figure as SVG text, the same on every run (without a date)."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    # not `savefig`, which draws everything twice to lay it out; one drawing does that, too
    canvas: Any = FigureCanvasSVG(figure)
    canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})
    return NOT_IN_XML.sub("\ufffd", add_hover_names(figure, buffer.getvalue()))


def _write_figure(figure: Figure, stem: Path, title: str) -> tuple[Path, ...]:
    from harness.records.files import replacing, write_bytes

    vector, pixels = stem.with_name(f"{stem.name}.svg"), stem.with_name(f"{stem.name}.png")
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
    write_bytes(vector, NOT_IN_XML.sub("\ufffd", add_hover_names(figure, buffer.getvalue())).encode())
    with replacing(pixels) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return vector, pixels
