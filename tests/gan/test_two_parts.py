"""Which samples train and which are compared with: also of data sets with one part, and of limited ones."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import harness
import harness_gan.judge_classifier
from harness.contract.running import Job
from harness.inference.split_subsets import draw_subset
from harness_data.stacked_images import Stacked, StackedSplit
from harness_gan.gan_splits import find_gan_splits
from harness_gan.two_parts import divide_split, ensure_two_parts


class Numbers:
    """A split whose n-th image is grey of value n."""

    def __init__(self, count: int) -> None:
        self.ids = [f"{n:03d}" for n in range(count)]
        self.targets = np.arange(count) % 10

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Any:
        image = np.full((8, 8), index, np.uint8)
        return harness.Sample(self.ids[index], image, int(self.targets[index]))


def job(splits: dict[str, Any]) -> Any:
    fields = dict.fromkeys(Job.__dataclass_fields__, None)
    return Job(**{**fields, "dataset": SimpleNamespace(splits=tuple(splits)), "splits": splits.__getitem__})


@pytest.mark.parametrize(
    ("splits", "wanted"),
    [
        (("Training", "valid"), ("Training", "valid")),
        (("test", "dev", "train"), ("train", "test")),
        (("test",), ("test", "test")),
        (("train", "extra"), ("train", "train")),
        (("all",), ("all", "all")),
    ],
)
def test_parts_are_found_under_their_other_names(splits: tuple[str, ...], wanted: tuple[str, str]) -> None:
    found = find_gan_splits(splits)
    assert (found.train, found.test) == wanted
    assert bool(found.remark) == (wanted[1] == "valid")


@pytest.mark.parametrize("splits", [(), ("amazon", "dslr"), ("val", "test")])
def test_what_to_learn_from_is_not_guessed_at(splits: tuple[str, ...]) -> None:
    assert "no split for training ('train'), which a GAN learns from" in str(find_gan_splits(splits).refusal)


@pytest.mark.parametrize("count", [2, 3, 10, 100])
def test_the_only_part_is_divided_and_nothing_is_in_both(count: int) -> None:
    train, test = divide_split(Numbers(count))
    assert len(test) == max(1, round(0.1 * count))
    assert sorted([*train.ids, *test.ids]) == Numbers(count).ids
    assert divide_split(Numbers(count))[1].ids == test.ids


def test_parts_of_their_own_are_kept() -> None:
    own = {"train": Numbers(5), "val": Numbers(4)}
    kept = ensure_two_parts(job(own))
    assert kept.splits("train") is own["train"]
    assert kept.splits("val") is own["val"]
    alone = ensure_two_parts(job({"test": Numbers(20)}))
    assert tuple(alone.dataset.splits) == ("train", "test")
    assert not set(alone.splits("train").ids) & set(alone.splits("test").ids)


def test_stacked_images_share_no_image_between_parts() -> None:
    train, test = divide_split(StackedSplit(Numbers(50), 300, "test"))
    seen = [{part.base.ids[r] for r in part.rows.ravel()} for part in (train, test)]
    assert not seen[0] & seen[1]
    assert len(train) == len(test) == 300


def test_limited_stacked_images_stay_stacked() -> None:
    whole = Stacked(SimpleNamespace(splits=("train", "test"), load=lambda name: Numbers(40)), 200).load(
        "train"
    )
    part = draw_subset(whole, 30, 0)
    again = ensure_two_parts(job({"train": part, "test": part})).splits("train")
    assert isinstance(again, StackedSplit)
    assert len(again) == 30
    assert again.targets.tolist() == part.targets.tolist()
    assert again.ids == part.ids
    for n in (0, 29):
        assert np.array_equal(again[n].image, part[n].image)
        assert again[n].label == part[n].label


def test_a_folder_without_a_test_part_is_not_compared_with_itself(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The floor is that of two sets; of one set with itself it would be 0 whatever the images are."""
    monkeypatch.setattr(harness_gan.judge_classifier, "STEPS", 5)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for n in range(20):
            pixels = rng.integers(0, 256, (10, 9, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{n}.png")
    record = toy.run(
        tmp_path / "store",
        protocol={"plugin": "gan", "steps": 2, "batch_size": 4, "size": 8, "samples": 20},
        models=[{"plugin": "gan-mlp", "hidden": 8, "layers": 1}],
        datasets=[{"plugin": "imagefolder", "path": str(tmp_path / "images")}],
        methods=toy.suite["methods"][:1],
        metrics=["frechet"],
        seeds=[0],
    ).records[0]
    assert record.notes["real_samples"] == {"train": 20, "test": 4}
    assert record.metrics["frechet.floor"] > 1e-3
