"""Samples that can't be read are left out where the user allows it, counted and named, for every model alike."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import harness
from harness.cli import main
from harness.discovery import registry
from harness.planning.plan import Choice, make_plan
from harness.planning.suite import parse_suite


class Redness:
    """Logits over blue and red by an image's mean colour."""

    label_space = ""
    class_names = ("blue", "red")

    def __init__(self, sharpness: float = 1.0) -> None:
        self.sharpness = sharpness

    def fingerprint(self) -> str:
        return "1"

    def load(self, device: Any) -> None:
        pass

    def prepare(self, image: Image.Image) -> torch.Tensor:
        return torch.tensor(np.asarray(image)[..., [2, 0]].mean((0, 1)) / 255).float()

    def classify(self, images: torch.Tensor) -> torch.Tensor:
        return images * self.sharpness


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(registry, "_local", {})
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    harness.register("models", "redness", Redness)


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """Four blue and four red images; one red one is painted blue, so that 7 of 8 are told right."""
    for name, rgb in (("blue", (0, 0, 255)), ("red", (255, 0, 0))):
        for i in range(4):
            path = tmp_path / "d" / "test" / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (0, 0, 255) if (name, i) == ("red", 0) else rgb).save(path)
    return tmp_path / "d"


def suite(path: Path, **more: Any) -> dict[str, Any]:
    return {
        "name": "read",
        "protocol": "classification",
        "models": [{"plugin": "redness"}, {"plugin": "redness", "label": "sharp", "sharpness": 4.0}],
        "datasets": [{"plugin": "imagefolder", "path": str(path), "label": "d"}],
        "metrics": ["top1"],
        **more,
    }


def damaged(colours: Path) -> None:
    for file, data in (("blue/1.png", b""), ("red/3.png", (colours / "test/red/3.png").read_bytes()[:50])):
        (colours / "test" / file).write_bytes(data)


def test_without_the_option_the_line_names_it(colours: Path, tmp_path: Path) -> None:
    damaged(colours)
    run = harness.run(suite(colours), store=tmp_path / "s", device="cpu")
    assert [r.status for r in run.records] == ["failed", "failed"]
    assert "blue/1.png: an empty file" in (run.records[0].reason or "")
    assert "--skip-unreadable" in (run.records[0].reason or "")


def test_what_can_not_be_read_is_left_out_and_told(colours: Path, tmp_path: Path) -> None:
    damaged(colours)
    run = harness.run(suite(colours), store=tmp_path / "s", device="cpu", skip_unreadable=True)
    for record in run.records:
        assert (record.status, record.count) == ("ok", 6)
        assert record.metrics["top1"] == pytest.approx(5 / 6)
        assert len(record.remarks) == 1
        assert record.remarks[0].startswith("d: 2 of 8 samples can't be read and are left out (first: ")
        assert record.remarks[0].endswith("test/blue/1.png: an empty file)")
        assert record.cell["dataset"]["identity"]["unreadable"] == "left out"
    ids = [list(run.store.samples(r.id)["id"]) for r in run.records]
    assert (
        ids[0] == ids[1] == ["blue/0.png", "blue/2.png", "blue/3.png", "red/0.png", "red/1.png", "red/2.png"]
    )
    assert "2 of 8 samples" in str(run.tables()[0].to_dict())


def test_sound_data_get_the_same_number_and_no_remark(colours: Path, tmp_path: Path) -> None:
    plain = harness.run(suite(colours), store=tmp_path / "s", device="cpu")
    run = harness.run(suite(colours), store=tmp_path / "s", device="cpu", skip_unreadable=True)
    assert [r.metrics for r in run.records] == [r.metrics for r in plain.records]
    assert [r.remarks for r in run.records] == [[], []]
    assert {r.id for r in run.records}.isdisjoint(r.id for r in plain.records)


def test_of_the_drawn_part_alone(colours: Path, tmp_path: Path) -> None:
    for i in range(4):
        (colours / "test" / "red" / f"{i}.png").write_bytes(b"no image")
    run = harness.run(suite(colours), store=tmp_path / "s", device="cpu", skip_unreadable=True, limit=5)
    assert run.records[0].count is not None
    left = 5 - run.records[0].count
    assert 1 <= left <= 4
    assert f"{left} of 5 samples" in run.records[0].remarks[0]


def test_nothing_readable_is_an_error(colours: Path, tmp_path: Path) -> None:
    for file in colours.glob("test/*/*.png"):
        file.write_bytes(b"")
    run = harness.run(suite(colours), store=tmp_path / "s", device="cpu", skip_unreadable=True)
    assert run.records[0].status == "failed"
    assert "none of its 8 samples can be read (first: " in (run.records[0].reason or "")


