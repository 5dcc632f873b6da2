"""What is chosen, and on which images: rates, weights and epochs come from held-out images alone."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.learning.trials import TuningTrial
from harness_training.cell_context import CellContext
from harness_training.training_cell import TrainingCell
from tests.training.conftest import Training, draw_images

CHOOSING = {"patience": 2, "keep_best": True, "augmentation": ["flip"]}
TRAIN, TEST = draw_images(60, "train"), draw_images(30, "test")


def test_other_test_images_change_no_choice(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves, rate, epoch and the accuracy on training images are the same; only what tests tell differs."""
    records, numbers = [], []
    shuffled = replace(TEST, targets=TEST.targets[::-1].copy(), pixels=TEST.pixels // 2)
    for number, test in enumerate((TEST, shuffled)):
        monkeypatch.setenv("HARNESS_CACHE", str(training.folder / f"cache-{number}"))
        own = training.use(train=TRAIN, test=test).change(CHOOSING, trials=3)
        (record,) = own.run_ok()
        found = own.numbers(record)
        numbers.append({n: v for n, v in found.items() if n not in ("top1", "nll", "gap", "tuning_seconds")})
        records.append(record)
    assert repr(numbers[0]) == repr(numbers[1])
    assert records[0].metrics["nll"] != records[1].metrics["nll"]
    assert records[0].notes["tuning"] == records[1].notes["tuning"]


def test_test_images_are_first_judged_after_the_training(
    bars: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    judged, trained = CellContext.score, TrainingCell._train

    def score(self: CellContext, network: Any, images: Any) -> Any:
        events.append("test" if images is self.images.test else "other")
        return judged(self, network, images)

    def train(self: TrainingCell, rate: float) -> Any:
        found = trained(self, rate)
        events.append("trained")
        return found

    monkeypatch.setattr(CellContext, "score", score)
    monkeypatch.setattr(TrainingCell, "_train", train)
    bars.change(CHOOSING, trials=2).run_ok()
    assert events.count("trained") == 1
    assert "other" in events[: events.index("trained")]
    assert events.index("test") > events.index("trained")
    assert events.count("test") == 1


@pytest.mark.parametrize("seeds", [[0], [0, 1]])
def test_the_peeked_number_is_the_best_evaluation_and_the_honest_one_stays(
    bars: Training, seeds: list[int]
) -> None:
    then = {"plugin": "recipe", "rate": 0.01, "epochs": 2}
    plain = bars.change({**CHOOSING, "then": then}, {"seeds": seeds}, steps=None, epochs=3)
    peeking = plain.change(peek=True)
    for record, expected in zip(peeking.run_ok(), plain.run_ok(), strict=True):
        found, honest = peeking.numbers(record), plain.numbers(expected)
        seen = {name: value for name, value in found.items() if "/test_accuracy/" in name}
        assert any(name.startswith("evaluation-2/") for name in seen)
        assert found.pop("peeked_top1") == max(seen.values())
        left = {name: value for name, value in found.items() if name not in seen}
        assert repr(sorted(left.items())) == repr(sorted(honest.items()))
        assert found["top1"] <= max(seen.values()) + 1e-6


def test_the_weights_of_the_best_evaluation_are_those_that_are_tested(bars: Training) -> None:
    own = bars.change({"patience": 3, "rate": 0.05}, steps=None, epochs=12)
    (record,) = own.run_ok()
    found = own.numbers(record)
    epochs = {v: n.rsplit("/", 1)[1] for n, v in found.items() if n.startswith("evaluation/epoch/")}
    accuracies = {n: v for n, v in found.items() if n.startswith("evaluation/accuracy/")}
    assert found["held_out_top1"] == max(accuracies.values())
    assert accuracies[f"evaluation/accuracy/{epochs[found['best_epoch']]}"] == found["held_out_top1"]


def test_epochs_of_a_second_recipe_count_on(bars: Training) -> None:
    """A target that the second recipe reaches is reached after the epochs and images of both."""
    then = {"plugin": "recipe", "optimizer": "adam", "rate": 0.01, "epochs": 20, "batch": 20}
    own = bars.change(
        {"rate": 1e-9, "optimizer": "sgd", "epochs": 2, "then": then}, steps=None, targets=[0.9]
    )
    (record,) = own.run_ok()
    found = own.numbers(record)
    accuracies = [v for n, v in found.items() if n.startswith("evaluation-2/accuracy/")]
    epoch = 1 + next(n for n, accuracy in enumerate(accuracies) if accuracy >= 0.9)
    assert found["epochs_to.0.9"] == 2 + epoch
    assert found["images_to.0.9"] == 54 * (2 + epoch)


def run_planned(
    training: Training, monkeypatch: pytest.MonkeyPatch, accuracies: dict[int, float]
) -> list[Any]:
    """Run a suite whose trials have planned accuracies, by their number; NaN diverges."""
    tried: list[float] = []

    def planned(self: TrainingCell, rate: float, folder: Path) -> TuningTrial:
        accuracy = accuracies[int(folder.name.removeprefix("trial-"))]
        tried.append(rate)
        if math.isnan(accuracy):
            return TuningTrial(rate, 0.0, math.inf, 1.0)
        return TuningTrial(rate, accuracy, 1 - accuracy, 1.0)

    monkeypatch.setattr(TrainingCell, "_try_rate", planned)
    records = training.run()
    assert len(tried) == 3 * len({record.coordinates["method"] for record in records})
    return records


def test_seeds_share_trials_and_the_record_says_what_chose_what(
    bars: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = bars.change({"rates": [1e-4, 1e-2]}, {"seeds": [0, 1]}, trials=3)
    records = run_planned(two, monkeypatch, {0: 0.5, 1: 0.7, 2: math.nan})
    for record in records:
        tuning = record.notes["tuning"]
        assert tuning["candidates"] == pytest.approx([1e-4, 1e-3, 1e-2])
        assert tuning["held_out_accuracy"] == [0.5, 0.7, 0.0]
        assert tuning["chosen"] == record.metrics["chosen_rate"] == pytest.approx(1e-3)
        assert tuning["chosen_on"] == record.notes["chosen_on"] == "6 images held out of 'train'"
        assert record.cost["tuning_seconds"] == 3
        assert not record.remarks


@pytest.mark.parametrize("edge", ["remark", "fail"])
def test_a_best_rate_at_the_end_of_its_span(
    bars: Training, monkeypatch: pytest.MonkeyPatch, edge: str
) -> None:
    (record,) = run_planned(bars.change(trials=3, edge=edge), monkeypatch, {0: 0.5, 1: 0.6, 2: 0.7})
    text = "the best of 3 learning rates, 0.03, is at the end of its span"
    if edge == "fail":
        assert (record.status, record.reason) == ("failed", f"{text}: widen the recipe's rates")
    else:
        assert record.status == "ok", record.reason
        assert record.remarks == [f"r: {text}"]


def test_no_rate_that_trains_is_one_line(bars: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    two = bars.change(suite={"seeds": [0, 1]}, trials=3)
    for record in run_planned(two, monkeypatch, dict.fromkeys(range(3), math.nan)):
        assert record.status == "diverged"
        assert record.reason == "training diverged at every learning rate from 0.0003 to 0.03"
