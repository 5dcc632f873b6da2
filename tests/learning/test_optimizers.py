"""Optimisers by name, and schedules against their closed forms."""

from __future__ import annotations

import math
from typing import Any

import pytest
import timm.optim
import torch
from torch import nn

from harness.errors import OptionError
from harness.learning.optimizers import build_optimizer, build_schedule
from harness.learning.recipe import Recipe


def rates(recipe: Recipe, per_epoch: int = 1) -> list[float]:
    optimizer = build_optimizer(nn.Linear(2, 2), recipe)
    schedule = build_schedule(optimizer, recipe, per_epoch)
    found = [schedule.set(step) for step in range(recipe.steps)]
    for step in reversed(range(recipe.steps)):  # in any order
        assert schedule.set(step) == found[step]
    return found


@pytest.mark.parametrize("epochs", [1, 2, 50])
def test_coop(epochs: int) -> None:
    """1e-5 in the first epoch, then a cosine that is set back by one."""
    recipe = Recipe(3 * epochs, rate=0.002, warmup=1, warmup_rate=1e-5, period=epochs, schedule_by="epoch")
    expected = [
        1e-5 if e == 0 else 0.5 * 0.002 * (1 + math.cos(math.pi * (e - 1) / epochs)) for e in range(epochs)
    ]
    assert rates(recipe, 3) == pytest.approx([expected[step // 3] for step in range(3 * epochs)], rel=1e-12)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
@pytest.mark.parametrize("steps", [1, 7, 100])
def test_fine_tuning(schedule: str, steps: int) -> None:
    """Linear warm-up over a tenth, then the schedule down to 0."""
    warm, expected = round(0.1 * steps), []
    for step in range(steps):
        along = (step - warm) / max(steps - warm, 1)
        down = {"cosine": 0.5 * (1 + math.cos(math.pi * along)), "linear": 1 - along, "constant": 1.0}[
            schedule
        ]
        expected.append(3e-3 * ((step + 1) / (warm + 1) if step < warm else down))
    assert rates(Recipe(steps, rate=3e-3, schedule=schedule, warmup=0.1)) == pytest.approx(
        expected, rel=1e-12
    )


@pytest.mark.parametrize("period", [None, 4, 9])
def test_cosine_of_fusion(period: int | None) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 1e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, period or 5)
    expected = []
    for _ in range(min(5, (period or 5) + 1)):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates(Recipe(len(expected), rate=1e-4, period=period or 5)) == pytest.approx(
        expected, rel=1e-9, abs=1e-18
    )


def test_one_cycle_moves_rates_and_momentum_as_torch_does() -> None:
    def groups(rate: float) -> list[dict[str, Any]]:
        torch.manual_seed(0)
        return [{"params": [nn.Parameter(torch.randn(2))], "lr": r} for r in (rate, 0.1 * rate)]

    recipe = Recipe(30, rate=0.01, schedule="one-cycle", schedule_options={"pct_start": 0.2})
    ours, theirs = build_optimizer(groups(0.01), recipe), torch.optim.AdamW(groups(0.01))
    schedule = build_schedule(ours, recipe, 1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(theirs, [0.01, 0.001], 30, pct_start=0.2)
    for step in range(30):
        schedule.set(step)
        for a, b in zip(ours.param_groups, theirs.param_groups, strict=True):
            assert (a["lr"], a["betas"]) == (b["lr"], b["betas"])
        theirs.step()
        if step < 29:
            scheduler.step()


def test_keras_decay() -> None:
    """rate / (1 + decay · t) after t updates: after 800 epochs of 5,000 images, .888 of the rate."""
    recipe = Recipe(125_601, rate=0.5, schedule="inverse", schedule_options={"decay": 1e-6})
    schedule = build_schedule(build_optimizer(nn.Linear(2, 2), recipe), recipe, 157)
    for step in (0, 1, 4096, 125_600):
        assert schedule.set(step) == pytest.approx(0.5 / (1 + 1e-6 * step), rel=1e-12)
    assert schedule.set(125_600) == pytest.approx(0.5 * 0.88842, abs=5e-6)


@pytest.mark.parametrize("first", [None, 0.02])
def test_keras_decay_begins_after_a_warm_up(first: float | None) -> None:
    recipe = Recipe(
        6, rate=0.1, schedule="inverse", schedule_options={"decay": 0.5}, warmup=2, warmup_rate=first
    )
    start = 0.1 / 3 if first is None else first
    assert rates(recipe) == pytest.approx([start, (start + 0.1) / 2, 0.1, 0.1 / 1.5, 0.1 / 2, 0.1 / 2.5])
    epochs = Recipe(6, rate=0.1, schedule="inverse", schedule_options={"decay": 1.0}, schedule_by="epoch")
    assert rates(epochs, 2) == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.1 / 3, 0.1 / 3])


def test_options_reach_the_optimiser() -> None:
    sgd = Recipe(1, optimizer="sgd", optimizer_options={"momentum": 0.8, "nesterov": True})
    assert {k: build_optimizer(nn.Linear(2, 2), sgd).defaults[k] for k in ("momentum", "nesterov")} == {
        "momentum": 0.8,
        "nesterov": True,
    }
    lamb = Recipe(1, optimizer="lamb", optimizer_options={"betas": (0.8, 0.9), "max_grad_norm": None})
    made = build_optimizer(nn.Linear(2, 2), lamb)
    assert type(made) is timm.optim.Lamb
    assert (made.defaults["betas"], made.defaults["max_grad_norm"]) == ((0.8, 0.9), None)


def test_groups_keep_their_ratio_through_a_warm_up() -> None:
    parameters = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    recipe = Recipe(10, rate=0.1, warmup=4)
    optimizer = build_optimizer(
        [{"params": [parameters[0]]}, {"params": [parameters[1]], "lr": 0.01}], recipe
    )
    schedule = build_schedule(optimizer, recipe, 1)
    for step in range(10):
        schedule.set(step)
        assert optimizer.param_groups[1]["lr"] == pytest.approx(0.1 * optimizer.param_groups[0]["lr"])


@pytest.mark.parametrize(
    ("schedule", "options", "expected"),
    [
        ("step", {"decay_t": 2, "decay_rate": 0.5}, [1, 1, 0.5, 0.5, 0.25]),
        ("poly", {"power": 2.0}, [1, 0.64, 0.36, 0.16, 0.04]),
        ("cosine", {"lr_min": 1.0}, [1, 1, 1, 1, 1]),
    ],
)
def test_schedules_of_timm(schedule: str, options: dict[str, Any], expected: list[float]) -> None:
    assert rates(Recipe(5, rate=1.0, schedule=schedule, schedule_options=options)) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["adam", "rmsprop", "nadamw", "lion", "lamb", "adamw", "sgd", "SGD"])
