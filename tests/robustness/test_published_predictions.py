"""The line of CIFAR-10.1 from imported predictions, sample by sample.

Of the published predictions (github.com/modestyachts/CIFAR-10.1, `model_predictions/`, 30 models) one file is here:
`v6_predictions/alexnet_tf_ben_predictions.json` (commit a986f1e), 200 images of each class in the order of the classes.
Of 8 models the repository has the accuracies that their predictions give. So the other files are made: labels of as
many samples as each model had right, in the form of the published files. What is tested with these is the way from
files to slope and R².
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from harness.cli import main
from harness.leaderboard.frame import shorten_columns, suite_frame
from harness.published.finding import read_published_set
from harness.records.store import Store
from harness_robustness.effective_robustness import AccuracyLine, fit_line
from harness_robustness.fitted_line_summary import FittedLine

SIZES = {"cifar10": 10_000, "cifar10.1-v6": 2_000}
ALL_MODELS = AccuracyLine(1.5952, -0.6318, 0.9897, 30, "linear")
"""The line of all 30 models on v6, refitted elsewhere from their published predictions."""


def read_accuracies() -> pd.DataFrame:
    """Return the published accuracies, from 0 to 1, by model, with a column per data set."""
    found = read_published_set("cifar10_1")
    columns = {"cifar10": "cifar10", "cifar10.1-v6": "cifar10.1?version=v6"}
    return pd.DataFrame(
        {name: found.numbers["top1", column] for name, column in columns.items()}, index=found.models
    )


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """A store with a record per model and data set, each from a file of predicted labels; and the accuracies."""
    folder = tmp_path_factory.mktemp("cifar")
    table = read_accuracies()
    rng = np.random.default_rng(0)
    for dataset, size in SIZES.items():
        targets = np.repeat(np.arange(10), size // 10)
        np.save(folder / "targets.npy", targets)
        (folder / "ids.txt").write_text("\n".join(f"{n:05}" for n in range(size)))
        importer = f"predictions?ids_file={folder / 'ids.txt'}&targets_file={folder / 'targets.npy'}"
        for model, accuracy in table[dataset].items():
            wrong = rng.permutation(size)[round(accuracy * size) :]
            labels = targets.copy()
            labels[wrong] = (labels[wrong] + rng.integers(1, 10, len(wrong))) % 10
            file = folder / f"{model}_predictions.json"
            file.write_text(json.dumps(labels.tolist()))
            command = ["import", importer, str(file), "--store", str(folder / "store"), "--suite", "cifar"]
            assert (
                main([*command, "--model", str(model), "--dataset", dataset, "--tag", "standard=true"]) == 0
            )
    return Store(folder / "store"), table


def test_a_published_file_gives_the_published_accuracy(tmp_path):
    targets = np.repeat(np.arange(10), 200)
    np.save(tmp_path / "targets.npy", targets)
    importer = f"predictions?targets_file={tmp_path / 'targets.npy'}"
    file = Path(__file__).parent / "published_predictions" / "alexnet_tf_ben_predictions.json"
    command = ["import", str(file), "--as", importer, "--store", str(tmp_path / "store"), "--dataset", "v6"]
    assert main([*command, "--metric", "top1", "--metric", "mean_per_class"]) == 0
    (record,) = Store(tmp_path / "store").records()
    assert record.coordinates["model"] == "alexnet_tf_ben_predictions"
    published_accuracy = read_accuracies().loc["alexnet_tf_ben", "cifar10.1-v6"]
    assert record.metrics == {"top1": 1384 / 2000, "mean_per_class": pytest.approx(1384 / 2000)}
    assert published_accuracy == pytest.approx(1384 / 2000, abs=1e-12)


def test_accuracies_are_the_published_ones(imported):
    store, table = imported
    data = suite_frame(store, "cifar")
    assert len(data) == 2 * len(table)
    for _, row in data.iterrows():
        expected = table.loc[row["at.model"], row["at.dataset"]]
        assert row["metric.top1"] == pytest.approx(expected, abs=1e-12)


def test_the_line_of_the_records_is_that_of_the_published_accuracies(imported):
    store, table = imported
    records = shorten_columns(suite_frame(store, "cifar"))
    records["tag.dataset.reference"] = [None if d == "cifar10" else "cifar10" for d in records["dataset"]]
    found = FittedLine(scale="linear")(records).set_index("metric")["value"]
    x, y = table["cifar10"].to_numpy(), table["cifar10.1-v6"].to_numpy()
    other = sm.OLS(y, sm.add_constant(x)).fit()
    assert found["slope"] == pytest.approx(other.params[1], abs=1e-9)
    assert found["R²"] == pytest.approx(other.rsquared, abs=1e-9)
    assert found["standard models"] == len(table)


def test_eight_models_lie_on_the_line_of_all_thirty(imported):
    _, table = imported
    x, y = table["cifar10"].to_numpy(), table["cifar10.1-v6"].to_numpy()
    line = fit_line(x, y, "linear")
    other = sm.OLS(y, sm.add_constant(x)).fit()
    low, high = other.conf_int()[1]
    assert low < ALL_MODELS.slope < high
    assert line.r2 == pytest.approx(ALL_MODELS.r2, abs=0.01)
    grid = np.linspace(0.82, 0.97, 4)
    assert line.predict(grid) == pytest.approx(ALL_MODELS.predict(grid), abs=0.02)


def test_published_models_are_paired_with_each_other(imported, capsys):
    store, _ = imported
    capsys.readouterr()
    sides = ["--a", "model=resnet_basic_110", "--b", "model=wrn_28_10", "--where", "dataset=cifar10.1-v6"]
    assert main(["compare", str(store.path), str(store.path), *sides, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert "mcnemar" in json.dumps(answer).lower()
