"""Predictions written to every kind of file and imported again: the numbers of the model's own run, to the last bit."""

import json
import re
import tempfile
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import ImportedPredictions, Predictions, classification_result
from harness.contract.cells import Cell, Part
from harness.discovery.parts import Resolver
from harness.discovery.reference import parse_short
from harness.errors import DataError, OptionError
from harness.exchange.imported_cells import make_imported_job
from harness.exchange.predictions_importing import import_predictions
from harness.exchange.predictions_matching import match_predictions
from harness.exchange.predictions_request import PredictionsRequest
from harness.records.store import Store
from harness_importers.prediction_columns import ColumnNames, find_columns, find_score_columns
from harness_importers.predictions import PredictionFiles

METRICS = ("top1", "top5", "ece", "nll", "brier", "mean_per_class", "macro_f1")
RESOLVER = Resolver()
PARTS = [RESOLVER.resolve("metrics", parse_short(name), "test") for name in METRICS]


def run_alone(predictions):
    """The result of the harness's own evaluation with these logits."""

    def part(kind):
        return Part(kind, "x", "x", "", "x", {}, {}, "{}", object=None, make=lambda: None)

    cell = Cell("s", "s", part("protocols"), part("models"), part("datasets"), None, tuple(PARTS), {}, 0)
    job = make_imported_job(cell)
    result = classification_result(job, predictions)
    assert not job.failures
    return result


def write_columns(folder, ids, targets, logits, names, kind):
    """Write predictions to a file and return its path with the importer's options."""
    path = folder / f"m.{kind.partition(' ')[0]}"
    columns = {"id": ids, "target": targets}
    wide = {f"logit_{name}": logits[:, i] for i, name in enumerate(names)}
    if kind == "csv":
        pd.DataFrame({**columns, **wide}).to_csv(path, index=False)
    elif kind == "csv list":
        lists = [json.dumps([float(v) for v in row]) for row in logits]
        pd.DataFrame({**columns, "logits": lists}).to_csv(path, index=False)
    elif kind == "csv exact":
        exact = {name: [f"{v:.18e}" for v in column] for name, column in wide.items()}
        pd.DataFrame({**columns, **exact}).to_csv(path, index=False)
    elif kind == "parquet":
        pd.DataFrame({**columns, **wide}).to_parquet(path)
    elif kind == "parquet list":
        pq.write_table(pa.table({"id": ids, "target": targets, "logits": list(logits)}), path)
    elif kind == "npz":
        np.savez(path, ids=ids, targets=targets, logits=logits, class_names=names)
    else:
        np.save(path, logits)
        np.save(folder / "targets.npy", targets)
        (folder / "ids.txt").write_text("\n".join(ids))
        return path, {"ids_file": folder / "ids.txt", "targets_file": folder / "targets.npy"}
    return path, {}


KINDS = ("csv", "csv list", "csv exact", "parquet", "parquet list", "npz", "npy")
NUMBERS = st.floats(-30, 30, width=32)


@st.composite
def draws(draw):
    """Logits N×C, targets N, and an order of the rows."""
    count, classes = draw(st.integers(2, 12)), draw(st.integers(2, 11))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    rows = st.lists(NUMBERS, min_size=classes, max_size=classes)
    logits = np.array(draw(st.lists(rows, min_size=count, max_size=count)), dtype)
    if dtype is np.float64:
        logits = logits / 3  # numbers that no float32 holds
    targets = np.array(draw(st.lists(st.integers(0, classes - 1), min_size=count, max_size=count)))
    return logits, targets, np.array(draw(st.permutations(range(count))))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12)
