"""Plain tables of users: CSV, Parquet and Excel, with columns found or named."""

import csv
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import DataError, ImportedResult, OptionError
from harness_importers.table import PlainTable
from harness_importers.table_columns import name_metric


def metrics_of(cells):
    return {key: record.metrics for key, record in cells().items()}


def write(tmp_path, text, name="t.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def test_columns_are_found_by_their_names(run_import, tmp_path, cells):
    path = write(
        tmp_path,
        "Model Name,Data_Set,Top-1,loss,img_size,note,Seed\nA,x,76.13,0.5,224,good,3\nB,x,50,0.7,384,,0\n",
    )
    assert run_import(path)[0] == 0
    found = cells()
    assert metrics_of(cells) == {
        ("A", "x"): {"top1": 0.7613, "loss": 0.5},
        ("B", "x"): {"top1": 0.5, "loss": 0.7},
    }
    record = found["A", "x"]
    assert record.directions == {"top1": True, "loss": False}
    assert record.units == {"top1": "fraction"}
    assert record.tags == {"settings.img_size": 224, "settings.note": "good"}
    assert record.coordinates["seed"] == 3
    assert record.coordinates["protocol"] == "imported"


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("model;dataset;accuracy\nA;x;71,5\n", "decimal=,", {"accuracy": 0.715}),
        ("model;dataset;loss\nA;x;1.234,5\n", "decimal=,&thousands=.", {"loss": 1234.5}),
        ('model,dataset,loss\nA,x,"1,234.5"\n', "thousands=,", {"loss": 1234.5}),
        ("model\tdataset\ttop1\nA\tx\t0.5\n", "", {"top1": 0.5}),
        ("model|dataset|top1\nA|x|0.5\n", "separator=|", {"top1": 0.5}),
        ("model,dataset,top1\nA,x,70%\n", "", {"top1": 0.7}),
        ("model,dataset,top1 (%)\nA,x,0.7\n", "", {"top1": 0.007}),
        ("model,dataset,top1\nA,x,0.7\n", "percent=top1", {"top1": 0.007}),
        ("model,dataset,zorp\nA,x,0.7\n", "higher=zorp", {"zorp": 0.7}),
        ("net,dataset,top1\nA,x,0.7\n", "model=net", {"top1": 0.7}),
        ("model,top1\nA,0.7\n", "dataset_is=x", {"top1": 0.7}),
        ("dataset,top1\nx,0.7\n", "model_is=A", {"top1": 0.7}),
        ("model,x\nA,0.7\n", "datasets=x&metric_is=top1", {"top1": 0.7}),
        ("model,dataset,metric,value\nA,x,top1,70.5\n", "", {"top1": 0.705}),
        ("model,dataset,top1,top5\nA,x,0.7,\n", "", {"top1": 0.7}),
        ("model,dataset,top1,top5\nA,x,0.7,n/a\n", "", {"top1": 0.7}),
        ("\ufeffmodel,dataset,top1\nA,x,0.7\n", "", {"top1": 0.7}),
        ("\n\nmodel,dataset,top1\n,,\nA,x,0.7\n", "", {"top1": 0.7}),
        ("model,dataset,top1\rA,x,0.7\r", "", {"top1": 0.7}),
        ("model,dataset,loss\nA,x,−1e-3\n", "", {"loss": -0.001}),
    ],
)
def test_forms_of_tables(run_import, tmp_path, cells, text, options, expected):
    path = write(tmp_path, text)
    assert run_import(path, "--as", f"table?{options}")[0] == 0
    assert metrics_of(cells) == {("A", "x"): expected}


def test_encodings(run_import, tmp_path, cells):
    text = "model,dataset,top1\nModèle,größe,0.5\n"
    assert run_import(write(tmp_path, text, "u.csv", "utf-16"))[0] == 0
    status, _, errors = run_import(write(tmp_path, text, "l.csv", "latin-1"), "--as", "table")
    assert status == 2
    assert f"{tmp_path / 'l.csv'}: line 2: not utf-8 text; save it as UTF-8" in errors
    status, out, _ = run_import(tmp_path / "l.csv", "--as", "table?encoding=latin-1")
    assert (status, "1 were there already" in out) == (0, True)
    assert metrics_of(cells) == {("Modèle", "größe"): {"top1": 0.5}}


