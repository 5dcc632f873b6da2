"""What a plan says about names: the references behind labels, and what people call numbers and axes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.contract.cells import Part
from harness.contract.declared import ask
from harness.discovery import registry
from harness.discovery.reference import Reference, read_short
from harness.planning.given_labels import GivenLabel, hash_identity, read_given_labels
from harness.planning.labels import SHORTENED, label_references

if TYPE_CHECKING:
    from harness.planning.plan import Plan


def plan_names(plan: Plan) -> dict[str, dict[str, Any]]:
    """Return `references` and `identities`, what each label of a model or data set stands for, and `titles`.

    References are texts as written, identities hashes. A title is what people call a metric, a protocol's
    number, a cost or an axis, by its key.
    """
    parts = {id(p): p for planned in plan for p in planned.cell.parts}.values()
    references: dict[str, dict[str, list[str]]] = {name: {} for name in SHORTENED.values()}
    identities: dict[str, dict[str, list[str]]] = {name: {} for name in SHORTENED.values()}
    for part in parts:
        if part.kind in SHORTENED:
            if not (part.missing or part.problem):  # absent data have no content to be known by
                hashes = identities[SHORTENED[part.kind]].setdefault(part.label, [])
                hashes += [h for h in (hash_identity(part.identity),) if h not in hashes]
            known = references[SHORTENED[part.kind]].setdefault(part.label, [])
            known += [text for text in part.written if text not in known]
    kept = {name: {k: v for k, v in found.items() if v != [k]} for name, found in references.items()}
    return {"references": kept, "identities": identities, "titles": find_titles(parts)}


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
    merged: dict[str, dict[str, Any]] = {"references": {}, "identities": {}, "titles": {}}
    for plan in plans:
        merged["titles"] |= plan.get("titles") or {}
        for key in ("references", "identities"):
            for name, found in (plan.get(key) or {}).items():
                merged[key][name] = {**merged[key].get(name, {}), **found}
    return merged


def move_collisions(
    before: dict[str, Any], cells: Sequence[Mapping[str, Any]], names: Mapping[str, Any]
) -> None:
    """Give cells of an earlier plan another label if theirs now stands for something else, with a remark.

    If what is written is the same, and its content differs, they keep it, with a remark. `before` is changed in
    place. Its cells at the place of one of the new `cells` are left to be replaced.
    """
    old, new = read_given_labels(before), read_given_labels({"cells": cells, **names})
    places = {repr(sorted(c["at"].items(), key=str)) for c in cells}
    kept = [c for c in before["cells"] if repr(sorted(c["at"].items(), key=str)) not in places]
    for kind, name in SHORTENED.items():
        known, labels, what = old.get(name, {}), new.get(name, {}), registry.singular(kind)
        taken = dict.fromkeys([*known, *labels])
        for label in [label for label in labels if label in known]:
            mine = [cell for cell in kept if cell["at"].get(name) == label]
            if known[label].is_same(labels[label]):
                one, other = {*known[label].identities}, {*labels[label].identities}
                if one and other and not one & other:
                    _remark(mine, f"{what} '{label}' had other content when this was planned than it has now")
                continue
            moved = _name_apart(known[label], taken)
            taken[moved] = None
            for key in ("references", "identities"):
                facts = before.get(key, {}).get(name, {})
                if label in facts:
                    facts[moved] = facts.pop(label)
            for cell in mine:
                cell["at"] = {**cell["at"], name: moved}
            _remark(
                mine, f"{what} '{moved}' was called '{label}' when it was planned, which now is another one"
            )


def _remark(cells: Iterable[dict[str, Any]], text: str) -> None:
    for cell in cells:
        cell["remarks"] = [*dict.fromkeys([*cell.get("remarks", ()), text])]


def _name_apart(given: GivenLabel, taken: Mapping[str, Any]) -> str:
    """Return a label for a thing whose own one is taken, from what was written for it."""
    text = given.written[0]
    reference = read_short(text) or Reference(text)
    return label_references([[reference]], {f"taken {n}": label for n, label in enumerate(taken)})[
        reference.key
    ]
