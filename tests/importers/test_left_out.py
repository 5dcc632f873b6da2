"""Rows that can't be read are named with file and line, and the rest of the file goes in."""

import json

import pytest

HEADER = "model,top1,top1_err,top5,top5_err,param_count,img_size,crop_pct,interpolation\n"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("b,high,1,2,3,4,5,6,x", "top1: expected a number, found 'high'"),
        ("b,150.0,1,2,3,4,5,6,x", "top1: expected a percentage, found '150.0'"),
        ("b,-1,1,2,3,4,5,6,x", "top1: expected a percentage, found '-1'"),
        (",50,1,2,3,4,5,6,x", "no name in the column 'model'"),
        ("b,50,1", "3 cells, expected 9"),
        ("b,,1,2,3,4,5,6,x", "no number in the column 'top1'"),
        ("b,50,1,2,3,4,5,6,x,more", "10 cells, expected 9"),
        (
            'b,50,1,2,3,"1,01",5,6,x',
            "param_count: expected a number with ',' between thousands, found '1,01'",
        ),
        ('"b"c,50,1,2,3,4,5,6,x', "not CSV: ',' expected after '\"'"),
    ],
)
def test_a_bad_row_is_named_and_the_rest_goes_in(run_import, tmp_path, store, row, reason):
    file = tmp_path / "results-imagenet.csv"
    file.write_text(f"{HEADER}a,50,50,60,40,1,224,0.9,x\n\n{row}\nc,70,30,80,20,1,224,0.9,x\n")
    status, out, errors = run_import(file)
    assert status == 1
    assert errors == f"left out: {file}: line 4: {reason}\n"
    assert "2 records imported" in out
    assert "1 rows left out" in out
    assert {r.coordinates["model"] for r in store.records()} == {"a", "c"}


def test_json_tells_them_too(run_import, tmp_path, capsys, store):
    file = tmp_path / "results-imagenet.csv"
    file.write_text(HEADER + "a,50,50,60,40,1,224,0.9,x\nb,x,50,60,40,1,224,0.9,x\n")
    status, out, errors = run_import(file, "--json")
    told = json.loads(out)
    assert (status, errors) == (1, "")
    assert told["left_out"] == [f"{file}: line 3: top1: expected a number, found 'x'"]
    assert (told["written"], told["same"], told["suite"], told["metrics"]) == (1, 0, "timm", ["top1", "top5"])


def test_only_so_many_get_a_line_each(run_import, tmp_path):
    file = tmp_path / "results-imagenet.csv"
    file.write_text(HEADER + "a,50,50,60,40,1,224,0.9,x\n" + "b,x,50,60,40,1,224,0.9,x\n" * 30)
    status, _, errors = run_import(file)
    assert status == 1
    assert len(errors.splitlines()) == 21
    assert errors.splitlines()[-1] == "left out: … and 10 more"


def test_a_file_of_only_bad_rows_is_none(run_import, tmp_path, store):
    file = tmp_path / "results-imagenet.csv"
    file.write_text(HEADER + "b,x,50,60,40,1,224,0.9,x\n")
    status, out, errors = run_import(file)
    assert (status, out) == (2, "")
    assert errors == f"harness: {file}: line 2: top1: expected a number, found 'x'\n"
    assert not store.path.exists()


def test_rows_that_contradict_each_other_are_both_left_out(run_import, tmp_path, store):
    file = tmp_path / "results-imagenet.csv"
    row = "a,{},{},60,40,1,224,0.9,x\n"
    file.write_text(HEADER + row.format(50.0, 50) + "b,60,40,70,30,1,224,0.9,x\n" + row.format(50.1, 49.9))
    status, _, errors = run_import(file)
    assert status == 1
    what = "classification · a · imagenet"
    assert errors == f"left out: {file}: line 2 and line 4: {what} with different numbers\n"
    assert [r.coordinates["model"] for r in store.records()] == ["b"]


def test_equal_rows_count_once(run_import, tmp_path, store):
    file = tmp_path / "results-imagenet.csv"
    file.write_text(HEADER + "a,50.0,50,60,40,1,224,0.9,x\n" * 2)
    status, out, _ = run_import(file)
    assert status == 0
    assert "1 records imported, 0 were there already" in out


def test_a_file_that_cant_be_read_stops_all(run_import, tmp_path, store, data):
    (tmp_path / "results-bad.json").write_text("{")
    status, out, errors = run_import(data / "results-imagenet.csv", tmp_path / "results-bad.json")
    assert (status, out) == (2, "")
    assert len(errors.splitlines()) == 1
    assert not store.path.exists()


