"""First-party protocols compute ahead what their cells ask for, in more than their smallest cells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.testing.cell_runs import make_worker
from harness.testing.methods import RunSubject
from harness.testing.warming import Requests, check_warm

CLIP = {"plugin": "tiny-clip", "tower": "vit", "steps": 0}
DIGITS: Mapping[str, Any] = {"models": [CLIP], "datasets": ["digits"], "metrics": ["top1"], "limit": 48}
PAIRS = {**DIGITS, "datasets": [{"plugin": "scene-pairs", "count": 40}]}
CASES: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "probe": (
        {
            "plugin": "finetuning",
            "steps": 4,
            "batch": 8,
            "trials": 2,
            "holdout": 0.2,
            "shifts": ["printed-digits"],
            "shift_names": ["printed"],
        },
        {**DIGITS, "methods": ["probe"]},
    ),
    "shots": (
        {"plugin": "few-shot", "evaluate_on": ["printed-digits"]},
        {**DIGITS, "methods": ["clip-adapter"], "axes": {"shots": [2]}},
    ),
    "an image tower of its own": (
        {"plugin": "few-shot"},
        {**DIGITS, "methods": [{"plugin": "ivlp", "epochs": 1}], "axes": {"shots": [1]}},
    ),
    "views": (
        {
            "plugin": "fusion",
            "epochs": 2,
            "batch": 8,
            "augmentation": "on",
            "views": 2,
            "vectors": "standard",
        },
        {**PAIRS, "methods": ["gated"]},
    ),
    "vectors": (
        {"plugin": "fusion", "epochs": 1, "batch": 8, "probes": False},
        {**PAIRS, "methods": ["image-only"]},
    ),
    "films and a bank of others": (
        {"plugin": "retrieval"},
        {
            "models": [CLIP],
            "datasets": [{"plugin": "scene-captions", "frames": 2, "count": 24}],
            "methods": ["query-bank"],
            "axes": {"direction": ["image to text"]},
            "metrics": ["recall-at-k"],
        },
    ),
    "another split": ({"plugin": "classification", "split": "train"}, DIGITS),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_computed_ahead_is_all_that_the_run_asks_of_images(case: str, tmp_path: Path) -> None:
    protocol, grid = CASES[case]
    options = {name: value for name, value in protocol.items() if name != "plugin"}
    subject = RunSubject("protocols", {"plugin": protocol["plugin"], "options": options}, grid)
    check_warm(subject)
    with subject.trial() as trial:
        (cell,) = trial.pick_cells()
    assert make_worker(tmp_path).warm(cell)
    later, worker = Requests(), make_worker(tmp_path)
    later.watch(worker)
    assert worker.run(cell).status == "ok"
    of_images = [found for found in map(json.loads, later.computed) if "images" in found]
    assert {found["what"] for found in of_images} <= {"tuning trials"}  # trainings, which are no features
