"""Several seeds at once: each the same as alone, whatever the others do."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness.errors import DataError, Diverged, OptionError
from harness.learning.loop import train
from harness.learning.pipeline import Batch, HeldSamples
from harness.learning.recipe import Recipe
from harness.learning.stacked import StackedBatch, can_stack, train_stacked
from harness.learning.stacked_forward import StackedNetworks, forward_stacked
from harness.learning.training_progress import DivergedTraining, TrainingOutcome

SEEDS = [3, 11, 4]


def convolutional() -> nn.Module:
    """All that the stack lays out anew: convolutions, grouped ones, norms, pools, dropout, a view."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout2d(0.2), nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding="same", groups=2, bias=False), nn.ReLU(), nn.AvgPool2d(2, 1),
        View(), nn.Dropout(0.3), nn.Linear(6 * 9, 3),
    )  # fmt: skip


class View(nn.Module):
    """What many networks write instead of `flatten`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return B×…."""
        return x.view(x.size(0), -1)


def make_networks(
    kind: Callable[[], nn.Module] = convolutional, seeds: Sequence[int] = SEEDS
) -> list[nn.Module]:
    found = []  # in double precision, in which a result can be told from rounding
    with torch.random.fork_rng(devices=[]):
        for seed in seeds:
            torch.manual_seed(seed)
            found.append(kind().double())
    return found


@dataclass
class Images:
    """Small images of three classes."""

    images: torch.Tensor
    labels: torch.Tensor

    def held(self) -> HeldSamples:
        """The images as a source."""
        return HeldSamples(self.images, self.labels)


