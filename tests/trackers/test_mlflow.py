"""MLflow: against a stand-in for its client, and with MLflow itself where it is installed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from harness.planning.suite import parse_suite
from harness.records.store import Store
from harness.running.runner import run
from harness_trackers.mlflow import MAX_WAITING, MLflow, MLflowCell, _clean_name


class Client:
    """Keeps what MLflow's client is asked to do, and holds it to the server's limits."""

    made: list[Client]

    def __init__(self, tracking_uri: str) -> None:
        self.uri = tracking_uri
        self.experiments: list[str] = []
        self.runs: dict[str, dict[str, Any]] = {}
        self.made.append(self)

    def get_experiment_by_name(self, name: str) -> Any:
        return None if name not in self.experiments else SimpleNamespace(experiment_id=name)

    def create_experiment(self, name: str) -> str:
        self.experiments.append(name)
        return name

    def create_run(self, experiment_id: str, run_name: str, tags: dict[str, str]) -> Any:
        assert experiment_id in self.experiments
        id = f"run{len(self.runs)}"
        self.runs[id] = {
            "name": run_name, "tags": dict(tags), "params": {}, "metrics": [], "files": [], "batches": [],
        }  # fmt: skip
        return SimpleNamespace(info=SimpleNamespace(run_id=id))

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = ()) -> None:
        assert len(metrics) <= 1000
        assert len(params) <= 100
        run = self.runs[run_id]
        run["params"] |= {p.key: p.value for p in params}
        run["metrics"] += [(m.key, m.step, m.value) for m in metrics]
        run["batches"].append(len(metrics))

    def log_artifact(self, run_id: str, path: str, artifact_path: str) -> None:
        self.runs[run_id]["files"].append((Path(path).name, artifact_path, Path(path).read_bytes()[:4]))

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        self.runs[run_id]["tags"][key] = value

    def set_terminated(self, run_id: str, status: str) -> None:
        self.runs[run_id]["status"] = status


def _metric(key: str, value: float, timestamp: int, step: int) -> Any:
    assert timestamp > 1_600_000_000_000
    return SimpleNamespace(key=key, value=value, step=step)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> type[Client]:
    """The stand-in, in the place of the module."""
    Client.made = []
    entities = ModuleType("mlflow.entities")
    entities.Metric = _metric  # type: ignore[attr-defined]
    entities.Param = lambda key, value: SimpleNamespace(key=key, value=value)  # type: ignore[attr-defined]
    module = ModuleType("mlflow")
    module.MlflowClient, module.entities = Client, entities  # type: ignore[attr-defined]
    module.__spec__ = importlib.util.spec_from_loader("mlflow", None)
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # set by the listener otherwise; restored after
    return Client


def test_runs_with_parameters_metrics_pictures_and_status(
    client: type[Client], talks: dict[str, Any], tmp_path: Path
) -> None:
    suite = {**talks, "protocol": "talks?fails=1&steps=4&token=hush"}
    outcome = run(
        parse_suite(suite), Store(tmp_path / "store"), device="cpu", listeners=["mlflow?experiment=mine"]
    )
    assert outcome.problems == []
    (made,) = client.made
    assert made.uri == (tmp_path / "mlruns").as_uri()
    assert made.experiments == ["mine"]
    good, bad = made.runs.values()
    assert (good["status"], bad["status"]) == ("FINISHED", "FAILED")
    assert bad["tags"]["reason"] == "ValueError: deliberate"
    assert [(k, s, v) for k, s, v in good["metrics"] if k == "training/loss"] == [
        ("training/loss", s, pytest.approx(1 / (1 + s))) for s in range(4)
    ]
    assert ("metrics/score", 0, 0.25) in good["metrics"]
    assert good["files"] == [("samples.png", "samples/step-00000007", b"\x89PNG")]
    assert good["params"]["protocol_plugin.options.steps"] == "4"
    assert "hush" not in str(made.runs)


def test_a_server_is_not_asked_for_every_value() -> None:
    Client.made = []
    made = Client("x")
    id = made.create_run(made.create_experiment("e"), "r", {}).info.run_id
    cell = MLflowCell(made, id)
    cell.sent = float("inf")  # no time passes
    cell.waiting = [_metric("a", 1.0, 1_700_000_000_000, s) for s in range(2 * MAX_WAITING + 1)]
    cell._send()
    assert made.runs[id]["batches"] == [MAX_WAITING, MAX_WAITING, 1]
    assert cell.waiting == []


@pytest.mark.parametrize(
    ("given", "environment", "uri"),
    [
        (None, None, "file://{here}/mlruns"),
        (None, "https://tracking.example", "https://tracking.example"),
        ("https://other.example", "https://tracking.example", "https://other.example"),
        ("sub/folder", None, "file://{here}/sub/folder"),
        ("file:sub", None, "file://{here}/sub"),
        ("databricks", None, "databricks"),
    ],
)
def test_where_runs_go(
    client: type[Client],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: Any,
    environment: Any,
    uri: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if environment:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", environment)
    tracker = MLflow(given, "e")
    tracker._connect()
    assert client.made[0].uri == uri.format(here=tmp_path)


def test_names_mlflow_takes_and_that_stay_in_their_folder() -> None:
    assert _clean_name("metrics/top1.scenes-R") == "metrics/top1.scenes-R"
    assert _clean_name("a/../../b") == "a/b"
    assert _clean_name("/x (50 %), k=3") == "x _50 ___ k_3"


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="the extra mlflow is not installed")
def test_with_mlflow_itself(talks: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow  # type: ignore[import-not-found,import-untyped,unused-ignore]

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    suite = parse_suite({**talks, "seeds": [0]})
    outcome = run(suite, Store(tmp_path / "store"), device="cpu", listeners=["mlflow?tracking_uri=kept"])
    assert outcome.problems == []
    reader = mlflow.MlflowClient((tmp_path / "kept").as_uri())
    (found,) = reader.search_runs([reader.get_experiment_by_name("talk").experiment_id])
    assert found.info.status == "FINISHED"
    assert found.data.metrics["metrics/score"] == 0.25
    assert found.data.params["protocol_plugin.name"] == "talks/talks"
    history = reader.get_metric_history(found.info.run_id, "training/loss")
    assert [m.step for m in history] == [0, 1, 2]
    assert [f.path for f in reader.list_artifacts(found.info.run_id, "samples")] == ["samples/step-00000007"]
