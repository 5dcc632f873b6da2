"""What the splits that a cell uses report of their pairs, as one report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness_data.pair_findings import MAX_NAMES

if TYPE_CHECKING:
    from harness import Split


def joined(splits: Sequence[Split]) -> dict[str, Any]:
    """The `report` of each split, each split once: JSON-able, in the form of a single one's.

    Counts are added. What is said of the whole collection (`whole`) is added where splits say
    different things of it: those of one collection say the same. Empty where no split reports.
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
        "kinds": together([r.get("kinds", {}) for r in reports]),
        "whole": together(wholes),
    }


def together(found: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Kinds of dirt from several reports: counts added, the first names of all."""
    kinds: dict[str, dict[str, Any]] = {}
    for facts in found:
        for kind, fact in facts.items():
            own = kinds.setdefault(kind, {**fact, "count": 0, "names": []})
            own["count"] += fact["count"]
            own["names"] = [*own["names"], *fact["names"]][:MAX_NAMES]
    return kinds
