"""Trainings inside a few-shot cell that is killed: the next run goes on, and ends as an undisturbed one."""

from __future__ import annotations

import json

import pytest

from harness.discovery import registry
from harness.planning import suite as suites
from harness.planning.plan import make_plan
from harness.records.store import Store
from harness.running.worker import RunSettings, Worker
from harness.testing.cell_runs import Killed

EPOCHS = 12
EVERY = 5
"""Updates between two checkpoints here, so that few are enough."""


@pytest.fixture
def colours(tmp_path, monkeypatch, kit):
    """The cells of some methods on a data set of colours, seen by a small open_clip model."""
    from harness.learning import loop

    monkeypatch.setattr(registry, "_local", {})
    monkeypatch.setitem(loop.train.__kwdefaults__, "checkpoint_every", EVERY)
    registry.register("datasets", "colours", kit.Colours)
    config = tmp_path / "small.json"
    config.write_text(json.dumps({"embed_dim": 16, "vision_cfg": kit.VISION, "text_cfg": kit.TEXT}))

    def cell(method):
        given = {
            "name": "t",
            "models": [{"plugin": "open_clip", "name": "small", "config": str(config)}],
            "datasets": ["colours"],
            "metrics": ["top1"],
            "methods": [method],
            "protocol": "few-shot",
            "axes": {"shots": [2]},
        }
        return make_plan(suites.parse_suite(given)).cells[0].cell

    yield cell
    registry.refresh()


def run(cell, place, kill_at=None):
    """The updates that a run showed, and its record with samples and curves; killed at an update's report."""
    seen = []

    def listen(event, **facts):
        if event == "cell_curve":
            seen.append(facts["step"])
            if facts["step"] == kill_at:
                raise Killed

    settings = RunSettings(place / "store", device="cpu", cache=place / "cache", workers=1)
    record = Worker(settings, listen).run(cell)
    store = Store(place / "store")
    return seen, record, store.samples(record.id), store.curves(record.id)


COMMON = {"epochs": EPOCHS, "batch": 8, "rate": 0.02}


@pytest.mark.parametrize("method", [
    {"plugin": "coop", "length": 4, **COMMON},
    {"plugin": "coop", "length": 4, "augment": True, **COMMON},
    {"plugin": "kgcoop", **COMMON},
    {"plugin": "prograd", "length": 4, **COMMON},
    {"plugin": "cocoop", **COMMON},
    {"plugin": "maple", "augment": True, **COMMON},
    {"plugin": "promptsrc", **COMMON, "batch": 4, "epochs": 6, "mean": 3.0},
    {"plugin": "tip-adapter-f", **COMMON},
    {"plugin": "clip-adapter", **COMMON},
], ids=lambda method: "-".join([method["plugin"], *(["augmented"] if "augment" in method else [])]))  # fmt: skip
def test_a_training_goes_on_after_a_kill_to_the_same_end(colours, tmp_path, method):
    cell = colours(method)
    steps, record, samples, curves = run(cell, tmp_path / "whole")
    assert record.status == "ok", record.reason
    assert steps == list(range(1, EPOCHS + 1))
    with pytest.raises(Killed):
        run(cell, tmp_path / "killed", kill_at=EVERY + 3)
    continued, again, *found = run(cell, tmp_path / "killed")
    assert continued == list(range(EVERY + 1, EPOCHS + 1))  # from the checkpoint, not from the start
    assert again.metrics == record.metrics
    assert again.notes == record.notes
    for one, other in zip(found, (samples, curves), strict=True):
        assert one.equals(other)
