"""The tables of imported records: one per protocol and main metric, with as many digits as the files have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from harness.contract.cells import canonical_json
from harness.records.record import Record

MOST_DECIMALS = 6
"""Beyond these a table is not legible; then it has the usual ones, and its forms as data have all digits."""


def lay_out_suite(
    suite: str, names: str, cells: Sequence[Mapping[str, Any]], records: Mapping[str, Record | None]
) -> dict[str, Any]:
    """Return a suite with one table per protocol and main metric of the records, which importers `names` read."""
    having: dict[tuple[str, str], dict[str, None]] = {}
    digits: dict[tuple[str, str], int | None] = {}
    spread: dict[str, dict[str, set[str]]] = {}
    for cell in cells:
        record, at = records.get(cell["id"]), cell["at"]
        protocol = at["protocol"]
        for key, value in at.items():
            spread.setdefault(protocol, {}).setdefault(key, set()).add(canonical_json(value))
        for metric in record.metrics if record else {}:
            place = (protocol, metric)
            having.setdefault(place, {})[at["dataset"]] = None
            own = count_decimals(record, metric) if record else None
            known = digits.get(place, 0)
            digits[place] = None if own is None or known is None else max(own, known)
    tables = []
    for (protocol, metric), datasets in having.items():
        if (protocol, "top1") in having and metric in ("top5", "mean_per_class"):
            continue
        varied = [
            k for k, v in spread[protocol].items() if len(v) > 1 and k not in ("model", "dataset", "seed")
        ]
        table: dict[str, Any] = {
            "name": f"{protocol}-{metric}",
            "title": f"{protocol}, {metric} (imported from {names})",
            "rows": ["model", *varied],
            "columns": ["dataset"],
            "values": [metric],
            "where": {"protocol": protocol, "dataset": list(datasets)},
        }
        decimals = digits[protocol, metric]
        tables.append(table if decimals is None else {**table, "decimals": decimals})
    return {"name": suite, "title": f"Imported from {names}", "tables": tables}


def count_decimals(record: Record, metric: str) -> int | None:
    """Return how many decimals a table needs for a metric as its file writes it; None if too many or unknown."""
    text = record.notes.get("as written", {}).get(metric)
    if not isinstance(text, str):
        return None
    try:
        written = Decimal(text)
    except InvalidOperation:
        return None
    places = written.as_tuple().exponent
    if not isinstance(places, int):  # of NaN and infinity
        return None
    if record.units.get(metric) == "fraction":  # shown in percent, however it is written
        in_percent = abs(float(written) - record.metrics[metric]) > abs(record.metrics[metric])
        places = places if in_percent else places + 2
    decimals = max(-places, 0)
    return decimals if decimals <= MOST_DECIMALS else None
