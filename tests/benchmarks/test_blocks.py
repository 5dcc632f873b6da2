"""One large array on several workers: two take half the time of one, and blocks cost hardly more than one pass."""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.inference.blocks import BATCHES
from harness.inference.features import FeatureCache

sys.path.insert(0, str(Path(__file__).parent))

from blocks_process import make_work

PROCESS = Path(__file__).with_name("blocks_process.py")


def share(cache: Path, workers: int, count: int) -> list[float]:
    """Processor seconds of each of several processes that compute one array."""
    command = [sys.executable, str(PROCESS), str(cache), str(count)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(workers)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    found = [float(process.communicate()[0]) for process in running]
    assert all(process.returncode == 0 for process in running)
    return found


def test_two_workers_take_half_the_time_of_one(benchmark: Any, measuring: bool, tmp_path: Path) -> None:
    """Processor time of one process, by that of the slower of two: 2 at best; 50 blocks."""
    count, rounds = (800, 3) if measuring else (80, 1)
    ratios = []
    for n in range(rounds):
        places = tmp_path / f"one {n}", tmp_path / f"two {n}"
        (alone,) = share(places[0], 1, count)
        both = share(places[1], 2, count)
        ratios.append(alone / max(both))
        (one,), (two,) = (place.rglob("*.npy") for place in places)
        assert one.read_bytes() == two.read_bytes()
    found = statistics.median(ratios)
    benchmark.extra_info["processor time of one : the slower of two"] = round(found, 3)
    benchmark.pedantic(lambda: None, rounds=1)
    if measuring:
        assert found >= 1.8, ratios


@pytest.mark.usefixtures("one_thread")
def test_blocks_cost_hardly_more_than_one_pass(
    benchmark: Any, measuring: bool, ratio: Any, tmp_path: Path
) -> None:
    count, batches = (1200, BATCHES) if measuring else (80, 5)
    numbers = itertools.count()

    def compute(batches: int) -> Any:
        cache = FeatureCache(tmp_path / str(next(numbers)))
        return cache.get({"what": "embeddings"}, make_work(count, batches))

    found = ratio(lambda: compute(batches), lambda: compute(count), 5 if measuring else 1)
    benchmark.extra_info["blocks : one pass"] = round(found, 3)
    benchmark.pedantic(compute, args=(batches,), rounds=1)
    if measuring:
        assert found <= 1.05, found
