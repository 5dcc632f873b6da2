"""Thousands of records: each a file of its own, whole or absent, and not at the cost of one import each."""

import csv
import random

import pytest

import harness
from harness.errors import StoreUnwritable
from harness.records.record import Record
from harness.records.store import Store

DATASETS = ("imagenet", "imagenet-real", "imagenetv2-matched-frequency", "imagenet-a", "imagenet-r", "sketch")


def write_tables(folder, models):
    """Write tables of the shape of timm's."""
    draw = random.Random(0)
    folder.mkdir()
    for name in DATASETS:
        with (folder / f"results-{name}.csv").open("w", newline="") as out:
            rows = csv.writer(out)
            rows.writerow(
                [
                    "model",
                    "top1",
                    "top1_err",
                    "top5",
                    "top5_err",
                    "param_count",
                    "img_size",
                    "crop_pct",
                    "interpolation",
                ]
            )
            for n in range(models):
                top1 = draw.randrange(100_001) / 1000
                rows.writerow(
                    [
                        f"net_{n}.in1k",
                        f"{top1:.3f}",
                        f"{100 - top1:.3f}",
                        "99.000",
                        "1.000",
                        "1,014.45",
                        224,
                        "0.900",
                        "bicubic",
                    ]
                )
    return folder


def test_1556_models_on_six_data_sets(tmp_path):
    done = harness.import_results(write_tables(tmp_path / "timm", 1556), store=tmp_path / "store")
    assert (done.written, done.same, done.left_out) == (9336, 0, [])
    store = Store(tmp_path / "store")
    assert len(store.listing()) == 9336
    assert not list(store.path.rglob(".partial-*"))
    shown = harness.load("timm", store=store.path)
    assert len(shown) == 9336
    assert shown["top1"].between(0, 1).all()


def test_the_effort_grows_with_the_records_alone(tmp_path, effort):
    """Twice the models cost at most about twice the calls: nothing compares each record with all others."""
    costs = []
    for models in (100, 200, 400):
        folder = write_tables(tmp_path / f"t{models}", models)
        harness.import_results(folder, store=tmp_path / f"warm{models}")
        costs.append(effort(lambda f=folder, m=models: harness.import_results(f, store=tmp_path / f"s{m}")))
    assert costs[2] - costs[1] < 2.3 * (costs[1] - costs[0])
    assert costs[2] / 2400 < 2500


def test_files_have_the_permissions_of_a_plain_open(tmp_path):
    harness.import_results(write_tables(tmp_path / "t", 2), store=tmp_path / "store")
    (tmp_path / "plain").write_text("x")
    expected = (tmp_path / "plain").stat().st_mode
    assert {p.stat().st_mode for p in (tmp_path / "store" / "records").rglob("*.json")} == {expected}


def test_a_disk_that_refuses_is_named(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "records").write_text("a file in the way")
    store = Store(tmp_path / "store")
    with pytest.raises(StoreUnwritable, match="the store can't be written"):
        store.write_all([(Record("0" * 20, "ok", "s", {}, {}, {}), {})])


def test_what_fails_in_the_middle_leaves_whole_files(tmp_path):
    store = Store(tmp_path / "store")

    def records():
        yield Record("a" * 20, "ok", "s", {}, {}, {}), {"id": ["1"], "top1": [1.0]}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.write_all(records())
    assert list(store.listing()) == ["a" * 20]
    assert store.read("a" * 20).files == ["samples"]
    assert not list(store.path.rglob(".partial-*"))
