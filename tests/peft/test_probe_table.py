"""What the linear-probe table needs: its metrics, VOC 2007, validation splits of the data's own."""

from __future__ import annotations

import json

import numpy as np
import pytest

import harness
from harness.contract.evidence import Predictions
from harness.errors import DataError, OptionError, Unavailable
from harness_data.voc2007 import CLASSES, VOC2007
from harness_metrics.label_set_metrics import (
    MeanAveragePrecision11,
    MeanTop1Top5,
    RocAuc,
    average_precision_11,
)
from harness_metrics.label_sets import LabelSets, check_label_set_metrics
from harness_peft.prepared_splits import JoinedSplit
from harness_peft.summaries import OwnMetric
from harness_peft.swept_probe import SweptProbe


def kit(scores, targets):
    """The loop of the VOC 2007 development kit, written out."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    hits = misses = 0
    points = []
    for i in order:
        hits, misses = hits + (targets[i] == 1), misses + (targets[i] != 1)
        points.append((hits, hits / (hits + misses)))
    total = sum(t == 1 for t in targets)
    best = [max((p for h, p in points if 10 * h >= tenth * total), default=0.0) for tenth in range(11)]
    return sum(best) / 11


def test_11_point_precision_is_the_kits():
    # four samples, positives ranked first and third: precision 1 up to recall 0.5, then 2/3
    assert average_precision_11(np.array([0.9, 0.8, 0.7, 0.1]), np.array([1, 0, 1, 0])) == pytest.approx(
        (6 * 1 + 5 * 2 / 3) / 11
    )
    rng = np.random.default_rng(0)
    for size in (5, 10, 37, 200):
        scores, targets = rng.permutation(size) / size, rng.integers(0, 2, size)
        targets[0] = 1
        assert average_precision_11(scores, targets) == pytest.approx(kit(scores, targets))
    assert np.isnan(average_precision_11(np.ones(3), np.zeros(3)))


def test_mean_average_precision_leaves_difficult_samples_out():
    rng = np.random.default_rng(1)
    scores, targets = rng.normal(size=(40, 3)), rng.integers(0, 2, (40, 3))
    marked = targets.copy()
    marked[::4, 1] = -1
    each = [kit(scores[marked[:, c] >= 0, c], marked[marked[:, c] >= 0, c]) for c in range(3)]
    assert MeanAveragePrecision11()(LabelSets(scores, marked, [])) == pytest.approx(np.mean(each))
    empty = np.zeros((4, 2), int)
    with pytest.raises(DataError, match="no class"):
        MeanAveragePrecision11()(LabelSets(np.zeros((4, 2)), empty, []))


def predictions(logits, targets):
    return Predictions(np.asarray(logits, float), np.asarray(targets), [str(i) for i in range(len(targets))])


def test_roc_auc_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(2)
    logits, targets = rng.normal(size=(60, 2)), rng.integers(0, 2, 60)
    margin = logits[:, 1] - logits[:, 0]
    pairs = [float(p > n) for p in margin[targets == 1] for n in margin[targets == 0]]
    assert RocAuc()(predictions(logits, targets)) == pytest.approx(np.mean(pairs))
    with pytest.raises(DataError, match="two classes"):
        RocAuc()(predictions(np.zeros((2, 3)), [0, 1]))
    with pytest.raises(DataError, match="both classes"):
        RocAuc()(predictions(np.zeros((2, 2)), [1, 1]))


def test_mean_of_top_1_and_top_5():
    logits = -np.arange(8.0)[None].repeat(8, 0)
    found = MeanTop1Top5().per_sample(predictions(logits, range(8)))
    assert found.tolist() == [1, 0.5, 0.5, 0.5, 0.5, 0, 0, 0]
    assert MeanTop1Top5()(predictions(logits, range(8))) == pytest.approx((1 / 8 + 5 / 8) / 2)


def test_a_metric_for_other_labels_is_named():
    check_label_set_metrics({"map_11point": MeanAveragePrecision11()}, LabelSets, "VOC")
    with pytest.raises(OptionError, match="'roc_auc' reads Predictions, but VOC has several labels"):
        check_label_set_metrics({"roc_auc": RocAuc()}, LabelSets, "VOC")
    with pytest.raises(OptionError, match="has one label"):
        check_label_set_metrics({"map_11point": MeanAveragePrecision11()}, Predictions, "digits")


def test_probe_of_label_sets_is_a_regression_for_each_class():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(3)
    features, targets = rng.normal(size=(50, 4)), rng.integers(0, 2, (50, 3))
    targets[:10, 0], targets[:, 2] = -1, 0
    weight, bias = SweptProbe().solve(features, targets, 3, 0.01)
    for c, kept in ((0, slice(10, None)), (1, slice(None))):
        n = len(targets[kept])
        own = LogisticRegression(C=1 / (0.01 * n), tol=1e-8).fit(features[kept], targets[kept, c])
        wanted = own.decision_function(features)
        assert np.abs(features @ weight[c] + bias[c] - wanted).max() < 1e-2
    assert (features @ weight[2] + bias[2] < -1000).all()  # nobody has the last class


@pytest.fixture
def voc(tmp_path):
    """Images whose red, green and blue halves stand for the first three classes; some of them difficult."""
    from PIL import Image

    base = tmp_path / "data" / "VOCdevkit" / "VOC2007"
    (base / "ImageSets" / "Main").mkdir(parents=True)
    (base / "JPEGImages").mkdir()
    rng = np.random.default_rng(0)
    number = 0
    for split, size in (("train", 40), ("val", 20), ("test", 30)):
        ids, has = [], rng.integers(0, 2, (size, 3))
        for row in has:
            number += 1
            ids.append(f"{number:06d}")
            pixels = rng.integers(0, 40, (32, 32, 3)) + 200 * row
            Image.fromarray(pixels.astype(np.uint8)).save(base / "JPEGImages" / f"{ids[-1]}.jpg")
        lists = base / "ImageSets" / "Main"
        (lists / f"{split}.txt").write_text("".join(f"{i}\n" for i in ids))
        for c, name in enumerate(CLASSES):
            marks = [1 if c < 3 and row[c] else -1 for row in has]
            if c == 1:
                marks[0] = 0
            (lists / f"{name}_{split}.txt").write_text("".join(f"{i} {m:2d}\n" for i, m in zip(ids, marks)))
    return tmp_path / "data"


def test_voc_is_read_as_the_kit_has_it(voc):
    split = VOC2007(voc).load("train")
    assert split.targets.shape == (40, 20)
    assert split.targets[0, 1] == -1
    assert set(split.targets[:, 0]) == {0, 1}
    assert (split.targets[:, 3:] == 0).all()
    assert split[0].image.data[:2] == b"\xff\xd8"
    assert VOC2007(voc).unavailable() is None
    before = VOC2007(voc).fingerprint()
    with (voc / "VOCdevkit" / "VOC2007" / "JPEGImages" / f"{split.ids[3]}.jpg").open("r+b") as image:
        image.seek(-3, 2)
        image.write(b"\0")
    assert VOC2007(voc).fingerprint() != before
    lists = voc / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main"
    (lists / "bird_train.txt").write_text("000001 2\n" + "".join(f"{i} 1\n" for i in split.ids[1:]))
    with pytest.raises(DataError, match="expected 1, 0 or -1, found '2'"):
        VOC2007(voc).load("train")
    (lists / "bird_train.txt").write_text("000001 1\n")
    with pytest.raises(DataError, match="has no line for image '000002'"):
        VOC2007(voc).load("train")
    with pytest.raises(OptionError, match=r"no split 'trian'.*'train'"):
        VOC2007(voc).load("trian")
    with pytest.raises(Unavailable, match=r"VOCtrainval_06-Nov-2007\.tar"):
        VOC2007(voc / "elsewhere").load("train")


def test_joined_splits_are_one_after_the_other(voc):
    parts = [VOC2007(voc).load(s) for s in ("train", "val")]
    both = JoinedSplit(parts)
    assert len(both) == 60 == len(both.targets)
    for index in (0, 39, 40, 59):
        part, place = (parts[0], index) if index < 40 else (parts[1], index - 40)
        assert both[index].id == both.ids[index] == part.ids[place]
        assert both[index].image.data == part[place].image.data
        assert np.array_equal(both.targets[index], part.targets[place])


def test_voc_is_probed_tuned_on_its_own_validation_split_and_fitted_on_both(voc, tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    suite = {
        "name": "voc",
        "protocol": {"plugin": "finetuning", "epochs": 1, "trials": 3, "holdout": 0.2, "own_validation": True,
                     "retrain": True, "head": "new"},
        "models": [{"plugin": "tiny-vit", "steps": 0}],
        "datasets": [{"plugin": "voc2007", "root": str(voc)}],
        "methods": ["probe", "bitfit"],
        "metrics": ["map_11point"],
    }  # fmt: skip
    harness.run(suite, store=tmp_path / "store", device="cpu")
    harness.run({**suite, "methods": ["probe"], "metrics": ["top1"]}, store=tmp_path / "other", device="cpu")
    found = {}
    for path in (tmp_path / "store" / "records").rglob("*.json"):
        record = json.loads(path.read_text())
        found[record["coordinates"]["method"]] = record
    probe = found["probe"]
    assert probe["status"] == "ok", probe["reason"]
    assert probe["metrics"]["map_11point"] > 0.95  # colours are easy
    tuning = probe["notes"]["tuning"]
    assert (tuning["validation_split"], tuning["validation_samples"]) == ("val", 20)
    assert tuning["judged_by"] == "11-point mAP"
    assert probe["notes"]["training_samples"] == 60
    assert "only the linear probe supports" in found["bitfit"]["reason"]
    (path,) = (tmp_path / "other" / "records").rglob("*.json")
    assert "'top1' reads Predictions" in json.loads(path.read_text())["reason"]


def test_own_validation_holds_out_where_there_is_none(tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name, value in (("dark", 20), ("light", 200)):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for i in range(10):
                pixels = rng.integers(0, 50, (32, 32, 3)) + value
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    suite = {
        "name": "folders",
        "protocol": {"plugin": "finetuning", "epochs": 1, "trials": 3, "holdout": 0.2, "own_validation": True,
                     "retrain": True, "head": "new"},
        "models": [{"plugin": "tiny-vit", "steps": 0}],
        "datasets": [{"plugin": "imagefolder", "path": str(tmp_path / "data")}],
        "methods": [{"plugin": "probe", "sweep": "clip"}],
        "metrics": ["roc_auc"],
    }  # fmt: skip
    harness.run(suite, store=tmp_path / "store", device="cpu")
    (path,) = (tmp_path / "store" / "records").rglob("*.json")
    record = json.loads(path.read_text())
    assert record["status"] == "ok", record["reason"]
    assert record["metrics"]["roc_auc"] == 1.0
    tuning = record["notes"]["tuning"]
    assert (tuning["validation_split"], tuning["validation_samples"]) == ("held out of train", 4)
    assert tuning["trials"] >= 7
    assert record["notes"]["training_samples"] == 20
    with pytest.raises(OptionError, match="needs a holdout"):
        harness.run({**suite, "protocol": {"plugin": "finetuning", "epochs": 1, "own_validation": True}})


def test_each_data_set_by_its_own_metric():
    import pandas as pd

    rows = [
        ("A", "x", 0, 0.5, np.nan, np.nan), ("A", "x", 1, 0.7, np.nan, np.nan), ("A", "y", 0, np.nan, 0.9, "roc_auc"),
        ("B", "x", 0, 0.2, np.nan, np.nan),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["model", "dataset", "seed", "top1", "roc_auc", "tag.dataset.metric"])
    table["method"] = "probe"
    found = {(r.model, r.dataset): r for r in OwnMetric()(table).itertuples()}
    assert found["A", "x"].value == pytest.approx(0.6)
    assert found["A", "y"].value == 0.9
    assert found["A", "mean of 2 data sets"].value == pytest.approx(0.75)
    assert np.isnan(found["B", "mean of 2 data sets"].value)
    assert found["B", "mean of 2 data sets"].note == "lacks y"