def test_names_of_torch_and_timm(name: str) -> None:
    network = nn.Linear(3, 2)
    recipe = Recipe(1, rate=0.1, optimizer=name, weight_decay=0.3)
    optimizer = build_optimizer(network, recipe)
    assert [(g["lr"], g["weight_decay"], len(g["params"])) for g in optimizer.param_groups] == [
        (0.1, 0.3, 1),
        (0.1, 0.0, 1),
    ]
    before = network.weight.detach().clone()
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert not torch.equal(network.weight, before)


def test_who_decays() -> None:
    network = nn.Linear(3, 2)
    both = build_optimizer(network, Recipe(1, weight_decay=0.3, decay_vectors=True))
    assert [(g["weight_decay"], len(g["params"])) for g in both.param_groups] == [(0.3, 2)]
    own = [{"params": [network.weight], "weight_decay": 0.1}, {"params": [network.bias]}]
    parts = build_optimizer(own, Recipe(1, weight_decay=0.3))
    assert [g["weight_decay"] for g in parts.param_groups] == [0.1, 0.0]
    options = {"betas": (0.5, 0.9), "eps": 1e-4, "fused": False}
    chosen = build_optimizer(network, Recipe(1, optimizer_options=options))
    assert {k: chosen.defaults[k] for k in options} == options


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe(1, optimizer="adamv"), "no optimizer 'adamv'; did you mean 'adam"),
        (Recipe(1, optimizer="sgd", optimizer_options={"beta": 1}), "optimizer 'sgd': .*beta"),
        (Recipe(1, schedule_options={"decay": 1}), "schedule 'cosine': .*decay"),
        (Recipe(1, schedule="inverse"), "schedule 'inverse': .*decay"),
        (Recipe(1, schedule="inverse", schedule_options={"decay": -1}), "decay must be at least 0, not -1"),
        (Recipe(1, schedule="inverse", schedule_options={"rate": 1, "decay": 1}), "'inverse': .*rate"),
        (Recipe(1, schedule="one-cycle", schedule_options={"decay": 1}), "schedule 'one-cycle': .*decay"),
    ],
)
def test_names_and_options_that_do_not_exist(recipe: Recipe, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        build_schedule(build_optimizer(nn.Linear(2, 2), recipe), recipe, 1)


def test_nothing_to_train() -> None:
    with pytest.raises(OptionError, match="nothing to train"):
        build_optimizer(nn.Linear(2, 2).requires_grad_(False), Recipe(1))
