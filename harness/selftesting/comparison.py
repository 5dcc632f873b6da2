"""The outcomes of cells on two devices, compared number by number: a row per kind of number, and one per failure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from harness.records.record import Record
from harness.selftesting.outcomes import Kind, Outcome, Side
from harness.selftesting.rows import Row
from harness.selftesting.tolerances import FIRST_LOSSES, FLOAT32, GROUPED, Tolerance
from harness.testing.cell_runs import is_time

LISTED = 10
"""Numbers beyond their tolerance that have a row of their own, of each kind."""

FLOOR = 1e-6
"""Absolute difference that no number is judged by."""


@dataclass(frozen=True)
class Pair:
    """A number of both sides, and how far apart they may be."""

    where: str
    device: float
    reference: float
    allowed: float

    @property
    def apart(self) -> float:
        """Their difference by what is allowed: above 1 is too much."""
        if self.device == self.reference or (self.device != self.device and self.reference != self.reference):
            return 0.0
        difference = abs(self.device - self.reference)
        return difference / self.allowed if math.isfinite(difference) and self.allowed else math.inf

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return {"where": self.where, "device": self.device, "CPU": self.reference, "allowed": self.allowed}


def compare_sides(part: str, device: Side, reference: Side) -> list[Row]:
    """Return the rows of a part whose cells ran on both sides."""
    rows = [_compare_ends(part, device, reference)]
    both = [
        (device.outcomes[id], other)
        for id, other in reference.outcomes.items()
        if id in device.outcomes and device.outcomes[id].record.status == other.record.status == "ok"
    ]
    kinds: tuple[tuple[Kind, Tolerance], ...] = (("frozen", FLOAT32.frozen), ("fitted", FLOAT32.fitted))
    for kind, limit in kinds:
        cells = [pair for pair in both if pair[1].kind == kind]
        numbers = [pair for one in cells for pair in _pair_metrics(*one, limit)]
        tipping = f"{limit.tipped:.1%} of samples, at least 1; else {limit.relative:.0e}"
        rows += summarise(f"{part}: {len(cells)} {kind} cells, metrics", numbers, tipping)
        samples = [pair for one in cells for pair in _pair_predictions(*one, limit)]
        rows += summarise(f"{part}: {kind}, equal predictions", samples, f"{limit.tipped:.1%}, at least 1")
        sure = [pair for one in cells for pair in _pair_confidences(*one, limit)]
        rows += summarise(f"{part}: {kind}, confidences", sure, f"{limit.confidence:.0e}")
    trained = [pair for pair in both if pair[1].kind == "trained"]
    losses = [pair for one in trained for pair in _pair_losses(*one, FLOAT32.loss)]
    rows += summarise(
        f"{part}: {len(trained)} trained cells, first losses", losses, f"{FLOAT32.loss:.0e} of the largest"
    )
    ends = [pair for one in trained for pair in _pair_metrics(*one, FLOAT32.fitted)]
    return rows + _note_ends(part, ends)


def summarise(check: str, pairs: Sequence[Pair], tolerance: str) -> list[Row]:
    """Return a row with the pair that is farthest apart, and one for each of the first that are too far; none for none."""
    if not pairs:
        return []
    farthest = max(pairs, key=lambda pair: pair.apart)
    beyond = [pair for pair in pairs if not pair.apart <= 1.0]
    facts = {
        "numbers": len(pairs),
        "beyond": len(beyond),
        "exact": sum(pair.apart == 0.0 for pair in pairs),
        "farthest": farthest.to_dict(),
    }
    named = (
        f"{check} ({len(pairs)} numbers, farthest: {farthest.where})"
        if farthest.apart
        else f"{check} ({len(pairs)} numbers)"
    )
    shown = (_show(farthest.device), _show(farthest.reference)) if farthest.apart else ("all equal", "")
    rows = [Row(named, shown[0], shown[1], tolerance, "FAIL" if beyond else "ok", facts)]
    rows += [
        Row(f"  {p.where}", _show(p.device), _show(p.reference), _show(p.allowed), "FAIL", p.to_dict())
        for p in beyond[:LISTED]
    ]
    return rows


def _show(value: float) -> str:
    return f"{value:.6g}"


def _compare_ends(part: str, device: Side, reference: Side) -> Row:
    """Compare what is exact: how cells end, and ids, labels, counts and names of metrics."""
    wrong = []
    for id, other in reference.outcomes.items():
        one, name = device.outcomes.get(id), other.cell.shown
        if one is None:
            wrong.append(f"{name}: not run on the device")
        elif one.record.status != other.record.status or other.record.status in ("failed", "oom"):
            wrong.append(f"{name}: {_end(one.record)}, on the CPU {_end(other.record)}")
        elif one.record.count != other.record.count:
            wrong.append(f"{name}: {one.record.count} samples counted, on the CPU {other.record.count}")
        elif one.record.metrics.keys() != other.record.metrics.keys():
            odd = sorted(one.record.metrics.keys() ^ other.record.metrics.keys())
            wrong.append(f"{name}: the metric '{odd[0]}' on one side only")
        else:
            wrong += [
                f"{name}: the column '{column}' of its samples differs"
                for column in ("id", "target")
                if [*map(str, one.samples.get(column, ()))] != [*map(str, other.samples.get(column, ()))]
            ]
    ran = [sum(o.record.status == "ok" for o in side.outcomes.values()) for side in (device, reference)]
    total = len(reference.outcomes)
    texts = [
        f"{count} of {total} ok in {side.seconds:.0f} s"
        for count, side in zip(ran, (device, reference), strict=True)
    ]
    check = f"{part}: ends, samples, names of numbers" + "".join(f"; {text}" for text in wrong[:LISTED])
    return Row(check, texts[0], texts[1], "exact", "FAIL" if wrong else "ok", {"wrong": wrong})


def _end(record: Record) -> str:
    return f"{record.status} ({record.reason})" if record.reason else record.status


def _pair_metrics(one: Outcome, other: Outcome, limit: Tolerance) -> Iterator[Pair]:
    for name, expected in other.record.metrics.items():
        if not is_time(name):
            found = one.record.metrics.get(name, math.nan)
            allowed = allow(other.record, name, found, expected, limit)
            yield Pair(f"{other.cell.shown}: {name}", found, expected, allowed)


def allow(record: Record, name: str, found: float, expected: float, limit: Tolerance) -> float:
    """Return how far apart a metric's values may be."""
    relative = max(FLOOR, limit.relative * max(abs(found), abs(expected)))
    if record.units.get(name) != "fraction" or not record.count:
        return relative
    tipped = limit.samples(record.count) / record.count
    return max(relative, (tipped if name in record.binary else GROUPED * tipped) * (1 + 1e-9))


