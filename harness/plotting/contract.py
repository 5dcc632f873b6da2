"""What a plot plugin offers: a class with typed keyword options that draws on a given figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from harness.records.store import Store


@runtime_checkable
class Plot(Protocol):
    """A plot of records, found by the entry-point group `harness.plots`.

    Its module must import cheaply: import matplotlib and pandas inside `draw`.
    """

    def draw(self, data: pd.DataFrame, store: Store, figure: Figure) -> str | None:
        """Draw `data` on the empty `figure` (whose size may change) and return a caption.

        `data` has one row per cell that meets the plot's `where`, with the columns `id`, `status`, the
        coordinates (`model`, `dataset`, `method`, `seed`, axes), tags as `tag.<part>.<key>`, metrics and
        costs. In `data.attrs`, `metrics` and `costs` list those columns in order, `fractions` the metrics
        that may be shown in percent, `lower` those for which lower is better; `titles` maps keys of numbers and
        axes to what people call them, where that is stated.

        With `takes_published = True` on the class, rows of published results follow where a suite asks for
        them: their column `published` names the set, one's own have "" (or no such column), and they have no id.

        Raises HarnessError if the data can't be plotted; the text says what is missing.
        """
        ...
