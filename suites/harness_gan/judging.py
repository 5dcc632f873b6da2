"""Judges of generated samples: they assign modes and extract the features to compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from harness import HarnessError
from harness_gan.real_samples import bytes_to_samples, samples_to_bytes
from harness_generative.generated_samples import GeneratedSamples, ModeAssignment
from harness_generative.modes import find_nearest_modes, measure_mode_coverage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness import Job
    from harness.contract.cells import Part
    from harness_gan.judge_classifier import JudgeClassifier


class Judge(Protocol):
    """Turns samples N×shape into evidence for metrics.

    `notes` are facts about its networks, `counts` the number of real samples it holds, and
    `floor_scores` what real training samples score if modes are counted.
    """

    notes: dict[str, Any]
    counts: dict[str, int]
    floor_scores: dict[str, float]

    def assign_modes(self, samples: torch.Tensor) -> ModeAssignment | None: ...

    def gather_evidence(self, samples: torch.Tensor) -> GeneratedSamples: ...


class PointJudge:
    """Judge of points of a mixture: modes by distance; the points are their own features."""

    def __init__(self, split: Any, train: torch.Tensor, test: torch.Tensor) -> None:
        self.split = split
        self.train, self.test = train.numpy(), test.numpy()
        self.notes: dict[str, Any] = {}
        self.counts = {"train": len(train), "test": len(test)}
        self.floor_scores = _score_modes(self.assign_modes(train))

    def assign_modes(self, samples: torch.Tensor) -> ModeAssignment:
        """Assign each point to its nearest centre."""
        centres = self.split.centres.numpy()
        return ModeAssignment(*find_nearest_modes(samples.numpy(), centres, self.split.sigma), len(centres))

    def gather_evidence(self, samples: torch.Tensor) -> GeneratedSamples:
        """Return the points beside the real ones; non-finite coordinates become 0."""
        points = np.nan_to_num(samples.numpy(), nan=0.0, posinf=0.0, neginf=0.0)
        return GeneratedSamples(points, self.train, self.test, "points", self.assign_modes(samples))


class ImageJudge:
    """Judge of images: features by an extractor, modes by a classifier of the data set's labels, if any.

    With `channels` (stacked data) each colour is classified as a separate image, and modes are tuples of
    labels. A sample is of high quality if its label's probability is at least `confidence`.
    """

    def __init__(
        self,
        train: torch.Tensor,
        test: torch.Tensor,
        classifier: JudgeClassifier | None,
        extractor: Extractor | None,
        *,
        channels: bool = False,
        confidence: float = 0.9,
    ) -> None:
        if classifier is None and extractor is None:
            raise HarnessError(
                "images need one label each, from two or more, or else the protocol needs an extractor, "
                'such as extractor = "timm:vit_small_patch14_dinov2"'
            )
        self.classifier, self.extractor = classifier, extractor
        self.channels, self.confidence = channels, confidence
        self.notes: dict[str, Any] = {}
        if classifier is not None:
            self.notes = {"classifier": classifier.digest, "classifier_accuracy": classifier.accuracy}
        if extractor is not None:
            self.notes["extractor"] = extractor.fingerprint
        self.name = extractor.name if extractor is not None else "classifier"
        self.counts = {"train": len(train), "test": len(test)}
        self.floor_scores = _score_modes(self.assign_modes(train))
        self.train, self.test = self._extract_features(train), self._extract_features(test)

    def assign_modes(self, samples: torch.Tensor) -> ModeAssignment | None:
        """Assign each image to the classifier's likeliest label (or tuple of labels)."""
        if self.classifier is None:
            return None
        parts = self._split_channels(self._quantise(samples))
        likely = [self.classifier(part)[1] for part in parts]
        classes = likely[0].shape[1]
        modes = np.zeros(len(samples), np.int64)
        sure = np.ones(len(samples))
        for p in likely:
            modes = modes * classes + p.argmax(1)
            sure = np.minimum(sure, p.max(1))
        good = (sure >= self.confidence) & torch.isfinite(samples.flatten(1)).all(1).numpy()
        return ModeAssignment(modes, good, classes ** len(parts))

    def gather_evidence(self, samples: torch.Tensor) -> GeneratedSamples:
        """Return the features beside the real images' features."""
        return GeneratedSamples(
            self._extract_features(samples),
            self.train,
            self.test,
            self.name,
            self.assign_modes(samples),
            is_fid=self.extractor is not None and self.extractor.is_fid,
        )

    def _extract_features(self, images: torch.Tensor) -> NDArray[np.floating]:
        shown = self._quantise(images)
        if self.extractor is not None:
            return self.extractor(samples_to_bytes(shown))
        assert self.classifier is not None
        return np.concatenate([self.classifier(part)[0] for part in self._split_channels(shown)], 1)

    def _split_channels(self, images: torch.Tensor) -> list[torch.Tensor]:
        return list(images.split(1, 1)) if self.channels else [images]

    @staticmethod
    def _quantise(images: torch.Tensor) -> torch.Tensor:
        """Round images to bytes and back, as an image file would, so that no score rests on invisible detail."""
        return bytes_to_samples(samples_to_bytes(torch.nan_to_num(images, nan=0.0)))


def _score_modes(modes: ModeAssignment | None) -> dict[str, float]:
    """Return modes covered, share of high quality and reverse KL; nothing without modes."""
    if modes is None:
        return {}
    found = measure_mode_coverage(modes.nearest, modes.good, modes.count, ())
    return {"modes": found.pop("covered"), **found}


def load_extractor(protocol: Any, job: Job) -> Extractor | None:
    """Return the protocol's extractor, loaded, under the name that tables show, or None."""
    if protocol.extractor is None:
        return None
    extraction = job.at(protocol.extractor)
    model = extraction.cell.model
    assert model is not None
    return Extractor(extraction.model, name_extractor(extraction.model, model), job.device)


def name_extractor(model: Any, part: Part) -> str:
    """Return the extractor's `shown` name, else its label in the suite, else the plugin with its model's name."""
    if own := getattr(model, "shown", None):
        return str(own)
    inner = part.options.get("name")
    return f"{part.plugin}:{inner}" if inner and part.label in (part.plugin, inner) else part.label


class Extractor:
    """Features of images by a model that encodes them (DINO, CLIP, Inception, …), with the model's own preparation."""

    def __init__(self, model: Any, name: str, device: torch.device) -> None:
        self.model, self.name, self.device = model, name, device
        self.is_fid = bool(getattr(model, "is_fid", False))
        self.fingerprint = str(model.fingerprint()) if hasattr(model, "fingerprint") else ""

    @torch.no_grad()
    def __call__(self, images: torch.Tensor) -> NDArray[np.floating]:
        """Return embeddings N×D of images N×C×H×W (uint8); grey ones are repeated to three channels."""
        from PIL import Image

        out = []
        for part in images.split(64):
            arrays = part.permute(0, 2, 3, 1).numpy()
            arrays = np.repeat(arrays, 3, axis=3) if arrays.shape[3] == 1 else arrays
            prepared = torch.stack([self.model.prepare(Image.fromarray(a)) for a in arrays])
            out.append(self.model.encode_image(prepared.to(self.device)).float().cpu())
        return torch.cat(out).numpy()
