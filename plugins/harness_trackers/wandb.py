"""The listener `wandb`: one Weights & Biases run per cell, offline unless `mode=online`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness_trackers.tracker import TrackedCell, Tracker, describe_cell

if TYPE_CHECKING:
    from harness import Cell

Mode = Literal["offline", "online", "disabled"]


class WandB(Tracker):
    """Curves, pictures, metrics and cost of each cell as a run of a Weights & Biases project.

    The library's own collection of metadata (command line, git, host, console, code) is switched off:
    it does not know which options are secrets.

    Args:
        mode: `offline` keeps the runs in a folder for `wandb sync`; `online` sends them at once, with
            this machine's login; by default WANDB_MODE, else offline.
        project: the project's name; by default the suite's.
        entity: the team or user; by default the login's own.
        folder: folder of the runs.
    """

    package = "wandb"
    extra = "wandb"

    def __init__(
        self,
        mode: Mode | None = None,
        project: str | None = None,
        entity: str | None = None,
        folder: Path = Path("wandb"),
    ) -> None:
        super().__init__()
        self.mode, self.project, self.entity, self.folder = mode, project, entity, folder

    def begin(self, cell: Cell) -> WandBCell:
        """Start a run, in parallel with those of other cells."""
        import wandb

        self.folder.mkdir(parents=True, exist_ok=True)
        facts = describe_cell(cell)
        run = wandb.init(
            project=self.project or self.suite,
            entity=self.entity,
            name=cell.shown[:128],
            group=cell.experiment,
            tags=[cell.suite],
            dir=str(self.folder),
            config=dict(facts),
            mode=self.mode or os.environ.get("WANDB_MODE") or "offline",
            reinit="create_new",
            settings=wandb.Settings(
                console="off",
                silent=True,
                save_code=False,
                disable_code=True,
                disable_git=True,
                x_disable_meta=True,
                x_disable_stats=True,
                x_disable_machine_info=True,
            ),
        )
        return WandBCell(run)


class WandBCell(TrackedCell):
    """A cell's run. Each group counts its own steps, independently of the others."""

    def __init__(self, run: Any) -> None:
        self.run = run
        self.groups: set[str] = set()

    def _define_step(self, group: str) -> str:
        step = f"{group}/step"
        if group not in self.groups:
            self.groups.add(group)
            self.run.define_metric(step)
            self.run.define_metric(f"{group}/*", step_metric=step)
        return step

    def log_values(self, group: str, step: int, values: Mapping[str, float]) -> None:
        """Log each value as `<group>/<name>`, over `<group>/step`."""
        self.run.log({f"{group}/{name}": v for name, v in values.items()} | {self._define_step(group): step})

    def log_image(self, group: str, step: int, path: Path) -> None:
        """Log the picture as `<group>/image`."""
        import wandb
        from PIL import Image

        with Image.open(path) as picture:  # read now: the file is replaced by the next picture
            self.run.log(
                {f"{group}/image": wandb.Image(picture.convert("RGB")), self._define_step(group): step}
            )

    def end(self, status: str, reason: str | None) -> None:
        """End the run; W&B counts any status but ok as failed."""
        self.run.summary["status"] = status
        if reason:
            self.run.summary["reason"] = reason
        self.run.finish(exit_code=0 if status == "ok" else 1)
