"""Public tables of open_clip and RobustBench go in and out; those of one model at several sizes, or in files and rows."""

import csv
from decimal import Decimal

import pytest


def rows_of(path):
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_rows_and_files_of_clip_benchmark_are_the_same_evaluations(run_import, tmp_path, store):
    """`clip_benchmark build` makes rows of the files: importing both finds each evaluation once."""
    import json

    item = {"dataset": "wds/cars", "model": "m", "pretrained": "p", "task": "linear_probe", "language": "en"}
    metrics = {"lp_acc1": 0.5, "lp_acc5": 0.75, "lr": 0.1, "epochs": 10, "seed": 3, "fewshot_k": -1}
    (tmp_path / "a.json").write_text(json.dumps({**item, "metrics": metrics}))
    row = {**metrics, **item, "model_fullname": "m p"}
    with (tmp_path / "b.csv").open("w", newline="") as out:
        writer = csv.DictWriter(out, row)
        writer.writeheader()
        writer.writerow(row)
    assert run_import(tmp_path / "a.json", tmp_path / "b.csv")[0] == 0
    (record,) = store.records()
    assert record.coordinates["seed"] == 3


def test_open_clip_comes_back_to_its_last_digit(run_import, data, cells):
    assert run_import(data / "openclip_results.csv")[0] == 0
    found = cells()
    names = {"ImageNet 1k": "imagenet", "ImageNet v2": "imagenetv2", "ImageNet-A": "imagenet-a",
             "ImageNet-R": "imagenet-r", "ImageNet Sketch": "imagenet-sketch", "ObjectNet": "objectnet",
             "CIFAR-10": "cifar10"}  # fmt: skip
    count = 0
    for row in rows_of(data / "openclip_results.csv"):
        for column, text in list(row.items())[3:]:
            record = found[f"{row['name']} {row['pretrained']}", names.get(column, column)]
            ((metric, value),) = record.metrics.items()
            assert Decimal(repr(value)) == Decimal(text)
            assert record.notes["as written"][metric] == text
            count += 1
    assert count == len(found) == 4 * 38
    assert found["ViT-L-14-336 openai", "imagenet"].metrics == {"top1": 0.7656}
    assert found["ViT-L-14-336 openai", "Caltech-101"].metrics == {"mean_per_class": 0.9225}


def test_retrieval_of_open_clip(run_import, data, cells):
    assert run_import(data / "openclip_retrieval_results.csv")[0] == 0
    found = cells()
    flickr = found["ViT-SO400M-14-SigLIP-384 webli", "Flickr"]
    assert flickr.coordinates["protocol"] == "zeroshot_retrieval"
    assert flickr.metrics["image_retrieval_recall@1"] == 0.8296
    assert flickr.metrics["text_retrieval_recall@10"] == 0.9980
    assert flickr.tags["settings.params (M)"] == 877.96
    assert found["ViT-SO400M-14-SigLIP-384 webli", "WinoGAViL"].metrics["jaccard_score_10-12"] == 0.5754
    assert len(found) == 3


def test_a_multilingual_table(run_import, tmp_path, cells):
    (tmp_path / "m.csv").write_text(
        "model,version,avg,crossmodal3600 image_retrieval_recall@1 avg,crossmodal3600 image_retrieval_recall@1 ar,"
        "crossmodal3600 text_retrieval_recall@1 ar,crossmodal3600 image_retrieval_recall@1 bn\n"
        "xlm,v1,0.7,0.5,0.4605555534362793,0.25,0.05416666716337204\n"
    )
    assert run_import(tmp_path / "m.csv")[0] == 0
    found = {key: record.metrics for key, record in cells().items()}
    assert found == {
        ("xlm v1", "crossmodal3600", "ar"): {
            "image_retrieval_recall@1": 0.4605555534362793,
            "text_retrieval_recall@1": 0.25,
        },
        ("xlm v1", "crossmodal3600", "bn"): {"image_retrieval_recall@1": 0.05416666716337204},
    }


