"""Imports of clip_benchmark's files, in the forms that its versions write."""

import json
from dataclasses import replace

import numpy as np
import pytest

from harness import ImportedPart, ImportedResult
from harness.cli import main
from harness.errors import DataError, PluginBroken, StoreError, SuiteError
from harness.exchange.importing import import_files, import_results
from harness.records.store import Store
from harness.testing import importers
from harness.testing.importers import ImporterSubject
from harness.testing.verdicts import Violation
from harness_importers.clip_benchmark import ClipBenchmark

# As published in the repository of clip_benchmark (zero-shot ImageNet with Arabic prompts).
ARABIC = (
    '{"dataset": "imagenet1k", "model": "xlm-roberta-base-ViT-B-32", "pretrained": "laion5b_s13b_b90k", '
    '"task": "zeroshot_classification", "metrics": {"acc1": 0.26514, "acc5": 0.4663, '
    '"mean_per_class_recall": 0.26506}, "language": "ar"}'
)
# In the form that `json.dump` of a NaN takes: data sets of fewer than five classes have no acc5.
PCAM = (
    '{"dataset": "wds/vtab/pcam", "model": "ViT-B-32", "pretrained": "openai", "task": '
    '"zeroshot_classification", "metrics": {"acc1": 0.62, "acc5": NaN, "mean_per_class_recall": 0.6}, '
    '"language": "en"}'
)
RETRIEVAL = (
    '{"dataset": "flickr30k", "model": "ViT-B-32", "pretrained": "openai", "task": "zeroshot_retrieval", '
    '"metrics": {"image_retrieval_recall@5": 0.835, "text_retrieval_recall@5": 0.944}, "language": "en"}'
)
VOC = (  # an older version, without a language
    '{"dataset": "voc2007_multilabel", "model": "ViT-B-32-quickgelu", "pretrained": "laion400m_e32", '
    '"task": "zeroshot_classification", "metrics": {"mean_average_precision": 0.7627869844436646}}'
)
PROBE = (
    '{"dataset": "cifar10", "model": "ViT-B-32", "pretrained": "openai", "task": "linear_probe", "metrics": '
    '{"lp_acc1": 0.95, "lp_acc5": 0.999, "lp_mean_per_class_recall": 0.95, "lr": 0.1, "epochs": 10, '
    '"seed": 3, "fewshot_k": -1}, "language": "en"}'
)
ALL = (ARABIC, PCAM, RETRIEVAL, VOC, PROBE)


def import_clip_benchmark(paths, store, suite="clip_benchmark"):
    return import_results("clip_benchmark", ClipBenchmark(), paths, store, suite)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def file(tmp_path):
    """Write a file of that content and return its path."""

    def write(content, name="r.json"):
        path = tmp_path / name
        path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
        return path

    return write


def test_all_kinds_of_results_become_tables(store, file, capsys):
    files = [file(text, f"{n}.json") for n, text in enumerate(ALL)]
    assert main(["import", "clip_benchmark", *map(str, files), "--store", str(store.path)]) == 0
    capsys.readouterr()
    assert main(["table", "clip_benchmark", "--store", str(store.path), "--json"]) == 0
    tables = {t["name"]: t for t in json.loads(capsys.readouterr().out)}
    assert set(tables) == {
        "zeroshot_classification-top1",
        "zeroshot_classification-mean_average_precision",
        "zeroshot_retrieval-image_retrieval_recall@5",
        "zeroshot_retrieval-text_retrieval_recall@5",
        "linear_probe-top1",
    }
    top1 = tables["zeroshot_classification-top1"]
    shown = {
        (row["header"][0], column["header"][0]): entry["value"]
        for row in top1["rows"]
        for column, entry in zip(top1["columns"], row["entries"], strict=True)
        if entry["value"] is not None
    }
    assert shown == {
        ("xlm-roberta-base-ViT-B-32 laion5b_s13b_b90k", "imagenet1k"): 0.26514,
        ("ViT-B-32 openai", "vtab/pcam"): 0.62,
    }
    assert top1["columns"][0]["percent"]
    assert main(["table", "--store", str(store.path)]) == 0


def test_records_say_what_they_are(store, file):
    import_clip_benchmark([file(PROBE)], store)
    (record,) = store.records()
    assert record.metrics == {"top1": 0.95, "top5": 0.999, "mean_per_class": 0.95}
    assert record.units == {"top1": "fraction", "top5": "fraction", "mean_per_class": "fraction"}
    assert record.coordinates["seed"] == 3
    assert record.coordinates["fewshot_k"] == -1
    assert record.coordinates["protocol"] == "linear_probe"
    assert record.notes["metrics as written"]["lp_acc1"] == 0.95
    assert record.provenance["imported"]["from"] == "clip_benchmark"
    assert record.provenance["imported"]["file"] == "r.json"
    assert record.count is None
    assert record.binary == []


