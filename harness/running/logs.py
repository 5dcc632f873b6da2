"""Logs of running trainings, as files in the store's log folder: curves as CSV, pictures as PNG."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.records.files import replacing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FOLDER = "logs"
STEP = "step"


def cell_folder(store: Path, shown: str, id: str) -> Path:
    """Return the folder of a cell's logs: `<store>/logs/<its coordinates>-<id>`."""
    return store / FOLDER / f"{_slugify(shown)[:100]}-{id[:8]}"


class CellLog:
    """The log files of one running cell; the folder appears with the first of them.

    A training that continues from a checkpoint repeats some steps: when the first row of a curve comes
    in, earlier rows of these steps are removed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._columns: dict[str, list[str]] = {}

    def curve(self, name: str, step: int, values: Mapping[str, float]) -> None:
        """Append a row to `<name>.csv`: the step, then a column per value."""
        path = self.folder / f"{_slugify(name)}.csv"
        row: dict[str, float | str] = {STEP: step, **{k: v for k, v in values.items() if k != STEP}}
        if name not in self._columns:
            before = [r for r in _read_rows(path) if _is_before(r, step)]
            self._rewrite(path, name, [*before, row])
        elif set(row) <= set(self._columns[name]):
            with path.open("a", newline="") as file:
                csv.DictWriter(file, self._columns[name]).writerow(row)
        else:  # a value that no row had so far
            self._rewrite(path, name, [*_read_rows(path), row])

    def image(self, name: str, pixels: NDArray[np.uint8]) -> Path:
        """Replace `<name>.png` by a picture H×W×3; return its path."""
        from PIL import Image

        path = self.folder / f"{_slugify(name)}.png"
        with replacing(path) as temporary:
            Image.fromarray(pixels).save(temporary, "PNG", compress_level=3)  # twice as fast as the usual 6
        return path

    def _rewrite(self, path: Path, name: str, rows: list[Mapping[str, float | str]]) -> None:
        columns = list(dict.fromkeys(column for row in rows for column in row))
        with replacing(path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
        self._columns[name] = columns


def read_curves(folder: Path, points: int = 120) -> dict[str, dict[str, list[list[float | None]]]]:
    """Return the curves of a cell's folder: for each file, each column's points as [steps, values].

    Of a longer curve, about that many points at equal distances; a value that is no number is None. A row
    that is being written is left out, and a column without numbers, too.
    """
    curves: dict[str, dict[str, list[list[float | None]]]] = {}
    for path in sorted(folder.glob("[!.]*.csv")):
        try:
            rows = _read_rows(path)
        except (OSError, csv.Error):
            continue
        steps = [_finite(row.get(STEP)) for row in rows]
        known = [n for n, step in enumerate(steps) if step is not None and None not in rows[n].values()]
        kept = known[:: max(1, len(known) // points)]
        kept += [known[-1]] if known and kept[-1] != known[-1] else []
        columns = {name: None for n in kept for name in rows[n] if name not in (STEP, None)}
        found = {name: [_finite(rows[n].get(name)) for n in kept] for name in columns}
        shown = {name: values for name, values in found.items() if any(v is not None for v in values)}
        if shown:
            curves[path.stem] = {name: [[steps[n] for n in kept], values] for name, values in shown.items()}
    return curves


def _finite(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _read_rows(path: Path) -> list[Mapping[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        return list(csv.DictReader(file))


def _is_before(row: Mapping[str, str], step: int) -> bool:
    """Return whether a row of an earlier run is of an earlier step; a row cut off by a kill is not."""
    try:
        return float(row[STEP]) < step and None not in row.values()
    except (KeyError, TypeError, ValueError):
        return False


def _slugify(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", name).strip(".-") or "unnamed"
