"""The loop: the same mathematics as plain loops, and the same end after a kill at any step."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from timm.utils import ModelEmaV3
from torch import nn

from harness.errors import DataError
from harness.learning.draws import plan_rows
from harness.learning.loop import TrainingOutcome, train
from harness.learning.pipeline import Batch, HeldSamples
from harness.learning.recipe import Recipe
from harness.learning.training_progress import DivergedTraining
from tests.learning.conftest import Net, Task, entropy


def linear() -> nn.Module:
    return nn.Linear(5, 3)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def test_a_plain_loop_does_the_same_to_the_bit(task: Task) -> None:
    recipe = Recipe(12, 5, 1e-2, schedule="constant", weight_decay=0.1, clip_norm=0.5)
    ours, theirs = task.net(), task.net()
    trained = train(ours, task.held(), entropy(ours), recipe, 3)
    matrices = [p for p in theirs.parameters() if p.ndim > 1]
    vectors = [p for p in theirs.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
        lr=1e-2,
        fused=True,
    )
    losses = []
    from harness.contract.seeds import derive_seed

    theirs.train()
    for step, _, rows in plan_rows(23, recipe, 3):
        torch.manual_seed(derive_seed("steps", 3) + step)
        loss = F.cross_entropy(theirs(task.features[rows]), task.labels[rows])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        optimizer.step()
        losses.append(loss.item())
    assert same(ours, theirs)
    assert trained.losses == losses
    assert trained.rates == [1e-2] * 12
    assert trained.optimizer_bytes > 2 * 4 * sum(p.numel() for p in ours.parameters())
    assert not ours.training


class Killed(Exception):
    """Stands for a kill."""


RECIPES = {
    "adamw": Recipe(11, 5, 1e-2, warmup=0.2, clip_norm=1.0, evaluate_every=2),
    "sgd": Recipe(11, 5, 1e-1, "sgd", schedule="linear", last="drop", keep_best=True),
    "one-cycle": Recipe(11, 5, 1e-2, schedule="one-cycle", last="even", patience=2),
    "ema": Recipe(11, 5, 1e-2, ema=0.8, patience=3, evaluate_every=2),
    "accumulate": Recipe(
        11, 6, 1e-2, accumulate=2, last="even", schedule_by="epoch", warmup=1, warmup_rate=1e-5
    ),
    "timm": Recipe(11, 5, 1e-3, "lamb", weight_decay=0.1),
    "float16": Recipe(11, 5, 1e-2, precision="float16"),
}


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("every", [1, 3])
def test_a_kill_at_any_step_changes_nothing(task: Task, tmp_path: Path, name: str, every: int) -> None:
    recipe = RECIPES[name]

    def run(folder: Path | None, kill: int = -1) -> tuple[nn.Module, TrainingOutcome]:
        network = task.net()

        def objective(batch: Batch, step: int) -> torch.Tensor:
            if step == kill:
                raise Killed
            return entropy(network)(batch, step)

        def validate() -> float:
            assert not network.training
            with torch.no_grad():
                return float((network(task.features).argmax(1) == task.labels).float().mean())

        trained = train(
            network, task.held(), objective, recipe, 7,
            folder=folder, checkpoint_every=every, validate=validate,
        )  # fmt: skip
        return network, trained

    network, whole = run(None)
    for kill in range(whole.steps):
        folder = tmp_path / str(kill)
        with pytest.raises(Killed):
            run(folder, kill)
        again, continued = run(folder)
        assert same(network, again), kill
        for part in ("steps", "losses", "rates", "values", "best_step", "optimizer_bytes"):
            assert getattr(continued, part) == getattr(whole, part), (kill, part)
    again, finished = run(tmp_path / "0", kill=0)  # it is finished, and does not train again
    assert same(network, again)
    assert finished.losses == whole.losses


@pytest.mark.parametrize("change", ["recipe", "seed", "decides", "tensors", "file"])
def test_what_was_kept_of_another_training_is_ignored(task: Task, tmp_path: Path, change: str) -> None:
    def run(folder: Path | None, recipe: Recipe, seed: int, decides: object, kind: Any) -> TrainingOutcome:
        network = task.net(kind)
        return train(network, task.held(), entropy(network), recipe, seed, folder=folder, decides=decides)

    given: list[Any] = [Recipe(3, 5), 0, {"rows": 1}, Net]
    run(tmp_path, *given)
    match change:
        case "recipe":
            given[0] = Recipe(3, 5, 2e-3)
        case "seed":
            given[1] = 1
        case "decides":
            given[2] = {"rows": 2}
        case "tensors":
            given[3] = linear
        case _:
            (tmp_path / "training.safetensors").write_bytes(b"no checkpoint")
    assert run(tmp_path, *given).losses == run(None, *given).losses


def test_parts_of_a_batch_add_up_to_its_gradient(task: Task) -> None:
    def run(accumulate: int) -> tuple[nn.Module, TrainingOutcome]:
        network = task.net(linear)
        recipe = Recipe(8, 7, 0.1, "sgd", accumulate=accumulate)
        return network, train(network, task.held(), entropy(network), recipe, 0)

    (whole, one), (parts, many) = run(1), run(3)
    torch.testing.assert_close(whole.state_dict(), parts.state_dict())
    assert many.losses == pytest.approx(one.losses)


def test_gradients_are_clipped_after_unscaling(task: Task) -> None:
    """In float16 the scaler's factor of 65536 must not count as part of the gradient's norm."""
    norms: list[float] = []
    network = task.net(linear)

    def look(step: int) -> None:
        norms.append(
            float(nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None]))
        )

    before = [p.detach().clone() for p in network.parameters()]
    recipe = Recipe(
        1, 23, 1.0, "sgd", {"momentum": 0}, schedule="constant", clip_norm=1e-2, precision="float16"
    )
    train(network, task.held(), entropy(network), recipe, 0, after_backward=look)
    assert 0.01 < norms[0] < 10
    moved = nn.utils.get_total_norm(
        [p.detach() - b for p, b in zip(network.parameters(), before, strict=True)]
    )
    assert float(moved) == pytest.approx(1e-2, rel=1e-3)


def test_averaged_weights_are_what_the_formula_says(task: Task) -> None:
    network = task.net(linear)
    expected = network.weight.detach().clone()

    def follow(step: int) -> None:
        expected.mul_(0.7).add_(network.weight.detach(), alpha=0.3)

    recipe = Recipe(9, 5, 0.1, "sgd", ema=0.7)
    train(network, task.held(), entropy(network), recipe, 0, after_step=follow)
    torch.testing.assert_close(network.weight.detach(), expected)


def test_an_average_without_memory_is_the_weights(task: Task) -> None:
    def run(ema: float | None) -> nn.Module:
        network = task.net()
        train(network, task.held(), entropy(network), Recipe(9, 5, 1e-2, ema=ema), 0)
        return network

    assert same(run(0.0), run(None))


@pytest.mark.parametrize("power", [2 / 3, 0.75, 1.0])
@pytest.mark.parametrize("decay", [0.6, 0.9998])
def test_the_warm_up_of_an_average_is_timms(task: Task, decay: float, power: float) -> None:
    network = task.net()
    theirs = ModelEmaV3(network, decay, use_warmup=True, warmup_power=power)
    recipe = Recipe(12, 5, 1e-2, ema=decay, ema_warmup=power)
    train(
        network,
        task.held(),
        entropy(network),
        recipe,
        0,
        after_step=lambda step: theirs.update(network, step + 1),
    )
    torch.testing.assert_close(network.state_dict(), theirs.module.state_dict())


def test_two_halves_of_a_batch_are_the_batch(task: Task) -> None:
    """2×16 accumulated are 32 for a network without batch norm."""
    task.features, task.labels = task.features.repeat(2, 1)[:32], task.labels.repeat(2)[:32]

    def run(accumulate: int) -> nn.Module:
        network = task.net(linear)
        train(network, task.held(), entropy(network), Recipe(5, 32, 0.1, "sgd", accumulate=accumulate), 0)
        return network

    torch.testing.assert_close(run(1).state_dict(), run(2).state_dict())


def test_dropout_is_off_after_training(task: Task) -> None:
    network = task.net()
    train(network, task.held(), entropy(network), Recipe(2, 5), 0)
    assert torch.equal(network(task.features), network(task.features))


@pytest.mark.parametrize(
    ("scores", "patience", "steps", "best"),
    [
        ([0.5, 0.6, 0.59, 0.58, 0.9], 2, 4, 2),
        ([0.1, 0.2, 0.2, 0.1, 0.9], 2, 4, 2),  # an equal score is no gain
        ([0.1, math.nan, 0.3, math.nan, math.nan], 2, 5, 3),
        ([math.nan, math.nan, 0.5, 0.5, 0.5], 2, 2, 0),
        ([0.5, 0.4, 0.6, 0.1, 0.1], None, 5, 3),
    ],
)
def test_patience(task: Task, scores: list[float], patience: int | None, steps: int, best: int) -> None:
    network, weights = task.net(linear), [task.net(linear).weight.detach().clone()]
    given = iter(scores)
    recipe = Recipe(5, 23, 0.1, "sgd", patience=patience, keep_best=True)
    trained = train(
        network, task.held(), entropy(network), recipe, 0,
        validate=lambda: next(given), after_step=lambda step: weights.append(network.weight.detach().clone()),
    )  # fmt: skip
    assert (trained.steps, trained.best_step) == (steps, best)
    assert torch.equal(network.weight, weights[best or steps])


@pytest.mark.parametrize("own", [False, True])
def test_a_loss_that_is_not_finite_is_told_with_its_step(task: Task, own: bool) -> None:
    network = task.net(linear)

    def objective(batch: Batch, step: int) -> torch.Tensor | float:
        if own:
            return math.inf if step == 4 else 1.0
        loss = entropy(network)(batch, step)
        return loss * math.nan if step == 4 else loss

    with pytest.raises(DivergedTraining, match="at step 5 of 9") as raised:
        train(network, task.held(), objective, Recipe(9, 5, optimizer="sgd"), 0)
    sent = pickle.loads(pickle.dumps(raised.value))  # as a process that trains with others sends it
    assert str(sent) == str(raised.value)
    for error in (raised.value, sent):
        assert error.trained.steps == len(error.trained.losses) == len(error.trained.rates) == 4


def test_an_objective_may_leave_the_gradients_itself(task: Task) -> None:
    ours, theirs = task.net(linear), task.net(linear)

    def own(batch: Batch, step: int) -> float:
        loss = entropy(ours)(batch, step)
        for parameter, gradient in zip(ours.parameters(), torch.autograd.grad(loss, [*ours.parameters()])):
            parameter.grad = gradient
        return float(loss.detach())

    recipe = Recipe(6, 5, 0.1, "sgd")
    one = train(ours, task.held(), own, recipe, 0)
    other = train(list(theirs.parameters()), task.held(), entropy(theirs), recipe, 0)
    assert same(ours, theirs)
    assert one.losses == other.losses


def test_rows_may_be_chosen_and_the_callers_randomness_is_left_alone(task: Task) -> None:
    network, seen = task.net(), list[list[int]]()

    def objective(batch: Batch, step: int) -> torch.Tensor:
        seen.append(batch.rows.tolist())
        return entropy(network)(batch, step)

    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    train(network, task.held(), objective, Recipe(3, 2), 0, rows=lambda step: np.array([step, step + 1]))
    assert torch.equal(torch.rand(1), expected)
    assert seen == [[0, 1], [1, 2], [2, 3]]


def test_epochs_are_means_over_samples(task: Task) -> None:
    network, told = task.net(linear), list[tuple[int, dict[str, float]]]()
    recipe = Recipe(6, 10, 0.1, "sgd", schedule_by="epoch")
    done = train(
        network,
        task.held(),
        entropy(network),
        recipe,
        0,
        report=lambda step, values: told.append((step, values)),
    )
    columns = done.epochs(23, recipe)
    assert columns["epoch"] == [1, 2]
    assert columns["loss"][0] == pytest.approx(
        (10 * done.losses[0] + 10 * done.losses[1] + 3 * done.losses[2]) / 23
    )
    assert columns["rate"] == pytest.approx([0.1, 0.05])
    assert told[-1] == (6, {"loss": done.losses[-1], "rate": done.rates[-1]})


def test_tensors_may_be_made_anew_in_every_epoch(task: Task) -> None:
    made: list[int] = []

    def features(epoch: int) -> torch.Tensor:
        made.append(epoch)
        return task.features + epoch

    network, seen = task.net(linear), list[float]()

    def objective(batch: Batch, step: int) -> torch.Tensor:
        seen.append(float((batch.data - task.features[batch.rows]).mean()))
        return entropy(network)(batch, step)

    train(network, HeldSamples(features, task.labels), objective, Recipe(4, 12), 0)
    assert made == [0, 1]
    assert seen == pytest.approx([0, 0, 1, 1], abs=1e-6)


def test_no_samples(task: Task) -> None:
    network = task.net(linear)
    with pytest.raises(DataError, match="no training samples"):
        train(network, HeldSamples(task.features[:0], task.labels[:0]), entropy(network), Recipe(1), 0)


def test_the_losses_of_a_device_are_read_together(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, where each reading would make the device wait: the step is told all the same."""
    network = task.net(linear)

    def objective(batch: Batch, step: int) -> torch.Tensor:
        loss = entropy(network)(batch, step)
        return loss * math.nan if step == 4 else loss

    monkeypatch.setattr("harness.learning.loop.reading_interval", lambda device: 20, raising=True)
    with pytest.raises(DivergedTraining, match="at step 5 of 9"):
        train(network, task.held(), objective, Recipe(9, 5, optimizer="sgd"), 0)
