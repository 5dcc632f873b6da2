"""What `harness doctor` and `harness check` say of plugins that load, but slowly, or with a misspelt attribute."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cli import main
from harness.discovery import import_times, registry
from harness.discovery.import_times import ImportTime, measure_import_times
from harness.discovery.near_misses import find_near_misses
from harness.discovery.registry import Plugin

SLOW = """
import os, time
print("noise")
os.write(1, b"noise")
time.sleep({seconds})


class Rate:
    '''A metric.'''
    higher_is_better = True

    def __call__(self, predictions):
        return 0.5
"""
MISSPELT = """
class Rate:
    '''A metric.'''
    higher_is_beter = True
    higher_is_better = True
    threshold = 0.5  # nothing near a declared name
    _unit = "fraction"  # its own

    def __init__(self, reed: str = "", unit: str = ""):
        ...

    def per_samples(self, predictions):
        return []

    def __call__(self, predictions):
        return 0.5
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Three distributions: a quick, a slow and a misspelt one."""
    for name, text in {
        "quick": SLOW.format(seconds=0), "slow": SLOW.format(seconds=0.8), "misspelt": MISSPELT,
    }.items():  # fmt: skip
        (tmp_path / f"{name}_rates.py").write_text(text)
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[harness.metrics]\n{name}-rate = {name}_rates:Rate\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.refresh()
    yield tmp_path
    for name in ("quick", "slow", "misspelt"):
        sys.modules.pop(f"{name}_rates", None)
    registry.refresh()


def plugins(*names: str) -> list[Plugin]:
    return [registry.find("metrics", f"{name}-rate") for name in names]


def test_the_slowest_package_comes_first_with_its_own_time(site: Path) -> None:
    times = measure_import_times(plugins("quick", "slow"))
    assert [(t.package, t.distribution) for t in times] == [("slow_rates", "slow"), ("quick_rates", "quick")]
    assert times[0].seconds >= 0.8
    assert times[0].seconds - times[1].seconds > 0.4
    assert all(t.common > 0 for t in times)


def test_a_busy_machine_makes_no_package_slow() -> None:
    assert ImportTime("acme", "acme", "1", seconds=4.0, common=0.5).is_slow
    assert not ImportTime("acme", "acme", "1", seconds=4.0, common=2.0).is_slow
    assert not ImportTime("acme", "acme", "1", seconds=0.4, common=0.1).is_slow


def test_one_that_hangs_is_named_and_not_waited_for(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (site / "slow_rates.py").write_text(SLOW.format(seconds=1000))
    monkeypatch.setattr(import_times, "LONGEST", 2.0)
    (time,) = measure_import_times(plugins("slow"))
    assert time.hangs
    assert time.is_slow


def test_misspelt_attributes_are_named() -> None:
    namespace: dict[str, type] = {"__name__": "misspelt_here"}  # type: ignore[dict-item]
    exec(MISSPELT, namespace)
    assert find_near_misses("metrics", namespace["Rate"]) == [
        "Rate.higher_is_beter is nothing that the harness asks for; did you mean 'higher_is_better'?",
        "Rate.per_samples is nothing that the harness asks for; did you mean 'per_sample'?",
    ]


@pytest.mark.parametrize("kind", [k for k in registry.KINDS if k not in ("suites", "published")])
def test_no_first_party_plugin_is_in_doubt(kind: str) -> None:
    own = [p for p in registry.installed(kind) if p.distribution == "vision-harness"]
    assert [text for p in own for text in find_near_misses(kind, registry.load(p))] == []


def test_both_are_said(
    site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = [
        ImportTime("slow_rates", "slow", "1.0", 6.1, 0.3),
        ImportTime("quick_rates", "quick", "1.0", 0.1, 0.3),
    ]
    monkeypatch.setattr("harness.running.diagnosis.measure_import_times", lambda plugins: times)
    main(["doctor"])
    out = capsys.readouterr().out
    assert "imports:   longest: slow_rates 6.1 s, quick_rates 0.1 s\n" in out
    assert "SLOW       slow_rates of slow 1.0 takes 6.1 s to import, and planning waits for it" in out
    assert "SLOW       quick" not in out
    assert "DOUBT      metric 'misspelt-rate' of misspelt 1.0: Rate.higher_is_beter is nothing that" in out
    main(["check", "misspelt-rate", "--json"])
    (verdict,) = json.loads(capsys.readouterr().out)
    assert len(verdict["doubts"]) == 2
