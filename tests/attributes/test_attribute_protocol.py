"""The protocol and its methods, on images that show their attributes as bright squares."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

import harness
from harness.contract.data import Sample
from harness.discovery import registry
from harness.errors import DataError, OptionError
from harness_attributes.attribute_table import AttributeTable, check_side, read_attribute_table
from harness_attributes.contracts import AttributeTask
from harness_attributes.methods import DirectAttributePrediction, IndirectAttributePrediction

SIDE = 4
TABLE = np.array(
    [
        [1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 1, 1, 0], [0, 0, 0, 1],
        [1, 0, 0, 1], [0, 1, 1, 0],
    ],
    float,
)  # fmt: skip
"""Six seen classes and two unseen ones, with four attributes."""
UNSEEN = np.arange(8) > 5


class Described:
    """Eight classes, whose images have a square for each attribute; `fault` names what is wrong with the data."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.splits = (
            ("train", "test-unseen") if fault == "no test-seen" else ("train", "test-seen", "test-unseen")
        )

    def fingerprint(self):
        return f"described {self.fault}"

    def load(self, split):
        return DescribedImages(split, self.fault)


class DescribedImages:
    def __init__(self, split, fault, per_class=8):
        labels = range(6, 8) if split == "test-unseen" else range(6)
        self.targets = np.repeat(np.array(labels), per_class)
        self.ids = [f"{split}/{n:03d}" for n in range(len(self.targets))]
        values = TABLE[self.targets] * 160 + 40
        values += np.random.default_rng(len(split)).normal(0, 20, values.shape)
        squares = np.clip(values, 0, 255).astype(np.uint8).repeat(SIDE, axis=1)
        self.images = squares[:, None, :, None].repeat(SIDE, axis=1).repeat(3, axis=3)
        self.class_names = [f"class {n}" for n in range(8)]
        self.attribute_names = [f"square {n}" for n in range(4)]
        self.class_attributes, self.class_attributes_binary = TABLE * 100, TABLE.copy()
        self.unseen = UNSEEN.copy()
        if fault == "unseen class in train" and split == "train":
            self.targets[3] = 7
        if fault == "seen class in test-unseen" and split == "test-unseen":
            self.targets[3] = 2
        if fault == "constant":
            self.class_attributes_binary[:6, 3] = 1
        if fault == "twins":
            self.class_attributes_binary[7] = self.class_attributes_binary[6]
        if fault == "not described":
            del self.class_attributes
        if fault == "other names" and split == "test-unseen":
            self.class_names = self.class_names[::-1]

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        return Sample(self.ids[index], self.images[index], int(self.targets[index]))


class Brightness:
    """Embeds an image as the brightness of its squares, less the middle."""

    loaded = 0

    def __init__(self, broken: bool = False) -> None:
        self.broken = broken

    def load(self, device):
        type(self).loaded += 1

    def fingerprint(self):
        return f"brightness {self.broken}"

    def prepare(self, image):
        return torch.from_numpy(np.array(image.convert("RGB"), np.float32)).permute(2, 0, 1)

    def encode_image(self, images):
        return images[:, 0, 0, ::SIDE] / (255 * (1 - self.broken)) - 0.47


@pytest.fixture(autouse=True)
def plugins(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    with (
        registry.register_temporarily("datasets", "described", Described),
        registry.register_temporarily("models", "brightness", Brightness),
    ):
        yield


@pytest.fixture
def run(tmp_path):
    def run(setting="conventional", method="dap", fault="", metrics=("mean_per_class",), model="brightness"):
        suite = {
            "name": "described",
            "protocol": "attribute-classification",
            "models": [model],
            "datasets": [{"plugin": "described", "fault": fault}],
            "methods": [method],
            "metrics": list(metrics),
            "axes": {"setting": [setting]},
        }
        done = harness.run(suite, store=tmp_path / "store", device="cpu", executor="inline")
        return done.records[0]

    return run


@pytest.mark.parametrize("method", ["dap", "iap", {"plugin": "dap", "prior": "uniform"}])
def test_unseen_classes_are_told_apart_by_attributes_that_show(run, method):
    record = run(method=method)
    assert record.status == "ok", record.reason
    assert record.metrics == {"mean_per_class": 1}
    assert record.count == 16
    assert {k: record.notes[k] for k in ("candidates", "seen_classes", "attributes", "class_names")} == {
        "candidates": 2, "seen_classes": 6, "attributes": 4, "class_names": ["class 6", "class 7"],
    }  # fmt: skip


def test_generalised_setting(run):
    record = run("generalised", metrics=["harmonic-mean", "mean_per_class", "top1"])
    assert record.status == "ok", record.reason
    parts = {name: record.metrics[f"harmonic-mean.{name}"] for name in ("seen", "unseen", "harmonic")}
    assert parts["harmonic"] == pytest.approx(
        2 * parts["seen"] * parts["unseen"] / (parts["seen"] + parts["unseen"])
    )
    assert record.metrics["mean_per_class"] == pytest.approx((6 * parts["seen"] + 2 * parts["unseen"]) / 8)
    assert record.count == 64
    assert record.notes["candidates"] == 8
    assert parts["seen"] > 0.9


def test_metrics_of_the_other_setting_are_left_out(run):
    record = run(metrics=["harmonic-mean", "mean_per_class"])
    assert (record.status, set(record.metrics)) == ("ok", {"mean_per_class"})


def test_metrics_are_added_to_kept_predictions(run):
    first = run("generalised", metrics=["top1"])
    loaded = Brightness.loaded
    second = run("generalised", metrics=["top1", "harmonic-mean"])
    assert second.status == "ok", second.reason
    assert Brightness.loaded == loaded > 0
    assert second.metrics["top1"] == first.metrics["top1"]
    assert "harmonic-mean.harmonic" in second.metrics


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("unseen class in train", "split 'train': sample 'train/003' is of the unseen class 'class 7'"),
        ("seen class in test-unseen", "split 'test-unseen': sample 'test-unseen/003' is of the seen class 'class 2'"),
        ("not described", "does not describe its classes by attributes (no `class_attributes`)"),
        ("other names", "its splits name their classes differently: class 0 is 'class 0' in one, 'class 7' in another"),
    ],
)  # fmt: skip
def test_data_that_contradicts_itself_is_refused(run, fault, message):
    record = run(fault=fault)
    assert record.status == "failed"
    assert message in record.reason


