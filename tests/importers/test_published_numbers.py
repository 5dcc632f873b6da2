"""Excerpts of published files go in and out: every number comes back to its last digit, whatever the file's version."""

import csv
import io
import re
from decimal import Decimal
from pathlib import Path

import pytest

from harness.cli import main

TESTS = Path(__file__).parent
TIMM = sorted([*TESTS.glob("data/results-*.csv"), *TESTS.glob("other_versions/timm_*/*.csv")])
CLIP_BENCHMARK = sorted([*TESTS.glob("data/benchmark.csv"), *TESTS.glob("other_versions/clip_*/*.csv")])
DATASETS = {
    "results-imagenet.csv": "imagenet",
    "results-imagenet-real.csv": "imagenet-real",
    "results-imagenetv2-matched-frequency.csv": "imagenetv2",
    "results-inv2-matched-frequency.csv": "imagenetv2",
    "results-imagenet-a.csv": "imagenet-a",
    "results-imagenet-a-clean.csv": "imagenet-a-clean",
    "results-imagenet-r.csv": "imagenet-r",
    "results-imagenet-r-clean.csv": "imagenet-r-clean",
    "results-sketch.csv": "imagenet-sketch",
}
METRICS = {"acc1": "top1", "acc5": "top5", "mean_per_class_recall": "mean_per_class"}
METRICS |= {n: n for n in ("mean_average_precision", "image_retrieval_recall@5", "text_retrieval_recall@5")}


def name_file(path):
    return f"{path.parent.name}/{path.name}"


def rows_of(path):
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture
def exported(store, tmp_path, capsys):
    """The numbers of a suite in `harness export`, as texts, by what each row says besides."""

    def export(suite, *columns):
        out = tmp_path / f"{suite}.csv"
        assert main(["export", "--suite", suite, "--store", str(store.path), "--out", str(out)]) == 0
        capsys.readouterr()
        found = {(*(row[c] for c in columns), row["name"]): row["value"] for row in rows_of(out)}
        assert len(found) == len(rows_of(out))
        return found

    return export


@pytest.mark.parametrize("path", TIMM, ids=name_file)
def test_timm(run_import, exported, store, path):
    status, _, errors = run_import(path)
    assert (status, errors) == (0, "")
    sizes = ("tag.settings.img_size", "tag.settings.crop_pct", "tag.settings.interpolation")
    found = exported("timm", "model", "dataset", *sizes, "tag.settings.param_count")
    written = {}
    for row in rows_of(path):
        crop = Decimal(row.get("crop_pct") or row["cropt_pct"])
        params = Decimal(row["param_count"].replace(",", ""))
        about = (
            row["model"],
            DATASETS[path.name],
            Decimal(row["img_size"]),
            crop,
            row["interpolation"],
            params,
        )
        written |= {(*about, metric): Decimal(row[metric]) for metric in ("top1", "top5")}
    assert len(written) == 2 * len(rows_of(path))
    read = {
        (model, dataset, Decimal(size), Decimal(crop), how, Decimal(params), metric): Decimal(value) * 100
        for (model, dataset, size, crop, how, params, metric), value in found.items()
    }
    assert read == written
    texts = {tuple(r.notes["as written"].values()) for r in store.records()}
    assert texts == {(row["top1"], row["top5"]) for row in rows_of(path)}


@pytest.mark.parametrize("path", TIMM, ids=name_file)
def test_timms_tables_show_the_digits_of_the_file(run_import, show_table, path):
    run_import(path)
    top1 = [row["top1"] for row in rows_of(path)]
    decimals = max(len(text.partition(".")[2]) for text in top1)
    shown = re.findall(r"[0-9.]+", show_table("timm", "terminal"))
    assert {f"{Decimal(text):.{decimals}f}" for text in top1} <= set(shown)


