"""Plain tables whose numbers could be read in two ways: in doubt the import asks, or says what it took them for."""

import pytest


@pytest.fixture
def import_text(run_import, tmp_path):
    """Import a text as a CSV file; return exit status, output and errors."""

    def run(text, options=""):
        path = tmp_path / "t.csv"
        path.write_text(text)
        return run_import(path, "--as", f"table?{options}" if options else "table")

    return run


def test_a_column_without_large_numbers_beside_one_in_percent_is_asked_about(import_text, cells):
    text = "model,dataset,top1,top5\nA,imagenet-a,0.4,8.2\nB,imagenet-a,0,9.1\n"
    status, _, errors = import_text(text)
    assert status == 2
    assert "top1: 0.4, a fraction or a percentage?" in errors
    assert "percent=top1 or fraction=top1" in errors
    assert not cells()
    assert import_text(text, "percent=top1")[0] == 0
    assert cells()["A", "imagenet-a"].metrics == {"top1": 0.004, "top5": 0.082}


def test_an_option_says_that_a_column_holds_fractions(import_text, cells):
    assert import_text("model,dataset,top1,top5\nA,x,0.4,82.5\n", "fraction=top1")[0] == 0
    assert cells()["A", "x"].metrics == {"top1": 0.4, "top5": 0.825}


def test_zeros_alone_are_no_doubt(import_text, cells):
    assert import_text("model,dataset,top1,top5\nA,x,0,8.2\n")[0] == 0
    assert cells()["A", "x"].metrics == {"top1": 0.0, "top5": 0.082}


def test_a_small_number_in_a_column_of_percentages_carries_a_remark(import_text, cells):
    assert import_text("model,dataset,top1\nA,imagenet,76.1\nA,imagenet-a,0.4\n")[0] == 0
    assert cells()["A", "imagenet-a"].metrics == {"top1": 0.004}
    assert cells()["A", "imagenet-a"].remarks == ["top1: 0.4 was read as a percentage, as others of it are"]
    assert cells()["A", "imagenet"].remarks == []


def test_rows_of_one_metric_each_share_the_percent_and_the_record(import_text, cells):
    text = "model,dataset,metric,value,runs\nA,x,top1,70.5,3\nA,x,top5,90,3\nA,x,ece,0.25,9\nA,y,top1,0.4,3\n"
    assert import_text(text)[0] == 0
    found = cells()
    assert found["A", "x"].metrics == {"top1": 0.705, "top5": 0.9, "ece": 0.25}
    assert found["A", "y"].metrics == {"top1": 0.004}
    assert found["A", "x"].notes["settings"] == {"runs of top1": 3, "runs of top5": 3, "runs of ece": 9}
    assert found["A", "y"].notes["settings"] == {"runs": 3}
    assert "0 records imported, 2 were there already" in import_text(text)[1]


def test_a_metric_named_in_percent_in_its_row_is_in_percent(import_text, cells):
    assert import_text("model,dataset,metric,value\nA,x,top1 (%),0.7\n")[0] == 0
    assert cells()["A", "x"].metrics == {"top1": 0.007}


def test_a_metric_with_two_numbers_is_left_out_and_the_others_are_not(import_text, cells):
    status, _, errors = import_text("model,dataset,metric,value\nA,x,top1,0.7\nA,x,top1,0.6\nA,x,ece,0.1\n")
    assert status == 1
    assert "line 2: A on x: top1 has other numbers in line 3" in errors
    assert cells()["A", "x"].metrics == {"ece": 0.1}


def test_two_columns_of_one_metric_are_asked_about(import_text, cells):
    status, _, errors = import_text("model,dataset,top1,acc@1\nA,x,0.4,0.5\n")
    assert status == 2
    assert "columns 'top1' and 'acc@1' both hold top1" in errors
    assert import_text("model,dataset,top1,acc@1\nA,x,0.4,0.5\n", "metrics=acc@1")[0] == 0
    assert cells()["A", "x"].metrics == {"top1": 0.5}


@pytest.mark.parametrize("text", ["007", "00", "1e10", "12e4567", "12345678901234567890"])
def test_settings_that_are_ids_stay_texts(import_text, cells, text):
    assert import_text(f"model,dataset,top1,run\nA,x,0.4,{text}\n")[0] == 0
    assert cells()["A", "x"].tags == {"settings.run": text}


def test_whole_numbers_beyond_53_bits_keep_their_digits(run_import, tmp_path, cells):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {"model": ["A"], "dataset": ["x"], "top1": [0.5], "job": [2**62 + 1]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    assert run_import(tmp_path / "t.parquet")[0] == 0
    assert cells()["A", "x"].tags == {"settings.job": str(2**62 + 1)}


def test_runs_that_leading_zeros_tell_apart_are_two(import_text, cells):
    assert import_text("model,dataset,top1,run\nA,x,0.4,1\nA,x,0.5,01\n", "axes=run")[0] == 0
    assert {key[2]: r.metrics["top1"] for key, r in cells().items()} == {1: 0.4, "01": 0.5}


def test_missing_numbers_of_32_bits_are_missing(run_import, tmp_path, cells):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {"model": ["A", "B"], "dataset": ["x", "x"], "loss": [1.0, 2.0]}
    pq.write_table(pa.table(columns | {"top1": pa.array([0.9, None], pa.float32())}), tmp_path / "t.parquet")
    assert run_import(tmp_path / "t.parquet")[0] == 0
    assert cells()["A", "x"].metrics == {"top1": 0.9, "loss": 1.0}
    assert cells()["B", "x"].metrics == {"loss": 2.0}


@pytest.fixture
def write_sheet(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")

    def write(rows, formats=None):
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(row)
        for place, text in (formats or {}).items():
            book.active[place].number_format = text
        book.save(tmp_path / "t.xlsx")
        return tmp_path / "t.xlsx"

    return write


@pytest.mark.parametrize("column", ["top1", "top1 (%)"])
def test_a_sheet_that_shows_fractions_in_percent_holds_these_fractions(
    run_import, write_sheet, cells, column
):
    path = write_sheet([["model", "dataset", column], ["A", "x", 0.7613]], {"C2": "0.00%"})
    assert run_import(path)[0] == 0
    assert cells()["A", "x"].metrics == {"top1": 0.7613}
    assert cells()["A", "x"].notes["as written"] == {"top1": "76.13"}


def test_a_formula_that_was_never_computed_is_named(run_import, write_sheet, cells):
    path = write_sheet([["model", "dataset", "top1", "loss"], ["A", "x", "=1/4", 2.5], ["B", "x", 0.5, None]])
    status, _, errors = run_import(path)
    assert status == 1
    assert "line 2: top1: a formula without its value" in errors
    assert {key: r.metrics for key, r in cells().items()} == {("B", "x"): {"top1": 0.5}}


@pytest.mark.parametrize("text", ["top1\nA,x,76.1\nB,x,nan\n", "metric,value\nA,x,top1,76.1\nB,x,top1,nan\n"])
def test_no_number_stands_in_a_column_of_percentages(import_text, cells, text):
    assert import_text(f"model,dataset,{text}")[0] == 0
    assert cells()["A", "x"].metrics == {"top1": 0.761}
    assert cells()["B", "x"].metrics["top1"] != cells()["B", "x"].metrics["top1"]