def test_an_embedding_that_is_not_finite_is_named(run):
    record = run(model={"plugin": "brightness", "broken": True})
    assert record.status == "failed"
    assert "the model's embedding of sample 'train/000' is not finite, as 48 of 48 are" in record.reason


def test_attributes_and_classes_that_tell_nothing_are_remarked(run):
    constant = run(fault="constant")
    assert constant.notes["attributes"] == 3
    said = "1 of 4 attributes is left out, equal for all classes with training images that state them"
    assert any(said in text and "'square 3'" in text for text in constant.remarks), constant.remarks
    twins = run(fault="twins", method="iap")
    said = "1 candidate class has the attributes of another, and can't be predicted (first: 'class 6' and 'class 7')"
    assert any(said in text for text in twins.remarks), twins.remarks


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"axes": {"setting": ["generalised"]}}, "has no split 'test-seen', which the generalised setting needs"),
        ({"axes": {"setting": ["generalized"]}}, "there is no setting 'generalized'; did you mean 'generalised'"),
        ({"methods": ["template"]}, "needs a method: name one under `methods`, such as dap or iap"),
        ({"methods": ["zero-shot"]}, "does not encode texts"),
        ({"datasets": ["digits"]}, "has no split 'test-unseen', which the conventional setting needs"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_said_at_planning(changes, reason):
    suite = {
        "name": "described", "protocol": "attribute-classification", "models": ["brightness"], "methods": ["dap"],
        "datasets": [{"plugin": "described", "fault": "no test-seen"}], "metrics": ["mean_per_class"],
    } | changes  # fmt: skip
    (planned,) = harness.plan(suite)
    assert reason in planned.reason


def test_without_held_out_images_of_seen_classes_the_conventional_setting_remains(run):
    assert run(fault="no test-seen").metrics == {"mean_per_class": 1}


def test_zero_shot_names_are_the_classification_protocol_on_the_same_images(tmp_path):
    common = {
        "name": "names", "models": [{"plugin": "tiny-clip", "tower": "vit", "steps": 0}],
        "datasets": [{"plugin": "scene-attributes", "train": 2, "test": 2}], "metrics": ["top1"],
    }  # fmt: skip
    by_name = common | {
        "protocol": "attribute-classification", "methods": ["zero-shot"], "axes": {"setting": ["generalised"]},
    }  # fmt: skip
    (one,) = harness.run(by_name, store=tmp_path / "a", device="cpu").records
    assert one.status == "ok", one.reason
    right, count = 0, 0
    for split in ("test-seen", "test-unseen"):
        suite = common | {"protocol": {"plugin": "classification", "split": split}}
        (other,) = harness.run(suite, store=tmp_path / split, device="cpu").records
        right, count = right + other.metrics["top1"] * other.count, count + other.count
    assert (one.count, one.metrics["top1"]) == (count, pytest.approx(right / count))


def task_of(table, rng, per_class=6, width=5):
    """A task over random embeddings, with its classes' attributes; its remarks are in `job.said`."""
    unseen = np.arange(len(table)) >= len(table) - 2
    labels = np.repeat(np.flatnonzero(~unseen), per_class)
    features = rng.normal(size=(len(labels), width)) + rng.normal(size=(len(table), width))[labels]
    names = [f"c{n}" for n in range(len(table))]
    described = AttributeTable(names, [f"a{m}" for m in range(table.shape[1])], table, table, unseen)
    said = []
    cell = SimpleNamespace(dataset=SimpleNamespace(label="drawn"))
    job = SimpleNamespace(cell=cell, remark=said.append, said=said, advance=lambda done, total: None)
    return AttributeTask(job, described, features.astype(np.float32), labels, np.flatnonzero(unseen))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["seen classes", "uniform"]))