def test_robustbench(run_import, data, cells, show_table):
    assert run_import(data / "robustbench")[0] == 0
    found = cells()
    carmon = found["Carmon2019Unlabeled", "cifar10", "Linf", "8/255"]
    assert carmon.metrics == {"robust_accuracy": 0.5953}
    assert carmon.notes["reported"] == "62.5"
    assert found["Carmon2019Unlabeled", "cifar10", "Linf"].metrics == {"top1": 0.8969}
    alexnet = found["AlexNet", "imagenet", "corruptions"]
    assert alexnet.metrics == {"top1": 0.5538}
    assert alexnet.remarks == ["clean_acc: the number 0.5538 was read as a fraction, not as a percentage"]
    assert found["AlexNet", "imagenet-c", "corruptions"].metrics == {"mean_accuracy": 0.2112, "mce": 100.0}
    assert found["AlexNet", "imagenet-3dcc", "corruptions"].directions == {
        "mean_accuracy": True,
        "mce": False,
    }
    one = found["Standard_R50", "imagenet-c motion_blur 3", "corruptions"]
    assert one.metrics == {"top1": 0.35100000000000003}
    assert one.tags["dataset.severity"] == 3
    # its published mean is that of its table by corruption
    values = [r.metrics["top1"] for k, r in found.items() if k[0] == "Hendrycks2020Many" and "-c " in k[1]]
    assert len(values) == 75
    assert f"{100 * sum(values) / 75:.2f}" == "51.61"
    assert "51.61" in show_table("robustbench", "terminal")


def test_corruption_errors_come_out_of_imported_accuracies(run_import, data, store):
    import harness
    from harness_robustness.corruption_summary import CorruptionErrorSummary

    run_import(data / "robustbench")
    made = CorruptionErrorSummary()(harness.load("robustbench", store=store.path))
    mean = made[(made["model"] == "Hendrycks2020Many") & (made["metric"] == "mean_corruption_error")]
    assert mean["value"].item() == pytest.approx(100 - 51.61, abs=0.005)
    assert made[made["metric"] == "relative_mce"]["value"].notna().any()


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "Linf.json",
            "in no folder Linf, L2, corruptions, corruptions_3d, which would tell the threat model",
        ),
        ("by.csv", "in no folder cifar10, cifar100, imagenet, which would tell the data set"),
    ],
)
def test_what_robustbench_tells_by_folders_is_asked_for(run_import, tmp_path, data, name, line):
    source = (
        "cifar10/Linf/Carmon2019Unlabeled.json"
        if "json" in name
        else "imagenet/corruptions/unaggregated_results.csv"
    )
    (tmp_path / name).write_bytes((data / "robustbench" / source).read_bytes())
    status, _, errors = run_import(tmp_path / name)
    assert status == 2
    assert line in errors
    option = "threat=Linf" if "json" in name else "dataset=imagenet"
    assert run_import(tmp_path / name, "--as", f"robustbench?{option}")[0] == 0


def test_timm_models_at_several_sizes_are_told_apart(run_import, tmp_path, cells):
    (tmp_path / "results-sketch.csv").write_text(
        "model,top1,top1_err,top5,top5_err,param_count,img_size,crop_pct,interpolation\n"
        "a,50.1,49.9,60,40,1,224,0.9,bicubic\na,51.2,48.8,61,39,1,288,1.0,bicubic\nb,40,60,50,50,1,224,0.9,bicubic\n"
    )
    assert run_import(tmp_path / "results-sketch.csv")[0] == 0
    assert {k: r.metrics["top1"] for k, r in cells().items()} == {
        ("a", "imagenet-sketch", 224, 0.9): 0.501,
        ("a", "imagenet-sketch", 288, 1.0): 0.512,
        ("b", "imagenet-sketch"): 0.4,
    }


def test_timms_data_set_is_in_the_name_or_said(run_import, tmp_path, data, cells):
    (tmp_path / "mine.csv").write_bytes((data / "results-imagenet-a.csv").read_bytes())
    status, _, errors = run_import(tmp_path / "mine.csv")
    assert (status, errors.count("\n")) == (2, 1)
    assert "its name doesn't tell the data set" in errors
    assert run_import(tmp_path / "mine.csv", "--as", "timm?dataset=imagenet-a")[0] == 0
    assert {key[1] for key in cells()} == {"imagenet-a"}