@given(drawn=draws())
def test_a_round_trip_gives_the_metrics_of_the_own_run(kind, drawn):
    logits, targets, order = drawn
    ids = np.array([f"img-{n}" for n in range(len(targets))])  # of more than ten, `img-10` comes last
    names = [f"class {chr(97 + n)}" for n in range(logits.shape[1])]
    own = run_alone(Predictions(logits, targets, ids.tolist(), names))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        found = []
        for name, rows in (("a", np.arange(len(ids))), ("b", order)):
            where = folder / name
            where.mkdir()
            path, options = write_columns(where, ids[rows], targets[rows], logits[rows], names, kind)
            store = Store(where / "store")
            asked = PredictionsRequest(metrics=METRICS)
            import_predictions("predictions", PredictionFiles(**options), [path], store, "s", asked)
            (record,) = store.records()
            samples = store.samples(record.id)
            found.append((record.id, record.metrics))
            assert record.metrics == own.metrics
            assert samples["id"].tolist() == ids.tolist()
            for column in ("target", "prediction", "confidence", "top1", "nll"):
                assert np.array_equal(samples[column], own.samples[column])
            kept = store.find_evidence(record.provenance["evidence"])[0].read((Predictions,))[""]
            assert np.array_equal(kept.logits, logits)
            # float64 text whose numbers are all float32, such as zeros, is read as that
            assert kept.logits.dtype in (logits.dtype, np.float32)
        assert found[0] == found[1]


@settings(max_examples=25)
@given(drawn=draws())
def test_labels_give_what_the_scores_give(drawn):
    logits, targets, order = drawn
    ids = [f"img-{n}" for n in range(len(targets))]
    own = run_alone(Predictions(logits, targets, ids))
    labels = pd.DataFrame({"id": ids, "target": targets, "prediction": own.samples["prediction"]}).iloc[order]
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "m.parquet"
        labels.to_parquet(path)
        store = Store(Path(place) / "store")
        asked = PredictionsRequest(metrics=("top1", "mean_per_class", "nll", "brier"))
        import_predictions("predictions", PredictionFiles(), [path], store, "s", asked)
        (record,) = store.records()
    assert record.metrics == {name: own.metrics[name] for name in ("top1", "mean_per_class")}
    assert "evidence" not in record.files


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """The bytes of a sound file of each kind, by suffix, and a folder to write into."""
    folder = tmp_path_factory.mktemp("sound")
    logits = np.linspace(-2, 2, 18, dtype=np.float32).reshape(6, 3)
    ids, targets = np.array([f"img-{n}" for n in range(6)]), np.arange(6) % 3
    found = {}
    for kind in ("csv", "parquet", "npz", "npy"):
        path, _ = write_columns(folder, ids, targets, logits, "abc", kind)
        found[path.suffix] = path.read_bytes()
    return {**found, ".json": b"[[1, 2], [3, 4.5]]"}, folder


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz", ".npy", ".json"])
@settings(max_examples=60)
@given(
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    cut=st.floats(0, 1),
)
def test_damaged_files_are_refused_in_one_line(suffix, changes, cut, sound):
    files, folder = sound
    content = bytearray(files[suffix])
    for place, byte in changes:
        content[int(place * len(content))] = byte
    path = folder / f"damaged{suffix}"
    path.write_bytes(content if cut > 0.5 else content[: int(2 * cut * len(content))])
    said = f"{path}: read"
    try:
        match_predictions(read(path, array="logits"), path, None)
    except DataError as error:
        said = str(error)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said


# Columns


def columns(*names, **given):
    found = find_columns(names, ColumnNames(**given), Path("f"))
    scores = find_score_columns(names, ColumnNames(**given), Path("f"))
    return found, scores


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("ID", "Target", "Pred"), {"id": "ID", "target": "Target", "prediction": "Pred"}),
        (
            ("filename", "label", "prediction"),
            {"id": "filename", "target": "label", "prediction": "prediction"},
        ),
        (("x", "y_true", "y_pred"), {"id": None, "target": "y_true", "prediction": "y_pred"}),
    ],
)
def test_columns_are_found_by_usual_names(names, expected):
    assert columns(*names)[0] == expected


def test_score_columns_are_ordered_by_number_or_named_by_class():
    _, found = columns("id", "logit_10", "logit_2", *(f"logit_{n}" for n in (0, 1, 3, 4, 5, 6, 7, 8, 9)))
    assert found.columns == [f"logit_{n}" for n in range(11)]
    assert found.classes is None
    _, found = columns("prob_tabby cat", "prob_dog")
    assert (found.kind, found.classes) == ("probabilities", ["tabby cat", "dog"])
    _, found = columns("s1_x", "s0_x", logits="s*_x")
    assert (found.columns, found.kind) == (["s0_x", "s1_x"], "logits")