def test_again_is_the_same_whatever_the_order(store, file, tmp_path):
    files = [file(text, f"{n}.json") for n, text in enumerate(ALL)]
    assert import_clip_benchmark(files, store).written == 5
    assert import_clip_benchmark(files[::-1], store).same == 5
    other = Store(tmp_path / "other")
    import_clip_benchmark(files[::-1], other)
    assert set(other.listing()) == set(store.listing())
    assert len(store.manifest("clip_benchmark")["cells"]) == 5


def test_a_folder_and_a_list_of_results(store, file, tmp_path):
    (tmp_path / "results").mkdir()
    file(f"[{ARABIC}, {VOC}]", "results/two.json")
    file("not a result", "results/notes.txt")
    assert import_clip_benchmark([tmp_path / "results"], store).written == 2


def test_the_same_evaluation_with_other_numbers_is_reported_and_nothing_written(store, file):
    import_clip_benchmark([file(ARABIC, "first.json")], store)
    changed = file(ARABIC.replace("0.26514", "0.3"), "second.json")
    with pytest.raises(StoreError, match=r"second\.json: .* other numbers than first\.json"):
        import_clip_benchmark([file(VOC, "voc.json"), changed], store)
    assert len(store.listing()) == 1


def test_results_that_were_set_otherwise_are_told_apart(store, tmp_path):
    about = {"dataset": "wds/x", "model": "m", "pretrained": "p", "task": "linear_probe"}
    for name, size, value in (("a", 512, 0.9), ("b", 64, 0.91)):
        content = {**about, "metrics": {"lp_acc1": value, "batch_size": size}}
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    with pytest.raises(
        StoreError, match=r"\(batch_size 64 here, 512 there: import one .* store of its own\)"
    ):
        import_clip_benchmark([tmp_path / "a.json", tmp_path / "b.json"], store)


def test_imports_never_stand_for_cells_that_would_be_run(store, file):
    """A suite with the same labels plans cells of other ids, so nothing of it counts as done."""
    from harness.planning.plan import make_plan
    from harness.planning.suite import parse_suite

    text = ARABIC.replace("imagenet1k", "digits").replace("xlm-roberta-base-ViT-B-32", "tiny-vit")
    import_clip_benchmark([file(text)], store)
    suite = parse_suite(
        {
            "name": "s",
            "protocol": {"plugin": "classification", "label": "zeroshot_classification"},
            "models": [{"plugin": "tiny-vit", "label": "tiny-vit laion5b_s13b_b90k", "trained_on": "digits"}],
            "datasets": ["digits"],
            "metrics": ["top1"],
        }
    )
    plan = make_plan(suite, done=store.done())
    assert [p.state for p in plan] == ["run"]
    assert store.done().isdisjoint(p.cell.id for p in plan)


def test_a_suite_of_this_harness_is_left_alone(maker, file):
    made = maker("s", "robustness")
    made.record("m", "d", [1, 0])
    with pytest.raises(SuiteError, match="holds other records"):
        import_clip_benchmark([file(VOC)], made.done(), "robustness")
    with pytest.raises(SuiteError, match="--suite"):
        import_clip_benchmark([file(VOC)], made.store, "../x")