@pytest.fixture
def images() -> Images:
    """26 images 2×8×8; of each class, another part is bright."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(26) % 3
    images = torch.randn(26, 2, 8, 8, generator=generator, dtype=torch.float64)
    for row, label in enumerate(labels.tolist()):
        images[row, :, 2 * label : 2 * label + 3] += 1
    return Images(images, labels)


def entropies(forward: Callable[[Any], Any], batch: StackedBatch, step: int) -> torch.Tensor:
    out = forward(batch.data)
    assert batch.targets is not None
    return (
        F.cross_entropy(out.flatten(0, 1), batch.targets.flatten(), reduction="none")
        .view(len(out), -1)
        .mean(1)
    )


def assert_same_network(a: nn.Module, b: nn.Module) -> None:
    torch.testing.assert_close(a.state_dict(), b.state_dict())


RECIPES = {
    "sgd": Recipe(12, 7, 0.05, "sgd", weight_decay=0.01, last="even"),
    "adam": Recipe(12, 7, 3e-3, "adam", clip_norm=0.5, schedule="linear"),
    "adamw": Recipe(12, 7, 3e-3, weight_decay=0.1, decay_vectors=True, warmup=0.2),
    "ema": Recipe(12, 7, 0.05, "sgd", ema=0.8, schedule="one-cycle"),
    "rmsprop": Recipe(12, 7, 1e-3, "rmsprop"),
}


@pytest.mark.parametrize("name", RECIPES)
def test_each_seed_gets_what_it_gets_alone(images: Images, name: str) -> None:
    recipe = RECIPES[name]
    stacked, single, looped = make_networks(), make_networks(), make_networks()
    told: list[tuple[int, int]] = []
    outcomes = train_stacked(
        stacked, [images.held()] * 3, entropies, recipe, SEEDS,
        report=lambda number, step, values: told.append((number, step)),
    )  # fmt: skip
    assert sorted(told) == [(number, step) for number in range(3) for step in range(1, 13)]
    for number, seed in enumerate(SEEDS):
        (alone,) = train_stacked([single[number]], [images.held()], entropies, recipe, [seed])

        def objective(batch: Batch, step: int, network: nn.Module = looped[number]) -> torch.Tensor:
            return F.cross_entropy(network(batch.data), batch.targets)  # type: ignore[arg-type]

        loop = train(looped[number], images.held(), objective, recipe, seed)
        together = outcomes[number]
        assert isinstance(alone, TrainingOutcome)
        assert isinstance(together, TrainingOutcome)
        assert alone.losses == pytest.approx(loop.losses, rel=1e-6)
        assert together.losses == pytest.approx(loop.losses, rel=1e-6)
        assert together.rates == alone.rates == loop.rates
        assert together.optimizer_bytes == alone.optimizer_bytes == loop.optimizer_bytes
        assert_same_network(single[number], looped[number])
        assert_same_network(stacked[number], looped[number])
        assert not any(module.training for module in stacked[number].modules())


def test_sources_of_their_own_and_layers_dropped_by_bernoulli(images: Images) -> None:
    class Skipping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(128, 8), nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x.flatten(1))
            noise = torch.empty(len(x), 1)
            noise.bernoulli_(0.5)
            return self.last(x * noise * x.new_empty(1, 8).bernoulli_(0.7))  # type: ignore[no-any-return]

    sources = [HeldSamples({"x": images.images * scale}, images.labels) for scale in (1.0, 0.5, 2.0)]
    recipe = Recipe(9, 7, 0.1, "sgd")

    def objective(forward: Any, batch: StackedBatch, step: int) -> torch.Tensor:
        batch.data = batch.data["x"]
        return entropies(forward, batch, step)

    stacked, single = make_networks(Skipping), make_networks(Skipping)
    train_stacked(stacked, sources, objective, recipe, SEEDS)
    for n in range(3):
        train_stacked([single[n]], [sources[n]], objective, recipe, [SEEDS[n]])
        torch.testing.assert_close(stacked[n].state_dict(), single[n].state_dict())


def scores_from(script: Mapping[int, Sequence[float]]) -> Any:
    """A validation that returns prepared scores of each slice, in turn."""
    turns = dict.fromkeys(script, 0)

    def validate(networks: StackedNetworks, slices: list[int]) -> list[float]:
        assert not networks.template.training
        found = []
        for number in slices:
            found.append(script[number][turns[number]])
            turns[number] += 1
        return found

    return validate


SCRIPT = {
    0: [0.1, 0.2, 0.1, 0.1, 0.1, 0.1],
    1: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
    2: [0.5, 0.1, 0.6, 0.7, 0.1, 0.2],
}


@pytest.mark.parametrize("ema", [None, 0.7])
def test_each_stops_at_its_own_time_with_its_best_weights(images: Images, ema: float | None) -> None:
    recipe = Recipe(12, 7, 0.05, "sgd", patience=2, evaluate_every=2, ema=ema)
    stacked, single = make_networks(), make_networks()
    outcomes = train_stacked(
        stacked, [images.held()] * 3, entropies, recipe, SEEDS, validate=scores_from(SCRIPT)
    )
    assert [(o.steps, o.best_step) for o in outcomes if isinstance(o, TrainingOutcome)] == [
        (8, 4),
        (12, 12),
        (12, 8),
    ]
    for n in range(3):
        (alone,) = train_stacked(
            [single[n]], [images.held()], entropies, recipe, [SEEDS[n]], validate=scores_from({0: SCRIPT[n]})
        )
        assert isinstance(alone, TrainingOutcome)
        assert alone.scores == outcomes[n].scores  # type: ignore[union-attr]
        assert_same_network(stacked[n], single[n])


def test_seconds_are_shared_by_those_that_were_in_the_stack(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each update takes a second; the first slice leaves after 8 updates, the others go on in a stack of two."""
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    def objective(forward: Any, batch: StackedBatch, step: int) -> torch.Tensor:
        clock[0] += 1
        return entropies(forward, batch, step)

    recipe = Recipe(12, 7, 0.05, "sgd", patience=2, evaluate_every=2)
    outcomes = train_stacked(
        make_networks(), [images.held()] * 3, objective, recipe, SEEDS, validate=scores_from(SCRIPT)
    )
    seconds = [outcome.seconds for outcome in outcomes]  # type: ignore[union-attr]
    assert seconds[0] == pytest.approx([1 / 3] * 8)
    assert seconds[1] == seconds[2] == pytest.approx([1 / 3] * 8 + [1 / 2] * 4)
    assert sum(map(sum, seconds)) == pytest.approx(clock[0])


def explode(number: int, at: int) -> Any:
    def objective(forward: Any, batch: StackedBatch, step: int) -> torch.Tensor:
        losses = entropies(forward, batch, step)
        if step < at or number not in batch.slices:
            return losses
        infinite = torch.zeros(len(losses))
        infinite[batch.slices.index(number)] = math.inf
        return losses * (1 + infinite)

    return objective


