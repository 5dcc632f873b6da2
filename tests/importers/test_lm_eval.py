"""Results of lm-evaluation-harness and lmms-eval, with samples that paired tests use."""

import json

import numpy as np
import pytest

from harness_importers.lm_eval import LmEval
from harness_importers.lmms_eval import LmmsEval

DATE = "2026-01-26T15-00-37.633186"


def write_run(folder, model, answers, task="quiz", filters=("none",), **more):
    """Write what lm_eval writes for a task whose samples are right or wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    mean = float(np.mean(answers))
    content = json.loads(LmEval.example)
    content["results"] = {
        task: {"alias": task, **{f"acc,{f}": mean for f in filters}, "acc_stderr,none": 0.01}
    }
    content["configs"] = {task: {"dataset_path": "someone/quiz", "test_split": "test"}}
    content["n-shot"] = {task: 5}
    content["n-samples"] = {task: {"original": len(answers), "effective": len(answers)}}
    content["higher_is_better"] = {task: {"acc": True}}
    content["config"] = {
        "model": "hf",
        "model_args": f"pretrained={model},dtype=bfloat16,token=hf_secret",
        "limit": None,
    }
    content |= more
    (folder / f"results_{DATE}.json").write_text(json.dumps(content))
    lines = [
        {
            "doc_id": n,
            "target": str(n % 4),
            "filtered_resps": ["1"],
            "filter": f,
            "acc": float(right),
            "arguments": "long",
        }
        for f in filters
        for n, right in enumerate(answers)
    ]
    (folder / f"samples_{task}_{DATE}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def answers():
    rng = np.random.default_rng(0)
    good = rng.random(300) < 0.8
    return good, good & (rng.random(300) < 0.8)


def test_samples_go_into_records(run_import, tmp_path, store, answers):
    assert run_import(write_run(tmp_path / "run", "org/net", answers[0]))[0] == 0
    (record,) = store.records()
    assert record.coordinates["model"] == "org/net"
    assert record.coordinates["shots"] == 5
    assert (record.metrics, record.units) == ({"acc": float(np.mean(answers[0]))}, {"acc": "fraction"})
    assert (record.count, record.binary) == (300, ["acc"])
    assert record.notes["standard errors"] == {"acc_stderr": 0.01}
    assert record.tags["settings.dtype"] == "bfloat16"
    assert record.provenance["imported"]["date"] == "2026-01-26T14:58:13+00:00"
    assert "hf_secret" not in record.to_json().decode()
    samples = store.samples(record.id)
    assert list(samples["id"]) == [str(n) for n in range(300)]
    assert list(samples["acc"]) == list(answers[0].astype(float))
    assert set(samples["prediction"]) == {"1"}
    assert "long" not in samples.to_string()


def test_two_models_are_compared_in_pairs(run_import, tmp_path, store, answers, capsys):
    """The p-value is McNemar's, computed here from the discordant pairs."""
    from scipy.stats import chi2

    from harness.cli import main

    for model, right in zip(("good", "worse"), answers, strict=True):
        assert run_import(write_run(tmp_path / model, model, right))[0] == 0
    capsys.readouterr()
    sides = [str(store.path), str(store.path), "--a", "model=good", "--b", "model=worse", "--json"]
    assert main(["compare", *sides]) == 0
    (found,) = json.loads(capsys.readouterr().out)["differences"]
    only_good, only_worse = int((answers[0] & ~answers[1]).sum()), int((~answers[0] & answers[1]).sum())
    assert only_good > 10
    assert only_worse == 0
    assert found["difference"] == pytest.approx(-only_good / 300)
    assert (found["paired_by"], found["pairs"], found["answer"]) == ("samples", 300, "worse")
    statistic = (only_good - only_worse - 1) ** 2 / (
        only_good + only_worse
    )  # McNemar's, corrected for continuity
    assert found["p_value"] == pytest.approx(chi2.sf(statistic, 1))


def test_metrics_of_filters_have_the_samples_of_their_filter(run_import, tmp_path, store, answers):
    folder = write_run(tmp_path / "run", "m", answers[0], filters=("strict", "flexible"))
    assert run_import(folder)[0] == 0
    (record,) = store.records()
    assert set(record.metrics) == {"acc,strict", "acc,flexible"}
    assert list(store.samples(record.id).columns) == ["id", "acc,strict", "target", "prediction"]
    assert record.binary == ["acc,strict"]