def test_own_records_are_never_replaced(maker, file):
    made = maker("s", "robustness")
    made.record("xlm-roberta-base-ViT-B-32 laion5b_s13b_b90k", "imagenet1k", [1, 0])
    store = made.done()
    before = {path: path.read_bytes() for path in store.path.rglob("*") if path.is_file()}
    with pytest.raises(SuiteError, match="holds other records"):
        import_files([file(ARABIC)], store, "robustness", replacing=True)
    assert {path: path.read_bytes() for path in store.path.rglob("*") if path.is_file()} == before
    done = import_files([file(ARABIC)], store, replacing=True)  # the same labels in a suite of its own
    assert (done.written, done.replaced) == (1, 0)
    assert len(store.listing()) == 2
    assert all(path.read_bytes() == content for path, content in before.items() if "records" in path.parts)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("3", "found int"),
        ("[]", "an empty list"),
        ('{"results": 1}', "found no 'dataset'"),
        (VOC.replace('"task"', '"tsak"'), "found no 'task'"),
        (VOC.replace('"metrics"', '"metric"'), "found no table 'metrics'"),
        (VOC.replace("0.7627869844436646", '"high"'), "metrics.mean_average_precision: expected a number"),
        (VOC.replace("0.7627869844436646", "true"), "expected a number, found True"),
        (VOC.replace("0.7627869844436646", "null"), "holds no number"),
        (VOC.replace('"laion400m_e32"', "3"), "'pretrained': expected a text"),
        (VOC.replace("voc2007", "\\ud800"), "not valid JSON"),
        (VOC.replace("voc2007_multilabel", " "), "'dataset': expected a text, found ' '"),
        (VOC.replace("mean_average_precision", ""), "a name in metrics: expected a text, found ''"),
        (VOC.replace("0.7627869844436646", "9" * 400), "expected a number that a float can hold, found 999"),
        (VOC.replace("0.7627869844436646", "9" * 5000), "not valid JSON"),
        (PROBE.replace('"seed": 3', '"seed": 1.5'), "metrics.seed: expected a whole number, found 1.5"),
        (PROBE.replace('"seed": 3', '"seed": "x"'), "metrics.seed: expected a whole number, found 'x'"),
        (PROBE.replace('"seed": 3', f'"seed": {10**30}'), "seed (Integer exceeds 64-bit range): expected"),
        (PROBE.replace('"lr": 0.1', f'"lr": {10**30}'), "lr (Integer exceeds 64-bit range): expected"),
    ],
)
def test_what_is_no_result_gets_one_line(store, file, content, message):
    path = file(content, "bad.json")
    with pytest.raises(DataError) as caught:
        import_clip_benchmark([file(VOC, "good.json"), path], store)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not store.path.exists()


def test_missing_files_and_empty_folders(store, tmp_path):
    with pytest.raises(DataError, match="no such file"):
        import_clip_benchmark([tmp_path / "no.json"], store)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no \*\.json, \*\.csv file there"):
        import_clip_benchmark([tmp_path / "empty"], store)


@pytest.mark.parametrize("suite", ["", "a b", "../x", "-x", "a" * 101])
def test_what_is_no_name_of_a_suite_gets_one_line(store, file, suite, capsys):
    given = ["import", "clip_benchmark", str(file(VOC)), "--store", str(store.path), f"--suite={suite}"]
    assert main(given) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"harness: --suite '{suite}': expected letters")
    assert "at most 100 of them" in line
    assert not store.path.exists()


def test_a_folder_named_like_a_file_is_no_file(store, file, tmp_path):
    (tmp_path / "results" / "old.json").mkdir(parents=True)
    file(VOC, "results/new.json")
    assert import_clip_benchmark([tmp_path / "results"], store).written == 1


SOUND = ImportedResult(
    ImportedPart("p", "p"), ImportedPart("m", "m"), ImportedPart("d", "d"), {"top1": 0.5}, {"top1": True}
)


