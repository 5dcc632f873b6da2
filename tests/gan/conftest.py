"""Small worlds that the tests of GAN training share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

import harness
from harness_embedded.gaussian_mixture import GaussianMixture
from harness_gan.gan_training import GanTraining
from harness_gan.losses import NonSaturating
from harness_gan.methods import GAN
from harness_gan.real_samples import PointSamples
from harness_generative.architectures import MLP, Architecture

Make = Callable[..., GanTraining]


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
        precision: str = "float32",
        **options: Any,
    ) -> GanTraining:
        source = source or PointSamples(GaussianMixture(sigma=0.1).load("train"))
        method = GAN(loss or NonSaturating(), list(remedies), **{"lr": 1e-3, **options})
        architecture = architecture or MLP(hidden=16, layers=2)
        return GanTraining(
            method,
            architecture,
            source,
            seeds,
            batch_size=batch_size,
            steps=100,
            device=torch.device("cpu"),
            precision=precision,
        )

    return make


class Toy:
    """A suite of two methods and three seeds on the ring, small enough to run many times."""

    suite: ClassVar[dict[str, Any]] = {
        "name": "toy-gan",
        "protocol": {
            "plugin": "gan",
            "steps": 12,
            "batch_size": 16,
            "samples": 200,
            "checkpoint_every": 4,
        },
        "models": [{"plugin": "gan-mlp", "hidden": 16, "layers": 1}],
        "datasets": [{"plugin": "gaussian-mixture", "sigma": 0.1, "label": "ring"}],
        "methods": [
            {"plugin": "gan", "label": "NS", "loss": "non-saturating", "lr": 0.001},
            {
                "plugin": "gan",
                "label": "GP",
                "loss": {"plugin": "wasserstein-gp", "n_critic": 2},
                "remedies": ["averaged-generator", {"plugin": "pacgan", "m": 4}],
            },
        ],
        "metrics": ["modes", "high-quality", "reverse-kl", "frechet", "prdc"],
        "seeds": [0, 1, 2],
    }

    def run(self, store: Path, **changes: Any) -> harness.Run:
        """Runs the suite with changes; every cell must be ok."""
        outcome = harness.run({**self.suite, **changes}, store=store, device="cpu")
        for record in outcome.records:
            assert record.status == "ok", record.traceback or record.reason
        return outcome

    def by_place(self, store: Path, **changes: Any) -> dict[tuple[str, int], Any]:
        """The records of such a run by method and seed."""
        records = self.run(store, **changes).records
        return {(r.coordinates["method"], r.coordinates["seed"]): r for r in records}


@pytest.fixture
def toy() -> Toy:
    return Toy()
