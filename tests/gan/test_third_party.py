"""Losses and remedies of others: one class each, in this process or in a distribution of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import harness
import harness.api
from harness.discovery import registry
from harness_generative.contracts import GanSettings, Loss, Remedy


class Doubled(Loss):
    """A third party's loss."""

    def real(self, output: torch.Tensor) -> torch.Tensor:
        return -2 * output

    def fake(self, output: torch.Tensor) -> torch.Tensor:
        return 2 * output

    def generator(self, output: torch.Tensor) -> torch.Tensor:
        return -2 * output


class Slow(Remedy):
    """A third party's remedy."""

    def __init__(self, factor: float = 0.1) -> None:
        self.factor = factor

    def adjust(self, settings: GanSettings) -> None:
        settings.lr_d *= self.factor


def test_a_third_party_adds_a_loss_and_a_remedy_by_one_class_each(toy: Any, tmp_path: Path) -> None:
    registry.register("methods", "doubled", Doubled)
    registry.register("methods", "slow", Slow)
    method = {
        "plugin": "gan",
        "label": "own",
        "loss": "doubled",
        "remedies": [{"plugin": "slow", "factor": 0.5}],
    }
    outcome = toy.run(tmp_path, methods=[method], seeds=[0])
    assert "d_accuracy" not in outcome.store.curves(outcome.records[0].id)["column"].tolist()
    changed = {**method, "remedies": [{"plugin": "slow", "factor": 0.25}]}
    ids = [
        harness.api.plan({**toy.suite, "methods": [m], "seeds": [0]}).cells[0].cell.id
        for m in (method, changed)
    ]
    assert ids[0] != ids[1]


MODULE = '''
"""What somebody else wrote."""

from harness_generative.contracts import Loss, Remedy


class Squared(Loss):
    """A loss of their own."""

    threshold = 0.0

    def __init__(self, slope: float = 1.0) -> None:
        self.slope = slope

    def real(self, output):
        return (output - self.slope) ** 2

    def fake(self, output):
        return (output + self.slope) ** 2

    def generator(self, output):
        return output**2


class Dimmed(Remedy):
    """A remedy of their own."""

    def inputs(self, samples, progress, streams):
        return samples * (1 - 0.5 * progress)
'''


def test_a_distribution_of_their_own(toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module and two entry points on the path, as an installed package has them; nothing else."""
    facts = tmp_path / "acme_gan-1.0.dist-info"
    facts.mkdir()
    (tmp_path / "acme_gan.py").write_text(MODULE)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-gan\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(
        "[harness.methods]\nsquared = acme_gan:Squared\ndimmed = acme_gan:Dimmed\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._scan_distributions.cache_clear()
    try:
        method = {
            "plugin": "gan",
            "label": "theirs",
            "loss": {"plugin": "squared", "slope": 0.5},
            "remedies": ["dimmed", "spectral-norm"],
        }
        outcome = toy.run(tmp_path / "store", methods=[method], seeds=[0, 1])
        assert {r.notes["seeds_at_once"] for r in outcome.records} == {2}
        assert "d_accuracy" in set(outcome.store.curves(outcome.records[0].id)["column"])
        with pytest.raises(harness.HarnessError, match="did you mean 'slope'"):
            harness.api.plan({**toy.suite, "methods": [{**method, "loss": {"plugin": "squared", "slop": 1}}]})
    finally:
        registry._scan_distributions.cache_clear()
