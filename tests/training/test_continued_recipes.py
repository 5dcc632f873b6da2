"""Recipes that continue others, train parts of networks, or are cut short: what is trained, chosen and told."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import harness
import harness_training.training_cell
from harness.learning.recipe import Recipe
from harness.learning.training_progress import TrainingOutcome
from harness_training.phases import NORM_OF_ONE, describe_batch_of_one
from harness_training.progress_measures import join_evaluation_curves, time_targets
from harness_training.recipe_remarks import describe_shortfalls
from harness_training.recipes import TrainingRecipe
from harness_training.single_training import train_only

SUITE: dict[str, Any] = {
    "name": "one",
    "seeds": [0],
    "models": [{"plugin": "small-cnn", "channels": [2, 3], "head": "flatten"}],
    "datasets": ["digits"],
    "metrics": ["top1"],
    "limit": 40,
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


def run_recipe(folder: Path, method: dict[str, Any], **options: Any) -> list[harness.Record]:
    protocol = {"plugin": "training", "size": 8, "grey": True, **options}
    suite = {**SUITE, "protocol": protocol, "methods": [{"plugin": "recipe", **method}]}
    return harness.run(suite, store=folder / "store", device="cpu").records


@pytest.mark.parametrize("first", [{"train": "head"}, {"greedy": True}])
def test_a_recipe_after_a_partial_one_trains_the_whole_network(
    first: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[set[str]] = []
    real = harness_training.training_cell.train_phase

    def watched(cell: Any, phase: Any, networks: Any, *given: Any) -> Any:
        before = {name: p.detach().clone() for name, p in networks[0].named_parameters()}
        found = real(cell, phase, networks, *given)
        now = dict(networks[0].named_parameters())
        moved.append({name for name in before if not torch.equal(before[name], now[name])})
        return found

    monkeypatch.setattr(harness_training.training_cell, "train_phase", watched)
    then = {"plugin": "recipe", "epochs": 1}
    (record,) = run_recipe(tmp_path, {**first, "epochs": 3, "rate": 0.1, "then": then})
    assert record.status == "ok", record.reason
    assert len(moved[1]) == 6
    if "train" in first:
        assert moved[0] == {"head.linear.weight", "head.linear.bias"}
    assert record.cost["trainable_parameters"] == record.cost["parameters"]


def test_training_a_part_leaves_frozen_kernels_frozen() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[0].weight.requires_grad_(False)
    train_only(network, [network[0]])
    assert [p.requires_grad for p in network.parameters()] == [False, True, False, False]


def test_a_target_may_be_reached_in_a_later_phase(tmp_path: Path) -> None:
    later = {"plugin": "recipe", "optimizer": "adam", "rate": 0.02, "batch": 8, "epochs": 8}
    (record,) = run_recipe(tmp_path, {"rate": 1e-7, "epochs": 2, "then": later}, targets=[0.25])
    assert 2 < record.cost["epochs_to.0.25"] <= 10
    assert record.cost["images_to.0.25"] == 40 * record.cost["epochs_to.0.25"]


def test_curves_of_phases_go_on_where_the_one_before_ended() -> None:
    def outcome(steps: int, seconds: float, accuracies: dict[int, float]) -> TrainingOutcome:
        values = {step: {"score": a, "accuracy": a} for step, a in accuracies.items()}
        return TrainingOutcome(steps, [1.0] * steps, [0.1] * steps, [seconds] * steps, values)

    # 10 images: 3 updates an epoch of 4, 4 and 2 images, then 2 of 5; the first phase ends inside an epoch
    phases = [
        (outcome(4, 1.0, {3: 0.1}), Recipe(4, batch=4)),
        (outcome(2, 3.0, {2: 0.9}), Recipe(2, batch=5)),
    ]
    curve = join_evaluation_curves(phases, 10)
    assert curve["step"] == [3, 6]
    assert curve["images"] == [10, 24]
    assert curve["epoch"] == pytest.approx([1, 4 / 3 + 1])
    assert curve["seconds"] == [3, 10]
    assert time_targets(curve, [0.5])["seconds_to.0.5"] == 10
    assert math.isnan(time_targets(curve, [0.95])["seconds_to.0.95"])


@pytest.mark.parametrize("greedy", [False, True])
def test_a_training_shorter_than_the_distance_of_evaluations_is_evaluated_at_its_end(
    greedy: bool, tmp_path: Path
) -> None:
    method = {"epochs": 3, "keep_best": True, "greedy": greedy}
    (record,) = run_recipe(tmp_path, method, evaluate_epochs=10, targets=[1e-6], peek=True)
    assert record.cost["epochs_to.1e-06"] <= 3
    assert "peeked_top1" in record.metrics


def test_rates_are_tuned_by_what_the_recipe_is_judged_by(tmp_path: Path) -> None:
    options = {"trials": 3, "epochs": 4}
    found = run_recipe(tmp_path, {"judge": "loss", "rates": [1e-3, 10.0], "optimizer": "adam"}, **options)[0]
    tuning = found.notes["tuning"]
    losses = tuning["held_out_loss"]
    assert tuning["judge"] == "loss"
    assert len(set(losses)) == 3
    assert tuning["chosen"] == tuning["candidates"][losses.index(min(losses))]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ema": 0.9999}, "ema = 0.9999 is slow for 20 steps: 100% of the averaged weights"),
        ({"ema": 0.8}, None),
        ({"ema": 0.9999, "ema_warmup": 2 / 3}, None),
        ({"warmup": 5, "schedule_by": "epoch"}, "the warm-up of 5 epochs outlasts the training of 5"),
        ({"warmup": 4, "schedule_by": "epoch"}, None),
        ({"schedule": "step", "schedule_by": "epoch"}, "of 5 epochs ends before the first step of the rate, after 30"),
        ({"schedule": "step", "schedule_options": {"decay_t": 19}}, None),
        ({"schedule": "step", "schedule_options": {"decay_t": 20}}, "20 steps ends before the first step"),
        ({"schedule": "multistep", "schedule_options": {"decay_t": [20, 30]}}, "first step of the rate, after 20"),
        ({"schedule": "multistep", "schedule_options": {"decay_t": [10, 30]}}, None),
        ({"schedule": "multistep"}, "'multistep' without decay_t never lowers the rate"),
        ({"schedule": "one-cycle", "warmup": 30}, None),
    ],
)  # fmt: skip
def test_what_is_too_slow_for_a_training_is_remarked(changes: dict[str, Any], told: str | None) -> None:
    found = describe_shortfalls(Recipe(20, batch=10, **changes), 40)
    assert len(found) == (told is not None)
    assert told is None or told in found[0]


@pytest.mark.parametrize(
    ("head", "told"),
    [(nn.Linear(64, 7), "(1, 7)"), (nn.Identity(), "(1, 64)"), (nn.Sequential(nn.Linear(64, 10)), None)],
)
def test_networks_with_other_outputs_than_classes_are_refused(
    head: nn.Module, told: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = "harness_networks.small_cnn.SmallCNN.build"
    monkeypatch.setattr(built, lambda self, shape, classes: nn.Sequential(nn.Flatten(), head))
    (record,) = run_recipe(tmp_path, {"epochs": 1})
    assert record.status == ("ok" if told is None else "failed")
    assert told is None or f"a tensor of shape (1, 10), one per class, not {told}" in str(record.reason)


def test_batch_norm_of_a_single_value_is_explained() -> None:
    with pytest.raises(ValueError, match=NORM_OF_ONE):
        nn.BatchNorm2d(2)(torch.zeros(1, 2, 1, 1))
    message = describe_batch_of_one(Recipe(3, batch=4), 9)
    assert "9 training images has 1: choose another batch, or last = 'even'" in message
    assert "has 1: choose a larger batch" in describe_batch_of_one(Recipe(3, batch=1), 9)


def test_the_last_batch_of_an_epoch_is_the_recipes() -> None:
    sizes = {
        last: TrainingRecipe(batch=4, last=last).build_recipe(9, 2, None).batch_sizes(9)  # type: ignore[arg-type]
        for last in ("keep", "drop", "even")
    }
    assert sizes == {"keep": [4, 4, 1], "drop": [4, 4], "even": [3, 3, 3]}
    assert TrainingRecipe(batch=4, last="drop").build_recipe(9, 2, None).steps == 4


def test_a_recipe_trains_stages_or_the_head() -> None:
    with pytest.raises(harness.OptionError, match="leave one out"):
        TrainingRecipe(greedy=True, train="head")
