"""Imports of predictions: the numbers of the harness's own metrics, pairing with own records, and refusals."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest

from harness import Predictions
from harness.cli import main
from harness.comparing.evidence import SampleTables, gather_evidence
from harness.errors import DataError, OptionError, StoreError, SuiteError
from harness.exchange.importing import file_predictions
from harness.exchange.predictions_request import PredictionsRequest
from harness.exchange.recognising import NamedImporter
from harness.records.store import Store
from harness_importers.predictions import PredictionFiles

CLASSES = ("ant", "bee", "cat")
LOGITS = np.array([[2.0, 0.5, -1.0], [0.25, 1.5, 1.0], [0.5, 0.75, 0.25], [-1.0, 0.0, 3.0]], np.float32)
TARGETS = np.array([0, 2, 1, 2])
IDS = ["s1", "s2", "s9", "s10"]


def fetch(path, store, suite="own", options=None, **asked):
    """The record of a file after its import."""
    importer = PredictionFiles(**(options or {}))
    done = file_predictions(
        NamedImporter("predictions", importer), [path], store, suite, PredictionsRequest(**asked)
    )
    plan = store.manifest(suite)
    name = asked.get("model", path.stem)
    cells = [c for c in plan["cells"] if c["at"]["model"] == name and c["at"]["seed"] == asked.get("seed", 0)]
    return store.read(cells[0]["id"]), done


def table(**more):
    columns = {"id": IDS, "target": TARGETS}
    columns |= {f"logit_{name}": LOGITS[:, i] for i, name in enumerate(CLASSES)}
    return pd.DataFrame({**columns, **more})


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def csv(tmp_path):
    """Write a table as CSV and return its path."""

    def write(content, name="m.csv"):
        path = tmp_path / name
        content.to_csv(path, index=False) if isinstance(content, pd.DataFrame) else path.write_text(content)
        return path

    return write


def test_metrics_are_those_of_the_closed_forms(csv, store):
    record, done = fetch(csv(table()), store, metrics=("top1", "nll", "mean_per_class"), dataset="bugs")
    exponentials = np.exp(LOGITS.astype(np.float64))
    p = exponentials / exponentials.sum(axis=1, keepdims=True)
    assert record.metrics["top1"] == 3 / 4
    assert record.metrics["nll"] == pytest.approx(-np.log(p[range(4), TARGETS]).mean(), abs=1e-12)
    assert record.metrics["mean_per_class"] == pytest.approx((1 + 1 + 1 / 2) / 3)
    assert (record.count, record.binary, done.written, done.same) == (4, ["top1"], 1, 0)
    assert record.coordinates["dataset"] == "bugs"


def test_samples_evidence_and_provenance_are_kept(csv, store):
    path = csv(table())
    record, _ = fetch(path, store, made_by="torchlight 3.1")
    samples = store.samples(record.id)
    assert samples["id"].tolist() == IDS  # s10 after s9
    assert samples["prediction"].tolist() == [0, 1, 1, 2]
    kept = store.find_evidence(record.provenance["evidence"])[0].read((Predictions,))[""]
    assert np.array_equal(kept.logits, LOGITS)
    assert kept.logits.dtype == np.float32
    assert tuple(kept.class_names) == CLASSES
    origin = record.provenance["imported"]
    assert origin["digest"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (origin["file"], origin["from"], origin["made_by"]) == ("m.csv", "predictions", "torchlight 3.1")


def test_a_second_import_adds_metrics_and_leaves_the_rest(csv, store):
    path = csv(table())
    assert list(fetch(path, store)[0].metrics) == ["top1"]
    record, done = fetch(path, store, metrics=("nll",))
    assert (list(record.metrics), done.written) == (["top1", "nll"], 1)
    assert fetch(path, store)[1].same == 1
    permuted = csv(table().iloc[[2, 0, 3, 1]], "other.csv")
    assert fetch(permuted, store, model="m")[1].same == 1


def test_other_predictions_of_the_same_model_are_an_error(csv, store):
    fetch(csv(table()), store)
    other = csv(table(logit_ant=[9.0, 9, 9, 9]), "other.csv")
    with pytest.raises(StoreError, match=r"model 'm' on 'own' has other predictions than m\.csv"):
        fetch(other, store, model="m")
    assert fetch(other, store, model="m", seed=1)[1].written == 1


def test_probabilities_are_logits_up_to_a_constant(csv, store, tmp_path):
    exponentials = np.exp(LOGITS.astype(np.float64))
    p = exponentials / exponentials.sum(axis=1, keepdims=True)
    path = tmp_path / "p.npz"
    np.savez(path, id=IDS, target=TARGETS, probabilities=p)
    record, _ = fetch(path, store, metrics=("top1", "nll", "ece"))
    other, _ = fetch(csv(table()), store, metrics=("top1", "nll", "ece"))
    assert record.metrics == pytest.approx(other.metrics, abs=1e-6)


def test_a_probability_of_zero_gives_an_infinite_nll(store, tmp_path):
    path = tmp_path / "p.npz"
    np.savez(path, id=["a", "b"], target=[1, 0], probabilities=[[1.0, 0.0], [0.5, 0.5]])
    record, _ = fetch(path, store, metrics=("top1", "nll"))
    assert (record.metrics["top1"], record.metrics["nll"], record.status) == (0.5, np.inf, "ok")


def test_labels_alone_give_the_metrics_that_need_no_scores(csv, store):
    content = table()[["id", "target"]].assign(prediction=[0, 1, 1, 2])
    record, done = fetch(
        csv(content), store, metrics=("top1", "ece", "nll", "top5", "mean_per_class", "brier")
    )
    assert record.metrics["top1"] == 3 / 4
    assert record.metrics["mean_per_class"] == pytest.approx((1 + 1 + 1 / 2) / 3)
    # of three classes, each is among five
    assert set(record.metrics) == {"top1", "top5", "mean_per_class"}
    said = [text for text in done.remarks if "no scores" in text]
    assert said == ["m: ece, nll, brier: not computed, since the file has predicted labels and no scores"]
    assert "confidence" not in store.samples(record.id)
    with pytest.raises(DataError, match=r"m\.csv: ece: not computed, since the file has predicted labels"):
        fetch(csv(content), Store(store.path / "b"), metrics=("ece",))


def test_a_rank_metric_needs_scores_where_there_are_more_classes(csv, store):
    content = pd.DataFrame({"id": range(40), "target": np.arange(40) % 8, "prediction": np.arange(40) % 7})
    record, done = fetch(csv(content), store, metrics=("top1", "top5", "topk:2"))
    assert set(record.metrics) == {"top1"}
    assert any(text.startswith("m: top5, ") for text in done.remarks)


REFUSED = {
    "duplicate id": (table(id=["a", "b", "a", "c"]), r"line 4: the id 'a' is also that of line 2"),
    "missing id": (table(id=["a", None, "b", "c"]), r"line 3: it has no id"),
    "NaN": (table(logit_bee=[0, 1, "nan", 3]), r"line 4 \('s9'\): its logits hold a NaN"),
    "infinity": (table(logit_bee=[0, 1, 2, "inf"]), r"line 5 \('s10'\): its logits hold an infinity"),
    "no number": (table(logit_bee=[0, "x1", 2, 3]), r"line 3: 'logit_bee' is 'x1': expected a number"),
    "empty": (table(logit_bee=[0, None, 2, 3]), r"line 3: 'logit_bee' is empty"),
    "outside": (table(target=[0, 1, 3, 2]), r"line 4: target 3 is no class: expected 0 to 2"),
    "negative": (table(target=[0, -1, 1, 2]), r"line 3: target -1 is no class: expected 0 to 2"),
    "fraction": (table(target=[0, 1, 1.5, 2]), r"line 4: target 1.5 is not a whole number"),
    "unknown name": (table(target=["ant", "bee", "cut", "cat"]), r"line 4: target 'cut' is no class; did you mean 'cat'\?"),
    "prediction": (
        table(prediction=[0, 1, 2, 2]),
        r"line 4 \('s9'\): prediction 2, and the largest score is that of class 1 \(1 of 4 samples\)",
    ),
    "two targets": (table(label=TARGETS), r"'target' and 'label' may each be the target: name one with target=…"),
    "no scores": (table()[["id", "target"]], "no column of predicted labels, logits or probabilities among id, target"),
    "no targets": (table().drop(columns="target"), r"no targets: name their column with target=…"),
    "one class": (table()[["id", "target", "logit_ant"]], r"logits of the shape \(4, 1\)"),
    "no rows": ("id,target,prediction\n", "no rows"),
    "ragged": ("id,target,prediction\na,1\n", "not a CSV file that can be read"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_files_are_refused_in_one_line_with_file_and_row(case, csv, store):
    content, expected = REFUSED[case]
    path = csv(content)
    with pytest.raises(DataError, match=expected) as caught:
        fetch(path, store)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert store.manifest("own") is None


def test_probabilities_must_sum_to_one(csv, store):
    wrong = table().rename(columns=lambda c: c.replace("logit_", "prob_"))
    with pytest.raises(DataError, match=r"line 2 \('s1'\): its probabilities hold a negative number"):
        fetch(csv(wrong), store)
    wrong[[f"prob_{c}" for c in CLASSES]] = [[0.2, 0.3, 0.5], [0.2, 0.3, 0.4], [1, 0, 0], [1, 0, 0]]
    with pytest.raises(
        DataError, match=r"line 3 \('s2'\): its probabilities sum to 0\.9: expected 1 ± 0\.001"
    ):
        fetch(csv(wrong), store)


def test_arrays_of_objects_and_of_other_lengths_are_refused(store, tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, id=np.array(["a", None], object), target=[0, 1], prediction=[0, 1])
    with pytest.raises(DataError, match=r"a\.npz: 'id' is an array of objects, which is not unpickled"):
        fetch(path, store)
    np.savez(path, id=["a", "b", "c"], target=[0, 1], logits=np.zeros((2, 3)))
    with pytest.raises(DataError, match=r"a\.npz: lengths differ: 3 ids, 2 targets, 2 logits"):
        fetch(path, store)
    path.write_bytes(b"PK\3\4 no zip")
    with pytest.raises(DataError, match=r"a\.npz: not a file of NumPy arrays"):
        fetch(path, store)


def test_a_bare_array_takes_ids_and_targets_from_files_beside_it(store, tmp_path):
    path = tmp_path / "m.npy"
    np.save(path, LOGITS)
    (tmp_path / "ids.txt").write_text("\n".join(IDS))
    np.save(tmp_path / "targets.npy", TARGETS)
    options = {"ids_file": tmp_path / "ids.txt", "targets_file": tmp_path / "targets.npy"}
    record, done = fetch(path, store, options=options)
    assert record.metrics["top1"] == 3 / 4
    assert any("assumed to be class i" in text for text in done.remarks)
    np.save(path, np.full((4, 2), 0.5))
    with pytest.raises(
        DataError, match="sum to one, as probabilities do: say array=probabilities or array=logits"
    ):
        fetch(path, store, options=options)


def test_a_json_list_of_labels(store, tmp_path):
    (tmp_path / "m.json").write_text("[0, 1, 1, 2]")
    np.save(tmp_path / "t.npy", TARGETS)
    record, done = fetch(tmp_path / "m.json", store, options={"targets_file": tmp_path / "t.npy"})
    assert record.metrics["top1"] == 3 / 4
    assert "m: the file has no ids: its rows were numbered from 0" in done.remarks


def test_a_metric_of_other_evidence_is_refused_by_name(csv, store):
    with pytest.raises(OptionError, match=r"metric 'kid' reads .*: imported predictions give Predictions"):
        fetch(csv(table()), store, metrics=("kid",))


# Beside the harness's own records


@pytest.fixture
def own(tmp_path):
    """A store in which the harness itself ran a tiny model on `digits`, with the logits that it kept."""
    path = tmp_path / "store"
    suite = tmp_path / "own.toml"
    suite.write_text(
        'name = "own"\nprotocol = "classification"\nmetrics = ["top1", "nll"]\ndatasets = ["digits"]\nlimit = 120\n'
        'models = [{ plugin = "tiny-vit", trained_on = "digits", width = 32, steps = 20, label = "tiny" }]\n'
    )
    assert main(["run", str(suite), "--store", str(path), "--quiet"]) == 0
    store = Store(path)
    record = next(store.records())
    kept = store.find_evidence(record.provenance["evidence"])[0].read((Predictions,))[""]
    return store, record, kept, suite


def write_kept(path, kept, rows=slice(None), **more):
    np.savez(path, id=np.array(kept.ids)[rows], target=kept.targets[rows], logits=kept.logits[rows], **more)
    return path


def test_own_and_imported_records_are_paired_and_survive_a_run(own, tmp_path, capsys):
    store, record, kept, suite = own
    rows = np.random.default_rng(0).permutation(len(kept))
    twin, _ = fetch(write_kept(tmp_path / "twin.npz", kept, rows), store, dataset="digits")
    assert twin.metrics == record.metrics  # to the last bit, and by default the suite's metrics
    assert {k: v for k, v in twin.coordinates.items() if k != "model"} == {
        k: v for k, v in record.coordinates.items() if k != "model"
    }
    worse = kept.logits.copy()
    worse[:60] = -worse[:60]
    np.savez(tmp_path / "worse.npz", id=kept.ids, target=kept.targets, logits=worse)
    other, _ = fetch(tmp_path / "worse.npz", store, dataset="digits")
    tables = SampleTables(store)
    assert gather_evidence("top1", {0: record}, {0: twin}, tables, tables).kind == "identical"
    paired = gather_evidence("top1", {0: record}, {0: other}, tables, tables)
    assert (paired.kind, paired.n, paired.reason) == ("samples", len(kept), None)

    capsys.readouterr()
    assert main(["table", "own", "--store", str(store.path), "--format", "markdown"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("tiny", "twin", "worse"))
    assert "not compared" not in shown
    # a whole run plans its own cells anew, and the imported ones stay
    assert main(["run", str(suite), "--store", str(store.path), "--quiet", "--add-metric", "brier"]) == 0
    models = [
        (c["at"]["model"], "brier" in store.read(c["id"]).metrics) for c in store.manifest("own")["cells"]
    ]
    assert sorted(models) == [("tiny", True), ("twin", True), ("worse", True)]
    metrics = {
        store.read(c["id"]).metrics["brier"]
        for c in store.manifest("own")["cells"]
        if c["at"]["model"] != "worse"
    }
    assert len(metrics) == 1


def test_samples_that_differ_are_told(own, tmp_path):
    store, record, kept, _ = own
    part, done = fetch(write_kept(tmp_path / "part.npz", kept, slice(0, 50)), store, dataset="digits")
    said = "part: its 50 samples are not the 120 of the record of 'tiny' on 'digits' (50 are shared)"
    assert any(text.startswith(said) for text in done.remarks)
    tables = SampleTables(store)
    found = gather_evidence("top1", {0: record}, {0: part}, tables, tables)
    assert (found.kind, "70 only on one side" in found.reason) == ("none", True)


def test_targets_that_differ_are_an_error_with_sample_and_count(own, tmp_path):
    store, _, kept, _ = own
    targets = kept.targets.copy()
    targets[[5, 9]] = (targets[[5, 9]] + 1) % 10
    path = tmp_path / "m.npz"
    np.savez(path, id=kept.ids, target=targets, logits=kept.logits)
    id = kept.ids[5]
    for asked in ({"dataset": "digits"}, {"targets": "digits"}):
        with pytest.raises(
            DataError, match=rf"row 6 \('{id}'\): target \d in the file, \d in .* \(2 of 120 samples differ\)"
        ):
            fetch(path, store, **asked)


def test_targets_come_from_a_data_set_by_id(own, tmp_path):
    store, record, kept, _ = own
    path = tmp_path / "m.npz"
    np.savez(path, id=kept.ids, logits=kept.logits)
    found, done = fetch(path, store, targets="digits")
    assert found.metrics == record.metrics
    assert found.cell["dataset"]["identity"] == record.cell["dataset"]["identity"]
    assert "m: 120 of the 450 samples of data set 'digits' are in the file" in done.remarks
    np.savez(path, id=["other", *kept.ids[1:]], logits=kept.logits)
    with pytest.raises(DataError, match=r"row 1: data set 'digits' has no sample 'other' \(1 of 120 rows\)"):
        fetch(path, store, targets="digits", model="n")
    np.savez(path, logits=kept.logits)
    with pytest.raises(DataError, match="120 rows without ids, and data set 'digits' has 450 samples"):
        fetch(path, store, targets="digits", model="n")


def test_columns_are_matched_with_the_classes_by_name(own, tmp_path):
    store, record, kept, _ = own
    order = np.random.default_rng(1).permutation(10)
    names = np.array([str(n) for n in kept.class_names])
    data = {"id": kept.ids, "target": kept.targets}
    for targets in (kept.targets, names[kept.targets], np.argsort(order)[kept.targets]):
        data = {"id": kept.ids, "target": targets, **{f"logit_{names[n]}": kept.logits[:, n] for n in order}}
        path = tmp_path / "m.parquet"
        pd.DataFrame(data).to_parquet(path)
        found, done = fetch(path, store, dataset="digits")
        assert found.metrics == record.metrics
        assert "m: the columns of the file were put into the order of the classes, by name" in done.remarks
    wrong = pd.DataFrame(data).rename(columns={"logit_two": "logit_tow"})
    wrong.to_parquet(path)
    with pytest.raises(
        DataError,
        match="the file has no column for 1 of the data set's 10 classes, 'two'; did you mean 'tow'",
    ):
        fetch(path, store, targets="digits", model="n")


def test_a_model_of_the_harness_keeps_its_name(own, tmp_path):
    store, _, kept, _ = own
    with pytest.raises(SuiteError, match="suite 'own' has a model 'tiny' of its own on 'digits'"):
        fetch(write_kept(tmp_path / "m.npz", kept), store, dataset="digits", model="tiny")


def test_the_command_says_what_was_assumed(csv, store, capsys):
    command = ["import", "predictions", str(csv(table())), "--store", str(store.path), "--suite", "own"]
    assert main([*command, "--model", "Ours", "--dataset", "bugs", "--metric", "top1", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["written"], answer["suite"]) == (1, "own")
    assert main(["table", "own", "--store", str(store.path)]) == 0
    assert "75.0" in capsys.readouterr().out
    capsys.readouterr()
    (record,) = store.records()
    assert record.coordinates["model"] == "Ours"
    results = csv('{"x": 1}', "r.json")
    assert (
        main(["import", "clip_benchmark", str(results), "--store", str(store.path), "--metric", "top1"]) == 2
    )
    assert "--metric: is for predictions per sample" in capsys.readouterr().err


def test_predictions_are_found_by_their_columns(csv, store, tmp_path, capsys):
    path = csv(table())
    assert PredictionFiles.recognise(path)
    assert (
        main(
            [
                "import",
                str(path),
                "--store",
                str(store.path),
                "--source",
                "https://e.org/x",
                "--commit",
                "ab1",
            ]
        )
        == 0
    )
    (record,) = store.records()
    origin = record.provenance["imported"]
    assert (origin["from"], origin["source"], origin["commit"]) == ("predictions", "https://e.org/x", "ab1")
    results = csv(pd.DataFrame({"model": ["a"], "dataset": ["d"], "top1": [0.5]}), "results.csv")
    assert not PredictionFiles.recognise(results)
    capsys.readouterr()
    assert main(["import", str(path), str(results), "--store", str(store.path)]) == 2
    assert "holds predictions, and others of these files do not" in capsys.readouterr().err
