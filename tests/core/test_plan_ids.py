"""Ids of cells: what decides a result changes them, nothing else does, in any process."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.planning.plan import make_plan
from harness.planning.suite import parse_suite

BASE: dict[str, Any] = {
    "name": "s",
    "protocol": "toy",
    "models": ["toy"],
    "datasets": ["toy"],
    "metrics": ["toy"],
}


def ids(**changes: Any) -> list[str]:
    return [p.cell.id for p in make_plan(parse_suite({**BASE, **changes}))]


SAME = [
    {"models": [{"plugin": "toy", "label": "other", "tags": {"a": 1}}]},
    {"models": ["toy:good"]},
    {"models": [{"plugin": "toy", "bias": 0.0, "mode": "good"}]},
    {"protocol": "toy?strength=1"},
    {"protocol": {"plugin": "toy", "refuse": "x"} | {"refuse": None}},
    {"name": "renamed", "title": "T", "tables": [{"name": "t"}]},
    {"experiments": [{"name": "e"}]},
    {"seeds": [0]},
    {"precision": "float32"},
    {"datasets": [{"plugin": "toy", "label": "d"}]},
]
OTHER = [
    {"models": ["toy?bias=0.1"]},
    {"protocol": "toy?strength=2"},
    {"datasets": ["toy?seed=1"]},
    {"metrics": []},
    {"metrics": [{"plugin": "toy", "label": "other"}]},
    {"seeds": [1]},
    {"axes": {"shots": [4]}},
    {"precision": "bfloat16"},
    {"images": "fast"},
    {"limit": 5},
    {"methods": ["toy"]},
]


@pytest.mark.parametrize("change", SAME)
def test_what_decides_nothing_keeps_the_id(toys: Any, change: dict[str, Any]) -> None:
    assert ids(**change) == ids()


def test_what_decides_changes_the_id(toys: Any) -> None:
    harness.register("methods", "toy", toys.Metric)
    found = [ids()[0], *(ids(**change)[0] for change in OTHER)]
    assert len(set(found)) == len(found)


def test_the_order_of_metrics_and_axes_keeps_the_id(toys: Any) -> None:
    class Free(toys.Protocol):
        axes = None

    class Another(toys.Metric):
        pass

    harness.register("protocols", "free", Free)
    harness.register("metrics", "another", Another)
    assert ids(metrics=["toy", "another"]) == ids(metrics=["another", "toy"])
    one = ids(protocol="free", axes={"a": [1], "b": [2]})
    assert one == ids(protocol="free", axes={"b": [2], "a": [1]})
    assert one != ids(protocol="free", axes={"a": [2], "b": [1]})


def test_versions_and_fingerprints_change_the_id(install: Callable[..., Path], toys: Any) -> None:
    code = "class M:\n    mark = 'a'\n    def load(self, device): ...\n    def fingerprint(self): return M.mark\n"
    install(
        "v", {"harness.models": {"finger": "finger_code:M"}}, {"finger_code": code}, version="1.0", folder="a"
    )
    first = ids(models=["finger"])
    assert first == ids(models=["finger"])
    sys.modules["finger_code"].M.mark = "b"
    second = ids(models=["finger"])
    install("v", {"harness.models": {"finger": "finger_code:M"}}, version="1.1", folder="b")
    assert len({*first, *second, *ids(models=["finger"])}) == 3


CHILD = """
from harness.planning.plan import make_plan
from harness.planning.suite import parse_suite
from harness_child_check import SUITE
print(*[p.cell.id for p in make_plan(parse_suite(SUITE))])
"""


def test_ids_are_equal_across_processes(install: Callable[..., Path], toys: Any) -> None:
    suite = {
        "name": "s",
        "protocol": "child-p",
        "models": [{"plugin": "child-m", "grid": {"a": [1, 2.5, "é"], "b": [True]}}],
        "datasets": ["child-d"],
        "seeds": [0, 1],
    }
    code = (
        "class M:\n    def __init__(self, a=1, b=False, c=frozenset({'x', 'y', 'z'})): ...\n"
        "    def load(self, device): ...\n"
        "class D:\n    splits = ('test',)\n    def load(self, split): ...\n"
        "class P:\n    def run(self, job): ...\n"
    )
    points = {
        f"harness.{k}s": {f"child-{k[0]}": f"child_code:{k[0].upper()}"}
        for k in ("model", "dataset", "protocol")
    }
    site = install("child", points, {"child_code": code, "harness_child_check": f"SUITE = {suite!r}\n"})
    here = [p.cell.id for p in make_plan(parse_suite(suite))]
    assert len(set(here)) == 6
    for seed in ("1", "2"):
        there = subprocess.run(
            [sys.executable, "-c", CHILD],
            env={"PYTHONPATH": str(site), "PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        )
        assert there.stdout.split() == here
