"""The protocol `fusion`: a head on frozen (or tuned) encoders of text and image, its probes and costs."""

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
    """Trains a fusion method's head on image-text pairs and measures what each modality contributes.

    Axes: `split` and `augmentation`, over the options of the same names, and `shots`: the number of training
    pairs per class, drawn as in the other suites and the same for all methods; by default all. The division
    into parts is the same for all seeds and methods; seeds differ in initial weights, order, dropout and shots.

    Args:
        split: `reference` reports the part that also stops the training (the reference classifier's 8:2),
            which makes every row optimistic; `clean` stops on a tenth of the training part and uses the
            reported part once. A data set with its own splits keeps them.
        augmentation: which modalities of the training part are augmented: both (`on`), one, or none (`off`).
        changes: strengths of augmentation, by the fields of `harness_fusion.pair_augmentation.PairAugmentation`.
        views: with frozen encoders, the number of augmented copies of the training part that are encoded, cached
            and shared by all arms and seeds, used in turn by epoch; 0 encodes again in every epoch.
        epochs: most passes over the training part.
        rate: AdamW's learning rate for the head.
        batch: pairs per step.
        weight_decay: AdamW's weight decay.
        schedule: whether the learning rate follows a cosine or stays constant.
        cosine_over: whether the cosine is updated by epoch or by step.
        t_max: number of epochs or steps after which the cosine reaches 0; by default all.
        patience: epochs without a better weighted F1 after which training stops; 0 never stops early. The best
            epoch's weights are used either way.
        class_weights: whether the loss is weighted by N/(C·n_c) of the training part.
        dropout: probability of dropout before the classifier.
        vectors: scaling of pooled vectors: to length 1 (`unit`), to mean 0 and deviation 1 over the training part
            (`standard`, for frozen encoders), or none (`raw`).
        encoders: `frozen`, or `tuned` end to end (in eval mode: no dropout, fixed statistics) at `encoder_rate`.
        encoder_rate: AdamW's learning rate for tuned encoders.
        tokens: whether tokens and patches are cached besides vectors; otherwise methods that read them are
            skipped, and the cache is far smaller.
        probes: whether modalities are shuffled, zeroed, averaged and marked missing at test time.
        probe_metrics: metrics of probes and subsets; if the cell has none of them, its first metric.
        predict: folder for predictions of the split without labels, one file per cell.
        layout: columns of those files: `label` (id, label), `tag` (guid, tag), `memes` (id, proba, label).
    """

    provides = (Predictions,)
    axes = ("split", "augmentation", "shots")
    own_numbers = ("training_*", "epochs", "*_samples_per_second", "*_parameters", "best_epoch")
    needs_method = True
    titles: ClassVar = {
        "training_seconds": "Training time (s)",
        "epochs": "Epochs",
        "best_epoch": "Best epoch",
        "samples_per_second": "Samples per second",
        "cached_samples_per_second": "Samples per second, from cached features",
        "training_samples_per_second": "Samples per second, in training",
        "share.text": "Share of the text",
        "share.image": "Share of the image",
    }
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
        """Return the version of the trainings, which determines results besides the options."""
        return "learning-1"

    def cannot(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> str | None:
        """Return why this combination makes no sense, or None."""
        if method is None or not hasattr(method, "modalities"):
            return "the protocol 'fusion' needs a fusion method (one with the attribute `modalities`)"
        shots = axes.get("shots", "all")
        if shots != "all" and (not isinstance(shots, int) or isinstance(shots, bool) or shots < 1):
            return f"shots must be a positive whole number of pairs per class or 'all', not {shots!r}"
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
                return "the method reads tokens, which the protocol leaves out (tokens = false)"
            if not {"gives image tokens", "gives text tokens"} <= able:
                return "the method reads tokens, and the model does not return them for both modalities"
        if self.encoders == "tuned" and "exposes its module" not in able:
            return "the model does not expose its module, so its encoders can't be tuned"
        # data sets of pairs know this before they are opened
        if hasattr(dataset, "unfit") and (unfit := dataset.unfit(method.modalities)):
            return str(unfit)
        if "all" in dataset.splits:
            return None
        if training_split(dataset.splits) is None:
            return "the data set has no split 'all' or 'train'"
        return find_test_split(dataset.splits, option="").refusal

    def run(self, job: Job) -> Result:
        """Encode, train, probe and measure one cell."""
        from harness_fusion.fusion_cell import FusionCell

        return FusionCell(self, job).result()

    def warm(self, job: Job) -> None:
        """Encode the parts, and those augmented views of the training part that the cell surely reads."""
        from harness_fusion.fusion_cell import FusionCell

        if self.encoders == "frozen":
            FusionCell(self, job).warm()

    def measure(self, job: Job, evidence: Mapping[str, Predictions]) -> dict[str, float]:
        """Return the metrics on all pairs, under each probe and on each subset."""
        from harness_fusion.measuring import measure_pairs

        return measure_pairs(job, evidence, self.probe_metrics)


__all__ = ["Fusion"]
