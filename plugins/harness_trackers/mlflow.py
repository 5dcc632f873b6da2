"""The listener `mlflow`: one MLflow run per cell, in a local folder or on a tracking server."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness_trackers.tracker import TrackedCell, Tracker, describe_cell

if TYPE_CHECKING:
    from harness import Cell

LOCAL = "mlruns"
"""Folder of the runs if no server is named; MLflow's own default."""

MAX_WAITING, MAX_WAIT_SECONDS = 500, 5.0
"""Values are sent in batches, at this number or after this time: each request to a server takes time."""


class MLflow(Tracker):
    """Curves, pictures, metrics and cost of each cell as a run of an MLflow experiment.

    Args:
        tracking_uri: the tracking server, or a folder; by default MLFLOW_TRACKING_URI, else the folder
            `mlruns`, so that nothing leaves the machine.
        experiment: the experiment's name; by default the suite's.
    """

    package = "mlflow"
    extra = "mlflow"

    def __init__(self, tracking_uri: str | None = None, experiment: str | None = None) -> None:
        super().__init__()
        self.tracking_uri, self.experiment = tracking_uri, experiment
        self._client: Any = None
        self._experiment_id = ""

    def begin(self, cell: Cell) -> MLflowCell:
        """Start a run whose parameters describe the cell."""
        from mlflow.entities import Param

        if self._client is None:
            self._connect()
        facts = describe_cell(cell)
        run_id = self._client.create_run(
            self._experiment_id, run_name=cell.shown, tags={"suite": cell.suite, "cell": cell.id}
        ).info.run_id
        parameters = [Param(_clean_name(name), str(value)[:6000]) for name, value in facts.items()]
        for first in range(0, len(parameters), 100):  # MLflow's limit per request
            self._client.log_batch(run_id, params=parameters[first : first + 100])
        return MLflowCell(self._client, run_id)

    def _connect(self) -> None:
        from mlflow import MlflowClient

        place = self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or LOCAL
        if "://" not in place and not place.startswith(("databricks", "uc")):
            place = Path(place.removeprefix("file:")).resolve().as_uri()
        if place.startswith("file:"):
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # MLflow 3 requires this consent
        self._client = MlflowClient(place)
        name = self.experiment or self.suite
        known = self._client.get_experiment_by_name(name)
        self._experiment_id = known.experiment_id if known else self._client.create_experiment(name)


class MLflowCell(TrackedCell):
    """A cell's run."""

    def __init__(self, client: Any, run_id: str) -> None:
        self.client, self.run_id = client, run_id
        self.waiting: list[Any] = []
        self.sent = time.monotonic()

    def log_values(self, group: str, step: int, values: Mapping[str, float]) -> None:
        """Queue each value as the metric `<group>/<name>`."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.waiting += [Metric(_clean_name(f"{group}/{n}"), float(v), now, step) for n, v in values.items()]
        if len(self.waiting) >= MAX_WAITING or time.monotonic() - self.sent >= MAX_WAIT_SECONDS:
            self._send()

    def _send(self) -> None:
        waiting, self.waiting = self.waiting, []
        for first in range(0, len(waiting), MAX_WAITING):
            self.client.log_batch(self.run_id, metrics=waiting[first : first + MAX_WAITING])
        self.sent = time.monotonic()

    def log_image(self, group: str, step: int, path: Path) -> None:
        """Log the picture as an artifact, in a folder per step."""
        self.client.log_artifact(self.run_id, str(path), f"{_clean_name(group)}/step-{step:08d}")

    def end(self, status: str, reason: str | None) -> None:
        """End the run as finished, failed, or (if interrupted) killed."""
        self._send()
        self.client.set_tag(self.run_id, "status", status)
        if reason:
            self.client.set_tag(self.run_id, "reason", reason[:5000])
        states = {"ok": "FINISHED", "interrupted": "KILLED"}
        self.client.set_terminated(self.run_id, states.get(status, "FAILED"))


def _clean_name(text: str) -> str:
    """Return the text as a valid MLflow name: letters, digits and a few signs, within its folder."""
    parts = (re.sub(r"[^\w\-. :]", "_", part).strip(". ") for part in text.split("/"))
    return "/".join(part for part in parts if part)[:250]
