"""The options of the protocol `segmentation`, which its docstring explains."""

from __future__ import annotations

from typing import Literal

from harness import OptionError
from harness_dense.class_matching import read_aliases


class SegmentationOptions:
    """The options, checked. Raises OptionError for one that makes no sense."""

    def __init__(
        self,
        split: str | None = None,
        background: Literal["counted", "left out"] = "counted",
        batch: int = 8,
        timed: int = 30,
        pictures: int = 4,
        aliases: list[str] | None = None,
    ) -> None:
        for name, value, least in (("batch", batch, 1), ("timed", timed, 0), ("pictures", pictures, 0)):
            if value < least:
                raise OptionError(f"segmentation: {name} must be at least {least}, not {value}")
        self.split, self.background, self.batch = split, background, batch
        self.timed, self.pictures, self.aliases = timed, pictures, list(aliases or ())
        read_aliases(self.aliases, "segmentation")