@pytest.mark.parametrize(
    ("names", "given", "expected"),
    [
        (("id", "image"), {}, "f: 'id' and 'image' may each be the id: name one with id=…"),
        (("id", "traget"), {"target": "target"}, "f: no column 'target'; did you mean 'traget'?"),
        (("logits", "probs"), {}, "f: both 'logits' and 'probs' may hold scores: name one with logits=… or"),
        (("logit_0", "logit_2"), {}, "f: 2 columns such as 'logit_0', and none for class 1"),
        (("a", "b"), {"logits": "z_*"}, "f: no column matches logits=z_*"),
    ],
)
def test_columns_that_could_be_others_are_refused(names, given, expected):
    with pytest.raises(DataError) as caught:
        columns(*names, **given)
    assert str(caught.value).startswith(expected)


# Files


def read(path, **options):
    (found,) = PredictionFiles(**options).read(path)
    assert isinstance(found, ImportedPredictions)
    return found


def test_short_numbers_in_csv_are_float32_and_long_ones_float64(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("id,target,logit_0,logit_1\na,0,0.1,16777217\n")
    assert read(path).scores.dtype == np.float32
    path.write_text("id,target,logit_0,logit_1\na,0,0.1234567891,2\n")
    assert read(path).scores.tolist() == [[0.1234567891, 2.0]]
    path.write_text("id,target,logit_0,logit_1\na,0,1e300,2\n")
    assert read(path).scores.dtype == np.float64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'id,target,logits\na,0,"[1, 2]"\nb,1,"[1, 2, 3]"\n',
            "line 3: 'logits' has 3 numbers, those before have 2",
        ),
        ('id,target,logits\na,0,"[1, x]"\n', "line 2: 'logits' is '[1, x]': expected a list of numbers"),
        ("id,id,target\na,b,0\n", "two columns are called 'id'"),
        ("", "not a CSV file that can be read"),
    ],
)
def test_faults_of_csv_files(text, expected, tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: {expected}")


def test_faults_of_parquet_files(tmp_path):
    path = tmp_path / "m.parquet"
    path.write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="not a Parquet file that can be read"):
        read(path)
    for lists, expected in (
        ([[1.0, 2.0], None], "row 2: 'logits' is empty"),
        ([[1.0, 2.0], [1.0]], "row 2: 'logits' has 1 numbers, those before have 2"),
        ([[1.0, 2.0], [None, 1.0]], "row 2: 'logits' is empty"),
    ):
        pq.write_table(pa.table({"id": ["a", "b"], "target": [0, 1], "logits": lists}), path)
        with pytest.raises(DataError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: {expected}")
    pq.write_table(pa.table({"id": ["a"], "target": [0], "logit_0": ["x"], "logit_1": ["y"]}), path)
    with pytest.raises(DataError, match="column 'logit_0' is of the type string: expected numbers"):
        read(path)


def test_faults_of_arrays(tmp_path):
    path = tmp_path / "m.npy"
    np.save(path, np.array([0, None], object), allow_pickle=True)
    with pytest.raises(
        DataError, match=r"m\.npy: not a file of NumPy arrays that can be read: .*allow_pickle=False"
    ):
        read(path)
    np.save(path, np.zeros((2, 3, 4)))
    with pytest.raises(
        DataError, match=r"an array of the shape \(2, 3, 4\): expected samples, or samples × classes"
    ):
        read(path)
    (tmp_path / "m.json").write_text('{"a": 1}')
    with pytest.raises(DataError, match=r"m\.json: expected a JSON list of labels"):
        read(tmp_path / "m.json")
    (tmp_path / "m.json").write_text("[[1, 2], [3]]")
    with pytest.raises(DataError, match=r"m\.json: not a JSON list of equal rows"):
        read(tmp_path / "m.json")
    with pytest.raises(DataError, match=r"m\.xlsx: expected one of \.csv, \.parquet, \.npz, \.npy, \.json"):
        read(tmp_path / "m.xlsx")
    with pytest.raises(OptionError, match="logits and probabilities are both named"):
        PredictionFiles(logits="a", probabilities="b")


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([Decimal("1.5"), Decimal("1.0")], "row 1: prediction 1.5 is not a whole number"),
        ([[0], [1]], "row 1: prediction [0]: expected a class"),
        ([{"a": 1}, {"a": 0}], "row 1: prediction {'a': 1}: expected a class"),
        ([b"0", b"cat"], "prediction 'cat' is no class|predictions are names, such as"),
        ([0, 2**40], "row 2: prediction 1099511627776 is no class"),
        (pa.array([0, 2**64 - 1], pa.uint64()), "row 2: prediction 18446744073709551615 is no class"),
        (
            [datetime(2026, 1, 1), datetime(2026, 1, 2)],
            "row 1: prediction 2026-01-01 00:00:00: expected a class",
        ),
    ],
)
def test_labels_of_other_types_are_named(column, expected, tmp_path):
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": ["a", "b"], "target": [0, 1], "prediction": column}), file)
    (found,) = PredictionFiles().read(file)
    with pytest.raises(DataError, match="|".join(map(re.escape, expected.split("|")))):
        match_predictions(found, file, None)


