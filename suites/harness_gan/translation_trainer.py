"""The trainer of the protocol `cyclegan`: training, curves, checkpoints, scores, verdict."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from harness import Job, Result
from harness.inference.evaluate import compute_metrics
from harness.learning.checkpoints import save_checkpoint_tree
from harness_gan.domain_batches import draw_domain_batches
from harness_gan.gan_checkpoints import FILE, read_checkpoint
from harness_gan.real_samples import bytes_to_samples, samples_to_bytes
from harness_gan.sample_pictures import draw_image_grid
from harness_gan.segmentation import score_segmentation
from harness_gan.translation_data import TranslationData
from harness_gan.translation_training import CycleTraining, NoTraining, PairedTraining
from harness_gan.verdicts import VERDICTS, VerdictSigns, decide_verdict, finite_mean, fit_slope
from harness_generative.fidelity import prdc

if TYPE_CHECKING:
    from harness_gan.translation_options import TranslationOptions
    from harness_generative.generated_samples import GeneratedSamples

GRID = 8
"""Scenes in a sample grid."""


class TranslationTrainer:
    """Trains a translation from its checkpoint to the end, and scores it."""

    def __init__(
        self,
        protocol: TranslationOptions,
        job: Job,
        data: TranslationData,
        training: CycleTraining | PairedTraining | NoTraining,
    ) -> None:
        self.protocol, self.job, self.data, self.training = protocol, job, data, training
        self.curve: dict[str, list[float]] = {}
        if not isinstance(training, NoTraining) and (state := read_checkpoint(job.workdir)) is not None:
            training.load_state_dict(state["training"])
            self.curve = state["curve"]

    def run(self) -> Result:
        """Train to the end and return the scores."""
        if not isinstance(self.training, NoTraining):
            self._train(self.training)
        return self._score()

    def _train(self, training: CycleTraining | PairedTraining) -> None:
        protocol, job, data = self.protocol, self.job, self.data
        log_every, show_every = max(1, protocol.steps // 100), max(1, protocol.steps // 20)
        paired = training.method.needs_pairs
        fine = True
        while training.step_number < protocol.steps and fine:
            a, b = draw_domain_batches(
                data.train_a,
                data.train_b,
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
                fine = training.is_finite()
            if done % show_every == 0 or done == protocol.steps:
                job.show("translations", done, self._draw_grid())
            if done % protocol.checkpoint_every == 0 and done < protocol.steps:
                state = {"training": training.state_dict(), "curve": self.curve}
                save_checkpoint_tree(job.workdir / FILE, state)
            job.advance(done, protocol.steps)

    def _draw_grid(self) -> np.ndarray[Any, Any]:
        """Draw rows of inputs, their translations and (if paired) the truth; columns are scenes."""
        a = self.data.test_a[:GRID]
        rows = [a, self.training.translate(a)]
        if self.data.paired:
            rows.append(self.data.test_b[:GRID])
        pictures = [draw_image_grid(row[n : n + 1]) for row in rows for n in range(len(a))]
        lines = [np.concatenate(pictures[k * len(a) : (k + 1) * len(a)], 1) for k in range(len(rows))]
        return np.concatenate(lines, 0)

    def _score(self) -> Result:
        training, data = self.training, self.data
        fake = training.translate(data.test_a)
        finite = training.is_finite() and bool(torch.isfinite(fake).all())
        evidence = data.judge.gather_evidence(fake)
        metrics = {**self._measure_errors(fake), **compute_metrics(self.job, evidence)}
        notes: dict[str, Any] = {}
        reason = None
        if not isinstance(training, NoTraining):
            limits = self.protocol.thresholds
            signs = self._read_signs(fake, finite, evidence)
            found, why = decide_verdict(signs, limits)
            metrics |= {name: float(found == name) for name in VERDICTS}
            notes = {"verdict": found, "why": why, "signs": asdict(signs)}
            reason = f"{found}: {why}; thresholds: {limits.format_line()}"
        parameters = sum(p.numel() for n in training.networks.values() for p in n.parameters())
        return Result(
            metrics,
            len(fake),
            curves={"training": self.curve} if self.curve else {},
            cost={"parameters": parameters, "steps": training.step_number},
            images={"translations": self._draw_grid()},
            notes={**notes, "real_samples": data.judge.counts, **data.judge.notes},
            reason=reason,
            evidence={"": evidence},
        )

    def _read_signs(self, fake: torch.Tensor, finite: bool, evidence: GeneratedSamples) -> VerdictSigns:
        """Return the numbers that the verdict is decided by."""
        tail = {name: v[-max(2, len(v) // 10) :] for name, v in self.curve.items()}
        mean = {name: finite_mean(v) for name, v in tail.items()}
        four = prdc(evidence.test, evidence.fake)
        modes = evidence.modes
        return VerdictSigns(
            finite=finite,
            rms_ratio=_rms(fake) / _rms(self.data.test_b),
            inside=1.0 if finite else 0.0,
            d_loss=mean["d_loss"],
            d_accuracy=mean["d_accuracy"],
            g_slope=fit_slope(tail["g_loss"]),
            g_gradient=mean["g_gradient"],
            modes=modes.count if modes is not None else None,
            covered=float(len(np.unique(modes.nearest))) if modes is not None else None,
            precision=four.precision,
            recall=four.recall,
            coverage=four.coverage,
        )

    def _measure_errors(self, fake: torch.Tensor) -> dict[str, float]:
        """Return errors per pixel and channel in [0, 1], accuracies by B's classifier, and segmentation scores."""
        training, data = self.training, self.data
        found: dict[str, float] = {}
        if isinstance(training, CycleTraining):
            back = training.translate(data.test_b, "g_ba")
            cycles = (
                _mean_error(training.translate(fake, "g_ba"), data.test_a),
                _mean_error(training.translate(back), data.test_b),
            )
            same = (
                _mean_error(training.translate(data.test_b), data.test_b),
                _mean_error(training.translate(data.test_a, "g_ba"), data.test_a),
            )
            found |= {"cycle_error": sum(cycles) / 2, "identity_error": sum(same) / 2}
        if data.paired:
            found["pixel_error"] = _mean_error(fake, data.test_b)
            found["untranslated_pixel_error"] = _mean_error(data.test_a, data.test_b)
        if data.classifier is not None and data.labels is not None:
            shown = {"accuracy": fake, "untranslated_accuracy": data.test_a}
            for name, images in shown.items():
                clean = bytes_to_samples(samples_to_bytes(torch.nan_to_num(images)))
                likely = data.classifier(clean)[1].argmax(1)
                found[name] = float((likely == data.labels).mean())
            found["true_accuracy"] = data.classifier.accuracy
        if (maps := data.maps) is not None:
            read_of = {"": (fake, maps.a), "untranslated_": (data.test_a, maps.a)}
            if maps.b is not None:
                read_of["true_"] = (data.test_b, maps.b)
            for of, (images, truth) in read_of.items():
                read = maps.segmenter(bytes_to_samples(samples_to_bytes(torch.nan_to_num(images))))
                score = score_segmentation(truth, read, maps.segmenter.classes)
                found |= {f"{of}{name}": value for name, value in score._asdict().items()}
        return found


def _mean_error(x: torch.Tensor, y: torch.Tensor) -> float:
    """Return the mean absolute difference of images in [−1, 1], scaled to [0, 1]; 1, the worst, if not finite."""
    if not bool(torch.isfinite(x).all()):
        return 1.0
    return float((x - y).abs().mean()) / 2


def _rms(images: torch.Tensor) -> float:
    return float(images.square().mean().sqrt())