def test_bad_rows_of_clip_benchmark_and_of_open_clip(run_import, tmp_path):
    bench = tmp_path / "b.csv"
    bench.write_text(
        "acc1,lr,dataset,model,pretrained,task,model_fullname\n0.5,,d,m,p,zeroshot_classification,m p\n"
        "five,,d,n,p,zeroshot_classification,n p\n,,d,o,p,zeroshot_classification,o p\n0.5,,,q,p,t,q p\n"
    )
    table = tmp_path / "o.csv"
    table.write_text("name,pretrained,ImageNet 1k,CIFAR-10\nm,p,0.5,50.1\nn,p,x,0.5\n")
    status, out, errors = run_import(bench, table)
    assert status == 1
    assert "3 records imported" in out
    assert errors.splitlines() == [
        f"left out: {bench}: line 3: acc1: expected a number, found 'five'",
        f"left out: {bench}: line 4: 'metrics' holds no number",
        f"left out: {bench}: line 5: expected clip_benchmark's dataset, model, pretrained, task and metrics, found no 'dataset'",
        f"left out: {table}: line 2: m p: CIFAR-10: expected a fraction, found '50.1'",
        f"left out: {table}: line 3: n p: ImageNet 1k: expected a number, found 'x'",
    ]


def test_bad_cells_of_robustbench(run_import, tmp_path, data):
    folder = tmp_path / "cifar10" / "corruptions"
    folder.mkdir(parents=True)
    (folder / "t.csv").write_text(",fog,fog\n,1,2\na,0.5,oops\n,0.5,0.5\nb,0.5\n\nc,,0.25\n")
    status, out, errors = run_import(folder / "t.csv")
    assert status == 1
    assert "2 records imported" in out
    assert [line.partition("t.csv: ")[2] for line in errors.splitlines()] == [
        "line 3: a: fog 2: expected a number, found 'oops'",
        "line 4: no name in the first column, expected a model and 2 accuracies",
        "line 5: 2 cells, expected a model and 2 accuracies",
    ]


@pytest.mark.parametrize("row", ["b,0.875,0.125,0.968,0.032", "b,87.5,96.8,12.5,3.2"])
def test_accuracies_that_do_not_fit_their_errors_are_named(run_import, tmp_path, store, row):
    """As in a file of fractions, or with columns in another order than its header says."""
    file = tmp_path / "results-imagenet.csv"
    file.write_text(HEADER + f"a,50,50,60,40,1,224,0.9,x\n{row},1,224,0.9,x\n")
    status, _, errors = run_import(file)
    assert status == 1
    assert "line 3: top1 " in errors
    assert "expected percentages that sum to 100" in errors
    assert {r.coordinates["model"] for r in store.records()} == {"a"}


def test_a_row_that_stands_twice_is_that_of_a_model_with_one_size(run_import, tmp_path, store):
    file = tmp_path / "results-imagenet.csv"
    file.write_text(HEADER + "a,50,50,60,40,1,224,0.9,x\n" * 2)
    assert run_import(file)[0] == 0
    (record,) = store.records()
    assert "img_size" not in record.coordinates


@pytest.mark.parametrize("metric", ["acc1", "lp_acc1", "image_retrieval_recall@5"])
def test_percentages_are_not_clip_benchmarks(run_import, tmp_path, store, metric):
    """It writes fractions: 91.2 would stand beside them a hundred times as large."""
    file = tmp_path / "a.json"
    content = {"dataset": "x", "model": "m", "pretrained": "p", "task": "t", "metrics": {metric: 91.2}}
    file.write_text(json.dumps(content))
    status, _, errors = run_import(file)
    assert status == 2
    assert f"metrics.{metric}: expected a fraction, found 91.2" in errors
    assert not store.path.exists()


def test_what_was_assumed_of_a_number_is_said(run_import, tmp_path):
    file = tmp_path / "t.csv"
    file.write_text(
        "model,dataset,top1\na,x,76.1\na,y,0.4\n" + "".join(f"m{n},y,0.{n + 1}\n" for n in range(30))
    )
    out = run_import(file)[1]
    assert "note: a on y: top1: 0.4 was read as a percentage, as others of it are\n" in out
    assert out.count("note: ") == 21
    assert "note: … and 11 more, which the records hold\n" in out
