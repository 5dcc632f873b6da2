"""Every first-party suite, listener, summary and plot passes the kit."""

from __future__ import annotations

from typing import Any

import pytest

from harness.discovery import registry
from harness.discovery.parts import Resolver
from harness.discovery.reference import Reference
from harness.testing import (
    ImporterConformance,
    ListenerConformance,
    PlotConformance,
    SuiteConformance,
    SummaryConformance,
)


def names(kind: str) -> list[str]:
    return [p.name for p in registry.installed(kind) if p.distribution == "vision-harness"]


def made(kind: str, name: str) -> Any:
    needed = {"ablation": {"baseline": "untrained"}, "shift-change": {"before": "untrained"}}
    part = Resolver().resolve(kind, Reference(name, needed.get(name, {})), "kit")
    assert part.problem is None, part.problem
    return part.object


class TestSuites(SuiteConformance):
    @pytest.fixture(params=names("suites"))
    def suite(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)


class TestListeners(ListenerConformance):
    @pytest.fixture(params=names("hooks"))
    def listener(self, request: pytest.FixtureRequest) -> Any:
        return made("hooks", request.param)


class TestImporters(ImporterConformance):
    @pytest.fixture(params=names("importers"))
    def importer(self, request: pytest.FixtureRequest) -> Any:
        return made("importers", request.param)


class TestSummaries(SummaryConformance):
    @pytest.fixture(params=names("summaries"))
    def summary(self, request: pytest.FixtureRequest) -> Any:
        return made("summaries", request.param)


class TestPlots(PlotConformance):
    @pytest.fixture(params=names("plots"))
    def plot(self, request: pytest.FixtureRequest) -> Any:
        return made("plots", request.param)
