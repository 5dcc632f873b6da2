"""Outputs of the suites' networks on a device: float32 against the CPU's, and bfloat16 against float32."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.contract.cells import Cell, Part
from harness.contract.data import Split
from harness.contract.declared import ask
from harness.contract.models import ClassifiesImages, EncodesImages
from harness.contract.seeds import derive_seed
from harness.errors import HarnessError
from harness.inference.batches import forward_all
from harness.inference.images import Staged
from harness.inference.split_subsets import draw_subset
from harness.inference.splits import find_test_split
from harness.running.devices import seed_all, settle_on_device
from harness.selftesting.rows import Row
from harness.selftesting.tolerances import (
    AGREEMENT,
    AGREEMENT_BFLOAT16,
    BFLOAT16_ROUNDING,
    FLOAT32,
    OUTPUTS_BFLOAT16,
)

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

SAMPLES = 256
FEWEST = 10
"""Predictions below which their agreement says nothing."""


@dataclass(frozen=True)
class Subject:
    """A model of the suites that classifies or encodes images, and samples for it."""

    part: Part
    split: Split
    name: str

    def compute(self, device: torch.device, precision: str) -> NDArray[np.float32]:
        """Return the logits (else the embeddings) N×D of a newly loaded model on a device."""
        model = load_model(self.part, device)
        result: torch.Tensor = forward_all(
            forward_of(model),
            self.split,
            Staged(model.prepare),
            device=device,
            precision=precision,
            collate=ask(model, "collate"),
        )
        return result.numpy()


def load_model(part: Part, device: torch.device) -> Any:
    """Return a model as a worker loads it for evaluation: seeded by its identity, and frozen."""
    seed_all(derive_seed("model", part.identity))
    model = part.make()
    if ask(model, "load") is not None:
        model.load(device)
    if ask(model, "module") is not None:
        settle_on_device(model.module, device)
    return model


def forward_of(model: Any) -> Any:
    """Return what a model does with a batch: it classifies or, if it can't, encodes."""
    return model.classify if isinstance(model, ClassifiesImages) else model.encode_image


def find_subjects(cells: Iterable[Cell]) -> Iterator[Subject]:
    """Yield each model of the cells once, with up to `SAMPLES` images of the first data set that it meets."""
    seen = set[str]()
    for cell in cells:
        part = cell.model
        if part is None or part.identity in seen or part.problem or part.missing:
            continue
        if not isinstance(part.object, ClassifiesImages | EncodesImages):
            continue
        if (found := find_test_split(cell.dataset.object.splits, None).name) is None:
            continue
        try:
            split = cell.dataset.object.load(found)
            seen_image = len(split) > 0 and split[0].image is not None
        except HarnessError:  # its cells say why, in rows of their own
            continue
        if not seen_image:
            continue
        seen.add(part.identity)
        chosen = draw_subset(split, SAMPLES, derive_seed("selftest")) if len(split) > SAMPLES else split
        yield Subject(part, chosen, part.label)


def compare_outputs(subject: Subject, device: torch.device) -> list[Row]:
    """Return the rows of a model: float32 on the device against the CPU's, bfloat16 against float32 there."""
    import torch

    expected = subject.compute(torch.device("cpu"), "float32")
    found = subject.compute(device, "float32")
    half = subject.compute(device, "bfloat16")
    classifies = isinstance(subject.part.object, ClassifiesImages)
    what = f"{subject.name}: {'logits' if classifies else 'embeddings'}"
    return [
        judge_outputs(f"{what} in float32", found, expected, FLOAT32.outputs, AGREEMENT, classifies),
        judge_outputs(
            f"{what} in bfloat16",
            half,
            found,
            OUTPUTS_BFLOAT16,
            AGREEMENT_BFLOAT16,
            classifies,
            BFLOAT16_ROUNDING,
            "float32 on the device",
        ),
    ]


def judge_outputs(
    check: str,
    found: NDArray[np.float32],
    expected: NDArray[np.float32],
    limit: float,
    agreement: float,
    classifies: bool,
    rounding: float = 0.0,
    against: str = "float32",
) -> Row:
    """Return a row on outputs N×D: their relative error, and the share of equal predictions.

    Predictions count where the two best logits are further apart than `rounding` of the largest can move them.
    """
    if found.shape != expected.shape or not np.isfinite(found).all():
        text = "not finite" if found.shape == expected.shape else f"shape {found.shape}"
        return Row(check, text, f"{against}, shape {expected.shape}", f"{limit:.0e}", "FAIL")
    error = float(np.linalg.norm(found - expected) / max(float(np.linalg.norm(expected)), 1e-30))
    facts: dict[str, Any] = {"relative_error": error, "limit": limit, "samples": len(found)}
    text, tolerance, fits = f"off by {error:.1e}", f"{limit:.0e}", error <= limit
    if classifies and found.shape[1] > 1:
        best = np.sort(expected, axis=1)[:, -2:]
        decided = best[:, 1] - best[:, 0] > 4 * rounding * np.abs(expected).max(axis=1)
        count = int(decided.sum())
        if count >= FEWEST:
            share = float((found.argmax(1) == expected.argmax(1))[decided].mean())
            text += f", {share:.1%} of {count} predictions equal"
            tolerance += f", {agreement:.1%}"
            fits = fits and share >= agreement
            facts |= {"agreement": share, "predictions": count}
    return Row(check, text, against, tolerance, "ok" if fits else "FAIL", facts)