@pytest.mark.parametrize(
    ("text", "options", "reason"),
    [
        ("net,dataset,top1\nA,x,1\n", "", "no column of the model among net, dataset, top1; name it"),
        ("model,top1\nA,1\n", "", "no column of the dataset among model, top1; name it"),
        (
            "model,dataset,zorp\nA,x,1\n",
            "",
            "no column of a known metric among model, dataset, zorp; name them",
        ),
        (
            "model,dataset,zorp\nA,x,1\n",
            "metrics=zorp",
            "column 'zorp': larger or smaller better? say higher=zorp",
        ),
        ("model,dataset,top1\nA,x,1\n", "metrics=top", "no column 'top' for metrics; did you mean 'top1'?"),
        ("model,dataset,top1\nA,x,1\n", "model=modle", "no column 'modle' for model; did you mean 'model'?"),
        ("model,dataset,top1,top1\nA,x,1,2\n", "", "line 1: two columns are called 'top1', 3 and 4"),
        ("model,x\nA,1\n", "datasets=x", "datasets in columns: say what they hold, as in metric_is=top1"),
        ("", "", "an empty file, expected a table"),
        ("\n\n", "", "an empty file, expected a table"),
        ("model,dataset,top1\n", "", "importer 'table' found no results in it"),
        (
            'model,dataset,top1\nA,x,"71,5"\n',
            "",
            "line 2: top1: expected a number, found '71,5'; a decimal comma?",
        ),
        ("model,dataset,top1\nA,x,\n", "", "line 2: no number in it"),
        ("model,dataset,top1,seed\nA,x,1,1.5\n", "", "line 2: seed: expected a whole number, found '1.5'"),
        ("model,dataset,top1\nA,x,120\n", "", "line 2: top1: expected a percentage, found '120'"),
        ("model,dataset,top1\n,x,1\n", "", "line 2: nothing in the column 'model'"),
        (
            "model,dataset,loss\nA,x,1e999\n",
            "",
            "line 2: loss: expected a number that a float can hold, found '1e999'",
        ),
        (
            "model,dataset,metric,value\nA,x,zorp,1\n",
            "",
            "line 2: zorp: unknown whether a larger value is better",
        ),
        (
            "model,dataset,top1\nA,x,1\n",
            "encoding=klingon",
            "encoding 'klingon': Python knows none of that name",
        ),
    ],
)
def test_what_cant_be_read_gets_one_line(run_import, tmp_path, text, options, reason):
    path = write(tmp_path, text)
    status, _, errors = run_import(path, "--as", f"table?{options}")
    assert status == 2
    assert errors.startswith(f"harness: {path}: {reason}")
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("options", [{"decimal": ";"}, {"decimal": ",", "thousands": ","}])
def test_marks_that_contradict_each_other(options):
    with pytest.raises(OptionError, match=r"expected '\.' or ',', and not the same"):
        PlainTable(**options)


def test_parquet_keeps_the_digits_of_its_precision(run_import, tmp_path, cells):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "model": ["A", "B", None],
            "dataset": ["x", "x", "x"],
            "top1": pa.array([0.901, 0.5, 0.1], pa.float32()),
            "loss": [0.1 + 0.2, float("nan"), 1.0],
            "epochs": [3, None, 4],
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    status, _, errors = run_import(tmp_path / "t.parquet")
    assert status == 1
    assert errors == f"left out: {tmp_path / 't.parquet'}: line 3: nothing in the column 'model'\n"
    found = cells()
    assert found["A", "x"].metrics == {"top1": 0.901, "loss": 0.30000000000000004}
    assert found["A", "x"].tags == {"settings.epochs": 3}
    assert str(found["B", "x"].metrics["loss"]) == "nan"
    (tmp_path / "bad.parquet").write_text("no")
    assert "not a Parquet file" in run_import(tmp_path / "bad.parquet", "--as", "table")[2]


def test_excel(run_import, tmp_path, cells):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append([None, None, None])
    book.active.append(["model", "dataset", "top1"])
    book.active.append(["A", "x", 0.7613])
    book.active.append(["B", "x", "?"])
    book.save(tmp_path / "t.xlsx")
    status, _, errors = run_import(tmp_path / "t.xlsx")
    assert status == 1
    assert "t.xlsx: line 4: top1: expected a number, found '?'" in errors
    assert metrics_of(cells) == {("A", "x"): {"top1": 0.7613}}
    book.create_sheet("two")
    book.save(tmp_path / "two.xlsx")
    assert "it has sheets Sheet, two; say which" in run_import(tmp_path / "two.xlsx", "--as", "table")[2]
    assert run_import(tmp_path / "two.xlsx", "--as", "table?sheet=Sheet")[0] == 1
    assert "no sheet 'x', it has Sheet, two" in run_import(tmp_path / "two.xlsx", "--as", "table?sheet=x")[2]
    (tmp_path / "bad.xlsx").write_text("no")
    assert "not an Excel file" in run_import(tmp_path / "bad.xlsx", "--as", "table")[2]


@pytest.mark.parametrize(
    ("column", "metric"),
    [
        ("Top-1", "top1"),
        ("acc@1 (%)", "top1"),
        ("Accuracy@5", "top5"),
        ("F1 [%]", "F1"),
        ("Top-1 accuracy in %", "top1"),
    ],
)
def test_names_of_metrics(column, metric):
    assert name_metric(column) == metric


NAME = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), min_size=1, max_size=12
)
NUMBER = st.decimals(0, 1, places=7)


@given(
    rows=st.lists(st.tuples(NAME, NAME, NUMBER), min_size=1, max_size=8, unique_by=lambda row: row[:2]),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    ending=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    blank=st.booleans(),
    comma=st.booleans(),
)
def test_what_a_spreadsheet_writes_is_read_back(
    tmp_path_factory, rows, delimiter, quoting, ending, encoding, blank, comma
):
    path = tmp_path_factory.mktemp("table") / "t.csv"
    with path.open("w", newline="", encoding=encoding) as out:
        writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=ending)
        writer.writerow(["model", "dataset", "top1"])
        for model, dataset, number in rows:
            writer.writerow([model, dataset, str(number).replace(".", ",") if comma else str(number)])
            if blank:
                writer.writerow(["", "", ""])
    found = list(PlainTable(decimal="," if comma else ".").read(path))
    assert all(isinstance(result, ImportedResult) for result in found)
    assert [(r.model.label, r.dataset.label, Decimal(r.written["top1"])) for r in found] == rows
    assert [Decimal(repr(r.metrics["top1"])) for r in found] == [number for *_, number in rows]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("table") / "t.csv"
    path.write_bytes(b"model,dataset,top1\n" + content)
    assert PlainTable.recognise(path) in (True, False)
    told = f"{path}: read"
    try:
        for found in PlainTable().read(path):
            assert isinstance(found, ImportedResult) or found.line >= 2
    except DataError as error:
        told = str(error)
    assert told.startswith(f"{path}: ")
    assert "\n" not in told
