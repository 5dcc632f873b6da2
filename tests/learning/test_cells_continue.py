"""A cell that is killed inside its training continues there, to the record of an undisturbed run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import harness
from harness.learning.loop import train
from harness.learning.training_progress import TrainingProgress

CLIP = {"plugin": "tiny-clip", "tower": "vit", "steps": 0}
FUSION = {
    "models": [CLIP],
    "datasets": [{"plugin": "scene-pairs", "count": 60}],
    "methods": ["early-features"],
    "metrics": ["top1"],
}
SUITES: dict[str, dict[str, Any]] = {
    "coop": {
        "protocol": "few-shot",
        "models": [CLIP],
        "datasets": ["digits"],
        "methods": [{"plugin": "coop", "epochs": 4, "batch": 8, "length": 2}],
        "metrics": ["top1"],
        "axes": {"shots": [2]},
        "limit": 60,
    },
    "fine-tuning": {
        "protocol": {
            "plugin": "finetuning", "steps": 6, "batch": 8, "trials": 1, "rates": [1e-3], "head": "new",
            "augmentation": "crop-flip", "checkpoint_every": 2,
        },
        "models": [{"plugin": "tiny-vit", "steps": 0}],
        "datasets": ["digits"],
        "methods": [{"plugin": "lora", "rank": 2, "dropout": 0.2}],
        "metrics": ["top1"],
        "axes": {"shots": [2]},
        "limit": 60,
    },
    "fusion": {**FUSION, "protocol": {"plugin": "fusion", "epochs": 4, "batch": 8, "probes": False}},
    "tuned encoders": {
        **FUSION,
        "protocol": {
            "plugin": "fusion", "epochs": 3, "batch": 8, "probes": False, "tokens": False, "encoders": "tuned",
            "augmentation": "on",
        },
    },
}  # fmt: skip


def record_of(suite: dict[str, Any], store: Path, precision: str) -> tuple[harness.Record, Any, Any]:
    run = harness.run({"name": "one", "seeds": [0], **suite}, store=store, device="cpu", precision=precision)
    (record,) = run.records
    assert record.status == "ok", record.reason
    kept = harness.Store(store)
    return record, kept.samples(record.id), kept.curves(record.id)


@pytest.mark.parametrize(
    ("name", "precision"), [*((name, "float32") for name in SUITES), ("fine-tuning", "float16")]
)
def test_a_killed_training_continues_to_the_same_record(
    name: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    updates: list[int] = []
    real = TrainingProgress.add

    def counted(self: TrainingProgress, *given: Any) -> None:
        if updates.append(1) or len(updates) == killed_at:
            raise KeyboardInterrupt
        real(self, *given)

    killed_at = -1
    monkeypatch.setattr(TrainingProgress, "add", counted)
    monkeypatch.setitem(train.__kwdefaults__, "checkpoint_every", 2)
    suite = SUITES[name]
    expected, samples, curves = record_of(suite, tmp_path / "undisturbed", precision)
    total = len(updates)
    assert total > 4
    updates.clear()
    killed_at = total * 3 // 4
    with pytest.raises(KeyboardInterrupt):
        record_of(suite, tmp_path / "killed", precision)
    updates.clear()
    killed_at = -1
    found, again, lines = record_of(suite, tmp_path / "killed", precision)
    assert len(updates) < total
    assert found.metrics == expected.metrics
    assert found.notes == expected.notes
    assert again.equals(samples)
    assert lines.equals(curves)