def test_one_that_diverges_leaves_the_others_alone(images: Images) -> None:
    recipe = Recipe(12, 7, 3e-3, ema=0.9)
    whole, stacked = make_networks(), make_networks()
    undisturbed = train_stacked(whole, [images.held()] * 3, entropies, recipe, SEEDS)
    outcomes = train_stacked(stacked, [images.held()] * 3, explode(1, 5), recipe, SEEDS)
    diverged = outcomes[1]
    assert isinstance(diverged, DivergedTraining)
    assert isinstance(diverged, Diverged)
    assert "inf at step 6 of 12" in str(diverged)
    assert diverged.trained.losses == undisturbed[1].losses[:5]  # type: ignore[union-attr]
    assert len(diverged.trained.rates) == diverged.trained.steps == 5
    for n in (0, 2):
        assert_same_network(stacked[n], whole[n])
        assert outcomes[n].losses == pytest.approx(undisturbed[n].losses, rel=1e-6)  # type: ignore[union-attr]


def test_tied_and_frozen_tensors_stay_so(images: Images) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(128, 128), nn.Linear(128, 128)
            self.last.weight = self.first.weight
            self.last.bias.requires_grad_(False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.last(self.first(x.flatten(1)).relu())
            return out[:, :3]

    recipe = Recipe(5, 7, 0.1, "sgd")
    stacked, single = make_networks(Tied), make_networks(Tied)
    before = [network.last.bias.clone() for network in stacked]  # type: ignore[union-attr, operator]
    train_stacked(stacked, [images.held()] * 3, entropies, recipe, SEEDS)
    for n in range(3):
        train_stacked([single[n]], [images.held()], entropies, recipe, [SEEDS[n]])
        assert_same_network(stacked[n], single[n])
        assert stacked[n].last.weight is stacked[n].first.weight  # type: ignore[union-attr]
        assert torch.equal(stacked[n].last.bias, before[n])  # type: ignore[union-attr, arg-type]


def test_networks_on_the_same_images(images: Images) -> None:
    networks = [network.eval() for network in make_networks()]
    expected = torch.stack([network(images.images) for network in networks])
    torch.testing.assert_close(forward_stacked(networks, images.images), expected)
    torch.testing.assert_close(forward_stacked(networks[:1], images.images), expected[:1])


def test_what_cannot_be_stacked_is_named(images: Images) -> None:
    networks = make_networks()
    assert can_stack(networks, Recipe(1), images.images) is None
    assert "lamb" in str(can_stack(networks, Recipe(1, optimizer="lamb")))
    assert "float16" in str(can_stack(networks, Recipe(1, precision="float16")))
    assert "accumulate = 2" in str(can_stack(networks, Recipe(1, accumulate=2)))
    wide = [nn.Linear(3, 2), nn.Linear(4, 2)]
    assert "weight is (2, 4)" in str(can_stack(wide, Recipe(1)))
    with pytest.raises(OptionError, match="weight is"):
        train_stacked(wide, [images.held()] * 2, entropies, Recipe(1), [0, 1])
    fewer = HeldSamples(images.images[:20], images.labels[:20])
    with pytest.raises(DataError, match="26, 20"):
        train_stacked(networks[:2], [images.held(), fewer], entropies, Recipe(1), [0, 1])


class Branching(nn.Module):
    """A network whose operations depend on its values."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(128, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits, some days doubled."""
        out: torch.Tensor = self.layer(x.flatten(1))
        return 2 * out if out.sum() > 0 else out


class Drawing(Branching):
    """A network with a draw that is no dropout."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return noisy logits."""
        out: torch.Tensor = self.layer(x.flatten(1))
        return out + torch.randn_like(out)


@pytest.mark.parametrize("kind", [Branching, Drawing])
def test_a_network_that_vmap_cannot_run_is_found_by_trying(images: Images, kind: type[nn.Module]) -> None:
    networks = make_networks(kind)
    before = networks[0].eval().state_dict()
    assert "vmap" in str(can_stack(networks, Recipe(1), images.images[:2]))
    assert can_stack(networks[:1], Recipe(1), images.images[:2]) is None
    assert not networks[0].training
    torch.testing.assert_close(networks[0].state_dict(), before)