def test_a_label_with_more_digits_than_a_class_has_is_named(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("id,target,prediction\n1,0,99999999999999999999\n2,1,1\n")
    (found,) = PredictionFiles().read(file)
    with pytest.raises(DataError, match=r"line 2: prediction 1e\+20 is no class"):
        match_predictions(found, file, None)


@pytest.mark.parametrize("end", ["csv", "parquet", "npz"])
def test_one_score_beside_a_predicted_label_is_no_score_of_all_classes(end, tmp_path):
    file = tmp_path / f"a.{end}"
    columns = {
        "id": np.array([1, 2]),
        "target": np.array([0, 1]),
        "prediction": np.array([0, 0]),
        "score": np.array([0.9, 0.8]),
    }
    if end == "npz":
        np.savez(file, **columns)
    elif end == "csv":
        pd.DataFrame(columns).to_csv(file, index=False)
    else:
        pd.DataFrame(columns).to_parquet(file)
    assert PredictionFiles.recognise(file)
    (found,) = PredictionFiles().read(file)
    assert found.scores is None
    assert list(map(int, found.labels)) == [0, 0]
    assert found.remarks == [
        "'score' was left out: it has one number for each sample, and none for each class"
    ]


@pytest.mark.parametrize("end", ["csv", "parquet"])
def test_a_table_of_results_is_not_taken_for_predictions(end, tmp_path):
    file = tmp_path / f"a.{end}"
    table = pd.DataFrame({"id": [1], "model": ["A"], "dataset": ["x"], "metric": ["top1"], "score": [0.5]})
    table.to_csv(file, index=False) if end == "csv" else table.to_parquet(file)
    assert not PredictionFiles.recognise(file)


def test_a_model_is_called_by_its_whole_file_name(tmp_path):
    file = tmp_path / "vit_base_patch16_224.augreg_in21k.csv"
    file.write_text("id,target,prediction\n1,0,0\n2,1,1\n")
    (made,) = import_predictions("predictions", PredictionFiles(), [file], Store(tmp_path / "store"), "s")
    assert made.record.coordinates["model"] == "vit_base_patch16_224.augreg_in21k"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("id,target,prediction\n007,0,0\n2,1,1\n", "utf-8"),
        ("\n\nid,target,prediction\n007,0,0\n2,1,1\n", "utf-8"),
        ("id;target;prediction\r\n007;0;0\r\n2;1;1\r\n", "utf-8-sig"),
        ("id\ttarget\tprediction\n007\t0\t0\n2\t1\t1\n", "utf-16"),
        ("id, target, prediction\n007, 0, 0\n2, 1, 1\n", "utf-8"),
        ('"id","target","prediction"\r007,0,0\r2,1,1\r', "utf-8"),
    ],
)
def test_csv_files_of_any_program_are_read_as_text(text, encoding, tmp_path):
    file = tmp_path / "a.csv"
    file.write_bytes(text.encode(encoding))
    assert PredictionFiles.recognise(file)
    (found,) = PredictionFiles().read(file)
    assert (found.ids, found.targets, found.labels) == (["007", "2"], ["0", "1"], ["0", "1"])


def test_a_file_without_predictions_says_what_it_has(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("id,answer\n1,cat\n")
    assert not PredictionFiles.recognise(file)
    with pytest.raises(
        DataError, match="no column of predicted labels, logits or probabilities among id, answer: name it"
    ):
        PredictionFiles().read(file)
