"""Merge the data reports of the splits that a cell uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness_data.pair_findings import MAX_NAMES

if TYPE_CHECKING:
    from harness import Split


def merge_reports(splits: Sequence[Split]) -> dict[str, Any]:
    """Merge the splits' `report`s, each split once, into one JSON-able report of the same form.

    Counts are added. Distinct reports on the whole collection (`whole`) are added too; splits of one
    collection have equal ones, which count once. Empty if no split reports.
    """
    once = {id(split): split for split in splits}.values()
    reports = [report for split in once if (report := getattr(split, "report", None))]
    if len(reports) < 2:
        return dict(reports[0]) if reports else {}
    wholes: list[Mapping[str, Any]] = []
    for report in reports:
        if (whole := report.get("whole", {})) not in wholes:
            wholes.append(whole)
    counts: dict[str, Counter[str]] = {"labels": Counter(), "encodings": Counter()}
    for name, counter in counts.items():
        for report in reports:
            counter.update(report.get(name, {}))
    return {
        "pairs": sum(r.get("pairs", 0) for r in reports),
        **{name: dict(counter) for name, counter in counts.items()},
        "unlabelled": sum(r.get("unlabelled", 0) for r in reports),
        "kinds": merge_kinds([r.get("kinds", {}) for r in reports]),
        "whole": merge_kinds(wholes),
    }


def merge_kinds(found: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Merge kinds of dirt from several reports: add counts, keep the first names."""
    kinds: dict[str, dict[str, Any]] = {}
    for facts in found:
        for kind, fact in facts.items():
            own = kinds.setdefault(kind, {**fact, "count": 0, "names": []})
            own["count"] += fact["count"]
            own["names"] = [*own["names"], *fact["names"]][:MAX_NAMES]
    return kinds
