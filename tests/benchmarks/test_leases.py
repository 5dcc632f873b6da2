"""Taking and giving a lease against writing the record of the cell that it is for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.records.files import write_bytes
from harness.records.leases import Leases, list_leases

RECORD = b"x" * 3000
"""About the size of a record."""

IDS = [f"{n:020x}" for n in range(50)]


def test_a_lease_costs_less_than_writing_a_record(
    benchmark: Any, measuring: bool, ratio: Callable[..., float], tmp_path: Path
) -> None:
    folder = tmp_path / "leases"
    worker, other = Leases(folder), Leases(folder)

    def lease() -> None:
        for id in IDS:
            assert worker.take(id) is None
            worker.give(id)

    def write() -> None:
        for id in IDS:
            write_bytes(tmp_path / "records" / id[:2] / f"{id}.json", RECORD)

    def take_and_give() -> None:
        worker.take(IDS[0])
        worker.give(IDS[0])

    other.take("f" * 20)
    of_writing = ratio(lease, write, rounds=15 if measuring else 1)
    benchmark.extra_info["of writing"] = of_writing
    assert [found.id for found in list_leases(folder)] == ["f" * 20]
    if measuring:
        assert of_writing < 1.0
    benchmark.pedantic(take_and_give, rounds=500)
    worker.close()
    other.close()
    assert list(folder.iterdir()) == []
