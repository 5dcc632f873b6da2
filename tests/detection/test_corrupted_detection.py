"""mPC and rPC from records, and what corruptions do to boxes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness import OptionError
from harness_data.corrupted import Corrupted
from harness_data.corruptions.constants import CORRUPTIONS
from harness_detection.corrupted_summary import CorruptedDetection
from tests.detection.conftest import RectangleSet

AP = "coco-ap.AP"


def make_records(
    value: Any, severities: range = range(1, 6), names: Any = CORRUPTIONS, clean: float = 0.5
) -> pd.DataFrame:
    rows = [{"dataset": "coco", AP: clean}]
    rows += [
        {
            "dataset": f"{name} {s}", AP: value(name, s), "tag.dataset.reference": "coco",
            "tag.dataset.corruption": name, "tag.dataset.severity": s,
        }
        for name in names for s in severities
    ]  # fmt: skip
    return pd.DataFrame([{"model": "m", "method": None, "seed": 0, "status": "ok", **row} for row in rows])


def read(table: pd.DataFrame) -> dict[str, float]:
    return dict(zip(table["metric"], table["value"]))


def test_means_over_the_benchmark() -> None:
    table = CorruptedDetection()(
        make_records(lambda name, s: 0.5 - 0.1 * s + 0.1 * (name in ("zoom_blur", "elastic_transform")))
    )
    found = read(table)
    assert found["clean"] == 0.5
    assert found["mpc"] == pytest.approx(0.2 + 0.2 / 15)
    assert found["rpc"] == pytest.approx(found["mpc"] / 0.5)
    assert found["mpc_still"] == pytest.approx(0.2)
    assert found["rpc_still"] == pytest.approx(0.4)
    counts = dict(zip(table["metric"], table["count"]))
    assert (counts["mpc"], counts["mpc_still"]) == (75, 65)
    assert set(table["note"]) == {""}
    assert set(table["dataset"]) == {"coco"}


def test_gaps_are_noted() -> None:
    records = make_records(lambda name, s: 0.1 * s, names=["fog", "snow"])
    records = records[~((records["tag.dataset.corruption"] == "fog") & (records["tag.dataset.severity"] > 1))]
    table = CorruptedDetection()(records)
    found = read(table)
    assert found["mpc"] == pytest.approx((0.1 + 0.3) / 2)  # corruptions weigh the same
    note = str(table["note"].iloc[1])
    assert "over 2 of 15 corruptions, without gaussian_noise, shot_noise" in note
    assert "not all severities of fog" in note
    one = CorruptedDetection(severities=[3])(records)
    assert read(one)["mpc"] == pytest.approx(0.3)
    assert "severities 3 only" in str(one["note"].iloc[1])
    with pytest.raises(OptionError, match="severities must be from 1 to 5"):
        CorruptedDetection(severities=[6])


def test_nothing_is_divided_by_zero() -> None:
    assert math.isnan(read(CorruptedDetection()(make_records(lambda name, s: 0.0, clean=0.0)))["rpc"])


def test_seeds_are_averaged_and_models_kept_apart() -> None:
    one, other = make_records(lambda name, s: 0.2), make_records(lambda name, s: 0.4, clean=1.0)
    again = other.assign(model="m", seed=1)
    table = CorruptedDetection()(pd.concat([one, again, other.assign(model="n")]))
    found = table.set_index(["model", "metric"])["value"]
    assert found["m", "mpc"] == pytest.approx(0.3)
    assert found["m", "clean"] == 0.75
    assert found["n", "rpc"] == pytest.approx(0.4)


def test_what_is_missing_is_told() -> None:
    records = make_records(lambda name, s: 0.2)
    table = CorruptedDetection()(records[records["dataset"] != "coco"])
    assert read(table)["mpc"] == pytest.approx(0.2)
    assert math.isnan(read(table)["rpc"])
    assert "no clean number on 'coco'" in str(table.set_index("metric")["note"]["rpc"])
    with pytest.raises(OptionError, match=r"no metric 'coco-ap.ap'.*coco-ap.AP"):
        CorruptedDetection("coco-ap.ap")(records)


def test_boxes_and_masks_stay() -> None:
    clean = RectangleSet()
    split = Corrupted(clean, "fog", 3).load("test")
    assert split.targets is clean.load("test").targets
    sample = split[1]
    assert sample.target is clean.load("test").targets[1]
    assert (sample.image.height, sample.image.width) == tuple(sample.target.masks[0]["size"])
    assert not np.array_equal(np.asarray(sample.image), clean.load("test").pixels[1])
    assert Corrupted(clean, "fog").target_kind == "boxes"


def test_moved_pixels_are_remarked_and_crops_refused() -> None:
    clean = RectangleSet()
    assert any("moves pixels" in text for text in Corrupted(clean, "zoom_blur").remarks)
    assert not any("moves pixels" in text for text in Corrupted(clean, "fog").remarks)
    with pytest.raises(OptionError, match="imagenet_crop would leave"):
        Corrupted(clean, "fog", imagenet_crop=True)
