"""The options of the protocol `detection`, which its docstring explains."""

from __future__ import annotations

from harness import OptionError
from harness_dense.class_matching import read_aliases


class DetectionOptions:
    """The options, checked. Raises OptionError for one that makes no sense."""

    def __init__(
        self,
        split: str | None = None,
        score_threshold: float = 0.0,
        max_detections: int = 100,
        batch: int = 8,
        timed: int = 30,
        shown_score: float = 0.5,
        pictures: int = 4,
        aliases: list[str] | None = None,
    ) -> None:
        for name, share in (("score_threshold", score_threshold), ("shown_score", shown_score)):
            if not 0 <= share <= 1:
                raise OptionError(f"detection: {name} must be from 0 to 1, not {share}")
        least = {"max_detections": 1, "batch": 1, "timed": 0, "pictures": 0}
        given = {"max_detections": max_detections, "batch": batch, "timed": timed, "pictures": pictures}
        for name, value in given.items():
            if value < least[name]:
                raise OptionError(f"detection: {name} must be at least {least[name]}, not {value}")
        self.split, self.score_threshold, self.max_detections = split, score_threshold, max_detections
        self.batch, self.timed, self.shown_score, self.pictures = batch, timed, shown_score, pictures
        self.aliases = list(aliases or ())
        read_aliases(self.aliases, "detection")
