"""One run of the protocol `cyclegan`: training, curves, checkpoints, scores, verdict."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from harness.contract import Job, Result
from harness.errors import DataError
from harness.evaluate import measured
from harness.files import replacing
from harness.paths import cache_dir
from harness_gan import checkpoints
from harness_gan.classifier import Classifier
from harness_gan.fidelity import prdc
from harness_gan.grids import image_grid
from harness_gan.judging import ImageJudge, extractor_of
from harness_gan.sources import Images, as_array, to_bytes, to_floats
from harness_gan.translation_training import CycleTraining, PairedTraining, draw_pair
from harness_gan.verdicts import VERDICTS, Signs, verdict

if TYPE_CHECKING:
    from harness_gan.translation_protocol import Translate

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


def world_of(protocol: Translate, job: Job) -> World:
    """Loads both domains, and trains the classifier of domain B or loads the extractor.

    Raises DataError when paired parts differ in number (as a limit on samples can make them).
    """
    label, splits = job.cell.dataset.label, {}
    arrays = {}
    for name in ("trainA", "trainB", "testA", "testB"):
        splits[name] = job.splits(name)
        arrays[name] = as_array(splits[name], protocol.size, False, label)
    paired = bool(getattr(job.dataset, "paired", False))
    if paired and any(len(arrays[f"{p}A"]) != len(arrays[f"{p}B"]) for p in ("train", "test")):
        raise DataError(f"{label}: paired domains need as many images of A as of B")
    targets = {name: np.asarray(split.targets) for name, split in splits.items()}
    known = all(t.min() >= 0 for t in targets.values()) and len(np.unique(targets["trainB"])) > 1
    classifier = None
    if known:
        from harness_gan.classifier import trained

        classifier = trained(
            (arrays["trainB"], targets["trainB"]), (arrays["testB"], targets["testB"]), cache_dir() / "gan"
        )
    named = job.cell.protocol.options.get("extractor")
    extractor = extractor_of(protocol.extractor, named, job.device)
    test_a, test_b = (to_floats(torch.from_numpy(arrays[n])) for n in ("testA", "testB"))
    train_b = Images(arrays["trainB"])
    judge = ImageJudge(train_b.held(len(test_a)), test_b, classifier, extractor)
    labels = targets["testA"] if known else None
    return World(Images(arrays["trainA"]), train_b, test_a, test_b, paired, labels, classifier, judge)


class Run:
    """A training from where its checkpoint left it to its scores."""

    def __init__(
        self, protocol: Translate, job: Job, world: World, training: CycleTraining | PairedTraining
    ) -> None:
        self.protocol, self.job, self.world, self.training = protocol, job, world, training
        self.curve: dict[str, list[float]] = {}
        state = checkpoints.read(job.workdir)
        if state is not None:
            training.load_state_dict(state["training"])
            self.curve = state["curve"]

    def result(self) -> Result:
        """Trains to the end and scores."""
        protocol, job, training, world = self.protocol, self.job, self.training, self.world
        every = max(1, protocol.steps // 100)
        paired = training.method.needs_pairs
        fine = True
        while training.step_number < protocol.steps and fine:
            a, b = draw_pair(world.train_a, world.train_b, protocol.batch_size, training.streams, paired)
            values = training.step(a.to(job.device), b.to(job.device))
            done = training.step_number
            if done % every == 0 or done == protocol.steps:
                for name, value in {"step": float(done), **values}.items():
                    self.curve.setdefault(name, []).append(value)
                job.report("training", done, values)
                fine = training.finite()
            if done % protocol.checkpoint_every == 0 and done < protocol.steps:
                self._save()
            job.advance(done, protocol.steps)
        return self._scored()

    def _save(self) -> None:
        from PIL import Image

        self.job.workdir.mkdir(parents=True, exist_ok=True)
        with replacing(self.job.workdir / checkpoints.FILE) as temporary:
            torch.save({"training": self.training.state_dict(), "curve": self.curve}, temporary)
        Image.fromarray(self._grid()).save(self.job.workdir / "samples.png")

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
        metrics = {**self._errors(fake), **measured(self.job, evidence)}
        tail = {name: float(np.mean(v[-max(2, len(v) // 10) :])) for name, v in self.curve.items()}
        four = prdc(evidence.test, evidence.fake)
        modes = evidence.modes
        signs = Signs(
            finite=finite,
            rms_ratio=_rms(fake) / _rms(world.test_b),
            inside=1.0 if finite else 0.0,
            g_gradient=tail["g_gradient"],
            modes=modes.count if modes is not None else None,
            covered=float(len(np.unique(modes.nearest))) if modes is not None else None,
            precision=four.precision,
            recall=four.recall,
            coverage=four.coverage,
        )
        limits = self.protocol.thresholds
        found, why = verdict(signs, limits)
        metrics |= {name: float(found == name) for name in VERDICTS}
        parameters = sum(p.numel() for n in training.networks.values() for p in n.parameters())
        return Result(
            metrics,
            len(fake),
            curves={"training": self.curve},
            cost={"parameters": parameters, "steps": training.step_number},
            images={"translations": self._grid()},
            notes={"verdict": found, "why": why, "signs": asdict(signs), **world.judge.notes},
            reason=f"{found}: {why}; thresholds: {limits.described()}",
        )

    def _errors(self, fake: torch.Tensor) -> dict[str, float]:
        """Errors in [0, 1] per pixel and channel, and accuracies under the classifier of domain B."""
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
        return found


def _error(x: torch.Tensor, y: torch.Tensor) -> float:
    """Mean absolute difference of images in [−1, 1], on the scale [0, 1]; 1, the worst, if not finite."""
    if not bool(torch.isfinite(x).all()):
        return 1.0
    return float((x - y).abs().mean()) / 2


def _rms(images: torch.Tensor) -> float:
    return float(images.square().mean().sqrt())