def test_what_was_out_of_reach_counts_again_once_it_can_be_read(colours: Path, tmp_path: Path) -> None:
    away = (colours / "test" / "red" / "0.png").rename(tmp_path / "away.png")
    (colours / "test" / "red" / "0.png").symlink_to(tmp_path / "nowhere.png")
    counts = []
    for _ in range(2):
        run = harness.run(
            suite(colours), store=tmp_path / "s", device="cpu", skip_unreadable=True, fresh=True
        )
        counts.append((run.records[0].count, len(run.records[0].remarks)))
        (colours / "test" / "red" / "0.png").unlink()
        away.rename(colours / "test" / "red" / "0.png") if away.exists() else None
    assert counts == [(7, 1), (8, 0)]


def test_the_option_travels_to_other_processes(colours: Path) -> None:
    plan = make_plan(parse_suite(suite(colours)), Choice(skip_unreadable=True))
    cell = plan.cells[0].cell
    assert pickle.loads(pickle.dumps(cell.dataset)).identity == cell.dataset.identity
    assert pickle.loads(pickle.dumps(cell.dataset)).skip_unreadable
    assert json.loads(cell.model.identity) == json.loads(  # type: ignore[union-attr]
        make_plan(parse_suite(suite(colours))).cells[0].cell.model.identity  # type: ignore[union-attr]
    )


def test_nested_data_sets_are_known_by_it_too(colours: Path) -> None:
    nested = {
        "plugin": "corrupted",
        "corruption": "fog",
        "dataset": {"plugin": "imagefolder", "path": str(colours)},
    }
    plans = [
        make_plan(parse_suite(suite(colours, datasets=[nested])), Choice(skip_unreadable=skip))
        for skip in (False, True)
    ]
    assert plans[0].cells[0].cell.id != plans[1].cells[0].cell.id


def test_on_the_command_line(colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged(colours)
    file = tmp_path / "read.toml"
    file.write_text(
        'name = "read"\nprotocol = "classification"\nmodels = ["redness"]\nmetrics = ["top1"]\n'
        f'datasets = [{{ plugin = "imagefolder", path = "{colours}", label = "d" }}]\n'
    )
    given = [str(file), "--store", str(tmp_path / "s")]
    assert main(["run", *given, "--device", "cpu"]) == 1
    assert "--skip-unreadable" in capsys.readouterr().err
    assert main(["run", *given, "--device", "cpu", "--skip-unreadable"]) == 0
    shown = capsys.readouterr()
    assert "83.3" in shown.out
    assert "2 of 8 samples can't be read and are left out" in shown.out
    assert main(["plan", *given, "--skip-unreadable"]) == 0
    assert "done" in capsys.readouterr().out


def test_links_to_themselves_pipes_and_devices_hold_nothing_up(colours: Path, tmp_path: Path) -> None:
    blue, red = colours / "test" / "blue", colours / "test" / "red"
    (blue / "loop.png").symlink_to("loop.png")
    (blue / "loop").symlink_to("loop")
    (red / "gone.png").symlink_to("nowhere.png")
    os.mkfifo(red / "pipe.png")
    (red / "linked.png").symlink_to("pipe.png")
    (red / "zero.png").symlink_to("/dev/zero")
    (red / "folder.jpg").mkdir()
    plain = harness.run(suite(colours), store=tmp_path / "s", device="cpu")
    assert {r.status for r in plain.records} == {"failed"}
    assert "blue/loop.png: can't be read" in str(plain.records[0].reason)
    run = harness.run(suite(colours), store=tmp_path / "s", device="cpu", skip_unreadable=True)
    for record in run.records:
        assert (record.status, record.count) == ("ok", 8)
        assert record.metrics["top1"] == pytest.approx(7 / 8)
        left, unreadable = record.remarks
        assert "4 of 14 files are not used" in left
        assert unreadable.startswith("d: 2 of 10 samples can't be read and are left out")


def test_what_took_the_place_of_an_image_is_not_waited_for(colours: Path) -> None:
    split = registry.load(registry.find("datasets", "imagefolder"))(colours).load("test")
    (colours / "test" / "blue" / "0.png").unlink()
    os.mkfifo(colours / "test" / "blue" / "0.png")
    with pytest.raises(harness.DataError, match=r"0\.png: can't be read \(a pipe or a device"):
        split[0]
