"""`harness table`: where its answer goes, and settings that make no sense."""

import json
import os

import pytest

import harness
from harness.cli import main
from harness.errors import SuiteError


@pytest.fixture
def store(maker, hits):
    made = maker("store", suite="v1.2")
    for n, model in enumerate("ab"):
        made.record(model, "x", hits(0.8, 50, n), values={"psnr": float("inf")})
    return made.done()


@pytest.fixture
def run(store, capsys):
    def table(*options):
        status = main(["table", *options, "--store", str(store.path)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return table


def test_a_suite_whose_name_has_a_dot(run):
    assert run("v1.2") == run()
    assert run("v1.2.toml")[0] == 0


def test_json_is_strict_and_goes_where_it_is_wanted(run, tmp_path):
    status, text, _ = run("--value", "psnr", "--json")
    (table,) = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert status == 0
    assert table["rows"][0]["entries"][0]["value"] == "inf"
    for option in (["--json"], ["--format", "json"]):
        assert run("--value", "psnr", *option, "--out", str(tmp_path / "t.json"))[:2] == (0, "")
        assert (tmp_path / "t.json").read_text() == text


def test_a_place_that_can_not_be_written_is_named(run, tmp_path):
    (tmp_path / "file").write_text("")
    status, _, said = run("--out", str(tmp_path / "file" / "table.md"))
    assert status == 2
    assert said.startswith(f"harness: --out {tmp_path / 'file' / 'table.md'}: can't be written")


def test_links_and_pipes_are_written_to_and_not_replaced(run, tmp_path):
    text = run()[1]
    link, file = tmp_path / "link", tmp_path / "file"
    file.write_text("before")
    link.symlink_to(file)
    assert run("--out", str(link))[0] == 0
    assert link.is_symlink()
    assert file.read_text() == text
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    assert run("--out", str(tmp_path / "pipe"))[0] == 0
    assert os.read(reader, 1 << 16).decode() == text
    os.close(reader)


@pytest.mark.parametrize("decimals", ["-1", "400"])
def test_decimals_that_make_no_sense(run, decimals):
    status, _, said = run("--decimals", decimals)
    assert status == 2
    assert "decimals" in said
    assert decimals in said


def test_settings_from_python_are_checked_too(store):
    with pytest.raises(SuiteError, match=r"rows: expected a list, such as \['model'\]"):
        harness.table("v1.2", store=store.path, rows="model")
    assert len(harness.table("v1.2", store=store.path, rows=["model"], decimals=2)) == 1


def test_a_plan_without_cells(maker, capsys, tmp_path):
    store = maker("empty").done(tables=[{"name": "t", "rows": [], "columns": [], "values": ["top1"]}])
    assert main(["table", "--store", str(store.path)]) == 0
    assert main(["report", "--store", str(store.path), "--out", str(tmp_path / "page.html")]) == 0
    assert "0 cells" in (tmp_path / "page.html").read_text(encoding="utf-8")
    capsys.readouterr()


def test_a_damaged_file_of_samples_is_named_and_leaves_the_page(store, tmp_path, capsys, caplog):
    file = sorted((store.path / "samples").rglob("*.parquet"))[0]
    file.write_bytes(b"half")
    assert main(["compare", *[str(store.path)] * 2, "--a", "model=a", "--b", "model=b"]) == 0
    assert "undecided" in capsys.readouterr().out
    assert f"harness: {file}: can't be read" in caplog.text
    assert main(["report", "--store", str(store.path), "--out", str(tmp_path / "page.html")]) == 0
    assert f"{file.name} is damaged in the store" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_an_index_of_another_form_is_made_again(store, run):
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = run("--format", "csv")
    table = pq.read_table(store.path / "index.parquet")
    other = table.set_column(table.column_names.index("count"), "count", pa.array(["50"] * 2))
    for wrong in (other.slice(0, 1), table.drop_columns(["status"])):
        pq.write_table(wrong, store.path / "index.parquet")
        assert run("--format", "csv") == first
