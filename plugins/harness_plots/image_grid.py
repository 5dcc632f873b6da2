"""A grid of the images that records keep, such as samples of a generator."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from harness import DataError, HarnessError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from harness import Store


class ImageGrid:
    """The images whose names match `name`, one panel per record and image, at most `limit`.

    Args:
        name: pattern of the images' names, with `*` and `?`.
        limit: largest number of panels.
        columns: panels per row.
    """

    def __init__(self, name: str = "*", limit: int = 12, columns: int = 4) -> None:
        self.name, self.limit, self.columns = name, limit, columns

    def draw(self, data: pd.DataFrame, store: Store, figure: Figure) -> str | None:
        """Draw the images unsmoothed, each with its own aspect ratio."""
        from PIL import Image, UnidentifiedImageError

        from harness.plotting.style import COLUMN_WIDTH, PAGE_WIDTH, SMALL_TEXT
        from harness_plots.labels import wrap
        from harness_plots.points import format_key

        names = [n for n in ("model", "method", "dataset", "seed") if n in data.columns]
        varying = [n for n in names if data[n].nunique() > 1] or names[:1]
        found = []
        kept = data[data["status"].isin(["ok", "diverged"])]
        keys = kept[varying].itertuples(index=False, name=None)
        for id, key in zip(kept["id"], keys, strict=True):
            for path in store.images(id):
                if fnmatchcase(path.stem, self.name):
                    found.append((path, format_key(key)))
        if not found:
            raise HarnessError(f"no record keeps images named '{self.name}'")
        shown = found[: self.limit]
        columns = min(self.columns, len(shown))
        rows = -(-len(shown) // columns)
        width = PAGE_WIDTH if columns > 3 else COLUMN_WIDTH
        letters = int(width / columns * 72 / 5.4)
        several = len({path.stem for path, _ in found}) > 1
        titles, tallest = [], 0.0
        for n, (path, label) in enumerate(shown):
            ax = figure.add_subplot(rows, columns, n + 1)
            try:
                with Image.open(path) as image:
                    tallest = max(tallest, image.height / image.width)
                    ax.imshow(image.convert("RGB"), interpolation="nearest")
            except (UnidentifiedImageError, OSError) as error:
                raise DataError(f"{path.parent.name}/{path.name}: damaged image ({error})") from None
            titles.append(wrap(f"{label} ({path.stem})" if several else label, letters))
            ax.set_title(titles[-1], fontsize=SMALL_TEXT, fontweight="normal", loc="left")
            ax.set_axis_off()
        lines = max(title.count("\n") + 1 for title in titles)
        side = width / columns
        figure.set_size_inches(width, (tallest * side + 0.14 * lines + 0.1) * rows)
        return f"Images kept with the records: {len(shown)} of {len(found)}."
