"""Training of segmenters: bit for bit after a kill, images and classes changed alike, weights of pixels."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from harness import DataError, Masks, OptionError, Sample
from harness.learning.training_progress import TrainingProgress
from harness.records.store import Store
from harness_dense.images_by_size import decode_only
from harness_segmentation.training_method import SegmenterTraining
from harness_segmentation.training_samples import TrainingSamples
from harness_segmenters.pixel_weights import balance_by_median, count_classes, weigh_gaps
from harness_segmenters.segmenter_base import pixel_loss
from tests.segmentation.conftest import NAMES, Patches, Run

SMALL = {"plugin": "small-segmenter", "width": 4, "depth": 2}
TRAINING = {
    "plugin": "segmenter-training", "steps": 8, "batch": 4, "optimizer": "adamw", "rate": 3e-3, "side": 0, "crop": 24,
    "balance": "median frequency", "gaps": 10.0, "checkpoint_every": 2,
}  # fmt: skip
UNLIKE = ("seconds", "per_second", "latency", "memory")


def read_numbers(record: Any, store: Store) -> dict[str, float]:
    found = {**record.metrics, **record.cost}
    for row in store.curves(record.id).itertuples():
        found[f"{row.curve}/{row.column}/{row.position}"] = row.value
    return {name: value for name, value in found.items() if not any(mark in name for mark in UNLIKE)}


@pytest.mark.parametrize("decoder", ["unet", "segnet", "dilated"])
def test_a_killed_training_continues_to_the_same_record(
    run: Run, decoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    updates: list[int] = []
    killed_at = -1
    real = TrainingProgress.add

    def counted(self: TrainingProgress, *given: Any) -> None:
        updates.append(1)
        if len(updates) == killed_at:
            raise KeyboardInterrupt
        real(self, *given)

    monkeypatch.setattr(TrainingProgress, "add", counted)
    parts: dict[str, Any] = {"models": [SMALL | {"decoder": decoder}], "methods": [TRAINING]}
    expected, undisturbed = run("undisturbed", "c1", **parts)
    assert expected.status == "ok", expected.reason
    assert len(updates) == 8
    updates.clear()
    killed_at = 6
    with pytest.raises(KeyboardInterrupt):
        run("killed", "c2", **parts)
    updates.clear()
    killed_at = -1
    found, store = run("killed", "c2", **parts)
    assert len(updates) < 6
    assert repr(read_numbers(found, store)) == repr(read_numbers(expected, undisturbed))
    assert store.samples(found.id).equals(undisturbed.samples(expected.id))
    assert not any("random weights" in text for text in found.remarks)


def test_a_batch_of_one_value_per_channel_is_explained(run: Run) -> None:
    record, _ = run(models=[SMALL], methods=[TRAINING | {"batch": 1, "crop": 4}])
    assert record.status == "failed"
    assert "batch norm needs more than one value per channel, and a batch of 1 image of" in record.reason


def test_a_short_training_finds_something(run: Run) -> None:
    longer = TRAINING | {
        "steps": 60,
        "batch": 12,
        "rate": 1e-2,
        "flip": 0.0,
        "scales": [1.0, 1.0],
        "gaps": 0.0,
    }
    record, store = run(models=[SMALL | {"width": 8}], methods=[longer])
    assert record.metrics["miou"] > 0.5
    assert record.notes["training_images"] == 12
    assert record.cost["steps"] == 60
    losses = store.curves(record.id).query("curve == 'training' and column == 'loss'")["value"].to_numpy()
    assert losses[-10:].mean() < 0.5 * losses[:10].mean()


class NamedSplit(Patches):
    """Patches whose classes have other names."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(3)
        self.class_names = names


PATCHES: Any = Patches(6)


def make_samples(split: Any = None, **options: Any) -> TrainingSamples:
    given: dict[str, Any] = {"side": 0, "scales": [1.0, 1.0], "crop": 0} | options
    method = SegmenterTraining(**given)
    job: Any = SimpleNamespace(
        cell=SimpleNamespace(dataset=SimpleNamespace(label="d")),
        dataset=None,
        shared=lambda key, make, of: make(),
    )
    return TrainingSamples(method, SimpleNamespace(prepare=decode_only), split or PATCHES, job)


@pytest.mark.parametrize(
    "options",
    [
        {"flip": 1.0},
        {"crop": 20},
        {"crop": 50},
        {"side": 48},
        {"scales": [0.5, 2.0], "crop": 16, "flip": 0.5},
    ],
    ids=["flip", "crop", "fill", "resize", "all"],
)
def test_classes_stay_with_their_pixels(options: dict[str, Any]) -> None:
    samples, data = make_samples(**({"flip": 0.0} | options)), PATCHES
    torch.manual_seed(0)
    for n in range(6):
        image, target = samples(data[n])
        assert image.shape[1:] == target.shape
        shown = torch.cat([torch.full_like(image[:1], 0.5), image]).argmax(0)
        counted = target != 255
        wrong = (shown != target)[counted].float().mean() if counted.any() else torch.tensor(0.0)
        assert wrong <= (0.06 if "side" in options or "scales" in options else 0)  # edges are blurred
        if "crop" in options:
            assert target.shape == (options["crop"], options["crop"])


