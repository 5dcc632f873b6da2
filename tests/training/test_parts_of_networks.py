"""Trainings of a part of a network leave the rest as it is, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from harness_training import greedy, phases
from harness_training.training_cell import TrainingCell
from tests.training.conftest import Training

State = dict[str, torch.Tensor]
NORMALISED = {
    "plugin": "small-cnn",
    "channels": [4, 6, 8],
    "pooling": "no-pool",
    "normalisation": "batch-norm",
}


def copy_state(network: nn.Module) -> State:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def find_changed(before: State, after: State) -> set[str]:
    """Return the names of tensors that are not the same to the bit."""
    return {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[nn.Module, State]]:
    """The networks that cells build, each with its first weights."""
    found: list[tuple[nn.Module, State]] = []
    real: Callable[..., nn.Module] = TrainingCell.build_network

    def watched(self: TrainingCell, seed: object) -> nn.Module:
        network = real(self, seed)
        found.append((network, copy_state(network)))
        return network

    monkeypatch.setattr(TrainingCell, "build_network", watched)
    return found


def test_each_stage_is_trained_once_and_then_stays(
    training: Training, networks: list[tuple[nn.Module, State]], monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[State] = []
    real = greedy.train_alone

    def watched(*given: Any) -> Any:
        outcome = real(*given)
        states.append(copy_state(networks[0][0]))
        return outcome

    monkeypatch.setattr(greedy, "train_alone", watched)
    own = training.change({"greedy": True}, {"models": [NORMALISED]})
    (record,) = own.run_ok()
    network, first = networks[0]
    assert len(states) == 4
    for place, (before, after) in enumerate(zip([first, *states[:-1]], states, strict=True), start=1):
        changed = find_changed(before, after)
        prefix = f"stage{place}." if place < 4 else "head"
        assert changed
        assert all(name.startswith(prefix) for name in changed) or place == 4, changed
        if place == 4:
            assert not any(name.startswith("stage") for name in changed), changed
    assert any("running_mean" in name for name in find_changed(first, states[0]))
    assert all(p.requires_grad for p in network.parameters())
    assert record.cost["steps"] == 12


@pytest.mark.parametrize("kernels", ["random", "k-means"])
@pytest.mark.parametrize("method", [{}, {"greedy": True}, {"train": "head"}], ids=["whole", "greedy", "head"])
def test_kernels_that_are_fixed_stay_so(
    training: Training, networks: list[tuple[nn.Module, State]], kernels: str, method: dict[str, Any]
) -> None:
    model = {"plugin": "small-cnn", "channels": [4, 6], "kernels": kernels, "patches": 500}
    own = training.change({**method, "weight_decay": 0.1}, {"models": [model]}, steps=6)
    own.run_ok()
    network, first = networks[0]
    changed = find_changed(first, copy_state(network))
    assert changed
    fixed = "stage1.convolution." if kernels == "random" else "stage1.encoder."
    assert any(name.startswith(fixed) for name in first)
    assert not any(name.startswith(fixed) for name in changed), changed


def test_a_trained_head_leaves_the_rest_and_a_second_recipe_trains_all(
    training: Training, networks: list[tuple[nn.Module, State]], monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[State] = []
    real = phases.train_alone

    def watched(*given: Any) -> Any:
        outcome = real(*given)
        states.append(copy_state(networks[0][0]))
        return outcome

    monkeypatch.setattr(phases, "train_alone", watched)
    method = {"train": "head", "then": {"plugin": "recipe", "optimizer": "adam", "rate": 1e-3}}
    (record,) = training.change(method, {"models": [NORMALISED]}, steps=4).run_ok()
    network, first = networks[0]
    head = find_changed(first, states[0])
    (linear,) = (name for name, module in network.named_modules() if isinstance(module, nn.Linear))
    assert head == {f"{linear}.weight", f"{linear}.bias"}
    changed = find_changed(states[0], states[1])
    assert {name for name, _ in network.named_parameters()} <= changed
    assert any("running_mean" in name for name in changed)
    assert record.cost["trainable_parameters"] == record.cost["parameters"]


def test_a_head_alone_counts_as_trainable(training: Training) -> None:
    (record,) = training.change({"train": "head"}, {"models": [NORMALISED]}, steps=2).run_ok()
    assert record.cost["trainable_parameters"] == 10 * (8 + 1)