def _pair_predictions(one: Outcome, other: Outcome, limit: Tolerance) -> Iterator[Pair]:
    expected = other.samples.get("prediction")
    found = one.samples.get("prediction")
    if expected and found and len(expected) == len(found):
        equal = sum(a == b for a, b in zip(found, expected, strict=True))
        yield Pair(other.cell.shown, float(equal), float(len(expected)), float(limit.samples(len(expected))))


def _pair_confidences(one: Outcome, other: Outcome, limit: Tolerance) -> Iterator[Pair]:
    """Yield the confidence that differs most among the equal predictions of each cell."""
    columns = [side.samples.get(name, []) for side in (one, other) for name in ("prediction", "confidence")]
    if len({len(column) for column in columns}) == 1 and columns[0]:
        same = [(c, d) for a, c, b, d in zip(*columns, strict=True) if a == b]
        found, expected = max(same, key=_apart, default=(0.0, 0.0))
        yield Pair(other.cell.shown, float(found), float(expected), limit.confidence)


def _apart(pair: tuple[float, float]) -> float:
    """Return the difference of two numbers; that to one that is none is the largest."""
    difference = abs(pair[0] - pair[1])
    if difference == difference:
        return difference
    return 0.0 if pair[0] != pair[0] and pair[1] != pair[1] else math.inf


def _pair_losses(one: Outcome, other: Outcome, limit: float) -> Iterator[Pair]:
    """Yield the first losses of a training; without a column called loss, the first of every column.

    A training that stopped earlier on one side is compared as far as both go, by one value at least.
    """
    series = {k: v for k, v in other.losses.items() if not is_time(k[1])}
    chosen = {k: v for k, v in series.items() if "loss" in k[1]} or series
    for key, values in chosen.items():
        found = one.losses.get(key, [])
        largest = max((abs(v) for _, v in values if math.isfinite(v)), default=0.0)
        count = min(FIRST_LOSSES, len(values), max(1, len(found)))
        for (step, expected), (at, value) in zip(
            values[:count], found[:count] or [(-1, math.nan)], strict=True
        ):
            value = value if at == step else math.nan  # another step's loss is no counterpart
            where = f"{other.cell.shown}: {' '.join(key)} at {step}"
            yield Pair(where, value, expected, max(FLOOR, limit * largest))


def _note_ends(part: str, pairs: Sequence[Pair]) -> list[Row]:
    """Return a row on the numbers at the ends of trainings, which are shown but not judged."""
    if not pairs:
        return []
    differences = [abs(p.device - p.reference) / max(abs(p.reference), FLOOR) for p in pairs]
    finite = [d for d in differences if math.isfinite(d)]
    text = f"median difference {median(finite):.2%}" if finite else "none is finite"
    facts = {"numbers": [pair.to_dict() for pair in pairs]}
    return [
        Row(
            f"{part}: ends of trainings ({len(pairs)} numbers)",
            text,
            "",
            "not compared: chaos",
            "note",
            facts,
        )
    ]
