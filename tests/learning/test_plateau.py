"""Cuts of the rate on a plateau, by Keras' rules and by torch's, and their place in a training."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from harness.errors import OptionError
from harness.learning.loop import train
from harness.learning.optimizers import build_optimizer, build_schedule
from harness.learning.pipeline import Batch
from harness.learning.recipe import Recipe
from tests.learning.conftest import Task


def rates(values: list[float], options: dict[str, Any], rate: float = 1.0, **more: Any) -> list[float]:
    """Return the rate after each observation, one per update."""
    recipe = Recipe(len(values), rate=rate, schedule="plateau", schedule_options=options, **more)
    schedule = build_schedule(build_optimizer(nn.Linear(2, 2), recipe), recipe, 1)
    found = []
    for step, value in enumerate(values):
        schedule.set(step)
        schedule.observe(step + 1, value)
        found.append(schedule.set(step + 1))
    return found


def by_keras(values: list[float], options: dict[str, Any]) -> list[float]:
    """The rules of Keras' callback, as a table of when the last gain and the last cut were."""
    sign = 1 if options["watch"] == "loss" else -1
    rate, best, waited, cooling, found = 1.0, math.inf, 0, 0, []
    for value in values:
        waited, cooling = (0, cooling - 1) if cooling else (waited, 0)
        if sign * value < best - options["threshold"]:
            best, waited = sign * value, 0
        elif not cooling:
            waited += 1
            if waited >= options["patience"] and rate > options["lr_min"]:
                rate = max(rate * options["factor"], options["lr_min"])
                waited, cooling = 0, options["cooldown"]
        found.append(rate)
    return found


OPTIONS = st.fixed_dictionaries(
    {
        "watch": st.sampled_from(["loss", "score"]),
        "factor": st.sampled_from([0.5, 0.25]),
        "patience": st.integers(0, 4),
        "threshold": st.sampled_from([0.0, 0.125]),
        "cooldown": st.integers(0, 3),
        "lr_min": st.sampled_from([0.0, 2**-4]),
    }
)
VALUES = st.lists(st.integers(0, 8).map(lambda n: n / 8), max_size=40)


@given(values=VALUES, options=OPTIONS)
def test_the_rules_of_keras(values: list[float], options: dict[str, Any]) -> None:
    assert rates(values, options) == by_keras(values, options)


@given(values=VALUES, options=OPTIONS)
def test_the_rules_of_torch(values: list[float], options: dict[str, Any]) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 1.0)
    own = {name: options[name] for name in ("factor", "patience", "threshold", "cooldown")}
    direction = "min" if options["watch"] == "loss" else "max"
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, direction, min_lr=options["lr_min"], **own)
    expected = []
    for value in values:
        theirs.step(value)
        expected.append(optimizer.param_groups[0]["lr"])
    assert rates(values, {"mode": "torch", **options}) == expected


def test_a_flat_loss() -> None:
    """It is cut after the fourth epoch with a patience of 3 in Keras, and of 2 in torch."""
    keras = rates([1.0] * 7, {"patience": 3, "factor": 0.5})
    assert keras == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]
    assert rates([1.0] * 7, {"mode": "torch", "patience": 2, "factor": 0.5}) == keras


def test_a_gain_is_absolute_in_keras_and_relative_in_torch() -> None:
    options = {"patience": 1, "factor": 0.5, "threshold": 0.1}
    falling = [10.0, 9.5]
    assert rates(falling, options) == [1, 1]
    assert rates(falling, {**options, "mode": "torch", "patience": 0}) == [1, 0.5]
    assert rates([1.0] * 9, {"patience": 1}, rate=1e-5)[-1] == pytest.approx(1e-13)
    assert rates([1.0] * 9, {"patience": 0, "mode": "torch"}, rate=1e-5)[-1] == pytest.approx(1e-8)


def test_nothing_is_observed_during_the_warm_up() -> None:
    """Three updates rise to the rate; the next observation is the first, and the one after it is no gain."""
    found = rates([1.0] * 7, {"patience": 1, "factor": 0.5}, warmup=3)
    assert found == pytest.approx([0.5, 0.75, 1, 1, 0.5, 0.25, 0.125])


def test_groups_are_cut_together() -> None:
    parameters = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    recipe = Recipe(
        9, rate=0.1, schedule="plateau", schedule_options={"patience": 1, "factor": 0.5}, warmup=1
    )
    optimizer = build_optimizer([{"params": parameters[:1]}, {"params": parameters[1:], "lr": 0.02}], recipe)
    schedule = build_schedule(optimizer, recipe, 1)
    for step in range(4):
        schedule.set(step)
        assert optimizer.param_groups[1]["lr"] == pytest.approx(0.2 * optimizer.param_groups[0]["lr"])
        schedule.observe(step + 1, 1.0)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.025)


@pytest.mark.parametrize("last", ["keep", "drop", "even"])
def test_a_training_watches_the_mean_loss_of_each_epoch(task: Task, last: Any) -> None:
    """The losses of single batches rise and fall; the mean over an epoch's samples decides."""
    network = nn.Linear(5, 3)
    losses = [3, 1, 2, 2, 1, 3, 3, 3, 3, 0, 0, 0, 5, 5, 5]

    def objective(batch: Batch, step: int) -> float:
        return float(losses[step])

    options = {"patience": 1, "factor": 0.5}
    recipe = Recipe(15, 9, 1.0, "sgd", schedule="plateau", schedule_options=options, last=last)
    per_epoch = recipe.batches_per_epoch(23)
    done = train(network, task.held(), objective, recipe, 0)
    means = done.epochs(23, recipe)["loss"]
    expected = [1.0] * per_epoch
    for cut in by_keras(means, {"watch": "loss", "threshold": 1e-4, "cooldown": 0, "lr_min": 0, **options}):
        expected += [cut] * per_epoch
    assert done.rates == expected[:15]
    assert len({*done.rates}) > 1


def test_a_training_watches_its_score(task: Task) -> None:
    scores = iter([0.5, 0.6, 0.6, 0.7, 0.7, 0.7])
    options = {"patience": 1, "factor": 0.5, "watch": "score"}
    recipe = Recipe(12, 23, 1.0, "sgd", schedule="plateau", schedule_options=options, evaluate_every=2)
    network = nn.Linear(5, 3)
    done = train(network, task.held(), lambda batch, step: 1.0, recipe, 0, validate=lambda: next(scores))
    assert done.rates == [1] * 6 + [0.5] * 4 + [0.25] * 2
    with pytest.raises(OptionError, match="watches the score, but nothing is evaluated"):
        train(network, task.held(), lambda batch, step: 1.0, recipe, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"paticence": 3}, "'plateau' has no option 'paticence'; did you mean 'patience'"),
        ({"mode": "kears"}, "mode can't be 'kears'; did you mean 'keras'"),
        ({"watch": "accuracy"}, "watch can't be 'accuracy'"),
        ({"factor": 1.0}, "factor must be between 0 and 1, not 1.0"),
        ({"patience": -1}, "patience must be at least 0, not -1"),
        ({"lr_min": math.nan}, "lr_min must be at least 0, not nan"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        rates([1.0], options)
