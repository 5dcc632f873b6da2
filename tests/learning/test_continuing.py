"""Trainings with a state besides weights and optimiser: the same end after a kill at a drawn step."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.learning.loop import train
from harness.learning.pipeline import Batch
from harness.learning.recipe import Recipe
from tests.learning.conftest import Task

PLATEAU = {"patience": 1, "factor": 0.7, "cooldown": 1, "threshold": 0.05}
RECIPES = {
    "plateau of the loss": Recipe(18, 9, 1e-2, schedule="plateau", schedule_options=PLATEAU, warmup=3),
    "plateau of the score": Recipe(
        18, 9, 1e-2, "nadam", schedule="plateau", schedule_options={**PLATEAU, "watch": "score", "mode": "torch"},
        evaluate_every=2,
    ),
    "inverse": Recipe(18, 9, 1e-1, "sgd", schedule="inverse", schedule_options={"decay": 0.1}, warmup=2),
    "average": Recipe(18, 9, 1e-2, "lamb", ema=0.9, ema_warmup=0.75, patience=9),
    "all": Recipe(
        18, 9, 1e-2, "rmsprop", schedule="plateau", schedule_options=PLATEAU, ema=0.9, ema_warmup=0.75, last="even",
        accumulate=2,
    ),
}  # fmt: skip


class Killed(Exception):
    """Stands for a kill."""


def run(
    name: str, folder: Path | None = None, kill: int = -1, every: int = 1
) -> tuple[list[torch.Tensor], Any]:
    """Train on labels at random: loss and score hardly move, and so the rate falls again and again."""
    generator = torch.Generator().manual_seed(0)
    task = Task(torch.randn(23, 5, generator=generator), torch.randint(3, (23,), generator=generator))
    network = task.net()

    def objective(batch: Batch, step: int) -> torch.Tensor:
        if step == kill:
            raise Killed
        return F.cross_entropy(network(batch.data), batch.targets)  # type: ignore[arg-type]

    done = train(
        network, task.held(), objective, RECIPES[name], 1,
        folder=folder, checkpoint_every=every, validate=lambda: 0.5,
    )  # fmt: skip
    return [*network.state_dict().values()], done


whole = cache(run)


@settings(max_examples=25)
@given(name=st.sampled_from(sorted(RECIPES)), kill=st.integers(0, 17), every=st.integers(1, 6))
def test_a_killed_training_continues_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, name: str, kill: int, every: int
) -> None:
    weights, expected = whole(name)
    folder = tmp_path_factory.mktemp("killed")
    with pytest.raises(Killed):
        run(name, folder, kill, every)
    again, continued = run(name, folder, -1, every)
    assert len({*expected.rates}) > 2
    assert (continued.rates, continued.losses) == (expected.rates, expected.losses)
    assert all(torch.equal(a, b) for a, b in zip(weights, again, strict=True))
