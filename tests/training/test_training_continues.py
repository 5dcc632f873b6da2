"""A training that is killed in any of its parts continues to the record of an undisturbed run, to the bit."""

from __future__ import annotations

from typing import Any

import pytest

import harness
from harness.learning.training_progress import TrainingProgress
from tests.training.conftest import Training

RICH = {"augmentation": ["flip"], "mixup": 0.2, "ema": 0.8, "patience": 3}
LATER = {"plugin": "recipe", "optimizer": "sgd", "rate": 0.01, "epochs": 2, "batch": 24}
CASES: dict[str, dict[str, Any]] = {
    "together": {"method": RICH, "suite": {"seeds": [0, 1]}},
    "alone": {"method": RICH | {"optimizer": "lamb"}},
    "greedy": {"method": {"greedy": True}},
    "then": {"method": {"then": LATER}, "steps": None, "epochs": 2},
    "then, together": {"method": {"then": LATER}, "suite": {"seeds": [0, 1]}, "steps": None, "epochs": 2},
    "plateau": {"method": {"schedule": "plateau", "schedule_options": {"mode": "keras", "patience": 1}}},
    "tuning": {"method": {"patience": 2}, "trials": 2, "steps": 6},
}


@pytest.mark.parametrize("name", CASES)
def test_a_killed_training_continues_to_the_same_record(
    training: Training, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = {"checkpoint_every": 2, **CASES[name]}
    own = training.change(**case).change(suite={"limit": 48})
    updates: list[int] = []
    real = TrainingProgress.add
    killed_at = -1

    def counted(self: TrainingProgress, *given: Any) -> None:
        if updates.append(1) or len(updates) == killed_at:
            raise KeyboardInterrupt
        real(self, *given)

    monkeypatch.setattr(TrainingProgress, "add", counted)
    expected = own.run_ok("undisturbed")
    total = len(updates)
    assert total > 4
    for number, share in enumerate((0.5, 0.8)):
        monkeypatch.setenv("HARNESS_CACHE", str(own.folder / f"cache-{number}"))
        updates.clear()
        killed_at, store = int(total * share), f"killed-{number}"
        with pytest.raises(KeyboardInterrupt):
            own.run(store)
        updates.clear()
        killed_at = -1
        found = own.run_ok(store)
        assert len(updates) < total
        for record, one in zip(found, expected, strict=True):
            assert record.notes == one.notes
            assert repr(own.numbers(record, store)) == repr(own.numbers(one, "undisturbed"))
            kept = [harness.Store(own.folder / place).samples(one.id) for place in (store, "undisturbed")]
            assert kept[0].equals(kept[1])