def test_nothing_changes_without_options() -> None:
    samples, data = make_samples(flip=0.0), PATCHES
    image, target = samples(data[2])
    assert torch.equal(image, decode_only(data[2].image))
    assert np.array_equal(target.numpy(), data.targets[2].semantic)


def test_wrong_samples_are_named() -> None:
    samples = make_samples()
    small = Masks(semantic=np.zeros((2, 2), np.uint8))
    with pytest.raises(DataError, match="sample 'a': classes and image of the sizes 2×2 and 4×3"):
        samples(Sample("a", Image.new("RGB", (3, 4)), target=small))
    with pytest.raises(DataError, match="sample 'a' has no image"):
        samples(Sample("a", None, target=small))
    with pytest.raises(DataError, match="no class is called 'background'"):
        make_samples(NamedSplit(["ground", *NAMES[1:]]), gaps=10.0)


def test_frequencies_are_over_the_images_that_show_a_class() -> None:
    maps = [np.repeat([0, 1], [12, 4]), np.zeros(16, int)]
    counts = np.stack([count_classes(one, 3) for one in maps])
    assert balance_by_median(counts)[:2].tolist() == pytest.approx([0.642857, 2.25], abs=1e-6)
    assert balance_by_median(counts, "set")[:2].tolist() == pytest.approx([0.571429, 4], abs=1e-6)
    assert balance_by_median(counts)[2] == 1  # it never occurs
    assert count_classes(np.array([0, 255, 1, 255]), 2).tolist() == [1, 1]


@pytest.mark.parametrize(("gap", "added"), [(1, 9.2312), (5, 4.8675)])
def test_gaps_weigh_most_where_objects_nearly_touch(gap: int, added: float) -> None:
    labels = np.zeros((12, 40), np.uint8)
    labels[2:10, 4:12] = labels[2:10, 12 + gap : 20 + gap] = 1
    found = weigh_gaps(labels, background=0)
    between = found[2:10, 12 : 12 + gap]
    assert between.min() == pytest.approx(added, abs=1e-4)
    assert between.max() == pytest.approx(added, abs=1e-4)
    assert (found[labels == 1] == 0).all()
    labels[2:10, 12 + gap : 20 + gap] = 2
    assert np.array_equal(weigh_gaps(labels, background=0), found)  # of any classes
    labels[labels == 2] = 0
    assert (weigh_gaps(labels, background=0) == 0).all()


def test_weights_of_samples_are_those_of_classes_and_gaps() -> None:
    data = PATCHES
    plain, both = (
        make_samples(flip=0.0, balance="median frequency"),
        make_samples(flip=0.0, balance="median frequency", gaps=5.0),
    )
    counts = np.stack([count_classes(one.semantic, 4) for one in data.targets])
    expected = balance_by_median(counts)
    for n in range(6):
        _, target, weights = plain(data[n])
        counted = target != 255
        assert weights[counted].tolist() == pytest.approx(
            expected[target[counted].numpy()].tolist(), rel=1e-6
        )
        added = both(data[n])[2] - weights
        torch.testing.assert_close(
            added, torch.from_numpy(weigh_gaps(target.numpy(), 0, 5.0)), atol=1e-5, rtol=0
        )


def test_the_loss_is_the_weighted_mean_of_counted_pixels() -> None:
    torch.manual_seed(0)
    logits, targets, weights = torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5)), torch.rand(2, 4, 5)
    targets[0, 0] = 255
    by_class = torch.tensor([0.2, 1.0, 3.0])
    by_pixel = by_class[torch.where(targets == 255, 0, targets)]
    expected = torch.nn.functional.cross_entropy(logits, targets, by_class, ignore_index=255)
    torch.testing.assert_close(pixel_loss(logits, targets, by_pixel), expected)
    torch.testing.assert_close(pixel_loss(logits, targets, weights), pixel_loss(logits, targets, 7 * weights))
    assert pixel_loss(logits, torch.full_like(targets, 255), None) == 0


def test_the_recipe_is_that_of_torchvisions_reference() -> None:
    method = SegmenterTraining()
    recipe = method.build_recipe(1600, "float32")
    assert (recipe.steps, recipe.batch, recipe.rate, recipe.optimizer) == (3000, 16, 0.01, "sgd")
    assert (recipe.schedule, recipe.schedule_options, recipe.weight_decay) == ("poly", {"power": 0.9}, 1e-4)
    assert (method.side, method.scales, method.crop) == (520, [0.5, 2.0], 480)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flip": 2.0}, "flip must be from 0 to 1"),
        ({"rate": 0.0}, "rate must be above 0"),
        ({"scales": [2.0, 1.0]}, "a smallest and a largest factor"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0"),
        ({"gaps": -1.0}, "gaps must be at least 0"),
        ({"steps": 0}, "steps must be at least 1"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        SegmenterTraining(**options)
