"""Planted collapse, divergence and health through the protocol, and a collapse with its cure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch


def test_planted_runs_through_the_protocol(toy: Any, tmp_path: Path) -> None:
    """Steps of a thousand up a critic's slope leave the data; a generator that stands still covers little."""
    loss = {"plugin": "gan", "loss": "least-squares"}
    critic = {"plugin": "gan", "loss": {"plugin": "wasserstein", "clip": 1.0}}
    outcome = toy.run(
        tmp_path,
        methods=[
            {**critic, "label": "huge steps", "lr_g": 1e3, "lr_d": 1e-3},
            {**loss, "label": "no steps", "lr_g": 1e-12, "lr_d": 1e-3},
        ],
        seeds=[0],
    )
    diverged, stuck = outcome.records
    assert diverged.notes["verdict"] == "diverged"
    assert diverged.metrics["modes"] == 0
    assert all(np.isfinite(list(diverged.metrics.values())))
    assert stuck.notes["verdict"] == "collapsed"


def test_a_generator_on_the_data_is_healthy(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted healthy run: its samples are drawn from the mixture itself."""
    from harness_embedded.gaussian_mixture import GaussianMixture
    from harness_gan.gan_training import GanTraining

    split = GaussianMixture(sigma=0.1).load("train")

    def perfect(self: GanTraining, latent: torch.Tensor, batch: int = 0) -> torch.Tensor:
        return split.draw(latent.shape[1], torch.Generator().manual_seed(1))[None]

    monkeypatch.setattr(GanTraining, "sample", perfect)
    record = toy.run(tmp_path, methods=toy.suite["methods"][:1], seeds=[0]).records[0]
    assert record.notes["verdict"] == "healthy"
    assert record.metrics["modes"] == 8
    assert record.metrics["high-quality"] == pytest.approx(1 - np.exp(-4.5), abs=0.03)


def test_a_collapse_and_its_cure(toy: Any, tmp_path: Path) -> None:
    """A discriminator ten times too slow covers nothing at a loss near log 4; two critic steps cover the ring."""
    base = {"plugin": "gan", "loss": "non-saturating", "lr": 1e-3, "beta2": 0.9}
    slow = {"plugin": "weak-discriminator", "factor": 1.0, "rate": 0.1}
    outcome = toy.run(
        tmp_path,
        protocol={"plugin": "gan", "steps": 400, "batch_size": 64},
        models=[{"plugin": "gan-mlp", "hidden": 64, "layers": 2}],
        datasets=[{"plugin": "gaussian-mixture", "sigma": 0.1, "scale": 1.414}],
        methods=[
            {**base, "label": "slow", "remedies": [slow]},
            {**base, "label": "two", "remedies": ["critic-steps"]},
        ],
        metrics=["modes"],
    )
    covered: dict[str, list[float]] = {"slow": [], "two": []}
    for record in outcome.records:
        covered[record.coordinates["method"]].append(record.metrics["modes"])
        if record.coordinates["method"] == "slow":
            assert record.notes["verdict"] != "healthy"
            assert abs(record.notes["signs"]["d_loss"] - 2 * np.log(2)) < 0.35
    assert np.median(covered["slow"]) <= 2
    assert np.median(covered["two"]) >= 6
