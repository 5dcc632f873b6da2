"""The listener `tensorboard`: TensorBoard event files, one folder per cell."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness.running.logs import cell_folder
from harness_trackers.tracker import TrackedCell, Tracker, describe_cell

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from harness import Cell


class TensorBoard(Tracker):
    """Curves, pictures, metrics and cost of each cell as TensorBoard's event files.

    They are written to `<folder>/<suite>/<time of the run>/`; `tensorboard --logdir runs` shows them
    live. Nothing leaves the machine.

    Args:
        folder: folder of the event files.
        flush_seconds: longest time before values are written to the file.
    """

    package = "tensorboard"
    extra = "tensorboard"

    def __init__(self, folder: Path = Path("runs"), flush_seconds: int = 10) -> None:
        super().__init__()
        self.folder, self.flush_seconds = folder, flush_seconds
        self.begun = datetime.now().strftime("%Y-%m-%d-%H%M%S")

    def begin(self, cell: Cell) -> TensorBoardCell:
        """Open an event file in the cell's folder."""
        from torch.utils.tensorboard import SummaryWriter

        run = self.folder / self.suite / self.begun
        folder = run / cell_folder(run, cell.shown, cell.id).name
        writer = SummaryWriter(str(folder), flush_secs=self.flush_seconds)
        lines = [f"| {name} | `{value}` |" for name, value in describe_cell(cell).items()]
        writer.add_text("cell", "\n".join(["| | |", "|---|---|", *lines]), 0)
        return TensorBoardCell(writer)


class TensorBoardCell(TrackedCell):
    """A cell's event file."""

    def __init__(self, writer: SummaryWriter) -> None:
        self.writer = writer

    def log_values(self, group: str, step: int, values: Mapping[str, float]) -> None:
        """Log each value as the scalar `<group>/<name>`."""
        for name, value in values.items():
            self.writer.add_scalar(f"{group}/{name}", value, step)

    def log_image(self, group: str, step: int, path: Path) -> None:
        """Log the picture H×W×3."""
        import numpy as np
        from PIL import Image

        with Image.open(path) as picture:
            self.writer.add_image(group, np.asarray(picture.convert("RGB")), step, dataformats="HWC")

    def end(self, status: str, reason: str | None) -> None:
        """Log the status as text and close the file."""
        self.writer.add_text("status", f"{status}: {reason}" if reason else status, 0)
        self.writer.close()
