"""One run of the protocol `cyclegan`: training, curves, checkpoints, scores, verdict."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from harness import DataError, Job, Result
from harness.inference.evaluate import compute_metrics
from harness.learning.checkpoints import save_tree
from harness.records.paths import cache_dir
from harness_gan import checkpoints
from harness_gan.classifier import Classifier
from harness_gan.grids import image_grid
from harness_gan.judging import ImageJudge, extractor_of
from harness_gan.pairs import draw_pair
from harness_gan.segmentation import IGNORED, Segmenter, segmentation_score, trained_segmenter
from harness_gan.sources import Images, Pixels, to_bytes, to_floats
from harness_gan.translation_training import CycleTraining, NoTraining, PairedTraining
from harness_gan.verdicts import VERDICTS, Signs, level, rise, verdict
from harness_generative.fidelity import prdc

if TYPE_CHECKING:
    from harness_gan.translation_options import TranslationOptions
    from harness_generative.evidence import Generated

GRID = 8
"""Scenes of a sample grid."""


@dataclass
class World:
    """Both domains' images, the judge of domain B, and what is known of the test images."""

    train_a: Images
    train_b: Images
    test_a: torch.Tensor
    test_b: torch.Tensor
    paired: bool
    labels: np.ndarray[Any, Any] | None
    classifier: Classifier | None
    judge: ImageJudge
    maps: LabelMaps | None


@dataclass
class LabelMaps:
    """The label maps of the test images N×H×W (of B where given), and who reads maps from images of B."""

    a: np.ndarray[Any, Any]
    b: np.ndarray[Any, Any] | None
    segmenter: Segmenter


def world_of(protocol: TranslationOptions, job: Job) -> World:
    """Loads both domains, and trains the classifier of domain B or loads the extractor.

    Raises DataError when paired parts differ in number (as a limit on samples can make them), and when
    there are fewer than two images to measure distances between.
    """
    label, splits = job.cell.dataset.label, {}
    arrays, pixels = {}, Pixels(protocol.size, False, label, job.workers)
    for name in ("trainA", "trainB", "testA", "testB"):
        splits[name] = job.splits(name)
        arrays[name] = pixels(splits[name])
    paired = bool(getattr(job.dataset, "paired", False))
    if paired and any(len(arrays[f"{p}A"]) != len(arrays[f"{p}B"]) for p in ("train", "test")):
        raise DataError(f"{label}: paired domains need as many images of A as of B")
    for name in ("trainB", "testA", "testB"):
        if len(arrays[name]) < 2:
            raise DataError(f"{label}: distances need 2 images of {name}, there is {len(arrays[name])}")
    targets = {name: np.asarray(split.targets) for name, split in splits.items()}
    known = all(t.min() >= 0 for t in targets.values()) and len(np.unique(targets["trainB"])) > 1
    classifier = None
    if known:
        from harness_gan.classifier import trained

        classifier = trained(
            (arrays["trainB"], targets["trainB"]), (arrays["testB"], targets["testB"]), cache_dir() / "gan"
        )
    if protocol.load_size != protocol.size:
        pixels = Pixels(protocol.load_size, False, label, job.workers)
        larger = {n: pixels(splits[n]) for n in ("trainA", "trainB")}
    else:
        larger = arrays
    extractor = extractor_of(protocol, job)
    test_a, test_b = (to_floats(torch.from_numpy(arrays[n])) for n in ("testA", "testB"))
    floor = Images(arrays["trainB"], targets["trainB"]).held(len(test_a))
    judge = ImageJudge(floor, test_b, classifier, extractor)
    labels = targets["testA"] if known else None
    maps = _label_maps(protocol, job, arrays["trainB"], splits)
    if maps is not None:
        judge.notes["segmenter"] = maps.segmenter.digest
    train_a, train_b = (Images(larger[n]) for n in ("trainA", "trainB"))
    return World(train_a, train_b, test_a, test_b, paired, labels, classifier, judge, maps)


def _label_maps(
    protocol: TranslationOptions, job: Job, images: np.ndarray[Any, Any], splits: dict[str, Any]
) -> LabelMaps | None:
    """The data set's label maps with a segmenter trained on B's, or None where it gives none."""
    if not hasattr(job.dataset, "label_maps"):
        return None
    read = {n: job.dataset.label_maps(n, splits[n].ids, protocol.size) for n in ("trainB", "testA", "testB")}
    if read["trainB"] is None or read["testA"] is None:
        return None
    classes = 1 + max(int(m[m != IGNORED].max(initial=0)) for m in read.values() if m is not None)
    segmenter = trained_segmenter(images, read["trainB"], classes, cache_dir() / "gan")
    return LabelMaps(read["testA"], read["testB"], segmenter)


