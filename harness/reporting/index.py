"""All records in brief, column by column, for the page to search, sort and list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.reporting.collect import SuiteView


class RecordIndex:
    """Numbers the records of all views in order; equal texts are written once.

    `place` maps a suite's name and a cell's id to the record's number on the page. A cell that several suites
    plan occurs once in each.
    """

    def __init__(self, views: Sequence[SuiteView]) -> None:
        self.ids: list[str] = []
        self.place: dict[tuple[str, str], int] = {}
        self.status: list[str] = []
        self._columns: dict[str, list[Any]] = {"suite": [], "status": [], "reason": [], "remarks": []}
        self._at: dict[str, list[Any]] = {}
        self._metrics: dict[str, list[float | None]] = {}
        for view in views:
            self._add(view)

    def _add(self, view: SuiteView) -> None:
        data, before, count = view.data, len(self.ids), len(view.data)
        for id in data["id"]:
            self.place[view.suite.name, id] = len(self.ids)
            self.ids.append(id)
        self.status += data["status"].tolist()
        self._columns["suite"] += [view.suite.title or view.suite.name] * count
        self._columns["status"] += data["status"].tolist()
        self._columns["reason"] += _to_texts(data["reason"]) if "reason" in data else [""] * count
        remarks = data["remarks"] if "remarks" in data else [()] * count
        self._columns["remarks"] += ["\n".join(texts) for texts in remarks]
        here = {c: c.removeprefix("at.") for c in data.columns if c.startswith("at.")}
        for column, name in here.items():
            self._at.setdefault(name, [""] * before)
            self._at[name] += _to_texts(data[column])
        for column in [c for c in data.columns if c.startswith("metric.") and data[c].notna().any()]:
            name = column.removeprefix("metric.")
            self._metrics.setdefault(name, [None] * before)
            self._metrics[name] += [json_number(v) for v in data[column].tolist()]
        for at in self._at.values():
            at += [""] * (before + count - len(at))
        for values in self._metrics.values():
            values += [None] * (before + count - len(values))

    def finished_cells(self) -> tuple[list[str], list[str], list[str]]:
        """Return ids, models and seeds of the cells that are ok or diverged."""
        kept = [n for n, status in enumerate(self.status) if status in ("ok", "diverged")]
        nothing = [""] * len(self.ids)
        models, seeds = (self._at.get(name, nothing) for name in ("model", "seed"))
        return [self.ids[n] for n in kept], [models[n] for n in kept], [seeds[n] for n in kept]

    def to_dict(self) -> dict[str, Any]:
        """Return the index as JSON-able data: texts as `[values, codes]`, numbers unchanged."""
        return {
            "id": self.ids,
            **{name: encode_texts(values) for name, values in self._columns.items()},
            "at": {name: encode_texts(values) for name, values in self._at.items()},
            "metrics": self._metrics,
        }


def encode_texts(values: Sequence[str]) -> list[Any]:
    """Return the distinct texts, and for each place the number of its text."""
    codes: dict[str, int] = {}
    numbers = [codes.setdefault(v, len(codes)) for v in values]
    return [list(codes), numbers]


def json_number(value: Any) -> Any:
    """Return a number for JSON, to nine digits; infinite ones as text, NaN as None."""
    if value is None or value != value:
        return None
    if abs(value) == float("inf"):
        return "∞" if value > 0 else "−∞"
    return float(f"{float(value):.9g}")


def _to_texts(values: Any) -> list[str]:
    return ["" if v is None or v != v else str(v) for v in values.tolist()]
