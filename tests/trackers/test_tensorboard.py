"""TensorBoard's event files, read back with TensorBoard's own reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.planning.suite import parse_suite
from harness.records.store import Store
from harness.running.hooks import hookimpl
from harness.running.runner import run
from harness_trackers.tensorboard import TensorBoard

pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")


def events_of(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    return events


def cells(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.rglob("events.out.tfevents.*"))


def text(events: Any, tag: str) -> str:
    (event,) = events.Tensors(f"{tag}/text_summary")
    return str(event.tensor_proto.string_val[0].decode())


@pytest.mark.parametrize("executor", ["inline", "processes:2"])
def test_what_was_told_stands_in_the_files(talks: dict[str, Any], tmp_path: Path, executor: str) -> None:
    outcome = run(
        parse_suite({**talks, "protocol": "talks?fails=1&steps=5&token=hush", "axes": {"api_key": ["hush"]}}),
        Store(tmp_path / "store"), device="cpu", executor=executor, listeners=["tensorboard?folder=events"],
    )  # fmt: skip
    assert outcome.problems == []
    good, bad = (events_of(folder) for folder in cells(tmp_path / "events" / "talk"))
    if "ok" not in text(good, "status"):
        good, bad = bad, good
    for seed, events in ((0, good), (1, bad)):
        losses = events.Scalars("training/loss")
        assert [e.step for e in losses] == list(range(5))
        assert [e.value for e in losses] == pytest.approx([1 / (1 + s + seed) for s in range(5)])
        (picture,) = events.Images("samples")
        assert (picture.step, picture.height, picture.width) == (7, 4, 6)
        assert pixels(picture.encoded_image_string).tolist() == np.full((4, 6, 3), 10 * seed).tolist()
    assert [e.value for e in good.Scalars("metrics/score")] == [0.25]
    assert good.Scalars("cost/training_seconds")[0].value == 1.5
    assert "metrics/score" not in bad.Tags()["scalars"]
    assert (text(good, "status"), text(bad, "status")) == ("ok", "failed: ValueError: deliberate")
    described = text(good, "cell")
    assert "| protocol_plugin.name | `talks/talks` |" in described
    assert "| protocol_plugin.options.steps | `5` |" in described
    assert "| protocol_plugin.options.token | `***` |" in described


def pixels(png: bytes) -> Any:
    import io

    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(png)))


def test_secrets_are_in_no_file(talks: dict[str, Any], tmp_path: Path) -> None:
    suite = {**talks, "protocol": "talks?token=hush-hush", "axes": {"api_key": ["hush-hush"]}}
    run(
        parse_suite(suite), Store(tmp_path / "store"), device="cpu", listeners=[TensorBoard(tmp_path / "events")],
        installed_listeners=False,
    )  # fmt: skip
    files = list((tmp_path / "events").rglob("events*"))
    assert len(files) == 2
    assert all(b"hush-hush" not in path.read_bytes() for path in files)


def test_only_cells_that_ran_have_a_folder(talks: dict[str, Any], tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    run(parse_suite(talks), store, device="cpu", installed_listeners=False)
    run(parse_suite(talks), store, device="cpu", listeners=[TensorBoard(tmp_path / "events")])
    assert cells(tmp_path / "events") == []


class Stops:
    @hookimpl
    def cell_curve(self, step: int) -> None:
        if step == 2:
            raise KeyboardInterrupt


def test_an_interrupt_closes_the_files(talks: dict[str, Any], tmp_path: Path) -> None:
    suite = {**talks, "seeds": [0], "protocol": "talks?steps=9"}
    board = TensorBoard(tmp_path / "events")
    with pytest.raises(KeyboardInterrupt):
        run(
            parse_suite(suite), Store(tmp_path / "store"), device="cpu", listeners=[Stops(), board],
            installed_listeners=False,
        )  # fmt: skip
    (folder,) = cells(tmp_path / "events")
    events = events_of(folder)
    assert [e.step for e in events.Scalars("training/loss")] == [0, 1, 2]
    assert text(events, "status") == "interrupted"
    assert board.open == {}
