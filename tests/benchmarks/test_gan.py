"""Seeds should come almost free: eight that train at once against one."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from harness_embedded.gaussian_mixture import GaussianMixture
from harness_gan.gan_training import GanTraining
from harness_gan.losses import NonSaturating
from harness_gan.methods import GAN
from harness_gan.real_samples import PointSamples
from harness_generative.architectures import MLP

ROUNDS = 60


def ring(seeds: int) -> GanTraining:
    source = PointSamples(GaussianMixture(sigma=0.1, scale=1.414).load("train"))
    training = GanTraining(
        GAN(NonSaturating(), lr=1e-3),
        MLP(hidden=64, layers=2),
        source,
        range(seeds),
        batch_size=64,
        steps=1000,
        device=torch.device("cpu"),
    )
    rounds(training, 5)
    return training


def rounds(training: GanTraining, n: int) -> None:
    for _ in range(n):
        training.run_round()


@pytest.mark.parametrize("seeds", [1, 8])
def test_rounds_on_the_ring(benchmark: Any, seeds: int) -> None:
    training = ring(seeds)
    benchmark.pedantic(rounds, (training, ROUNDS), rounds=3)


def test_eight_seeds_cost_less_than_three_times_one() -> None:
    """In CPU time, the best of five turns each, so that what else runs weighs little."""
    trainings = {1: ring(1), 8: ring(8)}
    best = dict.fromkeys(trainings, float("inf"))
    for _ in range(5):
        for seeds, training in trainings.items():
            start = time.process_time()
            rounds(training, ROUNDS)
            best[seeds] = min(best[seeds], time.process_time() - start)
    assert best[8] < 3 * best[1]
