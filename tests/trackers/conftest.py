"""A distribution whose protocol tells events, installed into a folder for one test, in this process and in workers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.discovery import registry

CODE = '''
import numpy as np
from harness import Result, Sample

class Split:
    ids, targets = ["a", "b"], np.array([0, 1])
    def __len__(self): return 2
    def __getitem__(self, n): return Sample(self.ids[n])

class Data:
    splits = ("test",)
    def load(self, split): return Split()

class Talks:
    """Reports `steps` values, shows a picture, and fails on the seed `fails`."""
    needs_model = False
    axes = ("api_key",)
    def __init__(self, steps: int = 3, fails: int = -1, token: str = ""):
        self.steps, self.fails = steps, fails
    def run(self, job):
        seed = job.cell.seed
        for step in range(self.steps):
            job.advance(step + 1, self.steps)
            job.report("training", step, {"loss": np.float32(1 / (1 + step + seed)), "rate": 0.5})
        job.show("samples", 7, np.full((4, 6, 3), 10 * seed, np.uint8))
        if seed == self.fails:
            raise ValueError("deliberate")
        return Result({"score": 0.25 + seed}, count=2, cost={"training_seconds": 1.5})
'''


@pytest.fixture
def talks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The content of a suite whose cells tell events; seeds 0 and 1."""
    site = tmp_path / "site"
    info = site / "talks-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: talks\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[harness.datasets]\ntalks = talks_code:Data\n[harness.protocols]\ntalks = talks_code:Talks\n"
    )
    (site / "talks_code.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HARNESS_LISTEN", raising=False)
    monkeypatch.chdir(tmp_path)
    registry.refresh()
    yield {"name": "talk", "protocol": "talks", "datasets": ["talks"], "seeds": [0, 1]}
    sys.modules.pop("talks_code", None)
    registry.refresh()