@pytest.mark.parametrize("path", CLIP_BENCHMARK, ids=name_file)
def test_clip_benchmark(run_import, exported, show_table, path):
    status, out, errors = run_import(path)
    rows = rows_of(path)
    assert (status, errors) == (0, "")
    assert f"{len(rows)} records imported" in out
    found = exported("clip_benchmark", "protocol", "model", "dataset")
    written = {
        (row["task"], row["model_fullname"], row["dataset"].removeprefix("wds/"), METRICS[name]): row[name]
        for row in rows
        for name in METRICS.keys() & row.keys()
        if row[name]
    }
    assert found == written  # the very texts
    tables = [
        list(csv.reader(io.StringIO(text))) for text in show_table("clip_benchmark").strip().split("\n\n")
    ]
    shown = {value for table in tables for row in table[1:] for value in row[1:]}
    assert {text for (*_, name), text in written.items() if name not in ("top5", "mean_per_class")} <= shown


def test_the_excerpts_have_what_the_files_have(data):
    """Lest an editor or a copy takes away what they are there for."""
    rows = rows_of(data / "benchmark.csv")
    assert (len(rows), len((data / "benchmark.csv").read_bytes())) == (507, 76274)
    assert {row["task"] for row in rows} == {"zeroshot_classification", "zeroshot_retrieval"}
    assert len({row["model_fullname"] for row in rows}) == 13
    assert len({row["dataset"] for row in rows}) == 39
    filled = {tuple(name for name in METRICS if row[name]) for row in rows}
    assert len(filled) == 4  # also without acc5, multi-label, retrieval
    (web,) = TESTS.glob("other_versions/clip_benchmark_webdatasets/*.csv")
    assert web.read_bytes().count(b"\r\n") == 14
    assert b",,,\n" in (data / "results-imagenet-real.csv").read_bytes()
    assert (
        b"\n" not in (data / "robustbench/imagenet/corruptions/unaggregated_results_3d.csv").read_bytes()[-1:]
    )


@pytest.mark.parametrize(
    ("name", "number", "damaged", "reason"),
    [
        ("benchmark.csv", "0.665,0.89844", "0.6.65,0.89844", "acc1: expected a number, found '0.6.65'"),
        (
            "results-sketch.csv",
            "30.625,69.374",
            "69.374,30.625x",
            "top1_err: expected a number, found '30.625x'",
        ),
    ],
)
def test_a_damaged_row_is_named_and_the_rest_goes_in(
    run_import, store, tmp_path, data, name, number, damaged, reason
):
    content = (data / name).read_bytes()
    line = content[: content.index(number.encode())].count(b"\n") + 1
    (tmp_path / name).write_bytes(content.replace(number.encode(), damaged.encode()))
    status, _, errors = run_import(tmp_path / name)
    assert status == 1
    (told,) = errors.splitlines()
    assert told == f"left out: {tmp_path / name}: line {line}: {reason}"
    assert len(store.listing()) == content.count(b"\n") - 2


def test_three_dimensional_corruptions_of_robustbench(run_import, data, cells):
    folder = data / "robustbench/imagenet/corruptions"
    assert run_import(folder / "unaggregated_results_3d.csv")[0] == 0
    names, severities, *rows = csv.reader((folder / "unaggregated_results_3d.csv").open(newline=""))
    written = {
        (row[0], f"imagenet-3dcc {name} {severity}", "corruptions"): text
        for row in rows
        for name, severity, text in zip(names[1:], severities[1:], row[1:], strict=True)
        if severity  # the last column is their mean
    }
    found = cells()
    assert {key: record.notes["as written"]["top1"] for key, record in found.items()} == written
    assert all(Decimal(repr(found[key].metrics["top1"])) == Decimal(text) for key, text in written.items())


def test_the_lowest_accuracy_that_others_found_is_a_number_of_its_own(run_import, data, cells):
    run_import(data / "robustbench/cifar10")
    found = cells()
    mixed = found["Bai2024MixedNUTS", "cifar10", "Linf", "8/255"]
    assert mixed.metrics == {"robust_accuracy": 0.7008, "robust_accuracy_by_others": 0.6971}
    assert found["Atzmon2019Controlling", "cifar10", "Linf", "0.031"].metrics == {"robust_accuracy": 0.4022}
