"""What a plan says about names: the references behind labels, and what people call numbers and axes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from harness.contract.cells import Part
from harness.contract.declared import ask
from harness.planning.labels import SHORTENED

if TYPE_CHECKING:
    from harness.planning.plan import Plan


def plan_names(plan: Plan) -> dict[str, dict[str, Any]]:
    """Return `references`, what was written for each label of a model or data set, and `titles`.

    A title is what people call a metric, a protocol's number, a cost or an axis, by its key.
    """
    parts = {id(p): p for planned in plan for p in planned.cell.parts}.values()
    references: dict[str, dict[str, list[str]]] = {name: {} for name in SHORTENED.values()}
    for part in parts:
        if part.kind in SHORTENED:
            known = references[SHORTENED[part.kind]].setdefault(part.label, [])
            known += [text for text in part.written if text not in (part.label, *known)]
    kept = {name: {k: v for k, v in found.items() if v} for name, found in references.items()}
    return {"references": kept, "titles": find_titles(parts)}


def find_titles(parts: Iterable[Part]) -> dict[str, str]:
    """Return the titles that metrics and protocols state, by the keys of their numbers and axes.

    Two metrics with one title, such as one metric with other options, are called by their labels.
    """
    titles: dict[str, str] = {}
    of_metrics: dict[str, str] = {}
    for part in parts:
        if part.kind == "protocols":
            titles |= {str(k): str(v) for k, v in (ask(part.object, "titles") or {}).items()}
        if part.kind == "metrics":
            stated: Any = ask(part.object, "title")
            named = stated if isinstance(stated, Mapping) else {"": stated} if stated else {}
            of_metrics |= {f"{part.label}.{k}" if k else part.label: str(v) for k, v in named.items()}
    times = Counter(of_metrics.values())
    return {k: v for k, v in of_metrics.items() if times[v] == 1} | titles


def merge_names(*plans: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the names of several plans together; those of later ones win."""
    merged: dict[str, dict[str, Any]] = {"references": {}, "titles": {}}
    for plan in plans:
        merged["titles"] |= plan.get("titles") or {}
        for name, written in (plan.get("references") or {}).items():
            merged["references"][name] = {**merged["references"].get(name, {}), **written}
    return merged