class Scripted:
    """An importer that gives what it is told to, or raises it."""

    suffix = ".txt"
    example = "x"

    def __init__(self, given, suffix=suffix):
        self.given, self.suffix = given, suffix

    def read(self, file):
        if isinstance(self.given, Exception):
            raise self.given
        return self.given


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (ValueError("two\nlines"), "importer 'own' failed: ValueError: two lines"),
        (None, "importer 'own' failed: TypeError"),
        ([], "importer 'own' found no results in it"),
        (["x"], "a result: expected an ImportedResult, found 'x'"),
        ([replace(SOUND, model="m")], "the model: expected an ImportedPart, found 'm'"),
        (
            [replace(SOUND, model=ImportedPart("m", " "))],
            "the label of the model: expected a text, found ' '",
        ),
        ([replace(SOUND, metrics={})], "metrics: expected at least one"),
        ([replace(SOUND, metrics={"top1": "0.5"})], "metrics.top1: expected a number, found '0.5'"),
        ([replace(SOUND, metrics={"top1": True})], "metrics.top1: expected a number, found True"),
        (
            [replace(SOUND, metrics={"top1": 10**400})],
            "metrics.top1: expected a number that a float can hold",
        ),
        ([replace(SOUND, directions={})], "directions.top1: expected whether larger is better"),
        ([replace(SOUND, units={"top": "fraction"})], "units: expected names of its metrics, did you mean"),
        ([replace(SOUND, axes={"model": 3})], "the axes: expected other names than experiment, "),
        ([replace(SOUND, axes={"shots": np.int64(4)})], "shots (Type is not JSON serializable"),
        ([replace(SOUND, axes=[1])], "axes: expected a mapping, found [1]"),
        ([replace(SOUND, seed=1.0)], "the seed: expected a whole number, found 1.0"),
    ],
)
def test_what_an_importer_does_wrong_gets_one_line(store, file, given, message):
    path = file("x", "r.txt")
    with pytest.raises((DataError, PluginBroken)) as caught:
        import_results("own", Scripted(given), [path], store, "own")
    assert str(caught.value).startswith(f"{path}: importer 'own' ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not store.path.exists()


def test_numbers_of_numpy_are_numbers(store, file):
    given = replace(SOUND, metrics={"top1": np.float32(0.5)})
    assert import_results("own", Scripted([given]), [file("x", "r.txt")], store, "own").written == 1


def test_an_importer_without_a_suffix_gets_one_line(store, file, tmp_path):
    file("x", "r.txt")
    with pytest.raises(PluginBroken, match=r"importer 'own' states no `suffix` of its files"):
        import_results("own", Scripted([SOUND], None), [tmp_path], store, "own")


@pytest.mark.parametrize("suffix", ["", "txt", None])
def test_the_checks_name_a_suffix_that_is_none(suffix):
    with pytest.raises(Violation, match="`suffix`"):
        importers.check_reads(ImporterSubject(Scripted([SOUND], suffix)))


def test_nasty_names_travel_unchanged(store, file, nasty, capsys):
    results = [{**json.loads(VOC), "model": name, "dataset": name} for name in nasty]
    import_clip_benchmark([file(json.dumps(results))], store)
    assert {r.coordinates["dataset"] for r in store.records()} == set(nasty)
    for format in ("terminal", "markdown", "csv", "latex", "html", "json"):
        assert main(["table", "--store", str(store.path), "--format", format]) == 0
        assert "<script>" not in capsys.readouterr().out or format not in ("markdown", "html")


def test_imports_compare_with_each_other(store, file, tmp_path, capsys):
    other = Store(tmp_path / "other")
    import_clip_benchmark([file(VOC)], store)
    import_clip_benchmark([file(VOC.replace("0.7627869844436646", "0.8"))], other)
    assert main(["compare", str(store.path), str(other.path), "--json"]) == 0
    (d,) = json.loads(capsys.readouterr().out)["differences"]
    assert d["answer"] == "undecided"
    assert d["difference"] == pytest.approx(0.8 - 0.7627869844436646)


def test_what_is_there_already_is_planned_all_the_same(store, file):
    import_clip_benchmark([file(RETRIEVAL)], store)
    (store.path / "suites" / "clip_benchmark.json").unlink()  # as a kill before the plan leaves it
    for suite in ("clip_benchmark", "theirs"):
        assert import_clip_benchmark([file(RETRIEVAL)], store, suite).same == 1
        manifest = store.manifest(suite)
        assert [c["id"] for c in manifest["cells"]] == list(store.listing())
        assert len(manifest["suite"]["tables"]) == 2


def test_settings_of_a_probe_are_no_leaderboards(store, file, capsys):
    more = {"batch_size": 64, "num_workers": 4, "lp_batch_size": 32, "amp": True}
    more |= {"optimizer": "sgd", "val_ratio": 0.1}
    content = json.loads(PROBE)
    content["metrics"] |= more
    path = file(json.dumps(content))
    import_clip_benchmark([path], store)
    suite = store.manifest("clip_benchmark")["suite"]
    assert [t["name"] for t in suite["tables"]] == ["linear_probe-top1"]
    (record,) = store.records()
    assert set(record.metrics) == {"top1", "top5", "mean_per_class"}
    assert record.tags == {f"settings.{k}": v for k, v in more.items()}
    assert record.notes["settings"] == more
    assert not set(more) & set(record.coordinates)
    # one that was imported when settings were taken for metrics is put right
    record.metrics["batch_size"] = 64.0
    store.write(record)
    assert import_clip_benchmark([path], store).written == 1
    assert "batch_size" not in next(iter(store.records())).metrics


MEASURED = """acc1 acc5 lp_acc1 mean_per_class_recall lp_mean_per_class_recall mean_average_precision
image_retrieval_recall@5 acc text_acc image_acc group_acc perplexity Bleu_4 CIDEr"""


@pytest.mark.parametrize("name", MEASURED.split())
def test_no_measured_number_is_taken_for_a_setting(name):
    from harness_importers.clip_benchmark import is_setting

    assert not is_setting(name)
