"""Every first-party method and protocol passes the kit, in the protocols' smallest grids and with few steps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.discovery import registry
from harness.testing import ExecutorConformance, MethodConformance, ProtocolConformance

# options that make a method shorter than by default; those that are not named run as they are
SHORT: Mapping[str, Mapping[str, Any]] = {
    "adapter": {"hidden": 2},
    "clip-adapter": {"epochs": 2},
    "cocoop": {"epochs": 1, "length": 2},
    "coop": {"epochs": 3, "length": 2},
    "cyclegan": {},
    "descriptions": {"path": "{files}/descriptions.json"},
    "detector-training": {"steps": 4, "batch": 4, "checkpoint_every": 2},
    "gan": {"loss": "hinge"},
    "ipo": {"steps": 3},
    "ivlp": {"epochs": 2},
    "kgcoop": {"epochs": 3},
    "maple": {"epochs": 2},
    "prograd": {"epochs": 3, "length": 2},
    "promptsrc": {"epochs": 2},
    "segmenter-training": {"steps": 4, "batch": 4, "side": 0, "crop": 0, "checkpoint_every": 2},
    "tip-adapter-f": {"epochs": 2},
}


def names(kind: str) -> list[str]:
    return [p.name for p in registry.installed(kind) if p.distribution == "vision-harness"]


class TestMethods(MethodConformance):
    @pytest.fixture(params=names("methods"))
    def method(self, request: pytest.FixtureRequest, files: Path) -> Any:
        short = SHORT.get(request.param, {})
        options = {k: v.replace("{files}", str(files)) if isinstance(v, str) else v for k, v in short.items()}
        return {"plugin": request.param, "options": options}


class TestProtocols(ProtocolConformance):
    @pytest.fixture(params=names("protocols"))
    def protocol(self, request: pytest.FixtureRequest) -> Any:
        return request.param


class TestExecutors(ExecutorConformance):
    # slurm passes the same checks where a cluster is: tests/slurm/test_cluster.py
    @pytest.fixture(params=[name for name in names("executors") if name != "slurm"])
    def executor(self, request: pytest.FixtureRequest) -> Any:
        factory = registry.load(registry.find("executors", request.param))
        return factory(2) if request.param == "processes" else factory()

    @pytest.fixture
    def cell(self, files: Path) -> Mapping[str, Any]:
        return {
            "protocol": {"plugin": "gan", "steps": 2, "batch_size": 8, "samples": 10},
            "models": [{"plugin": "gan-mlp", "hidden": 4, "layers": 1}],
            "datasets": ["gaussian-mixture"],
            "methods": [{"plugin": "gan", "loss": "hinge"}],
        }
