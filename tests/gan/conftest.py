"""Small worlds that the tests of GAN training share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from harness_gan.architectures import MLP, Architecture
from harness_gan.losses import NonSaturating
from harness_gan.methods import GAN
from harness_gan.mixtures import GaussianMixture
from harness_gan.sources import Points
from harness_gan.training import Training

Make = Callable[..., Training]


@pytest.fixture
def make_training() -> Make:
    """Builds a small training on the ring; options are the protocol's and the method's parts."""

    def make(
        loss: Any = None,
        remedies: Sequence[Any] = (),
        seeds: Sequence[int] = (0,),
        architecture: Architecture | None = None,
        source: Any = None,
        batch_size: int = 16,
        **options: Any,
    ) -> Training:
        source = source or Points(GaussianMixture(sigma=0.1).load("train"))
        method = GAN(loss or NonSaturating(), list(remedies), **{"lr": 1e-3, **options})
        architecture = architecture or MLP(hidden=16, layers=2)
        return Training(
            method,
            architecture,
            source,
            seeds,
            batch_size=batch_size,
            steps=100,
            device=torch.device("cpu"),
        )

    return make
