"""Training of fusion heads: weights, schedule, early stopping, parts, sources, determinism."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from harness.discovery import registry
from harness.errors import DataError, Diverged, OptionError
from harness.inference.features import digest_module
from harness.learning.draws import DrawnBatch, class_weights, rows_of_epoch
from harness.learning.pipeline import Batch
from harness_fusion.contracts import Features, PairFeatures
from harness_fusion.feature_sources import EpochFeatures
from harness_fusion.fusion_head import FusionHead, build_head
from harness_fusion.head_training import HeadRecipe, predict_with_head, train_head

CLASSES = 3
FAST = HeadRecipe(epochs=3, rate=1e-2, batch=32, patience=None)


def pairs(count: int = 90, seed: int = 0, noise: float = 1.0) -> PairFeatures:
    """Pairs of unequal classes; the text tells a part of the class, the image another."""
    make = torch.Generator().manual_seed(seed)
    targets = (torch.arange(count) % 6 + 1) // 3  # 2 : 3 : 1
    text, image = (noise * torch.randn(count, width, generator=make) for width in (8, 6))
    text[:, 0] += 2.0 * targets
    image[:, 1] += 2.0 * (targets == 1)
    return PairFeatures(Features.from_pooled(text), Features.from_pooled(image), targets)


def head_of(name: str, seed: int = 0, dropout: float = 0.1, **options: object) -> FusionHead:
    method = registry.load(registry.find("methods", name))(**options)
    return build_head(method, 8, 6, CLASSES, dropout=dropout, seed=seed)


def state(module: nn.Module) -> list[torch.Tensor]:
    return [t.detach().clone() for t in module.state_dict().values()]


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(state(one), state(other), strict=True))


# ---------------------------------------------------------------- weights of classes, batches, schedule


def test_class_weights_are_those_of_sklearn_and_one_for_equal_classes() -> None:
    targets = pairs().targets
    expected = compute_class_weight("balanced", classes=np.arange(3), y=targets.numpy())
    assert class_weights(targets, 3).tolist() == pytest.approx(expected.tolist(), rel=1e-6)
    assert class_weights(torch.tensor([0, 1, 2, 2, 1, 0]), 3).tolist() == [1, 1, 1]
    assert class_weights(torch.tensor([0, 0, 2]), 3).tolist() == pytest.approx([0.5, 1.0, 1.0])


def test_weighting_balanced_classes_changes_nothing() -> None:
    data = pairs()
    balanced = data.take(torch.cat([(data.targets == c).nonzero()[:15, 0] for c in range(3)]))
    heads = []
    for weighted in (True, False):
        heads.append(head_of("early-features"))
        train_head(heads[-1], balanced, None, HeadRecipe(epochs=2, rate=1e-2, class_weights=weighted), 0)
    assert same(*heads)


def test_class_weights_come_from_the_training_part_alone() -> None:
    data, curves = pairs(), []
    for targets in (data.targets, torch.zeros_like(data.targets)):
        validation = PairFeatures(data.text, data.image, targets)
        curves.append(train_head(head_of("gated"), data, validation, FAST, 0).curves)
    assert curves[0]["loss"] == curves[1]["loss"]
    assert curves[0]["validation_loss"] != curves[1]["validation_loss"]


@given(st.integers(1, 300), st.integers(1, 70))
def test_batches_hold_every_row_once_and_never_one_row_alone(count: int, size: int) -> None:
    recipe = HeadRecipe(batch=size).for_samples(count)
    found = rows_of_epoch(count, recipe, 0, 0)
    assert sorted(np.concatenate(found).tolist()) == list(range(count))
    assert max(map(len, found)) <= size
    assert len(found) == math.ceil(count / size)
    if size > 2 and count > 1:
        assert min(map(len, found)) > 1


def test_the_cosine_over_epochs_and_over_steps() -> None:
    data = pairs(96)
    recipe = {"epochs": 4, "rate": 0.01, "batch": 32, "patience": None}
    for more, total in (({}, 4), ({"cosine_over": "steps"}, 4), ({"t_max": 8}, 8)):
        rates = train_head(head_of("gated"), data, None, HeadRecipe(**recipe, **more), 0).curves["rate"]
        expected = [0.005 * (1 + math.cos(math.pi * epoch / total)) for epoch in range(4)]
        assert rates == pytest.approx(expected)
    constant = train_head(head_of("gated"), data, None, HeadRecipe(**recipe, schedule="constant"), 0)
    assert constant.curves["rate"] == [0.01] * 4


def test_steps_and_epochs_of_the_cosine_are_told_apart() -> None:
    data, ends = pairs(96), []
    for over in ("epochs", "steps"):
        ends.append(head_of("gated"))
        train_head(ends[-1], data, None, HeadRecipe(epochs=1, rate=0.01, batch=32, cosine_over=over), 0)
    assert not same(*ends)


# ---------------------------------------------------------------- the loop against torch by hand


def test_one_full_batch_is_one_step_of_adamw_on_the_weighted_loss() -> None:
    data = pairs(60)
    ours, plain = (head_of("early-features", dropout=0.0) for _ in range(2))
    train_head(ours, data, None, HeadRecipe(epochs=1, rate=0.01, batch=60, weight_decay=0.1), 0)
    optimizer = torch.optim.AdamW(plain.parameters(), lr=0.01, weight_decay=0.1)
    counts = torch.bincount(data.targets)
    weight = (60 / (3 * counts))[data.targets]
    log_p = plain(data.text, data.image).log_softmax(-1)
    loss = -(weight * log_p[torch.arange(60), data.targets]).sum() / weight.sum()
    loss.backward()
    optimizer.step()
    for a, b in zip(ours.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_the_best_epoch_is_restored_and_its_f1_is_what_the_head_then_gives() -> None:
    train, validation = pairs(60, 0, 2.0), pairs(60, 1, 2.0)
    head = head_of("early-features")
    recipe = HeadRecipe(epochs=30, rate=0.05, batch=16, patience=3)
    trained = train_head(head, train, validation, recipe, 0)
    f1 = trained.curves["weighted_f1"]
    assert trained.epochs == len(f1) < 30
    assert trained.best_epoch == f1.index(max(f1)) + 1 == trained.epochs - 3
    predicted, total = predict_with_head(head, validation).argmax(1), 0.0
    for c in range(CLASSES):  # weighted F1 by its definition
        hit = int(((predicted == c) & (validation.targets == c)).sum())
        sizes = int((predicted == c).sum()) + int((validation.targets == c).sum())
        total += 2 * hit / sizes * int((validation.targets == c).sum()) / len(validation)
    assert total == pytest.approx(max(f1))
    assert not head.training
    assert trained.samples == trained.epochs * 60


def test_training_depends_on_its_seed_and_on_nothing_around_it() -> None:
    ends = []
    for noise, seed in ((1, 0), (2, 0), (3, 1)):
        torch.manual_seed(noise)
        before = torch.random.get_rng_state()
        ends.append(head_of("gated"))
        train_head(ends[-1], pairs(), pairs(30, 1), FAST, seed)
        assert torch.equal(before, torch.random.get_rng_state())
    assert same(ends[0], ends[1])
    assert not same(ends[0], ends[2])


def test_prediction_does_not_depend_on_the_batch() -> None:
    data = pairs()
    head = head_of("tensor")
    train_head(head, data, None, FAST, 0)
    assert torch.allclose(predict_with_head(head, data, 1), predict_with_head(head, data, 32), atol=1e-5)


def test_features_are_left_as_they_were() -> None:
    data = pairs()
    kept = [data.text.pooled.clone(), data.image.pooled.clone()]
    train_head(head_of("early-features"), data, data, FAST, 0)
    assert torch.equal(data.text.pooled, kept[0])
    assert torch.equal(data.image.pooled, kept[1])
    assert data.text.pooled.grad is None


# ---------------------------------------------------------------- heads with parts or without training


def test_the_majority_row_is_the_largest_class_of_the_training_part() -> None:
    head = head_of("majority")
    validation = pairs(30, 1)
    trained = train_head(
        head, pairs(), PairFeatures(validation.text, validation.image, torch.zeros(30).long()), FAST, 0
    )
    assert trained.epochs == trained.samples == 0
    said = predict_with_head(head, validation)
    assert said.argmax(1).tolist() == [1] * 30
    assert said[0].exp().tolist() == pytest.approx([31 / 93, 46 / 93, 16 / 93])  # 30, 45, 15, one added


@pytest.mark.parametrize("name", ["oracle", "late"])
def test_separate_heads_are_the_unimodal_arms_bit_for_bit(name: str) -> None:
    train, validation = pairs(), pairs(45, 1)
    both = head_of(name, **({"training": "separate", "rule": "learned"} if name == "late" else {}))
    trained = train_head(both, train, validation, FAST, 7)
    for modality in ("text", "image"):
        alone = head_of(f"{modality}-only")
        own = train_head(alone, train, validation, FAST, 7)
        assert same(both.parts[modality], alone)
        assert trained.parts[modality].curves == own.curves
    learned = getattr(both.fusion, "balance", torch.ones(1))
    assert bool((learned != 0).all())
    assert trained.samples == (2 if name == "oracle" else 3) * 3 * 90
    assert all(p.requires_grad for p in both.parameters())


def test_heads_that_are_trained_keep_their_dropout_off_while_weights_are_learned() -> None:
    head = head_of("late", training="separate", rule="learned").eval()
    modes: list[tuple[bool, bool]] = []
    train_head(
        head, pairs(), None, FAST, 0,
        tell=lambda *_: modes.append((head.training, head.parts["text"].training)),
    )  # fmt: skip
    assert modes == [(False, True)] * 3 + [(False, False)] * 3 + [(True, False)] * 3


def test_joint_training_is_another_training() -> None:
    train = pairs()
    joint, alone = head_of("late"), head_of("text-only")
    assert same(joint.fusion.text, alone)
    train_head(joint, train, None, FAST, 0)
    train_head(alone, train, None, FAST, 0)
    assert not same(joint.fusion.text, alone)


def test_learned_weights_find_the_modality_that_tells() -> None:
    make = torch.Generator().manual_seed(0)
    targets = torch.randint(3, (200,), generator=make)
    text = nn.functional.one_hot(targets, 8).float() + 0.3 * torch.randn(200, 8, generator=make)
    data = PairFeatures(
        Features.from_pooled(text), Features.from_pooled(torch.randn(200, 6, generator=make)), targets
    )
    head = head_of("late", rule="learned")
    train_head(head, data, None, HeadRecipe(epochs=10, rate=3e-3, patience=None), 0)
    text, image = head.fusion.weights(data.text, data.image)[0].tolist()
    assert text > 0.75 > 0.25 > image


# ---------------------------------------------------------------- sources


def test_augmented_features_are_encoded_once_per_epoch() -> None:
    data, asked = pairs(), []

    def encode(epoch: int) -> PairFeatures:
        asked.append(epoch)
        return PairFeatures(
            data.text.map_tensors(lambda t: t + epoch if t.dtype == torch.float else t),
            data.image,
            data.targets,
        )

    source = EpochFeatures(data.targets, encode)
    augmented, plain = head_of("gated"), head_of("gated")
    train_head(augmented, source, data, FAST, 0)
    assert asked == [0, 1, 2]
    train_head(plain, data, data, FAST, 0)
    assert not same(augmented, plain)


class EndToEnd:
    """Raw inputs that go through encoders for each batch."""

    def __init__(self, raw: PairFeatures, encoders: nn.ModuleDict) -> None:
        self.raw, self.encoders, self.targets = raw, encoders, raw.targets

    def __len__(self) -> int:
        return len(self.targets)

    def batches(self, plan: Iterable[DrawnBatch]) -> Generator[Batch, None, None]:
        for step, epoch, rows in plan:
            taken = self.raw.take(torch.from_numpy(rows))
            text, image = (
                Features.from_pooled(self.encoders[name](getattr(taken, name).pooled))
                for name in ("text", "image")
            )
            yield Batch(step, epoch, rows, PairFeatures(text, image, taken.targets), taken.targets)


def test_end_to_end_training_moves_and_restores_what_is_thawed_and_nothing_else() -> None:
    torch.manual_seed(0)
    encoders = nn.ModuleDict({"text": nn.Linear(8, 8), "image": nn.Linear(6, 6)})
    encoders["image"].requires_grad_(False)
    start, frozen = state(encoders["text"]), digest_module(encoders["image"])
    train, validation = (EndToEnd(pairs(60, seed, 2.0), encoders) for seed in (0, 1))
    head = head_of("early-features")
    recipe = HeadRecipe(epochs=30, rate=0.05, batch=16, patience=3)
    trained = train_head(head, train, validation, recipe, 0, encoders=encoders, encoder_rate=0.05)
    assert digest_module(encoders["image"]) == frozen
    assert encoders["image"].weight.grad is None
    assert not any(torch.equal(a, b) for a, b in zip(start, state(encoders["text"]), strict=True))
    assert trained.best_epoch < trained.epochs
    again = train_head(
        head, train, validation, HeadRecipe(epochs=1, rate=1e-12), 0
    )  # judges what was restored
    assert again.curves["weighted_f1"][0] == pytest.approx(max(trained.curves["weighted_f1"]))


def test_without_encoders_to_train_a_frozen_source_stays_as_it_is() -> None:
    encoders = nn.ModuleDict({"text": nn.Linear(8, 8), "image": nn.Linear(6, 6)}).requires_grad_(False)
    digest = digest_module(encoders)
    train_head(head_of("gated"), EndToEnd(pairs(), encoders), None, FAST, 0)
    assert digest_module(encoders) == digest


def test_progress_is_told_once_per_epoch() -> None:
    told: list[tuple[int, dict[str, float]]] = []
    trained = train_head(
        head_of("gated"),
        pairs(),
        pairs(30, 1),
        FAST,
        0,
        tell=lambda epoch, values: told.append((epoch, dict(values))),
    )
    assert [epoch for epoch, _ in told] == [1, 2, 3]
    assert [values["loss"] for _, values in told] == trained.curves["loss"]
    assert all(len(column) == 3 for column in trained.curves.values())


# ---------------------------------------------------------------- what can't be trained on


def test_unlabelled_or_no_samples_get_one_line() -> None:
    data = pairs(30)
    unlabelled = PairFeatures(data.text, data.image, data.targets - 1)
    with pytest.raises(DataError, match="have no label"):
        train_head(head_of("gated"), unlabelled, None, FAST, 0)
    with pytest.raises(DataError, match="no training samples"):
        train_head(head_of("gated"), data.take(slice(0, 0)), None, FAST, 0)


def test_a_loss_that_is_not_finite_is_a_divergence() -> None:
    data = pairs(30)
    data.text.pooled[3, 2] = math.inf
    with pytest.raises(Diverged, match="at step 1 of 3"):
        train_head(head_of("text-only"), data, None, FAST, 0)


@pytest.mark.parametrize("bad", [{"epochs": 0}, {"batch": 0}, {"patience": 0}, {"t_max": 0}, {"rate": 0.0}])
def test_impossible_recipes_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(OptionError, match=next(iter(bad))):
        HeadRecipe(**bad)
