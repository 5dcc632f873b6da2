"""Tables of media: labels, sets and bins are read right, and no group is in two splits."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness import DataError, OptionError
from harness.testing import DatasetConformance
from harness_data.media_rows import MediaRow, space_evenly
from harness_data.media_splits import divide_by_time
from harness_data.media_table import MediaTable


def frame(path: Path, grey: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (grey, grey, grey)).save(path)


def write(folder: Path, rows: list[dict[str, Any]], suffix: str = ".jsonl") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"items{suffix}"
    if suffix == ".csv":
        lines = [",".join(rows[0]), *(",".join(str(v) for v in row.values()) for row in rows)]
    else:
        lines = [json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n")
    frame(folder / "a.png", 10)
    frame(folder / "b.png", 20)
    return path


def item(n: int, split: str = "train", **more: Any) -> dict[str, Any]:
    return {"id": f"v{n}", "title": f"title {n}", "frames": "a.png;b.png", "split": split, **more}


class TestMediaTable(DatasetConformance):
    @pytest.fixture(params=["label", "several", "number"])
    def dataset(self, request: pytest.FixtureRequest, tmp_path: Path) -> MediaTable:
        rows = [
            item(n, "train" if n < 6 else "test", genre="x;y" if n % 2 else "y", views=n, film=f"f{n // 2}")
            for n in range(10)
        ]
        write(tmp_path / "t", rows, ".csv")
        options: dict[str, Any] = {
            "label": {"label_column": "genre"}, "several": {"label_column": "genre", "several": True},
            "number": {"number_column": "views", "bins": 3},
        }  # fmt: skip
        return MediaTable(tmp_path / "t", group_column="film", **options[request.param])


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_bins_are_quantiles_of_the_training_split_alone(tmp_path, suffix):
    rows = [item(n, views=n) for n in range(1, 9)] + [
        item(n + 100, "test", views=v) for n, v in enumerate((0, 2.75, 3, 1e6))
    ]
    data = MediaTable(write(tmp_path / "t", rows, suffix), number_column="views", bins=4)
    train, test = data.load("train"), data.load("test")
    # quartiles of 1 … 8 by linear interpolation: 2.75, 4.5, 6.25
    assert train.class_names == ["up to 2.75", "over 2.75 up to 4.5", "over 4.5 up to 6.25", "over 6.25"]
    assert train.targets.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert test.targets.tolist() == [0, 0, 1, 3]
    assert train.ordered
    assert "bins are 4 quantiles of 'train', cut at 2.75, 4.5, 6.25" in train.remarks
    assert "items of 'test' by bin: 2, 1, 0, 1" in train.remarks


def test_equal_quantiles_count_once(tmp_path):
    rows = [item(n, views=v) for n, v in enumerate([0, 0, 0, 0, 0, 0, 5, 9])]
    data = MediaTable(write(tmp_path / "t", rows), number_column="views", bins=4).load("train")
    assert data.class_names == ["up to 0", "over 0 up to 1.25", "over 1.25"]
    assert data.targets.tolist() == [0] * 6 + [2, 2]
    assert any("there are 3 bins, not 4" in remark for remark in data.remarks)


def test_numbers_that_are_all_alike_are_refused(tmp_path):
    path = write(tmp_path / "t", [item(n, views=3) for n in range(4)])
    with pytest.raises(DataError, match="too alike"):
        MediaTable(path, number_column="views").load("train")


def test_sets_texts_and_frames(tmp_path):
    rows = [
        item(0, genres="drama; comedy", year=1999), item(1, genres=["drama"], frames=["b.png"]),
        item(2, "test", genres="war", frames="shots"), item(3, genres=""),
    ]  # fmt: skip
    path = write(tmp_path / "t", rows)
    for n in (2, 1, 0):
        frame(tmp_path / "t/shots" / f"{n}.png", 10 * n)
    data = MediaTable(path, label_column="genres", several=True, text_columns=["year"], most_frames=2)
    train, test = data.load("train"), data.load("test")
    assert train.class_names == ["comedy", "drama", "war"]
    assert train.targets.tolist() == [[1, 1, 0], [0, 1, 0]]
    assert train.titles == ["title 0\nyear: 1999", "title 1"]
    assert [Path(image.name).name for image in test[0].images] == ["0.png", "2.png"]
    assert [len(train[n].images) for n in range(2)] == [2, 1]
    said = "\n".join(train.remarks)
    assert "1 of 3 items of 'train' have no label, and are left out" in said
    assert "1 of 4 items have more than 2 frames" in said
    assert "1 of 3 labels do not occur in 'train': war" in said


def test_a_group_in_two_splits_is_refused(tmp_path):
    rows = [item(0, label="x", film="Alien"), item(1, "test", label="y", film="Alien")]
    path = write(tmp_path / "t", rows)
    with pytest.raises(DataError, match=r"'film: Alien' is in split 'train' \(.*:1\) and in 'test' \(.*:2\)"):
        MediaTable(path, label_column="label", group_column="film").load("test")


def test_by_time_groups_are_where_their_last_item_is(tmp_path):
    rows = [
        item(n, label="xy"[n % 2], channel=channel, day=f"2024-01-{n + 1:02d}")
        for n, channel in enumerate(["a", "b", "a", "c", "c", "d", "d", "a", "e", "e"])
    ]
    data = MediaTable(
        write(tmp_path / "t", rows),
        label_column="label",
        group_column="channel",
        date_column="day",
        test_share=0.3,
    )
    assert data.load("test").ids == ["v7", "v8", "v9"]
    assert data.load("train").ids == ["v1", "v3", "v4", "v5", "v6"]  # channel a has an item in the test split
    assert (
        "2 earlier items are left out, because their groups have items in 'test'" in data.load("test").remarks
    )


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 6)), min_size=1, max_size=40),
    st.floats(0.05, 0.95),
)
def test_by_time_no_group_crosses_and_all_of_train_is_older(drawn, share):
    start = datetime(2024, 1, 1, tzinfo=UTC)
    rows = [
        MediaRow(str(n), "", (), str(group), None, start + timedelta(days=day), "x", str(n))
        for n, (day, group) in enumerate(drawn)
    ]
    cut = sorted(row.date for row in rows if row.date)[min(len(rows) - 1, int(len(rows) * (1 - share)))]
    late = {row.group for row in rows if row.date and row.date >= cut}
    if all(row.group in late for row in rows):
        with pytest.raises(DataError, match="no item is left for 'train'"):
            divide_by_time(rows, share, "table")
        return
    divided, _ = divide_by_time(rows, share, "table")
    train, test = divided["train"], divided["test"]
    assert not {row.group for row in train} & {row.group for row in test}
    assert max(row.date for row in train if row.date) < min(row.date for row in test if row.date)
    assert len(test) >= int(len(rows) * share)


@given(st.integers(0, 50), st.integers(1, 12))
def test_frames_are_evenly_spaced(count, most):
    found = space_evenly(count, most)
    assert len(found) == min(count, most) == len(set(found))
    assert all(0 <= place < count for place in found)
    assert not found or np.ptp(np.diff([-1 - found[0], *found])[1:] if len(found) > 1 else [0]) <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"views": "many"}, "items.jsonl:1: 'many' is no number"),
        ({"frames": "../a.png"}, "items.jsonl:1: frame '../a.png' is not below"),
        ({"frames": 3}, "frames are a int"),
        ({"id": "v1"}, "items.jsonl:2: id 'v1' is at"),
        ({"split": None}, "items.jsonl:1: names no split"),
    ],
)
def test_bad_rows_are_named(tmp_path, change, message):
    path = write(tmp_path / "t", [{**item(0, views=1), **change}, item(1, views=2), item(2, views=3)])
    with pytest.raises(DataError) as caught:
        MediaTable(path, number_column="views").load("train")
    assert message in str(caught.value)


def test_bad_options_are_refused(tmp_path):
    path = write(tmp_path / "t", [item(0, label="x"), item(1, label="y")])
    with pytest.raises(OptionError, match="either a label_column or a number_column"):
        MediaTable(path)
    with pytest.raises(OptionError, match="that would tell it"):
        MediaTable(path, label_column="label", text_columns=["label"])
    with pytest.raises(OptionError, match="no column 'lable'; did you mean 'label'"):
        MediaTable(path, label_column="lable").load("train")
    assert "no such table" in str(MediaTable(tmp_path / "none", label_column="x").unavailable())
