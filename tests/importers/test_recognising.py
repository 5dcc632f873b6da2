"""Files find their importer by their content; where they don't, one line says what to do."""

import shutil
from pathlib import Path

import pytest

import harness
from harness import ImportedPart, ImportedResult
from harness.contract.declared import ask
from harness.discovery import registry
from harness.errors import DataError, SuiteError
from harness.exchange.contract import suffixes
from harness.exchange.recognising import make_finder, open_importer, split_program

OWN = [p.name for p in registry.installed("importers") if p.distribution == "vision-harness"]


@pytest.mark.parametrize("name", OWN)
def test_the_example_of_each_is_its_own_and_no_others(name, tmp_path):
    importer = open_importer(name).importer
    file = tmp_path / (ask(importer, "example_name") or f"results{suffixes(importer)[0]}")
    file.write_text(importer.example)
    found = make_finder()(file)
    assert found is not None
    assert found.name == name


def test_public_files_find_their_importer(data):
    find = make_finder()
    found = {p.name: find(p) for p in data.rglob("*") if p.is_file()}
    assert {name: by and by.name for name, by in found.items()} == {
        "README.md": None,
        "results-imagenet.csv": "timm",
        "results-imagenet-real.csv": "timm",
        "results-imagenetv2-matched-frequency.csv": "timm",
        "results-imagenet-a.csv": "timm",
        "results-imagenet-a-clean.csv": "timm",
        "results-imagenet-r.csv": "timm",
        "results-imagenet-r-clean.csv": "timm",
        "results-sketch.csv": "timm",
        "benchmark.csv": "clip_benchmark",
        "openclip_results.csv": "open_clip",
        "openclip_retrieval_results.csv": "open_clip",
        "Hendrycks2020Many.json": "robustbench",
        "AlexNet.json": "robustbench",
        "Atzmon2019Controlling.json": "robustbench",
        "Bai2024MixedNUTS.json": "robustbench",
        "Carmon2019Unlabeled.json": "robustbench",
        "unaggregated_results.csv": "robustbench",
        "unaggregated_results_3d.csv": "robustbench",
        "20260923_172512_samples_mme.jsonl": None,
    }


def test_a_folder_of_all_goes_to_a_suite_for_each(run_import, data, store):
    status, out, errors = run_import(data)
    assert (status, errors) == (0, "")
    assert store.suites() == ["clip_benchmark", "open_clip", "robustbench", "timm"]
    assert "2 files that no importer recognises passed over" in out
    before = len(store.listing())
    status, out, _ = run_import(data, "--suite", "all-of-it")
    assert f"0 records imported, {before} were there already" in out
    assert len(store.manifest("all-of-it")["cells"]) == before


def test_the_store_inside_a_folder_is_no_result(run_import, data, store):
    shutil.copytree(data, store.path.parent / "data")
    assert run_import(store.path.parent)[0] == 0
    count = len(store.listing())
    status, out, _ = run_import(store.path.parent)
    assert status == 0
    assert f"0 records imported, {count} were there already" in out
    assert "2 files that no importer" in out


def test_no_importer_knows_it(run_import, tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    status, out, errors = run_import(tmp_path / "x.csv")
    assert (status, out) == (2, "")
    (line,) = errors.splitlines()
    assert line.startswith(f"harness: {tmp_path / 'x.csv'}: no importer recognises it")
    assert "robustbench" in line
    assert "--as NAME" in line
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x.csv").write_text("a,b\n1,2\n")
    status, _, errors = run_import(tmp_path / "folder")
    assert status == 2
    assert "no importer recognises any of the 1 files there" in errors


class Twin:
    """Takes timm's files for its own, too."""

    suffix = (".csv",)
    example = "x"

    def recognise(self, file: Path) -> bool:
        return "timm" in file.read_text() or "top1_err" in file.read_text()

    def read(self, file):
        part = ImportedPart("x", "x")
        return [ImportedResult(part, part, part, {"top1": 1.0}, {"top1": True})]


class Raises(Twin):
    """Fails to look at a file."""

    def recognise(self, file):
        raise RuntimeError("broken")


def test_several_importers_take_it(run_import, data):
    with registry.register_temporarily("importers", "twin", Twin):
        status, _, errors = run_import(data / "results-imagenet.csv")
        (line,) = errors.splitlines()
        assert status == 2
        assert line.endswith("timm and twin could all read it; say whose it is: --as timm")
        assert run_import(data / "results-imagenet.csv", "--as", "twin")[0] == 0


def test_one_that_fails_to_look_is_left_aside(run_import, data):
    with registry.register_temporarily("importers", "raises", Raises):
        assert run_import(data / "results-imagenet.csv")[0] == 0


def test_the_program_may_stand_first(data, tmp_path, monkeypatch):
    file = data / "results-imagenet.csv"
    assert split_program(["timm", str(file)], None) == ("timm", [file])
    assert split_program(["timm?dataset=x", file], None) == ("timm?dataset=x", [file])
    assert split_program([file, file], None) == (None, [file, file])
    assert split_program(["timm", file], "table") == ("table", [Path("timm"), file])
    with pytest.raises(SuiteError, match="timm: an importer, and no file after it"):
        split_program(["timm"], None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "timm").mkdir()
    assert split_program(["timm"], None) == (None, [Path("timm")])
    with pytest.raises(SuiteError, match=r"timm: a file here, and an importer: write \./timm, or --as timm"):
        split_program(["timm", "b"], None)


def test_from_python(data, store):
    done = harness.import_results(data / "results-imagenet.csv", store=store.path, commit="0173a13")
    assert (done.suite, done.written, done.metrics) == ("timm", 15, ["top1", "top5"])
    again = harness.import_results("timm", data / "results-imagenet.csv", store=store.path, suite="s")
    assert (again.suites, again.written, again.same) == (["s"], 0, 15)
    with pytest.raises(DataError, match="no such file"):
        harness.import_results(data / "none.csv", importer="timm", store=store.path)


def test_records_say_where_they_are_from(run_import, data, store):
    import hashlib

    file = data / "results-imagenet.csv"
    run_import(file, "--commit", "0173a139a2", "--date", "2024-05-01")
    imported = {r.provenance["imported"]["line"]: r.provenance["imported"] for r in store.records()}
    assert sorted(imported) == [*range(2, 17)]
    at = imported[3].pop("at")
    assert at.startswith("20")
    assert imported[3] == {
        "from": "timm",
        "source": "https://github.com/huggingface/pytorch-image-models",
        "commit": "0173a139a2",
        "date": "2024-05-01",
        "file": "results-imagenet.csv",
        "line": 3,
        "digest": hashlib.sha256(file.read_bytes()).hexdigest(),
    }


def test_the_source_that_is_said_outranks_the_files_own_and_holds_no_login(run_import, data, store):
    run_import(data / "results-imagenet.csv", "--source", "https://me:secret@example.org/x")
    assert {r.provenance["imported"]["source"] for r in store.records()} == {"https://***@example.org/x"}
