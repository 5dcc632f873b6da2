"""Compare the conditions under which two records were made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.comparing.sides import PARTS, SideCell
from harness.contract.cells import canonical_json
from harness.planning.given_labels import drop_versions
from harness.planning.labels import SHORTENED
from harness.records.record import Record

SETTINGS = {"precision": "precision", "images": "images mode", "limit": "limit on samples"}
LONGEST = 60


def different_conditions(a: Record, b: Record, expected: set[str]) -> Iterator[tuple[str, str, str]]:
    """Yield what differs between two records besides their numbers: a name, and the value on each side.

    The parts named in `expected` (such as `model`) are the subject of the comparison, and left out.
    """
    for part in PARTS:
        if part not in expected:
            yield from different_parts(part, a.cell.get(part), b.cell.get(part))
    metrics = [{m["label"]: m for m in r.cell.get("metrics") or []} for r in (a, b)]
    for label in sorted(metrics[0].keys() & metrics[1].keys()):
        yield from different_parts(f"metric {label}", metrics[0][label], metrics[1][label])
    for key, name in SETTINGS.items():
        yield from _compare_values(name, a.cell.get(key), b.cell.get(key))
    if a.count is not None and b.count is not None:
        yield from _compare_values("number of samples", a.count, b.count)
    yield from _compare_provenance(a.provenance, b.provenance)


def different_parts(
    name: str, a: Mapping[str, Any] | None, b: Mapping[str, Any] | None
) -> Iterator[tuple[str, str, str]]:
    """Yield what differs between two parts of the same name: a name, and the value on each side."""
    one, other = ((p or {}).get("identity") or {} for p in (a, b))
    for key in ("plugin", "distribution", "version", "code"):
        words = "plugin version" if key == "version" else key
        yield from _compare_values(f"{name}: {words}", one.get(key), other.get(key))
    what = "data fingerprint" if name == "dataset" else f"{name}: fingerprint"
    yield from _compare_values(what, one.get("fingerprint"), other.get("fingerprint"))
    options = [p.get("options") or {} for p in (one, other)]
    for key in sorted(options[0].keys() | options[1].keys()):
        yield from _compare_values(f"{name}: option {key}", options[0].get(key), options[1].get(key))


def find_other_meanings(a: SideCell, b: SideCell, expected: set[str]) -> dict[str, tuple[str, str]]:
    """Return what was written on each side for the model or data set, where one label stands for two things.

    They differ in more than a version, and in more of what was written than options.
    """
    found = {}
    for name in SHORTENED.values():
        label = a.at.get(name)
        if name in expected or label != b.at.get(name) or a.record is None or b.record is None:
            continue
        texts = [[t for t in cell.written.get(name, ()) if t != label] for cell in (a, b)]
        one, other = (drop_versions((r.cell.get(name) or {}).get("identity")) for r in (a.record, b.record))
        if texts[0] and texts[1] and not {*texts[0]} & {*texts[1]} and one != other:
            found[name] = (_shorten(texts[0][0]), _shorten(texts[1][0]))
    return found


def _compare_provenance(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if bool(a.get("imported")) != bool(b.get("imported")):
        yield from _compare_values("made by", _maker(a), _maker(b))
    else:
        yield from _compare_environment(a, b)


def _compare_environment(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    yield from _compare_values("harness version", a.get("harness"), b.get("harness"))
    yield from _compare_values("Python version", a.get("python"), b.get("python"))
    for group in ("libraries", "plugins"):
        one, other = (p.get(group) or {} for p in (a, b))
        for key in sorted(one.keys() | other.keys()):
            yield from _compare_values(f"{key} version", one.get(key), other.get(key))
    yield from _compare_values("batch size", a.get("batch_size"), b.get("batch_size"))
    one, other = (p.get("device") or {} for p in (a, b))
    yield from _compare_values("device", *(d.get("name") or d.get("type") for d in (one, other)))
    for key in ("cuda", "cudnn", "driver"):
        yield from _compare_values(f"{key} version", one.get(key), other.get(key))
    if "name" not in one and "name" not in other:
        one, other = (p.get("host") or {} for p in (a, b))
        yield from _compare_values("CPU", one.get("cpu"), other.get("cpu"))
        yield from _compare_values("machine", one.get("machine"), other.get("machine"))


def _maker(provenance: Mapping[str, Any]) -> str:
    imported = provenance.get("imported")
    return str(imported.get("from")) if imported else "this harness"


def _compare_values(name: str, a: Any, b: Any) -> Iterator[tuple[str, str, str]]:
    if a != b:
        yield name, _shorten(a), _shorten(b)


def _shorten(value: Any) -> str:
    if value is None or value == "":
        return "none"
    text = value if isinstance(value, str) else canonical_json(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