def test_methods_agree_with_brute_force_over_scikit_learns_probabilities(seed, prior):
    rng = np.random.default_rng(seed)
    table = rng.choice([0.0, 1.0, np.nan], (6, 4), p=[0.45, 0.45, 0.1])
    table[:2] = [0, 0, 0, 0], [1, 1, 1, 1]
    task = task_of(table, rng)
    images = rng.normal(size=(7, 5)).astype(np.float32)
    unit, x = (
        a / np.linalg.norm(a, axis=1, keepdims=True)
        for a in (images.astype(float), task.features.astype(float))
    )
    seen = table[:4]
    priors = np.array([np.mean(c[~np.isnan(c)]) if prior == "seen classes" else 0.5 for c in seen.T])

    direct = np.empty((7, 4))
    for m in range(4):
        y = table[task.labels, m]
        model = LogisticRegression(C=3.0, max_iter=1000).fit(x[~np.isnan(y)], y[~np.isnan(y)])
        direct[:, m] = model.predict_proba(unit)[:, 1]
    classes = LogisticRegression(C=3.0, max_iter=1000).fit(x, task.labels).predict_proba(unit)
    indirect = np.stack([classes[:, c == 1].sum(1) / classes[:, ~np.isnan(c)].sum(1) for c in seen.T], axis=1)

    for method, p in ((DirectAttributePrediction, direct), (IndirectAttributePrediction, indirect)):
        products = np.ones((7, 6))
        for c, m in np.argwhere(~np.isnan(table)):
            factor = p[:, m] / priors[m] if table[c, m] else (1 - p[:, m]) / (1 - priors[m])
            products[:, c] *= factor
        scores = method(strength=3.0, prior=prior).learn(task)(images)
        expected = products / products.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(softmax(scores, axis=1), expected, rtol=1e-6, atol=1e-9)


def test_two_seen_classes_are_enough():
    task = task_of(np.array([[1.0, 0], [0, 1], [1, 1], [0, 0]]), np.random.default_rng(1))
    scores = IndirectAttributePrediction().learn(task)(task.features)
    p = LogisticRegression(C=10.0, max_iter=1000)
    x = task.features / np.linalg.norm(task.features, axis=1, keepdims=True)
    expected = p.fit(x.astype(float), task.labels).predict_proba(x.astype(float))[:, 0]
    # class 11: p/½ · (1−p)/½, class 00 the same
    np.testing.assert_allclose(np.exp(scores[:, 2]), 4 * expected * (1 - expected), rtol=1e-4)
    np.testing.assert_allclose(scores[:, 2], scores[:, 3])


def test_no_attribute_that_differs_is_refused():
    task = task_of(np.ones((4, 2)), np.random.default_rng(1))
    with pytest.raises(DataError, match="no attribute differs between the classes to learn from"):
        DirectAttributePrediction().learn(task)


@pytest.mark.parametrize("strength", [0, -1, float("inf"), float("nan")])
def test_strength_is_checked(strength):
    with pytest.raises(OptionError, match="strength: must be above 0 and finite"):
        DirectAttributePrediction(strength=strength)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("class_attributes_binary", TABLE[:3], "expected `class_attributes_binary` of 8 classes × 4 attributes, got (3, 4)"),
        ("class_attributes_binary", TABLE * 2, "class 'class 0' has 2 for attribute 'square 0', expected 0, 1, or NaN"),
        ("class_attributes", TABLE.T, "expected `class_attributes` of 8 classes × 4 attributes, got (4, 8)"),
        ("unseen", UNSEEN.astype(int), "expected `unseen` to be true or false for each of 8 classes"),
        ("unseen", np.arange(8) > 6, "needs two unseen classes or more, has 1"),
        ("unseen", np.arange(8) > 0, "needs two seen classes or more, has 1"),
        ("class_names", None, "does not name its classes"),
    ],
)  # fmt: skip
def test_descriptions_are_checked(name, value, message):
    split = DescribedImages("train", "")
    setattr(split, name, value)
    with pytest.raises(DataError) as caught:
        read_attribute_table(split, "here")
    assert str(caught.value).startswith("here: ")
    assert message in str(caught.value)


def test_labels_outside_the_classes_are_named():
    split = DescribedImages("train", "")
    table = read_attribute_table(split, "here")
    split.targets[5] = 8
    with pytest.raises(DataError, match="here: sample 'train/005' has label 8 of 8 classes"):
        check_side(table, split, False, "here")
