"""Seeds that train together have the records that they have alone, however the work is divided."""

from __future__ import annotations

import math
from typing import Any

import pytest

from harness_training import seed_training
from harness_training.protocol import TrainingProtocol
from tests.training.conftest import Training

EVERYTHING = {
    # not Adam, which makes steps of the noise in a gradient that is 0, such as that of a bias before batch norm
    "optimizer": "sgd",
    "rate": 0.05,
    "augmentation": [{"name": "shift-crop", "padding": 1}, "flip", {"name": "erasing", "p": 0.5}],
    "mixup": 0.3,
    "ema": 0.8,
    "patience": 2,
    "label_smoothing": 0.1,
    "schedule": "cosine",
    "warmup": 0.2,
    "clip_norm": 1.0,
    "weight_decay": 0.01,
}
DROPOUT = {
    "plugin": "small-cnn",
    "channels": [4, 8],
    "head": "flatten",
    "dropout": 0.3,
    "normalisation": "batch-norm",
}


@pytest.fixture
def everything(training: Training) -> Training:
    return training.change(EVERYTHING, {"models": [DROPOUT], "seeds": [0, 1, 2]}, targets=[0.1, 0.99])


def assert_close(found: dict[str, float], expected: dict[str, float], relative: float = 2e-4) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=relative, abs=1e-5, nan_ok=True), name


def test_three_seeds_have_the_numbers_of_each_alone(everything: Training) -> None:
    together, alone = everything.change(), everything.change(together=1)
    many, ones = together.run_ok(), alone.run_ok()
    assert [record.notes["seeds_together"] for record in many] == [3, 3, 3]
    assert "seeds_together" not in ones[0].notes
    found = [together.numbers(record) for record in many]
    for own, record, one in zip(found, many, ones, strict=True):
        assert_close(own, alone.numbers(one))
        assert {**record.notes, "seeds_together": 3} == {**one.notes, "seeds_together": 3}
        assert math.isnan(own["epochs_to.0.99"])
    assert found[0]["nll"] != pytest.approx(found[1]["nll"], rel=1e-3)


@pytest.mark.parametrize("how", ["evaluation", "workers", "read", "processes"])
def test_how_the_work_is_divided_changes_nothing(
    everything: Training, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = everything.change(together=1)
    records = expected.run_ok()
    changes: dict[str, Any] = {}
    other = everything.change(together=1)
    if how == "evaluation":
        monkeypatch.setattr(seed_training, "EVALUATION_BATCH", 7)
        changes = {"batch_size": 5}
    elif how == "workers":
        changes = {"workers": 2}
    elif how == "read":  # seeds can't be stacked, which is noted
        other = everything.change(hold="no")
    else:
        changes = {"executor": "processes:2"}
    found = other.run_ok(**changes)
    if how == "read":
        assert found[0].notes.pop("seeds_together") == "1: the images are not held in memory"
    for record, one in zip(found, records, strict=True):
        assert_close(other.numbers(record), expected.numbers(one), 1e-5)


def test_what_cannot_be_stacked_trains_one_after_the_other(training: Training) -> None:
    lamb = training.change({"optimizer": "lamb"}, {"seeds": [0, 1]})
    alone = training.change({"optimizer": "lamb"}, {"seeds": [0, 1]}, together=1)
    found, expected = lamb.run_ok(), alone.run_ok()
    assert "lamb" in found[0].notes["seeds_together"]
    for record, one in zip(found, expected, strict=True):
        assert lamb.numbers(record) == pytest.approx(alone.numbers(one), nan_ok=True)


def test_one_that_diverges_leaves_the_others_alone(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    three = training.change(suite={"seeds": [0, 1, 2]})
    expected = three.run_ok()
    numbers = [three.numbers(record) for record in expected]
    spoil_seed(1, monkeypatch)
    for together in (8, 1):
        spoilt = three.change(together=together)
        records = spoilt.run()
        assert [record.status for record in records] == ["ok", "diverged", "ok"]
        reason = records[1].reason
        assert reason is not None
        assert reason.startswith("the loss is ")
        assert reason.endswith("at step 5 of 12")
        assert not records[1].metrics
        kept = spoilt.numbers(records[1])
        assert [kept[f"training/loss/{n}"] for n in range(4)] == pytest.approx(
            [numbers[1][f"training/loss/{n}"] for n in range(4)], rel=1e-4
        )
        assert "training/loss/4" not in kept
        for n in (0, 2):
            assert_close(spoilt.numbers(records[n]), numbers[n])


def spoil_seed(seed: int, monkeypatch: pytest.MonkeyPatch, step: int = 4) -> None:
    """Make the loss of a seed's training infinite at a step."""
    from harness import derive_seed
    from harness_training.seed_training import SeedObjective

    real, own = SeedObjective.__call__, derive_seed("training", seed)

    def spoilt(self: SeedObjective, forward: Any, batch: Any, at: int) -> Any:
        losses = real(self, forward, batch, at)
        for place, number in enumerate(batch.slices):
            if self.seeds[number] == own and at == step:
                losses = losses + losses.new_zeros(len(losses)).index_fill(
                    0, losses.new_tensor([place]).long(), math.inf
                )
        return losses

    monkeypatch.setattr(SeedObjective, "__call__", spoilt)


def test_seeds_of_several_devices_are_not_stacked() -> None:
    assert TrainingProtocol(together=5).seeds_at_once(None) == 5  # type: ignore[arg-type]
    assert TrainingProtocol(together=5, devices=2).seeds_at_once(None) == 1  # type: ignore[arg-type]
