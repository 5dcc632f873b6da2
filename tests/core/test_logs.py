"""The log folder of running trainings: curves as CSV, pictures as PNG, also through a run."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

import harness
from harness.contract.running import Job, Result
from harness.discovery import registry
from harness.running.logs import CellLog, cell_folder
from harness.running.progress import LineDisplay

RED = np.zeros((3, 5, 3), np.uint8) + np.array([255, 0, 0], np.uint8)


def test_rows_are_appended_and_columns_may_come_later(tmp_path: Path) -> None:
    log = CellLog(tmp_path / "new")
    log.curve("training", 1, {"loss": 0.5})
    log.curve("training", 2, {"step": 2, "loss": 0.25})
    log.curve("training", 3, {"loss": float("nan"), "accuracy": 0.75})
    log.curve("coverage", 3, {"covered": 8})
    found = pd.read_csv(tmp_path / "new" / "training.csv")
    assert found.columns.tolist() == ["step", "loss", "accuracy"]
    assert found["step"].tolist() == [1, 2, 3]
    assert found["loss"].tolist()[:2] == [0.5, 0.25]
    assert found["loss"].isna().tolist() == [False, False, True]
    assert found["accuracy"].tolist()[2] == 0.75
    assert pd.read_csv(tmp_path / "new" / "coverage.csv")["covered"].tolist() == [8]


def test_a_training_that_continues_tells_no_step_twice(tmp_path: Path) -> None:
    first = CellLog(tmp_path)
    for step in (1, 2, 3, 4):
        first.curve("training", step, {"loss": float(step)})
    with (tmp_path / "training.csv").open("a") as file:
        file.write("5")  # a kill in the middle of a row
    again = CellLog(tmp_path)
    for step in (3, 4, 5):
        again.curve("training", step, {"loss": 10.0 * step})
    assert pd.read_csv(tmp_path / "training.csv")["loss"].tolist() == [1, 2, 30, 40, 50]


def test_names_stay_in_the_folder(tmp_path: Path) -> None:
    log = CellLog(cell_folder(tmp_path, "../../up · a/b", "0123456789abcdef"))
    log.curve("../../x", 1, {"loss": 1})
    path = log.image("../..//y", RED)
    assert [p for p in tmp_path.rglob("*.csv") if tmp_path / "logs" in p.parents]
    assert path.parent.parent == tmp_path / "logs"
    assert np.array_equal(np.asarray(Image.open(path)), RED)


class Trains:
    """A protocol that shows something."""

    needs_model = False

    def run(self, job: Job) -> Result:
        for step in (1, 2):
            job.report("training", step, {"loss": 1 / step})
            job.show("samples", step, RED * step)
        return Result({"loss": 0.5})


class Heard:
    def __init__(self) -> None:
        self.images: list[tuple[str, int, bool]] = []

    @harness.hookimpl
    def cell_image(self, name: str, step: int, path: Path) -> None:
        self.images.append((name, step, Image.open(path).size == (5, 3)))


def test_a_run_writes_them_tells_them_and_says_where_they_are(tmp_path: Path) -> None:
    registry.register("protocols", "trains", Trains)
    heard, said = Heard(), io.StringIO()
    suite: dict[str, Any] = {"name": "watched", "protocol": "trains", "datasets": ["digits"]}
    outcome = harness.run(suite, store=tmp_path, device="cpu", listeners=[heard, LineDisplay(said)])
    assert outcome.records[0].status == "ok", outcome.records[0].reason
    (folder,) = (tmp_path / "logs").iterdir()
    assert folder.name == f"digits-{outcome.records[0].id[:8]}"
    assert pd.read_csv(folder / "training.csv")["loss"].tolist() == [1, 0.5]
    assert heard.images == [("samples", 1, True), ("samples", 2, True)]
    assert said.getvalue().count(str(tmp_path / "logs")) == 1
