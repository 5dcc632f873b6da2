"""The options of the protocol `fusion` and their checks."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Literal

from harness import OptionError
from harness.errors import did_you_mean
from harness_fusion.pair_augmentation import PairAugmentation
from harness_fusion.pair_splits import SplitRule
from harness_fusion.submission import SubmissionLayout

AugmentedModalities = Literal["off", "on", "image", "text"]


class FusionOptions:
    """Checked options of the protocol; `Fusion` documents each. Raises OptionError for bad values."""

    def __init__(
        self,
        split: SplitRule = "clean",
        augmentation: AugmentedModalities = "off",
        changes: dict[str, float] | None = None,
        views: int = 0,
        epochs: int = 5,
        rate: float = 1e-4,
        batch: int = 64,
        weight_decay: float = 0.01,
        schedule: Literal["cosine", "constant"] = "cosine",
        cosine_over: Literal["epochs", "steps"] = "epochs",
        t_max: int | None = None,
        patience: int = 2,
        class_weights: bool = True,
        dropout: float = 0.1,
        vectors: Literal["unit", "standard", "raw"] = "unit",
        encoders: Literal["frozen", "tuned"] = "frozen",
        encoder_rate: float = 1e-5,
        tokens: bool = True,
        probes: bool = True,
        probe_metrics: list[str] | None = None,
        predict: Path | None = None,
        layout: SubmissionLayout = "label",
    ) -> None:
        for name, value, least in (("epochs", epochs, 1), ("batch", batch, 2), ("views", views, 0)):
            if value < least:
                raise OptionError(f"fusion: {name} must be at least {least}, not {value}")
        for name, number in (("patience", patience), ("weight_decay", weight_decay)):
            if number < 0:
                raise OptionError(f"fusion: {name} must be at least 0, not {number}")
        if t_max is not None and t_max < 1:
            raise OptionError(f"fusion: t_max must be at least 1, not {t_max}")
        for name, number in (("rate", rate), ("encoder_rate", encoder_rate)):
            if not number > 0:
                raise OptionError(f"fusion: {name} must be above 0, not {number}")
        if vectors == "standard" and encoders == "tuned":
            raise OptionError(
                "fusion: vectors = 'standard' needs frozen encoders, whose statistics stay fixed"
            )
        if not 0 <= dropout < 1:
            raise OptionError(f"fusion: dropout must be from 0 to below 1, not {dropout}")
        self.split, self.augmentation, self.views = split, augmentation, views
        self.changes = dict(changes or {})
        known = [f.name for f in fields(PairAugmentation)]
        for name in self.changes:
            if name not in known:
                raise OptionError(f"fusion: changes has no '{name}'{did_you_mean(name, known)}")
        PairAugmentation(**self.changes)
        self.epochs, self.rate, self.batch, self.weight_decay = epochs, rate, batch, weight_decay
        self.schedule, self.cosine_over, self.t_max = schedule, cosine_over, t_max
        self.patience, self.class_weights, self.dropout = patience, class_weights, dropout
        self.vectors, self.encoders, self.encoder_rate = vectors, encoders, encoder_rate
        self.tokens, self.probes = tokens, probes
        self.probe_metrics = probe_metrics if probe_metrics is not None else ["top1", "weighted_f1"]
        self.predict, self.layout = predict, layout
        self.fresh_model = encoders == "tuned"
        """Whether each cell needs a fresh model, because training changes it."""