class Run:
    """A training from where its checkpoint left it to its scores."""

    def __init__(
        self,
        protocol: TranslationOptions,
        job: Job,
        world: World,
        training: CycleTraining | PairedTraining | NoTraining,
    ) -> None:
        self.protocol, self.job, self.world, self.training = protocol, job, world, training
        self.curve: dict[str, list[float]] = {}
        if not isinstance(training, NoTraining) and (state := checkpoints.read(job.workdir)) is not None:
            training.load_state_dict(state["training"])
            self.curve = state["curve"]

    def result(self) -> Result:
        """Trains to the end and scores."""
        if not isinstance(self.training, NoTraining):
            self._train(self.training)
        return self._scored()

    def _train(self, training: CycleTraining | PairedTraining) -> None:
        protocol, job, world = self.protocol, self.job, self.world
        log_every, show_every = max(1, protocol.steps // 100), max(1, protocol.steps // 20)
        paired = training.method.needs_pairs
        fine = True
        while training.step_number < protocol.steps and fine:
            a, b = draw_pair(
                world.train_a,
                world.train_b,
                protocol.batch_size,
                training.streams,
                paired,
                protocol.size,
                protocol.flip,
            )
            values = training.step(a.to(job.device), b.to(job.device))
            done = training.step_number
            if done % log_every == 0 or done == protocol.steps:
                for name, value in {"step": float(done), **values}.items():
                    self.curve.setdefault(name, []).append(value)
                job.report("training", done, values)
                fine = training.finite()
            if done % show_every == 0 or done == protocol.steps:
                job.show("translations", done, self._grid())
            if done % protocol.checkpoint_every == 0 and done < protocol.steps:
                state = {"training": training.state_dict(), "curve": self.curve}
                save_tree(job.workdir / checkpoints.FILE, state)
            job.advance(done, protocol.steps)

    def _grid(self) -> np.ndarray[Any, Any]:
        """Rows of inputs, their translations and (where known) the truth; columns are scenes."""
        a = self.world.test_a[:GRID]
        rows = [a, self.training.translate(a)]
        if self.world.paired:
            rows.append(self.world.test_b[:GRID])
        pictures = [image_grid(row[n : n + 1]) for row in rows for n in range(len(a))]
        lines = [np.concatenate(pictures[k * len(a) : (k + 1) * len(a)], 1) for k in range(len(rows))]
        return np.concatenate(lines, 0)

    def _scored(self) -> Result:
        training, world = self.training, self.world
        fake = training.translate(world.test_a)
        finite = training.finite() and bool(torch.isfinite(fake).all())
        evidence = world.judge.evidence(fake)
        metrics = {**self._errors(fake), **compute_metrics(self.job, evidence)}
        notes: dict[str, Any] = {}
        reason = None
        if not isinstance(training, NoTraining):
            limits = self.protocol.thresholds
            signs = self._signs(fake, finite, evidence)
            found, why = verdict(signs, limits)
            metrics |= {name: float(found == name) for name in VERDICTS}
            notes = {"verdict": found, "why": why, "signs": asdict(signs)}
            reason = f"{found}: {why}; thresholds: {limits.described()}"
        parameters = sum(p.numel() for n in training.networks.values() for p in n.parameters())
        return Result(
            metrics,
            len(fake),
            curves={"training": self.curve} if self.curve else {},
            cost={"parameters": parameters, "steps": training.step_number},
            images={"translations": self._grid()},
            notes={**notes, "real_samples": world.judge.counts, **world.judge.notes},
            reason=reason,
        )

    def _signs(self, fake: torch.Tensor, finite: bool, evidence: Generated) -> Signs:
        """What the verdict is read from."""
        tail = {name: v[-max(2, len(v) // 10) :] for name, v in self.curve.items()}
        mean = {name: level(v) for name, v in tail.items()}
        four = prdc(evidence.test, evidence.fake)
        modes = evidence.modes
        return Signs(
            finite=finite,
            rms_ratio=_rms(fake) / _rms(self.world.test_b),
            inside=1.0 if finite else 0.0,
            d_loss=mean["d_loss"],
            d_accuracy=mean["d_accuracy"],
            g_slope=rise(tail["g_loss"]),
            g_gradient=mean["g_gradient"],
            modes=modes.count if modes is not None else None,
            covered=float(len(np.unique(modes.nearest))) if modes is not None else None,
            precision=four.precision,
            recall=four.recall,
            coverage=four.coverage,
        )

    def _errors(self, fake: torch.Tensor) -> dict[str, float]:
        """Errors in [0, 1] per pixel and channel, accuracies by B's classifier, the segmentation score."""
        training, world = self.training, self.world
        found: dict[str, float] = {}
        if isinstance(training, CycleTraining):
            back = training.translate(world.test_b, "g_ba")
            cycles = (
                _error(training.translate(fake, "g_ba"), world.test_a),
                _error(training.translate(back), world.test_b),
            )
            same = (
                _error(training.translate(world.test_b), world.test_b),
                _error(training.translate(world.test_a, "g_ba"), world.test_a),
            )
            found |= {"cycle_error": sum(cycles) / 2, "identity_error": sum(same) / 2}
        if world.paired:
            found["pixel_error"] = _error(fake, world.test_b)
            found["untranslated_pixel_error"] = _error(world.test_a, world.test_b)
        if world.classifier is not None and world.labels is not None:
            shown = {"accuracy": fake, "untranslated_accuracy": world.test_a}
            for name, images in shown.items():
                clean = to_floats(to_bytes(torch.nan_to_num(images)))
                likely = world.classifier(clean)[1].argmax(1)
                found[name] = float((likely == world.labels).mean())
            found["true_accuracy"] = world.classifier.accuracy
        if (maps := world.maps) is not None:
            read_of = {"": (fake, maps.a), "untranslated_": (world.test_a, maps.a)}
            if maps.b is not None:
                read_of["true_"] = (world.test_b, maps.b)
            for of, (images, truth) in read_of.items():
                read = maps.segmenter(to_floats(to_bytes(torch.nan_to_num(images))))
                score = segmentation_score(truth, read, maps.segmenter.classes)
                found |= {f"{of}{name}": value for name, value in score._asdict().items()}
        return found


def _error(x: torch.Tensor, y: torch.Tensor) -> float:
    """Mean absolute difference of images in [−1, 1], on the scale [0, 1]; 1, the worst, if not finite."""
    if not bool(torch.isfinite(x).all()):
        return 1.0
    return float((x - y).abs().mean()) / 2


def _rms(images: torch.Tensor) -> float:
    return float(images.square().mean().sqrt())
