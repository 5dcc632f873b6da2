"""Splits without the samples that can't be read."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.contract.data import EncodedImage, Sample
from harness.errors import DataError
from harness.inference.features import FeatureCache
from harness.inference.readable import find_unreadable, leave_out, open_readable_split


def png(level: int) -> bytes:
    out = io.BytesIO()
    Image.new("L", (3, 2), level).save(out, "PNG")
    return out.getvalue()


class Mixed:
    """Samples that are sound, damaged, out of reach, without an image, or of unknown range."""

    per_sample = ("notes",)

    def __init__(self, kinds: str) -> None:
        self.kinds = kinds
        self.ids = [f"s{n}" for n in range(len(kinds))]
        self.targets = np.arange(len(kinds))
        self.notes = [f"note {n}" for n in range(len(kinds))]
        self.remarks = ["made up"]

    def __len__(self) -> int:
        return len(self.kinds)

    def __getitem__(self, index: int) -> Sample:
        kind, name = self.kinds[index], self.ids[index]
        image: Any = {
            "s": EncodedImage(png(index), f"{name}.png"),
            "d": EncodedImage(png(index)[:40], f"{name}.png"),
            "n": None,
            "f": Image.new("F", (2, 2)),
        }.get(kind)
        if kind == "a":
            raise DataError(f"{name}.png: can't be read (no such file); remove it")
        if kind == "o":
            raise OSError("the disk is gone")
        return Sample(name, image, index)


def opened(split: Mixed, folder: Any, limit: int | None = None, skip: bool = True) -> tuple[Any, Any]:
    dataset: Any = SimpleNamespace(
        identity="{}", skip_unreadable=skip, object=SimpleNamespace(load=lambda name: split)
    )
    return open_readable_split(dataset, "test", limit, 2, FeatureCache(folder))


@given(st.text("sdanof", min_size=1, max_size=12))
def test_what_is_left_is_what_a_count_by_hand_gives(kinds: str) -> None:
    split = Mixed(kinds)
    sound = [n for n, kind in enumerate(kinds) if kind in "sn"]
    bad = find_unreadable(split, range(len(split)), 2)
    assert sorted(bad) == [n for n in range(len(kinds)) if n not in sound]
    assert all(split.ids[n] in text for n, text in bad.items())
    if not sound:
        with pytest.raises(DataError, match=f"none of its {len(kinds)} samples can be read"):
            leave_out(split, list(bad), 0)
        return
    left, said = leave_out(split, range(len(split)), 0)
    assert list(left.targets) == sound
    assert [left[n].label for n in range(len(left))] == sound
    assert list(left.ids) == [f"s{n}" for n in sound]
    assert left.notes == [f"note {n}" for n in sound]  # type: ignore[attr-defined]
    assert bool(said) == bool(bad)
    if bad:
        assert said[0].startswith(f"{len(bad)} of {len(kinds)} samples can't be read and ")
        assert bad[min(bad)] in said[0]
        assert "\n" not in said[0]


def test_a_split_is_opened_as_the_run_asks(tmp_path: Any) -> None:
    split = Mixed("sdss")
    whole, said = opened(split, tmp_path, skip=False)
    assert (whole, said) == (split, ["made up"])
    cut, said = opened(split, tmp_path)
    assert list(cut.ids) == ["s0", "s2", "s3"]
    assert cut.left_out == ("s1",)
    assert said[0] == "made up"
    assert said[1].startswith("1 of 4 samples can't be read and is left out (first: s1.png: ")
    part, _ = opened(split, tmp_path, limit=2)
    assert set(part.ids) <= {"s0", "s2", "s3"}


def test_sound_samples_are_read_once_for_all_runs(tmp_path: Any) -> None:
    split, read = Mixed("sdss"), list[int]()
    own = Mixed.__getitem__

    class Counted(Mixed):
        def __getitem__(self, index: int) -> Sample:
            read.append(index)
            return own(self, index)

    split = Counted("sdss")
    opened(split, tmp_path)
    assert sorted(read) == [0, 1, 1, 2, 3]  # what failed is tried again
    opened(split, tmp_path)
    assert sorted(read[5:]) == [1]
