"""Whether times are asserted, and how two ways of doing the same work are compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness.discovery import registry
from harness.running import devices


@pytest.fixture
def measuring(request: pytest.FixtureRequest) -> bool:
    """True under `--benchmark-enable`: sizes are full and times are asserted."""
    return bool(request.config.getoption("--benchmark-enable"))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch on one thread, so that a ratio does not depend on the cores that are free."""
    with devices.one_thread():
        yield


def seconds(work: Callable[[], Any]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def processor(work: Callable[[], Any]) -> float:
    """Processor time of one call: on one thread the same as wall time, less what others took."""
    start = time.process_time()
    work()
    return time.process_time() - start


def alternated(first: Callable[[], Any], second: Callable[[], Any], rounds: int) -> float:
    """Median over rounds of time(first) / time(second), each round starting with the other one."""
    first(), second()
    ratios = []
    for n in range(rounds):
        if n % 2:
            b, a = processor(second), processor(first)
        else:
            a, b = processor(first), processor(second)
        ratios.append(a / b)
    return statistics.median(ratios)


@pytest.fixture
def ratio() -> Callable[..., float]:
    """`ratio(first, second, rounds)`: see `alternated`."""
    return alternated


@pytest.fixture
def least() -> Callable[..., float]:
    """`least(work, rounds)`: the shortest wall time of several calls."""
    return lambda work, rounds=5: min(seconds(work) for _ in range(rounds))


@pytest.fixture(autouse=True)
def own_plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Plugins that a benchmark registers go with it."""
    monkeypatch.setattr(registry, "_local", dict(registry._local))
    yield
    monkeypatch.undo()
    registry.refresh()
