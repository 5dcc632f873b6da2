"""Results of one evaluation that was imported twice: whether their numbers are equal, and how they differ."""

from __future__ import annotations

from collections.abc import Container, Mapping

from harness.exchange.contract import ImportedResult
from harness.records.record import Record


def have_equal_numbers(
    a: Mapping[str, float], b: Mapping[str, float], leave_out: Container[str] = ()
) -> bool:
    """Return whether two sets of metrics, the first but for some, are equal, with a NaN equal to a NaN."""
    a = {k: v for k, v in a.items() if k not in leave_out}
    return a.keys() == b.keys() and all(a[k] == b[k] or (a[k] != a[k] and b[k] != b[k]) for k in a)


def is_corrected(old: Record, record: Record, result: ImportedResult) -> bool:
    """Return whether an older version of the importer took settings for metrics, and nothing else differs."""
    if have_equal_numbers(old.metrics, record.metrics):
        return False
    return have_equal_numbers(old.metrics, record.metrics, result.settings)


def tell_difference(one: Record, other: Record, replaceable: bool) -> str:
    """Return how the settings of two results of one evaluation differ, if they do, and the cure, in brackets."""
    here, there = one.notes.get("settings", {}), other.notes.get("settings", {})
    differ = [k for k in dict.fromkeys([*here, *there]) if here.get(k) != there.get(k)]
    cure = "import one of them into a store of its own"
    cure += ", or with --replace in the place of the earlier" if replaceable else ""
    if not differ:
        return f" ({cure})"
    shown = ", ".join(f"{k} {here.get(k)} here, {there.get(k)} there" for k in differ)
    return f" ({shown}: {cure})"


def state_replaced(record: Record, old: Record) -> None:
    """Note in a record where the numbers were from that it takes the place of."""
    origin = {k: v for k, v in old.provenance["imported"].items() if k != "replaces"}
    record.provenance["imported"]["replaces"] = origin
