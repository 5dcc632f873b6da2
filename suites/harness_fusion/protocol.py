"""The protocol `fusion`: a head on frozen (or tuned) encoders of text and image, its probes and its costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, get_args

from harness import Dataset, Job, Predictions, Result, capabilities
from harness.errors import did_you_mean
from harness.inference.splits import find_test_split, training_split
from harness_fusion.options import AugmentedModalities, FusionOptions
from harness_fusion.pair_splits import SplitRule

CHOICES = {"split": get_args(SplitRule), "augmentation": get_args(AugmentedModalities)}


class Fusion(FusionOptions):
    """Trains a fusion method's head on image-text pairs and asks it what each modality brings.

    Axes: `split` and `augmentation`, over the options of the same names, and `shots`: how many pairs per class
    of the training part are trained on, the same for all methods and as in the other suites; else all of them.
    The division into parts is the same for all seeds and methods; seeds differ in initial weights, order,
    dropout and shots.

    Args:
        split: `reference` reports the part that also stops the training (the reference classifier's 8:2),
            which flatters every row; `clean` stops on a tenth of the training part, and the reported part is
            used once. A data set with its own splits keeps them.
        augmentation: of the training part: of both modalities (`on`), one of them, or `off`.
        changes: how strong augmentation is, by the fields of `harness_fusion.pair_augmentation.PairAugmentation`.
        views: with frozen encoders, how many augmented copies of the training part are encoded, kept and
            shared by all arms and seeds, epoch after epoch in turn; 0 encodes anew in every epoch.
        epochs: the most passes over the training part.
        rate: AdamW's learning rate for the head.
        batch: pairs per step.
        weight_decay: of AdamW.
        schedule: `cosine` or `constant`.
        cosine_over: whether the cosine falls from epoch to epoch or from step to step.
        t_max: after how many epochs or steps the cosine reaches 0; by default after all of them.
        patience: epochs without a better weighted F1 after which training stops; 0 trains to the end.
            The best epoch's weights are taken either way.
        class_weights: whether the loss is weighted by N/(C·n_c) of the training part.
        dropout: before the classifier.
        vectors: pooled vectors are scaled to length 1 (`unit`), to mean 0 and deviation 1 of the training part's
            (`standard`, for frozen encoders), or left as they are (`raw`).
        encoders: `frozen`, or `tuned` end to end (in eval mode: no dropout, fixed statistics) at `encoder_rate`.
        encoder_rate: AdamW's learning rate for tuned encoders.
        tokens: whether tokens and patches are kept beside vectors; without them methods that read them are
            skipped, and the cache is far smaller.
        probes: whether modalities are shuffled, zeroed, averaged and declared missing at test time.
        probe_metrics: the metrics that probes and subsets give; the first of the cell's where it has none.
        predict: a folder for predictions of the split without labels, one file per cell.
        layout: of those files: `label` (id, label), `tag` (guid, tag), `memes` (id, proba, label).
    """

    provides = (Predictions,)
    axes = ("split", "augmentation", "shots")
    own_numbers = ("training_*", "epochs", "*_samples_per_second", "*_parameters", "best_epoch")
    needs_method = True
    directions: ClassVar[Mapping[str, bool]] = {}
    units: ClassVar = {"share.text": "fraction", "share.image": "fraction"}
    smallest: ClassVar = {
        "epochs": 2,
        "batch": 8,
        "cell": {
            "models": [{"plugin": "tiny-clip", "tower": "vit", "steps": 0}],
            "datasets": [{"plugin": "scene-pairs", "count": 40}],
            "methods": ["early-features"],
            "metrics": ["top1"],
        },
    }

    def fingerprint(self) -> str:
        """The version of the trainings: what decides their numbers besides the options."""
        return "learning-1"

    def cannot(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> str | None:
        """Why this combination makes no sense, from what its parts say of themselves."""
        if method is None or not hasattr(method, "modalities"):
            return "the protocol 'fusion' needs a fusion method (one that says which modalities it reads)"
        shots = axes.get("shots", "all")
        if shots != "all" and (not isinstance(shots, int) or isinstance(shots, bool) or shots < 1):
            return f"shots must be a positive number of pairs per class or 'all', not {shots!r}"
        for name, value in axes.items():
            if name in CHOICES and value not in CHOICES[name]:
                hint = did_you_mean(str(value), CHOICES[name])
                return f"{name} must be one of {', '.join(CHOICES[name])}, not {value!r}{hint}"
        able = set(capabilities(model))
        for modality in ("text", "image"):
            if not {f"encodes {modality}s", f"gives {modality} tokens"} & able:
                return f"the model does not encode {modality}s"
        if method.reads == "tokens":
            if not self.tokens:
                return "the method reads tokens, which are not kept here (tokens = false)"
            if not {"gives image tokens", "gives text tokens"} <= able:
                return "the method reads tokens, and the model does not give them for both modalities"
        if self.encoders == "tuned" and "exposes its module" not in able:
            return "the model does not expose its module, so its encoders can't be tuned"
        # which data sets of pairs can say before they are opened
        if hasattr(dataset, "unfit") and (unfit := dataset.unfit(method.modalities)):
            return str(unfit)
        if "all" in dataset.splits:
            return None
        if training_split(dataset.splits) is None:
            return "the data set has no split 'all' or 'train'"
        return find_test_split(dataset.splits, option="").refusal

    def run(self, job: Job) -> Result:
        """Encodes, trains, probes and measures one cell."""
        from harness_fusion.fusion_cell import FusionCell

        return FusionCell(self, job).result()


__all__ = ["Fusion"]
