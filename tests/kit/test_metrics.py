"""Every first-party metric passes the kit, with values known from the definitions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from harness import Boxes
from harness.contract.evidence import Predictions
from harness.discovery import registry
from harness.discovery.parts import Resolver
from harness.discovery.reference import Reference
from harness.testing import MetricConformance
from harness_dense.gathering import FoundArrays, gather_detections
from harness_dense.segmentations import Segmentations
from harness_metrics.answers import Answered
from harness_metrics.caption_choices import CaptionChoices
from harness_metrics.label_sets import LabelSets
from harness_metrics.rankings import Rankings
from harness_metrics.seen_unseen import SeenUnseenPredictions

# softmax of (log 3, 0) is (3/4, 1/4): two right, one wrong, all with confidence 3/4
LOGITS = np.log([[3.0, 1.0], [1.0, 3.0], [3.0, 1.0]])
PAIRS = Predictions(LOGITS, np.array([0, 1, 1]), ["a", "b", "c"], ["cat", "dog"])
# ranks of the target: 1, 2, 6
SIX = Predictions(
    np.array([[6.0, 5, 4, 3, 2, 1], [6.0, 5, 4, 3, 2, 1], [6.0, 5, 4, 3, 2, 1]]),
    np.array([0, 1, 5]),
    ["a", "b", "c"],
)
GAP = 3 / 4 - 2 / 3

# two yes/no questions on one image, each in two orders of its choices: the first right in one order only
ANSWERS = Answered(
    ids=["a", "a", "b", "b"],
    groups=["image"] * 4,
    prompts=[0] * 4,
    texts=["yes", "", "no", "no"],
    extracted=["yes", None, "no", "no"],
    outcomes=["ok", "unparsed", "ok", "ok"],
    references=[["yes"] * 10] * 2 + [["no"] * 10] * 2,
    choices=[["yes", "no"], ["no", "yes"]] * 2,
    right=[0, 1, 1, 0],
    orders=[0, 1, 0, 1],
    objects=[["yes"]] * 2 + [["no"]] * 2,
)

# one of two objects found, below something that is nowhere: precision 1/2 up to recall 1/2
SQUARES = np.array([[0.0, 0, 100, 100], [200, 0, 300, 100]])
FOUND = gather_detections(
    ["image"],
    ["square"],
    [[400, 400]],
    [FoundArrays(SQUARES + np.array([[300], [0]]), [0.9, 0.8], [0, 0])],
    [Boxes(SQUARES, np.array([0, 0]))],
)

# one label right of two, and one given in excess: 1 hit, 2 given, 2 right; the first class has F1 1, the others 0
SETS = LabelSets(np.array([[1.0, 0, 1], [0, 0, 0]]), np.array([[1, 0, 0], [0, 1, 0]]), ["a", "b"])

# a pair of images with the captions matched, and one whose second image likes both captions more
CHOICES = CaptionChoices(
    ids=["a0", "a1", "b0", "b1"],
    groups=["a", "a", "b", "b"],
    choices=[["one two", "two one"]] * 4,
    scores=[[0.4, 0.1], [0.2, 0.3], [0.4, 0.3], [0.6, 0.5]],
    right=[0, 1, 0, 1],
)

# of five mistakes in the tree of ten classes, c0 is said for c1, c2, c4, c5 and c9
TREE = Predictions(
    np.eye(10)[[0] * 6], np.array([0, 1, 2, 4, 5, 9]), [*"abcdef"], [f"c{n}" for n in range(10)]
)
# both seen classes right, one of two unseen ones
SIDES = SeenUnseenPredictions(
    np.eye(4)[[0, 1, 2, 0]], np.arange(4), [*"abcd"], unseen=np.array([False, False, True, True])
)
# positives at ranks 1 and 3 of 4; two candidates are among the first two
RANKED = Rankings(
    ["a"], ["a"], 4, np.array([0, 2]), np.array([0, 2]), np.ones(2, int), np.ones(2, int), np.array([1, 0, 1, 0]), 2
)  # fmt: skip

# 100 pixels of two classes: 50 and 20 right, 10 and 20 wrong; half of the bands' pixels are shared
REGIONS = Segmentations(
    ids=["a"],
    class_names=["ground", "disc"],
    offsets=np.array([0, 4]),
    truths=np.array([0, 0, 1, 1]),
    predictions=np.array([0, 1, 0, 1]),
    counts=np.array([50, 10, 20, 20]),
    band_common=np.array([[6, 2]]),
    band_union=np.array([[8, 8]]),
    confidences=np.eye(15)[None, :, [11]] * np.array([100, 80, 70]),
    uncounted=np.array([0]),
)

KNOWN: dict[str, list[tuple[Any, Any]]] = {
    "miou": [(REGIONS, (50 / 80 + 20 / 50) / 2)],
    "pixel-accuracy": [(REGIONS, 0.7)],
    "class-accuracy": [(REGIONS, (50 / 60 + 20 / 40) / 2)],
    "fwiou": [(REGIONS, 0.6 * 50 / 80 + 0.4 * 20 / 50)],
    "dice": [(REGIONS, (10 / 13 + 4 / 7) / 2)],
    "boundary-iou": [(REGIONS, (6 / 8 + 2 / 8) / 2)],
    "segmentation-calibration": [(REGIONS, 0.1)],
    "class-iou": [(REGIONS, {"ground": 50 / 80, "disc": 20 / 50})],
    "top1": [(PAIRS, 2 / 3), (SIX, 1 / 3)],
    "top5": [(SIX, 2 / 3)],
    "topk": [(SIX, 2 / 3)],
    "top1_top5_mean": [(SIX, (1 / 3 + 2 / 3) / 2)],
    "mean_per_class": [(PAIRS, (1 + 1 / 2) / 2)],
    "nll": [(PAIRS, -(2 * math.log(3 / 4) + math.log(1 / 4)) / 3)],
    "brier": [(PAIRS, (2 * (2 / 16) + 2 * (9 / 16)) / 3)],
    "ece": [(PAIRS, GAP)],
    "rms_calibration_error": [(PAIRS, GAP)],
    # cat: precision 1/2, recall 1, F1 2/3; dog: precision 1, recall 1/2, F1 2/3
    "macro_precision": [(PAIRS, 3 / 4)],
    "macro_recall": [(PAIRS, 3 / 4)],
    "macro_f1": [(PAIRS, 2 / 3)],
    "weighted_f1": [(PAIRS, 2 / 3)],
    "f1_per_class": [(PAIRS, {"cat": 2 / 3, "dog": 2 / 3})],
    # one positive is ranked above the only negative, the other ties with it
    "roc_auc": [(PAIRS, (1 + 1 / 2) / 2)],
    "vqa-accuracy": [(ANSWERS, 3 / 4)],
    "anls": [(ANSWERS, 3 / 4)],
    "exact-match": [(ANSWERS, 3 / 4)],
    "choice-accuracy": [(ANSWERS, 3 / 4)],
    "circular-accuracy": [(ANSWERS, 1 / 2)],
    "yes-no": [
        (ANSWERS, {"accuracy": 3 / 4, "precision": 1, "recall": 1 / 2, "f1": 2 / 3, "yes_share": 1 / 4})
    ],
    "mme-score": [(ANSWERS, {"score": 125, "accuracy": 3 / 4, "accuracy_plus": 1 / 2})],
    "within-one": [(ANSWERS, 3 / 4)],  # two bins: what can't be read alone is farther
    # right 0, 0, 1, 1; given 0, 1 (unread: the farthest), 1, 1: 1 of 4 disagree, 2 of 4 by chance
    "quadratic-kappa": [(ANSWERS, 1 / 2)],
    "set-micro-f1": [(SETS, 2 * 1 / (2 + 2))],
    "set-macro-f1": [(SETS, 1 / 3)],
    "exact-set": [(SETS, 0)],
    "coco-ap": [(FOUND, {"AP": 51 / 202, "AP50": 51 / 202, "AR1": 0, "AR10": 1 / 2, "AR_large": 1 / 2})],
    "voc-ap": [(FOUND, 1 / 4)],
    "tide-errors": [
        (FOUND, {"Bkg": 51 / 202, "Miss": 1 / 2 - 51 / 202, "Cls": 0, "Loc": 0, "Dupe": 0, "Both": 0})
    ],
    "detection-calibration": [(FOUND, (0.9 + 0.2) / 2)],
    "answer-rates": [(ANSWERS, {"unparsed": 1 / 4, "refused": 0, "truncated": 0, "failed": 0})],
    "chair": [(ANSWERS, {"i": 0, "s": 0})],
    "object-coverage": [(ANSWERS, 3 / 4)],
    "strict-choice": [(CHOICES, 3 / 4)],
    "group-scores": [(CHOICES, {"text": 1 / 2, "image": 1 / 2, "group": 1 / 2})],
    "mistake-severity": [(TREE, (1 + 2 + 2 + 3 + 3) / 5)],
    # c0 to c4 have three ancestors with themselves, c5 to c9 two: 3 + 2 + 1 + 1 are shared
    "hierarchical-precision": [(TREE, {"precision": 7 / 18, "recall": 7 / 16, "f": 14 / 34})],
    "accuracy-per-level": [(TREE, {"1": 4 / 6, "2": 2 / 6, "3": 1 / 6})],
    "harmonic-mean": [(SIDES, {"seen": 1, "unseen": 1 / 2, "harmonic": 2 / 3})],
    "recall-at-k": [(RANKED, 1)],
    "true-recall-at-k": [(RANKED, 1 / 2)],
    "median-rank": [(RANKED, 1)],
    "mean-average-precision": [(RANKED, (1 + 2 / 3) / 2)],
    "ndcg": [(RANKED, (1 + 1 / 2) / (1 + 1 / math.log2(3)))],
    "hubness-skew": [(RANKED, 0)],  # half once, half never: symmetric
    # of one word each, there are n-grams of one length in four; log 2 over 2 images weighs them alike
    "cider": [(ANSWERS, (10 / 4 + 0 + 10 / 4 + 10 / 4) / 4)],
}
OF_TREES = ("accuracy-per-level", "hierarchical-precision", "mistake-severity")
OTHER_EVIDENCE = ("frechet", "high-quality", "kid", "map_11point", "modes", "prdc", "reverse-kl")


def generated(quality: float, seed: int) -> Any:
    """Samples around as many of eight modes, and as near to them, as the quality says."""
    from harness_generative.generated_samples import GeneratedSamples, ModeAssignment

    rng = np.random.default_rng(seed)
    centres = 10 * np.stack([np.cos(np.arange(8) * math.pi / 4), np.sin(np.arange(8) * math.pi / 4)], 1)

    def real(seed: int) -> Any:
        drawn = np.random.default_rng(seed)
        return centres[np.arange(400) % 8] + drawn.normal(size=(400, 2))

    covered = max(1, round(8 * quality))
    nearest = np.arange(400) % covered
    fake = real(3) if quality == 1 else centres[nearest] * (1 + 5 * (1 - quality)) + rng.normal(size=(400, 2))
    good = np.arange(400) < 400 * quality
    return GeneratedSamples(fake, real(1), real(2), "points", ModeAssignment(nearest, good, 8))


def label_sets(quality: float, seed: int) -> Any:
    """Scores of four labels, any of which a sample may have."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 2, (80, 4))
    return LabelSets(
        rng.normal(size=(80, 4)) + 60 * (quality - 0.5) * targets, targets, [str(i) for i in range(80)]
    )


MAKERS: Mapping[str, Callable[[float, int], Any]] = dict.fromkeys(OTHER_EVIDENCE, generated) | dict.fromkeys(
    ("map_11point", "set-micro-f1", "set-macro-f1", "exact-set"), label_sets
)


def names() -> list[str]:
    return [p.name for p in registry.installed("metrics") if p.distribution == "vision-harness"]


def test_values_are_known_for_all_but_those_that_are_tested_elsewhere() -> None:
    assert set(names()) - set(OTHER_EVIDENCE) - set(KNOWN) == {"ece_after_temperature"}  # no closed form


class TestFirstParty(MetricConformance):
    @pytest.fixture(params=names())
    def name(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def metric(self, name: str) -> Any:
        options = {"tree": "ten-classes"} if name in OF_TREES else {}
        part = Resolver().resolve("metrics", Reference(name, options), "kit")
        assert part.problem is None, part.problem
        return part.object

    @pytest.fixture
    def examples(self, name: str) -> Any:
        return KNOWN.get(name)

    @pytest.fixture
    def make_evidence(self, name: str) -> Any:
        return MAKERS.get(name)
