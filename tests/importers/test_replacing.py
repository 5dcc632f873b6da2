"""`harness import --replace`: results in the place of an earlier import's, never in that of own records."""

import json
from pathlib import Path

import pytest

import harness
from harness import ImportedPart, ImportedResult
from harness.discovery import registry
from harness.errors import StoreError
from harness.records.store import Store

OTHER = Path(__file__).with_name("other_versions")
LATER = OTHER / "clip_benchmark_webdatasets" / "benchmark.csv"
PROBE = {"dataset": "d", "model": "m", "pretrained": "p", "task": "linear_probe", "language": "en"}


class Own:
    """An importer of what it is given."""

    suffix = ".own"
    example = ""

    def read(self, file):
        return self.given


def numbers(store):
    return {record.id: record.metrics for record in store.records()}


@pytest.fixture
def write(tmp_path):
    """Write a file of clip_benchmark with this accuracy and return its path."""

    def make(name, value, **more):
        path = tmp_path / name
        path.write_text(json.dumps({**PROBE, "metrics": {"lp_acc1": value, **more}}))
        return path

    return make


def test_another_version_of_a_public_file_is_refused_in_a_line(run_import, data, store):
    run_import(data / "benchmark.csv")
    before = numbers(store)
    status, _, errors = run_import(LATER)
    assert status == 2
    assert errors == (
        "harness: benchmark.csv: zeroshot_classification · ViT-B-32 openai · fer2013 · language en has other numbers than "
        "benchmark.csv, imported before (import one of them into a store of its own, or with --replace in the place "
        "of the earlier); nothing was written\n"
    )
    assert numbers(store) == before


def test_another_version_of_a_public_file_takes_the_place(run_import, data, store, show_table, tmp_path):
    run_import(data / "benchmark.csv", "--commit", "03e7fda")
    before = numbers(store)
    own = Store(tmp_path / "later")
    harness.import_results(LATER, store=own.path)
    later = numbers(own)
    replaced = {id for id in before.keys() & later.keys() if before[id] != later[id]}
    assert len(replaced) > 5
    status, out, errors = run_import(LATER, "--replace")
    assert (status, errors) == (0, "")
    new = later.keys() - before.keys()
    same = len(later) - len(replaced) - len(new)
    told = (
        f"{len(replaced) + len(new)} records imported, {len(replaced)} of them in the place of earlier ones, "
    )
    assert f"{told}{same} were there already" in out
    assert numbers(store) == before | later
    origin = store.read(min(replaced)).provenance["imported"]
    assert origin["replaces"]["commit"] == "03e7fda"
    assert origin["digest"] != origin["replaces"]["digest"]
    assert "0.8339999914169312" in show_table("clip_benchmark")  # flickr30k of the later file
    status, out, _ = run_import(LATER, "--replace")
    assert "0 records imported, 13 were there already" in out


def test_replacing_again_keeps_the_last_origin(write, store):
    for value in (0.5, 0.6, 0.7):
        done = harness.import_results(write(f"{value}.json", value), store=store.path, replace=True)
    assert (done.written, done.replaced, done.same) == (1, 1, 0)
    (record,) = store.records()
    assert record.metrics == {"top1": 0.7}
    origin = record.provenance["imported"]
    assert (origin["file"], origin["replaces"]["file"]) == ("0.7.json", "0.6.json")
    assert "replaces" not in origin["replaces"]


def test_files_of_one_import_that_contradict_each_other_are_refused_nevertheless(write, store):
    harness.import_results(write("old.json", 0.5), store=store.path)
    for first in (0.5, 0.6):  # as the store has it, and otherwise
        with pytest.raises(
            StoreError, match=r"b\.json: .* than a\.json, imported before \(import one of them into"
        ):
            harness.import_results(
                write("a.json", first), write("b.json", 0.7), store=store.path, replace=True
            )
    (record,) = store.records()
    assert record.metrics == {"top1": 0.5}


def test_other_suites_show_the_new_numbers(run_import, write, show_table):
    for suite in ("one", "two"):
        assert run_import(write("old.json", 0.5), "--suite", suite)[0] == 0
    assert run_import(write("new.json", 0.625), "--suite", "one", "--replace")[0] == 0
    assert "0.625" in show_table("one")
    assert "0.625" in show_table("two")


def test_metrics_and_samples_of_the_earlier_are_gone(store, tmp_path):
    part = ImportedPart("x", "x")
    samples = {"id": ["a", "b"], "top1": [1.0, 0.0]}
    Own.given = given = [
        ImportedResult(
            part, part, part, {"top1": 0.5, "nll": 1.0}, {"top1": True, "nll": False}, samples=samples
        )
    ]

    (tmp_path / "r.own").write_text("")
    with registry.register_temporarily("importers", "own", Own):
        harness.import_results(tmp_path / "r.own", importer="own", store=store.path)
        (record,) = store.records()
        assert store.samples(record.id) is not None
        given[0] = ImportedResult(part, part, part, {"top1": 0.25}, {"top1": True})
        done = harness.import_results(tmp_path / "r.own", importer="own", store=store.path, replace=True)
    assert done.replaced == 1
    (record,) = store.records()
    assert (record.metrics, record.files) == ({"top1": 0.25}, [])
    assert store.samples(record.id) is None


def test_predictions_take_the_place_of_others_of_the_model(run_import, store, tmp_path):
    def write(name, *labels):
        rows = "".join(f"{n},{t},{p}\n" for n, (t, p) in enumerate(zip((0, 1, 1, 0), labels, strict=True)))
        (tmp_path / name).write_text("id,target,prediction\n" + rows)
        return tmp_path / name

    about = ("--suite", "s", "--model", "m", "--dataset", "d")
    assert run_import(write("a.csv", 0, 1, 0, 1), *about)[0] == 0
    status, _, errors = run_import(write("b.csv", 0, 1, 1, 1), *about)
    assert status == 2
    assert (
        "has other predictions than a.csv, imported before: give one of them another --model, or --replace"
        in errors
    )
    status, out, _ = run_import(tmp_path / "b.csv", *about, "--replace")
    assert status == 0
    assert "1 records imported, 1 of them in the place of earlier ones, 0 were there already" in out
    (cell,) = store.manifest("s")["cells"]
    assert store.read(cell["id"]).metrics == {"top1": 0.75}
    assert run_import(tmp_path / "b.csv", *about, "--replace")[1].startswith(
        f"{store.path}: 0 records imported, 1 were"
    )