def test_samples_of_another_mean_are_none_of_the_metrics(run_import, tmp_path, store, answers):
    folder = write_run(tmp_path / "run", "m", answers[0])
    path = folder / f"results_{DATE}.json"
    path.write_text(path.read_text().replace(str(float(np.mean(answers[0]))), "0.123"))
    assert run_import(folder)[0] == 0
    (record,) = store.records()
    assert record.metrics == {"acc": 0.123}
    assert record.binary == []
    assert store.samples(record.id) is None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "line 301: not valid JSON"),
        ("3", "line 301: no 'doc_id'"),
        ("\udcff", "line 301: not valid JSON"),
    ],
)
def test_a_broken_line_leaves_the_samples_out_and_is_named(
    run_import, tmp_path, store, answers, line, reason
):
    folder = write_run(tmp_path / "run", "m", answers[0])
    with (folder / f"samples_quiz_{DATE}.jsonl").open("ab") as out:
        out.write(line.encode("utf-8", "surrogateescape") + b"\n")
    status, _, errors = run_import(folder)
    assert status == 1
    assert f"samples_quiz_{DATE}.jsonl: {reason}" in errors
    assert "the samples of quiz are left out" in errors
    (record,) = store.records()
    assert record.files == []


def test_a_metric_of_unknown_direction_is_named(run_import, tmp_path, store):
    content = json.loads(LmEval.example)
    del content["higher_is_better"]
    content["results"]["global_mmlu_sw_business"]["zorp,none"] = 3.0
    (tmp_path / "results_x.json").write_text(json.dumps(content))
    status, _, errors = run_import(tmp_path / "results_x.json")
    assert status == 1
    assert (
        "results.global_mmlu_sw_business.zorp,none: it doesn't say whether a larger value is better" in errors
    )
    (record,) = store.records()
    assert record.directions == {"acc": True}


def test_groups_and_their_tasks(run_import, tmp_path, cells):
    content = json.loads(LmEval.example)
    content["results"] |= {"all": {"acc,none": 0.255, "alias": "all"}, "silent": {"alias": "silent"}}
    content["group_subtasks"] = {"all": ["global_mmlu_sw_business"], "silent": ["global_mmlu_sw_business"]}
    (tmp_path / "results_x.json").write_text(json.dumps(content))
    assert run_import(tmp_path / "results_x.json")[0] == 0
    assert cells()["google/gemma-2b", "all"].notes["mean over"] == ["global_mmlu_sw_business"]
    assert len(cells()) == 2


def test_lmms_eval(run_import, tmp_path, data, store):
    (tmp_path / "20260923_172512_results.json").write_text(LmmsEval.example)
    name = "20260923_172512_samples_mme.jsonl"
    (tmp_path / name).write_bytes((data / "lmms_eval" / name).read_bytes())
    status, _, errors = run_import(tmp_path)
    assert (status, errors) == (0, "")
    (record,) = store.records()
    assert record.coordinates["model"] == "Qwen/Qwen2.5-VL-3B-Instruct"
    assert record.cell["model"]["options"]["revision"] == "66285546d2b821cf421d4f5eb2576359d3770cd3"
    assert record.metrics == {"mme_cognition_score": 162.5}  # a score over questions, no mean of samples
    assert record.files == []
    assert record.tags["settings.limit"] == 8.0
    assert record.count == 8
    assert record.provenance["imported"]["date"] == "2026-09-23T17:25:12"


def test_lmms_samples(run_import, tmp_path, store):
    content = json.loads(LmmsEval.example)
    content["results"]["mme"] = {"exact_match,none": 0.5}
    (tmp_path / "20260923_172512_results.json").write_text(json.dumps(content))
    lines = [
        json.dumps({"doc_id": n, "target": "a", "filtered_resps": "a", "exact_match": n % 2})
        for n in range(4)
    ]
    (tmp_path / "20260923_172512_samples_mme.jsonl").write_text("\n".join(lines))
    assert run_import(tmp_path)[0] == 0
    (record,) = store.records()
    assert (record.count, record.binary) == (4, ["exact_match"])
    assert list(store.samples(record.id)["exact_match"]) == [0, 1, 0, 1]


@pytest.mark.parametrize("content", ["{}", '{"results": 3}', '{"results": {"a": 1}}', "[]", "3"])
def test_what_is_no_result_gets_one_line(run_import, tmp_path, content):
    (tmp_path / "results_x.json").write_text(content)
    status, _, errors = run_import(tmp_path / "results_x.json", "--as", "lm_eval")
    assert status == 2
    assert (
        errors
        == f"harness: {tmp_path / 'results_x.json'}: expected lm_eval's table 'results' of metrics by task\n"
    )
