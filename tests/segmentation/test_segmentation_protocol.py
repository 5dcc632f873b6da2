"""The protocol `segmentation` with a model that knows every pixel: what counts, what is left out, what is kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from PIL import Image

import harness
from harness import DataError, Masks, OptionError
from harness_dense.pictures import VERMILION
from harness_segmentation.protocol import Segmentation
from harness_segmentation.segmenting import CountedClasses, check_logits, choose_classes
from harness_segmentation.truths import read_classes
from tests.segmentation.conftest import NAMES, Colours, Patches, PatchSet, Run


def test_all_is_right_and_kept(run: Run) -> None:
    record, store = run()
    assert record.status == "ok", record.reason
    assert {
        name: record.metrics[name] for name in ("miou", "boundary-iou", "pixel-accuracy")
    } == pytest.approx({"miou": 1, "boundary-iou": 1, "pixel-accuracy": 1})
    assert record.count == 9
    assert record.notes["background"] == "counted"
    assert record.notes["uncounted_pixels"] == 9 * 32
    assert [row["iou"] for row in record.notes["iou_by_class"].values()] == [1] * 4
    assert sum(row["share"] for row in record.notes["iou_by_class"].values()) == pytest.approx(1)
    samples = store.samples(record.id)
    assert samples["iou"].tolist() == samples["accuracy"].tolist() == [1] * 9
    assert record.cost["latency_p95_ms"] >= record.cost["latency_ms"] > 0
    assert len(list(store.images(record.id))) == 1
    assert {len(column) for _, column in store.resamples(record.id).items()} == {1000}


def test_wrong_pixels_are_counted_where_they_are(run: Run) -> None:
    record, store = run(models=[{"plugin": "colours", "blind_rows": 12}])
    split = PatchSet.content["test"]
    wrong = {
        name: int((np.asarray(one.semantic)[:12] % 255 > 0).sum())
        for name, one in zip(split.ids, split.targets, strict=True)
    }
    samples = store.samples(record.id)
    found = ((1 - samples["accuracy"]) * samples["pixels"]).round().astype(int)
    assert dict(zip(samples["id"], found, strict=True)) == wrong
    assert record.metrics["pixel-accuracy"] == pytest.approx(
        1 - sum(wrong.values()) / samples["pixels"].sum()
    )


def test_a_frozen_model_sees_the_images_once_and_batches_change_nothing(run: Run) -> None:
    models = [{"plugin": "colours", "blind_rows": 9}]
    first, _ = run(protocol={"batch": 2}, models=models)
    # the clocks first: three to warm up, one timed; at last what is pictured
    assert Colours.calls == [1] * 4 + [2, 2, 2, 2, 1] + [1]
    again, _ = run(store="other", protocol={"batch": 4}, models=models)
    assert len(Colours.calls) == 10
    new, _ = run(store="t", cache="new", protocol={"batch": 4}, models=models)
    assert first.metrics == again.metrics == new.metrics


def test_classes_are_matched_by_name(run: Run) -> None:
    models = [{"plugin": "colours", "names": ["__background__", "RED", "grün", "sky"]}]
    record, _ = run(models=models, protocol={"aliases": ["green=Grün"]})
    assert record.notes["classes_not_known"] == ["blue"]
    assert record.notes["iou_by_class"]["blue"]["iou"] == 0
    assert record.notes["iou_by_class"]["green"]["iou"] == 1
    assert record.metrics["miou"] < 0.76
    text = " ".join(record.remarks)
    assert "does not know 1 of 4 classes: not found ('blue')" in text
    assert "of 1 class that the data set does not have" in text


def test_the_background_may_be_left_out(run: Run) -> None:
    record, _ = run(models=[{"plugin": "colours", "blind_rows": 40}], protocol={"background": "left out"})
    assert set(record.notes["iou_by_class"]) == set(NAMES[1:])
    assert record.notes["background"] == "left out"
    assert any("3 classes are measured" in text for text in record.remarks)
    # all colours score alike, so that the first is taken: red is found, and all else is red
    assert record.notes["iou_by_class"]["green"]["iou"] == 0
    assert record.metrics["pixel-accuracy"] == pytest.approx(record.notes["iou_by_class"]["red"]["share"])


class PartlyBlank(PatchSet):
    """Patches of which some images, from the first on, have no class that counts."""

    def __init__(self, blank: int) -> None:
        self.blank = blank

    def load(self, split: str) -> Patches:
        made = Patches(4)
        made.targets[: self.blank] = [
            Masks(semantic=np.full_like(one.semantic, 255)) for one in made.targets[: self.blank]
        ]
        return made


def test_images_without_a_pixel_that_counts_are_told(run: Run) -> None:
    harness.register("datasets", "partly-blank", PartlyBlank)
    some, _ = run("a", datasets=[{"plugin": "partly-blank", "blank": 1}])
    assert some.metrics["miou"] == 1
    assert any("no pixel counts in 1 of 4 images" in text for text in some.remarks)
    none, _ = run("b", datasets=[{"plugin": "partly-blank", "blank": 4}])
    assert none.status == "failed"
    assert "no pixel of the split 'test' counts" in none.reason


def test_the_largest_of_several_outputs_counts() -> None:
    logits = torch.tensor([0.0, 2.0, 1.0]).view(3, 1, 1)
    classes = CountedClasses(["a", "b", "c"], np.arange(3, dtype=np.uint8), np.array([0, 1, 0]))
    predicted, confidence = choose_classes(logits, classes)
    assert predicted.item() == 1
    assert confidence.item() == pytest.approx(1 / (1 + np.exp(-1)))  # of 2 and 1; the class c is unknown


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        ([torch.zeros(3, 4, 5)], "segment returned 1 maps for 2 images"),
        ([torch.zeros(3, 4, 5), torch.zeros(2, 4, 5)], "sample 'b': .* returned 2×4×5, expected 3×4×5"),
        ([torch.zeros(4, 4, 5)] * 2, "sample 'a': .* returned 4×4×5, expected 3×4×5"),
        ([torch.zeros(3, 5, 4)] * 2, "sample 'a': .* returned 3×5×4, expected 3×4×5"),
        ([torch.full((3, 4, 5), torch.nan)] * 2, "sample 'a': .* not numbers"),
    ],
)
def test_what_is_no_logits_of_the_images_is_refused(logits: list[torch.Tensor], message: str) -> None:
    images = [torch.zeros(3, 4, 5)] * 2
    check_logits([torch.zeros(3, 4, 5)] * 2, images, 3, ["a", "b"])
    with pytest.raises(DataError, match=message):
        check_logits(logits, images, 3, ["a", "b"])


class Forgetful(Colours):
    """Says nothing of the last image of a batch."""

    def segment(self, images: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        found = super().segment(images)
        return found[:-1] if len(found) > 1 else found


def test_a_model_that_forgets_an_image_fails(run: Run) -> None:
    """Its answers would be those of other images from there on."""
    harness.register("models", "forgetful", Forgetful)
    record, _ = run(models=["forgetful"], protocol={"batch": 3})
    assert record.status == "failed"
    assert "2 maps for 3 images" in record.reason


def test_pictures_are_of_the_worst_and_of_typical_images_and_show_what_is_wrong(run: Run) -> None:
    record, store = run(
        models=[{"plugin": "colours", "blind_rows": 12}], protocol={"pictures": 4, "batch": 3}
    )
    pictures = record.notes["pictures"]
    assert list(pictures) == ["most-wrong-1", "typical-1", "most-wrong-2", "typical-2"]
    accuracy = store.samples(record.id).set_index("id")["accuracy"]
    assert [pictures["most-wrong-1"], pictures["most-wrong-2"]] == accuracy.sort_values(kind="stable").index[
        :2
    ].tolist()
    split = PatchSet.content["test"]
    for path in store.images(record.id):
        truth = split.targets[split.ids.index(pictures[path.stem])].semantic
        assert truth is not None
        with Image.open(path) as image:
            pixels = np.array(image)
        factor = -(-192 // min(truth.shape))
        wrong = int((truth[:12] % 255 > 0).sum())
        assert (pixels == VERMILION).all(axis=-1).sum() == wrong * factor**2


def test_confusions_of_pixels_are_kept(run: Run) -> None:
    record, store = run(models=[{"plugin": "colours", "blind_rows": 12}])
    assert record.notes["class_names"] == list(NAMES)
    curves = store.curves(record.id)
    counts = curves[curves["curve"] == "confusion"].pivot(index="position", columns="column", values="value")
    assert counts["count"].sum() == store.samples(record.id)["pixels"].sum()
    right = counts["target"] == counts["prediction"]
    assert counts["count"][right].sum() / counts["count"].sum() == pytest.approx(
        record.metrics["pixel-accuracy"]
    )
    assert (counts["prediction"][~right] == 0).all()


def test_wrong_truths_are_named() -> None:
    with pytest.raises(DataError, match="sample 'x': it has the class 7; the data set has 4 classes"):
        read_classes(Masks(semantic=np.array([[0, 7]])), "x", 4)
    with pytest.raises(DataError, match="sample 'x': it has no classes of pixels"):
        read_classes(Masks(instances=np.zeros((1, 2, 2), bool), labels=np.zeros(1, int)), "x", 4)


@pytest.mark.parametrize(
    ("options", "message"), [({"batch": 0}, "batch must be at least 1"), ({"aliases": ["tv"]}, "not 'tv'")]
)
def test_wrong_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Segmentation(**options)  # type: ignore[arg-type]


def test_what_can_not_segment_is_refused(planted: None) -> None:
    suite = {
        "name": "s",
        "protocol": "segmentation",
        "models": ["tiny-vit"],
        "datasets": ["patches"],
        "metrics": [],
    }
    (planned,) = harness.plan(suite)
    assert "segment" in str(planned.reason)
    (planned,) = harness.plan(suite | {"models": ["small-segmenter"]})
    assert "segmenter-training" in str(planned.reason)
    (planned,) = harness.plan(suite | {"models": ["colours"], "methods": ["segmenter-training"]})
    assert "learn" in str(planned.reason)
